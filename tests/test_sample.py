"""The sample data set is whole: its queries run, its questions differ, its databases are what it says."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from data.embedded import SPLITS, build
from data.errors import UserError
from data.schema import read_sqlite
from data.spider import Question, database_path, find_root, read_split
from eval.pool import Sandbox
from eval.reading import hardness
from eval.sandbox import Limits
from eval.verdict import normalize

SOURCE = Path(__file__).parents[1] / "data" / "sample"
NAMES = [name for names in SPLITS.values() for name in names]
SPLIT_OF = {name: split for split, names in SPLITS.items() for name in names}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def questions(root: Path) -> list[Question]:
    return [question for split in SPLITS for question in read_split(root, split)]


def pairs(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((SOURCE / f"{name}.json").read_text(encoding="utf-8"))
    return entries


def folded(question: str) -> str:
    return " ".join("".join(letter if letter.isalnum() else " " for letter in question.lower()).split())


def repeated(items: list[str]) -> list[str]:
    return [item for item, count in Counter(items).items() if count > 1]


def test_it_has_the_layout_of_spider(root: Path) -> None:
    assert find_root(root) == root
    assert sorted(path.name for path in root.iterdir()) == ["database", "dev.json", "train.json"]
    assert sorted(path.name for path in (root / "database").iterdir()) == sorted(NAMES)


def test_there_are_eight_databases_and_none_is_in_two_splits() -> None:
    assert len(NAMES) == len(set(NAMES)) == 8
    assert sorted(path.stem for path in SOURCE.glob("*.sql")) == sorted(NAMES)
    assert sorted(path.stem for path in SOURCE.glob("*.json")) == sorted(NAMES)


def test_questions_are_asked_of_the_databases_of_their_split(root: Path) -> None:
    for split, names in SPLITS.items():
        assert {question.db_id for question in read_split(root, split)} == set(names)


def test_no_question_is_asked_twice(questions: list[Question]) -> None:
    assert repeated([folded(question.question) for question in questions]) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_query_comes_twice_in_a_database(name: str) -> None:
    assert repeated([normalize(pair["query"]).lower() for pair in pairs(name)]) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_database_has_at_least_forty_questions(name: str) -> None:
    assert sum(len(pair["questions"]) for pair in pairs(name)) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_holds_a_query_and_its_questions_and_nothing_else(name: str) -> None:
    for pair in pairs(name):
        assert set(pair) == {"query", "questions"}
        assert pair["questions"]
        for text in (pair["query"], *pair["questions"]):
            assert text == " ".join(text.split()) != ""
        assert not pair["query"].endswith(";")


@pytest.mark.parametrize("name", NAMES)
def test_every_query_runs_and_nine_in_ten_return_rows(root: Path, name: str) -> None:
    database = database_path(root, SPLIT_OF[name], name)
    queries = [pair["query"] for pair in pairs(name)]
    with Sandbox(Limits(seconds=2), workers=1) as sandbox:
        outcomes = list(sandbox.map((database, query) for query in queries))
    failed = [(query, it.message) for query, it in zip(queries, outcomes, strict=True) if it.category != "ok"]
    assert failed == []
    assert sum(bool(outcome.rows) for outcome in outcomes) >= 0.9 * len(outcomes)


@pytest.mark.parametrize("name", NAMES)
def test_no_query_rests_on_the_double_quoted_string_fallback(root: Path, name: str) -> None:
    with closing(sqlite3.connect(database_path(root, SPLIT_OF[name], name))) as connection:
        schema = read_sqlite(database_path(root, SPLIT_OF[name], name))
        names = {column.name.lower() for table in schema.tables for column in table.columns}
        names |= {table.name.lower() for table in schema.tables}
        for pair in pairs(name):
            assert {part.lower() for part in pair["query"].split('"')[1::2]} <= names, pair["query"]
            connection.execute(pair["query"])


@pytest.mark.parametrize("name", NAMES)
def test_a_database_has_four_to_seven_tables_each_with_a_primary_key(root: Path, name: str) -> None:
    schema = read_sqlite(database_path(root, SPLIT_OF[name], name))
    assert 4 <= len(schema.tables) <= 7
    assert [table.name for table in schema.tables if not table.primary_key] == []
    assert [table.name for table in schema.tables if len(table.primary_key) > 1] != []
    assert [table.name for table in schema.tables if table.foreign_keys] != []


def runs_unquoted(name: str) -> bool:
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(f"CREATE TABLE t ({name})")
        except sqlite3.OperationalError:
            return False
        return [row[1] for row in connection.execute("PRAGMA table_info(t)")] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_database_has_missing_values_dates_and_an_odd_name(root: Path, name: str) -> None:
    path = database_path(root, SPLIT_OF[name], name)
    columns = [(table.name, column) for table in read_sqlite(path).tables for column in table.columns]
    with closing(sqlite3.connect(path)) as connection:

        def count(condition: str) -> int:
            total = 0
            for table, column in columns:
                where = condition.format(f'"{column.name}"')
                (found,) = connection.execute(f'SELECT count(*) FROM "{table}" WHERE {where}').fetchone()
                total += found
            return total

        assert count("{} IS NULL") > 0
        assert count("{} GLOB '[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]*'") > 0
    assert [column.name for _, column in columns if not runs_unquoted(column.name)] != []


@pytest.mark.parametrize("name", NAMES)
def test_every_table_has_rows_and_every_foreign_key_its_parent(root: Path, name: str) -> None:
    path = database_path(root, SPLIT_OF[name], name)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for table in read_sqlite(path).tables:
            assert connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone() >= (3,)


@pytest.mark.parametrize("split", [*SPLITS, "all"])
def test_hardness_is_mixed_about_as_in_spider(questions: list[Question], split: str) -> None:
    levels = Counter(hardness(question.query) for question in questions if split in ("all", question.split))
    shares = {level: count / levels.total() for level, count in levels.items()}
    assert set(shares) == {"easy", "medium", "hard", "extra"}
    assert 0.15 <= shares["easy"] <= 0.35
    assert 0.30 <= shares["medium"] <= 0.50
    assert 0.10 <= shares["hard"] <= 0.28
    assert 0.08 <= shares["extra"] <= 0.28


def test_building_twice_gives_the_same_data(root: Path, tmp_path: Path) -> None:
    build(tmp_path)
    for path in sorted(root.rglob("*.json")):
        assert (tmp_path / path.relative_to(root)).read_bytes() == path.read_bytes()
    for path in sorted(root.rglob("*.sqlite")):
        with (
            closing(sqlite3.connect(path)) as first,
            closing(sqlite3.connect(tmp_path / path.relative_to(root))) as second,
        ):
            assert list(first.iterdump()) == list(second.iterdump())


@pytest.mark.parametrize("name", ["../shop", "a/b", "a\\b", ".hidden"])
def test_a_database_name_that_is_a_path_is_refused(root: Path, name: str) -> None:
    with pytest.raises(UserError, match="not a plain name"):
        database_path(root, "train", name)
