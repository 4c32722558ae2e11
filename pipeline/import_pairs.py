"""Which of the pairs that were read can be imported: those that are one query, about a database that is known, in SQLite.

Works on pairs and the databases that are laid out; all that is left out is given back with the reason.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import get_args

import sqlglot

from data.errors import UserError
from data.imports.dialects import Dialect, transpile_query
from data.imports.pairs import Pair
from data.schema import open_read_only
from pipeline.import_sources import Laid, Source, copy_tables
from pipeline.splits import question_key

SHOWN = 5
QUERIES = ("SELECT", "WITH", "VALUES")

LeftOut = list[tuple[Pair, str]]  # with the reason


def usable_pairs(source: Source, laid: Laid, dialect: str | None, folder: Path) -> tuple[list[Pair], LeftOut, LeftOut]:
    """The pairs as they will be kept, those that will not, and those whose translation may differ.

    `dialect` is what they are written in, that of the server or its dump if not given. Writes `tables.json` into
    `folder` where it alone tells of a database. Raises UserError where no pair is left.
    """
    pairs, without_database = _about_databases(source, laid, folder)
    pairs, superseded = _last_verdicts(pairs)
    pairs, no_query = _queries_alone([replace(pair, query=pair.query.rstrip("; \n\t")) for pair in pairs])
    pairs, untranslated, doubts = _in_sqlite(pairs, dialect, laid)
    return pairs, [*without_database, *superseded, *no_query, *untranslated], doubts


def by_reason(found: Iterable[tuple[Pair, str]], what: str) -> list[str]:
    """Lines that say how many pairs there are of each reason, and where; the most frequent reasons."""
    places: dict[str, list[str]] = defaultdict(list)
    for pair, reason in found:
        places[reason].append(pair.place)
    most = Counter({reason: len(listed) for reason, listed in places.items()}).most_common()
    lines = [
        f"{count} {what} ({'; '.join(places[reason][:3])}{'; ...' if count > 3 else ''}): {reason}"
        for reason, count in most[:SHOWN]
    ]
    more = sum(count for _, count in most[SHOWN:])
    return [
        *lines,
        *([f"{more} {what} for {len(most) - SHOWN} other reasons: dataset.json lists them"] if more else []),
    ]


def _about_databases(source: Source, laid: Laid, folder: Path) -> tuple[list[Pair], LeftOut]:
    """The pairs with their databases. Where a file is missing, those stay whose schema is known otherwise."""
    names = list(laid.files)
    pairs: list[Pair] = []
    for pair in source.pairs:
        if pair.db_id is None and len(names) > 1:
            raise UserError(
                f"{pair.place}: names no database, and there are {len(names)} ({', '.join(names[:SHOWN])}"
                f"{', ...' if len(names) > SHOWN else ''}); add a column db_id"
            )
        pairs.append(pair if pair.db_id else replace(pair, db_id=names[0]))
    asked = {str(pair.db_id) for pair in pairs}
    if not asked & set(names):
        raise UserError(
            f"{pairs[0].place}: is about the database {pairs[0].db_id}, and no pair is about one that is there "
            f"({', '.join(names[:SHOWN])}); name the files as the pairs name their databases"
        )
    known = copy_tables(source, asked, folder) | set(names)
    left_out = [(pair, f"no database {pair.db_id}") for pair in pairs if pair.db_id not in known]
    return [pair for pair in pairs if pair.db_id in known], left_out


def _last_verdicts(pairs: list[Pair]) -> tuple[list[Pair], LeftOut]:
    """Of a user's verdicts on one question about one database the last alone: a fix outdates a "good" before it."""
    last = {(pair.db_id, question_key(pair.question)): pair for pair in pairs if pair.verdict}
    left_out = [
        (pair, "a later verdict on its question stands")
        for pair in pairs
        if pair.verdict and last[pair.db_id, question_key(pair.question)] is not pair
    ]
    gone = {id(pair) for pair, _ in left_out}
    return [pair for pair in pairs if id(pair) not in gone], left_out


def _queries_alone(pairs: list[Pair]) -> tuple[list[Pair], LeftOut]:
    """The pairs whose SQL is one query: anything else would run in part, or be learnt by the model as it stands."""
    reasons = [_no_query(pair.query) for pair in pairs]
    left_out = [(pair, reason) for pair, reason in zip(pairs, reasons, strict=True) if reason]
    if len(left_out) == len(pairs):
        raise UserError(f"{pairs[0].place}: its SQL {left_out[0][1]}, and no pair is left")
    return [pair for pair, reason in zip(pairs, reasons, strict=True) if not reason], left_out


def _no_query(sql: str) -> str | None:
    """Why a text is not one query; None if it is, or cannot be told."""
    try:
        tokens = sqlglot.tokenize(sql, read="sqlite")
    except sqlglot.errors.TokenError:
        return None
    statements = [
        list(part)
        for end, part in groupby(tokens, lambda token: token.token_type == sqlglot.TokenType.SEMICOLON)
        if not end
    ]
    if len(statements) > 1:
        return "is more than one statement"
    words = [token.text.upper() for part in statements for token in part if token.text != "("]
    return "is not a query (SELECT, WITH or VALUES)" if words[:1] and words[0] not in QUERIES else None


def _in_sqlite(pairs: list[Pair], dialect: str | None, laid: Laid) -> tuple[list[Pair], LeftOut, LeftOut]:
    """The pairs in SQLite's words; what cannot be said in them, and what may mean something else in them."""
    given = next((known for known in get_args(Dialect) if known == dialect), None)
    kept, left_out, doubts = list[Pair](), LeftOut(), LeftOut()
    with ExitStack() as opened:
        databases = {name: opened.enter_context(closing(open_read_only(path))) for name, path in laid.files.items()}
        for pair in pairs:
            chosen = given if dialect else laid.dialects.get(str(pair.db_id))
            if chosen is None:
                kept.append(pair)
                continue
            made = transpile_query(pair.query, chosen, laid.schema, databases.get(str(pair.db_id)))
            if made.query:
                kept.append(replace(pair, query=made.query))
                doubts += [(pair, note) for note in made.notes]
            else:
                left_out.append((pair, f"not said in SQLite: {made.reason}"))
    if not kept:
        pair, reason = left_out[-1]
        raise UserError(
            f"{pair.place}: {reason}; no pair is left; is that what they are written in? say so with --dialect"
        )
    return kept, left_out, doubts
