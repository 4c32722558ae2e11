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
            "select ('/etc/passwd'::text).pg_read_file",
            "select (a.p).pg_read_file from (select 'x'::text as p) as a",
            "select a.pg_read_file from unnest(array['/etc/passwd']) as a",
            "select a.pg_read_file from (unnest(array['/etc/passwd']) as a cross join x)",
            "select unnest.pg_read_file from unnest(array['/etc/passwd'])",
            "select a.pg_sleep from cast('5' as float8) as a",
            "select a.pg_sleep from x, lateral unnest(array[x.b]) as a",
            'select "PG_SLEEP".pg_sleep from unnest(array[5.0]) as "PG_SLEEP"',
            'select extract("day from now()), pg_sleep(1), extract(day" from now())',
            "select * from x pivot(sum(a) for b in ('c'))",
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
            "select /*+ x . y max_execution_time(0) */ 1",
            "select extract(`day from now()), sleep(9), extract(day` from now())",
            "select cast(a as char character set `x), sleep(9), (y`)",
            "select * from mysql.user",
        )
    ],
)
def test_what_does_more_than_read_the_shown_tables_is_refused(dialect: Dialect, sql: str) -> None:
    with pytest.raises(ValueError, match=r"^\S.*$"):
        vetted(sql, dialect)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT g.day FROM GENERATE_SERIES(1, 2) AS g(day)",
        "SELECT g.g, g.* FROM GENERATE_SERIES(1, 2) AS g",
        "SELECT a.column1 FROM (VALUES (1)) AS a",
        "SELECT b.c FROM x AS a CROSS JOIN LATERAL (SELECT a.c) AS b",
        "WITH a AS (SELECT 1 AS b) SELECT a.b FROM a CROSS JOIN (x AS c CROSS JOIN y) WHERE c.d = y.e",
        "SELECT EXTRACT(YEAR FROM a) FROM x",
    ],
)
def test_columns_of_what_stands_in_from_may_be_read(sql: str) -> None:
    assert vetted(sql, "postgres") == sql


def test_comments_that_a_server_would_run_do_not_reach_it() -> None:
    assert "SLEEP" not in vetted("SELECT 1 /*!50000 + sleep(3) */", "mysql").upper()


@pytest.mark.parametrize(
    ("sql", "limited"),
    [
        ("SELECT a FROM x", "SELECT a FROM x LIMIT 11"),
        ("SELECT a FROM x LIMIT 5", "SELECT a FROM x LIMIT 5"),
        ("SELECT a FROM x LIMIT 5000", "SELECT a FROM x LIMIT 11"),
        ("(SELECT a FROM x LIMIT 5)", "(SELECT a FROM x LIMIT 5)"),
        ("SELECT a FROM x FETCH FIRST 3 ROWS ONLY", "SELECT a FROM x FETCH FIRST 3 ROWS ONLY"),
        ("SELECT a FROM x UNION SELECT b FROM y", "SELECT a FROM x UNION SELECT b FROM y LIMIT 11"),
    ],
)
def test_a_server_gives_no_more_rows_than_one_beyond_the_limit(sql: str, limited: str) -> None:
    assert vetted(sql, "postgres", 10) == limited
    assert vetted(sql, "mysql", 10) == limited.replace("FETCH FIRST 3 ROWS ONLY", "LIMIT 3")


def test_a_limit_that_has_to_be_worked_out_stays_and_rows_are_counted_as_they_come() -> None:
    assert vetted("SELECT a FROM x LIMIT 1 + 2", "postgres", 10) == "SELECT a FROM x LIMIT 1 + 2"
