"""Databases copied from a real MariaDB."""

import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from programs import IN_URL, PASSWORD, ask, check_line, find_program, tables

from data.errors import UserError
from data.imports.databases import import_databases
from data.imports.servers import copy_server
from data.meanings import Meaning
from data.schema import ForeignKey

pytest_plugins = ("running",)


def test_a_mysql_database_comes_with_keys_meanings_and_views(mysql: tuple[Any, str], tmp_path: Path) -> None:
    copy = copy_server(mysql[1], tmp_path / "shop.sqlite", rows=2)
    found = tables(copy.path)
    assert set(found) == {"country", "Order", "line", "part", "staff", "nothing", "recent"}
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
    counts = {name: ask(copy.path, f'SELECT count(*) FROM "{name}"')[0][0] for name in tables(copy.path)}
    assert counts == {"Order": 1, "country": 4, "line": 3, "nothing": 0, "part": 2, "staff": 2, "recent": 1}
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
    assert set(found) == {"country", "Order", "line", "part", "staff", "nothing", "recent"}
    assert found["line"].primary_key == ("order_id", "place")
    assert len(found["part"].foreign_keys) == 2
    server = copy_server(mysql[1], tmp_path / "server.sqlite").meanings
    assert {*imported.meanings} == {meaning for meaning in server if meaning.values} != set()
    assert ask(imported.path, 'SELECT "Customer `Name", extra, feeling, raw, bits + 0 FROM "Order"') == [
        ("Ann", '{"k": [1]}', "it's fine", b"\x00\xff", 5)
    ]


def test_the_password_may_come_from_the_environment(
    mysql: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = mysql[1].replace(f":{IN_URL}", "")
    monkeypatch.setenv("PWD", PASSWORD)  # where the shell is
    monkeypatch.delenv("MYSQL_PWD", raising=False)
    with pytest.raises(UserError, match="Access denied for user"):
        copy_server(without, tmp_path / "x.sqlite")
    monkeypatch.setenv("MYSQL_PWD", PASSWORD)
    assert copy_server(without, tmp_path / "shop.sqlite").schema == "shop"


def test_a_number_that_sqlite_cannot_hold_costs_its_row_and_is_told(mysql: tuple[Any, str], tmp_path: Path) -> None:
    with mysql[0].cursor() as cursor:
        cursor.execute("CREATE TABLE shop.huge (id bigint unsigned PRIMARY KEY)")
        cursor.execute("INSERT INTO shop.huge VALUES (1), (18446744073709551615)")
        try:
            copy = copy_server(mysql[1], tmp_path / "shop.sqlite", rows=5)
        finally:
            cursor.execute("DROP TABLE shop.huge")
    assert ask(copy.path, "SELECT * FROM huge") == [(1,)]
    assert any(
        note.startswith("huge: 1 sampled rows are left out, as SQLite does not take them") for note in copy.notes
    )
