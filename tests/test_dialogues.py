"""Questions and answers as people write them down: `Q:` and `A:` text, and chats."""

from pathlib import Path
from typing import Any

import pytest
from test_pairs import as_lines, refused, texts, write, write_parquet

from data.imports.pairs import Pair, read_pairs


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
        Pair("c?", "SELECT 3", None, "dev", "chat.jsonl, row 2, turn 2", turn=2),
    ]


def test_what_tools_were_asked_and_said_is_passed_over(tmp_path: Path) -> None:
    calls = [
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "tables"}}]},
        {"role": "tool", "content": None, "tool_call_id": "1"},
        {"role": "function", "name": "tables", "content": "cat"},
    ]
    asked, *rest = chat(("user", "a?"), ("assistant", "SELECT 1"), ("user", "b?"), ("assistant", "SELECT 2"))
    path = write(tmp_path / "p.jsonl", as_lines({"messages": [asked, *calls, *rest]}))
    assert texts(read_pairs(path)) == [("a?", "SELECT 1"), ("b?", "SELECT 2")]
    assert [pair.turn for pair in read_pairs(path)] == [1, 2]


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
        (chat(("user", "a?"), ("critic", "x")), "message 2 has the role 'critic'"),
        (chat(("user", "a?"), ("tool", "x")), "the last question has no answer"),
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
