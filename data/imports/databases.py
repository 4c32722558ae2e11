"""Databases as people keep them, each as `NAME/NAME.sqlite`.

Reads SQLite files, `.sql` scripts, and CSV, TSV or Parquet files, one or a folder of them. Writes whole
databases or none: all are made in a scratch folder and moved when the last one is done.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from data.errors import UsageError, UserError
from data.imports.building import new_database, same_but_for_case
from data.imports.dialects import Dialect
from data.imports.guard import limit, why
from data.imports.rows import SQLITE_SUFFIXES, one_line
from data.imports.scripts import Ran, run_script
from data.imports.tabular import load_tables
from data.meanings import Meaning
from data.schema import SQLITE_HEADER, open_read_only, require_sqlite
from data.spider import database_file

SCRIPTS = (".sql",)
TABLES = (".csv", ".tsv", ".parquet")
ACCEPTED = "an SQLite file, a .sql script, a .csv, .tsv or .parquet file, or a folder of one of these kinds"
CHECK_SECONDS = 600.0
LOCK_SECONDS = 5.0  # for which another program may hold the file
MAX_NAME = 100
WAL = b"\x02\x02"  # bytes 18 and 19 of a file whose last changes may be in another beside it


@dataclass(frozen=True)
class Imported:
    """One database: its file, the file or folder that it was made of, and what was inferred or left out.

    `dialect` is that of the server which a script was dumped from, `meanings` are columns with the values it allows.
    """

    name: str
    path: Path
    source: Path
    notes: tuple[str, ...] = ()
    dialect: Dialect | None = None
    meanings: tuple[Meaning, ...] = ()


@dataclass(frozen=True)
class _Work:
    name: str
    source: Path
    files: tuple[Path, ...]  # one, or those of the tables
    make: Callable[["_Work", Path], Ran]


def import_databases(source: Path, folder: Path, name: str | None = None) -> list[Imported]:
    """Writes `folder/NAME/NAME.sqlite` for each database in `source`, in the order of their names.

    `name` is for a source of one database; else names come from files (tables: from the folder). Raises
    UserError naming file and row, and then nothing is written; so it does where a name is taken.
    """
    works = _plan(source, name)
    targets = [_target(folder, work.name) for work in works]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".import-") as scratch:
        made = [(work, _make(work, Path(scratch))) for work in works]
        for (work, _), target in zip(made, targets, strict=True):
            (Path(scratch) / work.name).rename(target.parent)
    return [
        Imported(work.name, target, work.source, ran.notes, ran.dialect, ran.meanings)
        for (work, ran), target in zip(made, targets, strict=True)
    ]


def _plan(source: Path, name: str | None) -> list[_Work]:
    if not source.exists():
        raise UserError(f"{source}: no such file or folder; give {ACCEPTED}")
    works = _in_folder(source) if source.is_dir() else [_of_file(source)]
    if name is not None:
        if len(works) > 1:
            raise UsageError(f"{source}: holds {len(works)} databases, which one name does not fit; leave the name out")
        works = [_Work(name, works[0].source, works[0].files, works[0].make)]
    clash = same_but_for_case(work.name for work in works)
    if clash:
        raise UserError(f"{source}: several files would be the database {clash[0]}; rename all but one")
    return sorted(works, key=lambda work: work.name)


def _of_file(path: Path) -> _Work:
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return _Work(path.stem, path, (path,), _from_tables)
    if suffix in SCRIPTS:
        return _Work(path.stem, path, (path,), _from_script)
    if suffix in SQLITE_SUFFIXES or _is_sqlite(path):
        return _Work(path.stem, path, (path,), _from_sqlite)
    raise UserError(f"{path}: not a kind that can be imported; give {ACCEPTED}")


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER


def _in_folder(folder: Path) -> list[_Work]:
    """The databases of a folder of one kind; Spider's NAME/NAME.sqlite is one of the kinds."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    own = [path / f"{path.name}{suffix}" for path in entries if path.is_dir() for suffix in SQLITE_SUFFIXES]
    files = [path for path in entries if path.is_file()]
    databases = [path for path in own if path.is_file()] + [
        path for path in files if path.suffix.lower() in SQLITE_SUFFIXES
    ]
    scripts = [path for path in files if path.suffix.lower() in SCRIPTS]
    tables = [path for path in files if path.suffix.lower() in TABLES]
    kinds = {"SQLite files": databases, ".sql scripts": scripts, "files of tables": tables}
    found = [kind for kind, paths in kinds.items() if paths]
    if len(found) > 1:
        raise UserError(f"{folder}: holds {' and '.join(found)}; give one file, or a folder of one kind")
    if not found:
        raise UserError(f"{folder}: holds no database; give {ACCEPTED}")
    if tables:
        return [_Work(folder.resolve().name, folder, tuple(tables), _from_tables)]
    return [_of_file(path) for path in databases or scripts]


def _target(folder: Path, name: str) -> Path:
    """Where a database goes. Raises UserError for a name that is no plain one, or taken."""
    path = database_file(folder, name)
    if not name.isprintable() or name != name.strip() or len(name) > MAX_NAME:
        raise UserError(f"{folder}: the database name {name[:MAX_NAME]!r} is not a plain name; give another")
    if path.parent.exists():
        raise UserError(f"{path.parent}: is there already; remove it, or give the database another name")
    return path


def _make(work: _Work, scratch: Path) -> Ran:
    path = database_file(scratch, work.name)
    ran = work.make(work, path)
    with closing(open_read_only(path)) as connection:
        (tables,) = connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'"
        ).fetchone()
    if not tables:
        raise UserError(f"{work.source}: holds no table")
    return ran


def _from_tables(work: _Work, path: Path) -> Ran:
    with new_database(path) as connection:
        notes = load_tables(work.files, connection, path.with_name("scratch"))
    path.with_name("scratch").unlink(missing_ok=True)
    return Ran(None, notes)


def _from_script(work: _Work, path: Path) -> Ran:
    with new_database(path) as connection:
        return run_script(work.source, connection)


def _from_sqlite(work: _Work, path: Path) -> Ran:
    """A checked copy, with what a log beside the file holds; the file itself is only read."""
    require_sqlite(work.source)

    def unless_locked(status: int, *_: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # else it would be tried again for ever
            raise UserError(f"{work.source}: another program is writing it; close that program, or give a copy")

    deadline = float("inf")
    try:
        with new_database(path) as connection, _opened(work.source, path.parent) as original:
            original.backup(connection, progress=unless_locked)
            connection.execute("PRAGMA journal_mode = DELETE")  # a log would have to lie beside the copy
            deadline = time.monotonic() + CHECK_SECONDS
            limit(connection, deadline)
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise UserError(f"{work.source}: the file is damaged: {one_line(state)}")
    except (sqlite3.Error, MemoryError) as error:
        reason = why(error, deadline, CHECK_SECONDS)
        problem = f"to check it {reason}" if reason else f"cannot be read as an SQLite database: {error}"
        raise UserError(f"{work.source}: {problem}") from error
    return Ran(None, ())


@contextmanager
def _opened(source: Path, scratch: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing and leaves nothing beside the file."""
    log, index = (source.with_name(source.name + end) for end in ("-wal", "-shm"))
    with source.open("rb") as file:
        has_log = file.read(20)[18:] == WAL
    if has_log and log.is_file() and log.stat().st_size and not index.is_file():
        # Nobody has it open, and reading it would leave an index behind: so read a copy.
        copy = scratch / "copy"
        shutil.copyfile(source, copy)
        shutil.copyfile(log, copy.with_name("copy-wal"))
        connection = sqlite3.connect(copy)
    elif has_log and not index.is_file():  # the log is empty, and opening it would make an index
        connection = open_read_only(source)
    else:
        connection = sqlite3.connect(f"file:{quote(str(source.resolve()))}?mode=ro", timeout=LOCK_SECONDS, uri=True)
    try:
        yield connection
    finally:
        connection.close()
        for name in ("copy", "copy-wal", "copy-shm"):
            (scratch / name).unlink(missing_ok=True)
