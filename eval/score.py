"""Predictions become verdicts: EX, EM and test-suite accuracy of one prediction after the other.

Reads gold and predicted SQL with their databases, runs both in the sandbox, and gives each prediction a
category: "correct", or the reason why not. What the verdicts add up to is `eval/summary.py`'s.
"""

import itertools
import math
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eval.execution import GOLD_FAILED, Compared, Comparer, Pair
from eval.plug import plug_values
from eval.pool import Sandbox
from eval.query import Names
from eval.reading import Read, Reader
from eval.verdict import normalize

BLOCK = 128
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
    remarks: tuple[str, ...] = ()  # about the gold, for people

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
            **({"remarks": list(self.remarks)} if self.remarks else {}),
            "features": list(self.read.features),
            "tables": self.read.tables,
            "components": {name: [int(flag) for flag in part] for name, part in self.read.components.items()},
            "gold_result": dict(self.gold_result),
            "predicted_result": dict(self.predicted_result),
        }


@dataclass
class Judge:
    """Gives verdicts; what it has learnt of golds it keeps.

    With `plug_value` a prediction also passes with gold values in place of its own. With `timings` every
    right prediction is run that often against its gold, to compare their times.
    """

    sandbox: Sandbox
    plug_value: bool = False
    timings: int = 0
    _reader: Reader = field(default_factory=Reader)

    def __post_init__(self) -> None:
        self._comparer = Comparer(self.sandbox)

    def verdicts(self, cases: Iterable[Case]) -> Iterator[Verdict]:
        """One verdict a case, in their order."""
        waiting = iter(cases)
        while block := list(itertools.islice(waiting, BLOCK)):
            yield from self._judge(block)

    def _judge(self, cases: Sequence[Case]) -> Iterator[Verdict]:
        compared: list[Compared] = []
        texts: list[Read] = []
        for case, one in zip(cases, self._comparer.compare([_pair(case) for case in cases]), strict=True):
            compared.append(one)
            texts.append(self._reader.read(case.gold, case.predicted, case.names))  # while the next ones run
        if self.plug_value:
            cases, compared = map(list, zip(*map(self._plugged, cases, compared), strict=True))
        remarks: list[list[str]] = [[] for _ in cases]
        kept = self._keep_distinct(cases, compared, remarks)
        suites = self._agree_on_suites(cases, compared, remarks)
        for place, one in enumerate(compared):
            yield Verdict(
                category=one.category,
                message=one.message,
                ex=one.equal,
                ex_keep_distinct=kept[place],
                ts=suites[place],
                ms=round(one.milliseconds, 2),
                time_ratio=self._time_ratio(cases[place]) if self.timings and one.equal else None,
                read=texts[place],
                gold_result=one.gold,
                predicted_result=one.predicted,
                remarks=tuple(remarks[place]),
            )

    def _keep_distinct(
        self, cases: Sequence[Case], compared: Sequence[Compared], remarks: Sequence[list[str]]
    ) -> list[bool]:
        """EX with DISTINCT kept. Where there is none to drop, it is what is known already."""
        kept = [one.equal for one in compared]
        other = [place for place, case in enumerate(cases) if _drops_distinct(case)]
        for place, one in zip(
            other, self._comparer.compare([_pair(cases[place]) for place in other], True), strict=True
        ):
            kept[place] = one.equal
            if one.category == GOLD_FAILED != compared[place].category:
                remarks[place].append(f"its gold fails with DISTINCT kept ({one.message}), which counts as wrong there")
        return kept

    def _agree_on_suites(
        self, cases: Sequence[Case], compared: Sequence[Compared], remarks: Sequence[list[str]]
    ) -> list[bool | None]:
        """Whether gold and prediction agree on every other database too; None without a suite.

        A database on which the gold itself fails says nothing and is passed over, with a remark.
        """
        agree = [one.equal if case.suite else None for case, one in zip(cases, compared, strict=True)]
        rest = [(place, database) for place, case in enumerate(cases) if agree[place] for database in case.suite]
        pairs = [(database, cases[place].gold, cases[place].predicted) for place, database in rest]
        for (place, database), one in zip(rest, self._comparer.compare(pairs), strict=True):
            if one.category == GOLD_FAILED:
                remarks[place].append(f"its gold fails on {database.name} ({one.message}), which TS passes over")
            elif not one.equal:
                agree[place] = False
        return agree

    def _plugged(self, case: Case, compared: Compared) -> tuple[Case, Compared]:
        """The case with the first values that make it right, on its whole test suite if some do."""
        if compared.category not in ("wrong_result", "empty"):
            return case, compared
        end = time.monotonic() + self.sandbox.limits.seconds
        best = case, compared
        for text in plug_values(normalize(case.gold), normalize(case.predicted)):
            (one,) = self._comparer.compare([(case.database, case.gold, text)])
            if one.equal:
                plugged = replace(case, predicted=text)
                best = best if best[1].equal else (plugged, one)
                if self._agree_on_suites([plugged], [one], [[]])[0] is not False:
                    return plugged, one
            if one.category not in ("correct", "wrong_result", "empty") or time.monotonic() > end:
                break
        return best

    def _time_ratio(self, case: Case) -> float | None:
        """Gold time to predicted time, as BIRD has it: the mean over runs, outliers of 3 sigma left out.

        One query at a time, so that they do not slow each other; None where a run fails.
        """
        jobs = [(case.database, normalize(sql)) for sql in (case.gold, case.predicted)] * self.timings
        outcomes = [self.sandbox.run(*job) for job in jobs]
        if any(outcome.category != "ok" for outcome in outcomes):
            return None
        times = [outcome.milliseconds for outcome in outcomes]
        return trimmed_mean([gold / predicted for gold, predicted in zip(times[::2], times[1::2], strict=True)])


def trimmed_mean(values: Sequence[float]) -> float:
    """The mean of the values that are within three standard deviations of the mean of all."""
    middle = statistics.fmean(values)
    spread = statistics.pstdev(values)
    near = [value for value in values if abs(value - middle) <= 3 * spread or math.isclose(value, middle)]
    return statistics.fmean(near)


def _pair(case: Case) -> Pair:
    return case.database, case.gold, case.predicted


def _drops_distinct(case: Case) -> bool:
    return any(normalize(sql) != normalize(sql, keep_distinct=True) for sql in (case.gold, case.predicted))
