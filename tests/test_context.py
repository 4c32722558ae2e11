"""Which tables and columns a training prompt shows."""

import random

import pytest

from data.schema import Column, ForeignKey, Schema, Table
from prompts.context import ContextKind, choose_context, used_columns


def table(name: str, columns: str, key: str = "", *foreign: ForeignKey) -> Table:
    return Table(name, tuple(Column(column, "int") for column in columns.split()), tuple(key.split()), foreign)


SCHEMA = Schema(
    "music",
    (
        table("Singer", "Singer_ID Name Age", "Singer_ID"),
        table("concert", "Concert_ID Name Year", "Concert_ID"),
        table("singer_in_concert", "Concert_ID Singer_ID", "Concert_ID Singer_ID", ForeignKey("Singer_ID", "Singer", "Singer_ID")),
        table("log", "line note"),
    ),
)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "used"),
    [
        ("SELECT name FROM singer", {"Singer": "Name"}),
        ("SELECT T1.NAME FROM Singer AS T1 WHERE t1.age > 1", {"Singer": "Name Age"}),
        ("SELECT T1.Name FROM Singer T1 JOIN concert T2 ON T1.Singer_ID = T2.Concert_ID", {"Singer": "Name Singer_ID", "concert": "Concert_ID"}),
        ("SELECT Name FROM Singer JOIN concert", {"Singer": "Name", "concert": "Name"}),  # of both, since either may be meant
        ("SELECT * FROM log", {"log": "line note"}),
        ("SELECT T1.* FROM log AS T1 JOIN concert AS T2 ON T1.line = T2.Year", {"log": "line note", "concert": "Year"}),
        ("SELECT count(*) FROM concert WHERE Year > 1", {"concert": "Year"}),
        ("SELECT count(*) FROM log", {"log": ""}),
        ("SELECT Age FROM Singer WHERE Name = \"Joe\" ", {"Singer": "Age Name"}),
        ("SELECT Age FROM Singer WHERE Singer_ID NOT IN (SELECT Singer_ID FROM singer_in_concert)", {"Singer": "Age Singer_ID", "singer_in_concert": "Singer_ID"}),
        ("SELECT Age FROM Singer UNION SELECT Year FROM concert", {"Singer": "Age", "concert": "Year"}),
        ("WITH x AS (SELECT Age FROM Singer) SELECT Age FROM x", {"Singer": "Age"}),
        ("SELECT T1.Name FROM Singer AS T1 JOIN singer_in_concert USING (Singer_ID)", {"Singer": "Name Singer_ID", "singer_in_concert": "Singer_ID"}),
        ("SELECT x FROM nowhere", {}),
        ("SELEC FROM (", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_used_columns_are_those_that_the_query_names(query: str, used: dict[str, str]) -> None:
    assert used_columns(SCHEMA, query) == {name: set(columns.split()) for name, columns in used.items()}


JOIN = "SELECT T1.Name FROM Singer AS T1 JOIN singer_in_concert AS T2 ON T1.Singer_ID = T2.Singer_ID"


def shown(kind: ContextKind, query: str, seed: int = 0) -> dict[str, list[str]]:
    schema = choose_context(SCHEMA, query, kind, random.Random(seed))
    return {table.name: [column.name for column in table.columns] for table in schema.tables}


WHOLE = {table.name: [column.name for column in table.columns] for table in SCHEMA.tables}


def test_full_shows_everything() -> None:
    assert shown("full", JOIN) == WHOLE


def test_needed_shows_only_the_tables_and_columns_used() -> None:
    assert shown("needed", JOIN) == {"Singer": ["Singer_ID", "Name"], "singer_in_concert": ["Singer_ID"]}


@pytest.mark.parametrize(("name", "columns"), [("singer", ["Singer_ID"]), ("log", ["line"])])
def test_needed_shows_a_key_or_the_first_column_where_none_is_named(name: str, columns: list[str]) -> None:
    assert list(shown("needed", f"SELECT count(*) FROM {name}").values()) == [columns]


def test_distract_adds_at_least_one_other_table_and_shows_tables_whole() -> None:
    counts = set()
    for seed in range(30):
        tables = shown("distract", JOIN, seed)
        assert {"Singer", "singer_in_concert"} < set(tables)
        assert tables == {name: WHOLE[name] for name in WHOLE if name in tables}
        counts.add(len(tables))
    assert counts == {3, 4}


def test_distract_shows_all_where_there_is_no_other_table() -> None:
    query = "SELECT 1 FROM Singer, concert, singer_in_concert, log"
    assert shown("distract", query) == WHOLE


def test_mixed_shows_contexts_of_the_three_kinds() -> None:
    sizes = [len(shown("mixed", JOIN, seed)) for seed in range(60)]
    assert {2, 3, 4} == set(sizes)
    assert sizes.count(2) in range(10, 31)  # needed: a third


@pytest.mark.parametrize("kind", ["distract", "mixed"])
def test_the_same_seed_shows_the_same(kind: ContextKind) -> None:
    runs = [[shown(kind, JOIN, seed) for seed in range(20)] for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("kind", ["needed", "distract", "mixed"])
def test_a_query_that_cannot_be_parsed_is_shown_everything(kind: ContextKind) -> None:
    assert shown(kind, "SELEC FROM (") == WHOLE
