"""A PostgreSQL or MySQL database as an SQLite file: its schema, what it says of columns, some of its rows.

Reads a server in one read-only transaction with a limit on the time of a statement; writes a new SQLite
file. The rows taken hold their foreign keys: parents that a sampled row needs are fetched after it, and a
row whose parents cannot be had is dropped. No message holds a password.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data.errors import UserError
from data.imports import mysql, postgres
from data.imports.building import Key, create_table, create_view, listed, new_database, quoted, same_but_for_case
from data.imports.catalogue import Address, Catalogue, Row, Server, ServerTable, View, column_meaning, read_address
from data.imports.dialects import Dialect, transpile_query
from data.meanings import Meaning

OPTIONS: dict[Dialect, tuple[str, ...]] = {"postgres": postgres.OPTIONS, "mysql": mysql.OPTIONS}
STATEMENT_SECONDS = 60.0
BATCH = 200
PARENTS = 10  # a table may grow to this many times the rows asked for, by parents of sampled rows
FEWEST_PARENTS = 1_000


@dataclass(frozen=True)
class ServerCopy:
    """What was copied: the schema's name, what columns mean, what is not in it."""

    path: Path
    dialect: Dialect
    schema: str
    meanings: tuple[Meaning, ...]
    notes: tuple[str, ...]


def copy_server(url: str, path: Path, rows: int = 0, schema: str | None = None) -> ServerCopy:
    """Writes the schema, and up to `rows` rows of each table with the parents they need, to a new file.

    Raises UsageError for a URL that is none, else UserError in one line; then nothing is written.
    """
    address = address_of(url)
    with connected(address, STATEMENT_SECONDS) as server:
        with _told(address, server, "reading the catalogue"):
            try:
                catalogue = server.catalogue(schema)
            except UserError as error:
                raise UserError(f"{address.shown}: {error}") from error
        _check(address, catalogue)
        with new_database(path) as connection:
            for table in catalogue.tables:
                columns = [(column.name, column.declared) for column in table.columns]
                connection.execute(create_table(table.name, columns, table.primary_key, table.unique, table.keys))
            notes = list(catalogue.notes)
            if rows > 0:
                notes += _Sample(address, server, catalogue, connection, rows).take()
            for view in catalogue.views:
                notes += _add_view(view, address, catalogue, connection)
    meanings = tuple(
        column_meaning(table.name, column.name, column.comment, column.values)
        for table in catalogue.tables
        for column in table.columns
        if column.comment.strip() or column.values
    )
    return ServerCopy(path, address.dialect, catalogue.schema, meanings, tuple(notes))


def address_of(url: str) -> Address:
    """Where a URL points. Raises UsageError for one that is none."""
    return read_address(url, OPTIONS)


@contextmanager
def connected(address: Address, seconds: float) -> Iterator[Server]:
    """A connection for one read-only transaction, whose statements may take so many seconds. Raises UserError."""
    kind = postgres.Postgres if address.dialect == "postgres" else mysql.MySQL
    server: Server = kind(address, seconds)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def _told(address: Address, server: Server, doing: str) -> Iterator[None]:
    """The driver's errors as one line that says what was being done."""
    try:
        yield
    except server.failures as error:
        raise address.error(f"{doing} (limit: {STATEMENT_SECONDS:.0f} s a statement)", error) from error


def _check(address: Address, catalogue: Catalogue) -> None:
    """SQLite takes names that differ in letter case for one name."""
    clashes = [("tables", same_but_for_case(table.name for table in catalogue.tables))]
    for table in catalogue.tables:
        clash = same_but_for_case(column.name for column in table.columns)
        clashes.append((f"columns of {table.name}", clash))
    for what, names in clashes:
        if names:
            raise UserError(
                f"{address.shown}: the {what} {' and '.join(names)} differ only in letter case, which SQLite "
                "cannot hold; rename one of them"
            )
    bad = next((table.name for table in catalogue.tables if table.name.lower().startswith("sqlite_")), None)
    if bad:
        raise UserError(f"{address.shown}: SQLite keeps names such as {bad} to itself; rename the table")
    empty = next((table.name for table in catalogue.tables if not table.columns), None)
    if empty:
        raise UserError(f"{address.shown}: the table {empty} has no column, which SQLite cannot hold")
    if not catalogue.tables:
        raise UserError(f"{address.shown}: {catalogue.schema} holds no tables")


def _count(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()
    return int(count)


def _add_view(view: View, address: Address, catalogue: Catalogue, connection: sqlite3.Connection) -> list[str]:
    """The view in SQLite's words; where there are none, or they do not run, a note why it is left out."""
    made = transpile_query(view.query.strip().rstrip(";"), address.dialect, catalogue.schema, connection)
    reason = create_view(connection, view.name, view.columns, made.query) if made.query else made.reason
    if reason:
        return [f"the view {view.name} is left out: {reason}"]
    return [f"the view {view.name}: {note}" for note in made.notes]


class _Sample:
    """The rows that are taken from one server into one new file."""

    def __init__(
        self, address: Address, server: Server, catalogue: Catalogue, connection: sqlite3.Connection, rows: int
    ) -> None:
        self._address, self._server, self._connection, self._rows = address, server, connection, rows
        self._tables = {table.name: table for table in catalogue.tables}
        self._most = max(PARENTS * rows, FEWEST_PARENTS)
        self._refused: dict[str, dict[str, str]] = {}  # by table the rows that SQLite does not take, and why

    def take(self) -> list[str]:
        """Fills the tables; notes on what could not be had."""
        self._connection.execute("BEGIN")
        for table in self._parents_first():
            if table.readable:
                with _told(self._address, self._server, f"reading {table.name}"):
                    self._add(table, self._server.rows(table, self._rows))
        while any(self._add_parents(child, key) for child, key in self._keys()):
            pass  # until none is missing: parents have parents
        notes = [f"{table.name}: its rows may not be read" for table in self._tables.values() if not table.readable]
        notes += [
            f"{name}: {len(rows)} sampled rows are left out, as SQLite does not take them: {next(iter(rows.values()))}"
            for name, rows in self._refused.items()
        ]
        notes += self._drop_orphans()
        self._connection.execute("COMMIT")
        return notes

    def _keys(self) -> list[tuple[ServerTable, Key]]:
        return [(table, key) for table in self._tables.values() for key in table.keys]

    def _parents_first(self) -> list[ServerTable]:
        """Each table after those that it points to, but for cycles."""
        ordered: dict[str, ServerTable] = {}
        for start in self._tables:
            path = [start]
            while path:
                waits_for = [key.parent for key in self._tables[path[-1]].keys]
                waiting = next((name for name in waits_for if name not in ordered and name not in path), None)
                if waiting is not None:
                    path.append(waiting)
                else:
                    name = path.pop()
                    ordered[name] = self._tables[name]
        return list(ordered.values())

    def _add(self, table: ServerTable, rows: Iterable[Row]) -> bool:
        """Whether any of the rows was new."""
        name, columns = quoted(table.name), listed(column.name for column in table.columns)
        places = ", ".join("?" * len(table.columns))
        before = self._connection.total_changes
        for row in rows:
            try:
                self._connection.execute(f"INSERT INTO {name} VALUES ({places})", row)
            except (sqlite3.IntegrityError, OverflowError) as error:
                # A row may come twice: in the sample, and as the parent of another.
                same = f"SELECT count(*) FROM {name} WHERE ({columns}) IS ({places})"
                if isinstance(error, OverflowError) or self._connection.execute(same, row).fetchone() == (0,):
                    self._refused.setdefault(table.name, {})[repr(row)] = str(error)
        return self._connection.total_changes > before

    def _add_parents(self, child: ServerTable, key: Key) -> bool:
        """Fetches the rows that a key of sampled rows points to and that are not there; whether any was."""
        parent = self._tables[key.parent]
        room = self._most - _count(self._connection, parent.name)
        if not parent.readable or room <= 0:
            return False
        found = self._connection.execute(
            f"SELECT DISTINCT {listed(key.columns)} FROM {quoted(child.name)} AS child WHERE {_lost(key)} LIMIT {room}"
        )
        missing = found.fetchall()
        added = False
        with _told(self._address, self._server, f"reading {parent.name}"):
            for start in range(0, len(missing), BATCH):
                rows = self._server.matching(parent, key.parent_columns, missing[start : start + BATCH])
                added = self._add(parent, islice(rows, room)) or added
        return added

    def _drop_orphans(self) -> list[str]:
        """Drops rows whose parents are not there, and then those that lost theirs by it."""
        before = {name: _count(self._connection, name) for name in self._tables}
        dropped = True
        while dropped:
            changes = self._connection.total_changes
            for child, key in self._keys():
                self._connection.execute(f"DELETE FROM {quoted(child.name)} AS child WHERE {_lost(key)}")
            dropped = self._connection.total_changes > changes
        lost = {name: count - _count(self._connection, name) for name, count in before.items()}
        return [
            f"{name}: {count} sampled rows are left out, as rows that they point to could not be had"
            for name, count in lost.items()
            if count
        ]


def _lost(key: Key) -> str:
    """The condition that a row of `child` points to a parent which is not there; a NULL points nowhere."""
    filled = [f"child.{quoted(column)} IS NOT NULL" for column in key.columns]
    pairs = zip(key.parent_columns, key.columns, strict=True)
    same = " AND ".join(f"parent.{quoted(theirs)} = child.{quoted(ours)}" for theirs, ours in pairs)
    return " AND ".join([*filled, f"NOT EXISTS (SELECT 1 FROM {quoted(key.parent)} AS parent WHERE {same})"])
