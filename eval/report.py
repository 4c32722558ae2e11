"""The evaluation report: one HTML page with everything in it, about one run or several.

Reads records and scores as `eval/score.py` makes them. The words and the order are in `report.html.jinja`,
the looks in `report.css`, the browser of examples in `report.js`; all of it goes into the page. What models
wrote is embedded as JSON and shown as text, never as markup, and the page's own content security policy lets
nothing else run and nothing be loaded.
"""

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from eval.charts import bar_row, dot_row, loss_chart, loss_window
from eval.checkpoints import Checkpoints, Scores, checkpoint_chart
from eval.comparison import judgement
from eval.execution import GOLD_FAILED
from eval.hardness import HARDNESS
from eval.score import CATEGORIES
from eval.summary import METRICS

Record = Mapping[str, Any]

QUESTION_KEYS = ("db_id", "hardness", "question", "gold", "features", "tables", "gold_result", "split")
ANSWER_KEYS = ("sql", "category", "message", "ms", "predicted_result", "prompt_digest")

SHOWN_NOTES = 5
SHOWN_DATABASES = 24
SHOWN_GOLD_FAILURES = 10
# So many characters of a text go into the page.
LONGEST = {"question": 1_000, "gold": 5_000, "sql": 5_000, "text": 5_000, "message": 1_000}
LONGEST_COLUMN = 200  # SQLite names a result's column by its whole expression
EXACT_IN_JAVASCRIPT = 2**53


@dataclass(frozen=True)
class Run:
    """One model's answers to the questions, with the scores that were made of them."""

    name: str
    records: Sequence[Record]
    scores: Scores


def write_report(
    path: Path,
    *,
    title: str,
    runs: Sequence[Run],
    comparison: Mapping[str, Mapping[str, Any]] | None = None,
    checkpoints: Checkpoints | None = None,
    losses: Sequence[Mapping[str, float]] = (),
    config: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Writes the page; the same arguments give the same bytes.

    `comparison` is what `eval.comparison.compare` found of exactly two runs, the second against the first:
    by metric, of which "ex" is needed.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": _percent, "points": _points, "link": _link}
    environment.filters |= {"yaml": _yaml, "breakable": _breakable}
    style, script = _own("report.css"), _own("report.js")
    page = environment.from_string(_own("report.html.jinja")).render(
        title=title,
        runs=runs,
        notes=notes,
        gain=comparison["ex"] if comparison else None,
        luck=judgement(comparison["ex"]) if comparison else "",
        metrics=_metrics(runs, comparison),
        breakdowns=[found for found in _breakdowns(runs) if found["rows"]],
        databases=_by_database(runs),
        shown_notes=SHOWN_NOTES,
        shown_databases=SHOWN_DATABASES,
        components=_components(runs),
        kinds=_kinds(runs),
        gold_failed=_gold_failed(runs),
        shown_gold_failures=SHOWN_GOLD_FAILURES,
        checkpoints=checkpoints,
        checkpoint_chart=Markup(checkpoint_chart(checkpoints)) if checkpoints else "",
        loss_chart=Markup(loss_chart(losses)),
        loss_window=loss_window(losses),
        settings={"Configuration": config, "Manifest": manifest},
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'",
        data=Markup(embed(_data(runs))),
    )
    # Half of a surrogate pair is something that a model can write and that UTF-8 cannot hold.
    path.write_bytes(page.encode("utf-8", "replace"))


def embed(value: Any) -> str:
    """JSON that can stand inside a script element: no text in it closes the element or opens a comment."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Any) -> Any:
    """The value without numbers that JavaScript would refuse or round."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) >= EXACT_IN_JAVASCRIPT:
        return str(value)
    return value


def _data(runs: Sequence[Run]) -> dict[str, Any]:
    """The questions, each with one answer a run (None where it has none), for the browser of examples."""
    questions: dict[str, dict[str, Any]] = {}
    for place, run in enumerate(runs):
        for name, record in _named(run.records):
            question = questions.setdefault(
                name, {"id": name, **_pick(record, QUESTION_KEYS), "answers": [None] * len(runs)}
            )
            said_more = (record.get("text") or "").strip() != record["sql"].strip()
            question["answers"][place] = _pick(record, (*ANSWER_KEYS, *METRICS, *["text"] * said_more))
    return {
        "runs": [run.name for run in runs],
        "categories": CATEGORIES,
        "hardness": HARDNESS,
        "metrics": METRICS,
        "lengths": _names(runs, "by_length"),
        "questions": list(questions.values()),
    }


def _named(records: Sequence[Record]) -> Iterator[tuple[str, Record]]:
    """Records by id; one that comes again gets a number, for files may repeat an id."""
    seen: Counter[str] = Counter()
    for record in records:
        name = str(record["id"])
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name} ({seen[name]})"), record


def _pick(record: Record, keys: Sequence[str]) -> dict[str, Any]:
    """What the record has of the keys; of a long text the beginning, and under "cut" its whole length."""
    found = {key: record[key] for key in keys if record.get(key) not in (None, "")}
    cut = {key: len(found[key]) for key, most in LONGEST.items() if len(found.get(key, "")) > most}
    found |= {key: found[key][: LONGEST[key]] for key in cut}
    for key in found.keys() & {"gold_result", "predicted_result"}:
        found[key] = {**found[key], "columns": [_short(name) for name in found[key]["columns"]]}
    return found | ({"cut": cut} if cut else {})


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_COLUMN else name[:LONGEST_COLUMN] + "…"


def _metrics(runs: Sequence[Run], comparison: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """One row a metric that some run has: intervals and counts by run, and what the second run gained."""
    rows = []
    for metric, label in METRICS.items():
        cells = [_cell(place, run.scores, metric) for place, run in enumerate(runs)]
        if any(cells):
            gain = (comparison or {}).get(metric)
            if gain is None and comparison and all(cells):
                gain = {"value": cells[1]["interval"]["value"] - cells[0]["interval"]["value"]}
            rows.append({"key": metric, "label": label, "cells": cells, "gain": gain})
    return rows


def _cell(place: int, scores: Scores, metric: str, mark: str = "") -> Any:
    """One share of a run or of a group in it, drawn; None where nothing was counted."""
    interval = scores.get("intervals", {}).get(metric)
    if not interval or not scores["n"]:
        return None
    other = scores["intervals"].get(mark)
    dots = dot_row(place, interval["value"], interval["low"], interval["high"], other and other["value"])
    return {"interval": interval, "count": scores[metric], "n": scores["n"], "other": other, "dots": Markup(dots)}


def _breakdowns(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    yield {"title": "Hardness", "rows": _groups(runs, "by_hardness", "hardness")}
    yield {"title": "Tables in the gold query", "rows": _groups(runs, "by_tables", "tables")}
    yield {"title": "Length of the question", "rows": _groups(runs, "by_length", "words")}
    yield {"title": "SQL feature of the gold query", "rows": _groups(runs, "by_feature", "feature")}


def _names(runs: Sequence[Run], key: str) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.scores.get(key, {})))


def _groups(runs: Sequence[Run], key: str, filtered: str) -> list[dict[str, Any]]:
    """The groups of any run with EX, and EM as a mark, by run; `filtered` is the list's filter for them."""
    rows = []
    for name in _names(runs, key):
        groups = [run.scores.get(key, {}).get(name, {"n": 0}) for run in runs]
        if count := max(group["n"] for group in groups):
            cells = [_cell(place, group, "ex", "em") for place, group in enumerate(groups)]
            rows.append({"name": name, "n": count, "cells": cells, "filter": {filtered: name}})
    return rows


def _by_database(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Weakest first, by the last run, for that is where one looks first."""

    def order(row: Mapping[str, Any]) -> tuple[float, str]:
        cell = row["cells"][-1]
        return (cell["interval"]["value"] if cell else 2.0), row["name"]

    return sorted(_groups(runs, "by_database", "db"), key=order)


def _components(runs: Sequence[Run]) -> list[tuple[str, list[list[float | None]]]]:
    """Precision, recall and F1 of each clause by run. The official F1 of two zeros is 1; here it is None."""

    def parts(run: Run, name: str) -> list[float | None]:
        found = run.scores.get("components", {}).get(name, {})
        return [found.get("acc"), found.get("rec"), found.get("f1") if found.get("acc") or found.get("rec") else None]

    return [(name, [parts(run, name) for run in runs]) for name in _names(runs, "components")]


def _kinds(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What went wrong, most frequent in the last run first: counts by run, each with one example."""
    first = [{item["category"]: name for name, item in reversed(list(_named(run.records)))} for run in runs]
    counts = [{key: count for key, count in run.scores["categories"].items() if key != "correct"} for run in runs]
    found = [category for category in CATEGORIES if any(count.get(category) for count in counts)]
    found.sort(key=lambda category: [-count.get(category, 0) for count in reversed(counts)])
    most = max((count for failures in counts for count in failures.values()), default=1)
    return [
        {
            "key": category,
            "label": CATEGORIES[category],
            "cells": [
                {
                    "count": count.get(category, 0),
                    "bar": Markup(bar_row(place, count.get(category, 0) / most)),
                    "example": first[place].get(category),
                }
                for place, count in enumerate(counts)
            ],
        }
        for category in found
    ]


def _gold_failed(runs: Sequence[Run]) -> dict[str, Record]:
    return {name: item for run in runs for name, item in _named(run.records) if item["category"] == GOLD_FAILED}


def _own(name: str) -> str:
    return (files("eval") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _points(share: float) -> str:
    rounded = round(100 * share, 1)
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def _link(filters: Mapping[str, Any]) -> str:
    return "#" + urlencode(filters)


def _breakable(name: str) -> Markup:
    """A name of words joined by underscores that may be broken after each."""
    return Markup("_<wbr>").join(name.split("_"))


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True)
