"""Predictions become verdicts: EX, EM and test-suite accuracy of one prediction after the other.

Reads gold and predicted SQL with their databases, runs both in the sandbox, and gives each prediction a
category: "correct", or the reason why not. What the verdicts add up to is `eval/summary.py`'s.
"""

import hashlib
import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.plug import plug_values
from eval.pool import Sandbox
from eval.query import Names
from eval.reading import Read, Reader
from eval.sandbox import Outcome, Row, Value
from eval.verdict import is_ordered, normalize, same_result

SHOWN_ROWS = 5
SHOWN_CHARACTERS = 80
BLOCK = 128
REMEMBERED_CELLS = 1_000_000
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
    "cpu": "out of processor time",
    "memory": "out of memory",
    "too_many_rows": "too many rows",
    "too_large": "too large",
    "refused": "refused",
    "crashed": "crashed",
    "error": "other error",
    "no_sql": "no SQL",
    PROMPT_TOO_LONG: "prompt too long",
    GOLD_FAILED: "gold failed",
}


@dataclass(frozen=True)
class Case:
    """One prediction to judge. Without `names` (tables, columns, foreign keys) there is no exact match.

    `suite` holds the other databases of the same schema that gold and prediction must agree on.
    """

    database: Path
    gold: str
    predicted: str
    names: Names | None = None
    suite: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What came of one prediction. Results are cut short; `ms` is the prediction's own, of one run.

    `ts` is None without a test suite; `time_ratio` (gold time to predicted time) without timing. `read` holds
    what its text tells: hardness, exact match, components.
    """

    category: str
    message: str
    ex: bool
    ex_keep_distinct: bool
    ts: bool | None
    ms: float
    time_ratio: float | None
    read: Read
    gold_result: Mapping[str, Any]
    predicted_result: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """The verdict as a line of `predictions.jsonl` has it."""
        return {
            "hardness": self.read.hardness,
            "ex": int(self.ex),
            "ex_keep_distinct": int(self.ex_keep_distinct),
            "em": int(self.read.em),
            "em_semantic": int(self.read.em_semantic),
            **({} if self.ts is None else {"ts": int(self.ts)}),
            "category": self.category,
            "ms": self.ms,
            **({} if self.time_ratio is None else {"time_ratio": round(self.time_ratio, 4)}),
            "message": self.message,
            "features": list(self.read.features),
            "tables": self.read.tables,
            "components": {name: [int(flag) for flag in part] for name, part in self.read.components.items()},
            "gold_result": dict(self.gold_result),
            "predicted_result": dict(self.predicted_result),
        }


@dataclass(frozen=True)
class _Compared:
    """Both outcomes on one database, the rows cut short."""

    category: str
    message: str
    milliseconds: float
    gold: Mapping[str, Any]
    predicted: Mapping[str, Any]

    @property
    def equal(self) -> bool:
        return self.category == "correct"


@dataclass
class Judge:
    """Gives verdicts; what it has learnt of golds it keeps, results by the content of the database.

    With `plug_value` a prediction also passes with gold values in place of its own. With `timings` every
    right prediction is run that often against its gold, to compare their times.
    """

    sandbox: Sandbox
    plug_value: bool = False
    timings: int = 0
    _results: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    _cells: int = 0
    _reader: Reader = field(default_factory=Reader)
    _digests: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def verdicts(self, cases: Iterable[Case]) -> Iterator[Verdict]:
        """One verdict a case, in their order."""
        waiting = iter(cases)
        while block := list(itertools.islice(waiting, BLOCK)):
            yield from self._judge(block)

    def _judge(self, cases: Sequence[Case]) -> Iterator[Verdict]:
        compared: list[_Compared] = []
        texts: list[Read] = []
        for case, one in zip(cases, self._compare([_pair(case) for case in cases], False), strict=True):
            compared.append(one)
            texts.append(self._reader.read(case.gold, case.predicted, case.names))  # while the next ones run
        if self.plug_value:
            self._plug(cases, compared)
        kept = self._keep_distinct(cases, compared)
        suites = self._agree_on_suites(cases, compared)
        for case, one, text, keeping, ts in zip(cases, compared, texts, kept, suites, strict=True):
            yield Verdict(
                category=one.category,
                message=one.message,
                ex=one.equal,
                ex_keep_distinct=keeping,
                ts=ts,
                ms=round(one.milliseconds, 2),
                time_ratio=self._time_ratio(case) if self.timings and one.equal else None,
                read=text,
                gold_result=one.gold,
                predicted_result=one.predicted,
            )

    def _keep_distinct(self, cases: Sequence[Case], compared: Sequence[_Compared]) -> list[bool]:
        """EX with DISTINCT kept. Where there is none to drop, it is what is known already."""
        kept = [one.equal for one in compared]
        other = [place for place, case in enumerate(cases) if _drops_distinct(case)]
        for place, one in zip(other, self._compare([_pair(cases[place]) for place in other], True), strict=True):
            kept[place] = one.equal
        return kept

    def _compare(self, pairs: Sequence[tuple[Path, str, str]], keep_distinct: bool) -> Iterator[_Compared]:
        """Gold and prediction on one database each. Golds that were run before are not run again."""
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
        texts = [normalize(predicted, keep_distinct) for _, _, predicted in pairs]
        outcomes = self.sandbox.map(
            (database, text) for (database, *_), text in zip(pairs, texts, strict=True) if text and digests[database]
        )
        for (database, gold, predicted), text in zip(pairs, texts, strict=True):
            digest = digests[database]
            if not digest:
                yield _Compared(GOLD_FAILED, "no database file", 0.0, _cut(_EMPTY), _cut(_EMPTY))
                continue
            gold_outcome = results[digest, normalize(gold, keep_distinct)]
            outcome = next(outcomes) if text else _EMPTY
            category, message = _categorize(gold, predicted, gold_outcome, outcome)
            yield _Compared(category, message, outcome.milliseconds, _cut(gold_outcome), _cut(outcome))
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
            with database.open("rb") as file:
                self._digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._digests[key]

    def _plug(self, cases: Sequence[Case], compared: list[_Compared]) -> None:
        for place, case in enumerate(cases):
            if compared[place].category in ("correct", GOLD_FAILED, "no_sql"):
                continue
            texts = plug_values(normalize(case.gold), normalize(case.predicted))
            for text in texts:
                (one,) = self._compare([(case.database, case.gold, text)], False)
                if one.equal:
                    compared[place] = one
                    break

    def _agree_on_suites(self, cases: Sequence[Case], compared: Sequence[_Compared]) -> list[bool | None]:
        """Whether gold and prediction agree on every other database too; None without a suite.

        A database on which the gold itself fails says nothing and is passed over.
        """
        agree = [one.equal if case.suite else None for case, one in zip(cases, compared, strict=True)]
        rest = [
            (place, (database, case.gold, case.predicted))
            for place, case in enumerate(cases)
            if agree[place]
            for database in case.suite
        ]
        for (place, _), one in zip(rest, self._compare([pair for _, pair in rest], False), strict=True):
            agree[place] = agree[place] and (one.equal or one.category == GOLD_FAILED)
        return agree

    def _time_ratio(self, case: Case) -> float:
        """Gold time to predicted time, as BIRD has it: the mean over runs, outliers of 3 sigma left out."""
        jobs = [(case.database, normalize(sql)) for sql in (case.gold, case.predicted)] * self.timings
        times = [outcome.milliseconds for outcome in self.sandbox.map(jobs)]
        ratios = [gold / predicted for gold, predicted in zip(times[::2], times[1::2], strict=True)]
        return trimmed_mean(ratios)


_EMPTY = Outcome("ok")


def trimmed_mean(values: Sequence[float]) -> float:
    """The mean of the values that are within three standard deviations of the mean of all."""
    middle = statistics.fmean(values)
    spread = statistics.pstdev(values)
    near = [value for value in values if abs(value - middle) <= 3 * spread or math.isclose(value, middle)]
    return statistics.fmean(near)


def _pair(case: Case) -> tuple[Path, str, str]:
    return case.database, case.gold, case.predicted


def _drops_distinct(case: Case) -> bool:
    return any(normalize(sql) != normalize(sql, keep_distinct=True) for sql in (case.gold, case.predicted))


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


def _cells(outcome: Outcome) -> int:
    return 1 + len(outcome.rows) * len(outcome.columns)


def _cut(outcome: Outcome) -> dict[str, Any]:
    """The first rows of a result, as JSON can hold them."""
    return {
        "columns": list(outcome.columns),
        "rows": show_rows(outcome.rows[:SHOWN_ROWS]),
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
