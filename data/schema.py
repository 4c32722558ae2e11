"""The schema of one database, as prompts describe it.

Reads an SQLite file's own catalogue, since Spider's `tables.json` keeps one key column a table and
coarse types; that file is the fallback where a database is missing. Writes nothing.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from data.errors import UserError

SQLITE_HEADER = b"SQLite format 3\x00"
# Tables in the order of the file, without those in which virtual tables keep their parts; then views.
TABLES = """
SELECT listed.name, listed.type FROM sqlite_master AS known
JOIN pragma_table_list AS listed ON listed.name = known.name AND listed.schema = 'main'
WHERE known.type IN ('table', 'view') AND listed.type <> 'shadow' ORDER BY known.type, known.rowid
"""
# `hidden` is 2 or 3 for generated columns, and 1 for those that only a virtual table's queries can name.
COLUMNS = "SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden <> 1"
STORED = """
SELECT listed.name, held.name FROM pragma_table_list AS listed JOIN pragma_table_info(listed.name) AS held
WHERE listed.schema = 'main' AND listed.type = 'table' AND listed.name NOT LIKE 'sqlite^_%' ESCAPE '^'
"""
Read = TypeVar("Read")


@dataclass(frozen=True)
class Column:
    """One column; `type` as declared, "" where the column has none.

    `meaning` and `values`, some of what it holds, are what a prompt says of it beyond its type.
    """

    name: str
    type: str
    meaning: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForeignKey:
    """One column pair of a foreign key, of the table that holds it."""

    column: str
    parent_table: str
    parent_column: str


@dataclass(frozen=True)
class Table:
    """One table or view; columns and foreign keys in declared order."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    foreign_keys: tuple[ForeignKey, ...]


@dataclass(frozen=True)
class Schema:
    """The tables of one database, in schema order."""

    db_id: str
    tables: tuple[Table, ...]

    def subset(self, shown: Mapping[str, Collection[str] | None]) -> "Schema":
        """Only the tables named, each with the columns named (None: all), in schema order.

        A primary key stays where all its columns stay, a foreign key where its column does.
        """
        return replace(
            self, tables=tuple(_narrow(table, shown[table.name]) for table in self.tables if table.name in shown)
        )


@dataclass(frozen=True)
class KeyPairs:
    """Foreign keys as pairs of places in `columns`, the "table.column" names of a database in lower case."""

    columns: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]


def key_pairs(schema: Schema) -> KeyPairs:
    """The foreign keys of a schema in its order; one that points nowhere is passed over."""
    columns = [f"{table.name}.{column.name}".lower() for table in schema.tables for column in table.columns]
    places = {name: place for place, name in reversed(list(enumerate(columns)))}
    ends = [
        (f"{table.name}.{key.column}".lower(), f"{key.parent_table}.{key.parent_column}".lower())
        for table in schema.tables
        for key in table.foreign_keys
    ]
    pairs = ((places[child], places[parent]) for child, parent in ends if child in places and parent in places)
    return KeyPairs(tuple(columns), tuple(pairs))


def _narrow(table: Table, names: Collection[str] | None) -> Table:
    if names is None:
        return table
    return replace(
        table,
        columns=tuple(column for column in table.columns if column.name in names),
        primary_key=table.primary_key if set(table.primary_key) <= set(names) else (),
        foreign_keys=tuple(key for key in table.foreign_keys if key.column in names),
    )


def require_sqlite(path: Path) -> None:
    """Raises UserError unless the file is there and starts as SQLite files do."""
    if not path.is_file():
        raise UserError(f"{path}: no such database file")
    with path.open("rb") as file:
        if file.read(len(SQLITE_HEADER)) != SQLITE_HEADER:
            raise UserError(
                f"{path}: not an SQLite database (a text file named .sqlite?); build one with: sqlite3 FILE < SCRIPT.sql"
            )


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection to an SQLite file that can change nothing, nor leave anything beside it."""
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1", uri=True)


def read_sqlite(path: Path, db_id: str | None = None) -> Schema:
    """The schema of an SQLite file, opened read-only. Raises UserError where it cannot be read.

    A view of what is not there, and a virtual table whose module is not, are left out: no query can use them.
    """
    require_sqlite(path)
    try:
        connection = open_read_only(path)
        try:
            listed = [row for row in connection.execute(TABLES) if not row[0].lower().startswith("sqlite_")]
            read = [_read_table(connection, name, kind == "table") for name, kind in listed]
            tables = _add_foreign_keys(connection, [table for table in read if table])
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise UserError(f"{path}: cannot read the schema: {error}") from error
    return Schema(db_id or path.stem, tables)


def stored_columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Tables and columns whose values lie in the file; none where it is damaged.

    To read the others would run a stranger's expressions.
    """
    try:
        return set(connection.execute(STORED))
    except sqlite3.Error:
        return set()


def _read_table(connection: sqlite3.Connection, name: str, sure: bool) -> Table | None:
    try:
        info = connection.execute(COLUMNS, (name,)).fetchall()
    except sqlite3.OperationalError:
        if sure:
            raise
        return None
    return Table(
        name,
        columns=tuple(Column(column, kind or "") for column, kind, _ in info),
        primary_key=tuple(column for column, _, rank in sorted(info, key=lambda row: row[2]) if rank),
        foreign_keys=(),
    )


def _add_foreign_keys(connection: sqlite3.Connection, tables: list[Table]) -> tuple[Table, ...]:
    """Each table with its keys; both ends under the names that their own tables give them."""
    by_name = {table.name.lower(): table for table in tables}

    def key(child: Table, column: str, parent_name: str, parent_column: str | None, place: int) -> ForeignKey:
        parent = by_name.get(parent_name.lower())
        if parent_column is None:  # the parent's primary key is meant
            keys = parent.primary_key if parent else ()
            parent_column = keys[place] if place < len(keys) else column
        if parent is None:
            return ForeignKey(_own_name(child, column), parent_name, parent_column)
        return ForeignKey(_own_name(child, column), parent.name, _own_name(parent, parent_column))

    # SQLite numbers foreign keys from the last declared to the first.
    query = 'SELECT "from", "table", "to", seq FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq'
    return tuple(
        replace(table, foreign_keys=tuple(key(table, *row) for row in connection.execute(query, (table.name,))))
        for table in tables
    )


def _own_name(table: Table, column: str) -> str:
    """A column as its table spells it, whatever the case of the reference."""
    return next((own.name for own in table.columns if own.name.lower() == column.lower()), column)


def read_tables_json(path: Path) -> dict[str, Schema]:
    """The schemas that Spider's `tables.json` describes, by database: types coarse, one key column a table."""
    return _read_entries(path, _from_entry)


def read_key_pairs(path: Path) -> dict[str, KeyPairs]:
    """The foreign keys that Spider's `tables.json` lists, by database, in the order of the file."""
    return _read_entries(path, _pairs_from_entry)


def _read_entries(path: Path, read: Callable[[dict[str, Any]], Read]) -> dict[str, Read]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {entry["db_id"]: read(entry) for entry in entries}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: not in the layout of Spider's tables.json ({type(error).__name__}: {error})"
        ) from error


def _pairs_from_entry(entry: dict[str, Any]) -> KeyPairs:
    tables = entry["table_names_original"]
    names = (f"{tables[table]}.{column}" if table >= 0 else column for table, column in entry["column_names_original"])
    columns = tuple(name.lower() for name in names)
    pairs = tuple((child, parent) for child, parent in entry["foreign_keys"])
    if any(place not in range(len(columns)) for pair in pairs for place in pair):
        raise IndexError(f"a foreign key of {entry['db_id']} names a column that is not there")
    return KeyPairs(columns, pairs)


def _from_entry(entry: dict[str, Any]) -> Schema:
    columns = entry["column_names_original"]
    # Newer files give a composite key as a list of columns.
    flat = [index for key in entry["primary_keys"] for index in (key if isinstance(key, list) else [key])]
    tables = tuple(
        Table(
            name,
            columns=tuple(
                Column(column, kind)
                for (table, column), kind in zip(columns, entry["column_types"], strict=True)
                if table == place
            ),
            primary_key=tuple(columns[index][1] for index in flat if columns[index][0] == place),
            foreign_keys=tuple(
                ForeignKey(columns[child][1], entry["table_names_original"][columns[parent][0]], columns[parent][1])
                for child, parent in entry["foreign_keys"]
                if columns[child][0] == place
            ),
        )
        for place, name in enumerate(entry["table_names_original"])
    )
    return Schema(entry["db_id"], tables)
