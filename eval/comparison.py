"""Two systems on the same questions: what was won, what was lost, whether it is more than luck.

Reads the records of two runs; a question counts where both were asked it and its gold ran in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eval.execution import GOLD_FAILED
from eval.metrics import mcnemar, paired_difference
from eval.summary import METRICS

Record = Mapping[str, Any]
SIGNIFICANT = 0.05


def common(first: Sequence[Record], second: Sequence[Record]) -> list[tuple[Record, Record]]:
    """The questions that both runs answered, by id, in the order of the first."""
    others = {item["id"]: item for item in second if item["category"] != GOLD_FAILED}
    return [(item, others[item["id"]]) for item in first if item["category"] != GOLD_FAILED and item["id"] in others]


def compare(pairs: Sequence[tuple[Record, Record]], seed: int = 0) -> dict[str, dict[str, Any]]:
    """For each metric of both: the paired difference with its interval, wins, losses, McNemar's p-value."""
    metrics = [metric for metric in METRICS if all(metric in item for pair in pairs for item in pair)]
    return {
        metric: _compare([(bool(old[metric]), bool(new[metric])) for old, new in pairs], seed) for metric in metrics
    }


def _compare(verdicts: Sequence[tuple[bool, bool]], seed: int) -> dict[str, Any]:
    counts = {
        "both": verdicts.count((True, True)),
        "won": verdicts.count((False, True)),
        "lost": verdicts.count((True, False)),
        "neither": verdicts.count((False, False)),
    }
    difference = paired_difference([old for old, _ in verdicts], [new for _, new in verdicts], seed)
    return {**asdict(difference), "mcnemar_p": mcnemar(counts["won"], counts["lost"]), **counts}


def judgement(figures: Mapping[str, Any]) -> str:
    """In words, whether a difference is more than luck: the interval and the test must agree."""
    if not figures["won"] and not figures["lost"]:
        return "the same on every question"
    if figures["mcnemar_p"] < SIGNIFICANT and (figures["low"] > 0 or figures["high"] < 0):
        return "more than luck"
    return "within what luck could do"
