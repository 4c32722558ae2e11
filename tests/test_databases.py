"""Databases as people keep them: SQLite files and folders of them, under plain names, whole or not at all."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from data.errors import UsageError, UserError
from data.imports import databases
from data.imports.databases import Imported, import_databases


def sqlite_file(path: Path, script: str = "CREATE TABLE t (a); INSERT INTO t VALUES (1)") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def file(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def refused(tmp_path: Path, source: Path, name: str | None = None) -> str:
    """The one line with which an import fails, having left nothing."""
    with pytest.raises(UserError) as caught:
        import_databases(source, tmp_path / "out", name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    return str(caught.value)


def test_an_sqlite_file_is_copied_under_its_name_or_the_one_given(tmp_path: Path) -> None:
    source = sqlite_file(tmp_path / "shop.db")
    (imported,) = import_databases(source, tmp_path / "out")
    assert imported == Imported("shop", tmp_path / "out" / "shop" / "shop.sqlite", source)
    assert ask(imported.path, "SELECT a FROM t") == [(1,)]
    (other,) = import_databases(source, tmp_path / "out", "store")
    assert other.path == tmp_path / "out" / "store" / "store.sqlite"
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == [
        "shop", "shop.sqlite", "store", "store.sqlite",
    ]  # fmt: skip


@pytest.mark.parametrize("has_index", [False, True])
def test_what_only_the_log_beside_a_file_holds_is_copied_too(tmp_path: Path, has_index: bool) -> None:
    source = tmp_path / "in" / "shop.sqlite"
    source.parent.mkdir()
    # A process that ends before it can put its log into the file.
    code = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = WAL');"
    code += "c.execute('CREATE TABLE t (a)'); c.execute('INSERT INTO t VALUES (7)'); c.commit(); os._exit(0)"
    subprocess.run([sys.executable, "-c", code, str(source)], check=True)
    if not has_index:
        (source.parent / "shop.sqlite-shm").unlink()
    before = {path.name: path.read_bytes() for path in source.parent.iterdir() if path.suffix != ".sqlite-shm"}
    (imported,) = import_databases(source, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in source.parent.iterdir() if path.suffix != ".sqlite-shm"} == before
    assert (source.parent / "shop.sqlite-shm").exists() is has_index
    assert list(imported.path.parent.iterdir()) == [imported.path]
    with closing(sqlite3.connect(f"file:{imported.path}?immutable=1&mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(7,)]


def test_a_damaged_or_false_sqlite_file_is_refused(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a); WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) INSERT INTO t SELECT 'text' || i FROM n"
    content = sqlite_file(tmp_path / "whole.db", script).read_bytes()
    damaged = file(tmp_path / "damaged.db", content[:8192] + b"\xff" * 4096 + content[12288:])
    assert "damaged" in refused(tmp_path, damaged)
    assert "cannot be read as an SQLite database" in refused(tmp_path, file(tmp_path / "cut.db", content[:5000]))
    assert "not an SQLite database" in refused(tmp_path, file(tmp_path / "false.sqlite", "CREATE TABLE t (a);"))
    assert "holds no table" in refused(tmp_path, sqlite_file(tmp_path / "empty.db", "PRAGMA user_version = 1"))


def test_a_folder_gives_its_files_flat_or_as_spider_keeps_them(tmp_path: Path) -> None:
    for name in ("b.sqlite", "a.db", "c.sqlite3", "d/d.sqlite", "e/other.sqlite", ".f.db", "g.db3"):
        sqlite_file(tmp_path / "in" / name)
    file(tmp_path / "in" / "README.txt", "hello")
    assert [imported.name for imported in import_databases(tmp_path / "in", tmp_path / "out")] == list("abcdg")


def test_a_folder_that_leaves_doubt_is_refused(tmp_path: Path) -> None:
    sqlite_file(tmp_path / "twice" / "a.db")
    sqlite_file(tmp_path / "twice" / "A.sqlite")
    assert "several files would be the database" in refused(tmp_path, tmp_path / "twice")
    sqlite_file(tmp_path / "mixed" / "a.db")
    file(tmp_path / "mixed" / "b.csv", "x\n1\n")
    assert "holds SQLite files and files of tables" in refused(tmp_path, tmp_path / "mixed")
    (tmp_path / "none").mkdir()
    assert "holds no database" in refused(tmp_path, tmp_path / "none")
    assert "no such file or folder" in refused(tmp_path, tmp_path / "gone")
    assert "not a kind that can be imported" in refused(tmp_path, file(tmp_path / "a.xlsx", "PK"))
    sqlite_file(tmp_path / "two" / "a.db")
    sqlite_file(tmp_path / "two" / "b.db")
    with pytest.raises(UsageError, match="holds 2 databases"):
        import_databases(tmp_path / "two", tmp_path / "out", "x")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a\tb", "a\nb", " a", "x" * 101, "a\\b"])
def test_a_name_that_is_no_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "is not a plain name" in refused(tmp_path, sqlite_file(tmp_path / "a.db"), name)


def test_a_name_that_is_taken_is_refused_and_what_is_there_stays(tmp_path: Path) -> None:
    kept = file(tmp_path / "out" / "a" / "a.sqlite", "kept")
    with pytest.raises(UserError, match="is there already"):
        import_databases(sqlite_file(tmp_path / "a.db"), tmp_path / "out")
    assert kept.read_text() == "kept"


def test_one_bad_database_leaves_none_of_a_folder(tmp_path: Path) -> None:
    sqlite_file(tmp_path / "in" / "a.db")
    file(tmp_path / "in" / "b.db", "no database")
    assert "b.db: not an SQLite database" in refused(tmp_path, tmp_path / "in")


def test_a_file_that_another_program_holds_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOCK_SECONDS", 0.01)
    source = sqlite_file(tmp_path / "shop.db")
    with closing(sqlite3.connect(source)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert (
            refused(tmp_path, source) == f"{source}: another program is writing it; close that program, or give a copy"
        )


def test_the_check_of_a_file_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ", ".join("(1)" for _ in range(2000))
    source = sqlite_file(tmp_path / "slow.db", f"CREATE TABLE t (a CHECK (a < 2)); INSERT INTO t VALUES {rows}")
    monkeypatch.setattr(databases, "CHECK_SECONDS", 0.0)
    assert refused(tmp_path, source) == f"{source}: to check it takes longer than 0 s"
