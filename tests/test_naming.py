"""Which tables a query reads, and what it names that is not there."""

import pytest

from data.schema import Column, Schema, Table
from eval.naming import names_in

SHOP = Schema(
    "shop",
    (
        Table("Customer", (Column("id", "INTEGER"), Column("name", "TEXT")), ("id",), ()),
        Table(
            "orders", (Column("id", "INTEGER"), Column("customer_id", "INTEGER"), Column("total", "REAL")), ("id",), ()
        ),
    ),
)


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT count(*) FROM customer", ("Customer",)),
        ("SELECT T1.name FROM customer AS T1 JOIN orders AS T2 ON T2.customer_id = T1.id", ("Customer", "orders")),
        ("WITH big AS (SELECT * FROM orders) SELECT total FROM big", ("orders",)),
        ("SELECT name FROM Customer WHERE id IN (SELECT customer_id FROM orders)", ("Customer", "orders")),
        ("SELECT name AS n FROM Customer ORDER BY n", ("Customer",)),
        ("SELECT rowid FROM orders", ("orders",)),
        ("SELECT x.n FROM (SELECT count(*) AS n FROM orders) AS x", ("orders",)),
        ("SELECT value FROM json_each('[1]')", ()),
        ("SELECT 1", ()),
    ],
)
def test_tables_are_spelled_as_the_schema_has_them(sql: str, tables: tuple[str, ...]) -> None:
    assert names_in(sql, SHOP, "sqlite") == (tables, ())


@pytest.mark.parametrize(
    ("sql", "warning"),
    [
        ("SELECT * FROM custmer", "the database has no table custmer; is it Customer?"),
        ("SELECT nme FROM customer", "the database has no column nme; is it name?"),
        ("SELECT total FROM customer", "the tables read have no column total; orders.total is in another"),
        (
            'SELECT id FROM customer WHERE name = "Ann"',
            "\"Ann\" is no column of these tables: SQLite takes it for the text 'Ann'",
        ),
        ("SELECT zzzzzz FROM customer", "the database has no column zzzzzz"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_what_it_may_be(sql: str, warning: str) -> None:
    assert names_in(sql, SHOP, "sqlite")[1] == (warning,)


def test_what_cannot_be_read_has_no_names() -> None:
    assert names_in("SELECT FROM (((", SHOP, "sqlite") == ((), ())


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM t" + " JOIN t" * 40, "SELECT trim(", "SELECT CAST(", "SELECT " + "(" * 5000]
)
def test_what_cannot_be_read_has_no_names_and_costs_no_time(sql: str) -> None:
    assert names_in(sql, SHOP, "sqlite") == ((), ())
