"""Predictions become verdicts with a category, and verdicts become scores."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.metrics import wilson
from eval.sandbox import Limits, Sandbox
from eval.score import CATEGORIES, SHOWN_ROWS, judge, show_rows, show_value, summarize


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
        ("SELECT id FROM pet WHERE age > 9", ";", "refused"),
        ("SELECT id FROM pet", "SELECT sleep(1)", "error"),
        ("SELECT id FROM pet", "SELECT a.id FROM pet a, pet b, pet c, pet d", "too_large"),
        ("SELECT id FROM pet", "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r", "timeout"),
        ("SELECT nope FROM pet", "SELECT id FROM pet", "gold_failed"),
        ("SELECT nope FROM pet", "SELECT nope FROM pet", "gold_failed"),
        ("SELECT nope FROM pet", "", "gold_failed"),
    ],
)  # fmt: skip
def test_a_prediction_has_its_category(
    sandbox: Sandbox, database: Path, gold: str, predicted: str, category: str
) -> None:
    (judged,) = judge(sandbox, [(database, gold, predicted)])
    assert judged.category == category
    assert category in CATEGORIES


def test_distinct_counts_where_it_is_kept(sandbox: Sandbox, database: Path) -> None:
    case = (database, "SELECT DISTINCT kind FROM pet", "SELECT kind FROM pet")
    assert [next(judge(sandbox, [case], keep)).category for keep in (False, True)] == ["correct", "wrong_result"]


def test_verdicts_come_in_the_order_of_the_cases(sandbox: Sandbox, database: Path) -> None:
    gold = "SELECT id FROM pet WHERE age = 3"
    predicted = [gold, "SELEC", "", "SELECT 9", gold]
    verdicts = judge(sandbox, [(database, gold, sql) for sql in predicted])
    assert [verdict.category for verdict in verdicts] == ["correct", "syntax", "no_sql", "wrong_result", "correct"]


def test_a_failed_gold_says_why(sandbox: Sandbox, database: Path) -> None:
    (judged,) = judge(sandbox, [(database, "SELECT nope FROM pet", "SELECT 1")])
    assert judged.message == "no_such_column: no such column: nope"


def test_results_are_shown_by_their_first_rows(sandbox: Sandbox, database: Path) -> None:
    (judged,) = judge(sandbox, [(database, "SELECT id, x'00FF' AS raw FROM pet", "SELECT nope FROM pet")])
    assert judged.gold_result == {
        "columns": ["id", "raw"],
        "rows": [[number, "<2 bytes>"] for number in range(1, SHOWN_ROWS + 1)],
        "row_count": 7,
    }
    assert judged.predicted_result == {"columns": [], "rows": [], "row_count": 0}


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, None), (1.5, 1.5), ("short", "short"), ("x" * 80, "x" * 80), ("x" * 81, "x" * 80 + "…"), (b"abc", "<3 bytes>")],
)  # fmt: skip
def test_a_cell_is_cut_for_people(value: Any, shown: Any) -> None:
    assert show_value(value) == shown
    assert show_rows([(value, 1)]) == [[shown, 1]]


def record(category: str, hardness: str = "easy", db_id: str = "pets") -> dict[str, str]:
    return {"category": category, "hardness": hardness, "db_id": db_id}


def test_scores_count_what_is_right_in_all_and_by_group() -> None:
    scores = summarize(
        [record("correct"), record("correct", "hard"), record("syntax", "hard", "shop"), record("no_sql", "extra", "shop")]
    )  # fmt: skip
    assert (scores["questions"], scores["correct"], scores["ex"], scores["gold_failed"]) == (4, 2, 0.5, 0)
    assert (scores["low"], scores["high"]) == (wilson(2, 4).low, wilson(2, 4).high)
    assert {level: share["ex"] for level, share in scores["by_hardness"].items()} == {
        "easy": 1,
        "hard": 0.5,
        "extra": 0,
    }
    assert {name: share["correct"] for name, share in scores["by_database"].items()} == {"pets": 2, "shop": 0}
    assert scores["categories"] == {"correct": 2, "syntax": 1, "no_sql": 1}


def test_hardness_goes_from_easy_to_unknown() -> None:
    levels = ["unknown", "extra", "easy", "hard", "medium"]
    assert list(summarize([record("syntax", level) for level in levels])["by_hardness"]) == [
        "easy", "medium", "hard", "extra", "unknown",
    ]  # fmt: skip


def test_a_failed_gold_is_named_and_left_out_of_the_denominator() -> None:
    scores = summarize([record("correct"), record("gold_failed"), record("gold_failed", "hard", "shop")])
    assert (scores["questions"], scores["ex"], scores["gold_failed"]) == (1, 1.0, 2)
    assert list(scores["by_database"]) == ["pets"]
    assert scores["categories"]["gold_failed"] == 2


def test_nothing_to_score_is_no_crash() -> None:
    assert summarize([])["questions"] == summarize([record("gold_failed")])["questions"] == 0
