"""Verdicts become scores: counts with intervals, in all and by group.

Reads the records of `predictions.jsonl`, as `Verdict.record` writes them with a `db_id` and, where it is
known, a `question`. Golds that failed are in no denominator.
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eval.exact_match import COMPONENTS, Component, component_scores
from eval.execution import GOLD_FAILED
from eval.features import FEATURES
from eval.hardness import HARDNESS
from eval.metrics import wilson
from eval.score import CATEGORIES

# The figures of a score, as people name them.
METRICS = {
    "ex": "EX",
    "ex_keep_distinct": "EX, DISTINCT kept",
    "ts": "TS",
    "em": "EM",
    "em_semantic": "EM, semantic",
}
REQUIRED = ("ex", "ex_keep_distinct", "em", "em_semantic", "tables")  # numbers that each record has
# Words of a question, the upper ends of the groups.
LENGTHS = (8, 12, 16, 20)

Record = Mapping[str, Any]


def summarize(records: Sequence[Record]) -> dict[str, Any]:
    """Scores: `n` and a count for each metric, their intervals, the same by group, components, categories."""
    counted = [item for item in records if item["category"] != GOLD_FAILED]
    metrics = [metric for metric in METRICS if metric != "ts" or any("ts" in item for item in counted)]

    def by(names: Sequence[str], items: Sequence[Record], groups: Callable[[Record], Iterable[str]]) -> dict[str, Any]:
        """The share of each group that has members; a record may be in several."""
        members: dict[str, list[Record]] = {name: [] for name in names}
        for item in items:
            for name in groups(item):
                members[name].append(item)
        return {name: _share(found, metrics) for name, found in members.items() if found}

    scores = {
        **_share(counted, metrics),
        "gold_failed": len(records) - len(counted),
        "by_hardness": by(HARDNESS, counted, lambda item: [item["hardness"]]),
        "by_database": by(sorted({item["db_id"] for item in counted}), counted, lambda item: [item["db_id"]]),
        "by_feature": by(FEATURES, counted, lambda item: item["features"]),
        "by_tables": by(("1", "2", "3", "4+"), counted, lambda item: [_tables(item)]),
        "components": components(counted),
        "categories": dict(Counter(item["category"] for item in records).most_common()),
    }
    asked = [item for item in counted if item.get("question")]
    if asked:
        scores["by_length"] = by(
            [_span(place) for place in range(len(LENGTHS) + 1)], asked, lambda item: [_words(item)]
        )
    if any("time_ratio" in item for item in counted):
        scores["ves"] = 100 * statistics.fmean(math.sqrt(item.get("time_ratio", 0.0)) for item in counted)
    return scores


def why_no_record(item: object) -> str | None:
    """What keeps a value from being a record of a scored prediction; None if nothing does."""
    if not isinstance(item, Mapping):
        return "is no object"
    texts = ("id", "db_id", "category", "hardness", "gold", "sql")
    wanted = {**dict.fromkeys(texts, str), **dict.fromkeys(REQUIRED, int), "features": list, "components": dict}
    wrong = next((key for key, kind in wanted.items() if not isinstance(item.get(key), kind)), None)
    if wrong:
        return f"lacks {wrong!r}"
    optional = {"question": str, "split": str, "ts": int, "time_ratio": float}
    wrong = next((key for key, kind in optional.items() if not isinstance(item.get(key, kind()), kind)), None)
    if wrong:
        return f"has an odd {wrong!r}"
    if item["hardness"] not in HARDNESS or item["category"] not in CATEGORIES or set(item["features"]) - set(FEATURES):
        return "has a hardness, category or feature that is not known"
    parts = item["components"]
    whole = not parts or (
        set(parts) == set(COMPONENTS) and all(isinstance(part, list) and len(part) == 3 for part in parts.values())
    )
    return None if whole else "has odd components"


def components(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each component, over the records that have them."""
    parsed = (item["components"] for item in records if item.get("components"))
    return component_scores({name: Component(*map(bool, part)) for name, part in parts.items()} for parts in parsed)


def _share(items: Sequence[Record], metrics: Iterable[str]) -> dict[str, Any]:
    # A suite of one database, which is what there is without a suite, asks no more than EX does.
    counts = {metric: sum(item.get(metric, item["ex"]) for item in items) for metric in metrics}
    intervals = {metric: asdict(wilson(count, len(items))) for metric, count in counts.items()}
    return {"n": len(items), **counts, "intervals": intervals}


def _tables(item: Record) -> str:
    return str(max(item["tables"], 1)) if item["tables"] < 4 else "4+"


def _words(item: Record) -> str:
    words = len(item["question"].split())
    return _span(next((place for place, most in enumerate(LENGTHS) if words <= most), len(LENGTHS)))


def _span(place: int) -> str:
    low = LENGTHS[place - 1] + 1 if place else 1
    return f"{low}-{LENGTHS[place]} words" if place < len(LENGTHS) else f"{low} words or more"
