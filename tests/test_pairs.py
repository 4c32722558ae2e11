"""Pairs from every format: the same pairs whatever the file, their columns found by name, a bad row named."""

import csv
import json
import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from data.errors import UserError
from data.imports.pairs import Pair, read_pairs

ROWS = [
    {"question": "How many cats?", "query": "SELECT count(*) FROM cat;", "db_id": "zoo", "split": "train"},
    {"question": "Which cats, über 3?", "query": "SELECT name\nFROM cat WHERE a = ','", "db_id": "zoo", "split": "dev"},
]
TEXTS = [(row["question"], row["query"]) for row in ROWS]
GOOD = {"question": "q", "query": "SELECT 1"}


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    text = StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def write_sqlite(path: Path, rows: list[dict[str, Any]], table: str = "pairs") -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        names = ", ".join(f'"{name}"' for name in rows[0])
        table = table.replace('"', '""')
        connection.execute(f'CREATE TABLE "{table}" ({names})')
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f'INSERT INTO "{table}" VALUES ({marks})', [tuple(row.values()) for row in rows])
    return path


def refused(source: Path | str, columns: dict[str, str] | None = None) -> str:
    with pytest.raises(UserError) as error:
        read_pairs(source, columns)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 1500
    return message


def texts(pairs: list[Pair]) -> list[tuple[str, str]]:
    return [(pair.question, pair.query) for pair in pairs]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pairs.csv", as_csv(ROWS)),
        ("pairs.CSV", "\ufeff" + as_csv(ROWS)),
        ("pairs.csv", as_csv(ROWS, ";")),
        ("pairs.csv", "sep=|\r\n" + as_csv(ROWS, "|")),
        ("pairs.csv", as_csv(ROWS).replace("\r\n", "\n").replace("zoo,train\n", "zoo,train\n\n\n")),
        ("pairs.tsv", as_csv(ROWS, "\t")),
        ("pairs.json", json.dumps(ROWS, indent=1)),
        ("pairs.json", json.dumps({"version": 1, "data": ROWS, "tags": []})),
        ("pairs.json", as_lines(*ROWS)),
        ("pairs.jsonl", "\ufeff" + as_lines(*ROWS).replace("\n", "\r\n")),
    ],
    ids=[
        "CSV",
        "mark",
        "semicolons",
        "the mark of Excel",
        "empty lines",
        "TSV",
        "list",
        "list inside",
        "lines in .json",
        "JSON lines",
    ],
)
def test_a_file_gives_the_same_pairs_whatever_its_format(tmp_path: Path, name: str, content: str) -> None:
    pairs = read_pairs(write(tmp_path / name, content))
    # As a spreadsheet counts: the header is a row, and so is an empty one.
    first, second = (1, 2) if "json" in name else (2, 5) if "\n\n\n" in content else (2, 3)
    assert pairs == [
        Pair(*TEXTS[0], "zoo", "train", f"{name}, row {first}"),
        Pair(*TEXTS[1], "zoo", "dev", f"{name}, row {second}"),
    ]


def test_parquet_and_sqlite_give_them_too(tmp_path: Path) -> None:
    expected = [(*TEXTS[0], "zoo", "train"), (*TEXTS[1], "zoo", "dev")]
    database = write_sqlite(tmp_path / "log.db", ROWS)
    sources = [write_parquet(tmp_path / "p.parquet", ROWS), database, f"{database}::PAIRS"]
    for source in [*sources, f"{database}::SELECT * FROM pairs -- a/b//c"]:
        pairs = read_pairs(source)
        assert [(pair.question, pair.query, pair.db_id, pair.split) for pair in pairs] == expected, source
    assert read_pairs(sources[0])[1].place == "p.parquet, row 2"
    assert read_pairs(sources[2])[1].place == "log.db, row 2"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"Question": "q", "SQL": "s", "evidence": "", "difficulty": "simple"}, ("q", "s")),
        ({"question": "q", "query": "s", "sql": {"select": []}, "question_toks": ["q"]}, ("q", "s")),
        ({"question": "q", "answer": "s", "context": "CREATE TABLE t (a)"}, ("q", "s")),
        ({"question": "q", "sql": "s", "answer": "42"}, ("q", "s")),
        ({"query": "q", "sql": "s"}, ("q", "s")),
        ({"instruction": "q", "input": "CREATE TABLE t (a)", "output": "s"}, ("q", "s")),
        ({"instruction": "q", "context": "CREATE TABLE t (a)", "response": "s", "category": "x"}, ("q", "s")),
        ({"instruction": "q", "input": "CREATE ...", "response": "s", "text": "all of it"}, ("q", "s")),
        ({"sql_prompt": "q", "sql": "s", "sql_explanation": "so", "sql_context": "CREATE"}, ("q", "s")),
        ({"prompt": "q", "completion": "s"}, ("q", "s")),
        ({"text": "q", "target": "s"}, ("q", "s")),
        ({"Natural Language": "q", "Gold-Query": "s"}, ("q", "s")),
        ({"utterance": "q", "query": "s"}, ("q", "s")),
        ({"question": "q", "query": "s", "hint": "h"}, ("q (h)", "s")),
        ({"question": "q, h", "query": "s", "External Knowledge": "h"}, ("q, h", "s")),
        ({"question": "q", "query": "```sql\ns;\n```"}, ("q", "s;")),
    ],
)
def test_columns_are_found_by_the_names_that_data_sets_give_them(
    tmp_path: Path, row: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert texts(read_pairs(write(tmp_path / "p.jsonl", as_lines(row)))) == [expected]


def test_the_input_asks_where_the_instruction_is_the_same_in_all_rows(tmp_path: Path) -> None:
    order = "Translate to SQL."
    rows = [{"instruction": order, "input": text, "output": f"SELECT '{text}'"} for text in ("q1", "q2")]
    for path in (
        write(tmp_path / "p.csv", as_csv(rows)),
        write(tmp_path / "p.json", json.dumps(rows)),
        write(tmp_path / "p.jsonl", as_lines(*rows)),
        write_parquet(tmp_path / "p.parquet", rows),
    ):
        assert [pair.question for pair in read_pairs(path)] == ["q1", "q2"]
    # One schema for all: then the instruction asks.
    rows = [{"instruction": text, "input": "CREATE TABLE t (a)", "output": "SELECT 1"} for text in ("q1", "q2")]
    assert [pair.question for pair in read_pairs(write(tmp_path / "q.csv", as_csv(rows)))] == ["q1", "q2"]


def test_a_map_names_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "Frage,Abfrage,question,Ort\nWie viele?,SELECT 1,no,zoo\n")
    columns = {"question": "frage", "query": "Abfrage", "db_id": "Ort"}
    assert read_pairs(path, columns) == [Pair("Wie viele?", "SELECT 1", "zoo", None, "p.csv, row 2")]
    listed = "Frage, Abfrage, question, Ort"
    assert refused(path, {"query": "Anfrage"}) == f"{path}: has no column 'Anfrage' for query; its columns are {listed}"
    unknown = refused(path, {"frage": "Frage"})
    assert "no field 'frage'" in unknown
    assert listed in unknown
    assert f"no column for the query; name it, as in query=COLUMN; its columns are {listed}" in refused(path)


def test_a_map_may_take_a_name_that_means_another_field(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "question,query\nSELECT 1,Which?\n")
    assert texts(read_pairs(path, {"question": "query", "query": "question"})) == [("Which?", "SELECT 1")]


@pytest.mark.parametrize(
    ("given", "split"),
    [
        ("train", "train"), ("Training", "train"), (" dev ", "dev"), ("val", "dev"), ("valid", "dev"),
        ("validation", "dev"), ("EVAL", "dev"), ("test", "test"), ("select", "select"), ("", None),
    ],
)  # fmt: skip
def test_splits_have_one_spelling(tmp_path: Path, given: str, split: str | None) -> None:
    path = write(tmp_path / "p.csv", f"question,query,set\nq,SELECT 1,{given}\n")
    assert read_pairs(path)[0].split == split


def test_another_split_is_refused_by_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "question,query,split\nq,SELECT 1,train\nq,SELECT 1,holdout\n")
    assert refused(path).startswith(f"{path}, row 3: has the split 'holdout'")


def test_synthetic_pairs_are_marked(tmp_path: Path) -> None:
    given = [True, "true", 1, "Yes", False, "false", 0, "", None]
    rows = [{"question": "q", "query": "SELECT 1", "synthetic": value} for value in given]
    pairs = read_pairs(write(tmp_path / "p.jsonl", as_lines(*rows)))
    assert [pair.synthetic for pair in pairs] == [True] * 4 + [False] * 5
    rows[2]["synthetic"] = "perhaps"
    assert "row 3: has 'perhaps' for synthetic" in refused(write(tmp_path / "p.jsonl", as_lines(*rows)))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "q"}, "has no query"),
        ({"query": "SELECT 1"}, "has no question"),
        ({"question": " \t", "query": "SELECT 1"}, "has no question"),
        ({"question": "q", "query": None}, "has no query"),
        ({"question": 3, "query": "SELECT 1"}, "its question is a number or truth value, not text"),
        ({"question": "q", "query": ["SELECT 1"]}, "its query is a list, not text"),
        ({"question": "q", "query": {"a": 1}}, "its query is an object, not text"),
        ({"question": "q", "query": "SELECT 1", "db_id": 7}, "its db_id is a number or truth value, not text"),
        ({"question": "q", "query": "SELECT '\x00'"}, "its query holds a NUL character"),
        ({"question": "q \ud83d", "query": "SELECT 1"}, "its question holds half a surrogate pair"),
        (["q", "SELECT 1"], "is a list, not an object"),
        (None, "is null, not an object"),
    ],
)
def test_a_bad_row_is_refused_by_its_number(tmp_path: Path, row: object, message: str) -> None:
    path = write(tmp_path / "p.json", json.dumps([GOOD | {"db_id": "zoo"}, row]))
    assert refused(path).startswith(f"{path}, row 2: {message}")
    path = write(tmp_path / "p.jsonl", "\n" + as_lines(GOOD | {"db_id": "zoo"}, row))
    assert refused(path).startswith(f"{path}, row 3: {message}")
