"""SQLite's SQL said to servers, and what of a query may reach one."""

import pytest

from data.imports.kinds import Dialect
from data.schema import Column, Schema, Table
from eval.native import native, vetted

SHOP = Schema(
    "shop",
    (
        Table(
            "Order",
            (
                Column("id", "INTEGER"),
                Column("paid", "BOOLEAN"),
                Column("Customer Name", "TEXT"),
                Column("day", "DATE"),
            ),
            ("id",),
            (),
        ),
    ),
)


@pytest.mark.parametrize(
    ("sql", "postgres", "mysql"),
    [
        (
            'SELECT count(*) FROM "order" WHERE paid = 1 AND "customer name" LIKE \'%a%\'',
            """SELECT COUNT(*) FROM "Order" WHERE "paid" = TRUE AND "Customer Name" ILIKE '%a%'""",
            "SELECT COUNT(*) FROM `Order` WHERE `paid` = 1 AND `Customer Name` LIKE '%a%'",
        ),
        (
            'SELECT T1.id FROM [Order] AS T1 WHERE T1."Customer Name" = "Bob"',
            """SELECT T1."id" FROM "Order" AS T1 WHERE T1."Customer Name" = 'Bob'""",
            "SELECT T1.`id` FROM `Order` AS T1 WHERE T1.`Customer Name` = 'Bob'",
        ),
        (
            'SELECT strftime(\'%Y\', day), "Order".paid FROM "Order"',
            """SELECT TO_CHAR(CAST("day" AS TIMESTAMP), 'YYYY'), "Order"."paid" FROM "Order\"""",
            "SELECT DATE_FORMAT(`day`, '%Y'), `Order`.`paid` FROM `Order`",
        ),
    ],
)
def test_names_and_comparisons_are_those_of_the_server(sql: str, postgres: str, mysql: str) -> None:
    assert native(sql, SHOP, "postgres") == postgres
    assert native(sql, SHOP, "mysql") == mysql
    assert vetted(postgres, "postgres") == postgres


def test_what_is_no_query_has_no_words_on_a_server() -> None:
    with pytest.raises(ValueError, match="no query"):
        native("DROP TABLE x", SHOP, "postgres")
    with pytest.raises(ValueError, match="no query"):
        native("SELECT FROM WHERE (", SHOP, "mysql")


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgres", sql)
        for sql in (
            "",
            "select 1; drop table x",
            "update x set a = 1",
            "with x as (delete from a returning 1) select * from x",
            "copy x to program 'ls'",
            "explain analyze delete from x",
            "set x = 1",
            "select * into y from x",
            "select * from x for update",
            "select pg_sleep(1)",
            "select pg_catalog.pg_sleep(1)",
            "select lo_import('x')",
            "select pg_read_file('x')",
            "select set_config('a', 'b', false)",
            "select query_to_xml('x', true, true, '')",
            "select nextval('x')",
            "select * from dblink('a', 'b') as t(a int)",
            "select * from pg_shadow",
            "table pg_shadow",
            "select * from information_schema.tables",
        )
    ]
    + [
        ("mysql", sql)
        for sql in (
            "select 1 into outfile '/tmp/x'",
            "select load_file('/etc/passwd')",
            "select sleep(3)",
            "select benchmark(1000000, md5('x'))",
            "select @@version",
            "select @a := 1",
            "select get_lock('a', 9)",
            "handler x open",
            "select * from mysql.user",
        )
    ],
)
def test_what_does_more_than_read_the_shown_tables_is_refused(dialect: Dialect, sql: str) -> None:
    with pytest.raises(ValueError, match=r"^\S.*$"):
        vetted(sql, dialect)


def test_comments_that_a_server_would_run_do_not_reach_it() -> None:
    assert "SLEEP" not in vetted("SELECT 1 /*!50000 + sleep(3) */", "mysql").upper()


@pytest.mark.parametrize(
    ("sql", "limited"),
    [
        ("SELECT a FROM x", "SELECT a FROM x LIMIT 11"),
        ("SELECT a FROM x LIMIT 5", "SELECT a FROM x LIMIT 5"),
        ("SELECT a FROM x LIMIT 5000", "SELECT a FROM x LIMIT 11"),
        ("SELECT a FROM x LIMIT 3 + 5000", "SELECT a FROM x LIMIT 11"),
        ("SELECT a FROM x UNION SELECT b FROM y", "SELECT a FROM x UNION SELECT b FROM y LIMIT 11"),
    ],
)
def test_a_server_gives_no_more_rows_than_one_beyond_the_limit(sql: str, limited: str) -> None:
    assert vetted(sql, "postgres", 10) == vetted(sql, "mysql", 10) == limited
