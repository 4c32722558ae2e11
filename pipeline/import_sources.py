"""What an import reads: pairs, the databases they are about, and what the columns of these mean.

Reads files, folders, published data sets and servers; writes `database/NAME/NAME.sqlite` and the meanings
beside them. Which pair goes where is for `pipeline/importing.py` to say.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data.errors import UsageError, UserError
from data.imports.databases import import_databases
from data.imports.dialects import Dialect
from data.imports.folders import find_inside, split_named
from data.imports.pairs import Pair, read_pairs
from data.imports.published import LAYOUTS, read_published
from data.imports.servers import address_of, copy_server
from data.meanings import (
    Meaning,
    from_bird,
    from_comments,
    meanings_file,
    one_line,
    read_meanings,
    strange_values,
    with_meanings,
    write_meanings,
)
from data.schema import read_sqlite, read_tables_json
from data.spider import database_file
from pipeline.console import progress

FOLDER = "database"
TABLES = "tables.json"


@dataclass(frozen=True)
class Source:
    """The pairs as read; of a published data set also its databases, descriptions of columns, and its folder."""

    pairs: list[Pair]
    databases: Mapping[str, Path] = field(default_factory=dict)
    descriptions: Mapping[str, Path] = field(default_factory=dict)
    root: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Laid:
    """The databases that are there now, by name; `dialects` of those that a server or its dump gave, `schema` a server's."""

    files: dict[str, Path]
    origins: dict[str, Path] = field(default_factory=dict)  # files that they were made of
    meanings: Mapping[str, tuple[Meaning, ...]] = field(default_factory=dict)
    dialects: Mapping[str, Dialect] = field(default_factory=dict)
    schema: str | None = None
    notes: tuple[str, ...] = ()


def read_source(paths: Sequence[str], layout: str | None, columns: Mapping[str, str]) -> Source:
    """The pairs of files and folders, or of one data set in a published layout, named or recognized."""
    if not paths:
        raise UsageError("no pairs: name a file or a folder of questions with their SQL")
    only = Path(paths[0]) if len(paths) == 1 else None
    if layout is not None and (only is None or columns):
        raise UsageError(f"--format {layout}: a published layout is that of one folder, and its columns are known")
    if only and not columns and (layout or (only.exists() and any(known.fits(only) for known in LAYOUTS.values()))):
        published = read_published(only, layout)
        root = only if only.is_dir() else None
        return Source(published.pairs, published.databases, published.descriptions, root, tuple(published.notes))
    address = next((path for path in paths if re.match(r"https?://", path)), None)
    if address:
        raise UsageError(f"{address}: addresses are not read; download it, and give the file")
    read = [read_pairs(path, columns) for path in paths]
    named = [split_named(Path(path).stem) for path in paths]
    if len(paths) > 1:  # train.csv and dev.csv
        read = [
            [replace(pair, split=pair.split or name) for pair in pairs] for pairs, name in zip(read, named, strict=True)
        ]
    return Source([pair for pairs in read for pair in pairs])


def lay_out(source: Source, database: str | None, rows: int, schema: str | None, folder: Path) -> Laid:
    """Writes the databases under `folder`: that of `--db`, else those of the published data set.

    One of a published data set that cannot be read is noted and counts as missing.
    """
    target = folder / FOLDER
    if database is not None and "://" in database:
        return _named_as_asked(_from_server(database, rows, schema, target), source, target)
    if rows or schema:
        raise UsageError(f"--{'rows' if rows else 'schema'}: is for a server; of a file all is copied")
    if database is not None:
        made = import_databases(Path(database), target)
        files = {item.name: item.path for item in made}
        origins = {item.name: item.source for item in made}
        notes = tuple(f"{item.name}: {note}" for item in made for note in item.notes)
        dialects = {item.name: item.dialect for item in made if item.dialect}
        meanings = {item.name: item.meanings for item in made}
        return _named_as_asked(Laid(files, origins, meanings, dialects, notes=notes), source, target)
    if not source.databases:
        raise UserError("no database: give --db a file, a folder or a server that the questions are about")
    laid, problems = dict[str, Path](), list[str]()
    with progress("copying databases", len(source.databases)) as advance:
        for db_id, path in source.databases.items():
            try:
                (item,) = import_databases(path, target, db_id)
                laid[db_id] = item.path
            except UserError as error:
                problems.append(str(error))
            advance()
    return Laid(laid, dict(source.databases), notes=tuple(problems))


def _from_server(url: str, rows: int, schema: str | None, target: Path) -> Laid:
    name = address_of(url).database
    if not name:
        raise UsageError("--db: the URL names no database, as postgresql://me@localhost/shop does")
    path = database_file(target, name)
    fresh = target / "server.sqlite"
    copy = copy_server(url, fresh, rows, schema)
    path.parent.mkdir(parents=True)
    fresh.rename(path)
    notes = [*copy.notes, *([] if rows else ["no rows are copied: without --rows every query returns nothing"])]
    return Laid({name: path}, {}, {name: copy.meanings}, {name: copy.dialect}, copy.schema, tuple(notes))


def _named_as_asked(laid: Laid, source: Source, target: Path) -> Laid:
    """The only database goes by the only name that pairs have for one."""
    asked = {pair.db_id for pair in source.pairs if pair.db_id}
    if len(laid.files) != 1 or len(asked) != 1 or asked == set(laid.files):
        return laid
    ((old, path),), (new,) = laid.files.items(), asked
    renamed = database_file(target, new)
    path.parent.rename(renamed.parent)
    (renamed.parent / path.name).rename(renamed)
    origins = {new: laid.origins[old]} if old in laid.origins else {}
    dialects = {new: laid.dialects[old]} if old in laid.dialects else {}
    meanings = {new: laid.meanings.get(old, ())}
    note = f"the database {old} is called {new} here, as the pairs call it"
    return replace(
        laid, files={new: renamed}, origins=origins, meanings=meanings, dialects=dialects, notes=(*laid.notes, note)
    )


def write_all_meanings(laid: Laid, source: Source, given: Path | None) -> list[str]:
    """`NAME.columns.csv` beside each database of which anything is known; notes on entries that fit no column.

    What the user gives counts first, then what lies beside the source, then a server's comments, BIRD's
    descriptions, and comments in the schema.
    """
    own = read_meanings(given) if given else []
    notes: list[str] = []
    matched: set[tuple[str, str]] = set()
    for db_id, path in laid.files.items():
        beside = meanings_file(laid.origins[db_id]) if db_id in laid.origins else None
        known = [*own, *(read_meanings(beside) if beside and beside.is_file() else []), *laid.meanings.get(db_id, ())]
        known += from_bird(source.descriptions[db_id]) if db_id in source.descriptions else []
        known += from_comments(path)
        fitting = _first_of_each(known, with_meanings(read_sqlite(path, db_id), known)[1])
        matched |= {(meaning.table, meaning.column) for meaning in fitting}
        if fitting:
            write_meanings(fitting, meanings_file(path))
        for meaning, held in strange_values(path, fitting):
            some = ", ".join(f"'{one_line(value, 40)}'" for value in held[:3])
            notes.append(f"{meaning.table}.{meaning.column}: holds none of its allowed values, but {some}")
    odd = [f"{meaning.table}.{meaning.column}" for meaning in own if (meaning.table, meaning.column) not in matched]
    return [*(f"{given}: no database has the column {name}" for name in odd), *notes]


def _first_of_each(meanings: Iterable[Meaning], without: Sequence[Meaning]) -> list[Meaning]:
    first: dict[tuple[str, str], Meaning] = {}
    for meaning in meanings:
        if meaning not in without:
            first.setdefault((meaning.table.lower(), meaning.column.lower()), meaning)
    return list(first.values())


def copy_tables(source: Source, names: set[str], folder: Path) -> set[str]:
    """Writes the entries of a published `tables.json` that describe these databases; which ones they are."""
    entries: dict[str, Any] = {}
    for path in find_inside(source.root, f"*{TABLES}") if source.root else []:
        read_tables_json(path)
        for entry in json.loads(path.read_text(encoding="utf-8")):
            if entry["db_id"] in names:
                entries.setdefault(entry["db_id"], entry)
    if entries:
        (folder / TABLES).write_text(json.dumps(list(entries.values()), ensure_ascii=False), encoding="utf-8")
    return set(entries)
