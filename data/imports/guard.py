"""Limits on SQL by strangers that has to run in this process.

Scripts that are imported and pairs in SQLite files are read here, while `eval/sandbox.py` holds all queries
off in processes of their own: so time and memory are limited, and an authorizer says what a statement may do.
"""

import sqlite3
import time
from collections.abc import Set

MAX_VALUE = 16 * 2**20  # of a value, and of a row: what a MEDIUMBLOB of MySQL takes
# Of all SQLite in this process, which has no limit that is a connection's own. It can be lowered, never raised.
MAX_HEAP = 2**30
OPCODES_BETWEEN_CHECKS = 10_000
READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
# The sandbox's too, which names them itself: it runs where none of our packages can be imported.
FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}


def limit(connection: sqlite3.Connection, deadline: float) -> None:
    """Limits on memory, past which SQLite raises MemoryError, and on time: `deadline` is one of `time.monotonic()`."""
    connection.execute(f"PRAGMA hard_heap_limit = {MAX_HEAP}")
    connection.execute("PRAGMA temp_store = MEMORY")  # files would have no limit
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.set_progress_handler(lambda: time.monotonic() > deadline, OPCODES_BETWEEN_CHECKS)


def guard(connection: sqlite3.Connection, deadline: float, actions: Set[int], pragmas: Set[str] = frozenset()) -> None:
    """These limits and one on the length of values; refuses all but `actions`, `pragmas` and harmless functions."""

    def allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() not in FORBIDDEN_FUNCTIONS
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = (first or "").lower() in pragmas
        else:
            allowed = action in actions
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    limit(connection, deadline)
    # Its first use declares a virtual table, which looks like a write to the authorizer.
    connection.execute("SELECT 1 FROM json_each('[]') LIMIT 0")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    connection.set_authorizer(allow)


def why(error: Exception, deadline: float, seconds: float) -> str | None:
    """What to say of an error that a limit or the authorizer made; None for any other."""
    if time.monotonic() > deadline:
        return f"takes longer than {seconds:.0f} s"
    if isinstance(error, MemoryError):
        return f"needs more than {MAX_HEAP // 2**20:,} MB of memory"
    if "too big" in str(error):
        return f"has a value or a row of more than {MAX_VALUE // 2**20} MB"
    return None
