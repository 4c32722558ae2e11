"""Pairs from every format: the same pairs whatever the file, and one line naming file and row for a bad one."""

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from data.errors import UserError
from data.imports.pairs import Pair, read_pairs
from data.imports.rows import split_source

ROWS = [
    {"question": "How many cats?", "query": "SELECT count(*) FROM cat;", "db_id": "zoo", "split": "train"},
    {"question": "Which cats, über 3?", "query": "SELECT name\nFROM cat WHERE a = ','", "db_id": "zoo", "split": "dev"},
]
TEXTS = [(row["question"], row["query"]) for row in ROWS]


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    from io import StringIO

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
        ("pairs.csv", as_csv(ROWS).replace("\r\n", "\n").replace("zoo,train\n", "zoo,train\n\n\n")),
        ("pairs.tsv", as_csv(ROWS, "\t")),
        ("pairs.json", json.dumps(ROWS, indent=1)),
        ("pairs.json", json.dumps({"version": 1, "data": ROWS, "tags": []})),
        ("pairs.json", as_lines(*ROWS)),
        ("pairs.jsonl", "\ufeff" + as_lines(*ROWS).replace("\n", "\r\n")),
    ],
    ids=["CSV", "mark", "semicolons", "empty lines", "TSV", "list", "list inside", "lines in .json", "JSON lines"],
)
def test_a_file_gives_the_same_pairs_whatever_its_format(tmp_path: Path, name: str, content: str) -> None:
    pairs = read_pairs(write(tmp_path / name, content))
    assert pairs == [
        Pair(*TEXTS[0], "zoo", "train", f"{name}, row 1"),
        Pair(*TEXTS[1], "zoo", "dev", f"{name}, row 2"),
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


def test_a_source_is_a_file_and_what_is_meant_in_it() -> None:
    assert split_source("a/b.sqlite::SELECT q FROM t") == (Path("a/b.sqlite"), "SELECT q FROM t")
    assert split_source(Path("a/b.sqlite::pairs")) == (Path("a/b.sqlite"), "pairs")
    assert split_source("a/b.csv") == (Path("a/b.csv"), None)


def test_a_question_and_answer_text_may_span_lines(tmp_path: Path) -> None:
    text = "\n".join(
        [
            "# Cats",
            "",
            "Q: How many",
            "cats?",
            "A: SELECT count(*)",
            "FROM cat",
            "",
            "**Question:** Which?",
            "",
            "**Answer:**",
            "",
            "```sql",
            "SELECT name",
            "",
            "-- Q: none",
            "FROM cat;",
            "```",
            "---",
            "q: Any?",
            "a: SELECT 1",
            "Q: More?",
            "SQL: SELECT 2",
        ]
    )
    for name, content in [("p.md", text), ("p.txt", text.replace("\n", "\r\n"))]:
        pairs = read_pairs(write(tmp_path / name, content))
        assert texts(pairs) == [
            ("How many\ncats?", "SELECT count(*)\nFROM cat"),
            ("Which?", "SELECT name\n\n-- Q: none\nFROM cat;"),
            ("Any?", "SELECT 1"),
            ("More?", "SELECT 2"),
        ]
        assert [pair.place for pair in pairs] == [f"{name}, row {line}" for line in (3, 8, 19, 21)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q: a\nA: SELECT 1\n\nQ: b\n\nQ: c\nA: SELECT 2", "row 4: a question without an `A:`"),
        ("Q: a\nA: SELECT 1\n\nQ: b", "row 4: a question without an `A:`"),
        ("Q: a\nA: SELECT 1\nA: SELECT 2", "row 3: an answer without a `Q:`"),
        ("A: SELECT 1", "row 1: an answer without a `Q:`"),
        ("Q: a\nA: SELECT 1\n\nFROM t", "row 4: belongs to no pair"),
        ("Q:\nA: SELECT 1", "row 1: has no question"),
        ("Q: a\nA:\n", "row 1: has no query"),
        ("question,query\na,SELECT 1", "row 1: belongs to no pair"),
        ("", "holds no pairs"),
        ("# Title\n", "holds no pairs"),
    ],
)
def test_a_text_in_which_something_is_left_over_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(write(tmp_path / "p.txt", text))


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
    assert read_pairs(path, columns) == [Pair("Wie viele?", "SELECT 1", "zoo", None, "p.csv, row 1")]
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
    assert refused(path).startswith(f"{path}, row 2: has the split 'holdout'")


def test_synthetic_pairs_are_marked(tmp_path: Path) -> None:
    given = [True, "true", 1, "Yes", False, "false", 0, "", None]
    rows = [{"question": "q", "query": "SELECT 1", "synthetic": value} for value in given]
    pairs = read_pairs(write(tmp_path / "p.jsonl", as_lines(*rows)))
    assert [pair.synthetic for pair in pairs] == [True] * 4 + [False] * 5
    rows[2]["synthetic"] = "perhaps"
    assert "row 3: has 'perhaps' for synthetic" in refused(write(tmp_path / "p.jsonl", as_lines(*rows)))


def chat(*messages: tuple[str, Any], names: tuple[str, str] = ("role", "content")) -> list[dict[str, Any]]:
    return [{names[0]: role, names[1]: text} for role, text in messages]


def test_a_chat_gives_a_pair_a_turn(tmp_path: Path) -> None:
    answer = "Sure:\n```sql\nSELECT 2\n```\nIt counts."
    one = {"messages": chat(("system", "You write SQL."), ("user", "a?"), ("assistant", "SELECT 1")), "db_id": "zoo"}
    two = {"messages": chat(("user", "b?"), ("assistant", answer), ("user", "c?"), ("assistant", "SELECT 3"))}
    path = write(tmp_path / "chat.jsonl", as_lines(one, two | {"split": "val"}))
    assert read_pairs(path) == [
        Pair("a?", "SELECT 1", "zoo", None, "chat.jsonl, row 1"),
        Pair("b?", "SELECT 2", None, "dev", "chat.jsonl, row 2, turn 1"),
        Pair("c?", "SELECT 3", None, "dev", "chat.jsonl, row 2, turn 2"),
    ]


def test_other_spellings_of_chats_are_read(tmp_path: Path) -> None:
    shared = chat(("system", "s"), ("human", "a?"), ("gpt", "```SELECT 1```"), names=("from", "value"))
    parts = chat(("user", [{"type": "text", "text": "a?"}]), ("assistant", [{"type": "text", "text": "SELECT 1"}]))
    for name, row in [
        ("conversations", shared),
        ("messages", parts),
        ("Messages", chat(("user", "a?"), ("model", "SELECT 1"))),
    ]:
        assert texts(read_pairs(write(tmp_path / "p.jsonl", as_lines({"id": 1, name: row})))) == [("a?", "SELECT 1")]
    rows = [{"conversations": shared}]
    assert texts(read_pairs(write_parquet(tmp_path / "p.parquet", rows))) == [("a?", "SELECT 1")]


@pytest.mark.parametrize(
    ("answer", "query"),
    [
        ("```sql\nSELECT 1\n```", "SELECT 1"),
        ("```\nSELECT 1;\n```", "SELECT 1;"),
        ("```sql SELECT 1```", "SELECT 1"),
        ("```SELECT\n1```", "SELECT\n1"),
        ("```postgresql\nSELECT 1\n```\n```\nSELECT 2\n```", "SELECT 1"),
        ("Here:\n```sqlite\nSELECT 1", "SELECT 1"),
        ("SELECT `a` FROM t", "SELECT `a` FROM t"),
    ],
)
def test_sql_is_taken_out_of_its_fence(tmp_path: Path, answer: str, query: str) -> None:
    row = {"messages": chat(("user", "a?"), ("assistant", answer))}
    assert texts(read_pairs(write(tmp_path / "p.jsonl", as_lines(row)))) == [("a?", query)]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "holds no messages"),
        ("hello", "holds no messages"),
        (None, "holds no messages"),
        (chat(("user", "a?")), "the last question has no answer"),
        (chat(("system", "s")), "holds no question with an answer"),
        (chat(("assistant", "SELECT 1"), ("user", "a?")), "message 1 (assistant) is out of turn"),
        (chat(("user", "a?"), ("user", "b?"), ("assistant", "SELECT 1")), "message 2 (user) is out of turn"),
        (chat(("user", "a?"), ("tool", "x")), "message 2 has the role 'tool'"),
        (chat(("user", 3), ("assistant", "x")), "message 1 lacks"),
        (["a?", "SELECT 1"], "message 1 lacks"),
        (chat(("user", "a?"), ("assistant", " ")), "has no query"),
        (chat(("user", "a?"), ("assistant", "```sql\n```")), "has no query"),
        (chat(("user", ""), ("assistant", "SELECT 1")), "has no question"),
    ],
)
def test_a_chat_without_turns_is_refused_by_its_row(tmp_path: Path, messages: object, message: str) -> None:
    good = {"messages": chat(("user", "a?"), ("assistant", "SELECT 1"))}
    path = write(tmp_path / "p.jsonl", as_lines(good, {"messages": messages}))
    assert refused(path).startswith(f"{path}, row 2: {message}")


GOOD = {"question": "q", "query": "SELECT 1"}


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


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "question,query\nq,SELECT 1\nq,SELECT a, b\n", ", row 2: has 3 cells where the header has 2"),
        ("p.csv", "question,query\nq,SELECT 1\nq\n", ", row 2: has 1 cells where the header has 2"),
        ("p.csv", 'question,query\nq,SELECT 1\nq,"SELECT 1\n', ", row 2: not valid CSV: unexpected end of data"),
        ("p.csv", 'question,query\nq,"SELECT" 1\n', ", row 1: not valid CSV"),
        ("p.csv", 'question,"query\n', ": not valid CSV"),
        ("p.csv", "question,query\nq,\n", ", row 1: has no query"),
        ("p.csv", "question,query,query\nq,a,b\n", ": has two columns named 'query'"),
        ("p.csv", "question,query\n", ": holds no pairs"),
        ("p.csv", "", ": holds no pairs"),
        ("p.csv", "q1,SELECT 1\nq2,SELECT 2\n", ": no column for the question"),
        ("p.csv", b"question,query\nq,SELECT 1\n\xff\xfeq,SELECT 1\n", ", line 3: is not valid UTF-8"),
        ("p.csv", "question,query\nq,1\n".encode("utf-16"), ": is UTF-16"),
        ("p.csv", "question,query\nq,1\n".encode("utf-16-le"), ", line 1: holds a NUL byte"),
        ("p.csv", "question,query\nq,SELECT\0 1\n", ", line 2: holds a NUL byte"),
        ("p.tsv", "question\tquery\nq\tSELECT\t1\n", ", row 1: has 3 cells"),
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
        ("WITH a AS (SELECT 1) DELETE FROM pairs", "attempt to write a readonly database"),
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


def test_a_folder_of_data_files_is_split_by_their_names(tmp_path: Path) -> None:
    row = as_csv([GOOD])
    names = [
        "data/train-00000-of-00002.csv",
        "data/train-00001-of-00002.csv",
        "dev.csv",
        "spider_validation.csv",
        "test/0000.csv",
    ]
    for name in [*names, "testimonials.csv", ".hidden/train.csv"]:
        write(tmp_path / name, row)
    write(tmp_path / "select.jsonl", as_lines(GOOD | {"split": "train"}, GOOD))
    write(tmp_path / "dataset_info.json", "{}")
    write(tmp_path / "README.md", "# About")
    pairs = read_pairs(tmp_path)
    assert {pair.place: pair.split for pair in pairs} == {
        "data/train-00000-of-00002.csv, row 1": "train",
        "data/train-00001-of-00002.csv, row 1": "train",
        "dev.csv, row 1": "dev",
        "spider_validation.csv, row 1": "dev",
        "test/0000.csv, row 1": "test",
        "testimonials.csv, row 1": None,
        "select.jsonl, row 1": "train",
        "select.jsonl, row 2": "select",
    }
    path = write(tmp_path / "data" / "bad.csv", "question,query\nq,\n")
    assert refused(tmp_path) == f"{path}, row 1: has no query"


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "README.md", "Q: a\nA: SELECT 1")
    assert "holds no data files" in refused(tmp_path)


def test_a_saved_data_set_is_read_with_its_splits(tmp_path: Path) -> None:
    rows = [{"question": text, "query": f"SELECT '{text}'", "db_id": "zoo"} for text in "abcd"]
    dataset = datasets.Dataset.from_list(rows)
    dataset.select([3, 1]).save_to_disk(tmp_path / "one")
    found = [(pair.question, pair.split, pair.place) for pair in read_pairs(tmp_path / "one")]
    assert found == [("d", None, "one, row 1"), ("b", None, "one, row 2")]
    parts = {"train": dataset.select([0, 1]), "validation": dataset.select([2]), "extra": dataset.select([3])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "many")
    found = [(pair.question, pair.split, pair.place) for pair in read_pairs(tmp_path / "many")]
    assert found == [
        ("a", "train", "many/train, row 1"),
        ("b", "train", "many/train, row 2"),
        ("c", "dev", "many/validation, row 1"),
        ("d", None, "many/extra, row 1"),
    ]


def test_a_broken_saved_data_set_is_one_line(tmp_path: Path) -> None:
    for name, damage in [
        ("cut", lambda folder: next(folder.glob("*.arrow")).write_bytes(b"ARROW1")),
        ("gone", lambda folder: next(folder.glob("*.arrow")).unlink()),
        ("text", lambda folder: (folder / "state.json").write_text("no")),
        ("list", lambda folder: (folder / "state.json").write_text("[]")),
        ("keys", lambda folder: (folder / "state.json").write_text("{}")),
        ("info", lambda folder: (folder / "dataset_info.json").write_text('{"features": {"a": {"_type": "Evil"}}}')),
    ]:
        datasets.Dataset.from_list([GOOD]).save_to_disk(tmp_path / name)
        damage(tmp_path / name)
        assert refused(tmp_path / name).startswith(f"{tmp_path / name}: not readable as a saved data set"), name
    datasets.Dataset.from_list([GOOD, {"question": "", "query": "s"}]).save_to_disk(tmp_path / "row")
    assert refused(tmp_path / "row") == f"{tmp_path / 'row'}, row 2: has no question"


def test_no_code_of_a_data_set_is_executed(tmp_path: Path) -> None:
    folder, mark = tmp_path / "pairs", tmp_path / "ran"
    write(folder / "train.csv", as_csv(ROWS))
    for name in ("pairs.py", "__init__.py", "dataset.py"):
        write(folder / name, f"open({str(mark)!r}, 'w')")
    assert texts(read_pairs(folder)) == TEXTS
    datasets.Dataset.from_list(ROWS).save_to_disk(folder)
    assert texts(read_pairs(folder)) == TEXTS
    assert not mark.exists()


def test_an_sqlite_file_with_changes_beside_it_is_not_read_without_them(tmp_path: Path) -> None:
    path = write_sqlite(tmp_path / "log.sqlite", ROWS)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            connection.execute("INSERT INTO pairs VALUES ('q', 'SELECT 1', 'zoo', 'train')")
        assert refused(path).startswith(f"{path}: log.sqlite-wal holds changes of it")
    assert len(read_pairs(path)) == 3
