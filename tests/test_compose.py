"""From a question and a database to a prompt: what is shown, and what goes first when it is too long."""

import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data.schema import Column, Schema, Table, read_sqlite
from prompts.compose import DROPS, Composer, Database, View
from prompts.context import choose_context, shuffle, used_columns
from prompts.describe import create_tables, describe
from prompts.render import Shot, preset_style

SCRIPT = """
CREATE TABLE singer (singer_id INTEGER PRIMARY KEY, name TEXT, country TEXT, age INT, shoe_size INT, agent TEXT);
CREATE TABLE concert (concert_id INTEGER PRIMARY KEY, theme TEXT, singer_id INT REFERENCES singer (singer_id), year INT);
CREATE TABLE warehouse (pallet INT, forklift TEXT, driver TEXT, shift TEXT, bay TEXT);
INSERT INTO singer VALUES (1, 'Ana', 'France', 30, 40, 'Bo'), (2, 'Bea', 'France', 20, 41, 'Cy'), (3, 'Cleo', 'Spain', 4, 3, '*/');
INSERT INTO concert VALUES (1, 'Jazz', 1, 2014);
INSERT INTO warehouse VALUES (1, 'blue', 'Dan', 'night', 'seven');
"""


@pytest.fixture
def database(tmp_path: Path) -> Database:
    path = tmp_path / "music.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SCRIPT)
    connection.close()
    return Database(read_sqlite(path), path, tmp_path / "music.values")


def composer(**view: object) -> Composer:
    return Composer(preset_style("corrected", "schema-first"), View(**view))  # type: ignore[arg-type]


def context(database: Database, question: str, **view: object) -> str:
    chosen = composer(**view)
    return chosen.context(chosen.draft(database, question))


def test_the_plain_view_shows_the_full_schema_and_nothing_else(database: Database) -> None:
    assert context(database, "Who sang in France?") == describe(database.schema)


def test_samples_are_shown_of_text_columns_as_sql_writes_them(database: Database) -> None:
    text = context(database, "How many?", samples=2)
    assert "country: text (e.g. 'France', 'Spain'), age: int," in text


def test_mentioned_values_come_before_samples(database: Database) -> None:
    assert "country: text (e.g. 'Spain')" in context(database, "Singers from Spain", matches=True)
    assert "country: text (e.g. 'Spain', 'France')" in context(database, "Singers from Spain", matches=True, samples=2)
    assert "(e.g." not in context(database, "How many?", matches=True)


def test_linking_leaves_out_what_the_question_is_not_about(database: Database) -> None:
    text = context(database, "What is the age of each singer?", linking=True)
    assert "age: int" in text and "forklift" not in text


def test_values_never_come_from_the_gold_query(database: Database) -> None:
    chosen = composer(matches=True, samples=2)
    draft = chosen.draft(database, "How many singers are there?")
    gold = replace(draft, query="SELECT count(*) FROM singer WHERE country = 'Spain' OR agent = 'Dan'")
    assert chosen.context(gold) == chosen.context(draft)
    (shorter, _), (with_gold, _) = (chosen.shorten(one, lambda text: False) for one in (draft, gold))
    assert "'Spain'" not in chosen.context(with_gold) and "'Dan'" not in chosen.context(with_gold)
    assert "agent" in chosen.context(with_gold) and "agent" not in chosen.context(shorter)


def test_a_database_that_is_missing_has_no_values(database: Database, tmp_path: Path) -> None:
    absent = Database(database.schema, None, tmp_path)
    assert context(absent, "Singers from Spain", matches=True, samples=3) == describe(database.schema)


def test_meanings_and_values_share_the_brackets_and_cannot_end_a_comment() -> None:
    column = Column("w", "INT", meaning="weight */ in kg", values=("it's", "*/ DROP"))
    schema = Schema("x", (Table("t", (column,), (), ()),))
    assert "w: int (weight */ in kg; e.g. 'it''s', '*/ DROP')" in describe(schema)
    assert "w INT /* weight * / in kg; e.g. 'it''s', '* / DROP' */ )" in create_tables(schema)


QUESTION = "What is the age of the singers from France?"
SHOTS = [Shot(f"old question {n}", "There are tables such as t", "SELECT 1") for n in range(3)]


def steps(database: Database, limit: Callable[[str], bool], query: str | None = None) -> tuple[str, dict[str, int]]:
    chosen = Composer(preset_style("corrected", "schema-first", shots=True), View(samples=2, matches=True))
    draft = replace(chosen.draft(database, QUESTION, SHOTS), query=query)
    shorter, dropped = chosen.shorten(draft, limit)
    return chosen.text(shorter), dict(dropped)


def test_what_fits_is_left_alone(database: Database) -> None:
    text, dropped = steps(database, lambda text: True)
    assert not dropped and "old question 0" in text


def test_things_are_dropped_in_order_and_counted(database: Database) -> None:
    full, _ = steps(database, lambda text: True)
    _, everything = steps(database, lambda text: False)
    seen: list[dict[str, int]] = []
    for length in range(len(full), 0, -10):
        text, dropped = steps(database, lambda text, length=length: len(text) <= length)  # type: ignore[misc]
        seen.append(dropped)
        assert len(text) <= length or dropped == everything
        kinds = [kind for kind in DROPS if dropped.get(kind)]
        # Nothing is dropped before all of the kinds earlier in the order are gone.
        if "sample values" in kinds:
            assert dropped["examples"] == 3
        # No more than it takes: what is a bit longer does not fit.
        if kinds == ["examples", "sample values"] and dropped["sample values"] < everything["sample values"]:
            assert length - len(text) < 60
        if "unlinked tables" in kinds:
            assert dropped["unlinked columns"] > 0
    assert seen[-1]["examples"] == 3 and seen[-1]["sample values"] > 0 and seen[-1]["unlinked tables"] > 0


def test_the_least_alike_example_goes_first(database: Database) -> None:
    full, _ = steps(database, lambda text: True)
    text, dropped = steps(database, lambda text: len(text) < len(full))
    assert dropped == {"examples": 1}
    assert "old question 0" not in text and "old question 2" in text


def test_linked_columns_mentioned_values_and_what_gold_needs_stay(database: Database) -> None:
    text, dropped = steps(database, lambda text: False)
    assert "age: int" in text and "country: text (e.g. 'France')" in text and "forklift" not in text
    assert dropped["unlinked tables"] >= 1
    text, _ = steps(database, lambda text: False, query="SELECT bay FROM warehouse")
    assert "bay: text" in text and "forklift" not in text


def test_linked_contexts_hold_what_the_gold_needs(database: Database) -> None:
    picked = {"singer": {"age"}}
    got = choose_context(database.schema, "SELECT count(*) FROM concert", "linked", random.Random(0), picked)
    assert [(table.name, [column.name for column in table.columns]) for table in got.tables] == [
        ("singer", ["age"]),
        ("concert", ["concert_id"]),
    ]


def test_shuffling_changes_the_order_alone_and_is_seeded(database: Database) -> None:
    orders = {shuffle(database.schema, random.Random(seed)) for seed in range(5)}
    assert len(orders) > 1
    assert shuffle(database.schema, random.Random(1)) == shuffle(database.schema, random.Random(1))
    for schema in orders:
        assert {table.name: set(table.columns) for table in schema.tables} == {
            table.name: set(table.columns) for table in database.schema.tables
        }


@pytest.mark.parametrize(
    ("query", "stars", "used"),
    [
        ("SELECT * FROM concert", True, {"concert": {"concert_id", "theme", "singer_id", "year"}}),
        ("SELECT * FROM concert", False, {"concert": set()}),
        # The unnamed column of the subquery is not the outer table's.
        ("SELECT name FROM singer WHERE singer_id NOT IN (SELECT singer_id FROM concert)", False, {"singer": {"name", "singer_id"}, "concert": {"singer_id"}}),
        ("SELECT name FROM singer WHERE EXISTS (SELECT 1 FROM concert WHERE year = age)", False, {"singer": {"name", "age"}, "concert": {"year"}}),
        ("SELECT theme FROM concert; -- a note", False, {"concert": {"theme"}}),
        ("SELECT theme FROM concert;;", False, {"concert": {"theme"}}),
        ("WITH c AS (SELECT theme FROM concert) SELECT theme FROM c", False, {"concert": {"theme"}}),
    ],
)  # fmt: skip
def test_columns_belong_to_the_select_that_names_them(
    database: Database, query: str, stars: bool, used: dict[str, set[str]]
) -> None:
    assert used_columns(database.schema, query, stars) == used
