"""Queries on a PostgreSQL or MySQL server, within the limits of the sandbox (`eval/sandbox.py` runs those on files).

Each runs by itself: looked through and spelled anew (`eval/native.py`), on a connection of its own, in a read-only
transaction that is never committed, with a limit on its time, rows and bytes. Give it a user who may only read.
"""

import json
import math
import time
from collections.abc import Callable
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any

from data.errors import UserError
from data.imports.catalogue import Address, Row
from data.imports.servers import connected
from eval.native import vetted
from eval.sandbox import Category, Limits, Outcome, Value

_MARKS: dict[Category, tuple[str, ...]] = {
    "timeout": ("statement timeout", "maximum statement execution time", "max_statement_time"),
    "no_such_table": ("relation", "table"),
    "no_such_column": ("column",),
    "syntax": ("syntax",),
}


def run_remote(address: Address, sql: str, limits: Limits, *, explain: bool = False) -> Outcome:
    """Runs one query in the server's own words, or has it explained. Never raises for anything that the query does."""
    start = time.perf_counter()
    try:
        query = vetted(sql, address.dialect, None if explain else limits.rows)
    except ValueError as error:
        return Outcome("refused", message=str(error))
    if len(query) > limits.cell_kb * 1024:
        return Outcome("too_large", message="the query is too long")
    try:
        with connected(address, limits.seconds) as server:
            try:
                columns, found = server.select(f"EXPLAIN {query}" if explain else query)
                rows: list[Row] = []
                size = 0
                for row in found:
                    rows.append(tuple(_plain(cell) for cell in row))
                    size += sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in rows[-1])
                    if len(rows) > limits.rows:
                        return _failed("too_many_rows", f"more than {limits.rows} rows", start)
                    if size > limits.result_mb * 2**20:
                        return _failed("too_large", f"a result of more than {limits.result_mb} MB", start)
                    if time.perf_counter() - start > limits.seconds:
                        return _failed("timeout", "stopped: over the time limit", start)
            except server.failures as error:
                words = str(address.error("", error)).removeprefix(f"{address.shown}: : ")
                return _failed(_categorize(words), words, start)
    except UserError as error:  # the server cannot be reached
        return _failed("error", str(error), start)
    return Outcome("ok", tuple(columns), tuple(rows), 1000 * (time.perf_counter() - start), repeatable=False)


def _failed(category: Category, message: str, start: float) -> Outcome:
    return Outcome(category, milliseconds=1000 * (time.perf_counter() - start), message=message)


def _categorize(words: str) -> Category:
    lower = words.lower()
    missing = "does not exist" in lower or "doesn't exist" in lower or "unknown column" in lower
    for category, marks in _MARKS.items():
        if any(mark in lower for mark in marks) and (missing or category in ("timeout", "syntax")):
            return category
    return "error"


def _plain(cell: Any) -> Value:
    """A driver's value as one that SQLite could have given."""
    for kinds, plain in _PLAIN:
        if isinstance(cell, kinds):
            return plain(cell)
    return cell if cell is None else str(cell)


def _number(number: Decimal) -> Value:
    """Whole numbers as such, others as the nearest floating-point number, as SQLite would keep them."""
    if number.is_finite() and number == number.to_integral_value() and abs(number) < 2**63:
        return int(number)
    return float(number) if math.isfinite(number) else str(number)


def _structure(value: Any) -> Value:
    return json.dumps(value, ensure_ascii=False, default=str)


_PLAIN: tuple[tuple[type | tuple[type, ...], Callable[[Any], Value]], ...] = (
    (bool, int),
    ((int, float, str, bytes), lambda cell: cell),
    (Decimal, _number),
    (datetime, lambda cell: cell.isoformat(sep=" ")),
    ((date, time_of_day), lambda cell: cell.isoformat()),
    ((memoryview, bytearray), bytes),
    ((list, tuple, dict, set), _structure),
)
