"""Predictions become verdicts with a category, and verdicts become scores."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.schema import read_sqlite
from eval.execution import SHOWN_ROWS, show_rows, show_value
from eval.pool import Sandbox
from eval.query import Names
from eval.sandbox import Limits
from eval.score import CATEGORIES, Case, Judge, Verdict, trimmed_mean


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("score") / "pets.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE pet (id INTEGER PRIMARY KEY, kind TEXT, age INT);"
        "INSERT INTO pet VALUES (1, 'dog', 3), (2, 'cat', 5), (3, 'dog', 7), (4, 'owl', 7), (5, 'cat', 1), (6, 'cat', 2), (7, 'hen', 4);"
    )
    connection.close()
    return path


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=0.4, rows=1000), workers=1) as opened:
        yield opened


@pytest.mark.parametrize(
    ("gold", "predicted", "category"),
    [
        ("SELECT kind, age FROM pet", "SELECT age, kind FROM pet ORDER BY id DESC", "correct"),
        ("SELECT age FROM pet ORDER BY age", "SELECT age FROM pet ORDER BY age DESC", "wrong_result"),
        ("SELECT DISTINCT kind FROM pet", "SELECT kind FROM pet", "correct"),
        ("SELECT count(*) FROM pet", "SELECT count(*) FROM pet; DROP TABLE pet", "correct"),
        ("SELECT id FROM pet WHERE age > = 7", "SELECT id FROM pet WHERE age > 6", "correct"),
        ("SELECT id FROM pet WHERE age > 9", "SELECT 1, 2 WHERE 0", "correct"),  # both empty
        ("SELECT id FROM pet WHERE age > 9", "SELECT id FROM pet", "wrong_result"),
        ("SELECT id FROM pet", "SELECT id FROM pet WHERE age > 9", "empty"),
        ("SELECT id FROM pet", "SELECT id, kind FROM pet", "wrong_result"),
        ("SELECT id FROM pet", "", "no_sql"),
        ("SELECT id FROM pet WHERE age > 9", " \n ", "no_sql"),  # an empty result is not what it gave
        ("SELECT id FROM pet", "I do not know", "syntax"),
        ("SELECT id FROM pet", "SELECT id FROM pets", "no_such_table"),
        ("SELECT id FROM pet", "SELECT name FROM pet", "no_such_column"),
        ("SELECT id FROM pet", "DELETE FROM pet", "refused"),
        ("SELECT id FROM pet WHERE age > 9", ";", "correct"),  # no statement, no rows
        ("SELECT id FROM pet WHERE age > 9", "-- nothing at all", "correct"),
        ("SELECT id FROM pet", ";", "empty"),
        (";", "SELECT id FROM pet WHERE age > 9", "correct"),
        ("-- nothing", "-- nothing", "correct"),
        ("SELECT id FROM pet", "SELECT sleep(1)", "error"),
        ("SELECT id FROM pet", "SELECT a.id FROM pet a, pet b, pet c, pet d", "too_many_rows"),
        ("SELECT id FROM pet", "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r", "timeout"),
        ("SELECT nope FROM pet", "SELECT id FROM pet", "gold_failed"),
        ("SELECT nope FROM pet", "SELECT nope FROM pet", "gold_failed"),
        ("SELECT nope FROM pet", "", "gold_failed"),
    ],
)  # fmt: skip
def test_a_prediction_has_its_category(
    sandbox: Sandbox, database: Path, gold: str, predicted: str, category: str
) -> None:
    (verdict,) = Judge(sandbox).verdicts([Case(database, gold, predicted)])
    assert verdict.category == category
    assert category in CATEGORIES
    assert verdict.ex == (category == "correct")


def verdicts(sandbox: Sandbox, *cases: Case) -> list[Verdict]:
    return list(Judge(sandbox).verdicts(cases))


def test_distinct_counts_where_it_is_kept(sandbox: Sandbox, database: Path) -> None:
    (one,) = verdicts(sandbox, Case(database, "SELECT DISTINCT kind FROM pet", "SELECT kind FROM pet"))
    assert (one.ex, one.ex_keep_distinct) == (True, False)
    (one,) = verdicts(sandbox, Case(database, "SELECT DISTINCT kind FROM pet", "SELECT kind FROM pet GROUP BY kind"))
    assert (one.ex, one.ex_keep_distinct) == (False, True)


def test_verdicts_come_in_the_order_of_the_cases(sandbox: Sandbox, database: Path) -> None:
    gold = "SELECT id FROM pet WHERE age = 3"
    predicted = [gold, "SELEC", "", "SELECT 9", gold] * 60
    found = verdicts(sandbox, *(Case(database, gold, sql) for sql in predicted))
    assert [one.category for one in found] == ["correct", "syntax", "no_sql", "wrong_result", "correct"] * 60


def test_a_failed_gold_says_why(sandbox: Sandbox, database: Path) -> None:
    (one,) = verdicts(sandbox, Case(database, "SELECT nope FROM pet", "SELECT 1"))
    assert one.message == "no_such_column: no such column: nope"


def test_a_missing_database_is_a_failed_gold(sandbox: Sandbox, database: Path) -> None:
    found = verdicts(
        sandbox, Case(database.with_name("gone.sqlite"), "SELECT 1", "SELECT 1"), Case(database, "SELECT 1", "SELECT 1")
    )
    assert [(one.category, one.message, one.ex) for one in found] == [
        ("gold_failed", "no database file", False),
        ("correct", "", True),
    ]


def test_exact_match_needs_the_names_of_the_database(sandbox: Sandbox, database: Path) -> None:
    gold, spelled = "SELECT kind FROM pet WHERE age > 3", "SELECT p.kind FROM pet p WHERE p.age>3"
    names = Names(read_sqlite(database))
    found = verdicts(sandbox, *(Case(database, gold, sql, known) for sql in (gold, spelled) for known in (names, None)))
    assert [(one.read.em, one.read.em_semantic) for one in found] == [
        (True, True),
        (False, False),
        (False, True),
        (False, False),
    ]
    assert {one.read.hardness for one in found} == {"easy"}
    assert found[1].read.components == {}


def test_a_test_suite_wants_agreement_on_every_database(sandbox: Sandbox, database: Path, tmp_path: Path) -> None:
    other, useless = tmp_path / "fuzz-01.sqlite", tmp_path / "fuzz-02.sqlite"
    for path, rows in ((other, "(1, 'dog', 6)"), (useless, None)):
        connection = sqlite3.connect(path)
        if rows:
            connection.executescript(
                f"CREATE TABLE pet (id INTEGER PRIMARY KEY, kind TEXT, age INT); INSERT INTO pet VALUES {rows};"
            )
        else:
            connection.executescript("CREATE TABLE other (id)")  # the gold fails here, which says nothing
        connection.close()
    gold, lucky, wrong = "SELECT id FROM pet WHERE age > 5", "SELECT id FROM pet WHERE age >= 7", "SELECT id FROM pet"
    suite = (other, useless)
    found = verdicts(sandbox, *(Case(database, gold, sql, suite=suite) for sql in (gold, lucky, wrong)))
    assert [(one.ex, one.ts) for one in found] == [(True, True), (True, False), (False, False)]
    assert found[0].remarks == (
        "its gold fails on fuzz-02.sqlite (no_such_table: no such table: pet), which TS passes over",
    )
    (plain,) = verdicts(sandbox, Case(database, gold, lucky))
    assert plain.ts is None
    assert "ts" not in plain.record()


def test_what_is_remembered_of_golds_cannot_lie(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "changing.sqlite"

    def fill(value: int) -> None:
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path)
        connection.executescript(f"CREATE TABLE t (a); INSERT INTO t VALUES ({value});")
        connection.close()

    judge = Judge(sandbox)
    seen = []
    for value in (1, 2, 1):
        fill(value)
        (one,) = judge.verdicts([Case(path, "SELECT a FROM t", "SELECT 1")])
        seen.append((one.category, one.gold_result["rows"]))
    assert seen == [("correct", [[1]]), ("wrong_result", [[2]]), ("correct", [[1]])]


def test_a_gold_that_changes_by_itself_is_run_anew(sandbox: Sandbox, database: Path) -> None:
    judge = Judge(sandbox)
    case = Case(database, "SELECT random()", "SELECT 1")
    shown = [next(judge.verdicts([case])).gold_result["rows"][0][0] for _ in range(4)]
    assert len(set(shown)) == 4
    # The same text is not the same result: gold and prediction run apart.
    assert [one.category for one in judge.verdicts([Case(database, "SELECT random()", "SELECT random()")])] == [
        "wrong_result"
    ]


def test_gold_values_may_stand_in_for_predicted_ones(sandbox: Sandbox, database: Path) -> None:
    gold = "SELECT id FROM pet WHERE kind = 'dog' AND age > 2"
    cases = [
        Case(database, gold, 'SELECT id FROM pet WHERE kind = "dogs" AND age > 0'),
        Case(database, gold, "SELECT id FROM pet WHERE age > 2 OR kind != 'x'"),
        Case(database, gold, "SELECT id FROM pets WHERE age > 1"),
    ]
    assert [one.category for one in verdicts(sandbox, *cases)] == ["empty", "wrong_result", "no_such_table"]
    plugged = list(Judge(sandbox, plug_value=True).verdicts(cases))
    assert [one.category for one in plugged] == ["correct", "wrong_result", "no_such_table"]


def test_plugged_values_hold_for_every_figure(sandbox: Sandbox, database: Path) -> None:
    gold = "SELECT DISTINCT id FROM pet WHERE age > 2"
    case = Case(database, gold, "SELECT DISTINCT id FROM pet WHERE age > 99", suite=(database,))
    (one,) = Judge(sandbox, plug_value=True, timings=1).verdicts([case])
    assert (one.ex, one.ex_keep_distinct, one.ts) == (True, True, True)
    assert one.time_ratio is not None


def test_plugging_keeps_to_the_time_of_one_query(sandbox: Sandbox, database: Path) -> None:
    gold = "SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9"
    slow = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3000) SELECT count(*), 2, 3 FROM r"
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n), 2, 3 FROM r"
    start = time.perf_counter()
    found = list(Judge(sandbox, plug_value=True).verdicts(Case(database, gold, sql) for sql in (slow, endless)))
    assert [one.category for one in found] == ["wrong_result", "timeout"]
    assert time.perf_counter() - start < 5


def test_a_gold_that_fails_with_distinct_kept_is_remarked_on(sandbox: Sandbox, database: Path) -> None:
    (one,) = verdicts(sandbox, Case(database, "SELECT count(DISTINCT *) FROM pet", "SELECT count(*) FROM pet"))
    assert (one.ex, one.ex_keep_distinct) == (True, False)
    assert one.remarks[0].startswith("its gold fails with DISTINCT kept (syntax")
    assert one.record()["remarks"] == list(one.remarks)


def test_timings_compare_right_predictions_with_their_golds(sandbox: Sandbox, database: Path) -> None:
    slow = "SELECT count(*) FROM pet a, pet b, pet c, pet d, pet e"
    judge = Judge(sandbox, timings=5)
    fast, wrong = judge.verdicts([Case(database, slow, "SELECT 16807"), Case(database, slow, "SELECT 1")])
    assert fast.time_ratio is not None
    assert fast.time_ratio > 1
    assert wrong.time_ratio is None


def test_an_outlier_is_left_out_of_a_mean() -> None:
    assert trimmed_mean([1.0] * 20 + [100.0]) == 1.0
    assert trimmed_mean([2.0, 2.0]) == 2.0
    assert trimmed_mean([1.0, 3.0]) == 2.0


def test_results_are_shown_by_their_first_rows(sandbox: Sandbox, database: Path) -> None:
    (one,) = verdicts(sandbox, Case(database, "SELECT id, x'00FF' AS raw FROM pet", "SELECT nope FROM pet"))
    assert one.gold_result == {
        "columns": ["id", "raw"],
        "rows": [[number, "<2 bytes>"] for number in range(1, SHOWN_ROWS + 1)],
        "row_count": 7,
    }
    assert one.predicted_result == {"columns": [], "rows": [], "row_count": 0}


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, None), (1.5, 1.5), ("short", "short"), ("x" * 80, "x" * 80), ("x" * 81, "x" * 80 + "…"), (b"abc", "<3 bytes>"), (float("inf"), "inf")],
)  # fmt: skip
def test_a_cell_is_cut_for_people(value: Any, shown: Any) -> None:
    assert show_value(value) == shown
    assert show_rows([(value, 1)]) == [[shown, 1]]
