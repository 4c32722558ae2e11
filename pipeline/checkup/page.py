"""A check-up as one HTML page with everything in it: no script, and nothing that is loaded from elsewhere.

The words and the order are in `page.html.jinja`; the looks are those of the evaluation report, with what
`page.css` adds. Questions and SQL are shown as text, never as markup.
"""

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from eval.charts import bar_row, ticks
from pipeline.checkup.counts import SPIDER_MIX
from pipeline.checkup.facts import KINDS, Checkup, Lengths

SHOWN_AT_ONCE = 12  # of one kind of finding; the next ones open on a click
MOST_SHOWN = 300
MOST_DATABASES = 500
LONGEST = 800  # characters of a question or a query
BARS = 16


def write_page(checkup: Checkup, path: Path) -> None:
    """Writes the page; the same check-up gives the same bytes."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["short"] = lambda text: text if len(text) <= LONGEST else text[:LONGEST] + "…"
    environment.filters["headed"] = lambda text: text[:1].upper() + text[1:]
    style = (files("eval") / "report.css").read_text(encoding="utf-8")
    style += (files("pipeline.checkup") / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = (files("pipeline.checkup") / "page.html.jinja").read_text(encoding="utf-8")
    page = environment.from_string(template).render(
        checkup=checkup,
        kinds=KINDS,
        ran=checkup.pairs - len(checkup.findings["fails"]) - len(checkup.findings["missing"]),
        hardness=_hardness(checkup),
        histogram=histogram(checkup.lengths) if checkup.lengths else None,
        databases=list(checkup.databases.items())[:MOST_DATABASES],
        most_pairs=max((database.pairs for database in checkup.databases.values()), default=1),
        bar=lambda number, share: Markup(bar_row(number, share)),
        shown_at_once=SHOWN_AT_ONCE,
        most_shown=MOST_SHOWN,
        style=Markup(style),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    )
    path.write_bytes(page.encode("utf-8", "replace"))


def _hardness(checkup: Checkup) -> list[dict[str, Any]]:
    """Shares of the classes, here and in Spider; both bars on the scale of the largest."""
    shares = {level: count / checkup.pairs for level, count in checkup.hardness.items()}
    most = max([*shares.values(), *SPIDER_MIX.values()])
    return [
        {
            "level": level,
            "count": checkup.hardness[level],
            "share": share,
            "spider": SPIDER_MIX.get(level),
            "most": most,
        }
        for level, share in shares.items()
        if level in SPIDER_MIX or share
    ]


def histogram(lengths: Lengths) -> Mapping[str, Any]:
    """Bars of round width over token lengths: places and sizes in percent of the drawing."""
    marks = ticks(min(lengths.tokens), max(lengths.tokens) + 1, BARS)
    first, step = marks[0], marks[1] - marks[0]
    counts = [0] * (len(marks) - 1)
    for tokens in lengths.tokens:
        counts[int((tokens - first) // step)] += 1
    most = max(counts)
    bars = [
        {
            "left": 100 * number / len(counts),
            "width": 100 / len(counts),
            "height": 100 * count / most,
            "title": f"{marks[number]:,.0f} to {marks[number + 1]:,.0f} tokens: {count:,}",
        }
        for number, count in enumerate(counts)
        if count
    ]
    every = -(-len(counts) // 6)  # so many ticks have room on a telephone
    labels = [
        {"left": 100 * number / len(counts), "text": f"{mark:,.0f}"}
        for number, mark in enumerate(marks)
        if number % every == 0
    ]
    limit = lengths.limit if lengths.limit and first <= lengths.limit < marks[-1] else None
    return {
        "bars": bars,
        "labels": labels,
        "most": most,
        "limit": limit and 100 * (limit - first) / (marks[-1] - first),
    }
