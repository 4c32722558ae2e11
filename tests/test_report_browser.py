"""The report in a real browser: charts, filters, search, the page of one example, keys, narrow screens.

One headless browser for all tests. Skipped where there is no Chromium or Chrome.
"""

import time
from pathlib import Path

import pytest
from browser import Browser, needs_browser, one_browser, watched
from test_report import BASE, COMPARISON, HOSTILE, LOSSES, TUNED, checkpoints, record, scores_of

from eval.report import Run, write_report

pytestmark = needs_browser
__all__ = ["one_browser", "watched"]  # fixtures


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page each about one run, two runs, hostile text, many questions, long texts and wide results."""
    folder = tmp_path_factory.mktemp("pages")
    extra = record(
        30,
        "wrong_result",
        question="How many tours?",
        gold="SELECT count(*) FROM tour WHERE price > 10",
        sql="select COUNT(*)  from tour where cost > 'ten';",
        text="Here it is: select ...",
    )
    failed = record(31, "gold_failed", message="no such table: guide")
    base, tuned = [*BASE, extra, failed], [*TUNED, extra | {"sql": extra["gold"]}, failed]
    words = dict.fromkeys(("id", "db_id", "question", "gold", "sql", "message", "text"), HOSTILE)
    result = {"columns": [HOSTILE], "rows": [[HOSTILE], [None], [3]], "row_count": 99}
    odd = [record(0, "syntax", **words, features=[HOSTILE], gold_result=result, predicted_result=result)]
    long = "a_database_with_a_name_" * 4
    many = [record(place, "empty" if place % 7 else "correct", db_id=f"{long}{place % 150}") for place in range(10_000)]
    write_report(folder / "one.html", title="One", runs=[Run("tuned", tuned, scores_of(tuned))])
    write_report(
        folder / "two.html",
        title="Two",
        runs=[Run("base", base, scores_of(base)), Run("checkpoint-20", tuned, scores_of(tuned))],
        comparison=COMPARISON,
        checkpoints=checkpoints(),
        losses=LOSSES,
        config={"name": "x" * 200},
    )
    write_report(folder / "hostile.html", title=HOSTILE, runs=[Run(HOSTILE, odd, scores_of(odd))])
    write_report(folder / "many.html", title="Many", runs=[Run("tuned", many, scores_of(many))])
    sums = [f"SELECT {'1+' * terms}1" for terms in (200_000, 2_000, 700)]
    golds = [*sums, *(text.replace("+", "-") for text in sums[1:]), "SELECT 1"]
    predictions = [*sums, *sums[1:], f"SELECT {'(' * 50_000}1{')' * 50_000}"]
    long = [
        record(place, "syntax", gold=gold, sql=sql, message="too deep " * 1_000, text=f"Let me see: {sql}")
        for place, (gold, sql) in enumerate(zip(golds, predictions, strict=True))
    ]
    write_report(folder / "long.html", title="Long", runs=[Run("tuned", long, scores_of(long))])
    place = ["Netherlands", "Antilles", "Nonmetropolitan", "Caribbean", 193.5, None, "word " * 16, "x" * 80]
    result = {"columns": [f"GovernmentForm{number}" for number in range(16)], "rows": [place * 2], "row_count": 1}
    wide = [record(0, "wrong_result", id="line 1", question="", gold_result=result, predicted_result=result)]
    components = {name: {"acc": 1.0, "rec": 1.0, "f1": 1.0} for name in ("select", "IUEN")}
    runs = [Run(name, wide, scores_of(wide) | {"components": components}) for name in ("base", "tuned")]
    write_report(folder / "wide.html", title="Wide", runs=runs)
    return {path.stem: path for path in folder.iterdir()}


COUNT = "document.getElementById('count').textContent"
LISTED = "[...document.querySelectorAll('#results small')].map((about) => about.textContent.split(' ')[0])"


@pytest.mark.parametrize(
    ("fragment", "ids"),
    [
        ("#verdict=won", ["dev-2", "dev-3", "dev-6", "dev-7", "dev-10", "dev-11"]),
        ("#verdict=lost", []),
        ("#verdict=both&hardness=easy", ["dev-0"]),
        ("#verdict=neither", ["dev-1", "dev-5", "dev-9", "dev-30"]),
        ("#verdict=right&run=0", ["dev-0", "dev-4", "dev-8"]),
        ("#verdict=wrong", ["dev-1", "dev-5", "dev-9", "dev-30"]),
        ("#category=syntax&run=0&db=museum", ["dev-2", "dev-6", "dev-10"]),
        ("#category=syntax&run=1", []),
        ("#category=gold_failed", ["dev-31"]),
        ("#feature=order&db=museum", ["dev-2", "dev-8"]),
        ("#tables=2&db=car_rental", ["dev-1", "dev-5", "dev-9"]),
        ("#tables=4%2B", ["dev-3", "dev-7", "dev-11", "dev-31"]),
        ("#words=1-8+words&verdict=won&hardness=easy", ["dev-3", "dev-6"]),
        ("#words=9+words+or+more", []),
        ("#words=many", []),
        ("#q=TOURS+many", ["dev-30"]),
        ("#q=%27ten%27", ["dev-30"]),
        ("#q=nothing+has+this", []),
        ("#verdict=no-such-verdict", []),
    ],
)
def test_a_link_filters_the_list(browser: Browser, pages: dict[str, Path], fragment: str, ids: list[str]) -> None:
    browser.open(pages["two"], fragment)
    assert browser.run(LISTED) == ids
    assert browser.run(COUNT) == f"{len(ids)} of 14 examples"


def test_without_filters_all_are_listed(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["two"])
    assert browser.run(COUNT) == "14 examples"
    assert browser.run("document.getElementById('detail').hidden")
    assert browser.run("scrollY") == 0
    options = "[...document.forms[0].elements.category.options].map((option) => option.value)"
    assert browser.run(options) == ["", "correct", "wrong_result", "syntax", "gold_failed"]


def test_typing_and_choosing_filter_the_list_and_make_an_address(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["two"])
    browser.run("document.forms[0].elements.q.focus()")
    for letter in "question 1":
        browser.press(letter, letter)
    browser.wait(f"{COUNT} === '4 of 14 examples'")
    assert browser.run("document.forms[0].elements.q.value") == "question 1"
    choose = "document.forms[0].elements.db.value = 'museum', document.forms[0].elements.db"
    browser.run(f"({choose}).dispatchEvent(new Event('change', {{bubbles: true}}))")
    browser.wait(f"{COUNT} === '1 of 14 examples'")
    assert browser.run("location.hash") == "#q=question+1&db=museum"
    browser.run("document.getElementById('clear').click()")
    browser.wait(f"{COUNT} === '14 examples'")
    assert browser.run("document.forms[0].elements.q.value + document.forms[0].elements.db.value") == ""


def test_one_example_shows_both_queries_and_how_they_differ(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["two"], "#example=dev-30")
    assert browser.run("document.getElementById('overview').hidden")
    assert browser.run("document.title") == "dev-30: Two"
    assert browser.run("document.querySelector('#detail h1').textContent") == "How many tours?"
    marks = (
        "[...document.querySelectorAll('#detail pre mark')].map((mark) => mark.parentNode.className + mark.textContent)"
    )
    assert browser.run(marks) == ["goldprice", "gold10", "predictedcost", "predicted'ten'"]
    text = browser.run("document.getElementById('detail').innerText")
    for words in (
        "base",
        "checkpoint-20",
        "wrong result",
        "EX, DISTINCT kept wrong",
        "first 2 of 7 rows · ran in 1.5 ms",
        "NULL",
    ):
        assert words in text
    sides = browser.run("[...document.querySelectorAll('.pair > div')].map((side) => side.innerText)")
    assert ["ran in" in side for side in sides] == [False, True, False, True]
    assert browser.run("document.querySelector('#detail details pre').textContent") == "Here it is: select ..."


def test_a_gold_query_that_failed_has_a_page_without_verdicts(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["one"], "#example=dev-31")
    assert browser.run("[...document.querySelectorAll('#detail .chip')].map((chip) => chip.textContent)") == [
        "gold failed"
    ]
    assert browser.run("document.querySelector('#detail .message').textContent") == "no such table: guide"


def test_an_example_that_is_not_there_is_said_to_be_missing(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["one"], "#example=dev-99")
    assert "There is no example “dev-99”" in browser.run("document.getElementById('detail').innerText")


def test_an_example_is_found_by_its_number_too(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["wide"], "#example=1")
    assert browser.run("document.title") == "line 1: Wide"
    assert browser.run("document.querySelector('#detail h1').textContent") == "line 1"
    browser.open(pages["two"], "#example=13")
    assert browser.run("document.title") == "dev-30: Two"
    for number in (0, 15):
        browser.open(pages["two"], f"#example={number}")
        assert f"There is no example “{number}”" in browser.run("document.getElementById('detail').innerText")


@pytest.mark.parametrize(
    ("place", "lengths", "marks", "too_long"),
    [
        (0, ["400,008", "400,008", "9,000", "400,020"], 0, True),
        (1, ["9,000"], 0, False),
        (2, ["9,000"], 0, False),
        (3, ["9,000"], 0, True),
        (4, ["9,000"], 1400, False),
        (5, ["100,008", "9,000", "100,020"], 0, True),
    ],
    ids=["200,001 terms", "2,001 alike", "701 alike", "2,001 others", "701 others", "50,000 parentheses"],
)
def test_long_queries_are_cut_and_not_compared(
    browser: Browser, pages: dict[str, Path], place: int, lengths: list[str], marks: int, too_long: bool
) -> None:
    browser.open(pages["long"], f"#example=dev-{place}")
    cut = browser.run("[...document.querySelectorAll('#detail :is(pre, p) i')].map((told) => told.textContent)")
    assert sorted(cut) == sorted(f"… {length} characters in all" for length in lengths)
    assert browser.run("document.querySelectorAll('#detail pre mark').length") == marks
    told = browser.run("document.getElementById('detail').innerText")
    assert ("Too long to mark the differences." in told) == too_long
    assert browser.run("document.getElementById('detail').textContent.length") < 30_000


@pytest.mark.parametrize("width", [360, 1200])
def test_wide_results_scroll_in_their_box_and_break_no_words(
    browser: Browser, pages: dict[str, Path], width: int
) -> None:
    browser.open(pages["wide"], "#example=1", width=width)
    assert browser.run("document.documentElement.scrollWidth") <= width
    boxes = "[...document.querySelectorAll('#detail .scroll')]"
    assert browser.run(f"{boxes}.map((box) => box.scrollWidth > 2 * box.clientWidth)") == [True] * 4
    lines = """(cell) => { const range = document.createRange(); range.selectNodeContents(cell);
        return new Set([...range.getClientRects()].map((line) => line.top)).size; }"""
    of_row = f"[...document.querySelector('#detail .rows tbody tr').children].slice(0, 8).map({lines})"
    assert browser.run(of_row)[:6] == [1] * 6
    assert all(1 < count < 6 for count in browser.run(of_row)[6:])
    assert set(browser.run(f"[...document.querySelectorAll('#detail .rows th')].map({lines})")) == {1}


def test_the_keyboard_leads_through_the_filtered_examples_and_back(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["two"], "#verdict=neither")
    browser.run("document.querySelector('#results a').focus()")
    browser.press("Enter", "\r")
    browser.wait("document.title === 'dev-1: Two'")
    assert browser.run("document.activeElement.tagName") == "H1"
    assert "1 of 4" in browser.run("document.querySelector('#detail nav').innerText")
    assert browser.run("document.querySelector('#detail a[rel=prev]')") is None
    browser.press("ArrowRight")
    browser.wait("document.title === 'dev-5: Two'")
    browser.press("ArrowLeft")
    browser.wait("document.title === 'dev-1: Two'")
    assert browser.run("location.hash") == "#verdict=neither&example=dev-1"
    browser.press("ArrowRight")
    browser.wait("document.title === 'dev-5: Two'")
    browser.press("Escape")
    browser.wait("!document.getElementById('overview').hidden")
    assert browser.run("location.hash") == "#verdict=neither"
    assert browser.run("document.activeElement.textContent") == "Question 5?"


def test_the_figures_lead_to_their_examples(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["two"])
    browser.run("document.querySelector('.verdict a').click()")
    browser.wait(f"{COUNT} === '6 of 14 examples'")
    browser.wait("scrollY > 0 && Math.abs(document.getElementById('examples').getBoundingClientRect().top) < 900")
    browser.run("document.querySelector('.kinds a[href*=example]').click()")
    browser.wait("!document.getElementById('detail').hidden")
    assert browser.run("scrollY") == 0


def test_hostile_text_runs_nothing_anywhere(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["hostile"])
    elements = "document.querySelectorAll('img, iframe, script:not(#data)').length"
    assert browser.run(elements) == 1
    browser.run("document.querySelector('#results a').click()")
    browser.wait("!document.getElementById('detail').hidden")
    assert browser.run(elements) == 1
    assert browser.run("document.querySelector('#detail h1').textContent") == HOSTILE
    assert browser.run("document.querySelector('#detail td').textContent") == HOSTILE


def test_the_policy_refuses_other_scripts_and_connections(shared: Browser, pages: dict[str, Path]) -> None:
    shared.open(pages["one"])
    shared.run("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    assert shared.run("window.ran") is None
    assert shared.run("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"


def test_ten_thousand_examples_are_listed_in_parts_and_searched_quickly(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["many"])
    rows = "document.querySelectorAll('#results li').length"
    assert browser.run(rows) == 25
    browser.run("document.getElementById('more').click()")
    assert browser.run(rows) == 50
    assert browser.run("document.activeElement === document.querySelector('#results li:nth-child(26) a')")
    start = time.monotonic()
    browser.run("location.hash = '#q=question+9999'")
    browser.wait(f"{COUNT} === '1 of 10000 examples'")
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("name", ["one", "two", "hostile", "many", "long", "wide"])
@pytest.mark.parametrize("fragment", ["", "#example=dev-0"])
def test_a_phone_needs_no_sideways_scrolling(
    browser: Browser, pages: dict[str, Path], name: str, fragment: str
) -> None:
    browser.open(pages[name], fragment, width=360)
    assert browser.run("document.documentElement.scrollWidth") <= 360


def test_a_table_too_wide_for_a_phone_shows_that_it_scrolls(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["wide"], width=360)
    box = "document.querySelector('#components .scroll')"
    assert browser.run(f"{box}.scrollWidth > {box}.clientWidth")
    assert "scroll, scroll" in browser.run(f"getComputedStyle({box}).backgroundAttachment")


def test_charts_fill_their_place_and_keep_their_words(browser: Browser, pages: dict[str, Path]) -> None:
    for width in (360, 1200):
        browser.open(pages["two"], width=width)
        sizes = browser.run("[...document.querySelectorAll('svg.chart')].map((chart) => chart.clientWidth)")
        assert len(sizes) == 2
        assert all(size > 0.55 * min(width, 700) for size in sizes)
        heights = "[...document.querySelectorAll('.chart text')].map((text) => text.getBBox().height)"
        assert all(10 < height < 20 for height in browser.run(heights))
        dots = browser.run(
            "[...document.querySelectorAll('.groups .dots')].filter((dots) => dots.clientWidth < 60).length"
        )
        assert dots == 0


def test_colours_follow_the_scheme_and_keep_contrast(browser: Browser, pages: dict[str, Path]) -> None:
    luminance = """(colour) => { const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => {
        const share = part / 255; return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4; });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; }"""
    colours = "[...document.querySelectorAll('h1, a, .quiet, .chip.good, .chip.bad, thead th')].map((e) => getComputedStyle(e).color)"
    grounds = []
    for dark in (False, True):
        browser.open(pages["two"], dark=dark)
        ground = browser.run(f"({luminance})(getComputedStyle(document.body).backgroundColor)")
        grounds.append(ground)
        for text in browser.run(f"{colours}.map({luminance})"):
            assert (max(text, ground) + 0.05) / (min(text, ground) + 0.05) > 4.5
    assert grounds[0] > 0.9 > 0.1 > grounds[1]


def test_without_scripts_the_figures_still_stand(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["two"], script=False)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    text = browser.run("document.body.innerText")
    assert "The list of examples needs JavaScript" in text
    assert "75.0" in text
    assert browser.run("document.querySelectorAll('svg.chart').length") == 2
    assert browser.run("document.getElementById('filters').hidden")
