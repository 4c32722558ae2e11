"""The report is one page that needs nothing else, shows what the data holds, and keeps hostile text as text."""

import base64
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from eval.charts import ticks
from eval.checkpoints import Checkpoints
from eval.exact_match import COMPONENTS
from eval.report import LONGEST, LONGEST_COLUMN, SHOWN_DATABASES, Run, embed, write_report
from eval.score import CATEGORIES

HOSTILE = "</pre></svg>\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}{% raw %}<!--&amp;\u2028"
VOID = {"meta", "br", "link", "img", "input", "wbr"}
METRICS = ("ex", "ex_keep_distinct", "ts", "em", "em_semantic")


def record(place: int, category: str = "correct", **changes: Any) -> dict[str, Any]:
    result = {"columns": ["name"], "rows": [["Ann"], [None]], "row_count": 7}
    right = int(category == "correct")
    return {
        "id": f"dev-{place}",
        "split": "dev",
        "db_id": ("museum", "car_rental")[place % 2],
        "hardness": ("easy", "medium", "hard")[place % 3],
        "question": f"Question {place}?",
        "gold": "SELECT name FROM guide",
        "sql": "SELECT nom FROM guide",
        "ex": right,
        "ex_keep_distinct": right,
        "em": right * (place % 2),
        "em_semantic": right,
        "category": category,
        "message": "",
        "ms": 1.5,
        "features": ["join", "order"][: place % 3],
        "tables": 1 + place % 4,
        "gold_result": result,
        "predicted_result": result,
    } | changes


BASE = [record(place, "syntax" if place % 4 else "correct") for place in range(12)]
TUNED = [record(place, "wrong_result" if place % 4 == 1 else "correct") for place in range(12)]
GAIN = {
    "value": 0.5,
    "low": 0.25,
    "high": 0.75,
    "mcnemar_p": 0.0313,
    "won": 6,
    "lost": 0,
    "both": 3,
    "neither": 3,
}
COMPARISON = {"ex": GAIN, "em": GAIN | {"value": 0.25, "low": -0.125, "high": 0.625}}
LOSSES = ({"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.25})


def scores_of(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores in the shape that the report reads, made of records here and now."""
    counted = [item for item in records if item["category"] != "gold_failed"]

    def by(key: Callable[[dict[str, Any]], Sequence[str]]) -> dict[str, Any]:
        names = sorted({name for item in counted for name in key(item)})
        return {name: _group([item for item in counted if name in key(item)]) for name in names}

    return {
        **_group(counted),
        "gold_failed": len(records) - len(counted),
        "by_hardness": by(lambda item: [item["hardness"]]),
        "by_database": by(lambda item: [item["db_id"]]),
        "by_feature": by(lambda item: item["features"]),
        "by_tables": by(lambda item: [str(item["tables"]) if item["tables"] < 4 else "4+"]),
        "by_length": by(lambda item: ["1-8 words" if len(item["question"].split()) < 9 else "9 words or more"]),
        "categories": dict(Counter(item["category"] for item in records)),
        "components": {},
    }


def _group(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    metrics = [metric for metric in METRICS if items and metric in items[0]]
    counts = {metric: sum(item[metric] for item in items) for metric in metrics}
    return {
        "n": len(items),
        **counts,
        "intervals": {metric: _interval(counts[metric], len(items)) for metric in metrics},
    }


def _interval(passed: int, total: int) -> dict[str, float]:
    share, square = passed / total, 1.96**2
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = 1.96 / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    return {"value": share, "low": max(middle - half, 0.0), "high": min(middle + half, 1.0)}


def one(folder: Path, records: Sequence[dict[str, Any]] = TUNED, **given: Any) -> str:
    """The page about one run."""
    scores = scores_of(records) | given.pop("scores", {})
    write_report(folder / "report.html", title="small", runs=[Run("tuned", records, scores)], **given)
    return (folder / "report.html").read_text(encoding="utf-8")


def two(
    folder: Path, base: Sequence[dict[str, Any]] = BASE, tuned: Sequence[dict[str, Any]] = TUNED, **given: Any
) -> str:
    """The page about two runs."""
    runs = [Run("base", base, scores_of(base)), Run("checkpoint-20", tuned, scores_of(tuned))]
    write_report(folder / "report.html", **{"title": "small", "runs": runs, "comparison": COMPARISON} | given)
    return (folder / "report.html").read_text(encoding="utf-8")


def checkpoints(on: str = "select") -> Checkpoints:
    """A base, a checkpoint seen on the choosing split alone, and the chosen one."""

    def scored(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return scores_of(records) | {"seconds": 3.2}

    base, middle, chosen = scored(BASE), scored(BASE), scored(TUNED)
    splits = {
        "base": {on: base, "dev": base},
        "checkpoint-10": {on: middle},
        "checkpoint-20": {on: chosen, "dev": chosen},
    }
    return Checkpoints(splits, "checkpoint-20", on)


class Page(HTMLParser):
    """Tags, attributes, links and text of a page; refuses one whose tags do not close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.sections: list[str] = []
        self.text = ""
        self.data: dict[str, Any] = {}
        self._open: list[str] = []
        self._embedded = ""
        self.feed(page)
        assert self._open == []
        self.text = " ".join(self.text.split())
        self.data = json.loads(self._embedded)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        values = dict(attrs)
        self.attributes |= set(values)
        if tag == "a":
            self.links.append(values["href"] or "")
        if tag == "section":
            self.sections.append(values.get("id") or values.get("aria-labelledby") or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag in ("td", "th", "p"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self._embedded = self._embedded or data
        elif self._open[-1:] != ["style"]:
            self.text += data


def charts(page: str) -> list[ElementTree.Element]:
    return [
        ElementTree.fromstring(svg) for svg in re.findall(r"<svg class=\"chart.*?</svg>(?=</div>)", page, re.DOTALL)
    ]


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    page = two(tmp_path, checkpoints=checkpoints(), losses=LOSSES, config={"a": 1}, manifest={"b": 2})
    outside = r"https?://|\bsrc=|@import|url\(|<link|<img|\bon[a-z]+=\"|\bstyle=|fetch\(|XMLHttp|innerHTML|eval\("
    assert re.findall(outside, page, re.IGNORECASE) == []
    assert page.startswith("<!doctype html>")
    assert 'charset="utf-8"' in page
    assert all(link.startswith("#") for link in Page(page).links)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_policy_allows_the_pages_own_script_and_style_alone(tmp_path: Path) -> None:
    page = one(tmp_path)
    match = re.search(r'Content-Security-Policy" content="(.*?)"', page)
    assert match
    policy = match[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        two(folder, checkpoints=checkpoints(), losses=LOSSES, config={"b": 1, "a": 2})
    assert (first / "report.html").read_bytes() == (second / "report.html").read_bytes()
    assert b"\r" not in (first / "report.html").read_bytes()


def test_sections_are_there_if_their_data_are(tmp_path: Path) -> None:
    bare = ["scores", "groups", "kinds", "examples"]
    assert Page(one(tmp_path)).sections == bare
    everything = two(
        tmp_path,
        [*BASE, record(20, "gold_failed")],
        [*TUNED, record(20, "gold_failed")],
        checkpoints=checkpoints(),
        losses=LOSSES,
        config={"learning_rate": 0.0002},
        notes=["One question was asked of one run alone."],
    )
    page = Page(everything)
    assert page.sections == ["gold-failed", "scores", "checkpoints", "loss", "groups", "kinds", "settings", "examples"]
    assert "learning_rate: 0.0002" in page.text
    assert "One question was asked of one run alone." in page.text
    assert "#manifest" not in page.links
    anchors = {link[1:] for link in page.links if "=" not in link} - {"list"}
    assert anchors == {"scores", "checkpoints", "loss", "groups", "kinds", "settings", "examples"}


def test_the_figures_are_those_given(tmp_path: Path) -> None:
    text = Page(two(tmp_path)).text
    assert "base 25.0% EX 3 of 12 right; 95% interval 8.9–53.2" in text
    assert "checkpoint-20 75.0% EX 9 of 12 right; 95% interval 46.8–91.1" in text
    assert "+50.0points 95% interval +25.0 to +75.0; McNemar p\u00a0=\u00a00.031".replace("\u00a0", " ") in text
    assert "+25.0−12.5 to +62.5" in text
    assert "won 6 and lost 0; 3 are right with both, 3 with neither" in text


def test_metrics_that_no_run_has_are_not_named(tmp_path: Path) -> None:
    assert "test suite" not in Page(one(tmp_path)).text
    suite = [item | {"ts": item["ex"]} for item in TUNED]
    text = Page(one(tmp_path, suite)).text
    assert "test suite" in text
    mixed = Page(two(tmp_path, tuned=suite)).text
    assert re.search(r"every database of the test suite – 75.0", mixed)


@pytest.mark.parametrize(
    ("low", "high", "p", "words"),
    [
        (0.1, 0.4, 0.01, "more than luck"),
        (-0.4, -0.1, 0.01, "more than luck"),
        (-0.1, 0.4, 0.4, "within what luck could do"),
        (0.01, 0.4, 0.07, "within what luck could do"),
        (-0.01, 0.4, 0.04, "within what luck could do"),
    ],
)
def test_a_difference_is_called_what_interval_and_test_say(
    tmp_path: Path, low: float, high: float, p: float, words: str
) -> None:
    comparison = {"ex": GAIN | {"value": (low + high) / 2, "low": low, "high": high, "mcnemar_p": p}}
    text = Page(two(tmp_path, comparison=comparison)).text
    assert f"the difference is {words}" in text
    assert ("answers more" if low + high > 0 else "answers fewer") in text


def test_many_notes_are_folded(tmp_path: Path) -> None:
    page = Page(one(tmp_path, notes=[f"Note {place}." for place in range(8)]))
    assert "3 more notes" in page.text
    assert page.tags["details"] == 1
    assert "Note 7." in page.text


def test_no_difference_is_not_called_a_gain(tmp_path: Path) -> None:
    comparison = {"ex": GAIN | {"value": 0.0, "low": -0.1, "high": 0.1, "mcnemar_p": 1.0}}
    assert "answer equally many questions right" in Page(two(tmp_path, comparison=comparison)).text


def test_the_page_says_on_what_the_checkpoint_was_chosen(tmp_path: Path) -> None:
    honest, flattered = (Page(two(tmp_path, checkpoints=checkpoints(on))).text for on in ("select", "dev"))
    assert "held out of training; dev was not looked at" in honest
    assert "flattered by the choice" not in honest
    assert honest.count("not asked") == 1
    assert "Chosen on dev itself" in flattered
    assert "checkpoint-20 (chosen)" in honest


def test_the_line_charts_are_well_formed_and_labelled(tmp_path: Path) -> None:
    step, loss = charts(two(tmp_path, checkpoints=checkpoints(), losses=LOSSES))
    assert len(step.findall("circle")) == 3
    assert "EX on select from 25 to 75" in step.attrib["aria-label"]
    assert [text.text for text in step.iter("text") if text.attrib["class"] == "label chosen"] == ["chosen"]
    assert len(list(loss.iter("polyline"))) == 2


def test_nothing_is_drawn_outside_the_frame(tmp_path: Path) -> None:
    losses = [{"step": step, "loss": 12.0 / step} for step in range(1, 5000)]
    for chart in charts(two(tmp_path, checkpoints=checkpoints(), losses=losses)):
        for shape in chart.iter():
            for name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy"):
                assert 0 <= float(shape.attrib.get(name, "0").rstrip("%")) <= 100
            points = [tuple(map(float, point.split(","))) for point in shape.attrib.get("points", "").split()]
            assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in points)
            assert len(points) <= 600


@pytest.mark.parametrize(
    ("high", "expected"),
    [(1, [0, 0.25, 0.5, 0.75, 1]), (18, [0, 5, 10, 15, 20]), (100, [0, 25, 50, 75, 100]), (0, [0, 0.25, 0.5, 0.75, 1])],
)
def test_axes_end_at_round_numbers(high: float, expected: list[float]) -> None:
    assert ticks(0, high) == expected


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
@pytest.mark.parametrize("places", [{0}, {2}, {0, 1, 2}], ids=["first", "last", "all"])
def test_a_run_that_diverged_gets_a_page_too(tmp_path: Path, odd: float, places: set[int]) -> None:
    losses = [{"step": step, "loss": odd if step in places else 2.0} for step in range(3)]
    page = two(tmp_path, losses=losses)
    Page(page)
    assert len(charts(page)) == (len(places) < 3)
    assert not re.search("nan|inf%", "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL)))


def test_groups_have_dots_at_their_shares_and_figures_beside(tmp_path: Path) -> None:
    page = two(tmp_path)
    row = re.search(
        r"<tbody>\s*<tr><th scope=\"rowgroup\" rowspan=\"2\"><a href=\"#db=museum\">.*?</tbody>", page, re.DOTALL
    )
    assert row
    assert re.findall(r'<circle class="dot" cx="([\d.]+)%', row[0]) == ["50.00", "100.00"]
    assert re.findall(r'<td class="number">([\d.–]+)</td>', row[0]) == ["50.0", "0.0", "100.0", "0.0"]


def test_a_group_that_one_run_lacks_has_a_dash(tmp_path: Path) -> None:
    page = two(tmp_path, [item for item in BASE if item["db_id"] == "museum"])
    row = re.search(r'<a href="#db=car_rental">.*?</tbody>', page, re.DOTALL)
    assert row
    assert row[0].count("–</td>") == 2
    assert row[0].count("<circle") == 1


def test_many_databases_are_weakest_first_and_most_of_them_folded(tmp_path: Path) -> None:
    records = [
        record(place, "correct" if place % 150 > 2 else "empty", db_id=f"base_{place % 150:03}") for place in range(300)
    ]
    page = one(tmp_path, records)
    assert re.findall(r'href="#db=(base_\d+)"', page) == [f"base_{place:03}" for place in range(150)]
    assert f"The other {150 - SHOWN_DATABASES} databases" in page


def test_groups_lead_to_their_examples(tmp_path: Path) -> None:
    groups = {"#hardness=easy", "#db=museum", "#feature=join", "#tables=3", "#tables=4%2B", "#words=1-8+words"}
    assert groups <= set(Page(two(tmp_path)).links)


def test_clauses_have_plain_names_and_no_f1_of_nothing(tmp_path: Path) -> None:
    scored = {name: {"acc": 0.5, "rec": 1.0, "f1": 0.667} for name in COMPONENTS}
    # The official F1 of two zeros.
    text = Page(one(tmp_path, scores={"components": scored | {"IUEN": {"acc": 0.0, "rec": 0.0, "f1": 1.0}}})).text
    assert "clause precision recall F1" in text
    assert "where without operators 50.0 100.0 66.7" in text
    assert "set operations (IUEN) 0.0 0.0 –" in text
    official = {"select(no AGG)", "where(no OP)", "group(no Having)", "and/or"}
    assert not [name for name in official if name in text]


def test_kinds_of_failure_are_counted_each_with_an_example(tmp_path: Path) -> None:
    page = Page(one(tmp_path))
    assert "#category=wrong_result&run=0" in page.links
    assert "#category=wrong_result&run=0&example=dev-1" in page.links
    assert "#category=correct" not in " ".join(page.links)
    assert "Kinds of failure None." in Page(one(tmp_path, [record(0)])).text


def test_kinds_of_failure_come_by_their_count_in_the_last_run(tmp_path: Path) -> None:
    def failures(**counts: int) -> list[dict[str, Any]]:
        return [record(place, name) for place, name in enumerate(Counter(counts).elements())]

    page = two(tmp_path, failures(no_sql=1, empty=2, crashed=4), failures(wrong_result=1, too_many_rows=2, syntax=3))
    found = re.findall(r'<tr><th scope="row">([^<]*)</th>\s*<td><div class="kind">', page)
    assert found == ["syntax", "too many rows", "wrong result", "crashed", "empty result", "no SQL"]


def test_the_efficiency_score_is_one_quiet_line(tmp_path: Path) -> None:
    assert "VES" not in Page(one(tmp_path)).text
    told = "100 where every prediction is right and as fast as its gold; faster counts more."
    assert f"Valid efficiency score (VES) 86.0: {told}" in Page(one(tmp_path, scores={"ves": 86.04})).text
    scores = [scores_of(BASE) | {"ves": 20.0}, scores_of(TUNED) | {"ves": 101.5}]
    runs = [Run(name, TUNED, found) for name, found in zip(("a", "b"), scores, strict=True)]
    assert f"Valid efficiency score (VES): a 20.0, b 101.5: {told}" in Page(two(tmp_path, runs=runs)).text
    runs[0] = Run("a", BASE, scores_of(BASE))
    assert f"Valid efficiency score (VES): b 101.5: {told}" in Page(two(tmp_path, runs=runs)).text


def test_gold_queries_that_failed_are_named_loudly(tmp_path: Path) -> None:
    assert "not counted" not in Page(one(tmp_path)).text
    failed = [record(20 + place, "gold_failed", message="no such table: guide") for place in range(12)]
    page = Page(two(tmp_path, [*BASE, *failed], [*TUNED, *failed]))
    assert "12 gold queries failed They are not counted in any score" in page.text
    assert "dev-20 on museum: no such table: guide" in page.text
    assert {"#example=dev-20", "#category=gold_failed"} <= set(page.links)
    assert "#example=dev-31" not in page.links
    assert "9 of 12 right" in page.text


def test_the_embedded_questions_hold_one_answer_a_run(tmp_path: Path) -> None:
    data = Page(two(tmp_path, BASE[:2], [TUNED[1], record(40, text="SELECT nom FROM guide;\nDone.")])).data
    assert data["runs"] == ["base", "checkpoint-20"]
    assert data["categories"] == CATEGORIES
    assert [question["id"] for question in data["questions"]] == ["dev-0", "dev-1", "dev-40"]
    assert [[answer and answer["category"] for answer in question["answers"]] for question in data["questions"]] == [
        ["correct", None],
        ["syntax", "wrong_result"],
        [None, "correct"],
    ]
    assert data["questions"][2]["answers"][1]["text"] == "SELECT nom FROM guide;\nDone."
    assert "text" not in data["questions"][1]["answers"][1]


def test_of_long_texts_the_page_holds_the_beginning_and_the_length(tmp_path: Path) -> None:
    sum_ = "SELECT " + "1+" * 2_500_000 + "1"
    result = {"columns": [sum_, "b"], "rows": [[1, 2]], "row_count": 1}
    long = {"sql": sum_, "gold": sum_, "message": "x" * 1_001, "text": "y" * 5_000}
    rows = [record(0, "gold_failed", **long, predicted_result=result)]
    assert len(one(tmp_path, rows)) < 100_000
    question = Page((tmp_path / "report.html").read_text(encoding="utf-8")).data["questions"][0]
    answer = question["answers"][0]
    assert question["gold"] == answer["sql"] == sum_[: LONGEST["sql"]]
    assert question["cut"] == {"gold": 5_000_008}
    assert answer["cut"] == {"sql": 5_000_008, "message": 1_001}
    assert answer["text"] == long["text"]
    assert len(answer["message"]) == LONGEST["message"]
    assert answer["predicted_result"]["columns"] == [sum_[:LONGEST_COLUMN] + "…", "b"]
    assert "cut" not in Page(one(tmp_path)).data["questions"][0]


def test_an_id_that_comes_again_gets_a_number(tmp_path: Path) -> None:
    rows = [record(1), record(1, "syntax"), record(2)]
    data = Page(two(tmp_path, rows, rows)).data
    assert [question["id"] for question in data["questions"]] == ["dev-1", "dev-1 (2)", "dev-2"]
    assert [question["answers"][1]["ex"] for question in data["questions"]] == [1, 0, 1]


def test_embedded_text_cannot_leave_its_element() -> None:
    value = {"a": HOSTILE + "\u2029</SCRIPT ><!--<script>"}
    text = embed(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_numbers_that_javascript_cannot_hold_become_text() -> None:
    rows = [[float("inf"), float("nan"), 2**53, -(2**60), 7, 0.5, True, None]]
    assert json.loads(embed(rows)) == [["inf", "nan", str(2**53), str(-(2**60)), 7, 0.5, True, None]]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    result = {"columns": [HOSTILE], "rows": [[HOSTILE], [None], [3]], "row_count": 99}
    words = dict.fromkeys(("id", "db_id", "hardness", "question", "gold", "sql", "message", "text", "split"), HOSTILE)
    results = {"gold_result": result, "predicted_result": result, "features": [HOSTILE]}
    rows = [record(0, "syntax", **words, **results), record(1, "gold_failed", **words | {"id": "x"}, **results)]
    runs = [Run(HOSTILE, rows, scores_of(rows) | {"components": {HOSTILE: {"acc": 0.5}}})] * 2
    page = two(tmp_path, title=HOSTILE, runs=runs, config={HOSTILE: HOSTILE}, manifest={"a": HOSTILE}, notes=[HOSTILE])
    parsed = Page(page)
    assert parsed.tags.keys().isdisjoint({"img", "iframe", "object"})
    assert parsed.tags["script"] == 2
    assert not {name for name in parsed.attributes if name.startswith("on") or name == "src"}
    assert page.count("<script>alert") == 0
    assert parsed.text.count("<script>alert(1)</script>") >= 12
    assert "{{ 7 * 7 }}" in parsed.text
    assert parsed.data["questions"][0]["answers"][0]["sql"] == HOSTILE
    assert all(link.startswith("#") for link in parsed.links)


def test_half_a_character_does_not_stop_the_page(tmp_path: Path) -> None:
    page = one(tmp_path, [record(0, "syntax", sql="SELECT '\ud83d'", message="near \ud83d")])
    assert Page(page).data["questions"][0]["answers"][0]["sql"] == "SELECT '?'"


@pytest.mark.parametrize(
    "rows",
    [
        [record(place) for place in range(12)],
        [record(place, "no_sql", sql="") for place in range(12)],
        [record(0, question="", features=[])],
        [record(0, "gold_failed"), record(1)],
        [record(0, "gold_failed")],
        [],
    ],
    ids=["all right", "all wrong", "one question", "a failed gold", "nothing counted", "nothing at all"],
)
@pytest.mark.parametrize(
    "losses", [[], [{"step": 1, "loss": 0.0}], [{"step": 1, "loss": 3.0}]], ids=["no loss", "zero loss", "one step"]
)
def test_extreme_runs_get_a_whole_page(
    tmp_path: Path, rows: list[dict[str, Any]], losses: list[dict[str, float]]
) -> None:
    for page in (one(tmp_path, rows, losses=losses), two(tmp_path, rows, rows, losses=losses)):
        assert len(Page(page).data["questions"]) == len(rows)
        assert len(charts(page)) == bool(losses)


def test_three_runs_stand_side_by_side(tmp_path: Path) -> None:
    runs = [Run(name, rows, scores_of(rows)) for name, rows in (("a", BASE), ("b", TUNED), ("c", TUNED))]
    page = Page(two(tmp_path, runs=runs, comparison=None))
    assert "answered by a, b and c." in page.text
    assert len(page.data["questions"][0]["answers"]) == 3
    assert "McNemar" not in page.text


def test_without_scripts_the_page_says_what_is_missing(tmp_path: Path) -> None:
    assert "The list of examples needs JavaScript; the figures above do not." in Page(one(tmp_path)).text
