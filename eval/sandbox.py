"""The only place that runs SQL. Every query here is taken to be hostile.

A query runs in a worker process that holds nothing of ours: the database opened read-only and
immutable, an authorizer that lets SQLite read and do nothing else, limits on time, memory, rows and
bytes. A worker that dies or outstays its time is killed and replaced; only its query is lost.

This file is both sides: the `Sandbox` that callers use, and, run as a script by path (so that it
needs none of our packages), the worker. They speak JSON, one line a message, over pipes.
"""

import json
import os
import queue
import resource
import selectors
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

Value = int | float | str | bytes | None
Row = tuple[Value, ...]
Category = Literal[
    "ok", "syntax", "no_such_table", "no_such_column", "refused", "timeout", "memory", "too_large", "crashed", "error"
]

KILL_GRACE_SECONDS = 1.0
OPCODES_BETWEEN_CHECKS = 10_000
MAX_SQL_BYTES = 1_000_000
FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}


@dataclass(frozen=True)
class Limits:
    """What one query may use."""

    seconds: float = 5.0
    memory_mb: int = 512
    rows: int = 100_000
    result_mb: int = 32
    cell_kb: int = 1024


@dataclass(frozen=True)
class Outcome:
    """What came of one query: rows where `category` is "ok", else why not."""

    category: Category
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    milliseconds: float = 0.0
    message: str = ""


class Sandbox:
    """A pool of worker processes; use it as a context manager. Safe to call from several threads."""

    def __init__(self, limits: Limits | None = None, workers: int | None = None) -> None:
        self.limits = limits or Limits()
        self.workers = workers or os.cpu_count() or 1
        self._idle: queue.Queue[_Worker | None] = queue.Queue()
        for _ in range(self.workers):
            self._idle.put(None)  # started when first needed

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        while not self._idle.empty():
            worker = self._idle.get()
            if worker:
                worker.stop()

    def run(self, database: Path, sql: str) -> Outcome:
        """Runs one query on one SQLite file. Never raises for anything that the query does."""
        worker = self._idle.get() or _Worker(self.limits)
        alive = False
        try:
            outcome = worker.ask(database, sql)
            alive = worker.alive
            return outcome
        finally:
            if not alive:
                worker.stop()
            self._idle.put(worker if alive else None)

    def map(self, jobs: Iterable[tuple[Path, str]]) -> Iterator[Outcome]:
        """Runs (database, query) jobs on all workers; outcomes in the order of the jobs."""
        with ThreadPoolExecutor(self.workers) as threads:
            yield from threads.map(lambda job: self.run(*job), jobs)


class _Worker:
    """The caller's end of one worker process."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.alive = True
        # -I -S: no environment, no site packages, no current folder on the path.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, json.dumps(asdict(limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,  # Ctrl-C reaches the caller alone
        )

    def ask(self, database: Path, sql: str) -> Outcome:
        assert self._process.stdin is not None
        request = json.dumps({"database": str(database.resolve()), "sql": sql}).encode() + b"\n"
        start = time.perf_counter()
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except OSError:
            return self._lost("crashed", "the worker process is gone", start)
        reply = self._read_line(start + self.limits.seconds + KILL_GRACE_SECONDS)
        if isinstance(reply, str):
            return self._lost("timeout" if reply == "late" else "crashed", _LOST[reply], start)
        return _decode(reply)

    def _lost(self, category: Category, message: str, start: float) -> Outcome:
        self.alive = False
        return Outcome(category, milliseconds=1000 * (time.perf_counter() - start), message=message)

    def _read_line(self, deadline: float) -> bytes | Literal["late", "ended", "flood"]:
        assert self._process.stdout is not None
        # JSON writes a byte of text or blob in six characters at the most.
        most = 8 * self.limits.result_mb * 2**20
        pipe, chunks, size = self._process.stdout.fileno(), [], 0
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while selector.select(max(deadline - time.perf_counter(), 0)):
                chunk = os.read(pipe, 1 << 20)
                if not chunk:
                    return "ended"
                chunks.append(chunk)
                size += len(chunk)
                if chunk.endswith(b"\n"):
                    return b"".join(chunks)
                if size > most:
                    return "flood"
        return "late"

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


_LOST = {
    "late": "stopped: over the time limit",
    "ended": "the worker process died",
    "flood": "the worker process wrote more than a result may hold",
}


def _decode(line: bytes) -> Outcome:
    reply = json.loads(line)
    rows = tuple(
        tuple(bytes.fromhex(cell["hex"]) if isinstance(cell, dict) else cell for cell in row)
        for row in reply.pop("rows")
    )
    return Outcome(rows=rows, columns=tuple(reply.pop("columns")), **reply)


# ---- the worker's side -------------------------------------------------------------------------


def _serve(limits: Limits) -> None:
    """Answers requests from standard input until it closes."""
    memory = (limits.memory_mb + 64) * 2**20  # the interpreter itself needs some
    for what, most in [(resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)]:
        resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        start = time.perf_counter()
        reply = _execute(request["database"], request["sql"], limits, start)
        reply = {"columns": [], "rows": [], "message": ""} | reply
        reply["milliseconds"] = 1000 * (time.perf_counter() - start)
        try:
            encoded = json.dumps(reply).encode()
        except MemoryError:
            encoded = json.dumps(
                {"category": "memory", "columns": [], "rows": [], "message": "result too large"}
            ).encode()
        sys.stdout.buffer.write(encoded + b"\n")
        sys.stdout.buffer.flush()


def _execute(database: str, sql: str, limits: Limits, start: float) -> dict[str, Any]:
    deadline = start + limits.seconds
    try:
        connection = _open(database, limits, deadline)
        try:
            cursor = connection.execute(sql)
            if cursor.description is None:
                return {"category": "refused", "message": "not a query"}
            columns = [column[0] for column in cursor.description]
            rows, size = [], 0
            for row in cursor:
                rows.append([{"hex": cell.hex()} if isinstance(cell, bytes) else cell for cell in row])
                size += sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in row)
                if len(rows) > limits.rows or size > limits.result_mb * 2**20:
                    return {
                        "category": "too_large",
                        "message": f"more than {limits.rows} rows or {limits.result_mb} MB",
                    }
            return {"category": "ok", "columns": columns, "rows": rows}
        finally:
            connection.close()
    except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError, OverflowError) as error:
        return {"category": _categorize(error, time.perf_counter() > deadline), "message": str(error)[:500]}


def _open(database: str, limits: Limits, deadline: float) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(database)}?mode=ro&immutable=1", uri=True, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode("utf-8", errors="ignore")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA hard_heap_limit = {limits.memory_mb * 2**20}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.cell_kb * 1024)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_progress_handler(lambda: time.perf_counter() > deadline, OPCODES_BETWEEN_CHECKS)
    connection.set_authorizer(_authorize)
    return connection


def _authorize(action: int, _first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if (second or "").lower() in FORBIDDEN_FUNCTIONS else sqlite3.SQLITE_OK
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
