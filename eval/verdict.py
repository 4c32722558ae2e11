"""Whether two query results are the same, by the rules of Spider's test-suite evaluator.

Works on SQL text and on rows that `eval/sandbox.py` returned; runs nothing. Source: docs/scoring.md.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from eval.sandbox import Row, Value

BLANKS = " \t\r\n\f\v"  # as SQLite knows them
LONG = 10_000
_TOKEN = re.compile(
    r"""'(?:[^']|'')*'? | "(?:[^"]|"")*"? | `[^`]*`? | \[[^\]]*\]? | --[^\n]* | /\*.*?(?:\*/|$) | \w+ | .""",
    re.VERBOSE | re.DOTALL,
)
_CURRENT_YEAR = re.compile(r"YEAR\s*\(\s*CURDATE\s*\(\s*\)\s*\)\s*", re.IGNORECASE)


def normalize(sql: str, keep_distinct: bool = False) -> str:
    """The text that is run, for gold and prediction alike.

    Joins `> =`, `< =`, `! =`; keeps the first statement; drops DISTINCT outside quotes and comments
    unless `keep_distinct`; YEAR(CURDATE()) becomes 2020.
    """
    return _remembered(sql, keep_distinct) if len(sql) < LONG else _normalize(sql, keep_distinct)


def _normalize(sql: str, keep_distinct: bool) -> str:
    for spaced, joined in (("> =", ">="), ("< =", "<="), ("! =", "!=")):
        sql = sql.replace(spaced, joined)
    if ";" not in sql and (keep_distinct or "distinct" not in sql.lower()):
        return _CURRENT_YEAR.sub("2020", sql.strip(BLANKS)).strip(BLANKS)
    kept: list[str] = []
    for token in _TOKEN.findall(sql.strip(BLANKS)):
        if token == ";":
            break
        if keep_distinct or token.lower() != "distinct":
            kept.append(token)
    return _CURRENT_YEAR.sub("2020", "".join(kept)).strip(BLANKS)


_remembered = lru_cache(maxsize=4096)(_normalize)  # each text is asked for several times over


def is_ordered(gold: str) -> bool:
    """Whether the order of rows counts: the gold query holds `order by`."""
    return "order by" in gold.lower()


def same_result(gold: Sequence[Row], predicted: Sequence[Row], ordered: bool) -> bool:
    """Whether one permutation of columns makes the results equal, as lists or as multisets of rows.

    Two empty results are equal whatever their columns. Values compare as Python's: 1 equals 1.0,
    1 is not '1', NULL equals NULL, floats without tolerance.
    """
    if list(gold) == list(predicted):  # two empty ones too
        return True
    if len(gold) != len(predicted) or len(gold[0]) != len(predicted[0]):
        return False
    golds, preds = list(zip(*gold, strict=True)), list(zip(*predicted, strict=True))
    if ordered:
        return Counter(golds) == Counter(preds)
    # Whatever the order of columns, the rows must hold the same values.
    if Counter(map(_contents, gold)) != Counter(map(_contents, predicted)):
        return False
    candidates = [_candidates(column, preds) for column in golds]
    return all(candidates) and _match(golds, preds, candidates)


def _contents(row: Row) -> frozenset[tuple[Value, int]]:
    return frozenset(Counter(row).items())


def _candidates(column: tuple[Value, ...], others: list[tuple[Value, ...]]) -> list[int]:
    """The columns that hold the same values, in any order."""
    values = Counter(column)
    return [place for place, other in enumerate(others) if Counter(other) == values]


def _match(golds: list[tuple[Value, ...]], preds: list[tuple[Value, ...]], candidates: list[list[int]]) -> bool:
    """Searches a pairing of columns under which the multisets of rows agree.

    Columns are paired one by one, those with the fewest candidates first; after each, the rows seen
    so far must agree as multisets. Columns equal value by value are tried once, so that identical
    columns cost nothing.
    """
    order = sorted(range(len(golds)), key=lambda place: len(candidates[place]))
    rows = len(golds[0])

    def extend(depth: int, used: frozenset[int], gold_rows: list[int], pred_rows: list[int]) -> bool:
        if depth == len(order):
            return True
        gold_next = list(zip(gold_rows, golds[order[depth]], strict=True))
        tried: set[tuple[Value, ...]] = set()
        for place in candidates[order[depth]]:
            if place in used or preds[place] in tried:
                continue
            tried.add(preds[place])
            pred_next = list(zip(pred_rows, preds[place], strict=True))
            if Counter(gold_next) == Counter(pred_next):
                names = {row: number for number, row in enumerate(dict.fromkeys(gold_next))}
                if extend(
                    depth + 1, used | {place}, [names[row] for row in gold_next], [names[row] for row in pred_next]
                ):
                    return True
        return False

    return extend(0, frozenset(), [0] * rows, [0] * rows)
