"""What questions are about: an SQLite file, files of tables, or a PostgreSQL or MySQL server.

Files of other kinds are imported into an SQLite file in the cache, since models write SQLite's SQL and the sandbox runs
it; as long as they stay the same, they are imported once. Of a server the schema is copied, for prompts to describe,
and queries run on it (`eval/remote.py`).
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.errors import UsageError, UserError
from data.imports.catalogue import SCHEMES
from data.imports.databases import TABLES, import_databases
from data.imports.kinds import Dialect as ServerDialect
from data.imports.servers import address_of, copy_server
from data.meanings import meanings_file, write_meanings
from data.schema import SQLITE_HEADER, Schema, read_sqlite
from data.spider import database_file
from eval.native import native
from eval.pool import Sandbox
from eval.remote import run_remote
from eval.sandbox import Outcome
from pipeline.stage import cache_folder

IMPORTS = 1  # which way of importing made what is in the cache
ACCEPTED = "an SQLite file, a .sql script, CSV, TSV or Parquet files, or a postgresql:// or mysql:// URL"


@dataclass(frozen=True)
class Database:
    """One database; `path` is the SQLite file that prompts are made of, and `notes` are for the user.

    Queries are in its own `dialect`. `native` turns SQLite's SQL into it and raises ValueError where that cannot be said.
    """

    name: str
    dialect: str
    schema: Schema
    path: Path
    notes: tuple[str, ...]
    run: Callable[[str], Outcome]
    explain: Callable[[str], Outcome]
    native: Callable[[str], str]
    close: Callable[[], None] = lambda: None


def open_database(address: str, sandbox: Sandbox, *, name: str | None = None, rows: int = 0) -> Database:
    """The database at a path or URL; of a server `rows` of each table are copied, for prompts that show values.

    Raises UsageError for an address that is none, UserError where it cannot be read or holds no tables.
    """
    scheme, separator, _ = address.partition("://")
    if not separator:
        return _of_file(Path(address).expanduser(), sandbox, name)
    if scheme not in SCHEMES:
        raise UsageError(f"{scheme}://...: not a database that can be asked; give {ACCEPTED}")
    return _of_server(address, sandbox, name, rows)


def _of_file(source: Path, sandbox: Sandbox, name: str | None) -> Database:
    if not source.exists():
        raise UserError(f"{source}: no such file or folder; give {ACCEPTED}")
    if source.is_file() and not source.stat().st_size:
        raise UserError(f"{source}: is empty; give {ACCEPTED}")
    path, notes = (source, _unseen(source)) if _is_sqlite(source) else _imported(source)
    schema = read_sqlite(path, name or path.stem)
    if not schema.tables:
        raise UserError(f"{source}: has no tables" + "".join(f"; {note}" for note in _unseen(path)))
    return Database(
        name=schema.db_id,
        dialect="sqlite",
        schema=schema,
        path=path,
        notes=notes,
        run=lambda sql: sandbox.run(path, sql),
        explain=lambda sql: sandbox.run(path, f"EXPLAIN QUERY PLAN {sql}"),
        native=lambda sql: sql,
    )


def _is_sqlite(path: Path) -> bool:
    """Whether to read it as one; what is no kind of file that is imported is told so as an SQLite file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER or path.suffix.lower() not in (".sql", *TABLES)


def _unseen(path: Path) -> tuple[str, ...]:
    """A note where a database has changes that are not yet in its file."""
    log = path.with_name(path.name + "-wal")
    if log.is_file() and log.stat().st_size:
        return (
            f"{log.name} holds changes that are not in {path.name} yet; answers do not see them before `PRAGMA wal_checkpoint`",
        )
    return ()


def _imported(source: Path) -> tuple[Path, tuple[str, ...]]:
    """The SQLite file that was made of a script or of files of tables, and what was inferred when it was."""
    files = sorted(path for path in (source.iterdir() if source.is_dir() else [source]) if path.is_file())
    states = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    folder = cache_folder() / "databases" / hashlib.sha256(repr((IMPORTS, states)).encode()).hexdigest()[:16]
    notes: tuple[str, ...] = ()
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
            made = import_databases(source, Path(scratch) / "database")
            if len(made) > 1:
                names = ", ".join(database.name for database in made)
                raise UsageError(f"{source}: holds {len(made)} databases ({names}); name the file of one")
            notes = made[0].notes
            try:
                (Path(scratch) / "database").rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was quicker
                    raise
    (path,) = folder.glob("*/*.sqlite")
    return path, notes


def _of_server(url: str, sandbox: Sandbox, name: str | None, rows: int) -> Database:
    address = address_of(url)
    if not address.database:
        raise UsageError("the URL names no database, as postgresql://me@localhost/shop does")
    scratch = Path(tempfile.mkdtemp(prefix="loraql-"))
    try:
        path = database_file(scratch, address.database)
        path.parent.mkdir(parents=True)
        copy = copy_server(url, path, rows)
        if copy.meanings:
            write_meanings(copy.meanings, meanings_file(path))
        schema = read_sqlite(path, name or address.database)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    dialect: ServerDialect = address.dialect
    return Database(
        name=schema.db_id,
        dialect=dialect,
        schema=schema,
        path=path,
        notes=copy.notes,
        run=lambda sql: run_remote(address, sql, sandbox.limits),
        explain=lambda sql: run_remote(address, sql, sandbox.limits, explain=True),
        native=lambda sql: native(sql, schema, dialect),
        close=lambda: shutil.rmtree(scratch, ignore_errors=True),
    )
