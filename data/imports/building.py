"""A new SQLite file, whole or not at all.

What is imported from elsewhere is written beside its place and renamed when all went well, so that a
failure leaves nothing. Also holds how names and tables are spelled in SQLite's SQL.
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError


@dataclass(frozen=True)
class Key:
    """A foreign key, its columns pairwise."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@contextmanager
def new_database(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that takes its name at the end. Raises UserError where there is one already."""
    if path.exists():
        raise UserError(f"{path}: is there already; remove it or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    connection = sqlite3.connect(partial, isolation_level=None)
    try:
        # Nothing beside the file: it is thrown away if anything goes wrong.
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA foreign_keys = OFF")
        yield connection
        connection.close()
        partial.replace(path)
    finally:
        connection.close()
        partial.unlink(missing_ok=True)


def quoted(name: str) -> str:
    """A name as SQLite's and PostgreSQL's SQL spell it whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def create_table(
    name: str,
    columns: Sequence[tuple[str, str]],
    primary_key: Sequence[str] = (),
    unique: Iterable[Sequence[str]] = (),
    keys: Iterable[Key] = (),
) -> str:
    """The CREATE TABLE statement; `columns` are names and what follows them, as "INTEGER NOT NULL"."""
    parts = [f"{quoted(column)} {declared}".rstrip() for column, declared in columns]
    if primary_key:
        parts.append(f"PRIMARY KEY ({listed(primary_key)})")
    parts += [f"UNIQUE ({listed(group)})" for group in unique]
    parts += [
        f"FOREIGN KEY ({listed(key.columns)}) REFERENCES {quoted(key.parent)} ({listed(key.parent_columns)})"
        for key in keys
    ]
    return f"CREATE TABLE {quoted(name)} (\n  " + ",\n  ".join(parts) + "\n)"


def create_view(connection: sqlite3.Connection, name: str, columns: Sequence[str], query: str) -> str:
    """Makes a view, with the query's names where there are no `columns`; why it cannot be had, or "" where it can."""
    try:
        connection.execute(f"CREATE VIEW {quoted(name)}{f' ({listed(columns)})' if columns else ''} AS {query}")
    except sqlite3.Error as error:
        return str(error)
    try:
        connection.execute(f"SELECT * FROM {quoted(name)} LIMIT 0")
    except sqlite3.Error as error:
        connection.execute(f"DROP VIEW {quoted(name)}")
        return str(error)
    return ""


def same_but_for_case(names: Iterable[str]) -> tuple[str, ...]:
    """The names that SQLite takes for one name, which other systems keep apart."""
    names = list(names)
    counts = Counter(name.lower() for name in names)
    return tuple(name for name in names if counts[name.lower()] > 1)
