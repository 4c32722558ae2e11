"""Fixtures: a real PostgreSQL and a real MariaDB, each with the database of a shop.

Tests name this file as a plug-in, so that each server starts once for all of them.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from programs import IN_URL, PASSWORD, POSTGRES_FOLDERS, find_program, free_port, ordinary_user, running

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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
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
