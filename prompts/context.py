"""Which tables and columns a training prompt shows.

Training contexts vary, so that the model learns to pick what matters; the gold query says what it
needs. Prompts for scoring and answering never come here: they show the whole schema.
"""

import random
from typing import Literal

import sqlglot
from sqlglot import exp

from data.schema import Schema, Table

ContextKind = Literal["full", "needed", "distract", "mixed"]
_MIXTURE: tuple[ContextKind, ...] = ("full", "needed", "distract")


def choose_context(schema: Schema, query: str, kind: ContextKind, draw: random.Random) -> Schema:
    """The part of the schema that one training prompt shows.

    `needed`: the tables and columns that the query uses. `distract`: its tables whole, and a random
    number (at least one, where there are others) of the other tables. `mixed`: one of the three kinds.
    A query whose tables cannot be told is shown with the full schema.
    """
    if kind == "mixed":
        kind = draw.choice(_MIXTURE)
    needed = used_columns(schema, query)
    if kind == "full" or not needed:
        return schema
    if kind == "needed":
        return schema.subset({name: columns or _key_columns(schema, name) for name, columns in needed.items()})
    others = [table.name for table in schema.tables if table.name not in needed]
    drawn = draw.sample(others, draw.randint(1, len(others))) if others else []
    return schema.subset(dict.fromkeys([*needed, *drawn], None))


def used_columns(schema: Schema, query: str) -> dict[str, set[str]]:
    """The tables that a query reads, each with the columns that it names; empty if it cannot be parsed.

    A column without a table belongs to every table read that has one of that name. `*` names all
    columns of the tables read, unless it is the one of count(*).
    """
    try:
        tree = sqlglot.parse_one(query, read="sqlite")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return {}
    by_name = {table.name.lower(): table for table in schema.tables}
    aliases: dict[str, set[str]] = {}
    used: dict[str, set[str]] = {}
    for node in tree.find_all(exp.Table):
        if node.name.lower() in by_name:
            table = by_name[node.name.lower()]
            used.setdefault(table.name, set())
            # One alias may stand for different tables in different branches.
            aliases.setdefault(node.alias_or_name.lower(), set()).add(table.name)
    for column in tree.find_all(exp.Column):
        owners = aliases.get(column.table.lower(), set()) if column.table else set(used)
        for owner in owners:
            used[owner] |= _named(by_name[owner.lower()], column.name)
    for join in tree.find_all(exp.Join):
        for shared in join.args.get("using") or []:
            for owner in used:
                used[owner] |= _named(by_name[owner.lower()], shared.name)
    for star in tree.find_all(exp.Star):
        if isinstance(star.parent, exp.Select):
            for owner in used:
                used[owner] |= _named(by_name[owner.lower()], "*")
    return used


def _named(table: Table, name: str) -> set[str]:
    return {
        column.name for column in table.columns if name in ("*", column.name) or column.name.lower() == name.lower()
    }


def _key_columns(schema: Schema, name: str) -> set[str]:
    """What to show of a table of which a query names no column, as in count(*)."""
    table = next(table for table in schema.tables if table.name == name)
    return set(table.primary_key) or {table.columns[0].name}
