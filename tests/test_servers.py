"""Databases copied from a real PostgreSQL and a real MariaDB, each started here on a free port."""

import getpass
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from data.errors import UsageError, UserError
from data.imports import servers
from data.imports.databases import import_databases
from data.imports.dialects import Dialect, transpile_query
from data.imports.servers import ServerCopy, copy_server
from data.meanings import Meaning
from data.schema import ForeignKey, Table, read_sqlite

PASSWORD = "s3cr:t/@%?"
IN_URL = "s3cr%3At%2F%40%25%3F"
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def find_program(name: str, *folders: str) -> Path:
    """A program of the folders, the newest version first, or of the PATH; skips the test without one."""
    found = [path / name for folder in folders for path in sorted(Path("/").glob(folder), reverse=True)]
    on_path = shutil.which(name)
    found += [Path(on_path)] if on_path else []
    program = next((path for path in found if path.is_file()), None)
    if program is None:
        pytest.skip(f"no {name} is installed")
    return program


def ordinary_user(*names: str) -> str:
    """Servers refuse to run as root; this user may stand in for it."""
    if os.geteuid() != 0:
        return getpass.getuser()
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in names if name in known), None)
    if user is None:
        pytest.skip(f"root cannot start the server, and there is none of the users {', '.join(names)}")
    return user


@contextmanager
def running(
    user: str, make: Callable[[Path], list[str]], start: Callable[[Path], list[str]], connect: Callable[[], Any]
) -> Iterator[Any]:
    """A server of an empty folder, and a connection to it; skips the test where it does not come up."""
    as_user: dict[str, Any] = (
        {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    folder = Path(tempfile.mkdtemp(prefix="loraql-server-"))
    try:
        if as_user:
            shutil.chown(folder, user)
        made = subprocess.run(make(folder), cwd="/", capture_output=True, text=True, check=False, **as_user)
        if made.returncode:
            pytest.skip(f"no server can be made here: {made.stderr.strip()[-300:]}")
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(start(folder), cwd="/", stdout=log, stderr=log, **as_user)
        try:
            with closing(wait_for(process, connect, folder / "log")) as connection:
                yield connection
        finally:
            process.terminate()
            process.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(process: "subprocess.Popen[bytes]", connect: Callable[[], Any], log: Path) -> Any:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            return connect()
        except Exception:  # noqa: BLE001 - whatever the driver says while the server comes up
            time.sleep(0.1)
    pytest.skip(f"the server does not come up: {log.read_text()[-300:]}")


POSTGRES_FOLDERS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")
POSTGRES_SCRIPT = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s fine');
CREATE DOMAIN code AS varchar(5);
CREATE TABLE country (id serial PRIMARY KEY, name text UNIQUE NOT NULL, area numeric(12, 2));
COMMENT ON COLUMN country.area IS 'land and water;
  in square kilometres';
CREATE TABLE "Order" (
    id integer PRIMARY KEY, "Customer Name" text NOT NULL, "100%" real, placed timestamptz, day date, at time,
    paid boolean, tags text[], extra jsonb, key uuid, feeling mood, size char(4),
    state varchar(9) CHECK (state IN ('new', 'sent')), small code, raw bytea, span interval,
    country_id integer REFERENCES country, country_name text REFERENCES country (name)
);
COMMENT ON COLUMN "Order"."100%" IS 'a share';
CREATE TABLE line (order_id integer REFERENCES "Order", place integer, what text, PRIMARY KEY (order_id, place));
CREATE TABLE part (order_id integer, place integer, what text, FOREIGN KEY (order_id, place) REFERENCES line);
CREATE TABLE staff (id uuid PRIMARY KEY, name text, boss uuid REFERENCES staff);
CREATE TABLE team (id integer PRIMARY KEY, lead integer NOT NULL);
CREATE TABLE member (id integer PRIMARY KEY, team integer NOT NULL REFERENCES team);
ALTER TABLE team ADD FOREIGN KEY (lead) REFERENCES member DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE nothing (a integer);
CREATE VIEW recent AS SELECT id, "Customer Name" AS who FROM "Order" WHERE placed > '2020-01-01'::timestamptz;
CREATE VIEW odd AS SELECT regexp_matches(name, 'x') AS found FROM country;
CREATE SCHEMA sales;
CREATE TABLE sales.deal (id integer PRIMARY KEY, country_id integer REFERENCES country);
CREATE VIEW deals AS SELECT id FROM sales.deal;
INSERT INTO sales.deal VALUES (1, NULL);
INSERT INTO country (name, area) SELECT 'c' || n, n * 1.5 FROM generate_series(1, 40) AS n;
INSERT INTO "Order" VALUES (1, 'Ann', 0.5, '2024-05-06 07:08:09+02', '2024-05-06', '07:08', true, '{a,"b c"}',
    '{"k": [1]}', '00000000-0000-0000-0000-0000000000ff', 'ok', 'ab', 'new', 'x', '\\x00ff', '1 day', 40, 'c39');
INSERT INTO "Order" (id, "Customer Name", area_of) VALUES (2, 'Bob', NULL);
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[tuple[Any, str]]:
    """A connection as the administrator, and the URL of the database "shop" for one who may only read."""
    psycopg = pytest.importorskip("psycopg")
    initdb, server = (find_program(name, *POSTGRES_FOLDERS) for name in ("initdb", "postgres"))
    port = free_port()

    def make(folder: Path) -> list[str]:
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        options = [
            "-U",
            "admin",
            "--pwfile",
            str(folder / "password"),
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        return [str(initdb), "-D", str(folder / "data"), "--no-locale", *options]

    def start(folder: Path) -> list[str]:
        options = ["fsync=off", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}"]
        return [
            str(server),
            "-D",
            str(folder / "data"),
            "-p",
            str(port),
            *(word for option in options for word in ("-c", option)),
        ]

    def connect(database: str = "postgres") -> Any:
        return psycopg.connect(
            host="127.0.0.1", port=port, user="admin", password=PASSWORD, dbname=database, autocommit=True
        )

    with running(ordinary_user("postgres", "nobody"), make, start, connect) as connection:
        connection.execute("CREATE DATABASE shop")
        connection.execute("CREATE DATABASE bare")
        connection.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        with closing(connect("shop")) as shop:
            shop.execute(POSTGRES_SCRIPT.replace(", area_of) VALUES (2, 'Bob', NULL)", ") VALUES (2, 'Bob')"))
            shop.execute("""
                INSERT INTO line SELECT 1, n, 'l' || n FROM generate_series(1, 30) AS n;
                INSERT INTO part VALUES (1, 30, 'p'), (1, NULL, 'q'), (NULL, NULL, 'r');
                INSERT INTO staff SELECT ('00000000-0000-0000-0000-0000000000' || n)::uuid, 's' || n,
                    ('00000000-0000-0000-0000-0000000000' || n + 1)::uuid FROM generate_series(10, 29) AS n
                    UNION ALL SELECT '00000000-0000-0000-0000-000000000030', 'top', NULL;
                BEGIN; INSERT INTO team VALUES (1, 9), (2, 8); INSERT INTO member VALUES (8, 1), (9, 2); COMMIT;
                GRANT USAGE ON SCHEMA public, sales TO reader;
                GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
            """)
            yield shop, f"postgresql://reader:{IN_URL}@127.0.0.1:{port}/shop"


def tables(path: Path) -> dict[str, Table]:
    return {table.name: table for table in read_sqlite(path).tables}


def ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def copied(postgres: tuple[Any, str], tmp_path: Path) -> ServerCopy:
    return copy_server(postgres[1], tmp_path / "shop.sqlite", rows=2)


def test_postgres_tables_come_with_their_columns_types_and_keys(copied: ServerCopy) -> None:
    found = tables(copied.path)
    assert list(found) == ["country", "Order", "line", "part", "staff", "team", "member", "nothing"]
    kinds = {column.name: column.type for column in found["Order"].columns}
    assert list(kinds)[:3] == ["id", "Customer Name", "100%"]
    assert [kinds[name] for name in ("id", "100%", "placed", "day", "at", "paid", "tags", "key", "raw", "small")] == [
        "INTEGER", "REAL", "TIMESTAMP", "DATE", "TIME", "BOOLEAN", "TEXT", "TEXT", "BLOB", "TEXT",
    ]  # fmt: skip
    assert found["line"].primary_key == ("order_id", "place")
    assert found["part"].foreign_keys == (
        ForeignKey("order_id", "line", "order_id"),
        ForeignKey("place", "line", "place"),
    )
    assert found["staff"].foreign_keys == (ForeignKey("boss", "staff", "id"),)
    assert found["Order"].foreign_keys[1] == ForeignKey("country_name", "country", "name")


def test_postgres_comments_enumerations_and_checks_become_meanings(copied: ServerCopy) -> None:
    assert copied.meanings == (
        Meaning("country", "area", "land and water; in square kilometres"),
        Meaning("Order", "100%", "a share"),
        Meaning("Order", "feeling", "", values=("sad", "ok", "it's fine")),
        Meaning("Order", "state", "", values=("new", "sent")),
    )


def test_postgres_values_arrive_as_sqlite_keeps_them(copied: ServerCopy) -> None:
    (row,) = ask(copied.path, 'SELECT * FROM "Order" WHERE id = 1')
    assert row == (
        1, "Ann", 0.5, "2024-05-06 05:08:09", "2024-05-06", "07:08:00", 1, '["a","b c"]', '{"k": [1]}',
        "00000000-0000-0000-0000-0000000000ff", "ok", "ab", "new", "x", b"\x00\xff", "1 day", 40, "c39",
    )  # fmt: skip
    assert ask(copied.path, "SELECT area FROM country WHERE id = 1") == [(1.5,)]


def test_a_postgres_sample_is_bounded_and_holds_its_foreign_keys(copied: ServerCopy) -> None:
    assert ask(copied.path, "PRAGMA foreign_key_check") == []
    assert copied.rows["country"] == 4  # two of the sample, two that an order points to
    assert copied.rows["line"] == 3  # one for a part
    assert copied.rows["part"] == 2
    assert copied.rows["nothing"] == 0
    assert ask(copied.path, "SELECT count(*) FROM staff WHERE name = 'top'") == [(1,)]  # the boss of all bosses
    assert copied.rows["team"] == copied.rows["member"] == 2  # each needs the other


def test_rows_whose_parents_do_not_fit_are_dropped_and_told(
    postgres: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "FEWEST_PARENTS", 0)
    monkeypatch.setattr(servers, "PARENTS", 3)
    copy = copy_server(postgres[1], tmp_path / "shop.sqlite", rows=2)
    assert ask(copy.path, "PRAGMA foreign_key_check") == []
    assert copy.rows["staff"] == 0
    assert any(note.startswith("staff: 6 sampled rows are left out") for note in copy.notes)


def test_without_rows_only_the_schema_is_copied(postgres: tuple[Any, str], tmp_path: Path) -> None:
    copy = copy_server(postgres[1], tmp_path / "shop.sqlite")
    assert set(copy.rows.values()) == {0}
    assert len(tables(copy.path)) == 8


def test_views_are_copied_where_sqlite_can_run_them(copied: ServerCopy) -> None:
    assert ask(copied.path, "SELECT who FROM recent") == [("Ann",)]
    assert "the view odd is left out: SQLite has no function REGEXP_MATCHES" in copied.notes
    assert "the view deals is left out: it reads the schema sales, which is not copied" in copied.notes


def test_one_schema_is_copied_and_the_others_are_named(
    postgres: tuple[Any, str], copied: ServerCopy, tmp_path: Path
) -> None:
    assert "only the schema public is copied; there are also: sales" in copied.notes
    copy = copy_server(postgres[1], tmp_path / "sales.sqlite", rows=5, schema="sales")
    assert list(tables(copy.path)) == ["deal"]
    assert copy.rows == {"deal": 0}
    assert "deal: its rows may not be read" in copy.notes
    assert "deal: a foreign key to a table of another schema is left out" in copy.notes


def test_names_that_differ_only_by_case_are_refused(postgres: tuple[Any, str], tmp_path: Path) -> None:
    postgres[0].execute('CREATE SCHEMA twins; CREATE TABLE twins.a (x int); CREATE TABLE twins."A" (x int)')
    with pytest.raises(UserError, match="the tables a and A differ only in letter case"):
        copy_server(postgres[1], tmp_path / "x.sqlite", schema="twins")
    postgres[0].execute('DROP TABLE twins."A"; ALTER TABLE twins.a ADD COLUMN "X" int')
    with pytest.raises(UserError, match="the columns of a x and X differ only in letter case"):
        copy_server(postgres[1], tmp_path / "x.sqlite", schema="twins")
    assert list(tmp_path.iterdir()) == []
    postgres[0].execute("DROP SCHEMA twins CASCADE")


def test_a_statement_that_takes_too_long_is_stopped(
    postgres: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "STATEMENT_SECONDS", 0.2)
    with postgres[0].transaction():
        postgres[0].execute("LOCK TABLE nothing IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(UserError, match=r"reading nothing \(limit: 0 s a statement\): canceling statement due to"):
            copy_server(postgres[1], tmp_path / "x.sqlite", rows=1)
    assert list(tmp_path.iterdir()) == []


def test_the_transaction_is_read_only(postgres: tuple[Any, str]) -> None:
    from data.imports.catalogue import read_address
    from data.imports.postgres import OPTIONS, Postgres

    with closing(Postgres(read_address(postgres[1], {"postgres": OPTIONS, "mysql": ()}), 5)) as server:
        assert server.query("SHOW transaction_read_only") == [("on",)]
        with pytest.raises(server.failures, match="read-only transaction"):
            server.query("CREATE TEMP TABLE x (a int); SELECT nextval('country_id_seq')")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((IN_URL, "wr%40ng"), "password authentication failed"),
        (("/shop", "/shup"), 'database "shup" does not exist'),
        (("/shop", "/bare"), "holds no tables|is not there or empty"),
        (("reader", "nobody_here"), "password authentication failed"),
    ],
)
def test_what_a_postgres_server_refuses_is_one_line_without_the_password(
    postgres: tuple[Any, str], tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        copy_server(postgres[1].replace(*change), tmp_path / "x.sqlite")
    check_line(str(caught.value))


def check_line(message: str) -> None:
    assert "\n" not in message
    assert not any(secret in message for secret in (PASSWORD, IN_URL, "wr@ng", "wr%40ng", "s3cr"))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_refused_connection_is_one_line(tmp_path: Path, scheme: str) -> None:
    pytest.importorskip("psycopg" if scheme == "postgresql" else "pymysql")
    with pytest.raises(
        UserError, match=f"^{scheme}://ann@127.0.0.1:{(port := free_port())}/x: cannot connect"
    ) as caught:
        copy_server(f"{scheme}://ann:{IN_URL}@127.0.0.1:{port}/x", tmp_path / "x.sqlite")
    assert "refused" in str(caught.value)
    check_line(str(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ann:{PASSWORD}@host/x",
        "postgresql://ann:s3cr/t@host/x",
        "postgresql://host/x?options=-cfoo",
        "mysql://h:s3cr@host:port/x",
        "oracle://s3cr@host/x",
        "s3cr",
    ],
)
def test_a_url_that_cannot_be_read_is_told_without_showing_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        copy_server(url, tmp_path / "x.sqlite")
    check_line(str(caught.value))


@pytest.mark.parametrize(("scheme", "module"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_a_missing_driver_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    extra = "postgres" if scheme == "postgresql" else "mysql"
    with pytest.raises(UserError, match=rf'pip install "loraql\[{extra}\]"'):
        copy_server(f"{scheme}://localhost/x", tmp_path / "x.sqlite")


def test_a_dump_of_postgres_imports_with_its_keys(postgres: tuple[Any, str], tmp_path: Path) -> None:
    program = find_program("pg_dump", *POSTGRES_FOLDERS)
    script = tmp_path / "shop.sql"
    command = [str(program), "--inserts", "--no-owner", "--schema=public", f"--file={script}"]
    command.append(postgres[1].replace("reader", "admin"))
    subprocess.run(command, check=True, capture_output=True)
    (imported,) = import_databases(script, tmp_path / "made")
    found = tables(imported.path)
    assert set(found) == {"country", "Order", "line", "part", "staff", "team", "member", "nothing"}
    assert found["line"].primary_key == ("order_id", "place")
    assert [key.parent_table for key in found["Order"].foreign_keys] == ["country", "country"]
    assert ask(imported.path, 'SELECT "Customer Name", small, paid FROM "Order" ORDER BY id') == [
        ("Ann", "x", 1),
        ("Bob", None, None),
    ]
    assert ask(imported.path, "SELECT who FROM recent") == [("Ann",)]
    subprocess.run([*command[:1], *command[2:]], check=True, capture_output=True)
    with pytest.raises(UserError, match=r"shop.sql: line \d+: COPY is not supported; dump with `pg_dump --inserts`"):
        import_databases(script, tmp_path / "other")


@pytest.mark.parametrize(
    ("dialect", "query", "expected"),
    [
        ("postgres", "SELECT a::int FROM public.t WHERE b ILIKE 'x%'", "CAST(a AS INTEGER) FROM t WHERE LOWER(b) LIKE"),
        ("postgres", "SELECT date_trunc('month', d) FROM t", "STRFTIME('%Y-%m-01', d)"),
        ("postgres", "SELECT EXTRACT(year FROM d) FROM t", "CAST(STRFTIME('%Y', d) AS INTEGER)"),
        ("postgres", "SELECT * FROM t WHERE d > current_date - interval '2 weeks'", "DATE(CURRENT_DATE, '-14 days')"),
        ("postgres", "SELECT * FROM t WHERE d > '2020-01-01'::timestamp", "d > '2020-01-01'"),
        ("postgres", "SELECT round(x::numeric(9, 2), 1) FROM t", "ROUND(ROUND(CAST(x AS REAL), 2), 1)"),
        ("postgres", "SELECT * FROM t WHERE a = ANY(ARRAY[1, 2])", "a IN (1, 2)"),
        ("postgres", "SELECT concat(a, b), left(a, 2) FROM t", "COALESCE(a, '') || COALESCE(b, '')"),
        ("mysql", 'SELECT `a`, "x" FROM `shop`.`t` LIMIT 2, 5', 'SELECT "a", \'x\' FROM "t" LIMIT 5 OFFSET 2'),
        ("mysql", "SELECT YEAR(d), a / b FROM t", "CAST(STRFTIME('%Y', d) AS INTEGER), CAST(a AS REAL) / b"),
        ("mysql", "SELECT DATE_SUB(NOW(), INTERVAL 1 DAY)", "DATETIME(CURRENT_TIMESTAMP, '-1 days')"),
    ],
)
def test_queries_are_put_into_the_words_of_sqlite(dialect: Dialect, query: str, expected: str) -> None:
    made = transpile_query(query, dialect)
    assert made.reason == ""
    assert expected in made.query


@pytest.mark.parametrize(
    ("dialect", "query", "reason"),
    [
        ("postgres", "SELEC 1", "Invalid expression"),
        ("postgres", "", "it is empty"),
        ("postgres", "DELETE FROM t", "it is not one query"),
        ("postgres", "SELECT 1; SELECT 2", "it is not one query"),
        ("postgres", "SELECT a ~ 'x' FROM t", "SQLite has no regular expressions"),
        ("postgres", "SELECT age(d) FROM t", "SQLite has no function AGE"),
        ("postgres", "SELECT current_date - d FROM t", "it reckons with dates"),
        ("postgres", "SELECT * FROM t, LATERAL (SELECT 1) x", "SQLite cannot read it"),
        ("postgres", "SELECT " + "(" * 5000 + "1" + ")" * 5000, ""),
        ("postgres", "SELECT '" + "x" * 300_000 + "'", "it has more than 200,000 characters"),
        ("mysql", "SELECT a FROM t GROUP BY a WITH ROLLUP", "SQLite cannot read it"),
    ],
)
def test_a_query_that_sqlite_cannot_answer_comes_back_as_a_reason(dialect: Dialect, query: str, reason: str) -> None:
    made = transpile_query(query, dialect)
    assert made.query == ""
    assert made.reason.startswith(reason)
    assert made.reason


MYSQL_SCRIPT = """
CREATE TABLE country (id int unsigned AUTO_INCREMENT PRIMARY KEY, name varchar(20) UNIQUE NOT NULL, area decimal(12, 2)
    COMMENT 'in square kilometres');
CREATE TABLE `Order` (
    id int PRIMARY KEY, `Customer ``Name` varchar(20) NOT NULL, `100%` float, placed timestamp NULL, day date, at time,
    paid tinyint(1), extra json, feeling enum('sad', 'it''s fine'), state varchar(9) CHECK (state IN ('new', 'sent')),
    raw varbinary(9), made year, bits bit(4), spot point, country_id int unsigned, country_name varchar(20),
    FOREIGN KEY (country_id) REFERENCES country (id), FOREIGN KEY (country_name) REFERENCES country (name));
CREATE TABLE line (order_id int, place int, state varchar(9) CHECK (state IN ('x', 'y')), PRIMARY KEY (order_id, place),
    FOREIGN KEY (order_id) REFERENCES `Order` (id));
CREATE TABLE part (id int PRIMARY KEY, order_id int, place int, FOREIGN KEY (order_id, place) REFERENCES line (order_id, place));
CREATE TABLE staff (id int PRIMARY KEY, name varchar(20), boss int, FOREIGN KEY (boss) REFERENCES staff (id));
CREATE TABLE nothing (a int);
CREATE VIEW recent AS SELECT id, `Customer ``Name` AS who FROM `Order` WHERE placed > '2020-01-01';
CREATE VIEW odd AS SELECT inet6_ntoa(name) AS found FROM country;
SET time_zone = '+02:00';
INSERT INTO country (name, area) VALUES ('c1', 1.5), ('c2', 3), ('c3', 4.5), ('C4', 6), ('c5', 7.5);
INSERT INTO `Order` VALUES (1, 'Ann', 0.5, '2024-05-06 07:08:09', '2024-05-06', '07:08', true, '{"k": [1]}', 'it''s fine',
    'new', x'00ff', 2024, b'101', ST_GeomFromText('POINT(1 2)'), 5, 'c4');
INSERT INTO line VALUES (1, 1, NULL), (1, 2, 'x'), (1, 3, NULL), (1, 4, NULL);
INSERT INTO part VALUES (1, 1, 4), (2, 1, NULL), (3, NULL, NULL);
INSERT INTO staff VALUES (9, 'top', NULL);
INSERT INTO staff VALUES (1, 's1', 9);
"""


@pytest.fixture(scope="module")
def mysql() -> Iterator[tuple[Any, str]]:
    """A connection as the administrator, and the URL of the database "shop" for one who may only read."""
    pymysql = pytest.importorskip("pymysql")
    make_program = find_program("mariadb-install-db")
    server = find_program("mariadbd", "usr/sbin", "usr/libexec")
    port = free_port()

    def make(folder: Path) -> list[str]:
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        return [str(make_program), "--no-defaults", f"--datadir={folder / 'data'}", *options]

    def start(folder: Path) -> list[str]:
        options = ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={folder / 'socket'}", "--skip-name-resolve"]
        return [str(server), "--no-defaults", f"--datadir={folder / 'data'}", f"--pid-file={folder / 'pid'}", *options]

    def connect() -> Any:
        return pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True)

    with running(ordinary_user("mysql", "nobody"), make, start, connect) as connection, connection.cursor() as cursor:
        script = f"CREATE DATABASE shop; CREATE DATABASE bare; USE shop; {MYSQL_SCRIPT}"
        script += (
            "CREATE USER reader@'%' IDENTIFIED BY '" + PASSWORD + "'; GRANT SELECT, SHOW VIEW ON *.* TO reader@'%'"
        )
        for statement in script.split(";"):
            cursor.execute(statement)
        yield connection, f"mysql://reader:{IN_URL}@127.0.0.1:{port}/shop"


def test_a_mysql_database_comes_with_keys_meanings_and_views(mysql: tuple[Any, str], tmp_path: Path) -> None:
    copy = copy_server(mysql[1], tmp_path / "shop.sqlite", rows=2)
    found = tables(copy.path)
    assert set(found) == {"country", "Order", "line", "part", "staff", "nothing"}
    kinds = {column.name: column.type for column in found["Order"].columns}
    assert [kinds[name] for name in ("id", "Customer `Name", "100%", "placed", "paid", "extra", "raw", "made")] == [
        "INTEGER", "TEXT", "REAL", "TIMESTAMP", "BOOLEAN", "TEXT", "BLOB", "INTEGER",
    ]  # fmt: skip
    assert found["line"].primary_key == ("order_id", "place")
    assert found["part"].foreign_keys == (
        ForeignKey("order_id", "line", "order_id"),
        ForeignKey("place", "line", "place"),
    )
    assert found["staff"].foreign_keys == (ForeignKey("boss", "staff", "id"),)
    assert set(copy.meanings) == {
        Meaning("Order", "feeling", "", values=("sad", "it's fine")),
        Meaning("Order", "state", "", values=("new", "sent")),
        Meaning("country", "area", "in square kilometres"),
        Meaning("line", "state", "", values=("x", "y")),
    }
    assert ask(copy.path, "SELECT who FROM recent") == [("Ann",)]
    assert [note for note in copy.notes if "view" in note] == [
        "the view odd is left out: SQLite has no function INET6_NTOA"
    ]


def test_a_mysql_sample_holds_its_keys_and_values_arrive_as_sqlite_keeps_them(
    mysql: tuple[Any, str], tmp_path: Path
) -> None:
    copy = copy_server(mysql[1], tmp_path / "shop.sqlite", rows=2)
    assert ask(copy.path, "PRAGMA foreign_key_check") == []
    assert copy.rows == {"Order": 1, "country": 4, "line": 3, "nothing": 0, "part": 2, "staff": 2}
    assert ask(copy.path, 'SELECT * FROM "Order"') == [
        (
            1, "Ann", 0.5, "2024-05-06 05:08:09", "2024-05-06", "07:08:00", 1, '{"k": [1]}', "it's fine",
            "new", b"\x00\xff", 2024, 5, "POINT(1 2)", 5, "c4",
        )
    ]  # fmt: skip
    assert ask(copy.path, "SELECT name, area FROM country WHERE name = 'c4'") == [("C4", 6)]  # case aside, as in MySQL


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((IN_URL, "wr%40ng"), "Access denied for user"),
        (("/shop", "/shup"), "Unknown database 'shup'"),
        (("/shop", "/bare"), "the database bare is not there or empty"),
        (("/shop", ""), "the URL names no database"),
    ],
)
def test_what_a_mysql_server_refuses_is_one_line_without_the_password(
    mysql: tuple[Any, str], tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        copy_server(mysql[1].replace(*change), tmp_path / "x.sqlite")
    check_line(str(caught.value))


def test_a_mysql_statement_that_takes_too_long_is_stopped_and_nothing_can_be_written(mysql: tuple[Any, str]) -> None:
    from data.imports.catalogue import read_address
    from data.imports.mysql import OPTIONS, MySQL

    with closing(MySQL(read_address(mysql[1], {"mysql": OPTIONS, "postgres": ()}), 0.2)) as server:
        with pytest.raises(server.failures, match="max_statement_time"):
            server.query("SELECT count(*) FROM seq_1_to_100000000 AS a, seq_1_to_100000000 AS b")
        with pytest.raises(server.failures, match=r"READ ONLY|denied"):
            server.query("INSERT INTO nothing VALUES (1)")


def test_a_dump_of_mysql_imports_with_its_keys(mysql: tuple[Any, str], tmp_path: Path) -> None:
    program = find_program("mariadb-dump")
    script = tmp_path / "shop.sql"
    address = urlsplit(mysql[1])
    command = [str(program), "--no-defaults", f"--host={address.hostname}", f"--port={address.port}", "--user=root"]
    with script.open("w") as file:
        subprocess.run([*command, "--skip-lock-tables", "shop"], check=True, stdout=file)
    (imported,) = import_databases(script, tmp_path / "made")
    found = tables(imported.path)
    assert set(found) == {"country", "Order", "line", "part", "staff", "nothing"}
    assert found["line"].primary_key == ("order_id", "place")
    assert len(found["part"].foreign_keys) == 2
    assert ask(imported.path, 'SELECT "Customer `Name", extra, feeling, raw, bits + 0 FROM "Order"') == [
        ("Ann", '{"k": [1]}', "it's fine", b"\x00\xff", 5)
    ]
