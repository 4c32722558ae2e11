"""Gold and predicted queries run side by side: what both returned, and whether it is the same.

Reads SQL and SQLite files, runs both in the sandbox. A gold's result is kept by the content of its database,
so that the next prediction for it does not run it again; one that depends on chance or the clock is not.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.digest import digest_file
from eval.pool import Sandbox
from eval.sandbox import Outcome, Row, Value
from eval.verdict import is_ordered, normalize, same_result

SHOWN_ROWS = 5
SHOWN_COLUMNS = 100
SHOWN_CHARACTERS = 80
REMEMBERED_CELLS = 1_000_000
GOLD_FAILED = "gold_failed"
NO_DATABASE = "no database file"

Pair = tuple[Path, str, str]  # a database, a gold query, a prediction


@dataclass(frozen=True)
class Compared:
    """Both outcomes on one database, the rows cut short. `category` is "correct", or why not."""

    category: str
    message: str
    milliseconds: float
    gold: Mapping[str, Any]
    predicted: Mapping[str, Any]

    @property
    def equal(self) -> bool:
        return self.category == "correct"


@dataclass
class Comparer:
    """Compares pairs, and remembers what golds returned."""

    sandbox: Sandbox
    _results: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    _cells: int = 0
    _digests: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def compare(self, pairs: Sequence[Pair], keep_distinct: bool = False) -> Iterator[Compared]:
        """One comparison a pair, in their order; the caller has to take them all."""
        digests = {database: self._digest(database) for database in {database for database, *_ in pairs}}
        golds = {
            (digest, normalize(gold, keep_distinct)): database
            for database, gold, _ in pairs
            if (digest := digests[database])
        }
        todo = [key for key in golds if key not in self._results]
        results = dict(zip(todo, self.sandbox.map((golds[key], key[1]) for key in todo), strict=True))
        results |= {key: self._results[key] for key in golds if key in self._results}
        self._remember(results)
        runnable = [(database, normalize(predicted, keep_distinct)) for database, _, predicted in pairs]
        outcomes = self.sandbox.map(job for job in runnable if digests[job[0]])
        for database, gold, predicted in pairs:
            digest = digests[database]
            if digest:
                yield _compare(gold, predicted, results[digest, normalize(gold, keep_distinct)], next(outcomes))
            else:
                yield Compared(GOLD_FAILED, NO_DATABASE, 0.0, _cut(Outcome("ok")), _cut(Outcome("ok")))
        next(outcomes, None)  # its end, at which the sandbox has its workers back

    def _remember(self, results: Mapping[tuple[str, str], Outcome]) -> None:
        """Keeps results that the same query gives again, the oldest leaving first."""
        for key, outcome in results.items():
            if key not in self._results and outcome.category == "ok" and outcome.repeatable:
                self._results[key] = outcome
                self._cells += _cells(outcome)
        while self._cells > REMEMBERED_CELLS:
            self._cells -= _cells(self._results.pop(next(iter(self._results))))

    def _digest(self, database: Path) -> str | None:
        """Of the file's content; None where there is no file."""
        if not database.is_file():
            return None
        status = database.stat()
        key = (database, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in self._digests:
            self._digests[key] = digest_file(database)
        return self._digests[key]


def _compare(gold: str, predicted: str, gold_outcome: Outcome, outcome: Outcome) -> Compared:
    category, message = _categorize(gold, predicted, gold_outcome, outcome)
    return Compared(category, message, outcome.milliseconds, _cut(gold_outcome), _cut(outcome))


def _categorize(gold: str, predicted: str, gold_outcome: Outcome, outcome: Outcome) -> tuple[str, str]:
    if not _ran(gold_outcome):
        return GOLD_FAILED, f"{gold_outcome.category}: {gold_outcome.message}"
    if not predicted.strip():
        return "no_sql", ""
    if not _ran(outcome):
        return outcome.category, outcome.message
    if same_result(gold_outcome.rows, outcome.rows, is_ordered(gold)):
        return "correct", ""
    return ("wrong_result" if outcome.rows else "empty"), ""


def _ran(outcome: Outcome) -> bool:
    """A text without a statement, such as a comment, runs and returns nothing."""
    return outcome.category in ("ok", "no_statement")


def _cells(outcome: Outcome) -> int:
    return 1 + len(outcome.rows) * len(outcome.columns)


def _cut(outcome: Outcome) -> dict[str, Any]:
    """The first rows of a result, as JSON can hold them."""
    return {
        "columns": [show_value(name) for name in outcome.columns[:SHOWN_COLUMNS]],
        "rows": show_rows(row[:SHOWN_COLUMNS] for row in outcome.rows[:SHOWN_ROWS]),
        "row_count": len(outcome.rows),
    }


def show_value(value: Value) -> Value:
    """A cell for people: long text cut, bytes as their number, infinity as a word."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return value[:SHOWN_CHARACTERS] + "…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def show_rows(rows: Iterable[Row]) -> list[list[Value]]:
    return [[show_value(value) for value in row] for row in rows]


def plain_rows(rows: Iterable[Row]) -> list[list[int | float | str | None]]:
    """Rows as JSON has them, nothing cut: bytes as hexadecimal digits, infinity as a word."""
    return [[_plain(value) for value in row] for row in rows]


def _plain(value: Value) -> int | float | str | None:
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
