"""The check-up: each kind of finding is found where it is, not where it is not, and the page shows it safely."""

import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from data.imports.pairs import Pair
from data.schema import read_sqlite
from eval.pool import Sandbox
from pipeline.checkup.check import PAGE, advise, check_up, places, show
from pipeline.checkup.facts import Checkup, Finding, Item, Lengths
from pipeline.checkup.golds import cuts
from pipeline.checkup.page import histogram
from pipeline.checkup.values import constants, in_question, unfounded

SCRIPT = """
CREATE TABLE singer (singer_id INTEGER PRIMARY KEY, name TEXT, age INTEGER, country TEXT, net REAL);
CREATE TABLE song (song_id INTEGER PRIMARY KEY, title TEXT, singer_id INTEGER REFERENCES singer, sales INTEGER);
CREATE TABLE label (label_id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO singer VALUES (1, 'Ann', 30, 'France', 1.5), (2, 'Bo', 40, 'France', 2.5), (3, 'Cy', 40, 'Spain', NULL);
INSERT INTO song VALUES (1, 'One', 1, 10), (2, 'Two', 1, 20), (3, 'Six', 2, 20), (4, 'Six', 3, 5);
INSERT INTO label VALUES (1, 'Big'), (2, 'Small');
"""

Check = Callable[..., Checkup]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return make(tmp_path / "music.sqlite", SCRIPT)


def make(path: Path, script: str) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def item(question: str, query: str, split: str = "train", row: int = 1, database: Path | None = None) -> Item:
    return Item(Pair(question, query, "music", None, f"pairs.csv, row {row}"), split, database)


@pytest.fixture
def check(database: Path, tmp_path: Path, tiny_model: Path) -> Check:
    """Checks (question, query[, split]) up against the music database."""

    def run(*pairs: tuple[str, ...], base: str = str(tiny_model), **options: object) -> Checkup:
        items = [
            replace(item(pair[0], pair[1], pair[2] if len(pair) > 2 else "train", row), database=database)
            for row, pair in enumerate(pairs, start=1)
        ]
        return check_up("music", items, base, tmp_path, workers=1, **options)  # type: ignore[arg-type]

    return run


def rows(checkup: Checkup, kind: str) -> list[str]:
    """The rows that have a finding of this kind."""
    return [finding.item.pair.place.rpartition(" ")[2] for finding in checkup.findings[kind]]


def details(checkup: Checkup, kind: str) -> list[str]:
    return [finding.detail for finding in checkup.findings[kind]]


def test_golds_that_fail_or_return_nothing_are_found_with_the_reason(check: Check) -> None:
    checkup = check(
        ("Ghosts?", "SELECT * FROM ghost"),
        ("Names?", "SELECT nme FROM singer"),
        ("Delete!", "DELETE FROM singer"),
        ("Old?", "SELECT name FROM singer WHERE age > 90"),
        ("Net of Cy?", "SELECT net FROM singer WHERE name = 'Cy'"),
        ("Singers?", "SELECT count(*) FROM singer"),
    )
    assert rows(checkup, "fails") == ["1", "2", "3"]
    assert details(checkup, "fails")[:2] == ["no such table: ghost", "no such column: nme"]
    assert rows(checkup, "empty") == ["4", "5"]
    assert details(checkup, "empty") == ["returns no rows", "returns nothing but NULL"]
    assert checkup.actions[0] == (
        "3 gold queries fail (e.g. no such table: ghost): mend or remove pairs.csv rows 1, 2, 3; they are left out of training and scoring"
    )


@pytest.mark.parametrize(
    ("query", "undecided"),
    [
        ("SELECT name FROM singer ORDER BY age DESC LIMIT 1", True),
        ("SELECT name FROM singer ORDER BY age LIMIT 1", False),
        ("SELECT age FROM singer ORDER BY age DESC LIMIT 1", False),
        ("SELECT name FROM singer ORDER BY age DESC, name LIMIT 1", False),
        ("SELECT name FROM singer LIMIT 2", True),
        ("SELECT name FROM singer LIMIT 5", False),
        ("SELECT max(age) FROM singer LIMIT 1", False),
        ("SELECT 'x' FROM singer LIMIT 2", False),
        ("SELECT name AS n, age AS a FROM singer ORDER BY a DESC LIMIT 1", True),
        ("SELECT name, age FROM singer ORDER BY 2 DESC LIMIT 1", True),
        ("SELECT * FROM singer ORDER BY age DESC LIMIT 1", True),
        ("SELECT country, count(*) FROM singer GROUP BY country ORDER BY count(*) DESC LIMIT 1", False),
        ("SELECT singer_id, count(*) AS n FROM song GROUP BY singer_id ORDER BY n LIMIT 1", True),
        ("SELECT name FROM singer ORDER BY age LIMIT 1 OFFSET 1", True),
        ("SELECT DISTINCT title FROM song ORDER BY title DESC LIMIT 1", False),
        ("SELECT title FROM song WHERE singer_id = (SELECT singer_id FROM singer ORDER BY age DESC LIMIT 1)", True),
        ("SELECT name FROM singer ORDER BY random() LIMIT 3", True),
        ("SELECT date('now')", True),
        ("SELECT strftime('%Y')", True),
        ("SELECT julianday(max(age)) - julianday('2020-01-01') FROM singer", False),
        ("SELECT strftime('%Y', name), date(name) FROM singer", False),
        ("WITH s AS (SELECT * FROM singer) SELECT name FROM s ORDER BY age DESC LIMIT 1", True),
    ],
)
def test_results_that_may_vary_are_found_by_running(check: Check, query: str, undecided: bool) -> None:
    assert bool(check(("Q?", query)).findings["unstable"]) is undecided


@pytest.mark.parametrize(
    "query", ["SELECT (", "SELECT name FROM singer LIMIT 0", "SELECT 1 LIMIT -1", "SELECT 1 LIMIT :n"]
)
def test_a_cut_that_cannot_be_tried_is_passed_over(query: str) -> None:
    assert cuts(query) == []


def test_duplicates_contradictions_and_near_duplicates_are_told_apart(check: Check) -> None:
    checkup = check(
        ("How many singers are there?", "SELECT count(*) FROM singer"),
        ("how many singers are there", "select COUNT(*) from singer; -- that's all"),
        ("How many singers are there?", "SELECT count(singer_id) FROM singer"),
        ("How many singers are there?", "SELECT count(*) FROM song"),
        ("Show the names of singers from France.", "SELECT name FROM singer WHERE country = 'France'"),
        ("List names of the singers from France", "SELECT name FROM singer WHERE country LIKE 'France'"),
        ("List names of the singers from Spain", "SELECT name FROM singer WHERE country = 'Spain'"),
    )
    assert rows(checkup, "duplicate") == ["2"]
    assert rows(checkup, "spelling") == ["3"]
    assert rows(checkup, "contradiction") == ["4"]
    assert rows(checkup, "near") == ["6"]


def test_a_schema_in_the_question_and_what_the_import_found_are_advised(check: Check) -> None:
    left_out = Finding(replace(item("Others?", "SELECT 2", "left out", 9)), "no database other")
    told = ("Schema: create table singer (name text)\nQuestion: how many?", "SELECT count(*) FROM singer")
    checkup = check(told, ("All?", "SELECT name FROM singer"), aside={"unused": [left_out]})
    assert rows(checkup, "schema") == ["1"]
    assert rows(checkup, "unused") == ["9"]
    assert "1 pair is left out (e.g. no database other): mend pairs.csv row 9, or do without" in checkup.actions
    assert "1 question holds the schema: leave only what is asked, at pairs.csv row 1" in checkup.actions


def test_the_same_pair_in_another_database_is_no_finding(database: Path, tmp_path: Path, tiny_model: Path) -> None:
    first = replace(item("How many?", "SELECT count(*) FROM singer"), database=database)
    second = replace(first, pair=replace(first.pair, db_id="other"), split="dev")
    checkup = check_up("two", [first, second], str(tiny_model), tmp_path, workers=1)
    assert not any(checkup.findings[kind] for kind in ("duplicate", "leak", "near", "contradiction"))


def test_questions_and_sql_in_two_splits_are_leaks(check: Check) -> None:
    checkup = check(
        ("How many singers?", "SELECT count(*) FROM singer"),
        ("How many singers", "SELECT count(*) FROM singer", "dev"),
        ("Count them.", "SELECT  COUNT(*) FROM singer", "dev"),
        ("Ages?", "SELECT age FROM singer", "select"),
        ("Ages?", "SELECT DISTINCT age FROM singer", "dev"),
        ("Songs?", "SELECT count(*) FROM song", "dev"),
    )
    assert rows(checkup, "leak") == ["2", "3", "5"]
    assert details(checkup, "leak")[:2] == [
        "the question and SQL of pairs.csv, row 1, which is in train",
        "the SQL of pairs.csv, row 1, which is in train: How many singers?",
    ]
    assert checkup.actions[0].startswith("3 pairs are in two splits")


@pytest.mark.parametrize(
    ("question", "query", "found"),
    [
        ("Singers of Atlantis?", "SELECT name FROM singer WHERE country = 'Gotham'", ["'Gotham'"]),
        ("Singers of gotham?", "SELECT name FROM singer WHERE country = 'Gotham'", []),
        ("French singers?", "SELECT name FROM singer WHERE country = 'france'", []),
        ('Who?', 'SELECT name FROM singer WHERE country = "Gotham"', ["'Gotham'"]),
        ("Who?", "SELECT name FROM singer WHERE country LIKE '%oth%'", ["'%oth%'"]),
        ("Who?", "SELECT name FROM singer WHERE country LIKE '%ran%'", []),
        ("Who?", "SELECT name FROM singer WHERE country IN ('Spain', 'Oz')", ["'Oz'"]),
        ("Older than 35?", "SELECT name FROM singer WHERE age > 35", []),
        ("At least thirty-six?", "SELECT name FROM singer WHERE age >= 36", ["36"]),
        ("Old ones?", "SELECT name FROM singer WHERE age >= 40", []),
        ("With at least three songs?", "SELECT singer_id FROM song GROUP BY singer_id HAVING count(*) > 2", []),
        ("With many songs?", "SELECT singer_id FROM song GROUP BY singer_id HAVING count(*) > 4", ["4"]),
        ("With several songs?", "SELECT singer_id FROM song GROUP BY singer_id HAVING count(*) >= 2", []),
        ("The top three?", "SELECT name FROM singer ORDER BY age LIMIT 3", []),
        ("The best?", "SELECT name FROM singer ORDER BY age LIMIT 1", []),
        ("The best?", "SELECT name FROM singer ORDER BY age LIMIT 7", ["LIMIT 7"]),
        ("Over 2 million?", "SELECT title FROM song WHERE sales > 2000000", []),
        ("Over 2,000,000?", "SELECT title FROM song WHERE sales > 2000000", []),
        ("More than half?", "SELECT name FROM singer WHERE net > 0 AND age > 1", []),
        ("Born in 1999?", "SELECT name FROM singer WHERE country >= '1999-01-01'", []),
        ("In May?", "SELECT name FROM singer WHERE strftime('%m', name) = '05'", []),
        ("Between?", "SELECT name FROM singer WHERE age BETWEEN 31 AND 90", ["31", "90"]),
        ("Broken?", "SELECT (", []),
    ],
)  # fmt: skip
def test_a_constant_of_neither_question_nor_database_is_found(
    database: Path, question: str, query: str, found: list[str]
) -> None:
    with Sandbox(workers=1) as sandbox:
        asked = replace(item(question, query), database=database)
        findings = list(unfounded([asked], {"music": read_sqlite(database)}, sandbox))
    told = findings[0].detail if findings else ""
    assert [part.rpartition(" is ")[0] for part in told.split("; ") if part] == found


def test_an_odd_constant_does_not_break_the_look_up(database: Path) -> None:
    query = "SELECT name FROM singer WHERE country = 'O''Brien; DROP TABLE \"x\" --' OR name LIKE '\\%_'"
    with Sandbox(workers=1) as sandbox:
        asked = replace(item("Who?", query), database=database)
        (finding,) = unfounded([asked], {"music": read_sqlite(database)}, sandbox)
    assert "O'Brien" in finding.detail


def test_words_of_a_question_count_as_the_constant(database: Path) -> None:
    (constant,) = constants("SELECT name FROM singer WHERE country = 'New York City'", read_sqlite(database))
    assert in_question(constant, "Singers from the city of New York?")
    assert not in_question(constant, "Singers from New Jersey?")


def test_tables_and_columns_that_no_query_names_are_listed(check: Check) -> None:
    checkup = check(("Names?", "SELECT name FROM singer WHERE age > 30"), ("All songs?", "SELECT * FROM song"))
    music = checkup.databases["music"]
    assert music.unasked_tables == ("label",)
    assert music.unused_columns[:3] == ("singer.singer_id", "singer.country", "singer.net")
    assert "song.title" in music.unused_columns
    assert (music.tables, music.columns, music.named_columns, music.pairs) == (3, 11, 2, 2)
    assert any("1 table is never asked about" in action and "music.label" in action for action in checkup.actions)


def test_hardness_is_counted(check: Check) -> None:
    checkup = check(
        ("Names?", "SELECT name FROM singer"), ("Count?", "SELECT country, count(*) FROM singer GROUP BY country")
    )
    assert checkup.hardness == {"easy": 1, "medium": 1, "hard": 0, "extra": 0, "unknown": 0}


def test_tokens_are_counted_against_the_base(check: Check) -> None:
    checkup = check(("Names?", "SELECT name FROM singer"), ("Long? " + "word " * 5000, "SELECT 1"))
    assert checkup.lengths
    assert checkup.lengths.limit == 4096
    short, long = checkup.lengths.tokens
    assert 100 < short < 1000 < 4096 < long
    assert rows(checkup, "long") == ["2"]


def test_without_a_tokenizer_one_note_says_so_and_the_rest_goes_on(check: Check, tmp_path: Path) -> None:
    (tmp_path / "no-model").mkdir()
    checkup = check(("Names?", "SELECT nme FROM singer"), base=str(tmp_path / "no-model"))
    assert checkup.lengths is None
    (note,) = checkup.notes
    assert note.startswith("tokens are not counted:") and "no config.json" in note
    assert rows(checkup, "fails") == ["1"]
    assert "Length of prompt" not in (tmp_path / PAGE).read_text(encoding="utf-8")


def test_a_database_without_rows_is_told_once_and_not_query_by_query(tmp_path: Path, tiny_model: Path) -> None:
    database = make(tmp_path / "bare.sqlite", "CREATE TABLE singer (name TEXT)")
    asked = replace(item("Who is from Oz?", "SELECT name FROM singer WHERE name = 'Nobody'"), database=database)
    checkup = check_up("bare", [asked], str(tiny_model), tmp_path, workers=1)
    assert not checkup.findings["empty"] and not checkup.findings["unfounded"]
    assert checkup.actions[0].startswith("music: no rows")


def test_pairs_of_a_missing_database_are_counted_by_its_name(database: Path, tmp_path: Path, tiny_model: Path) -> None:
    lost = item("Who?", "SELECT 1", row=2)
    lost = replace(lost, pair=replace(lost.pair, db_id="lost"))
    items = [replace(item("Who?", "SELECT name FROM singer"), database=database), lost]
    checkup = check_up("music", items, str(tiny_model), tmp_path, workers=1)
    assert checkup.missing == {"lost": 1}
    assert checkup.actions[0] == "1 pair is about databases that are not there: add lost (1)"


def test_the_json_holds_places_questions_and_what_to_do(check: Check, tmp_path: Path) -> None:
    checkup = check(("Ghosts?", "SELECT * FROM ghost"))
    kept = json.loads((tmp_path / "checkup.json").read_text(encoding="utf-8"))
    assert kept["findings"]["fails"] == [
        {
            "place": "pairs.csv, row 1",
            "split": "train",
            "db_id": "music",
            "detail": "no such table: ghost",
            "question": "Ghosts?",
            "query": "SELECT * FROM ghost",
        }
    ]
    assert kept["what_to_do"] == list(checkup.actions)
    assert kept["tokens"]["limit"] == 4096


def test_the_page_shows_hostile_text_as_text_and_loads_nothing(check: Check, tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script> <img src=http://x.example/y.png> {{ 7 * 7 }} & \u2028"
    check((hostile, "SELECT '</code><script>alert(2)</script>' FROM ghost"))
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert "<script" not in page and "<img" not in page
    assert "&lt;script&gt;alert(1)" in page and "{{ 7 * 7 }}" in page
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r'(?:src|href)="(?!#)', page) and "url(" not in page and "@import" not in page


def test_the_same_check_up_gives_the_same_bytes(check: Check, tmp_path: Path) -> None:
    pairs = [("Ghosts?", "SELECT * FROM ghost"), ("Names?", "SELECT name FROM singer LIMIT 1")]
    check(*pairs)
    first = [(tmp_path / name).read_bytes() for name in ("checkup.json", PAGE)]
    check(*pairs)
    assert [(tmp_path / name).read_bytes() for name in ("checkup.json", PAGE)] == first


def test_a_sound_set_has_nothing_to_do(check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heads = [f"SELECT count(*) FROM {name}" for name in ("singer", "song", "label")]
    heads += ["SELECT name, age, country, net, singer_id FROM singer", "SELECT name, label_id FROM label"]
    heads += ["SELECT title, sales, singer_id, song_id FROM song"]
    asked = [
        (f"Question {number} of {head}?", f"{head} WHERE {number} = {number}", "dev")
        for head in heads
        for number in range(6)
    ]
    checkup = check(*asked)
    far = [action for action in checkup.actions if "if people will ask" not in action]
    assert far == []
    show(replace(checkup, actions=[]), tmp_path)
    assert "What to do: nothing" in capsys.readouterr().out


def test_few_places_are_named_by_file_and_many_are_counted() -> None:
    def found(*names: str) -> Sequence[Finding]:
        return [Finding(Item(Pair("q", "s", "db", None, name), "train", None), "") for name in names]

    assert places(found("a.csv, row 1", "a.csv, row 2", "b.csv, row 7")) == "a.csv rows 1, 2; b.csv row 7"
    assert places(found(*(f"a.csv, row {number}" for number in range(9)))) == "a.csv rows 0, 1, 2, 3, 4, 5 and 3 more"


def test_actions_are_ranked_from_what_spoils_scores_to_what_could_be_better(check: Check) -> None:
    checkup = check(
        ("Ghosts?", "SELECT * FROM ghost"),
        ("Any?", "SELECT name FROM singer LIMIT 2"),
        ("Any?", "SELECT name FROM singer LIMIT 2"),
        ("Any!", "SELECT name FROM singer LIMIT 2", "dev"),
    )
    first_words = [
        "1 gold query fails",
        "1 pair is in two splits",
        "3 gold queries may return",
        "1 pair is there twice",
    ]
    assert list(advise(checkup))[:3] == list(checkup.actions)[:3]
    found = [
        next(place for place, action in enumerate(checkup.actions) if action.startswith(words)) for words in first_words
    ]
    assert found == sorted(found)


def test_the_histogram_holds_every_pair_once() -> None:
    for tokens in ([7], [5, 5, 5], list(range(1, 4000, 7))):
        drawn = histogram(Lengths("base", 100, tokens))
        counts = [int(bar["title"].rpartition(" ")[2].replace(",", "")) for bar in drawn["bars"]]
        assert sum(counts) == len(tokens)
        assert all(0 <= bar["left"] <= 100 and 0 < bar["height"] <= 100 for bar in drawn["bars"])
