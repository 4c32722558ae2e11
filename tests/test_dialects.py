"""Queries of PostgreSQL and MySQL put into SQLite's words, and run on a small table there."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from data.imports.dialects import Dialect, transpile_query
from data.imports.dumps import Dump

# Declared and spelled as copies of servers are.
SHOP = """
CREATE TABLE t (
    id INTEGER PRIMARY KEY, n INTEGER, x NUMERIC, r REAL, name TEXT COLLATE NOCASE, plain TEXT, d DATE, ts TIMESTAMP,
    at TIME, paid BOOLEAN
);
INSERT INTO t VALUES
    (1, 3, 10.00, 2.4, 'Ann', 'a', '2020-01-31', '2020-01-31 00:00:00', '08:00:00', 1),
    (2, 5, 2.70, 3.6, 'Bob', NULL, '2020-02-01', '2020-01-31 10:20:30', '09:10:11', 0),
    (3, NULL, -2.50, -1.0, 'ann', '50%', '2020-02-29', '2020-02-29 23:59:59', NULL, NULL);
CREATE TABLE old (id INTEGER, hired TEXT, seen DATETIME, made INTEGER);
INSERT INTO old VALUES (1, '2020-01-31', '2020-01-31', 2020), (2, '2020-03-01', '2020-03-01', 2021);
"""


@pytest.fixture
def shop() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SHOP)
        yield connection


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # dates: a day is less than its own midnight as a text
        ("SELECT id FROM t WHERE d < DATE '2020-01-01' + INTERVAL '1 month'", [1]),
        ("SELECT id FROM t WHERE d <= '2020-01-01'::date + interval '31 days'", [1, 2]),
        ("SELECT id FROM t WHERE ts = '2020-01-31'", [1]),
        ("SELECT id FROM t WHERE ts > '2020-01-31'", [2, 3]),
        ("SELECT id FROM t WHERE ts BETWEEN '2020-01-01' AND '2020-01-31'", [1]),
        ("SELECT id FROM t WHERE ts < '2020-01-31'::date + 1", [1, 2]),
        ("SELECT id FROM t WHERE ts > '2020-01-31 10:20:30.5'", [3]),
        ("SELECT id FROM t WHERE d = ts", [1]),
        ("SELECT id FROM t WHERE d IN (SELECT ts FROM t)", [1]),
        ("SELECT id FROM t WHERE d >= '2020-2-1'", [2, 3]),
        ("SELECT id FROM t WHERE d = timestamp '2020-01-31 00:00:00'", [1]),
        ("SELECT id FROM t WHERE date_trunc('month', ts) = '2020-01-01'", [1, 2]),
        ("SELECT id FROM t WHERE ts < date_trunc('month', d) + interval '1 month'", [1, 2, 3]),
        ("SELECT id FROM t WHERE at > '08:00'", [2]),
        ("SELECT CASE ts WHEN '2020-01-31' THEN 1 ELSE 0 END FROM t", [1, 0, 0]),
        ("SELECT '2020-01-31'::date - '2020-01-01'::date", [30]),
        ("SELECT (max(d) - min(d)) / 2 FROM t", [14]),
        ("SELECT d - lag(d) OVER (ORDER BY d) FROM t", [None, 1, 28]),
        ("SELECT k + 1 FROM (SELECT max(d) - min(d) AS k FROM t) AS q", [30]),
        ("SELECT max(d) - min(d) AS k FROM t HAVING max(d) - min(d) > 3", [29]),
        ("SELECT d + 1 FROM t", ["2020-02-01", "2020-02-02", "2020-03-01"]),
        ("SELECT d - n FROM t", ["2020-01-28", "2020-01-27", None]),
        ("SELECT d + interval '1 week 2 days' FROM t", ["2020-02-09", "2020-02-10", "2020-03-09"]),
        ("SELECT ts + interval '1 hour' FROM t WHERE id = 1", ["2020-01-31 01:00:00"]),
        ("SELECT to_char(ts, 'YYYY-MM HH24:MI') FROM t WHERE id = 2", ["2020-01 10:20"]),
        ("SELECT extract(year from d)::int FROM t WHERE id = 1", [2020]),
        ("SELECT extract(year from d) / 50 FROM t WHERE id = 1", [40.4]),
        # numbers: 10.00 is an integer in a column of decimals
        ("SELECT x / 4 FROM t", [2.5, 0.675, -0.625]),
        ("SELECT n / 2 FROM t", [1, 2, None]),
        ("SELECT s / 4 FROM (SELECT max(x) AS s FROM t) AS q", [2.5]),
        ("SELECT CAST(2.7 AS INT)", [3]),
        ("SELECT x::int FROM t", [10, 3, -3]),
        ("SELECT x::numeric(9, 1) FROM t", [10.0, 2.7, -2.5]),
        ("SELECT n::numeric / 2 FROM t", [1.5, 2.5, None]),
        ("SELECT x % 2 FROM t", [0, pytest.approx(0.7), -0.5]),
        ("SELECT sum((n > 3)::int) FROM t", [1]),
        # texts and truths
        ("SELECT id FROM t WHERE paid = 'true'", [1]),
        ("SELECT n::boolean FROM t", [1, 1, None]),
        ("SELECT id FROM t WHERE plain LIKE '50\\%'", [3]),
        ("SELECT id FROM t WHERE name NOT ILIKE 'A%'", [2]),
        ("SELECT concat(name, '-', plain) FROM t", ["Ann-a", "Bob-", "ann-50%"]),
        ("SELECT name || plain FROM t", ["Anna", None, "ann50%"]),
        ("SELECT name::varchar(2) FROM t", ["An", "Bo", "an"]),
        ("SELECT plain::uuid FROM t", ["a", None, "50%"]),
        ("SELECT E'a\\nb'", ["a\nb"]),
        ("SELECT string_agg(DISTINCT plain, ',') FROM t", ["a,50%"]),
        ("SELECT greatest(n, 4) FROM t", [4, 5, 4]),
        ("SELECT id FROM t ORDER BY n", [1, 2, 3]),
        ("SELECT id FROM t ORDER BY n DESC", [3, 2, 1]),
        ("SELECT id FROM t WHERE id = ANY(ARRAY[1, 2])", [1, 2]),
        ("SELECT id FROM t WHERE id <> ALL (ARRAY[1, 2])", [3]),
        ("SELECT id FROM t WHERE id = ANY (SELECT n FROM t)", [3]),
        ("SELECT DISTINCT ON (n > 3) id FROM t WHERE n > 0 ORDER BY n > 3, id", [1, 2]),
        # dates that an SQLite file keeps as it likes
        ("SELECT max(hired) - min(hired) FROM old", [30]),
        ("SELECT id FROM old WHERE seen = '2020-01-31'", [1]),
        ("SELECT made - 1 FROM old", [2019, 2020]),
    ],
)
def test_a_query_of_postgres_answers_the_same(shop: sqlite3.Connection, query: str, expected: list[Any]) -> None:
    check_answer(shop, "postgres", query, expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT id FROM t WHERE d < DATE_ADD('2020-01-01', INTERVAL 1 MONTH)", [1]),
        ("SELECT id FROM t WHERE d < '2020-01-01' + INTERVAL 31 DAY", [1]),
        ("SELECT id FROM t WHERE ts < DATE_ADD('2020-01-31', INTERVAL 10 HOUR)", [1]),
        ("SELECT DATE_SUB(d, INTERVAL n DAY) FROM t", ["2020-01-28", "2020-01-27", None]),
        ("SELECT DATE_ADD(d, INTERVAL 1 QUARTER) FROM t WHERE id = 2", ["2020-05-01"]),
        ("SELECT DATEDIFF('2020-01-02 00:00:00', '2020-01-01 23:59:59')", [1]),
        ("SELECT DATEDIFF(d, ts) FROM t", [0, 1, 0]),
        ("SELECT DATE_FORMAT(ts, '%Y-%m-01 %H:%i') FROM t WHERE id = 2", ["2020-01-01 10:20"]),
        ("SELECT YEAR(ts - INTERVAL 31 DAY) FROM t", [2019, 2019, 2020]),
        ("SELECT id FROM t WHERE ts = '2020-01-31'", [1]),
        ("SELECT CAST(x AS SIGNED) FROM t", [10, 3, -3]),
        ("SELECT CAST('12abc' AS SIGNED)", [12]),
        ("SELECT CAST(r AS DECIMAL) FROM t", [2, 4, -1]),
        ("SELECT n / 2, x / 4 FROM t WHERE id = 1", [1.5]),
        ("SELECT x DIV 3 FROM t", [3, 0, 0]),
        # letter case does not count, not even in what is made of columns
        ("SELECT id FROM t WHERE name = 'ANN'", [1, 3]),
        ("SELECT id FROM t WHERE LEFT(name, 1) = 'A'", [1, 3]),
        ("SELECT id FROM t WHERE LOWER(name) = 'ANN'", [1, 3]),
        ("SELECT id FROM t WHERE BINARY name = 'ann'", [3]),
        ("SELECT id FROM t WHERE name = 'ann' COLLATE utf8mb4_bin", [3]),
        ("SELECT LEFT(name, 1) AS k FROM t GROUP BY k ORDER BY k", ["A", "B"]),
        ("SELECT COUNT(DISTINCT LEFT(name, 1)) FROM t", [2]),
        ("SELECT COUNT(*) FROM (SELECT LEFT(name, 1) AS k FROM t) AS q WHERE k = 'a'", [2]),
        ("SELECT LOCATE('N', name) FROM t", [2, 0, 2]),
        ("SELECT id FROM t WHERE plain LIKE '50\\%'", [3]),
        ("SELECT 'it\\'s', \"x\" FROM t LIMIT 1, 1", ["it's"]),
        ("SELECT CONCAT(name, plain) FROM t", ["Anna", None, "ann50%"]),
        ("SELECT n > 3 || paid FROM t", [1, 1, None]),
        ("SELECT n <=> NULL FROM t", [0, 0, 1]),
        ("SELECT IF(n > 3, 'hi', IFNULL(plain, '-')) FROM t", ["a", "hi", "50%"]),
        ("SELECT id FROM t ORDER BY n", [3, 1, 2]),
        ("SELECT GROUP_CONCAT(plain SEPARATOR '; ') FROM t", ["a; 50%"]),
    ],
)
def test_a_query_of_mysql_answers_the_same(shop: sqlite3.Connection, query: str, expected: list[Any]) -> None:
    check_answer(shop, "mysql", query, expected)


def check_answer(shop: sqlite3.Connection, dialect: Dialect, query: str, expected: list[Any]) -> None:
    made = transpile_query(query, dialect, database=shop)
    assert made.reason == ""
    assert [row[0] for row in shop.execute(made.query)] == expected


@pytest.mark.parametrize(
    ("dialect", "query", "expected"),
    [
        ("postgres", "SELECT a FROM public.t WHERE b ILIKE 'x%'", "SELECT a FROM t WHERE b LIKE 'x%'"),
        ("postgres", "SELECT date_trunc('month', d) FROM t", "STRFTIME('%Y-%m-01', d)"),
        ("postgres", "SELECT EXTRACT(year FROM d) FROM t", "CAST(STRFTIME('%Y', d) AS INTEGER)"),
        ("postgres", "SELECT * FROM t WHERE d > current_date - interval '2 weeks'", "DATE(CURRENT_DATE, '-14 days')"),
        ("postgres", "SELECT * FROM t WHERE d > '2020-01-01'::timestamp", "d > '2020-01-01 00:00:00'"),
        ("postgres", "SELECT * FROM t WHERE d > '2020-01-01'::date", "d > '2020-01-01'"),
        ("postgres", "SELECT a::int FROM t", "CAST(ROUND(a) AS INTEGER)"),
        ("mysql", 'SELECT `a`, "x" FROM `shop`.`t` LIMIT 2, 5', 'SELECT "a", \'x\' FROM "t" LIMIT 5 OFFSET 2'),
        ("mysql", "SELECT DATE_SUB(NOW(), INTERVAL 1 DAY)", "DATETIME(CURRENT_TIMESTAMP, '-1 days')"),
    ],
)
def test_without_a_database_columns_are_what_the_query_takes_them_for(
    dialect: Dialect, query: str, expected: str
) -> None:
    made = transpile_query(query, dialect)
    assert made.reason == ""
    assert expected in made.query


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELEC 1", "Invalid expression"),
        ("", "it is empty"),
        ("DELETE FROM t", "it is not one query"),
        ("SELECT 1; SELECT 2", "it is not one query"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, ""),
        ("SELECT '" + "x" * 300_000 + "'", "it has more than 200,000 characters"),
        ("SELECT missing FROM t", "SQLite cannot read it: no such column: missing"),
        ("SELECT name ~ 'x' FROM t", "SQLite has no regular expressions"),
        ("SELECT age(d) FROM t", "SQLite has no function AGE"),
        ("SELECT concat_ws('-', name, plain) FROM t", "SQLite has no function CONCAT_WS"),
        ("SELECT * FROM t, LATERAL (SELECT 1) x", "SQLite cannot read it"),
        ("SELECT to_char(d, 'Month') FROM t", "it formats a date or number"),
        ("SELECT to_char(d, 'Mon YYYY') FROM t", "it formats a date or number"),
        ("SELECT to_char(d, 'Day') FROM t", "it formats a date or number"),
        ("SELECT to_char(n, 'YYYY') FROM t", "it formats a date or number"),
        ("SELECT to_char(1234.5, '9999.99')", "it formats a date or number"),
        ("SELECT max(ts) - min(ts) FROM t", "it reckons with dates"),
        ("SELECT current_date - unknown FROM elsewhere", "it reckons with dates"),
        ("SELECT extract(day from ts - d) FROM t", "it reckons with dates"),
        ("SELECT d + n * interval '1 day' FROM t", "it holds an interval"),
        ("SELECT interval '1 day'", "it holds an interval"),
        ("SELECT ts + interval '1 day 02:00' FROM t", "it holds an interval"),
        ("SELECT sum(n) OVER (ORDER BY d RANGE INTERVAL '1 day' PRECEDING) FROM t", "it holds an interval"),
        ("SELECT id FROM t WHERE d > 'Jan 31 2020'", "'Jan 31 2020' is no date"),
        ("SELECT id FROM t WHERE ts > '2020-01-31 10:00:00+02'", "'2020-01-31 10:00:00+02' is no date"),
        ("SELECT d FROM t UNION SELECT ts FROM t", "it puts dates and time stamps into one column"),
        ("SELECT id FROM t WHERE (ts, n) = ('2020-01-31', 3)", "it compares a date among several values"),
        ("SELECT x::text FROM t", "it makes text of a number with decimals"),
        ("SELECT name || paid FROM t", "it makes text of a number with decimals or a truth value"),
        ("SELECT round(x, -1) FROM t", "SQLite does not round before the decimal point"),
        ("SELECT count(DISTINCT (d, n)) FROM t", "SQLite's aggregates of DISTINCT values take one argument"),
        ("SELECT string_agg(DISTINCT name, ';') FROM t", "SQLite's aggregates of DISTINCT values take one argument"),
        ("SELECT random() < 0.5", "SQLite's RANDOM makes integers"),
        ("SELECT plain[1] FROM t", "SQLite has no arrays"),
        ("SELECT id FROM t WHERE 'a' = ANY(plain)", "SQLite has no ANY"),
        ("SELECT left(name, -1) FROM t", "it cuts a text"),
        ("SELECT substring(name from 'A.') FROM t", "it cuts a text"),
        ('SELECT name COLLATE "de_DE" FROM t', "SQLite has no collation de_DE"),
        ("SELECT id INTO other FROM t", "it makes a table of its rows"),
        ("SELECT id FROM t FETCH FIRST 50 PERCENT ROWS ONLY", "SQLite's LIMIT is a number of rows"),
        ("SELECT id FROM t ORDER BY n FETCH FIRST 1 ROW WITH TIES", "SQLite's LIMIT is a number of rows"),
        ("SELECT version()", "it asks about the server"),
    ],
)
def test_what_sqlite_cannot_say_of_postgres_comes_back_as_a_reason(
    shop: sqlite3.Connection, query: str, reason: str
) -> None:
    check_reason(shop, "postgres", query, reason)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT id FROM t GROUP BY id WITH ROLLUP", "SQLite cannot read it"),
        ("SELECT DATE_FORMAT(d, '%M %Y') FROM t", "it formats a date or number"),
        ("SELECT MAX(d) - MIN(d) FROM t", "it reckons with dates"),
        ("SELECT d + 1 FROM t", "it reckons with dates"),
        ("SELECT DATE_ADD(d, INTERVAL '1-2' YEAR_MONTH) FROM t", "it holds the interval '1-2 year_month'"),
        ("SELECT TO_DAYS(d) FROM t", "'0000-01-01' is no date"),
        ("SELECT id FROM t WHERE d > 20200105", "it compares a date with something else"),
        ("SELECT id FROM t WHERE paid = 'true'", "it compares a truth value with 'true'"),
        ("SELECT COUNT(DISTINCT d, n) FROM t", "SQLite's aggregates of DISTINCT values take one argument"),
        ("SELECT id FROM t WHERE name LIKE BINARY 'a%'", "SQLite's LIKE does not tell letter case apart"),
        ("SELECT CONCAT(name, r) FROM t", "it makes text of a number with decimals"),
        ("SELECT HEX(255)", "SQLite's HEX is of bytes"),
        ("SELECT DATABASE()", "it asks about the server"),
        ("SELECT @x", "SQLite cannot read it"),
        ("SELECT DATE_ADD(d FROM t", "it is no SQL that can be read"),
    ],
)
def test_what_sqlite_cannot_say_of_mysql_comes_back_as_a_reason(
    shop: sqlite3.Connection, query: str, reason: str
) -> None:
    check_reason(shop, "mysql", query, reason)


def check_reason(shop: sqlite3.Connection, dialect: Dialect, query: str, reason: str) -> None:
    made = transpile_query(query, dialect, database=shop)
    assert made.query == ""
    assert made.reason
    assert made.reason.startswith(reason)


@pytest.mark.parametrize(
    ("dialect", "query", "noted"),
    [
        ("postgres", "SELECT id FROM t WHERE name LIKE 'A%'", "letter case"),
        ("postgres", "SELECT id FROM t WHERE LOWER(name) LIKE 'a%' OR name LIKE '1%'", ""),
        ("postgres", "SELECT d + interval '1 month' FROM t", "a month from the 31st"),
        ("postgres", "SELECT d + interval '1 day', date_trunc('month', d) + interval '1 month' FROM t", ""),
        ("postgres", "SELECT id FROM t WHERE d < DATE '2020-01-01' + INTERVAL '1 month'", ""),
        ("postgres", "SELECT date '2020-01-31' + interval '1 month'", "a month from the 31st"),
        ("postgres", "SELECT r::int FROM t", "halves"),
        ("postgres", "SELECT x::int, avg(n)::int FROM t", ""),
        ("postgres", "SELECT sum(n) / count(*) FROM t", "the sum of a bigint column has decimals"),
        ("postgres", "SELECT sum(n) / 2.0, sum(x) / 2, n / 2 FROM t", ""),
        ("mysql", "SELECT LENGTH(name) FROM t", "bytes"),
        ("mysql", "SELECT CHAR_LENGTH(name) FROM t WHERE name = 'x' AND name LIKE 'a%'", ""),
    ],
)
def test_what_may_still_differ_is_noted(shop: sqlite3.Connection, dialect: Dialect, query: str, noted: str) -> None:
    made = transpile_query(query, dialect, database=shop)
    assert made.query
    assert len(made.notes) == bool(noted)
    assert noted in "".join(made.notes)


def test_texts_of_mysql_are_noted_where_the_database_tells_letter_case_apart(shop: sqlite3.Connection) -> None:
    shop.execute("DROP TABLE t")
    made = transpile_query("SELECT id FROM old WHERE hired = 'Never'", "mysql", database=shop)
    assert made.reason.startswith("'Never' is no date")
    shop.execute("UPDATE old SET hired = 'never'")
    made = transpile_query("SELECT id FROM old WHERE hired = 'Never'", "mysql", database=shop)
    assert made.notes == ("texts of MySQL are equal whatever their letter case, those of this database are not",)


def test_what_an_insert_holds_stays_as_it_is_spelled() -> None:
    statement = "INSERT INTO t VALUES ('{a,b}'::text[], '1 day'::interval, '2020-01-01 10:00+02'::timestamptz)"
    translated = Dump("postgres").translated(statement)
    assert translated == "INSERT INTO t VALUES ('{a,b}', '1 day', '2020-01-01 10:00+02')"
