"""The server's page in a real browser: ask, read, correct, and every way in which that can go wrong."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, needs_browser, one_browser, watched
from standin import StandIn, sample

pytestmark = needs_browser
__all__ = ["one_browser", "watched"]  # fixtures

COUNTRIES = "How many artists are there of each country?"
ARTISTS = "Who are the artists?"
MANY = "Count to 2500."
WRONG = "Which guide is tallest?"
HOSTILE = "<img src=x onerror=alert(1)>"
ANSWERS = {
    COUNTRIES: "SELECT country, COUNT(*) AS artists FROM artist GROUP BY country ORDER BY country",
    ARTISTS: "SELECT name, death_year FROM artist",
    MANY: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT i FROM n",
    WRONG: "SELECT height FROM guide",
    "By year": "SELECT year, COUNT(*) AS works, MAX(room_id) AS room FROM artwork WHERE year > 1900 GROUP BY year",
    "Exact": "SELECT 9007199254740993 AS big, 'a' AS letter",
    "Hostile": 'SELECT * FROM "<img src=x onerror=alert(1)>"',
    "Formulas": "SELECT '=1+1' AS \"a,b\", '-12.5' AS c, 'x\"y' AS d, NULL AS e, '' AS f, -3 AS g",
}
TEXT = "document.getElementById('{}').textContent"
DONE = "!document.body.classList.contains('working')"
CELLS = "[...document.querySelectorAll('#result tbody tr')].map((row) => row.cells[{}].textContent)"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("databases")
    hostile = folder / "hostile.sqlite"
    with sqlite3.connect(hostile) as connection:
        connection.execute(f'CREATE TABLE "{HOSTILE}" ("{HOSTILE}" "{HOSTILE}", "long""text" TEXT)')
        connection.execute(f'INSERT INTO "{HOSTILE}" VALUES (?, ?)', (HOSTILE, HOSTILE * 20))
    big = folder / "big.sqlite"
    with sqlite3.connect(big) as connection:
        for place in range(30):
            columns = ", ".join(f"column_{number} TEXT" for number in range(place % 17))
            key = f", parent INTEGER REFERENCES table_{place * 7 % 30} (id)" if place % 4 else ""
            connection.execute(f"CREATE TABLE table_{place} (id INTEGER PRIMARY KEY{columns and ', ' + columns}{key})")
    return {"museum": sample(folder, "museum"), "shop": sample(folder, "shop"), "hostile": hostile, "big": big}


@pytest.fixture
def stand(paths: dict[str, Path]) -> Iterator[StandIn]:
    stand = StandIn(paths, ANSWERS)
    yield stand
    stand.close()


def visit(browser: Browser, stand: StandIn, *, width: int = 1280, dark: bool = False) -> None:
    browser.open(stand.url, width=width, dark=dark)
    browser.wait("document.getElementById('database').value && document.querySelector('#list details')")


def ask(browser: Browser, question: str, done: str = DONE) -> None:
    browser.run("document.getElementById('question').focus()")
    browser.run(f"document.getElementById('question').value = {json.dumps(question)}")
    browser.press("Enter", "\r")
    browser.wait(done)


def click(browser: Browser, name: str) -> None:
    browser.run(f"document.getElementById('{name}').click()")


def write(browser: Browser, sql: str) -> None:
    browser.run("document.getElementById('sql').select()")
    browser.call("Input.insertText", text=sql)


def choose(browser: Browser, name: str) -> None:
    box = "document.getElementById('database')"
    browser.run(f"{box}.value = '{name}', {box}.dispatchEvent(new Event('change'))")


def told_of_status(browser: Browser, status: int) -> None:
    """The browser's own complaint about a status is expected; nothing else is."""
    assert all(f"status of {status}" in complaint for complaint in browser.complaints)
    browser.complaints.clear()


def test_a_question_gets_sql_in_colours_and_rows(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    assert browser.run(TEXT.format("model")) == "museum-tuned"
    ask(browser, COUNTRIES)
    assert [stand.asked[0][name] for name in ("database", "question", "earlier")] == ["museum", COUNTRIES, None]
    assert browser.run("document.getElementById('sql').value") == ANSWERS[COUNTRIES]
    assert browser.run(TEXT.format("colours")).strip() == ANSWERS[COUNTRIES]
    assert browser.run("document.querySelector('.t-keyword').textContent") == "SELECT"
    assert browser.run(TEXT.format("count")) == "16 rows"
    assert browser.run(TEXT.format("origin")) == "written by the model"
    assert "Reads artist" in browser.run(TEXT.format("facts"))
    assert browser.run("[...document.querySelectorAll('.table.used')].map((table) => table.dataset.name)") == ["artist"]
    assert browser.run("getComputedStyle(document.querySelector('#result td:last-child')).textAlign") == "right"
    browser.wait("document.getElementById('status').textContent.startsWith('16 rows')")


def test_shift_and_enter_starts_a_line_and_asks_nothing(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    browser.run("document.getElementById('question').focus()")
    event = "new KeyboardEvent('keydown', {key: 'Enter', shiftKey: true, cancelable: true, bubbles: true})"
    assert browser.run(f"document.getElementById('question').dispatchEvent({event})")
    browser.press("Enter", "\r")  # an empty question
    assert not browser.run("document.body.classList.contains('working')")
    assert stand.asked == []


def test_headers_sort_numbers_as_numbers_and_null_last(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, ARTISTS)
    header = "document.querySelectorAll('#result th')[1]"
    directions = []
    for _ in range(3):
        browser.run(f"{header}.querySelector('button').click()")
        years = browser.run(CELLS.format(1))
        known = [int(year) for year in years if year != "NULL"]
        directions.append((browser.run(f"{header}.ariaSort"), known == sorted(known), known == sorted(known)[::-1]))
        assert years[-1] == "NULL" or len(directions) == 3
        assert browser.run(f"document.activeElement === {header}.querySelector('button')")
    assert directions == [("ascending", True, False), ("descending", False, True), ("none", False, False)]


def test_many_rows_come_in_pages_and_say_what_is_missing(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, MANY)
    assert browser.run(TEXT.format("count")) == "first 1,000 of 2,500 rows"
    assert browser.run(CELLS.format(0))[::99] == ["1", "100"]
    browser.run("document.querySelector('.pages button:last-child').click()")
    assert browser.run(CELLS.format(0))[0] == "101"
    assert browser.run("document.querySelector('.pages span').textContent") == "Rows 101 to 200 of 1,000"


def test_edited_sql_runs_and_can_be_kept_as_a_correction(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, COUNTRIES)
    click(browser, "fix")
    assert browser.run("document.activeElement.id") == "sql"
    write(browser, "SELECT COUNT(*) FROM artist")
    assert browser.run(TEXT.format("origin")) == "edited, not run yet"
    assert browser.run("document.getElementById('good').hidden")
    click(browser, "run")
    browser.wait(f"{DONE} && {CELLS.format(0)}[0] === '25'")
    assert stand.asked[-1]["question"] == COUNTRIES
    click(browser, "fix")
    browser.wait(f"{TEXT.format('kept')} === 'Correction kept'")
    assert stand.feedback == [
        {"database": "museum", "question": COUNTRIES, "sql": "SELECT COUNT(*) FROM artist", "verdict": "fixed"}
    ]


def test_a_correction_that_fails_is_not_kept(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, COUNTRIES)
    write(browser, "SELECT height FROM artist")
    click(browser, "fix")
    browser.wait(f"{TEXT.format('kept')} === 'Not kept: the query fails'")
    assert stand.feedback == []
    assert "no such column: height" in browser.run(TEXT.format("result"))


def test_a_right_answer_is_kept_also_when_formatted(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, COUNTRIES)
    click(browser, "format")
    lines = browser.run("document.getElementById('sql').value").splitlines()
    assert lines == ["SELECT country, COUNT(*) AS artists", "FROM artist", "GROUP BY country", "ORDER BY country"]
    click(browser, "good")
    browser.wait(f"{TEXT.format('kept')} === 'Kept as right'")
    assert browser.run("document.getElementById('good').disabled")
    assert stand.feedback[0] == {
        "database": "museum",
        "question": COUNTRIES,
        "sql": ANSWERS[COUNTRIES],
        "verdict": "good",
    }


def test_formatting_changes_nothing_but_space(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    queries = [
        "SELECT 'a  FROM b' FROM t -- WHERE\nWHERE x BETWEEN 1 AND 2 AND y IN (SELECT z FROM u WHERE a OR b)",
        "select left(a, 3), rank() over (partition by b order by c) from t left outer join u on a=b order by 1",
        'SELECT CASE WHEN a AND b THEN 1 END FROM "FROM" WHERE /* AND */ a IS NOT DISTINCT FROM b)',
    ]
    module = "import('./page/sql.js')"
    texts = browser.run(f"{module}.then((sql) => {json.dumps(queries)}.map(sql.formatted))")
    assert [text.split() for text in texts[1:]] == [query.split() for query in queries[1:]]
    assert texts[0].splitlines() == [
        "SELECT 'a  FROM b'",
        "FROM t -- WHERE",
        "WHERE x BETWEEN 1 AND 2",
        "  AND y IN (",
        "  SELECT z",
        "  FROM u",
        "  WHERE a",
        "    OR b",
        ")",
    ]
    assert texts[1].splitlines()[1:] == ["from t", "left outer join u on a=b", "order by 1"]


def test_a_follow_up_sends_the_question_before(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    assert browser.run("document.getElementById('follow-chip').hidden")
    ask(browser, COUNTRIES)
    click(browser, "follow")
    assert browser.run("document.getElementById('question').value") == ""
    ask(browser, ARTISTS)
    assert stand.asked[-1]["earlier"] == {"question": COUNTRIES, "sql": ANSWERS[COUNTRIES]}
    assert "follow-up to" in browser.run(TEXT.format("facts"))


def test_rows_with_a_label_and_numbers_can_be_a_chart(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, COUNTRIES)
    click(browser, "as-chart")
    assert browser.run("document.querySelectorAll('.chart .bar').length") == 16
    assert browser.run("document.querySelector('.chart').ariaLabel").startswith("artists by country: 16 values")
    ask(browser, "By year")
    points = browser.run("document.querySelectorAll('.chart .dot').length")
    years = browser.run("document.querySelectorAll('.chart .curve').length")
    assert points > 4
    assert years in (1, 2)
    ask(browser, MANY)
    assert browser.run("document.getElementById('views').hidden")
    assert browser.run("document.querySelector('.chart')") is None


def test_rows_are_saved_as_csv_without_formulas(browser: Browser, stand: StandIn, tmp_path: Path) -> None:
    visit(browser, stand)
    ask(browser, "Formulas")
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    click(browser, "csv")
    browser.wait("document.getElementById('status').textContent === 'Saved 1 row'")
    for _ in range(100):
        if files := list(tmp_path.glob("museum-*.csv")):
            break
        browser.run("new Promise((done) => setTimeout(done, 20))")
    assert files[0].read_bytes() == b'"a,b",c,d,e,f,g\r\n\'=1+1,-12.5,"x""y",,"",-3\r\n'


def test_large_integers_stay_exact(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, "Exact")
    assert browser.run(CELLS.format(0)) == ["9007199254740993"]


def test_the_history_is_of_one_database_and_outlives_a_visit(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, COUNTRIES)
    ask(browser, WRONG)
    visit(browser, stand)
    click(browser, "tab-history")
    titles = "[...document.querySelectorAll('.asked')].map((title) => title.textContent)"
    assert browser.run(titles) == [WRONG, COUNTRIES]
    browser.run("document.querySelectorAll('.past')[1].click()")
    browser.wait(f"{DONE} && document.querySelectorAll('#result tbody tr').length === 16")
    assert browser.run("document.getElementById('question').value") == COUNTRIES
    assert browser.run(titles) == [WRONG, COUNTRIES]
    choose(browser, "shop")
    assert browser.run(titles) == []
    visit(browser, stand)
    assert browser.run("document.getElementById('database').value") == "shop"
    choose(browser, "museum")
    browser.run("document.querySelector('#history .tools button').click()")
    assert browser.run(titles) == []
    assert browser.run("document.activeElement.textContent") == "Undo"
    browser.run("document.activeElement.click()")
    assert browser.run(titles) == [WRONG, COUNTRIES]


def test_a_click_on_a_name_inserts_it_as_sql_wants_it(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    write(browser, "SELECT FROM room")
    browser.run("document.getElementById('sql').setSelectionRange(6, 6)")
    name = "[...document.querySelectorAll('#list button.word')].find((button) => button.textContent === 'Floor Area')"
    browser.run(f"{name}.click()")
    assert browser.run("document.getElementById('sql').value") == 'SELECT "Floor Area" FROM room'
    browser.run("document.querySelector('[data-name=guide] .column').dispatchEvent(new Event('click'))")
    assert "guide" in browser.run("document.getElementById('sql').value")


def test_a_large_schema_overlaps_nowhere_and_folds(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    choose(browser, "big")
    boxes = "[...document.querySelectorAll('.table > .box')].map((box) => box.getBoundingClientRect().toJSON())"
    for _ in range(2):
        places = browser.run(boxes)
        assert len(places) == 30
        for at, one in enumerate(places):
            for other in places[at + 1 :]:
                apart = one["right"] <= other["left"] or other["right"] <= one["left"]
                assert apart or one["bottom"] <= other["top"] or other["bottom"] <= one["top"]
        click(browser, "fold")
    before = browser.run("document.querySelector('#canvas svg').clientWidth")
    click(browser, "larger")
    assert browser.run("document.querySelector('#canvas svg').clientWidth") > before


def test_a_failed_query_says_why_and_leads_to_the_sql(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, WRONG)
    told = browser.run(TEXT.format("result"))
    assert "The query names a column that the database lacks." in told
    assert "no such column: height" in told
    assert browser.run("document.getElementById('good').hidden")
    browser.run("document.querySelector('.failed button').click()")
    assert browser.run("document.activeElement.id") == "sql"
    ask(browser, "Something unknown")
    assert "The model wrote no SQL" in browser.run(TEXT.format("result"))


def test_a_question_can_be_stopped(browser: Browser, stand: StandIn) -> None:
    stand.wait = threading.Event()
    visit(browser, stand)
    ask(browser, COUNTRIES, "parseFloat(document.getElementById('seconds').textContent) > 0.2")
    assert browser.run("document.getElementById('result-panel').ariaBusy") == "true"
    click(browser, "stop")
    browser.wait(DONE)
    browser.wait("document.getElementById('status').textContent === 'Stopped'")
    assert browser.run("document.getElementById('notice').hidden")
    stand.wait.set()


def test_a_key_is_asked_for_again_until_it_is_right(browser: Browser, stand: StandIn) -> None:
    stand.key = "secret"
    browser.open(stand.url)
    for key, why in [("wrong", "The server wants its API key."), ("secret", "The server refused this key.")]:
        browser.wait(f"document.getElementById('key-dialog').open && {TEXT.format('key-why')} === {json.dumps(why)}")
        assert browser.run("document.activeElement.id") == "key"
        browser.call("Input.insertText", text=key)
        browser.press("Enter", "\r")
    browser.wait("document.querySelector('#list details')")
    told_of_status(browser, 401)
    ask(browser, COUNTRIES)
    assert browser.run(TEXT.format("count")) == "16 rows"
    assert browser.run("JSON.stringify(localStorage).includes('secret')") is False
    browser.run("sessionStorage.clear()")


def test_a_full_queue_is_waited_for_and_a_broken_server_is_told_of(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    stand.busy = 1
    ask(browser, COUNTRIES, "document.getElementById('doing').textContent.includes('trying again in 1 s')")
    browser.wait(DONE)
    assert browser.run(TEXT.format("count")) == "16 rows"
    told_of_status(browser, 429)
    stand.broken = True
    ask(browser, ARTISTS)
    assert browser.run("document.querySelector('#notice p').textContent") == "the model has stopped"
    assert browser.run(TEXT.format("origin")) == f"written by the model, for “{COUNTRIES[:39]}…”"
    assert browser.run(TEXT.format("count")) == "16 rows"
    told_of_status(browser, 500)
    stand.close()
    ask(browser, ARTISTS)
    browser.wait("document.querySelector('#notice p').textContent !== 'the model has stopped'")
    assert "does not answer" in browser.run("document.querySelector('#notice p').textContent")
    assert all("ERR_" in complaint for complaint in browser.complaints)
    browser.complaints.clear()


def test_hostile_names_and_cells_stay_text(browser: Browser, stand: StandIn) -> None:
    stand.warnings = [HOSTILE]
    visit(browser, stand)
    choose(browser, "hostile")
    ask(browser, "Hostile")
    click(browser, "follow")
    ask(browser, HOSTILE)
    assert browser.run("document.querySelectorAll('img, iframe, [onerror]').length") == 0
    assert browser.run("document.querySelector('#list summary .name').textContent") == HOSTILE
    assert browser.run("document.querySelector('#warnings span').textContent") == HOSTILE
    ask(browser, "Hostile")
    assert browser.run("document.querySelector('#result th').textContent") == HOSTILE
    assert browser.run("document.querySelector('#result td').textContent") == HOSTILE
    assert browser.run("document.querySelector('.long').title") == HOSTILE * 20
    browser.run("localStorage.setItem('loraql.history', '[{\"database\": 3}, null]')")
    browser.run("localStorage.setItem('loraql.tab', '{}')")
    visit(browser, stand)
    browser.run("localStorage.clear()")


@pytest.mark.parametrize("name", ["museum", "hostile", "big"])
def test_a_phone_needs_no_sideways_scrolling_and_gets_the_list(browser: Browser, stand: StandIn, name: str) -> None:
    visit(browser, stand, width=360)
    choose(browser, name)
    for question in ("By year", WRONG, "Hostile"):
        ask(browser, question)
        assert browser.run("document.documentElement.scrollWidth") <= 360
    assert browser.run("document.getElementById('diagram').hidden")
    assert not browser.run("document.getElementById('list').hidden")


def test_the_theme_follows_the_system_and_can_be_chosen(browser: Browser, stand: StandIn) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    visit(browser, stand)
    light = browser.run(ground)
    visit(browser, stand, dark=True)
    dark = browser.run(ground)
    assert light != dark
    click(browser, "theme")
    assert browser.run(ground) == light
    visit(browser, stand, dark=True)
    assert browser.run(ground) == light
    browser.run("localStorage.clear()")


def test_text_keeps_its_contrast(browser: Browser, stand: StandIn) -> None:
    contrast = """(element) => {
        const share = (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        const light = (colour) => { const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => share(part / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        let ground = element;
        while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
        const pair = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor].map(light);
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05); }"""
    places = "h1, h2, .quiet, button:not(:disabled), [class^=t-], td, .null, summary small, .mark, #warnings span"
    stand.warnings = ["The query returned no rows"]
    for dark in (False, True):
        visit(browser, stand, dark=dark)
        ask(browser, ARTISTS)
        seen = f"[...document.querySelectorAll('{places}')].filter((element) => element.getClientRects().length)"
        assert min(browser.run(f"{seen}.map({contrast})")) > 4.5


def test_everything_is_reached_by_tab_and_named(browser: Browser, stand: StandIn) -> None:
    visit(browser, stand)
    ask(browser, COUNTRIES)
    browser.run("document.querySelector('.skip').focus()")
    reached = []
    for _ in range(24):
        browser.press("Tab")
        reached.append(browser.run("document.activeElement.id || document.activeElement.className"))
    wanted = ["database", "theme", "question", "follow", "send", "format", "copy", "run", "sql", "good", "fix"]
    places = [reached.index(name) for name in [*wanted, "as-table", "csv", "tab-diagram", "fit"]]
    assert places == sorted(places)
    unnamed = """[...document.querySelectorAll('button, select, textarea, input, [role=region], [role=img]')].filter(
        (element) => !(element.textContent.trim() || element.ariaLabel || element.labels?.length))"""
    assert browser.run(f"{unnamed}.map((element) => element.outerHTML)") == []
