"""What users said of answers is kept line by line, whatever happens, and imported as pairs."""

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserError
from data.imports.pairs import read_pairs
from pipeline.corrections import keep_correction

Loraql = Callable[..., str]


def kept(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_verdict_is_a_line_with_all_that_import_needs(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder" / "corrections.jsonl"
    keep_correction(path, "shop", " Wie viele Käufe?\n", "SELECT count(*)\nFROM sale ", "good")
    keep_correction(path, "shop", "How many?", "SELECT 1", "fixed")
    first, second = kept(path)
    time = first.pop("time")
    assert time.startswith("20") and time.endswith("+00:00")
    assert first == {
        "question": "Wie viele Käufe?", "query": "SELECT count(*)\nFROM sale", "db_id": "shop", "verdict": "good",
    }  # fmt: skip
    assert second["verdict"] == "fixed"
    pairs = read_pairs(path)
    assert [(pair.question, pair.db_id, pair.verdict) for pair in pairs] == [
        ("Wie viele Käufe?", "shop", "good"), ("How many?", "shop", "fixed"),
    ]  # fmt: skip


def test_half_a_line_of_a_killed_process_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "corrections.jsonl"
    path.write_text('{"question": "cut', encoding="utf-8")
    keep_correction(path, "shop", "a", "SELECT 1", "good")
    keep_correction(path, "shop", "b", "SELECT 2", "good")
    torn, *lines = path.read_text(encoding="utf-8").split("\n")
    assert torn == '{"question": "cut'
    assert [json.loads(line)["question"] for line in lines if line] == ["a", "b"]
    with pytest.raises(UserError, match=r"corrections\.jsonl, row 1: not valid JSON"):
        read_pairs(path)


def test_many_at_once_come_between_no_line(tmp_path: Path) -> None:
    path = tmp_path / "corrections.jsonl"
    questions = [f"question {number} " + "x" * 5000 for number in range(20)]
    threads = [threading.Thread(target=keep_correction, args=(path, "shop", q, "SELECT 1", "good")) for q in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line["question"] for line in kept(path)) == sorted(questions)


@pytest.mark.parametrize(
    ("question", "sql", "what"),
    [
        (" ", "SELECT 1", "its question is empty"),
        ("a", "\n", "its SQL is empty"),
        ("a\ud800", "SELECT 1", "surrogate"),
        ("a", "SELECT '\x00'", "NUL"),
    ],
)
def test_what_import_could_not_read_is_refused(tmp_path: Path, question: str, sql: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        keep_correction(tmp_path / "corrections.jsonl", "shop", question, sql, "good")
    assert not (tmp_path / "corrections.jsonl").exists()


def test_where_nothing_can_be_written_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "file" / "corrections.jsonl", tmp_path / "folder", tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UserError, match="the correction cannot be kept: ") as caught:
            keep_correction(path, "shop", "a", "SELECT 1", "good")
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match="permission denied"):
        keep_correction(tmp_path / "corrections.jsonl", "shop", "a", "SELECT 1", "good")


def test_import_takes_the_last_verdict_on_a_question(
    loraql: Loraql, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = sqlite3.connect("shop.sqlite")
    database.executescript(
        "CREATE TABLE sale (id INTEGER PRIMARY KEY, price REAL); INSERT INTO sale VALUES (1, 2), (2, 5);"
    )
    database.close()
    path = Path("corrections.jsonl")
    said = [
        ("How many sales?", "SELECT max(id) FROM sale", "good"),
        ("The dearest?", "SELECT max(price) FROM sale", "good"),
        ("how many sales", "SELECT count(*) FROM sale", "fixed"),
        ("All ids?", "SELECT id FROM sale", "good"),
        ("Prices in order?", "SELECT price FROM sale ORDER BY price", "fixed"),
        ("What costs more than 2?", "SELECT id FROM sale WHERE price > 2", "good"),
    ]
    for question, sql, verdict in said:
        keep_correction(path, "shop", question, sql, verdict)  # type: ignore[arg-type]
    shown = loraql("import", path, "--db", "shop.sqlite", "--name", "my-shop", "--base", tiny_model, "--workers", 1)
    assert "1 left out (corrections.jsonl, row 1): a later verdict on its question stands" in shown
    queries = {
        entry["question"]: entry["query"]
        for split in ("train", "select", "dev")
        for entry in json.loads(Path(f"data/raw/my-shop/{split}.json").read_text(encoding="utf-8"))
    }
    assert queries == {question: sql for question, sql, _ in said[1:]}
    # A column of this name with other words in it is no business of ours.
    shutil.rmtree("data")
    lines = [json.loads(line) | {"verdict": "ok"} for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    again = loraql("import", path, "--db", "shop.sqlite", "--name", "my-shop", "--base", tiny_model, "--workers", 1)
    assert "a later verdict" not in again
