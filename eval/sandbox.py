"""The only place that runs SQL, but for what is imported (`data/imports/guard.py` limits that).

Every query here is taken to be hostile. Run as a script by `eval/pool.py`, in a process that holds nothing
of ours (nor needs our packages): the database opened read-only and immutable, an authorizer that lets
SQLite read and do nothing else, limits on time, processor time, memory, rows and bytes. It reads queries
and writes what came of them, as JSON, one line each.
"""

import json
import math
import resource
import signal
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

Value = int | float | str | bytes | None
Row = tuple[Value, ...]
Category = Literal[
    "ok",
    "syntax",
    "no_such_table",
    "no_such_column",
    "no_statement",
    "refused",
    "timeout",
    "cpu",
    "memory",
    "too_many_rows",
    "too_large",
    "crashed",
    "error",
]

OPCODES_BETWEEN_CHECKS = 10_000
MAX_SQL_BYTES = 1_000_000
OPEN_DATABASES = 8

FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
# These only read the schema. Every other PRAGMA is refused.
HARMLESS_PRAGMAS = {
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "table_info",
    "table_list",
    "table_xinfo",
}
# What they give depends on more than the query and the database.
CHANGING_FUNCTIONS = {
    "changes",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "julianday",
    "random",
    "randomblob",
    "strftime",
    "time",
    "timediff",
    "unixepoch",
}


@dataclass(frozen=True)
class Limits:
    """What one query may use. `cpu_seconds` counts whole seconds of processor time, rounded up."""

    seconds: float = 5.0
    cpu_seconds: float = 5.0
    memory_mb: int = 512
    rows: int = 100_000
    result_mb: int = 32
    cell_kb: int = 1024


@dataclass(frozen=True)
class Outcome:
    """What came of one query: rows where `category` is "ok", else why not.

    `repeatable` is False where the query calls a function such as random() or date().
    """

    category: Category
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    milliseconds: float = 0.0
    message: str = ""
    repeatable: bool = True


def _serve(limits: Limits) -> None:
    """Answers requests from standard input until it closes."""
    memory = (limits.memory_mb + 64) * 2**20  # the interpreter itself needs some
    for what, most in [(resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)]:
        resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    databases = _Databases(limits)
    nothing = {"columns": [], "rows": [], "message": "", "blobs": False, "repeatable": True}
    for line in sys.stdin.buffer:
        request = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = math.ceil(used.ru_utime + used.ru_stime + limits.cpu_seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, resource.RLIM_INFINITY))
        start = time.perf_counter()
        reply = nothing | databases.execute(request["database"], request["sql"], start)
        reply["milliseconds"] = 1000 * (time.perf_counter() - start)
        try:
            encoded = json.dumps(reply).encode()
        except MemoryError:
            encoded = json.dumps(nothing | {"category": "memory", "message": "result too large"}).encode()
        sys.stdout.buffer.write(encoded + b"\n")
        sys.stdout.buffer.flush()


class _Databases:
    """The databases that a worker has open: the last few, each as long as its file stays the same."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[tuple[Any, ...], sqlite3.Connection] = {}
        self._repeatable = True

    def execute(self, database: str, sql: str, start: float) -> dict[str, Any]:
        limits, deadline = self._limits, start + self._limits.seconds
        self._repeatable = True
        try:
            connection = self._connection(database)
            connection.set_progress_handler(lambda: time.perf_counter() > deadline, OPCODES_BETWEEN_CHECKS)
            cursor = connection.execute(sql)
            try:
                if cursor.description is None:
                    return {"category": "no_statement", "message": "no statement"}
                columns = [column[0] for column in cursor.description]
                rows: list[list[Any]] = []
                size, blobs = sum(map(len, columns)), False
                if size > limits.result_mb * 2**20:
                    return {"category": "too_large", "message": f"column names of more than {limits.result_mb} MB"}
                for row in cursor:
                    size += sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in row)
                    if any(isinstance(cell, bytes) for cell in row):
                        blobs = True
                        row = [{"hex": cell.hex()} if isinstance(cell, bytes) else cell for cell in row]
                    rows.append(row)
                    if len(rows) > limits.rows:
                        return {"category": "too_many_rows", "message": f"more than {limits.rows} rows"}
                    if size > limits.result_mb * 2**20:
                        return {"category": "too_large", "message": f"a result of more than {limits.result_mb} MB"}
                return {
                    "category": "ok",
                    "columns": columns,
                    "rows": rows,
                    "blobs": blobs,
                    "repeatable": self._repeatable,
                }
            finally:
                cursor.close()
        except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError, OverflowError, OSError) as error:
            return {"category": _categorize(error, time.perf_counter() > deadline), "message": str(error)[:500]}

    def _connection(self, database: str) -> sqlite3.Connection:
        status = Path(database).stat()
        key = (database, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        connection = self._open.pop(key, None) or self._connect(database)
        self._open[key] = connection
        if len(self._open) > OPEN_DATABASES:
            self._open.pop(next(iter(self._open))).close()
        return connection

    def _connect(self, database: str) -> sqlite3.Connection:
        address = f"file:{quote(database)}?mode=ro&immutable=1"
        # No statement is kept: the authorizer has to see each query.
        connection = sqlite3.connect(address, uri=True, isolation_level=None, cached_statements=0)
        connection.text_factory = lambda raw: raw.decode("utf-8", errors="ignore")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA hard_heap_limit = {self._limits.memory_mb * 2**20}")
        # Their first use declares a virtual table, which looks like a write to the authorizer.
        for table in ("json_each('[]')", "json_tree('[]')", *(f"pragma_{name}('')" for name in HARMLESS_PRAGMAS)):
            connection.execute(f"SELECT 1 FROM {table} LIMIT 0")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._limits.cell_kb * 1024)
        connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_authorizer(self._authorize)
        return connection

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            name = (second or "").lower()
            self._repeatable = self._repeatable and name not in CHANGING_FUNCTIONS
            return sqlite3.SQLITE_DENY if name in FORBIDDEN_FUNCTIONS else sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA:
            return sqlite3.SQLITE_OK if (first or "").lower() in HARMLESS_PRAGMAS else sqlite3.SQLITE_DENY
        reading = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
        return sqlite3.SQLITE_OK if action in reading else sqlite3.SQLITE_DENY


def _categorize(error: Exception, late: bool) -> Category:
    text = str(error).lower()
    if isinstance(error, MemoryError):
        return "memory"
    if late and "interrupted" in text:
        return "timeout"
    for category, marks in _MARKS.items():
        if any(mark in text for mark in marks):
            return category
    return "error"


_MARKS: dict[Category, tuple[str, ...]] = {
    "refused": ("not authorized", "authorization denied", "prohibited", "one statement at a time"),
    "no_such_table": ("no such table",),
    "no_such_column": ("no such column",),
    "too_large": ("too big", "query string is too large", "too many", "parser stack overflow", "maximum depth"),
    "syntax": (
        "syntax error",
        "unrecognized token",
        "incomplete input",
        "number of bindings",
        "null character",
        "surrogates",
    ),
}


if __name__ == "__main__":
    _serve(Limits(**json.loads(sys.argv[1])))
