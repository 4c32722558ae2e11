"""The report is one page that needs nothing else, and what models wrote stays text."""

import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from eval.report import SHOWN_FAILURES, write_report
from eval.score import summarize

HOSTILE = "</pre></svg>\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}{% raw %}&amp;"
VOID = {"meta", "br", "link", "img"}


def record(place: int, category: str = "correct", split: str = "dev", **changes: Any) -> dict[str, Any]:
    result = {"columns": ["name"], "rows": [["Ann"], [None]], "row_count": 7}
    return {
        "id": f"{split}-{place}",
        "split": split,
        "db_id": ("museum", "car_rental")[place % 2],
        "hardness": ("easy", "medium", "hard")[place % 3],
        "question": f"Question {place}?",
        "gold": "SELECT name FROM guide",
        "sql": "SELECT nom FROM guide",
        "category": category,
        "correct": category == "correct",
        "message": "",
        "gold_result": result,
        "predicted_result": result,
    } | changes


def write(
    folder: Path,
    base: Sequence[dict[str, Any]],
    tuned: Sequence[dict[str, Any]],
    on: str = "select",
    losses: Sequence[Mapping[str, float]] = ({"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.25}),
    **changes: Any,
) -> str:
    """The page about a base, a checkpoint seen on the choosing split alone, and the chosen one."""
    models = {"base": base, "checkpoint-10": [], "checkpoint-20": tuned}
    scores = {}
    for model, records in models.items():
        # The records that choose a checkpoint are as those of dev here.
        chosen_on = [item | {"split": on} for item in (records or base)]
        scores[model] = {on: summarize(chosen_on) | {"seconds": 3.2}}
        if records:
            scores[model]["dev"] = summarize(records) | {"seconds": 1.5}
    given: dict[str, Any] = {
        "name": "small-run",
        "scores": scores,
        "predictions": {"base": base, "checkpoint-20": tuned},
        "selection": {"chosen": "checkpoint-20", "on": on, "dev_gain": {"value": 0.25, "low": 0.1, "high": 0.4}},
        "losses": losses,
        "config": {"name": "small-run", "train": {"learning_rate": 0.0002}},
    }
    write_report(folder / "report.html", **given | changes)
    return (folder / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """The tags, attributes and text of a page; refuses one whose tags do not close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def charts(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


BASE = [record(place, "syntax" if place % 4 else "correct") for place in range(12)]
TUNED = [record(place, "wrong_result" if place % 4 == 1 else "correct") for place in range(12)]


@pytest.mark.parametrize("on", ["select", "dev"])
def test_the_page_needs_nothing_from_outside(tmp_path: Path, on: str) -> None:
    page = write(tmp_path, BASE, TUNED, on)
    assert (
        re.findall(r"https?://|//[a-z]|\bsrc=|\bhref|@import|url\(|<script|<link|\bon[a-z]+=", page, re.IGNORECASE)
        == []
    )
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert 'charset="utf-8"' in page
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_figures_are_those_given(tmp_path: Path) -> None:
    text = " ".join(Page(write(tmp_path, BASE, TUNED)).text.split())
    assert "25.0% [8.9, 53.2]3 of 12 questions" in text
    assert "75.0% [46.8, 91.1]9 of 12 questions" in text
    assert "+25.0 [+10.0, +40.0]" in text
    assert "more than luck" in text
    assert "3 right with both, 6 won by tuning, 0 lost by tuning, 3 wrong with both." in text
    assert "learning_rate: 0.0002" in text


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.1, 0.4, "more than luck"), (-0.1, 0.4, "within what luck could do"), (-0.4, -0.1, "worse than the base")],
)
def test_a_gain_is_called_what_its_interval_says(tmp_path: Path, low: float, high: float, words: str) -> None:
    selection = {"chosen": "checkpoint-20", "on": "select", "dev_gain": {"value": 0.0, "low": low, "high": high}}
    assert words in write(tmp_path, BASE, TUNED, selection=selection)


def test_the_page_says_on_what_the_checkpoint_was_chosen(tmp_path: Path) -> None:
    honest, flattered = (write(tmp_path, BASE, TUNED, on) for on in ("select", "dev"))
    assert "held out of training; dev was not looked at" in honest
    assert "flattered by the choice" not in honest
    assert "Chosen on dev itself" in flattered
    assert (honest.count("EX on select</th>"), flattered.count("EX on select</th>")) == (1, 0)
    assert flattered.count("EX on dev</th>") == 1


def test_a_checkpoint_that_was_not_asked_on_dev_says_so(tmp_path: Path) -> None:
    assert write(tmp_path, BASE, TUNED).count("not asked") == 1


@pytest.mark.parametrize("on", ["select", "dev"])
def test_the_charts_are_well_formed_and_labelled(tmp_path: Path, on: str) -> None:
    checkpoint, hardness, database, loss = charts(write(tmp_path, BASE, TUNED, on))
    assert len(checkpoint.findall("circle")) == 3
    assert len(hardness.findall("rect")) == 3 * 2
    assert len(database.findall("rect")) == 2 * 2
    assert len(loss.findall("polyline")) == 2
    assert f"EX on {on} from 25 to 75" in checkpoint.attrib["aria-label"]
    assert "museum: base 50% (3/6), tuned 100% (6/6)" in database.attrib["aria-label"]


def test_bars_are_as_long_as_their_values(tmp_path: Path) -> None:
    _, _, database, _ = charts(write(tmp_path, BASE, TUNED))
    *_, museum_base, museum_tuned = (float(bar.attrib["width"]) for bar in database.findall("rect"))
    assert museum_tuned == pytest.approx(2 * museum_base, abs=0.2)


def test_nothing_is_drawn_outside_the_frame(tmp_path: Path) -> None:
    losses = [{"step": step, "loss": 12.0 / step} for step in range(1, 200)]
    for chart in charts(write(tmp_path, BASE, TUNED, losses=losses)):
        _, _, width, height = map(float, chart.attrib["viewBox"].split())
        for shape in chart.iter():
            for name, most in (
                ("x1", width),
                ("x2", width),
                ("cx", width),
                ("y1", height),
                ("y2", height),
                ("cy", height),
            ):
                assert 0 <= float(shape.attrib.get(name, 0)) <= most
            for point in shape.attrib.get("points", "").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    result = {"columns": [HOSTILE], "rows": [[HOSTILE], [None], [3]], "row_count": 99}
    words = dict.fromkeys(("db_id", "question", "gold", "sql", "message"), HOSTILE)
    results = {"gold_result": result, "predicted_result": result}
    rows = [record(0, "syntax", **words, **results), record(1, "wrong_result", **words | {"message": ""}, **results)]
    page = write(tmp_path, rows, rows, name=HOSTILE, config={HOSTILE: HOSTILE})
    parsed = Page(page)
    assert parsed.tags.isdisjoint({"script", "img", "iframe", "object", "a"})
    assert not {name for name in parsed.attributes if name.startswith("on") or name in ("src", "href")}
    assert parsed.text.count(HOSTILE) >= 12
    assert len(charts(page)) == 4


def test_failures_are_of_as_many_kinds_and_databases_as_there_are(tmp_path: Path) -> None:
    tuned = [record(place, "wrong_result") for place in range(0, 60, 2)]
    tuned += [record(61, "timeout", message="stopped"), record(62, "no_sql", sql="")]
    page = write(tmp_path, tuned, tuned)
    assert page.count('<div class="failure">') == SHOWN_FAILURES == 10
    assert "Question 61?" in page
    assert "Question 62?" in page
    assert "(nothing)" in page
    assert "stopped" in page


def test_failures_of_other_splits_are_not_shown(tmp_path: Path) -> None:
    tuned = [*TUNED, record(99, "wrong_result", split="select", question="From select?")]
    assert "From select?" not in write(tmp_path, BASE, tuned)


def test_null_is_told_from_text_and_cut_results_say_so(tmp_path: Path) -> None:
    page = write(tmp_path, BASE, TUNED)
    assert "<td>Ann</td>" in page
    assert "<td><i>NULL</i></td>" in page
    assert "2 of 7 rows" in page


def test_gold_queries_that_failed_are_named_loudly(tmp_path: Path) -> None:
    assert "gold queries of dev failed" not in write(tmp_path, BASE, TUNED)
    page = write(tmp_path, [*BASE, record(20, "gold_failed")], [*TUNED, record(20, "gold_failed")])
    assert "1 gold queries of dev failed here and are not counted" in page


@pytest.mark.parametrize(
    "rows",
    [
        [record(place) for place in range(12)],
        [record(place, "no_sql", sql="") for place in range(12)],
        [record(0)],
        [record(0, "gold_failed"), record(1)],
    ],
    ids=["all right", "all wrong", "one question", "a failed gold"],
)
@pytest.mark.parametrize(
    "losses", [[], [{"step": 1, "loss": 0.0}], [{"step": 1, "loss": 3.0}]], ids=["no loss", "zero loss", "one step"]
)
def test_extreme_runs_get_a_whole_page(
    tmp_path: Path, rows: list[dict[str, Any]], losses: list[dict[str, float]]
) -> None:
    page = write(tmp_path, rows, rows, losses=losses)
    Page(page)
    assert len(charts(page)) == (4 if losses else 3)
    if all(item["correct"] for item in rows):
        assert "<p>None.</p>" in page


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
@pytest.mark.parametrize("places", [{0}, {2}, {0, 1, 2}], ids=["first", "last", "all"])
def test_a_run_that_diverged_gets_a_page_too(tmp_path: Path, odd: float, places: set[int]) -> None:
    losses = [{"step": step, "loss": odd if step in places else 2.0} for step in range(3)]
    Page(page := write(tmp_path, BASE, TUNED, losses=losses))
    for shape in (shape for chart in charts(page) for shape in chart.iter()):
        assert not re.search("nan|inf", " ".join(shape.attrib.get(name, "") for name in ("points", "cx", "cy", "y1")))


def test_a_failed_gold_counts_neither_for_nor_against(tmp_path: Path) -> None:
    rows = [*(record(place) for place in range(12)), record(12, "gold_failed")]
    page = write(tmp_path, rows, rows)
    assert "12 right with both, 0 won by tuning, 0 lost by tuning, 0 wrong with both." in " ".join(
        Page(page).text.split()
    )
    assert "<p>None.</p>" in page
