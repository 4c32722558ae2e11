"""Predictions become verdicts, verdicts become scores.

Reads gold and predicted SQL with their databases, runs both in the sandbox, and gives each prediction
a category: "correct", or the reason why not. A gold query that fails is left out of the denominator.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.hardness import HARDNESS
from eval.metrics import wilson
from eval.sandbox import Outcome, Row, Sandbox, Value
from eval.verdict import is_ordered, normalize, same_result

SHOWN_ROWS = 5
SHOWN_CHARACTERS = 80
GOLD_FAILED = "gold_failed"
PROMPT_TOO_LONG = "prompt_too_long"

# Every category of a prediction, as reports name it. Those of the sandbox that are rare share a name.
CATEGORIES = {
    "correct": "correct",
    "wrong_result": "wrong result",
    "empty": "empty result",
    "syntax": "syntax",
    "no_such_table": "no such table",
    "no_such_column": "no such column",
    "timeout": "time-out",
    "memory": "out of memory",
    "too_large": "too large",
    "refused": "refused",
    "crashed": "crashed",
    "error": "other error",
    "no_sql": "no SQL",
    PROMPT_TOO_LONG: "prompt too long",
    GOLD_FAILED: "gold failed",
}


@dataclass(frozen=True)
class Judged:
    """One prediction's verdict. Results are cut short; `milliseconds` is the prediction's own."""

    category: str
    message: str
    gold_result: dict[str, Any]
    predicted_result: dict[str, Any]
    milliseconds: float

    @property
    def correct(self) -> bool:
        return self.category == "correct"

    def record(self) -> dict[str, Any]:
        return {"correct": self.correct, **asdict(self)}


def judge(sandbox: Sandbox, cases: Sequence[tuple[Path, str, str]], keep_distinct: bool = False) -> Iterator[Judged]:
    """Verdicts of (database, gold, predicted) cases, in their order. Each query runs once."""
    jobs = (
        (database, normalize(sql, keep_distinct)) for database, gold, predicted in cases for sql in (gold, predicted)
    )
    outcomes = sandbox.map(jobs)
    for _, gold, predicted in cases:
        gold_outcome, outcome = next(outcomes), next(outcomes)
        category, message = _categorize(gold, predicted, gold_outcome, outcome)
        yield Judged(category, message, _cut(gold_outcome), _cut(outcome), round(outcome.milliseconds, 2))


def _categorize(gold: str, predicted: str, gold_outcome: Outcome, outcome: Outcome) -> tuple[str, str]:
    if gold_outcome.category != "ok":
        return GOLD_FAILED, f"{gold_outcome.category}: {gold_outcome.message}"
    if not predicted.strip():
        return "no_sql", ""
    if outcome.category != "ok":
        return outcome.category, outcome.message
    if same_result(gold_outcome.rows, outcome.rows, is_ordered(gold)):
        return "correct", ""
    return ("wrong_result" if outcome.rows else "empty"), ""


def _cut(outcome: Outcome) -> dict[str, Any]:
    """The first rows of a result, as JSON can hold them."""
    return {
        "columns": list(outcome.columns),
        "rows": [[show_value(value) for value in row] for row in outcome.rows[:SHOWN_ROWS]],
        "row_count": len(outcome.rows),
    }


def show_value(value: Value) -> Value:
    """A cell for people: long text cut, bytes as their number."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return value[:SHOWN_CHARACTERS] + "…"
    return value


def show_rows(rows: Iterable[Row]) -> list[list[Value]]:
    return [[show_value(value) for value in row] for row in rows]


def summarize(predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Scores of prediction records (hardness, db_id, category): EX with its interval, in all and by group."""
    counted = [item for item in predictions if item["category"] != GOLD_FAILED]
    by_hardness = {level: [item for item in counted if item["hardness"] == level] for level in HARDNESS}
    names = sorted({item["db_id"] for item in counted})
    return {
        **_share(counted),
        "gold_failed": len(predictions) - len(counted),
        "by_hardness": {level: _share(items) for level, items in by_hardness.items() if items},
        "by_database": {name: _share([item for item in counted if item["db_id"] == name]) for name in names},
        "categories": dict(Counter(item["category"] for item in predictions).most_common()),
    }


def _share(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    correct = sum(item["category"] == "correct" for item in items)
    interval = wilson(correct, len(items))
    return {
        "questions": len(items),
        "correct": correct,
        "ex": interval.value,
        "low": interval.low,
        "high": interval.high,
    }
