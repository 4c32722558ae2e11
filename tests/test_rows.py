"""Files of pairs that are broken, hostile or odd: one line naming file and row, and SQL of theirs in bounds."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from test_pairs import GOOD, ROWS, TEXTS, as_csv, as_lines, refused, texts, write, write_parquet, write_sqlite

from data.imports import rows
from data.imports.pairs import read_pairs
from data.imports.rows import split_source


def test_a_source_is_a_file_and_what_is_meant_in_it() -> None:
    assert split_source("a/b.sqlite::SELECT q FROM t") == (Path("a/b.sqlite"), "SELECT q FROM t")
    assert split_source(Path("a/b.sqlite::pairs")) == (Path("a/b.sqlite"), "pairs")
    assert split_source("a/b.csv") == (Path("a/b.csv"), None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "question,query\nq,SELECT 1\nq,SELECT a, b\n", ", row 3: has 3 cells where the header has 2"),
        ("p.csv", "question,query\nq,SELECT 1\nq\n", ", row 3: has 1 cells where the header has 2"),
        ("p.csv", 'question,query\nq,SELECT 1\nq,"SELECT 1\n', ", row 3: not valid CSV: unexpected end of data"),
        ("p.csv", 'question,query\nq,"SELECT" 1\n', ", row 2: not valid CSV"),
        ("p.csv", 'question,"query\n', ": not valid CSV"),
        ("p.csv", "question,query\nq,\n", ", row 2: has no query"),
        ("p.csv", "question,query,query\nq,a,b\n", ": has two columns named 'query'"),
        ("p.csv", "question,query\n", ": holds no pairs"),
        ("p.csv", "", ": holds no pairs"),
        ("p.csv", "q1,SELECT 1\nq2,SELECT 2\n", ": no column for the question"),
        ("p.csv", b"question,query\nq,SELECT 1\n\xff\xfeq,SELECT 1\n", ", line 3: is not valid UTF-8"),
        ("p.csv", "question,query\nq,1\n".encode("utf-16"), ": is UTF-16"),
        ("p.csv", "question,query\nq,1\n".encode("utf-16-le"), ", line 1: holds a NUL byte"),
        ("p.csv", "question,query\nq,SELECT\0 1\n", ", line 2: holds a NUL byte"),
        ("p.tsv", "question\tquery\nq\tSELECT\t1\n", ", row 2: has 3 cells"),
        ("p.json", "", ": not valid JSON"),
        ("p.json", "[]", ": holds no pairs"),
        ("p.json", "[{}]", ": no column for the question"),
        ("p.json", json.dumps([GOOD, GOOD])[:-9], ": not valid JSON"),
        ("p.json", json.dumps([GOOD]) + " more", ": not valid JSON"),
        ("p.json", json.dumps(GOOD), ": holds no list of objects"),
        ("p.json", json.dumps({"a": [GOOD], "b": [GOOD]}), ": holds lists under a, b"),
        ("p.json", '"text"', ": is text; give a list of objects"),
        ("p.json", "[" * 100_000, ": nested too deeply"),
        ("p.json", b'[{"question": "\xe9"}]', ", line 1: is not valid UTF-8"),
        ("p.jsonl", as_lines(GOOD) + '{"question": "q", "que\n', ", row 2: not valid JSON"),
        ("p.jsonl", as_lines(GOOD) + "[" * 100_000, ", row 2: nested too deeply"),
        ("p.jsonl", as_lines(GOOD) + '{"question": ' + "9" * 5000 + "}", ", row 2: not valid JSON"),
        ("p.jsonl", "\n\n", ": holds no pairs"),
        ("p.parquet", b"PAR1", ": not a readable Parquet file"),
        ("p.parquet", b"no such thing", ": not a readable Parquet file"),
        ("p.sqlite", b"no such thing", ": not an SQLite database"),
        ("p.sqlite", b"SQLite format 3\x00" + b"\x01" * 500, ": file is not a database"),
        ("p.xlsx", b"PK\x03\x04", ": the format is not known by its ending"),
        ("p", "question,query\nq,1\n", ": the format is not known by its ending"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = write(tmp_path / name, content)
    assert refused(path).startswith(f"{path}{message}")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.csv") == f"{tmp_path / 'none.csv'}: cannot be read: No such file or directory"
    assert "File name too long" in refused("SELECT 1 " * 1000)
    assert "is not an SQLite database" in refused(f"{write(tmp_path / 'p.csv', as_csv(ROWS))}::pairs")


def test_long_cells_are_read_whole(tmp_path: Path) -> None:
    query = "SELECT '" + "x, " * 200_000 + "'"
    path = write(tmp_path / "p.csv", as_csv([{"question": "q", "query": query}]))
    assert read_pairs(path)[0].query == query


def test_a_header_that_is_a_row_is_shown_in_short(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", f'"Which\ncats{"?" * 5000}",{"x" * 5000}\na,b\n')
    assert len(refused(path)) < 400


def test_a_broken_parquet_file_is_one_line(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "p.parquet", ROWS * 50)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-1], whole[:4] + b"\xff" * 40 + whole[44:]):
        path.write_bytes(content)
        assert refused(path).startswith(f"{path}")
    raw = pyarrow.array([b"q", b"\xff\xfe"]).cast(pyarrow.binary())
    bad = pyarrow.StringArray.from_buffers(2, raw.buffers()[1], raw.buffers()[2])
    table = pyarrow.table({"question": bad, "query": ["SELECT 1", "SELECT 2"]})
    pyarrow.parquet.write_table(table, path)
    assert refused(path).startswith(f"{path}, row 2: not valid UTF-8")
    write_parquet(path, [GOOD, GOOD | {"query": None}])
    assert refused(path) == f"{path}, row 2: has no query"
    write_parquet(path, [GOOD | {"query": b"SELECT 1"}])
    assert refused(path) == f"{path}, row 1: its query is bytes, not text"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([GOOD]).slice(0, 0), path)
    assert refused(path) == f"{path}: holds no pairs"


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("", "has no table ''"),
        ("ghosts", "has no table 'ghosts'"),
        ("SELECT a FROM pairs", "no such column: a"),
        ("SELECT question, query FROM pairs; DROP TABLE pairs", "one statement"),
        ("WITH a AS (SELECT 1) DELETE FROM pairs", "not authorized"),
        ("DROP TABLE pairs", "has no table"),
        ("ATTACH 'x.db' AS x", "has no table"),
        ("SELECT load_extension('x')", "not authorized"),
        ("SELECT question, question FROM pairs", "has two columns named 'question'"),
        ("SELECT question, query FROM pairs WHERE 0", "holds no pairs"),
        ("SELECT question, x'00' AS query FROM pairs", "row 1: its query is bytes"),
        ("SELECT question, CAST(CASE rowid WHEN 2 THEN x'ff' ELSE 'a' END AS TEXT) AS query FROM pairs", "row 2: Could not decode"),
    ],
)  # fmt: skip
def test_a_bad_table_or_query_is_one_line_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_sqlite(tmp_path / "log.sqlite", ROWS)
    before = path.read_bytes()
    assert message in refused(f"{path}::{inside}")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_one_of_several_tables_is_to_be_named(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "log", ROWS, 'my "pairs"')  # an SQLite file is known by its content
    write_sqlite(path, [{"a": 1}], "other")
    assert 'its tables are: my "pairs", other' in refused(path)
    assert texts(read_pairs(f'{path}::my "pairs"')) == TEXTS
    found = read_pairs(f"{path}::SELECT question AS q, query AS s FROM \"my \"\"pairs\"\"\"", {"question": "q", "query": "s"})  # fmt: skip
    assert texts(found) == TEXTS


def test_an_sqlite_file_with_changes_beside_it_is_not_read_without_them(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "log.sqlite", ROWS)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute("INSERT INTO pairs VALUES ('q', 'SELECT 1', 'zoo', 'train')")
        assert refused(path).startswith(f"{path}: log.sqlite-wal holds changes of it")
    assert len(read_pairs(path)) == 3


def with_view(path: Path, query: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE VIEW pairs AS {query}")
    return path


ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS question, {} AS query FROM n"


def test_a_view_is_read_only_where_it_is_named(tmp_path: Path) -> None:
    query = "SELECT 'q' AS question, value AS query FROM json_each('[\"SELECT 1\"]')"
    path = with_view(tmp_path / "log.db", query)
    assert "name the table of pairs" in refused(path)
    assert "its tables are: pairs" in refused(path)
    assert texts(read_pairs(f"{path}::pairs")) == texts(read_pairs(f"{path}::{query}")) == [("q", "SELECT 1")]
    write_sqlite(path, ROWS, "own")
    assert texts(read_pairs(path)) == TEXTS


@pytest.mark.parametrize(
    ("limit", "most", "query", "message"),
    [
        ("MAX_ROWS", 1000, ENDLESS.format("'SELECT 1'"), "has more than 1,000 rows or 256 MB; read less of it"),
        ("MAX_BYTES", 2**20, ENDLESS.format("hex(zeroblob(50000))"), "has more than 1,000,000 rows or 1 MB"),
        ("SECONDS", 0.1, ENDLESS.format("'SELECT 1'") + " WHERE i < 0", ": takes longer than 0 s"),
        ("SECONDS", 9, ENDLESS.format("hex(zeroblob(9000000))"), ": has a value or a row of more than 16 MB"),
    ],
)
def test_a_view_without_an_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: float, query: str, message: str
) -> None:
    monkeypatch.setattr(rows, limit, most)
    assert message in refused(f"{with_view(tmp_path / 'log.db', query)}::pairs")
