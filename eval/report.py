"""The evaluation report: one HTML page with everything in it, no script, font or picture from outside.

Reads scores and predictions as `pipeline/evaluate.py` made them; the words and the layout are in
`eval/report.html.jinja`. What models wrote is shown as text, never as markup.
"""

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import yaml

from eval.charts import bar_chart, line_chart
from eval.score import CATEGORIES, GOLD_FAILED

SHOWN_FAILURES = 10

Scores = Mapping[str, Mapping[str, Mapping[str, Any]]]  # model -> split -> scores
Predictions = Mapping[str, Sequence[Mapping[str, Any]]]  # model -> prediction records


def write_report(
    path: Path,
    *,
    name: str,
    scores: Scores,
    predictions: Predictions,
    selection: Mapping[str, Any],
    losses: Sequence[Mapping[str, float]],
    config: Mapping[str, Any],
    keep_distinct: bool = False,
) -> None:
    """Writes the page. `predictions` holds those of the base ("base") and of the chosen checkpoint."""
    chosen = selection["chosen"]
    before, after = scores["base"]["dev"], scores[chosen]["dev"]
    dev = {
        model: [item for item in items if item["split"] == "dev" and item["category"] != GOLD_FAILED]
        for model, items in predictions.items()
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((files("eval") / "report.html.jinja").read_text(encoding="utf-8"))
    page = template.render(
        name=name,
        selection=selection,
        before=before,
        after=after,
        models=[(model, splits) for model, splits in scores.items()],
        splits=list(dict.fromkeys([selection["on"], "dev"])),
        checkpoint_chart=_checkpoint_chart(scores, selection),
        hardness_chart=_group_chart(before, after, "by_hardness"),
        database_chart=_group_chart(before, after, "by_database"),
        loss_chart=_loss_chart(losses),
        kinds=_kinds(before, after),
        failures=_spread(dev[chosen]),
        changes=_changes(dev["base"], dev[chosen]),
        category_names=CATEGORIES,
        keep_distinct=keep_distinct,
        config=yaml.safe_dump(dict(config), sort_keys=False),
    )
    path.write_text(page, encoding="utf-8")


def _checkpoint_chart(scores: Scores, selection: Mapping[str, Any]) -> str:
    """EX on the choosing split; the base stands at step 0."""
    on = selection["on"]
    steps = [
        (0 if model == "base" else int(model.split("-")[1]), splits[on])
        for model, splits in scores.items()
        if on in splits
    ]
    points = [(float(step), 100 * scored["ex"]) for step, scored in steps]
    bands = [(float(step), 100 * scored["low"], 100 * scored["high"]) for step, scored in steps]
    return line_chart({f"EX on {on}": points}, "training step (0: the base)", "EX %", bands)


def _loss_chart(losses: Sequence[Mapping[str, float]]) -> str:
    losses = [line for line in losses if math.isfinite(line["loss"])]
    if not losses:
        return ""
    window = max(len(losses) // 20, 1)
    raw = [(line["step"], line["loss"]) for line in losses]
    smooth = [
        (losses[end - 1]["step"], sum(line["loss"] for line in losses[max(end - window, 0) : end]) / min(window, end))
        for end in range(1, len(losses) + 1)
    ]
    return line_chart({"loss of each step": raw, f"mean of {window}": smooth}, "training step", "loss")


def _group_chart(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> str:
    def bar(model: str, share: Mapping[str, Any]) -> tuple[str, float, float, float, str]:
        return (
            model,
            share["ex"],
            share["low"],
            share["high"],
            f"{100 * share['ex']:.0f}% ({share['correct']}/{share['questions']})",
        )

    groups = [group for group in after[key] if group in before[key]]
    return bar_chart([(group, [bar("base", before[key][group]), bar("tuned", after[key][group])]) for group in groups])


def _kinds(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """(kind, count of the base, count of the tuned model), in the order of CATEGORIES."""
    counts = [scored["categories"] for scored in (before, after)]
    return [
        (label, counts[0].get(category, 0), counts[1].get(category, 0))
        for category, label in CATEGORIES.items()
        if any(category in count for count in counts)
    ]


def _spread(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Ten failures that show as many kinds and databases as there are: one of each in turn."""
    piles: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for item in records:
        if not item["correct"]:
            piles.setdefault((item["category"], item["db_id"]), []).append(item)
    chosen: list[Mapping[str, Any]] = []
    while piles and len(chosen) < SHOWN_FAILURES:
        for key in list(piles)[: SHOWN_FAILURES - len(chosen)]:
            chosen.append(piles[key].pop(0))
            if not piles[key]:
                del piles[key]
    return chosen


def _changes(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many questions were right in both, won, lost, wrong in both."""
    verdicts = {item["id"]: item["correct"] for item in before}
    pairs = [(verdicts[item["id"]], item["correct"]) for item in after if item["id"] in verdicts]
    names = {
        "right with both": (True, True),
        "won by tuning": (False, True),
        "lost by tuning": (True, False),
        "wrong with both": (False, False),
    }
    return {name: pairs.count(pair) for name, pair in names.items()}
