"""What the parts of a PostgreSQL or MySQL query hold: numbers, texts, dates, told by how SQLite declares them.

Reads the catalogue of the copied database and some values of its columns, since an SQLite column may hold
dates whatever it is declared as. Writes nothing; what cannot be known stays unknown.
"""

import re
import sqlite3
from contextlib import suppress
from typing import Any, Literal

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect as Grammar
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import TypeAnnotator, annotate_types
from sqlglot.optimizer.resolver import Resolver
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.schema import MappingSchema

from data.imports.building import quoted

Dialect = Literal["mysql", "postgres"]
# sqlglot's kinds of types by how SQLite declares them; dates stay told apart for those who read the schema.
INTEGERS = {*exp.DataType.INTEGER_TYPES, exp.DType.SERIAL, exp.DType.BIGSERIAL, exp.DType.SMALLSERIAL, exp.DType.YEAR}
TYPES: dict[str, set[exp.DType]] = {
    "INTEGER": INTEGERS - {exp.DType.BIT},
    "BOOLEAN": {exp.DType.BOOLEAN, exp.DType.BIT},
    "NUMERIC": {exp.DType.DECIMAL, exp.DType.UDECIMAL, exp.DType.MONEY, exp.DType.SMALLMONEY},
    "REAL": {exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.UDOUBLE},
    "DATE": {exp.DType.DATE},
    "TIMESTAMP": {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPLTZ, exp.DType.DATETIME},
    "TIME": {exp.DType.TIME, exp.DType.TIMETZ},
    "BLOB": {
        exp.DType.BINARY,
        exp.DType.VARBINARY,
        exp.DType.BLOB,
        exp.DType.TINYBLOB,
        exp.DType.MEDIUMBLOB,
        exp.DType.LONGBLOB,
    },
}
LOOKED_AT = 100  # rows that tell how the dates of a column are spelled
NORMAL, GENERATED_AND_STORED = 0, 3  # as PRAGMA table_xinfo has it; the values of others lie in no file
DATE = re.compile(r"\d{4}-\d\d-\d\d")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?")


def sqlite_type(kind: exp.DataType | None) -> str:
    """How SQLite declares a column of this type: by what it holds, so that INTEGER PRIMARY KEY numbers itself."""
    if kind is None:
        return ""
    return next((name for name, kinds in TYPES.items() if kind.this in kinds), "TEXT")


def kind_of(part: exp.Expr) -> str:
    """What a part of a query holds, as `sqlite_type` says it; "" where that is not known."""
    if part.type is None or part.type.this in (exp.DType.UNKNOWN, exp.DType.NULL):
        return ""
    return "INTERVAL" if part.type.this is exp.DType.INTERVAL else sqlite_type(part.type)


def with_kind(part: exp.Expr, kind: str) -> exp.Expr:
    part.type = exp.DataType.build(kind)
    return part


def sides_of(comparison: exp.Expr) -> list[exp.Expr]:
    """What is compared: by = < > <>, BETWEEN and IN."""
    ends = (comparison.args.get(name) for name in ("expression", "low", "high"))
    return [comparison.this, *comparison.expressions, *(end for end in ends if end is not None)]


def is_text(part: exp.Expr) -> bool:
    return isinstance(part, exp.Literal) and part.is_string


def add_kinds(tree: exp.Expr, dialect: Dialect, database: sqlite3.Connection | None) -> None:
    """Gives each part of a query its type, as far as `database` and the query itself tell it."""
    copy = tree.copy()  # in which columns get their tables, and names the case of the schema
    twins = list(zip(tree.walk(), copy.walk(), strict=True))
    names = {table.name for table in copy.find_all(exp.Table)} - {""}
    for identifier in copy.find_all(exp.Identifier):
        identifier.set("this", identifier.name.lower())
    own: dict[Any, Any] = {exp.Sub: {"annotator": _difference}, exp.TimestampTrunc: {"returns": exp.DType.DATE}}
    if dialect == "postgres":  # whose EXTRACT is not of integers, nor is a sum of counts: a half of it has decimals
        own |= {exp.Extract: {"returns": exp.DType.DECIMAL}, exp.Sum: {"annotator": _sum}}
    try:
        tables = {name.lower(): _column_types(name, database) for name in names} if database else {}
        known: dict[str, object] = {name: columns for name, columns in tables.items() if columns}
        schema = MappingSchema(known, dialect=dialect, normalize=False)
        scopes = traverse_scope(copy)
        for scope in scopes:
            _add_tables(scope, schema)
        grammar = Grammar.get_or_raise(dialect)
        annotate_types(copy, schema, {**grammar.EXPRESSION_METADATA, **own}, dialect=dialect)
    except (SqlglotError, sqlite3.Error):
        return  # the database will say what is wrong with the query
    for scope in scopes:
        named = {item.alias: item.type for item in getattr(scope.expression, "selects", []) if item.alias}
        for column in scope.find_all(exp.Column):
            if not column.table and not kind_of(column) and column.name in named:
                column.type = named[column.name]
    for ours, theirs in twins:
        ours.type = theirs.type


def _add_tables(scope: Scope, schema: MappingSchema) -> None:
    """Puts the tables before columns; where a column may be one of the results, only if it is none."""
    resolver = Resolver(scope, schema)
    results = {item.alias for item in getattr(scope.expression, "selects", [])}
    others = [column for column in scope.find_all(exp.Column) if not column.table and column.name not in results]
    for column in [*scope.unqualified_columns, *others]:
        table = resolver.get_table(column)
        if table:
            column.set("table", table.copy())


def _column_types(table: str, database: sqlite3.Connection) -> dict[str, exp.DataType]:
    """The types of a table's columns by their names in lower case."""
    info = database.execute("SELECT name, type, hidden FROM pragma_table_xinfo(?)", (table,)).fetchall()
    declared = {name: _type(text) for name, text, _ in info}
    stored = {name for name, _, hidden in info if hidden in (NORMAL, GENERATED_AND_STORED)}
    texts = [
        name for name, kind in declared.items() if name in stored and sqlite_type(kind) in ("TEXT", "DATE", "TIMESTAMP")
    ]
    own = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE"
    if texts and database.execute(own, (table,)).fetchone() == (1,):  # a view might take its time
        ends = ", ".join(f"min({quoted(name)}), max({quoted(name)})" for name in texts)
        with suppress(sqlite3.Error):  # a text that is not valid UTF-8 is no date
            query = f"SELECT {ends} FROM (SELECT * FROM {quoted(table)} LIMIT {LOOKED_AT})"
            found = database.execute(query).fetchone()
            declared |= {name: _seen(found[2 * i : 2 * i + 2], declared[name]) for i, name in enumerate(texts)}
    return {name.lower(): kind for name, kind in declared.items()}


def _type(declared: str) -> exp.DataType:
    try:
        return exp.DataType.build(exp.DataType.build(declared, dialect="sqlite").this)
    except SqlglotError:
        return exp.DataType.build(exp.DType.UNKNOWN)


def _seen(ends: tuple[Any, Any], declared: exp.DataType) -> exp.DataType:
    """The type of a column by its least and its greatest value; as declared where it has none."""
    if ends == (None, None):
        return declared
    texts = [end if isinstance(end, str) else "" for end in ends]
    if all(map(DATE.fullmatch, texts)):
        return exp.DataType.build(exp.DType.DATE)
    if all(map(TIMESTAMP.fullmatch, texts)):
        return exp.DataType.build(exp.DType.TIMESTAMP)
    return declared if sqlite_type(declared) == "TEXT" else exp.DataType.build(exp.DType.UNKNOWN)


def _difference(annotator: TypeAnnotator, node: exp.Sub) -> exp.Expr:
    """Two dates are a number of days apart; sqlglot has it that they are a date apart."""
    dates = [side for side in (node.this, node.expression) if kind_of(side) == "DATE"]
    rest = [side for side in (node.this, node.expression) if kind_of(side) != "DATE"]
    if dates and all(isinstance(side, exp.Literal) and side.is_string for side in rest):
        return annotator._set_type(node, exp.DType.INT)
    return annotator._annotate_binary(node)


def _sum(annotator: TypeAnnotator, node: exp.Sum) -> exp.Expr:
    """A sum of bigints, as counts and sums are, is a decimal to PostgreSQL; sqlglot has it that it is a bigint."""
    kind = node.this.type.this if node.this.type else exp.DType.UNKNOWN
    sums = {exp.DType.BIGINT: exp.DType.DECIMAL} | dict.fromkeys(INTEGERS - {exp.DType.BIGINT}, exp.DType.BIGINT)
    return annotator._set_type(node, sums.get(kind, kind))
