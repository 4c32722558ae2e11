"""The rows of one file, whatever its format: CSV, TSV, JSON, JSON lines, Parquet, SQLite or `Q:`/`A:` text.

Reads the whole file before it gives the first row, so that a file which breaks off is not half-read.
What a row means is for `data/imports/pairs.py` to say.
"""

import csv
import io
import json
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.imports.building import quoted
from data.imports.delimited import read_delimited
from data.imports.dialogues import transcript
from data.imports.guard import READING, guard, why
from data.queries import UTF8_MARK, UTF16_MARKS
from data.schema import SQLITE_HEADER, open_read_only, require_sqlite

MARK = "::"  # parts an SQLite file from its table or query
PARQUET_HEADER = b"PAR1"
SQLITE_SUFFIXES = (".sqlite", ".sqlite3", ".db", ".db3")
MAX_ROWS = 1_000_000  # of an SQLite file, as those of a view may have no end
MAX_BYTES = 256 * 2**20  # of text in them
SECONDS = 60.0
MESSAGE_LENGTH = 200
_QUERY = re.compile(r"\s*(?:select|with|values)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One row; `number` is the row's place from 1, or the line where the format is one of lines.

    In CSV it is what a spreadsheet shows: the header and empty rows count.
    """

    path: Path
    number: int
    cells: Mapping[str, object]

    def error(self, what: str) -> UserError:
        return UserError(f"{self.path}, row {self.number}: {what}")


def split_source(source: Path | str) -> tuple[Path, str | None]:
    """`FILE.sqlite::TABLE` or `FILE.sqlite::SELECT ...` in its two parts; None for the second where there is none."""
    path, mark, inside = str(source).partition(MARK)
    return Path(path), inside.strip() if mark else None


def read_rows(path: Path, inside: str | None = None) -> list[Row]:
    """The rows of one file; `inside` is the table or query of an SQLite file. Raises UserError naming file and row."""
    head, suffix = read_bytes(path, len(SQLITE_HEADER)), path.suffix.lower()
    if head == SQLITE_HEADER or suffix in SQLITE_SUFFIXES:
        return _sqlite_rows(path, inside)
    if inside is not None:
        raise UserError(f"{path}: is not an SQLite database; {MARK} names a table or query of one")
    if head.startswith(PARQUET_HEADER) or suffix == ".parquet":
        return _parquet_rows(path)
    if suffix not in READERS:
        known = ", ".join([*READERS, ".parquet", *SQLITE_SUFFIXES])
        raise UserError(f"{path}: the format is not known by its ending; save it as one of {known}")
    return READERS[suffix](path, _text(path))


def one_line(error: Exception | str) -> str:
    """A library's message as the end of a line of ours."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= MESSAGE_LENGTH else text[:MESSAGE_LENGTH] + " ..."


def read_bytes(path: Path, size: int = -1) -> bytes:
    """The file's first bytes, all by default. Raises UserError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _text(path: Path) -> str:
    content = read_bytes(path)
    if content.startswith(UTF16_MARKS):
        raise UserError(f"{path}: is UTF-16; save it as UTF-8")
    content = content.removeprefix(UTF8_MARK)
    if b"\x00" in content:
        line = content.count(b"\n", 0, content.index(b"\x00")) + 1
        raise UserError(f"{path}, line {line}: holds a NUL byte; save the file as plain UTF-8 text")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: is not valid UTF-8; save the file as UTF-8") from error


def _csv_rows(path: Path, text: str) -> list[Row]:
    """Rows under a header. Empty lines are passed over; a row with a cell more or less than the header is an error."""
    rows: list[Row] = []
    names: list[str] | None = None
    number = 0
    try:
        for number, cells in enumerate(read_delimited(path, io.StringIO(text, newline="")), start=1):
            if names is None:
                names = _unique(path, [cell.strip() for cell in cells]) if cells else None
                continue
            row = Row(path, number, dict(zip(names, cells, strict=False)))
            if cells and len(cells) != len(names):
                raise row.error(f"has {len(cells)} cells where the header has {len(names)}; quote cells that hold one")
            rows += [row] if cells else []
    except csv.Error as error:
        where = path if names is None else f"{path}, row {number + 1}"
        raise UserError(f"{where}: not valid CSV: {one_line(error)}") from error
    return rows


def _unique(path: Path, names: Sequence[str]) -> list[str]:
    """The names of columns as they are, if no name is there twice; unnamed ones are nobody's loss."""
    twice = next((name for place, name in enumerate(names) if name and name in names[:place]), None)
    if twice is not None:
        raise UserError(f"{path}: has two columns named {twice!r}; rename one")
    return list(names)


def _json_rows(path: Path, text: str) -> list[Row]:
    """A list of objects, or an object with one such list inside; JSON lines too, which often end in .json."""
    try:
        content = _parse(text, str(path))
    except UserError as error:
        broken = error.__cause__
        if text.lstrip().startswith("{") and isinstance(broken, json.JSONDecodeError) and broken.msg == "Extra data":
            return _json_lines(path, text)
        raise
    if isinstance(content, dict):
        lists = [key for key, value in content.items() if isinstance(value, list) and _holds_objects(value)]
        if len(lists) != 1:
            inside = f"holds lists under {', '.join(lists)}" if lists else "holds no list of objects"
            raise UserError(f"{path}: {inside}; give a list of objects, or an object with one such list inside")
        content = content[lists[0]]
    if not isinstance(content, list):
        raise UserError(f"{path}: is {kind(content)}; give a list of objects")
    return [_object_row(path, number, entry) for number, entry in enumerate(content, start=1)]


def _holds_objects(entries: Collection[object]) -> bool:
    return bool(entries) and all(isinstance(entry, dict) for entry in entries)


def _json_lines(path: Path, text: str) -> list[Row]:
    """An object a line; a row's number is its line."""
    # Not splitlines: JSON may hold U+2028 and its kin as they are.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return [_object_row(path, number, _parse(line, f"{path}, row {number}")) for number, line in lines]


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{where}: nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{where}: not valid JSON: {one_line(error)}") from error


def _object_row(path: Path, number: int, entry: object) -> Row:
    if not isinstance(entry, dict):
        raise UserError(f"{path}, row {number}: is {kind(entry)}, not an object")
    return Row(path, number, entry)


def kind(value: object) -> str:
    """What a cell or an entry is, for messages."""
    return {list: "a list", dict: "an object", str: "text", bytes: "bytes", type(None): "null"}.get(
        type(value), "a number or truth value"
    )


def _parquet_rows(path: Path) -> list[Row]:
    import pyarrow.parquet

    try:
        # Not read_table: it takes columns out of folder names such as `lang=en`.
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read()
    except (pyarrow.ArrowException, OSError, ValueError) as error:  # ValueError: a column's name is not UTF-8
        raise UserError(f"{path}: not a readable Parquet file: {one_line(error)}") from error
    return arrow_rows(path, table)


def arrow_rows(path: Path, table: Any) -> list[Row]:
    """The rows of a pyarrow table."""
    import pyarrow

    _unique(path, table.column_names)
    try:
        # A cell that points out of its buffer would end the process, not raise.
        table.validate(full=True)
    except pyarrow.ArrowInvalid as error:
        broken = next((place for place in range(table.num_rows) if not _is_valid(table.slice(place, 1))), None)
        where = path if broken is None else f"{path}, row {broken + 1}"
        raise UserError(f"{where}: not valid UTF-8, or broken: {one_line(error)}") from error
    return [Row(path, number, cells) for number, cells in enumerate(table.to_pylist(), start=1)]


def _is_valid(table: Any) -> bool:
    import pyarrow

    try:
        table.validate(full=True)
    except pyarrow.ArrowInvalid:
        return False
    return True


def _sqlite_rows(path: Path, inside: str | None) -> list[Row]:
    require_sqlite(path)
    journal = path.with_name(f"{path.name}-wal")
    if journal.is_file() and journal.stat().st_size:  # which a read-only look at the file alone passes over
        raise UserError(
            f"{path}: {journal.name} holds changes of it; close the program that writes them, or give a copy"
        )
    rows: list[Row] = []
    where, room = str(path), MAX_BYTES
    deadline = time.monotonic() + SECONDS
    try:
        with closing(open_read_only(path)) as connection:
            query = _query(path, connection, inside)
            guard(connection, deadline, READING)
            cursor = connection.execute(query)
            names = _unique(path, [column[0] for column in cursor.description])
            where = f"{path}, row 1"
            for values in cursor:
                room -= sum(len(value) for value in values if isinstance(value, str | bytes))
                if room < 0 or len(rows) == MAX_ROWS:
                    most = f"{MAX_ROWS:,} rows or {MAX_BYTES // 2**20} MB"
                    raise UserError(f"{path}: has more than {most}; read less of it: {path.name}{MARK}'SELECT ...'")
                rows.append(Row(path, len(rows) + 1, dict(zip(names, values, strict=True))))
                where = f"{path}, row {len(rows) + 1}"
    except (sqlite3.Error, sqlite3.Warning, MemoryError) as error:
        raise UserError(f"{where}: {why(error, deadline, SECONDS) or one_line(error)}") from error
    return rows


def _query(path: Path, connection: sqlite3.Connection, inside: str | None) -> str:
    """The query that is meant: as given, or all of the table or view that is named, or of the only table."""
    found = connection.execute(
        "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY rowid"
    ).fetchall()
    kinds = {name: kind for name, kind in found if not name.lower().startswith("sqlite_")}
    named = [name for name in kinds if (kinds[name] == "table" if inside is None else name.lower() == inside.lower())]
    if len(named) == 1:
        return f"SELECT * FROM {quoted(named[0])}"
    if inside is not None and _QUERY.match(inside):
        return inside
    asked = "name the table of pairs" if inside is None else f"has no table {inside!r}"
    listed = ", ".join(kinds) or "none"
    raise UserError(
        f"{path}: {asked}: {path.name}{MARK}TABLE or {path.name}{MARK}'SELECT ...'; its tables are: {listed}"
    )


def _transcript_rows(path: Path, text: str) -> list[Row]:
    return [Row(path, line, {"question": question, "query": query}) for line, question, query in transcript(path, text)]


# By the ending of the file's name.
READERS: dict[str, Callable[[Path, str], list[Row]]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".tab": _csv_rows,
    ".json": _json_rows,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".txt": _transcript_rows,
    ".md": _transcript_rows,
}
