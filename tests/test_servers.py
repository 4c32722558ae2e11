"""Databases copied from a real PostgreSQL, and what is refused of any server."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from programs import IN_URL, PASSWORD, POSTGRES_FOLDERS, ask, check_line, find_program, free_port, tables

from data.errors import UsageError, UserError
from data.imports import servers
from data.imports.databases import import_databases
from data.imports.servers import ServerCopy, copy_server
from data.meanings import Meaning, read_meanings, write_meanings
from data.schema import ForeignKey

pytest_plugins = ("running",)


def count(copy: ServerCopy, table: str) -> int:
    ((rows,),) = ask(copy.path, f'SELECT count(*) FROM "{table}"')
    return int(rows)


@pytest.fixture
def copied(postgres: tuple[Any, str], tmp_path: Path) -> ServerCopy:
    return copy_server(postgres[1], tmp_path / "shop.sqlite", rows=2)


def test_postgres_tables_come_with_their_columns_types_and_keys(copied: ServerCopy) -> None:
    found = tables(copied.path)
    assert list(found) == ["country", "Order", "line", "part", "staff", "team", "member", "nothing", "recent"]
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
    assert count(copied, "country") == 4  # two of the sample, two that an order points to
    assert count(copied, "line") == 3  # one for a part
    assert count(copied, "part") == 2
    assert count(copied, "nothing") == 0
    assert ask(copied.path, "SELECT count(*) FROM staff WHERE name = 'top'") == [(1,)]  # the boss of all bosses
    assert count(copied, "team") == count(copied, "member") == 2  # each needs the other


def test_rows_whose_parents_do_not_fit_are_dropped_and_told(
    postgres: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "FEWEST_PARENTS", 0)
    monkeypatch.setattr(servers, "PARENTS", 3)
    copy = copy_server(postgres[1], tmp_path / "shop.sqlite", rows=2)
    assert ask(copy.path, "PRAGMA foreign_key_check") == []
    assert count(copy, "staff") == 0
    assert any(note.startswith("staff: 6 sampled rows are left out") for note in copy.notes)


def test_without_rows_only_the_schema_is_copied(postgres: tuple[Any, str], tmp_path: Path) -> None:
    copy = copy_server(postgres[1], tmp_path / "shop.sqlite")
    assert [count(copy, table) for table in tables(copy.path)] == [0] * 9


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
    assert count(copy, "deal") == 0
    assert "deal: its rows may not be read" in copy.notes
    assert "deal: a foreign key to a table of another schema is left out" in copy.notes


def test_long_comments_and_values_are_clipped_to_what_a_file_of_meanings_may_hold(
    postgres: tuple[Any, str], tmp_path: Path
) -> None:
    long = "long " * 400
    postgres[0].execute(f"""
        CREATE SCHEMA wordy; CREATE TABLE wordy.t (a text CHECK (a IN ('x', '{long}')));
        COMMENT ON COLUMN wordy.t.a IS '{long}';
    """)
    copy = copy_server(postgres[1], tmp_path / "x.sqlite", schema="wordy")
    postgres[0].execute("DROP SCHEMA wordy CASCADE")
    write_meanings(copy.meanings, tmp_path / "x.columns.csv")
    (meaning,) = read_meanings(tmp_path / "x.columns.csv")
    assert meaning.description.startswith("long long") and meaning.description.endswith("long...")
    assert meaning.values[0] == "x"
    assert meaning.values[1].endswith("long...")


def test_rows_that_sqlite_does_not_take_are_counted(postgres: tuple[Any, str], tmp_path: Path) -> None:
    postgres[0].execute("""
        CREATE SCHEMA odd; CREATE TABLE odd.part (id int PRIMARY KEY, weight float8 NOT NULL);
        CREATE TABLE odd.code (code numeric UNIQUE, what text);
        CREATE TABLE odd.used (id int PRIMARY KEY, code numeric REFERENCES odd.code (code), part int REFERENCES odd.part);
        INSERT INTO odd.part VALUES (1, 0.5), (2, 'NaN'), (3, 'NaN');
        INSERT INTO odd.code VALUES (12345678901234567890.1, 'a'), (12345678901234567890.2, 'b'), (1, 'c'), (2, 'd');
        INSERT INTO odd.used VALUES (1, 2, 1), (2, 2, 3);
        GRANT USAGE ON SCHEMA odd TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA odd TO reader;
    """)
    copy = copy_server(postgres[1], tmp_path / "x.sqlite", rows=3, schema="odd")
    postgres[0].execute("DROP SCHEMA odd CASCADE")
    assert ask(copy.path, "SELECT id FROM part") == [(1,)]
    assert ask(copy.path, "SELECT what FROM code ORDER BY what") == [("a",), ("c",), ("d",)]
    assert ask(copy.path, "SELECT id FROM used") == [(1,)]
    refused = "sampled rows are left out, as SQLite does not take them"
    assert f"part: 2 {refused}: NOT NULL constraint failed: part.weight" in copy.notes
    assert f"code: 1 {refused}: UNIQUE constraint failed: code.code" in copy.notes
    assert "used: 1 sampled rows are left out, as rows that they point to could not be had" in copy.notes
    assert len(copy.notes) == 4  # and the other schemas


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


@pytest.mark.parametrize("how", [[], ["--inserts", "--no-owner"]], ids=["COPY", "INSERT"])
def test_a_dump_of_postgres_imports_with_its_keys(postgres: tuple[Any, str], tmp_path: Path, how: list[str]) -> None:
    program = find_program("pg_dump", *POSTGRES_FOLDERS)
    script = tmp_path / "shop.sql"
    command = [str(program), *how, "--schema=public", f"--file={script}", postgres[1].replace("reader", "admin")]
    subprocess.run(command, check=True, capture_output=True)
    (imported,) = import_databases(script, tmp_path / "made")
    found = tables(imported.path)
    assert set(found) == {"country", "Order", "line", "part", "staff", "team", "member", "nothing", "recent"}
    assert found["line"].primary_key == ("order_id", "place")
    assert [key.parent_table for key in found["Order"].foreign_keys] == ["country", "country"]
    assert ask(imported.path, 'SELECT "Customer Name", small, paid FROM "Order" ORDER BY id') == [
        ("Ann", "x", 1),
        ("Bob", None, None),
    ]
    assert ask(imported.path, "SELECT who FROM recent") == [("Ann",)]


def test_a_dump_of_all_schemas_holds_those_tables_that_the_server_gives(
    postgres: tuple[Any, str], copied: ServerCopy, tmp_path: Path
) -> None:
    program = find_program("pg_dump", *POSTGRES_FOLDERS)
    script = tmp_path / "shop.sql"
    command = [str(program), f"--file={script}", postgres[1].replace("reader", "admin")]
    subprocess.run(command, check=True, capture_output=True)
    (imported,) = import_databases(script, tmp_path / "made")
    theirs, ours = tables(copied.path), tables(imported.path)
    assert set(ours) == set(theirs)
    for name, table in ours.items():
        assert [column.name for column in table.columns] == [column.name for column in theirs[name].columns]
        assert table.primary_key == theirs[name].primary_key
        assert set(table.foreign_keys) == set(theirs[name].foreign_keys)
    assert imported.meanings == tuple(meaning for meaning in copied.meanings if meaning.values)
    assert "only the schema public is copied; there are also: sales" in imported.notes


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
