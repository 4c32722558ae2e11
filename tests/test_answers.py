"""Queries run on a real PostgreSQL or MariaDB, and translated on a copy of its database: the answers are the same."""

import datetime
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from data.imports.dialects import Dialect, transpile_query
from data.imports.servers import copy_server

pytest_plugins = ("running",)

Answers = Callable[[str], tuple[list[Any], list[Any]]]

ROWS = """
    (1, 3, 10.00, 'Ann', 'x', '2020-01-31', '2020-01-31 00:00:00', '08:00', true),
    (2, 5, 2.70, 'Bob', NULL, '2020-02-01', '2020-01-31 10:20:30', '09:10:11', false),
    (3, NULL, -2.50, 'ann', 'X', '2020-02-29', '2020-02-29 23:59:59', NULL, NULL),
    (4, 2, NULL, '50%', 'y', '2019-12-31', '2020-01-01 00:00:00', '00:00', true),
    (5, 0, 7.00, 'Ab_n', '', '2020-01-01', '2020-03-31 12:00:00', '23:59:59', false),
    (6, 4, 7.25, '12', 'z', '2020-03-30', '2020-02-01 00:00:00', '12:00', true)
"""
TABLE = """CREATE TABLE t (id int PRIMARY KEY, n int, x decimal(10, 2), name varchar(20), more varchar(20), d date,
    ts {timestamp}, at time, paid {boolean})"""

# What both servers are asked.
BOTH = """
    SELECT id FROM t WHERE ts = '2020-01-31' ORDER BY id
    SELECT id FROM t WHERE ts > '2020-01-31' ORDER BY id
    SELECT id FROM t WHERE ts NOT BETWEEN '2020-01-01' AND '2020-01-31' ORDER BY id
    SELECT id FROM t WHERE ts IN ('2020-01-31', '2020-02-01') ORDER BY id
    SELECT id FROM t WHERE ts >= '2020-01-31 10:20' ORDER BY id
    SELECT id FROM t WHERE d = ts ORDER BY id
    SELECT id FROM t WHERE d >= '2020-1-31' ORDER BY id
    SELECT id FROM t WHERE ts > (SELECT MIN(d) FROM t) ORDER BY id
    SELECT id FROM t WHERE d IN (SELECT ts FROM t) ORDER BY id
    SELECT a.id, b.id FROM t a JOIN t b ON a.d < b.ts ORDER BY 1, 2
    SELECT id FROM t WHERE at > '08:00' ORDER BY id
    SELECT id FROM t WHERE CAST(ts AS date) = d ORDER BY id
    SELECT CASE ts WHEN '2020-01-31' THEN 1 ELSE 0 END FROM t ORDER BY id
    SELECT CASE WHEN ts < '2020-02-01' THEN 'early' ELSE 'late' END FROM t ORDER BY id
    SELECT id FROM t WHERE EXTRACT(YEAR FROM d) = 2020 AND EXTRACT(MONTH FROM ts) = 1 ORDER BY id
    SELECT x / 4, x / n, SUM(x) OVER (ORDER BY id) / 2 FROM t WHERE n > 0 ORDER BY id
    SELECT SUM(x) / COUNT(*), SUM(x) / SUM(n), AVG(n), AVG(x) FROM t
    SELECT COALESCE(x, 0) / 4, (x + 1) / 2 FROM t ORDER BY id
    SELECT ROUND(x / 3, 2), ROUND(x), CAST(x AS decimal(9, 1)) FROM t ORDER BY id
    SELECT n % 2, x % 2, 7 % 3, -7 % 3 FROM t ORDER BY id
    SELECT CONCAT(name, ' ', COALESCE(more, '')) FROM t ORDER BY id
    SELECT id FROM t WHERE name LIKE '50\\%' OR name LIKE '%\\_%' ORDER BY id
    SELECT id, n FROM t ORDER BY n, id
    SELECT id, n FROM t ORDER BY n DESC, id
    SELECT id, RANK() OVER (ORDER BY n DESC) FROM t ORDER BY id
    SELECT paid, COUNT(*) FROM t GROUP BY 1 ORDER BY 2, 1
    SELECT id FROM t WHERE paid IS NOT TRUE ORDER BY id
    SELECT id FROM t WHERE id = ANY (SELECT n FROM t) ORDER BY id
    SELECT GREATEST(id, 3), LEAST(id, 3), NULLIF(n, 3) FROM t ORDER BY id
    SELECT LEFT(name, 2), RIGHT(name, 2), SUBSTRING(name, 2, 1), CHAR_LENGTH(name) FROM t ORDER BY id
    SELECT id FROM t WHERE n > 1 UNION SELECT id FROM t WHERE n < 1 ORDER BY id
    WITH RECURSIVE w(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w WHERE n < 3) SELECT n FROM w
"""
POSTGRES = """
    SELECT id FROM t WHERE d < DATE '2020-01-01' + INTERVAL '1 month' ORDER BY id
    SELECT id FROM t WHERE ts < '2020-01-31'::date + 1 ORDER BY id
    SELECT id FROM t WHERE ts < date_trunc('month', d) + interval '1 month' ORDER BY id
    SELECT id FROM t WHERE date_trunc('month', ts) = timestamp '2020-01-01 00:00:00' ORDER BY id
    SELECT d + 1, d - n, 1 + d, ts + interval '90 minutes', at + interval '1 hour' FROM t ORDER BY id
    SELECT d - '2020-01-01', ts::date - d, d - lag(d) OVER (ORDER BY id) FROM t ORDER BY id
    SELECT (max(d) - min(d)) / 2, max(ts)::date - min(ts)::date FROM t
    SELECT k - 1 FROM (SELECT max(d) - min(d) AS k FROM t) q
    SELECT max(d) - min(d) AS k FROM t HAVING max(d) - min(d) > 3
    SELECT count(*) FROM t a JOIN t b ON b.ts BETWEEN a.d AND a.d + interval '1 day'
    SELECT to_char(d, 'YYYY-MM'), to_char(ts, 'DD.MM.YYYY HH24:MI:SS') FROM t ORDER BY id
    SELECT extract(year from d) / 2, extract(dow from d), date_part('doy', d)::int FROM t ORDER BY id
    SELECT x::int, n::numeric / 4, n / 2, (n > 2)::int, n::boolean FROM t ORDER BY id
    SELECT avg(n)::int, avg(n)::numeric(9, 1), count(*)::numeric / 7, count(*) * 100 / 7 FROM t
    SELECT id FROM t WHERE paid = 't' OR paid = 'no' ORDER BY id
    SELECT id FROM t WHERE name ILIKE 'a%' AND name NOT ILIKE 'Ann' ORDER BY id
    SELECT concat(name, '-', more), name || more, name::varchar(2) FROM t ORDER BY id
    SELECT greatest(n, id), least(n, NULL), greatest(d, ts) FROM t ORDER BY id
    SELECT id FROM t WHERE id <> ALL (ARRAY[1, 2]) ORDER BY id
    SELECT id FROM t ORDER BY id OFFSET 4
    SELECT id FROM t WHERE n > 1 UNION SELECT id FROM t WHERE n < 1 INTERSECT SELECT id FROM t WHERE n > 4 ORDER BY id
"""
MYSQL = """
    SELECT id FROM t WHERE d < DATE_ADD('2020-01-01', INTERVAL 1 MONTH) ORDER BY id
    SELECT id FROM t WHERE ts BETWEEN '2020-01-31' AND '2020-01-31' + INTERVAL 1 DAY ORDER BY id
    SELECT DATE_ADD(d, INTERVAL n DAY), DATE_SUB(d, INTERVAL id DAY), d + INTERVAL 1 HOUR FROM t ORDER BY id
    SELECT DATEDIFF(ts, d), DATEDIFF(d, '2020-01-01'), DATEDIFF(d, LAG(d) OVER (ORDER BY id)) FROM t ORDER BY id
    SELECT DATE_FORMAT(ts, '%Y-%m-01'), DATE_FORMAT(ts, '%H:%i'), DATE_FORMAT(d, '%j') FROM t ORDER BY id
    SELECT YEAR(ts - INTERVAL 1 DAY), HOUR(at), DAY('2020-05-06 10:00:00') FROM t ORDER BY id
    SELECT CAST(x AS SIGNED), CAST(name AS SIGNED), CAST(x AS DECIMAL), n / 2, n DIV 2 FROM t ORDER BY id
    SELECT id FROM t WHERE name = 'ANN' OR LEFT(name, 1) = 'b' ORDER BY id
    SELECT id FROM t WHERE BINARY name = 'ann' ORDER BY id
    SELECT id FROM t WHERE CONCAT(name, '') IN ('ANN', 'bob') OR LOWER(name) = 'AB_N' ORDER BY id
    SELECT LEFT(name, 1) AS k, COUNT(*) FROM t GROUP BY k ORDER BY k
    SELECT COUNT(DISTINCT LEFT(name, 1)), COUNT(DISTINCT name), SUM(name = 'ANN') FROM t
    SELECT a.id, b.id FROM t a JOIN t b ON LEFT(a.name, 1) = LEFT(b.name, 1) ORDER BY 1, 2
    SELECT LOCATE('N', name), INSTR(name, 'N'), LOCATE('n', name, 3) FROM t ORDER BY id
    SELECT n > 2 && paid, n > 2 || paid, n <=> NULL, !n, ISNULL(n), IF(n > 2, 'hi', 'lo') FROM t ORDER BY id
    SELECT 'it\\'s', "x\\"y", 'a\\\\b', 7 / 2, 7 / 0
    SELECT id FROM t ORDER BY id LIMIT 1, 2
    SELECT GROUP_CONCAT(name SEPARATOR '; '), GROUP_CONCAT(n) FROM t
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@pytest.fixture(scope="module")
def of_postgres(postgres: tuple[Any, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    connection, url = postgres
    connection.execute("CREATE SCHEMA asked; SET search_path = asked")
    connection.execute(TABLE.format(timestamp="timestamp", boolean="boolean"))
    connection.execute(f"INSERT INTO t VALUES {ROWS}")
    connection.execute("GRANT USAGE ON SCHEMA asked TO reader; GRANT SELECT ON t TO reader")
    copy = copy_server(url, tmp_path_factory.mktemp("postgres") / "asked.sqlite", rows=9, schema="asked")
    with closing(sqlite3.connect(copy.path)) as copied:
        yield lambda query: (connection.execute(query).fetchall(), answer(copied, "postgres", query))
    connection.execute("RESET search_path; DROP SCHEMA asked CASCADE")


@pytest.fixture(scope="module")
def of_mysql(mysql: tuple[Any, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    connection, url = mysql
    with connection.cursor() as cursor:

        def ask(query: str) -> list[Any]:
            cursor.execute(query)
            return list(cursor.fetchall())

        for statement in ("CREATE DATABASE asked", "USE asked", TABLE.format(timestamp="datetime", boolean="boolean")):
            ask(statement)
        ask(f"INSERT INTO t VALUES {ROWS}")
        path = tmp_path_factory.mktemp("mysql") / "asked.sqlite"
        copy = copy_server(url.replace("/shop", "/asked"), path, rows=9)
        with closing(sqlite3.connect(copy.path)) as copied:
            yield lambda query: (ask(query), answer(copied, "mysql", query))
        ask("DROP DATABASE asked")
        ask("USE shop")


def answer(copied: sqlite3.Connection, dialect: Dialect, query: str) -> list[Any]:
    made = transpile_query(query, dialect, database=copied)
    assert made.reason == ""
    assert made.notes == ()
    return copied.execute(made.query).fetchall()


@pytest.mark.parametrize("query", lines(BOTH) + lines(POSTGRES))
def test_postgres_and_its_copy_answer_the_same(of_postgres: Answers, query: str) -> None:
    check_same(*of_postgres(query))


@pytest.mark.parametrize("query", lines(BOTH) + lines(MYSQL))
def test_mysql_and_its_copy_answer_the_same(of_mysql: Answers, query: str) -> None:
    check_same(*of_mysql(query))


def check_same(theirs: list[Any], ours: list[Any]) -> None:
    assert [tuple(map(plain, row)) for row in ours] == [tuple(map(plain, row)) for row in theirs]


def plain(value: Any) -> Any:
    """A value as SQLite keeps it, numbers to six places."""
    if isinstance(value, datetime.timedelta):  # MySQL's times
        return str((datetime.datetime.min + value).time())
    if isinstance(value, datetime.date | datetime.time):
        return str(value)
    return round(float(value), 6) if isinstance(value, bool | int | float | Decimal) else value


def test_the_dates_of_a_server_are_spelled_as_expected(of_postgres: Answers) -> None:
    theirs, ours = of_postgres("SELECT d, ts, at FROM t WHERE id = 2")
    assert ours == [("2020-02-01", "2020-01-31 10:20:30", "09:10:11")]
    assert tuple(map(plain, theirs[0])) == ours[0]
