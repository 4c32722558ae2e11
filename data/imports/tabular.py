"""CSV, TSV and Parquet files, each as a table of one SQLite database.

Reads a file twice, a batch at a time: once for what its columns hold, once for the rows. Keys are
inferred (`data/imports/keys.py`), as such files say nothing of keys and prompts need them.
"""

import csv
import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.imports.building import create_table, quoted, same_but_for_case
from data.imports.columns import PLAIN, TEXT, Column, Reading, is_exact
from data.imports.delimited import read_delimited
from data.imports.keys import infer_keys
from data.imports.rows import one_line

BATCH = 1_000
MAX_COLUMNS = 2_000  # SQLite's own limit
MAX_NAME = 200
EXACT_DIGITS = 15  # that SQLite keeps of any number with decimals

Cell = int | float | str | bytes | None
Found = tuple[str, Reading, str]  # a column's name, how it is read, and a note


@dataclass(frozen=True)
class Loaded:
    """One table as it was read: names and types of its columns, and notes on them."""

    name: str
    columns: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


def load_tables(paths: Sequence[Path], connection: sqlite3.Connection, scratch: Path) -> tuple[str, ...]:
    """Fills an empty database with a table a file; notes on columns, and on keys that were inferred.

    `scratch` is a file that may be written while this runs. Raises UserError naming file and row.
    """
    names = [path.stem for path in paths]
    clash = same_but_for_case(names)
    if clash:
        raise UserError(f"{paths[0].parent}: several files would be the table {clash[0]}; rename all but one")
    connection.execute("ATTACH ? AS scratch", (str(scratch),))
    connection.execute("PRAGMA scratch.journal_mode = OFF")
    connection.execute("PRAGMA scratch.synchronous = OFF")
    try:
        tables = [_load(path, connection) for path in paths]
        keys = infer_keys({table.name: table.columns for table in tables}, connection)
        for table in tables:
            own = keys[table.name]
            connection.execute("BEGIN")
            primary_key = (own.primary,) if own.primary else ()
            connection.execute(create_table(table.name, table.columns, primary_key, keys=own.foreign))
            rows = f"SELECT * FROM scratch.{quoted(table.name)} ORDER BY rowid"
            connection.execute(f"INSERT INTO main.{quoted(table.name)} {rows}")
            connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("DETACH scratch")
    return tuple(note for table in tables for note in (*table.notes, *keys[table.name].notes(table.name)))


def _load(path: Path, connection: sqlite3.Connection) -> Loaded:
    """One file into a table of the scratch database."""
    name = path.stem
    if not name.isprintable() or len(name) > MAX_NAME or name.lower().startswith("sqlite_"):
        raise UserError(f"{path}: its name cannot be a table's; rename the file")
    is_parquet = path.suffix.lower() == ".parquet"
    found = _parquet_columns(path) if is_parquet else _text_columns(path)
    columns = tuple((column, reading.kind) for column, reading, _ in found)
    _check_names(path, [column for column, _ in columns])
    readings = [reading for _, reading, _ in found]
    rows = _parquet_rows(path, readings) if is_parquet else _text_rows(path, readings)
    connection.execute("BEGIN")
    connection.execute(create_table(name, columns).replace("CREATE TABLE ", "CREATE TABLE scratch.", 1))
    places = ", ".join("?" * len(columns))
    try:
        while batch := list(islice(rows, BATCH)):
            connection.executemany(f"INSERT INTO scratch.{quoted(name)} VALUES ({places})", batch)
    except (sqlite3.Error, OverflowError) as error:
        raise UserError(f"{path}: cannot be put into SQLite: {error}") from error
    connection.execute("COMMIT")
    return Loaded(name, columns, tuple(f"{name}.{column}: {note}" for column, _, note in found if note))


def _check_names(path: Path, names: Sequence[str]) -> None:
    if not names:
        raise UserError(f"{path}: is empty; its first row must hold the names of the columns")
    if len(names) > MAX_COLUMNS:
        raise UserError(f"{path}: has {len(names):,} columns; SQLite takes {MAX_COLUMNS:,}")
    for place, name in enumerate(names, start=1):
        if not name or not name.isprintable() or len(name) > MAX_NAME:
            raise UserError(f"{path}: column {place} has no name, or one that is no line of text; mend the first row")
    clash = same_but_for_case(names)
    if clash:
        raise UserError(f"{path}: has the column {clash[0]} more than once (case aside); rename all but one")


def _text_columns(path: Path) -> tuple[Found, ...]:
    """Names from the first row, types from all the others."""
    rows = _cells(path)
    names = [name.strip() for name in next(rows, (1, []))[1]]
    columns = [Column() for _ in names]
    for number, row in rows:
        for column, cell in zip(columns, row, strict=True):
            if text := cell.strip():
                column.see(number, text)
    return tuple((name, *column.reading()) for name, column in zip(names, columns, strict=True))


def _text_rows(path: Path, readings: Sequence[Reading]) -> Iterator[tuple[Cell, ...]]:
    rows = _cells(path)
    next(rows)
    for _, row in rows:
        yield tuple(
            (cell if reading is TEXT else reading.value(text)) if (text := cell.strip()) else None
            for reading, cell in zip(readings, row, strict=True)
        )


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows with their numbers, the first being 1; empty ones are passed over."""
    width = None
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(read_delimited(path, file), start=1):
                width = width or len(row)
                if row and len(row) != width:
                    raise UserError(f"{path}: row {number} has {len(row)} cells, the first row has {width}")
                if row:
                    yield number, row
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: line {_bad_line(path)} is not valid UTF-8; save the file as UTF-8") from error
    except csv.Error as error:
        raise UserError(f"{path}: row {number + 1}: {error}") from error


def _bad_line(path: Path) -> int:
    """The first line that is not UTF-8; decoding runs ahead of the rows."""
    with path.open("rb") as file:
        lines = enumerate(file, start=1)
        return next(number for number, line in lines if line.decode("utf-8", "replace").encode() != line)


def _parquet(path: Path) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a Parquet file that can be read: {one_line(error)}") from error


def _parquet_columns(path: Path) -> tuple[Found, ...]:
    from pyarrow import types

    def kind(arrow: Any) -> str:
        tests = {
            "BOOLEAN": types.is_boolean,
            "INTEGER": types.is_integer,
            "REAL": types.is_floating,
            "NUMERIC": types.is_decimal,
            "DATE": types.is_date,
            "TIMESTAMP": types.is_timestamp,
            "TIME": types.is_time,
            "BLOB": lambda arrow: types.is_binary(arrow) or types.is_large_binary(arrow),
        }
        return next((name for name, test in tests.items() if test(arrow)), "TEXT")

    with _parquet(path) as file:
        schema = file.schema_arrow
    large = [
        place
        for place, entry in enumerate(schema)
        if types.is_uint64(entry.type) or (types.is_decimal(entry.type) and entry.type.precision > EXACT_DIGITS)
    ]
    told: dict[int, str] = {}
    for number, row in enumerate(_parquet_batches(path) if large else (), start=1):
        for place in large:
            if place not in told and not _fits(row[place]):
                told[place] = f"holds more digits than fit a number, kept as text (first: row {number}, {row[place]})"
    return tuple(
        (entry.name.strip(), TEXT if place in told else Reading(kind(entry.type), PLAIN, str), told.get(place, ""))
        for place, entry in enumerate(schema)
    )


def _fits(value: int | Decimal | None) -> bool:
    """Whether SQLite keeps all digits of a number."""
    return value < 2**63 if isinstance(value, int) else value is None or is_exact(f"{value:f}")


def _parquet_rows(path: Path, readings: Sequence[Reading]) -> Iterator[tuple[Cell, ...]]:
    for row in _parquet_batches(path):
        yield tuple(
            str(value) if reading is TEXT and value is not None else _cell(value)
            for reading, value in zip(readings, row, strict=True)
        )


def _parquet_batches(path: Path) -> Iterator[tuple[Any, ...]]:
    """The rows."""
    import pyarrow

    number = 0
    try:
        with _parquet(path) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield row
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{path}: after row {number}: cannot be read: {one_line(error)}") from error


def _cell(value: Any) -> Cell:
    """A value as SQLite keeps it: dates as ISO text, lists and structures as JSON."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if value is None or isinstance(value, str | bytes):
        return value
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)
