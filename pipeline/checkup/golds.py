"""What running the gold queries tells: those that fail, return nothing, are slow, or may differ from run to run.

Runs every query in the sandbox. Where one keeps only some rows, it is run again without that limit and with
what it sorts by, to see whether rows that tie lie on both sides of the cut.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp

from data.imports.dialects import check_joins
from eval.pool import Sandbox
from eval.sandbox import Outcome
from eval.verdict import normalize
from pipeline.checkup.facts import Finding, Item
from pipeline.console import Advance

SLOW_MILLISECONDS = 1000.0
BEYOND = 200  # rows that are looked at beyond a cut
MOST_CUTS = 4  # of one query
MOST_KEPT = 100_000  # rows before a cut
CHANGING = re.compile(
    r"""'now'|\b(random\w*|current_(date|time|timestamp)|(total_)?changes|last_insert_rowid)\b
      | \b(date|time|datetime|julianday|unixepoch)\s*\(\s*\) | \bstrftime\s*\([^,()]*\)""",
    re.VERBOSE | re.IGNORECASE,
)
CHANGES = "calls a function whose result changes, such as random() or date('now')"


@dataclass(frozen=True)
class Cut:
    """A SELECT of the query without its limit, its last `keys` columns what it sorts by; `cuts` are rows counted from 0."""

    sql: str
    keys: int
    cuts: tuple[int, ...]


def run_golds(
    items: Sequence[Item], sandbox: Sandbox, advance: Advance
) -> tuple[dict[str, list[Finding]], dict[Item, str]]:
    """Findings under `fails`, `empty`, `slow` and `unstable`, and digests of the results of those that ran."""
    found: dict[str, list[Finding]] = defaultdict(list)
    results: dict[Item, str] = {}
    there = [item for item in items if item.database]
    outcomes = sandbox.map((item.database, _text(item)) for item in there if item.database)
    for item, outcome in zip(there, outcomes, strict=True):
        for kind, detail in _remarks(outcome, _text(item)):
            found[kind].append(Finding(item, detail))
        if outcome.category == "ok":
            results[item] = _digest(outcome)
        advance()
    found["unstable"] += _ties(list(results), sandbox)
    return found, results


def _text(item: Item) -> str:
    """As it stands, DISTINCT and all; only the first statement."""
    return normalize(item.pair.query, keep_distinct=True)


def _remarks(outcome: Outcome, sql: str) -> Iterator[tuple[str, str]]:
    if outcome.category != "ok":
        yield "fails", outcome.message or outcome.category
        return
    if not outcome.rows:
        yield "empty", "returns no rows"
    elif all(cell is None for row in outcome.rows for cell in row):
        yield "empty", "returns nothing but NULL"
    if outcome.milliseconds > SLOW_MILLISECONDS:
        yield "slow", f"takes {outcome.milliseconds / 1000:.1f} s"
    # The sandbox knows the function's name alone: date() of a column is always the same.
    if not outcome.repeatable and CHANGING.search(sql):
        yield "unstable", CHANGES


def _digest(outcome: Outcome) -> str:
    """Of the rows in any order."""
    rows = sorted(map(repr, outcome.rows))
    return hashlib.sha256("\n".join(rows).encode(errors="replace")).hexdigest()


def _ties(items: Sequence[Item], sandbox: Sandbox) -> Iterator[Finding]:
    """Queries whose result hangs on the order in which SQLite happens to read rows."""
    probes = [(item, cut) for item in items if "limit" in item.pair.query.lower() for cut in cuts(_text(item))]
    told: set[int] = set()
    outcomes = sandbox.map((item.database, cut.sql) for item, cut in probes if item.database)
    for (item, cut), outcome in zip(probes, outcomes, strict=True):
        if outcome.category == "ok" and is_undecided(outcome.rows, cut) and id(item) not in told:
            told.add(id(item))
            what = "rows tie at the cut of ORDER BY ... LIMIT" if cut.keys else "LIMIT without ORDER BY keeps any rows"
            yield Finding(item, what)


def is_undecided(rows: Sequence[tuple[Any, ...]], cut: Cut) -> bool:
    """Whether rows that differ, but sort alike, lie on both sides of a cut."""
    for place in cut.cuts:
        if not 0 < place < len(rows):
            continue
        keys = [row[len(row) - cut.keys :] for row in rows]
        if keys[place - 1] == keys[place]:
            tied = {row[: len(row) - cut.keys] for row, key in zip(rows, keys, strict=True) if key == keys[place]}
            if len(tied) > 1:
                return True
    return False


def cuts(query: str) -> list[Cut]:
    """The SELECTs of a query that keep only some rows; none where it cannot be parsed or rebuilt."""
    try:
        check_joins(query, "sqlite")
        tree = sqlglot.parse_one(query, read="sqlite")
        found = (_cut(select) for select in tree.find_all(exp.Select) if select.args.get("limit"))
        return [cut for cut in found if cut][:MOST_CUTS]
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError):
        return []


def _cut(select: exp.Select) -> Cut | None:
    kept = _number(select.args["limit"].expression)
    skipped = _number(select.args["offset"].expression) if select.args.get("offset") else 0
    if not kept or skipped is None or kept + skipped > MOST_KEPT:
        return None
    probe = select.copy()
    probe.set("offset", None)
    order = probe.args.get("order")
    keys = [_key(probe, term.this) for term in order.expressions] if order else []
    if any(key is None for key in keys):
        return None
    shown = {column.unalias().sql("sqlite").lower() for column in probe.expressions}
    if probe.args.get("distinct") and any(key.sql("sqlite").lower() not in shown for key in keys if key):
        return None  # another column would make other rows distinct
    for number, key in enumerate(filter(None, keys)):
        probe.append("expressions", exp.alias_(key, f"sorted_by_{number}"))
    sql = probe.limit(skipped + kept + BEYOND).sql("sqlite")
    return Cut(sql, len(keys), (skipped, skipped + kept))


def _number(value: exp.Expr | None) -> int | None:
    return int(value.name) if isinstance(value, exp.Literal) and value.name.isdigit() else None


def _key(select: exp.Select, term: exp.Expr) -> exp.Expr | None:
    """What ORDER BY sorts by as a column of its own: without the names and places of other columns."""
    columns: list[exp.Expr] = select.expressions
    if isinstance(term, exp.Literal) and not term.is_string:
        place = int(term.name) if term.name.isdigit() else 0
        return columns[place - 1].unalias().copy() if not select.is_star and 0 < place <= len(columns) else None
    named: dict[str, exp.Expr] = {column.alias.lower(): column.unalias() for column in columns if column.alias}

    def plain(node: exp.Expr) -> exp.Expr:
        is_name = isinstance(node, exp.Column) and not node.table and node.name.lower() in named
        return named[node.name.lower()].copy() if is_name else node

    return term.copy().transform(plain)
