"""Keys of tables in files that say nothing of keys, as CSV and Parquet: declared where names and values agree on them.

Reads the tables as they lie in the scratch database; writes nothing.
"""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from data.imports.building import Key, quoted

KINDS = ("INTEGER", "TEXT")  # of columns that may be keys

Columns = Sequence[tuple[str, str]]  # their names and types


@dataclass(frozen=True)
class Keys:
    """Those of one table; "" where no primary key was found."""

    primary: str = ""
    foreign: tuple[Key, ...] = ()

    def notes(self, table: str) -> Iterator[str]:
        if self.primary:
            yield f"{table}: primary key {self.primary} (inferred)"
        for key in self.foreign:
            yield f"{table}: foreign key {key.columns[0]} -> {key.parent}.{key.parent_columns[0]} (inferred)"


def infer_keys(tables: Mapping[str, Columns], connection: sqlite3.Connection) -> dict[str, Keys]:
    """The keys by table: first those that the tables' names tell, then those that columns of one name tell."""
    values = _Values(connection)
    primary = {name: _named_key(name, columns, values) for name, columns in tables.items()}
    foreign = {name: list(_by_tables_name(name, tables, primary, values)) for name in tables}
    for name in tables:
        found = {column for key in foreign[name] for column in key.columns}
        for key in _by_columns_name(name, tables, primary, values):
            if not found & {*key.columns}:
                foreign[name].append(key)
                primary[key.parent] = key.parent_columns[0]
    return {name: Keys(primary[name], tuple(foreign[name])) for name in tables}


class _Values:
    """What the columns of the scratch database hold."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._unique: dict[tuple[str, str], bool] = {}

    def are_unique(self, table: str, column: str) -> bool:
        """Whether there are values, in every row, and all differ."""
        if (table, column) not in self._unique:
            name = quoted(column)
            query = f"SELECT count(*), count({name}), count(DISTINCT {name}) FROM scratch.{quoted(table)}"
            rows, filled, different = self._connection.execute(query).fetchone()
            self._unique[table, column] = bool(rows) and rows == filled == different
        return self._unique[table, column]

    def are_all_in(self, table: str, column: str, parent: str, key: str) -> bool:
        """Whether there are values, and each is one of the parent's key."""
        name = quoted(column)
        query = (
            f"SELECT count({name}), count(CASE WHEN {name} IN (SELECT {quoted(key)}"
            f" FROM scratch.{quoted(parent)}) THEN 1 END) FROM scratch.{quoted(table)}"
        )
        filled, known = self._connection.execute(query).fetchone()
        return bool(filled) and filled == known


def _named_key(table: str, columns: Columns, values: _Values) -> str:
    """`id` or the table's own name with `_id`, if its values are there and differ; else ""."""
    names = {column.lower(): column for column, kind in columns if kind in KINDS}
    wanted = ["id", *(f"{name}{end}" for name in _singulars(table) for end in ("_id", "id"))]
    found = (names[name] for name in wanted if name in names)
    return next((column for column in found if values.are_unique(table, column)), "")


def _by_tables_name(
    table: str, tables: Mapping[str, Columns], primary: Mapping[str, str], values: _Values
) -> Iterator[Key]:
    """Columns named after exactly one other table's key, all of whose values are in that key."""
    for column, kind in tables[table]:
        match = re.fullmatch(r"(.+)_id", column, re.IGNORECASE) or re.fullmatch(r"(.*[a-z])I[dD]", column)
        meant = [
            other
            for other in tables
            if match and other != table and primary[other] and match[1].lower() in _singulars(other)
        ]
        if len(meant) != 1 or kind != dict(tables[meant[0]])[primary[meant[0]]]:
            continue
        key = primary[meant[0]]
        if values.are_all_in(table, column, meant[0], key):
            yield Key((column,), meant[0], (key,))


def _by_columns_name(
    table: str, tables: Mapping[str, Columns], primary: Mapping[str, str], values: _Values
) -> Iterator[Key]:
    """Columns that have the name of exactly one other table's unique column, which may be its key, and no values beside."""
    for column, kind in tables[table]:
        meant = [
            (other, name)
            for other, columns in tables.items()
            for name, its_kind in columns
            if other != table and name.lower() == column.lower() and kind == its_kind in KINDS
            if values.are_unique(other, name)
        ]
        if len(meant) != 1 or column.lower() == "id":
            continue
        (parent, name) = meant[0]
        # Where it may be the key of both, nothing tells which of them names the other.
        is_own_key = column in (primary[table], _likely_key(table, tables[table], values))
        may_be_key = name == (primary[parent] or _likely_key(parent, tables[parent], values))
        if may_be_key and not is_own_key and values.are_all_in(table, column, parent, name):
            yield Key((column,), parent, (name,))


def _likely_key(table: str, columns: Columns, values: _Values) -> str:
    """The first column if it is unique, else the only one that is; "" where there is none."""
    unique = [column for column, kind in columns if kind in KINDS and values.are_unique(table, column)]
    return unique[0] if unique and (unique[0] == columns[0][0] or len(unique) == 1) else ""


def _singulars(name: str) -> list[str]:
    """A table's name, and what one of its rows may be called: cities -> city, boxes -> box."""
    name = name.lower()
    ends = [("ies", "y"), ("es", ""), ("s", "")]
    return [name, *(name.removesuffix(end) + other for end, other in ends if name.endswith(end) and len(name) > 3)]
