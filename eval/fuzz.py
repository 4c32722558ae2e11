"""Fuzzed copies of a database: its schema, filled with other rows.

Takes a database as `eval/source.py` reads it and what gold queries say about its columns; writes small
SQLite files that keep types, NOT NULL, unique and foreign keys. The same seed gives the same bytes.
The golds themselves are run in `eval/sandbox.py`, never here.
"""

import random
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import TypeVar

from data.errors import UserError
from eval.facts import Facts, Place, near, storable
from eval.sandbox import Value
from eval.source import LONGEST_TEXT, Column, Key, Source, Table, cast, fits, quote

OPCODES_MOST = 50_000_000  # one statement's; a hostile CHECK or generated column ends there
SIZES = (0, 1, 2, 3, 5, 8, 12, 20, 35, 60)
ROOM = 4  # rows tried for each row wanted, where keys refuse some
_Item = TypeVar("_Item")
# A key to a table that is not there holds in no database either.
_DANGLING = """SELECT DISTINCT rowid FROM pragma_foreign_key_check(?)
WHERE lower(parent) IN (SELECT lower(name) FROM sqlite_master WHERE type = 'table')"""


def fuzz(source: Source, aims: Sequence[Facts], seed: str, path: Path, plain: Path | None = None) -> None:
    """Writes one fuzzed database, its rows aimed at what `aims` say; at each in turn, row by row.

    `plain` gets the same rows in reverse order, in tables without keys or indexes: a query whose result
    differs there depends on the order in which SQLite happens to read.
    """
    connection = _memory()
    try:
        for statement in source.statements:
            connection.execute(statement)
        _Filler(connection, source, aims, seed).fill()
        connection.commit()
        path.write_bytes(connection.serialize())
        if plain:
            plain.write_bytes(_reversed(connection, source))
    except sqlite3.Error as error:
        raise UserError(f"its tables cannot be filled with other rows: {error}") from error
    finally:
        connection.close()


def _memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA page_size = 1024")
    connection.execute("PRAGMA secure_delete = ON")  # bytes of former rows would differ from run to run
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    # Called again only within one statement that goes on and on.
    connection.set_progress_handler(lambda: True, OPCODES_MOST)
    return connection


def _reversed(connection: sqlite3.Connection, source: Source) -> bytes:
    copy = _memory()
    try:
        for table in source.tables:
            query = "SELECT name, type FROM pragma_table_xinfo(?) WHERE hidden <> 1"  # generated columns, too
            columns = connection.execute(query, (table.name,)).fetchall()
            declared = ", ".join(f"{quote(name)} {quote(kind) if kind else ''}" for name, kind in columns)
            copy.execute(f"CREATE TABLE {quote(table.name)} ({declared})")
            listed = ", ".join(quote(name) for name, _ in columns)
            rows = connection.execute(f"SELECT {listed} FROM {quote(table.name)}").fetchall()
            marks = ", ".join("?" * len(columns))
            copy.executemany(f"INSERT INTO {quote(table.name)} VALUES ({marks})", reversed(rows))
        for statement in source.statements:
            if re.match(r"\s*CREATE\s+VIEW", statement, re.IGNORECASE):
                copy.execute(statement)
        copy.commit()
        return copy.serialize()
    finally:
        copy.close()


class _Filler:
    """Fills the tables of one new database. Every draw comes from one generator, in a fixed order."""

    def __init__(self, connection: sqlite3.Connection, source: Source, aims: Sequence[Facts], seed: str) -> None:
        self._connection, self._source, self._aims = connection, source, aims
        self._rng = random.Random(seed)
        self._links = self._linked(aims)
        self._ranked = {place for aim in aims for place in aim.ranked}
        self._counts = sorted({count + step for aim in aims for count in aim.counts for step in (-1, 0, 1)})
        self._aimed = self._rng.choice((0.3, 0.6, 0.9))  # the share of cells that take an aim's constant
        self._copied = self._rng.choice((0.0, 0.2, 0.6))  # the share of rows that start as one of the source's
        self._ties = self._rng.random() < 0.5
        self._filled: dict[str, list[dict[str, Value]]] = {}

    @staticmethod
    def _linked(aims: Sequence[Facts]) -> Mapping[Place, list[Place]]:
        links: dict[Place, list[Place]] = {}
        for aim in aims:
            for left, right in aim.links:
                links.setdefault(left, []).append(right)
                links.setdefault(right, []).append(left)
        return {place: list(dict.fromkeys(others)) for place, others in links.items()}

    def fill(self) -> None:
        for table in self._source.tables:
            if table.columns:
                self._fill_table(table)
        for table in self._source.tables:
            self._mend(table)
        self._drop_dangling()

    def _fill_table(self, table: Table) -> None:
        rng, name = self._rng, table.name.lower()
        wanted = rng.choice(SIZES[1:] if rng.random() < 0.95 else SIZES[:1])
        streams = {column.name.lower(): self._stream(table, column) for column in table.columns}
        parents = {key: self._parents(table, key) for key in table.keys}
        nulls = {column.name.lower(): rng.choice((0.0, 0.0, 0.1, 0.4)) for column in table.columns}
        listed = ", ".join(quote(column.name) for column in table.columns)
        marks = ", ".join("?" * len(table.columns))
        insert = f"INSERT OR IGNORE INTO {quote(table.name)} ({listed}) VALUES ({marks})"
        kept = 0
        for _ in range(ROOM * wanted):
            if kept == wanted:
                break
            row = self._row(table, streams, parents, nulls)
            cells = [row[column.name.lower()] for column in table.columns]
            with suppress(sqlite3.IntegrityError):  # text where an INTEGER PRIMARY KEY or a STRICT table takes none
                kept += self._connection.execute(insert, cells).rowcount
        # As stored: a column's affinity may have changed a value.
        rows = self._connection.execute(f"SELECT {listed} FROM {quote(table.name)}").fetchall()
        self._filled[name] = [
            {column.name.lower(): value for column, value in zip(table.columns, row, strict=True)} for row in rows
        ]

    def _row(
        self,
        table: Table,
        streams: Mapping[str, Iterator[Value]],
        parents: Mapping[Key, Iterator[dict[str, Value]] | None],
        nulls: Mapping[str, float],
    ) -> dict[str, Value]:
        rng, name = self._rng, table.name.lower()
        aim = rng.choice(self._aims) if self._aims else Facts()
        base = rng.choice(table.rows) if table.rows and rng.random() < self._copied else None
        row: dict[str, Value] = {}
        for place, column in enumerate(table.columns):
            own = column.name.lower()
            drawn = next(streams[own])
            named = (aim.constants if rng.random() < 0.5 else aim.around).get((name, own), ())
            constants = [value for value in named if value is None or fits(value, column)]
            if constants and rng.random() < self._aimed:
                drawn = rng.choice(constants)
            elif base is not None and own not in table.alone and rng.random() < 0.8:
                drawn = base[place]
            elif rng.random() < nulls[own]:
                drawn = None
            row[own] = next(streams[own]) if drawn is None and not column.nullable else drawn
        self._point(table, parents, nulls, row)
        return row

    def _point(
        self,
        table: Table,
        parents: Mapping[Key, Iterator[dict[str, Value]] | None],
        nulls: Mapping[str, float],
        row: dict[str, Value],
    ) -> None:
        """Makes the row's foreign keys point to rows of their parents, or to nothing."""
        nullable = self._optional(table)
        pointed: set[str] = set()
        for key in table.keys:
            rows, free = parents[key], [column for column in key.columns if column not in pointed]
            if rows is None or not free or not set(key.columns) <= set(row):
                continue
            parent = next(rows)
            pairs = dict(zip(key.columns, key.parent_columns, strict=True))
            if set(free) <= nullable and self._rng.random() < nulls[free[0]]:
                row.update(dict.fromkeys(free))
            else:
                row.update({column: parent.get(pairs[column]) for column in free})
            pointed |= set(free)

    def _optional(self, table: Table) -> set[str]:
        """Columns whose foreign key may be NULL: such rows make joins that golds hold needless matter."""
        asked = {place for aim in self._aims for place, values in aim.constants.items() if None in values}
        return {
            own
            for column in table.columns
            if (own := column.name.lower())
            and column.nullable
            and (column.holds_null or not table.rows or (table.name.lower(), own) in asked)
        }

    def _parents(self, table: Table, key: Key) -> Iterator[dict[str, Value]] | None:
        rows = [
            row for row in self._filled.get(key.parent, []) if all(row.get(c) is not None for c in key.parent_columns)
        ]
        if not rows:
            return None
        if len(key.columns) == 1 and key.columns[0] in table.alone:  # a parent has one child at the most
            return cycle(self._rng.sample(rows, len(rows)))
        return self._runs(self._narrowed(rows))

    def _narrowed(self, items: list[_Item]) -> list[_Item]:
        """All of them or a few: few give ties and groups, and leave the others without a match."""
        most = self._rng.choice((1, 2, 3, 5, 10, 1000))
        return self._rng.sample(items, min(most, len(items)))

    def _runs(self, items: list[_Item]) -> Iterator[_Item]:
        """Draws for ever; in every second column an item comes several times, so that groups have sizes."""
        rng, sizes = self._rng, [1, 1, 2, 3, *(count for count in self._counts if 0 < count <= SIZES[-1])]
        repeated = rng.random() < 0.5
        while True:
            item = rng.choice(items)
            for _ in range(rng.choice(sizes) if repeated else 1):
                yield item

    def _stream(self, table: Table, column: Column) -> Iterator[Value]:
        """Values for one column, for as long as rows are wanted."""
        place = (table.name.lower(), column.name.lower())
        linked = [
            value
            for other in self._links.get(place, ())
            for row in self._filled.get(other[0], ())
            if (value := row.get(other[1])) is not None and fits(value, column)
        ]
        if linked and place[1] not in table.alone and self._rng.random() < 0.7:
            return self._runs(self._narrowed(list(dict.fromkeys(linked))))
        pool = list(dict.fromkeys([*linked, *self._pool(place, column)]))
        if place[1] in table.alone:
            return self._spread(column, pool)
        if place in self._ranked and not self._ties:
            return self._spread(column, pool)
        return self._runs(self._narrowed(pool))

    def _pool(self, place: Place, column: Column) -> list[Value]:
        rng = self._rng
        constants = [value for aim in self._aims for value in aim.around.get(place, ()) if value is not None]
        own = rng.sample(column.own, min(30, len(column.own)))
        altered = [other for value in rng.sample(own, min(3, len(own))) for other in near(value)]
        pool = [cast(value, column) for value in (*constants, *own, *altered) if fits(value, column)]
        if not own:
            pool += ["a1", "a2", "b1", "b2"] if column.affinity == "TEXT" else range(1, 9)
        return pool or ["" if column.affinity == "TEXT" else 0]

    def _spread(self, column: Column, pool: list[Value]) -> Iterator[Value]:
        """Values that hardly ever come twice."""
        rng = self._rng
        shuffled = rng.sample(pool, len(pool))
        numbers = [value for value in pool if isinstance(value, int | float)]
        yield from shuffled
        while True:
            if column.affinity in ("TEXT", "BLOB") or not numbers:
                text = str(rng.choice(shuffled)) if shuffled else ""
                yield f"{text[:LONGEST_TEXT]}{rng.randrange(1000)}"
            elif all(isinstance(value, int) for value in numbers):
                yield storable(rng.randint(int(min(numbers)) - 5, int(max(numbers)) + 100))
            else:
                yield round(rng.uniform(min(numbers), max(numbers) + 1), 2)

    def _mend(self, table: Table) -> None:
        """Foreign keys of a cycle, whose parents came after their children, get parents."""
        order = [other.name.lower() for other in self._source.tables]
        for key in table.keys:
            if key.parent not in order or order.index(key.parent) < order.index(table.name.lower()):
                continue
            parents = self._parents(table, key)
            nullable = self._optional(table)
            assigned = ", ".join(f"{quote(column)} = ?" for column in key.columns)
            update = f"UPDATE OR IGNORE {quote(table.name)} SET {assigned} WHERE rowid = ?"
            for (row,) in self._rowids(table):
                parent = next(parents) if parents else {}
                if set(key.columns) <= nullable and self._rng.random() < 0.3:
                    parent = {}
                self._connection.execute(update, [*(parent.get(column) for column in key.parent_columns), row])

    def _rowids(self, table: Table) -> list[tuple[int]]:
        try:
            return self._connection.execute(f"SELECT rowid FROM {quote(table.name)}").fetchall()
        except sqlite3.OperationalError:  # WITHOUT ROWID
            return []

    def _drop_dangling(self) -> None:
        """Deletes rows that point to no parent, until every key holds."""
        dangling = True
        while dangling:
            dangling = False
            for table in self._source.tables:
                for (row,) in self._dangling(table):
                    where = "" if row is None else " WHERE rowid = ?"  # no rowid: the table is emptied
                    self._connection.execute(f"DELETE FROM {quote(table.name)}{where}", [] if row is None else [row])
                    dangling = True

    def _dangling(self, table: Table) -> list[tuple[int | None]]:
        try:
            return self._connection.execute(_DANGLING, (table.name,)).fetchall()
        except sqlite3.OperationalError:  # a key whose parent columns are not unique holds in no database
            return []
