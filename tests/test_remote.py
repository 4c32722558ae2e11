"""Questions about real servers: queries in their own words, read-only and limited."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from programs import check_line

from data.errors import UsageError, UserError
from data.imports.servers import address_of
from eval.pool import Sandbox
from eval.remote import run_remote
from eval.sandbox import Limits
from pipeline.databases import Database, open_database

pytest_plugins = ("running",)


@pytest.fixture
def sandbox() -> Any:
    with Sandbox(Limits(seconds=2, rows=30), workers=1) as made:
        yield made


def test_a_question_about_postgres_runs_there_in_its_own_words(postgres: tuple[Any, str], sandbox: Sandbox) -> None:
    with closing(open_database(postgres[1], sandbox)) as shop:
        assert (shop.name, shop.dialect) == ("shop", "postgres")
        assert "Order" in [table.name for table in shop.schema.tables]
        sql = shop.native('SELECT "customer name" FROM [order] WHERE paid = 1 AND "Customer Name" LIKE \'a%\'')
        found = shop.run(sql)
        assert (found.category, found.columns, found.rows) == ("ok", ("Customer Name",), (("Ann",),))
        (row,) = shop.run('SELECT * FROM "Order" WHERE id = 1').rows
        assert row[3:8] == ("2024-05-06 05:08:09+00:00", "2024-05-06", "07:08:00", 1, '["a", "b c"]')
        assert shop.explain("SELECT * FROM country").rows[0][0].startswith("Seq Scan on country")
        assert shop.run("SELECT area FROM country WHERE area IN (1.5, 3)").rows == ((1.5,), (3,))
        copy = shop.path
    assert not copy.exists(), "the copy of the schema goes with it"


def test_a_query_that_fails_or_goes_too_far_on_postgres_says_why(postgres: tuple[Any, str], sandbox: Sandbox) -> None:
    with closing(open_database(postgres[1], sandbox)) as shop:
        assert shop.run("SELECT x FROM country").category == "no_such_column"
        assert shop.run("SELECT x FROM nowhere").category == "no_such_table"
        assert shop.run("SELECT * FROM country").category == "too_many_rows"
        slow = shop.run("SELECT count(*) FROM generate_series(1, 1000000000) AS a")
        assert slow.category == "timeout"
        for sql in ("DELETE FROM country", "SELECT pg_sleep(1)", "SELECT 1; SELECT 2", "SELECT * FROM pg_user"):
            assert shop.run(sql).category == "refused", sql
        for outcome in (shop.run("SELECT x FROM country"), slow):
            check_line(outcome.message)
    admin, _ = postgres
    assert admin.execute("SELECT count(*) FROM country").fetchone() == (40,)


def test_the_transaction_itself_only_reads(postgres: tuple[Any, str]) -> None:
    from data.imports.servers import connected

    admin, url = postgres
    with closing(admin.cursor()) as cursor:
        cursor.execute("CREATE TABLE free (a integer); GRANT ALL ON free TO reader")
        try:
            with connected(address_of(url), 2) as server, pytest.raises(server.failures, match="read-only transaction"):
                server.select("EXPLAIN ANALYZE INSERT INTO free VALUES (1)")
        finally:
            cursor.execute("DROP TABLE free")


def test_a_question_about_mysql_runs_there_in_its_own_words(mysql: tuple[Any, str], sandbox: Sandbox) -> None:
    with closing(open_database(mysql[1], sandbox, name="store", rows=5)) as shop:
        assert (shop.name, shop.dialect) == ("store", "mysql")
        sql = shop.native('SELECT count(*), max(area) FROM country WHERE "name" LIKE "c%"')
        assert shop.run(sql).rows == ((5, 7.5),)
        assert shop.run("SELECT x FROM country").category == "no_such_column"
        assert shop.run("SELECT x FROM nowhere").category == "no_such_table"
        assert shop.run("SELECT sleep(1)").category == "refused"
        assert shop.run("SELECT a.id FROM country a, country b, country c").category == "too_many_rows"
        assert shop.explain("SELECT * FROM country").category == "ok"


def test_a_server_that_is_not_there_is_one_line() -> None:
    outcome = run_remote(address_of("postgresql://me:s3cr@127.0.0.1:1/shop"), "SELECT 1", Limits())
    assert outcome.category == "error"
    check_line(outcome.message)


def test_addresses_that_are_none_are_told(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a database that can be asked"):
        open_database("oracle://x/y", sandbox)
    with pytest.raises(UsageError, match="names no database"):
        open_database("postgresql://me@localhost", sandbox)
    with pytest.raises(UserError, match="no such file or folder"):
        open_database(str(tmp_path / "absent.sqlite"), sandbox)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_folder_of_tables_is_imported_once_and_again_when_it_changes(
    tmp_path: Path, cache: Path, sandbox: Sandbox
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "item.csv").write_text("id,name\n1,pen\n2,ink\n", encoding="utf-8")

    def opened() -> Database:
        return open_database(str(folder), sandbox)

    first = opened()
    assert (first.name, first.dialect) == ("shop", "sqlite")
    assert first.run("SELECT name FROM item ORDER BY 1").rows == (("ink",), ("pen",))
    assert opened().path == first.path
    (folder / "item.csv").write_text("id,name\n1,pen\n2,ink\n3,cup\n", encoding="utf-8")
    assert opened().run("SELECT count(*) FROM item").rows == ((3,),)
    assert sorted(path.name for path in tmp_path.rglob("*.csv")) == ["item.csv"]
    for name in ("a", "b"):
        (tmp_path / f"{name}.sql").write_text("CREATE TABLE t (x);", encoding="utf-8")
    (folder / "item.csv").unlink()
    for name in ("a", "b"):
        (tmp_path / f"{name}.sql").rename(folder / f"{name}.sql")
    with pytest.raises(UsageError, match=r"holds 2 databases \(a, b\); name the file of one"):
        opened()
