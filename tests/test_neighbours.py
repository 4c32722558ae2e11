"""Neighbours are one change away from their gold, of every kind, the same each time."""

import sqlite3

import pytest

from data.schema import Column, Schema, Table
from eval.facts import facts, matches, near
from eval.neighbours import neighbours, rewritten

SCHEMA = Schema(
    "zoo",
    (
        Table("keeper", (Column("id", "INTEGER"), Column("name", "TEXT"), Column("born", "DATE")), ("id",), ()),
        Table(
            "Animal",
            (Column("id", "INTEGER"), Column("name", "TEXT"), Column("Body Weight", "REAL"), Column("keeper", "INT")),
            ("id",),
            (),
        ),
    ),
)


def of_kind(sql: str, kind: str, values: dict[tuple[str, str], list[object]] | None = None) -> set[str]:
    found = neighbours(sql, SCHEMA, values or {}, 0, 1000)  # type: ignore[arg-type]
    return {item.sql for item in found if item.kind == kind}


@pytest.mark.parametrize(
    ("gold", "kind", "expected"),
    [
        ("SELECT id FROM keeper WHERE id > 3", "comparison", "SELECT id FROM keeper WHERE id >= 3"),
        ("SELECT id FROM keeper WHERE id > 3", "comparison", "SELECT id FROM keeper WHERE id <> 3"),
        ("SELECT id FROM keeper WHERE id > 3", "constant", "SELECT id FROM keeper WHERE id > 4"),
        ("SELECT id FROM keeper WHERE id > 3", "constant", "SELECT id FROM keeper WHERE id > 2"),
        ("SELECT id FROM keeper WHERE id > 3", "condition", "SELECT id FROM keeper"),
        ("SELECT id FROM keeper WHERE id > 3", "column", 'SELECT id FROM keeper WHERE "born" > 3'),
        ("SELECT id FROM animal", "column", 'SELECT "Body Weight" FROM animal'),
        ("SELECT id FROM keeper", "distinct", "SELECT DISTINCT id FROM keeper"),
        ("SELECT DISTINCT id FROM keeper", "distinct", "SELECT id FROM keeper"),
        ("SELECT count(name) FROM keeper", "distinct", "SELECT COUNT(DISTINCT name) FROM keeper"),
        ("SELECT count(DISTINCT name) FROM keeper", "distinct", "SELECT COUNT(name) FROM keeper"),
        ("SELECT max(id) FROM keeper", "aggregate", "SELECT MIN(id) FROM keeper"),
        ("SELECT id FROM keeper WHERE id = 1 AND name = 'a'", "connective", "SELECT id FROM keeper WHERE (id = 1 OR name = 'a')"),
        ("SELECT id FROM keeper WHERE id = 1 AND name = 'a'", "condition", "SELECT id FROM keeper WHERE id = 1"),
        ("SELECT id FROM keeper ORDER BY id", "order", "SELECT id FROM keeper ORDER BY id DESC"),
        ("SELECT id FROM keeper ORDER BY id, name", "order", "SELECT id FROM keeper ORDER BY id"),
        ("SELECT id FROM keeper LIMIT 3", "limit", "SELECT id FROM keeper LIMIT 4"),
        ("SELECT name FROM keeper GROUP BY name HAVING count(*) > 1", "having", "SELECT name FROM keeper GROUP BY name"),
        ("SELECT name FROM keeper GROUP BY name, id", "group", "SELECT name FROM keeper GROUP BY id"),
        ("SELECT id FROM keeper UNION SELECT id FROM animal", "set operation", "SELECT id FROM keeper EXCEPT SELECT id FROM animal"),
        ("SELECT id FROM keeper WHERE name LIKE '%a%'", "like", "SELECT id FROM keeper WHERE name LIKE 'a%'"),
        ("SELECT id FROM keeper WHERE name LIKE '%a%'", "like", "SELECT id FROM keeper WHERE NOT name LIKE '%a%'"),
        ("SELECT id FROM keeper WHERE id NOT IN (SELECT keeper FROM animal)", "in", "SELECT id FROM keeper WHERE id IN (SELECT keeper FROM animal)"),
        ("SELECT id FROM keeper WHERE born IS NULL", "comparison", "SELECT id FROM keeper WHERE NOT born IS NULL"),
        ("SELECT T1.name FROM keeper AS T1 JOIN animal AS T2 ON T1.id = T2.keeper", "join", 'SELECT T1.name FROM keeper AS T1 JOIN animal AS T2 ON T1.id = T2."id"'),
        ("SELECT T1.name FROM keeper AS T1 JOIN animal AS T2 ON T1.id = T2.keeper", "join", "SELECT T1.name FROM keeper AS T1 LEFT JOIN animal AS T2 ON T1.id = T2.keeper"),
        ("SELECT T1.name FROM keeper AS T1 JOIN animal AS T2 ON T1.id = T2.keeper", "column", "SELECT T2.name FROM keeper AS T1 JOIN animal AS T2 ON T1.id = T2.keeper"),
        ("SELECT id + 1 FROM keeper", "arithmetic", "SELECT id - 1 FROM keeper"),
    ],
)  # fmt: skip
def test_each_kind_of_change(gold: str, kind: str, expected: str) -> None:
    assert expected in of_kind(gold, kind)


def test_a_constant_becomes_another_value_of_its_column() -> None:
    gold = "SELECT id FROM keeper WHERE name = 'Ann'"
    assert "SELECT id FROM keeper WHERE name = 'Bob'" in of_kind(gold, "constant", {("keeper", "name"): ["Ann", "Bob"]})
    assert "SELECT id FROM keeper WHERE name = 'Bob'" not in of_kind(gold, "constant", {("animal", "name"): ["Bob"]})


def test_a_name_that_is_none_is_text() -> None:
    assert rewritten('SELECT id FROM keeper WHERE name = "Ann"', SCHEMA) == "SELECT id FROM keeper WHERE name = 'Ann'"
    assert rewritten('SELECT id FROM keeper WHERE "NAME" = 1', SCHEMA) == 'SELECT id FROM keeper WHERE "NAME" = 1'


@pytest.mark.parametrize("sql", ["SELEC", "", "DELETE FROM keeper", "SELECT " + "(" * 5000 + "1" + ")" * 5000])
def test_what_is_no_query_has_none(sql: str) -> None:
    assert neighbours(sql, SCHEMA, {}, 0, 10) == []
    assert rewritten(sql, SCHEMA) is None


GOLD = (
    "SELECT T1.name, count(*) FROM keeper AS T1 JOIN animal AS T2 ON T1.id = T2.keeper "
    "WHERE T2.id > 3 AND T1.name LIKE '%a%' GROUP BY T1.name HAVING count(*) >= 2 ORDER BY count(*) DESC LIMIT 3"
)


def test_none_comes_twice_or_is_the_gold_and_all_of_them_parse() -> None:
    found = [item.sql for item in neighbours(GOLD, SCHEMA, {}, 0, 1000)]
    assert len(found) == len(set(found)) > 30
    assert rewritten(GOLD, SCHEMA) not in found
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        'CREATE TABLE keeper (id, name, born); CREATE TABLE animal (id, name, "Body Weight", keeper)'
    )
    refused = 0
    for sql in found:
        try:
            connection.execute(sql)
        except sqlite3.OperationalError as error:
            assert "syntax" not in str(error)
            refused += 1
    connection.close()
    assert refused < len(found) / 5


def test_a_sample_takes_the_kinds_in_turn_and_is_the_seeds() -> None:
    every = neighbours(GOLD, SCHEMA, {}, 0, 1000)
    kinds = {item.kind for item in every}
    sample = neighbours(GOLD, SCHEMA, {}, 0, len(kinds))
    assert len(sample) == len(kinds) > 8
    assert len({item.kind for item in sample}) >= len(kinds) - 1
    assert sample == neighbours(GOLD, SCHEMA, {}, 0, len(kinds))
    assert sample != neighbours(GOLD, SCHEMA, {}, 1, len(kinds))


@pytest.mark.parametrize(
    "constant",
    [str(2**63 - 1), str(2**63), str(-(2**63)), "9" * 400, "9" * 5000, "1e400", "0x10"],
    ids=lambda text: text[:24],
)
def test_constants_beyond_64_bits_can_be_stored(constant: str) -> None:
    gold = f"SELECT name FROM keeper WHERE id > {constant}"
    connection = sqlite3.connect(":memory:")
    for value in facts(gold, SCHEMA).around.get(("keeper", "id"), []):
        connection.execute("SELECT ?", (value,))
    connection.close()
    above, below = list(near(float(2**63)))
    assert above > 2**63 > below  # type: ignore[operator]
    neighbours(gold, SCHEMA, {}, 0, 20)


def test_facts_name_columns_under_their_aliases() -> None:
    found = facts(GOLD + " UNION SELECT name, 1 FROM animal WHERE id IN (SELECT max(id) FROM keeper)", SCHEMA)
    assert found.constants["animal", "id"] == [4]  # which is more than 3
    assert found.around["animal", "id"] == [4, 3, 2]
    assert "a" in found.constants["keeper", "name"]
    assert found.counts == [2]
    assert (("keeper", "id"), ("animal", "keeper")) in found.links
    assert (("keeper", "name"), ("animal", "name")) in found.links
    assert (("animal", "id"), ("keeper", "id")) in found.links
    assert found.ranked == {("keeper", "id")}


def test_values_next_to_a_constant() -> None:
    assert list(near(5)) == [6, 4]
    assert list(near(2.5)) == [3.5, 1.5]
    assert "2024-03-02" in list(near("2024-03-01"))
    assert "".join(near("")) == "aa"
    assert {"aNN", "Anna", "An"} <= set(near("Ann"))
    accepted, missed = matches("%a_")
    assert "ae" in accepted
    assert "a" in missed
