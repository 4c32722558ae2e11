"""What columns mean: `NAME.columns.csv` beside `NAME.sqlite`.

Reads what people write in CSV or YAML, the comments in an SQLite file's CREATE TABLEs, and BIRD's
descriptions; writes the one CSV that prompts are made from. All of it is text by strangers: it becomes
single lines of limited length.
"""

import csv
import io
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from data.comments import column_comments
from data.errors import UserError
from data.imports.delimited import delimiter_of
from data.schema import Column, Schema, open_read_only, read_sqlite, stored_columns

COLUMNS = ("table", "column", "description", "unit", "values")
YAML_SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 4 * 2**20
MAX_CHARACTERS = 1_000
CLIPPED = 200  # for what was not written for prompts
SHOWN_VALUES = 20
LOOKED_AT = 10_000  # values of a column
MAX_STATEMENT = 1_000_000
VALUE = re.compile(r"((?:\\[\\|]|[^|])*)(?:\||$)")


@dataclass(frozen=True)
class Meaning:
    """What one column holds; `values` are the allowed ones. Any of the last three may be empty."""

    table: str
    column: str
    description: str
    unit: str = ""
    values: tuple[str, ...] = ()


def meanings_file(database: Path) -> Path:
    """Where the meanings of a database's columns are kept."""
    return database.with_suffix(".columns.csv")


def read_meanings(path: Path) -> list[Meaning]:
    """The entries of a CSV or YAML file that say something. Raises UserError naming file and row or key."""
    text = _text(path, fallback=None)
    entries = _yaml_entries(path, text) if path.suffix.lower() in YAML_SUFFIXES else _csv_entries(path, text)
    found: dict[tuple[str, str], tuple[str, Meaning]] = {}
    for where, entry in entries:
        meaning = _meaning(f"{path}: {where}", entry)
        if not (meaning.description or meaning.unit or meaning.values):
            continue  # a form that is not filled in
        key = (meaning.table.lower(), meaning.column.lower())
        if key in found:
            raise UserError(f"{path}: {where} describes {meaning.table}.{meaning.column} again, after {found[key][0]}")
        found[key] = (where, meaning)
    return [meaning for _, meaning in found.values()]


def write_meanings(meanings: Iterable[Meaning], path: Path) -> None:
    """A CSV file that `read_meanings` reads; whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for meaning in meanings:
        values = "|".join(re.sub(r"[\\|]", r"\\\g<0>", value) for value in meaning.values)
        writer.writerow([meaning.table, meaning.column, meaning.description, meaning.unit, values])
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(path)


def with_meanings(schema: Schema, meanings: Iterable[Meaning]) -> tuple[Schema, list[Meaning]]:
    """The schema with what its columns mean, and the entries that fit no column.

    Letter case is put aside; of several entries for a column the first counts.
    """
    first: dict[tuple[str, str], Meaning] = {}
    unmatched = []
    known = {(table.name.lower(), column.name.lower()) for table in schema.tables for column in table.columns}
    for meaning in meanings:
        key = (meaning.table.lower(), meaning.column.lower())
        if key in known:
            first.setdefault(key, meaning)
        else:
            unmatched.append(meaning)

    def described(table: str, column: Column) -> Column:
        meaning = first.get((table.lower(), column.name.lower()))
        return replace(column, meaning=_said(meaning)) if meaning else column

    tables = tuple(
        replace(table, columns=tuple(described(table.name, column) for column in table.columns))
        for table in schema.tables
    )
    return replace(schema, tables=tables), unmatched


def describe_columns(schema: Schema, database: Path) -> Schema:
    """The schema with the meanings kept beside the database, if there are any."""
    path = meanings_file(database)
    return with_meanings(schema, read_meanings(path))[0] if path.is_file() else schema


def strange_values(database: Path, meanings: Iterable[Meaning]) -> Iterator[tuple[Meaning, tuple[str, ...]]]:
    """The entries with allowed values of which a filled column holds none, and some that it holds instead."""
    with closing(open_read_only(database)) as connection:
        stored = {(table.lower(), column.lower()) for table, column in stored_columns(connection)}
        for meaning in meanings:
            if not meaning.values or (meaning.table.lower(), meaning.column.lower()) not in stored:
                continue
            name = '"' + meaning.column.replace('"', '""') + '"'
            table = '"' + meaning.table.replace('"', '""') + '"'
            rows = connection.execute(
                f"SELECT DISTINCT CAST({name} AS TEXT) FROM {table} WHERE {name} IS NOT NULL ORDER BY 1 LIMIT ?",
                (LOOKED_AT,),
            )
            held = [one_line(text) for (text,) in rows]
            if held and not set(held) & set(meaning.values):
                yield meaning, tuple(held)


def from_comments(database: Path) -> list[Meaning]:
    """The comments beside columns in an SQLite file's CREATE TABLEs. Raises UserError if it cannot be read."""
    schema = read_sqlite(database)
    try:
        with closing(open_read_only(database)) as connection:
            query = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND length(sql) <= ?"
            statements = dict(connection.execute(query, (MAX_STATEMENT,)).fetchall())
    except sqlite3.Error as error:
        raise UserError(f"{database}: cannot read the schema: {error}") from error
    meanings = []
    for table in schema.tables:
        comments = column_comments(statements.get(table.name) or "")
        for column in table.columns:
            text = one_line("; ".join(filter(None, map(one_line, comments.get(column.name.lower(), [])))), CLIPPED)
            if text and not _repeats(text, column.name):
                meanings.append(Meaning(table.name, column.name, text))
    return meanings


def from_bird(folder: Path) -> list[Meaning]:
    """What BIRD's `database_description/TABLE.csv` say of columns, beyond their names.

    The files are in UTF-8 or Latin-1, with breaks and blanks where it pleased; one without a column
    `original_column_name` is passed over. Raises UserError for one that cannot be read at all.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    meanings = []
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.name[0] != "."):
        for _, row in _csv_entries(path, _text(path, fallback="latin-1"), needed=()):
            column = one_line(row.get("original_column_name", ""))
            texts = [row.get(name, "") for name in ("column_description", "value_description")]
            if not texts[0].strip():
                texts[0] = row.get("column_name", "")
            texts = [re.sub(r"^commonsense evidence:?", "", one_line(text), flags=re.IGNORECASE) for text in texts]
            kept = [one_line(text, CLIPPED) for text in texts if not _repeats(text, column)]
            if column and kept:
                meanings.append(Meaning(path.stem, column, "; ".join(dict.fromkeys(kept))))
    return meanings


def one_line(text: str, most: int | None = None) -> str:
    """Text without breaks, control characters and runs of blanks; cut after a word if it is longer than `most`."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if most is None or len(line) <= most:
        return line
    return (line[: most - 3].rsplit(" ", 1)[0] if " " in line[: most - 3] else line[: most - 3]) + "..."


def _said(meaning: Meaning) -> str:
    """One line: `length of stay; in days; one of: 'a', 'b'`."""
    values = [f"'{one_line(value)}'" for value in meaning.values[:SHOWN_VALUES]]
    values += ["..."] if len(meaning.values) > SHOWN_VALUES else []
    unit = one_line(meaning.unit).removeprefix("in ")
    parts = [
        one_line(meaning.description),
        f"in {unit}" if unit else "",
        f"one of: {', '.join(values)}" if values else "",
    ]
    return "; ".join(filter(None, parts))


def _repeats(text: str, name: str) -> bool:
    """Whether a text says no more than a name does; an empty one does not either."""
    words, known = (re.sub(r"[\W_]", "", part).lower() for part in (text, name))
    return words in ("", known)


def _text(path: Path, fallback: str | None) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES // 2**20} MB, which no description of columns is")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if fallback is None:
            raise UserError(f"{path}: not valid UTF-8; save the file as UTF-8") from error
        return content.decode(fallback)


def _csv_entries(path: Path, text: str, needed: Sequence[str] = COLUMNS[:2]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows by the names in the first one, in lower case; the first row is row 1."""
    names: list[str] = []
    place = 0
    try:
        for place, row in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text)), start=1):
            if not any(cell.strip() for cell in row):
                continue
            if not names:
                names = [name.strip().lower() for name in row]
                missing = [name for name in needed if name not in names]
                others = set(names) - {*COLUMNS, ""}
                if needed and not missing and (others or not set(names) & set(COLUMNS[2:])):
                    missing = [name for name in COLUMNS[2:3] if name not in names]  # which may go by another name
                if missing:
                    raise UserError(f"{path}: the first row has no {missing[0]}; it names {', '.join(COLUMNS)}")
                continue
            if needed and len(row) > len(names):
                raise UserError(f"{path}: row {place} has {len(row)} cells, the first row has {len(names)}")
            yield f"row {place}", dict(zip(names, row, strict=False))
    except csv.Error as error:
        raise UserError(f"{path}: row {place + 1}: {error}") from error
    if needed and not names:
        raise UserError(f"{path}: is empty; its first row names {', '.join(COLUMNS)}")


def _yaml_entries(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A list of entries, or columns by table."""
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # of texts only: no stays "no"
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {one_line(str(error), CLIPPED)}") from error
    if isinstance(content, list):
        for place, entry in enumerate(content, start=1):
            if not isinstance(entry, dict):
                raise UserError(f"{path}: entry {place} is not a mapping of {', '.join(COLUMNS)}")
            yield f"entry {place}", _lowered(path, f"entry {place}", entry)
    elif isinstance(content, dict):
        for table, columns in content.items():
            if not isinstance(columns, dict):
                raise UserError(f"{path}: {table}: is not a mapping of columns to what they mean")
            for column, said in columns.items():
                where = f"{table}.{column}"
                entry = _lowered(path, where, said) if isinstance(said, dict) else {"description": said}
                yield where, {**entry, "table": table, "column": column}
    else:
        raise UserError(f"{path}: holds neither a list of entries nor columns by table")


def _lowered(path: Path, where: str, entry: Mapping[Any, Any]) -> dict[str, Any]:
    lowered = {str(key).lower(): value for key, value in entry.items()}
    unknown = sorted(set(lowered) - set(COLUMNS))
    if unknown:
        raise UserError(f"{path}: {where} has the key {unknown[0]!r}; there are {', '.join(COLUMNS)}")
    return lowered


def _meaning(where: str, entry: Mapping[str, Any]) -> Meaning:
    given = entry.get("values") or ""
    listed = given if isinstance(given, list) else [given]
    texts = [entry.get(name, "") for name in COLUMNS[:4]]
    if not all(isinstance(text, str) for text in (*texts, *listed)):
        raise UserError(f"{where} holds a list or mapping where text belongs")
    table, column, description, unit = map(one_line, texts)
    if not table or not column:
        raise UserError(f"{where} has no {'column' if table else 'table'}")
    if isinstance(given, str):  # a bar separates, one after a backslash does not
        listed = [re.sub(r"\\([\\|])", r"\1", part[1]) for part in VALUE.finditer(given)]
    values = tuple(filter(None, map(one_line, listed)))
    if any(len(text) > MAX_CHARACTERS for text in (table, column, description, unit, *values)):
        raise UserError(f"{where} holds a text of more than {MAX_CHARACTERS:,} characters; make it shorter")
    return Meaning(table, column, description, unit, values)
