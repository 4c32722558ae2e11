"""Which tables and columns a training prompt shows.

Training contexts vary, so that the model learns to pick what matters; the gold query says what it
needs. Prompts for scoring and answering are not made here: they never look at a gold query.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from data.imports.dialects import check_joins
from data.schema import Schema, Table

ContextKind = Literal["full", "needed", "distract", "mixed", "linked"]
_MIXTURE: tuple[ContextKind, ...] = ("full", "needed", "distract")


@dataclass(frozen=True)
class _Select:
    """One SELECT: the columns that it names as (table or alias, column), and whose columns `*` stands for ("": all)."""

    scope: Scope
    named: Sequence[tuple[str, str]]
    starred: Sequence[str]


def choose_context(
    schema: Schema,
    query: str,
    kind: ContextKind,
    draw: random.Random,
    picked: Mapping[str, set[str]] | None = None,
) -> Schema:
    """The part of the schema that one training prompt shows.

    `needed`: the tables and columns that the query uses. `distract`: its tables whole, and a random
    number (at least one, where there are others) of the other tables. `mixed`: one of these or `full`.
    `linked`: what the linker picked, and what the query uses. A query whose tables cannot be told is
    shown with the full schema.
    """
    if kind == "mixed":
        kind = draw.choice(_MIXTURE)
    needed = used_columns(schema, query) if kind != "full" else {}
    if not needed:
        return schema
    if kind == "linked":
        linked = {name: set(columns) for name, columns in (picked or {}).items()}
        for name, columns in needed.items():
            linked[name] = linked.get(name, set()) | columns or _key_columns(schema, name)
        return schema.subset(linked)
    if kind == "needed":
        return schema.subset({name: columns or _key_columns(schema, name) for name, columns in needed.items()})
    others = [table.name for table in schema.tables if table.name not in needed]
    drawn = draw.sample(others, draw.randint(1, len(others))) if others else []
    return schema.subset(dict.fromkeys([*needed, *drawn], None))


def shuffle(schema: Schema, draw: random.Random) -> Schema:
    """The same tables and columns in another order, so that a model learns to read and not to count."""
    tables = [replace(table, columns=tuple(draw.sample(table.columns, len(table.columns)))) for table in schema.tables]
    return replace(schema, tables=tuple(draw.sample(tables, len(tables))))


def used_columns(schema: Schema, query: str, stars: bool = True) -> dict[str, set[str]]:
    """The tables that a query reads, each with the columns that it names; empty if it cannot be parsed.

    A column without a table belongs to every table of its SELECT that has one of that name. `*` names all
    columns of the tables that its SELECT reads, unless it is the one of count(*), or `stars` is False.
    """
    selects = _selects(query)
    by_name = {table.name.lower(): table for table in schema.tables}
    used: dict[str, set[str]] = {}
    for select in selects:
        for table in _tables(select.scope, by_name).values():
            used.setdefault(table.name, set())
    for select in selects:
        tables = _tables(select.scope, by_name)
        for owner, name in select.named:
            for table in _owners(tables, owner, name) or _owners(_outer(select.scope, by_name), owner, name):
                used[table.name] |= _named(table, name)
        for owner in select.starred if stars else ():
            for table in _owners(tables, owner, "*"):
                used[table.name] |= _named(table, "*")
    return used


@lru_cache(64)  # the questions that share a query come together
def _selects(query: str) -> Sequence[_Select]:
    """The SELECTs of a query; none if it cannot be parsed."""
    try:
        # What follows a semicolon, if only a note, is no part of the query.
        check_joins(query, "sqlite")
        statements = [statement for statement in sqlglot.parse(query, read="sqlite") if statement]
        return [_read(scope) for scope in traverse_scope(statements[0])] if statements else []
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError):
        return []


def _read(scope: Scope) -> _Select:
    named = [(column.table, column.name) for column in scope.columns]
    named += [("", shared.name) for join in scope.find_all(exp.Join) for shared in join.args.get("using") or []]
    parents = [star.parent for star in scope.find_all(exp.Star)]
    starred = ["" for parent in parents if isinstance(parent, exp.Select)]
    starred += [parent.table for parent in parents if isinstance(parent, exp.Column) and parent.table]
    return _Select(scope, named, starred)


def _tables(scope: Scope, by_name: Mapping[str, Table]) -> dict[str, Table]:
    """The schema's tables that a SELECT reads, by alias."""
    return {
        alias.lower(): by_name[source.name.lower()]
        for alias, source in scope.sources.items()
        if isinstance(source, exp.Table) and source.name.lower() in by_name
    }


def _outer(scope: Scope, by_name: Mapping[str, Table]) -> dict[str, Table]:
    """What the SELECTs around this one read, which a correlated subquery may name."""
    tables: dict[str, Table] = {}
    while scope.parent:
        scope = scope.parent
        tables = _tables(scope, by_name) | tables
    return tables


def _owners(tables: Mapping[str, Table], owner: str, name: str) -> list[Table]:
    candidates = [tables[owner.lower()]] if owner.lower() in tables else [] if owner else list(tables.values())
    return [table for table in candidates if _named(table, name)]


def _named(table: Table, name: str) -> set[str]:
    return {
        column.name for column in table.columns if name in ("*", column.name) or column.name.lower() == name.lower()
    }


def _key_columns(schema: Schema, name: str) -> set[str]:
    """What to show of a table of which a query names no column, as in count(*)."""
    table = next(table for table in schema.tables if table.name == name)
    return set(table.primary_key) or {column.name for column in table.columns[:1]}
