"""Which tables a query reads, and what it names that its database lacks.

Reads SQL through sqlglot and a schema; runs nothing. For people who look at an answer: a name in double quotes that
SQLite takes for text is no error there, and wrong all the same.
"""

from collections.abc import Iterable

import sqlglot
from rapidfuzz import process
from sqlglot import exp

from data.imports.dialects import REFUSED, check_joins
from data.schema import Schema

LEAST_ALIKE = 60  # of 100, for a name to be proposed
UNNAMED = {"rowid", "oid", "_rowid_"}


def names_in(sql: str, schema: Schema, dialect: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tables that are read, as the schema spells them, and a warning for each name that it does not have."""
    try:
        check_joins(sql, dialect)
        tree = sqlglot.parse_one(sql, read=dialect)
    except REFUSED:
        return (), ()
    known = {table.name.lower(): table.name for table in schema.tables}
    made = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    named = [table.name for table in tree.find_all(exp.Table) if table.name and table.name.lower() not in made]
    tables = tuple(dict.fromkeys(known[name.lower()] for name in named if name.lower() in known))
    warnings = [_lacks("table", name, known.values()) for name in named if name.lower() not in known]
    if not warnings:
        warnings = _unknown_columns(tree, schema, tables, dialect)
    return tables, tuple(dict.fromkeys(warnings))


def _unknown_columns(tree: exp.Expr, schema: Schema, tables: Iterable[str], dialect: str) -> list[str]:
    read = set(tables)
    columns = [column.name for table in schema.tables if table.name in read for column in table.columns]
    elsewhere = [f"{table.name}.{column.name}" for table in schema.tables for column in table.columns]
    own = {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    own |= {column.name.lower() for alias in tree.find_all(exp.TableAlias) for column in alias.columns}
    known = {name.lower() for name in columns} | own | UNNAMED
    # What a function of tables gives has names of its own.
    if any(isinstance(source.this, exp.Func) for source in tree.find_all(exp.Table)):
        return []
    found = []
    for column in tree.find_all(exp.Column):
        name = column.name
        if isinstance(column.this, exp.Star) or name.lower() in known:
            continue
        quoted = isinstance(column.this, exp.Identifier) and column.this.quoted
        if quoted and not column.table and dialect == "sqlite":
            found.append(f"\"{name}\" is no column of these tables: SQLite takes it for the text '{name}'")
        else:
            others = [place for place in elsewhere if place.lower().endswith(f".{name.lower()}")]
            found.append(
                f"the tables read have no column {name}; {others[0]} is in another"
                if others
                else _lacks("column", name, columns)
            )
    return found


def _lacks(what: str, name: str, known: Iterable[str]) -> str:
    close = process.extractOne(name.lower(), {own: own.lower() for own in known}, score_cutoff=LEAST_ALIKE)
    return f"the database has no {what} {name}" + (f"; is it {close[2]}?" if close else "")
