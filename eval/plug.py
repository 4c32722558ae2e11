"""Gold values in the prediction's places: EX for models that do not predict values.

Reads two queries, gives texts to run; named in every report that uses it, since it tells a prediction
part of the answer. Source: `plug_value` of Spider's test-suite evaluator (Zhong et al., 2020).
"""

import itertools
from collections.abc import Iterator

import sqlglot
from sqlglot import Token, TokenType

MOST_ASSIGNMENTS = 1000


def plug_values(gold: str, predicted: str) -> Iterator[str]:
    """The prediction with each of its literals replaced by one of the gold's, all ways up to a bound."""
    try:
        values = list(dict.fromkeys(_text(gold, token) for token in _literals(gold)))
        places = _literals(predicted)
    except sqlglot.errors.TokenError:
        return
    if not values or not places:
        return
    ways = itertools.product(values, repeat=len(places))
    for chosen in itertools.islice(ways, MOST_ASSIGNMENTS):
        text = predicted
        for token, value in reversed(list(zip(places, chosen, strict=True))):
            text = text[: token.start] + value + text[token.end + 1 :]
        yield text


def _literals(sql: str) -> list[Token]:
    """Numbers and quoted texts; double quotes hold text as often as names in this field."""
    tokens = sqlglot.tokenize(sql, read="sqlite")
    quoted = [token.token_type == TokenType.IDENTIFIER and sql[token.start] == '"' for token in tokens]
    kinds = (TokenType.STRING, TokenType.NUMBER)
    return [token for token, named in zip(tokens, quoted, strict=True) if named or token.token_type in kinds]


def _text(sql: str, token: Token) -> str:
    return sql[token.start : token.end + 1]
