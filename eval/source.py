"""What fuzzing needs of a database: the statements that make it, its tables, keys and values.

Reads an SQLite file, opened read-only; writes nothing. Of its statements only CREATE TABLE, INDEX and
VIEW are taken over, so that no trigger ever runs. A large table costs no more than a small one: its first
rows are read, long values cut. `data/schema.py` describes databases for prompts; filling one takes
more: NOT NULL, what is unique, which columns are generated, and foreign keys of several columns whole,
where a schema lists single pairs.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from data.schema import open_read_only, require_sqlite
from eval.facts import Place, number
from eval.sandbox import Row, Value

ROWS_READ = 2000  # of each table
VALUES_KEPT = 200  # of each column
LONGEST_TEXT = 1000
_TAKEN_OVER = re.compile(r"\s*CREATE\s+(TABLE|(UNIQUE\s+)?INDEX|VIEW)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """One column that can be written. `own` are values that the source holds, each once, NULL apart."""

    name: str
    affinity: str
    nullable: bool
    holds_null: bool
    own: tuple[Value, ...]


@dataclass(frozen=True)
class Key:
    """A foreign key: columns of a table, and those of the parent that they point to, in lower case."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One table: `alone` are the columns that are unique each by itself, in lower case."""

    name: str
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]
    alone: frozenset[str]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Source:
    """What fuzzing needs of a database: statements that make it, tables with parents before children."""

    statements: tuple[str, ...]
    tables: tuple[Table, ...]

    def values(self) -> dict[Place, tuple[Value, ...]]:
        """What each column of the source holds."""
        return {
            (table.name.lower(), column.name.lower()): column.own for table in self.tables for column in table.columns
        }


def read_source(path: Path) -> Source:
    """Reads a database, opened read-only. Raises UserError where it cannot be read."""
    require_sqlite(path)
    try:
        connection = open_read_only(path)
        connection.text_factory = lambda raw: raw.decode("utf-8", errors="ignore")
        try:
            listed = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            # Views last: they may name any table.
            listed.sort(key=lambda item: ("table", "index", "view", "trigger").index(item[0]))
            kept = [item for item in listed if _TAKEN_OVER.match(item[2]) and not item[1].lower().startswith("sqlite_")]
            tables = [_read_table(connection, name) for kind, name, _ in kept if kind == "table"]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    return Source(tuple(sql for _, _, sql in kept), tuple(_parents_first(tables)))


def _read_table(connection: sqlite3.Connection, name: str) -> Table:
    # Hidden columns are generated, and nothing can be written into them.
    info = connection.execute(
        'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden = 0', (name,)
    ).fetchall()
    listed = ", ".join(_cut(quote(column)) for column, *_ in info)
    rows = connection.execute(f"SELECT {listed} FROM {quote(name)} LIMIT {ROWS_READ}").fetchall() if info else []
    uniques = [
        [column for (column,) in connection.execute("SELECT name FROM pragma_index_info(?)", (index,))]
        for (index,) in connection.execute('SELECT name FROM pragma_index_list(?) WHERE "unique"', (name,))
    ] + [[column for column, _, _, rank in info if rank]]
    alone = {columns[0].lower() for columns in uniques if len(columns) == 1 and columns[0]}
    columns = tuple(
        Column(
            column,
            _affinity(kind or ""),
            nullable=not required and not rank,
            holds_null=any(row[place] is None for row in rows),
            own=_sample(row[place] for row in rows),
        )
        for place, (column, kind, required, rank) in enumerate(info)
    )
    return Table(name, columns, tuple(_read_keys(connection, name)), frozenset(alone), tuple(rows))


def _cut(column: str) -> str:
    """SQL for a column's value, so long at the most that it can be told from one that is not too long."""
    long = f"typeof({column}) IN ('text', 'blob') AND length(CAST({column} AS BLOB)) > {4 * LONGEST_TEXT}"
    return f"CASE WHEN {long} THEN substr({column}, 1, {LONGEST_TEXT + 1}) ELSE {column} END"


def _sample(values: Iterator[Value]) -> tuple[Value, ...]:
    """Different values, evenly taken; text and bytes that are too long are left out."""
    short = (value for value in values if not isinstance(value, str | bytes) or len(value) <= LONGEST_TEXT)
    different = [value for value in dict.fromkeys(short) if value is not None]
    return tuple(different[:: max(len(different) // VALUES_KEPT, 1)][:VALUES_KEPT])


def _read_keys(connection: sqlite3.Connection, name: str) -> Iterator[Key]:
    query = 'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq'
    pairs: dict[int, list[tuple[str, str, str | None]]] = {}
    for key, parent, column, target in connection.execute(query, (name,)):
        pairs.setdefault(key, []).append((parent.lower(), column.lower(), target and target.lower()))
    for listed in pairs.values():
        parent = listed[0][0]
        primary = connection.execute("SELECT lower(name) FROM pragma_table_info(?) WHERE pk ORDER BY pk", (parent,))
        targets = [target for _, _, target in listed]
        named = [target for target in targets if target] or [column for (column,) in primary]
        if len(named) == len(listed):
            yield Key(tuple(column for _, column, _ in listed), parent, tuple(named))


def _affinity(kind: str) -> str:
    """SQLite's rules for a declared type (https://sqlite.org/datatype3.html, section 3.1)."""
    kind = kind.upper()
    for affinity, marks in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(mark in kind for mark in marks):
            return affinity
    return "NUMERIC" if kind else "BLOB"


def _parents_first(tables: Sequence[Table]) -> list[Table]:
    by_name = {table.name.lower(): table for table in tables}
    ordered: dict[str, Table] = {}
    entered: set[str] = set()

    def visit(table: Table) -> None:
        name = table.name.lower()
        if name in entered:  # done, or a cycle: its keys are mended once all tables are filled
            return
        entered.add(name)
        for key in table.keys:
            if key.parent in by_name:
                visit(by_name[key.parent])
        ordered[name] = table

    for table in tables:
        visit(table)
    return list(ordered.values())


def quote(name: str) -> str:
    """A name as SQL spells it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def fits(value: Value, column: Column) -> bool:
    """Whether the column's type, or what the source holds in it, allows such a value."""
    if isinstance(value, bytes):
        return column.affinity == "BLOB"
    if column.affinity in ("TEXT", "BLOB"):
        return True
    stored = cast(value, column)
    if isinstance(stored, str):
        return any(isinstance(own, str) for own in column.own)
    whole = column.affinity == "INTEGER" and isinstance(stored, float) and not stored.is_integer()
    return not whole or any(isinstance(own, float) for own in column.own)


def cast(value: Value, column: Column) -> Value:
    """The value as the column would store it."""
    if column.affinity == "TEXT" and isinstance(value, int | float):
        return str(value)
    if column.affinity not in ("TEXT", "BLOB") and isinstance(value, str):
        found = number(value)
        return value if found is None else found
    return value
