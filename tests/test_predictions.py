"""Golds and predictions from files: what is odd is reported by line, nothing is misaligned in silence."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserError
from data.predictions import Paired, read_pairs


def pairs(
    folder: Path, gold: bytes | str, predictions: bytes | str, names: tuple[str, str] = ("gold.sql", "pred.sql")
) -> Paired:
    paths = []
    for name, content in zip(names, (gold, predictions), strict=True):
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        paths.append(path)
    return read_pairs(*paths)


def lines(*items: Any) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def test_the_official_format_is_paired_line_by_line(tmp_path: Path) -> None:
    found = pairs(tmp_path, "SELECT 1\tshop\nSELECT  2\tzoo\n", "SELECT a\nSELECT b\tzoo\n")
    assert [(pair.id, pair.db_id, pair.gold, pair.predicted) for pair in found.pairs] == [
        ("line 1", "shop", "SELECT 1", "SELECT a"),
        ("line 2", "zoo", "SELECT  2", "SELECT b"),
    ]
    assert found.notes == ()


@pytest.mark.parametrize(
    ("gold", "predictions"),
    [
        ("SELECT 1\tshop\r\nSELECT 2\tshop\r\n", "SELECT a\r\nSELECT b\r\n"),
        ("SELECT 1\tshop\nSELECT 2\tshop", "SELECT a\nSELECT b"),
        ("SELECT 1\tshop\nSELECT 2\tshop\n\n\n", "SELECT a\nSELECT b\n\n"),
        ("\ufeffSELECT 1\tshop\nSELECT 2\tshop\n", "\ufeffSELECT a\nSELECT b\n"),
        ("SELECT 1\tshop\n\nSELECT 2\tshop\n", "SELECT a\n\nSELECT b\n"),  # the sessions of a dialogue
        ("SELECT 1\tshop\nSELECT 2\tshop\n", "SELECT a\nSELECT b\n\n\n"),
    ],
    ids=["CRLF", "no last line end", "empty lines at the end", "byte order mark", "sessions", "longer by empty lines"],
)  # fmt: skip
def test_harmless_differences_of_files_are_none(tmp_path: Path, gold: str, predictions: str) -> None:
    found = pairs(tmp_path, gold, predictions)
    assert [(pair.gold, pair.predicted) for pair in found.pairs] == [("SELECT 1", "SELECT a"), ("SELECT 2", "SELECT b")]
    assert found.notes == ()


def test_other_line_ends_do_not_part_a_line(tmp_path: Path) -> None:
    text = "SELECT 'a\x0bb\x0cc\x1cd\u2028e\x85f'"
    found = pairs(tmp_path, f"{text}\tshop\n", f"{text}\n")
    assert [(pair.gold, pair.predicted) for pair in found.pairs] == [(text, text)]


@pytest.mark.parametrize(
    ("predictions", "predicted", "note"),
    [
        (b"SELECT 1\nSELECT\r a\n", "SELECT  a", "line 2 holds a carriage return; it is read as a space"),
        (b"SELECT 1\n\n", "", "line 2 is an empty prediction; it scores 0"),
        (b"SELECT 1\n  \t \n", "", "line 2 is an empty prediction; it scores 0"),
        (b"SELECT 1\nSELECT '\xff'\n", "SELECT '\ufffd'", "line 2 is not valid UTF-8; the bad bytes are replaced"),
        (b"SELECT 1\nSELECT a\tzoo\n", "SELECT a", "line 2 goes on after a tab with 'zoo', which is not the gold's database"),
    ],
    ids=["carriage return", "empty", "blank", "bad UTF-8", "another database"],
)  # fmt: skip
def test_an_odd_prediction_is_reported_by_its_line(
    tmp_path: Path, predictions: bytes, predicted: str, note: str
) -> None:
    found = pairs(tmp_path, "SELECT 1\tshop\nSELECT 2\tshop\n", predictions)
    assert [pair.predicted for pair in found.pairs] == ["SELECT 1", predicted]
    assert len(found.notes) == 1
    assert f"pred.sql: {note}" in found.notes[0]


@pytest.mark.parametrize(
    ("gold", "predictions", "message"),
    [
        ("SELECT 1\tshop\nSELECT 2\tshop\n", "SELECT a\n", "has 2 lines and .* has 1: .*; the first without a partner is line 2 of .*gold.sql"),
        ("SELECT 1\tshop\n", "SELECT a\nSELECT b\n", "has 1 lines and .* has 2: .*; the first without a partner is line 2 of .*pred.sql"),
        ("SELECT 1\n", "SELECT a\n", "gold.sql: line 1 lacks the database"),
        ("SELECT 1\tshop\n\nSELECT 2\tshop\n", "SELECT a\nSELECT b\nSELECT c\n", "gold.sql: line 2 has an empty gold query, but line 2 of .*pred.sql holds a query"),
        ("", "SELECT a\n", "gold.sql: holds no gold queries"),
        ("\n\n", "\n\n", "gold.sql: holds no gold queries"),
    ],
    ids=["fewer", "more", "no database", "shifted", "empty", "only empty lines"],
)  # fmt: skip
def test_files_that_do_not_fit_are_refused(tmp_path: Path, gold: str, predictions: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pairs(tmp_path, gold, predictions)


def test_json_lines_are_paired_by_id_whatever_their_order(tmp_path: Path) -> None:
    gold = json.dumps([{"query": f"SELECT {place}", "db_id": "shop", "question": f"q{place}"} for place in range(2)])
    predictions = lines(*({"id": f"dev-{place}", "sql": f"SELECT {place}{place}"} for place in (1, 0, 7)))
    found = pairs(tmp_path, gold, predictions, ("dev.json", "predictions.jsonl"))
    assert [(pair.id, pair.gold, pair.predicted, pair.question) for pair in found.pairs] == [
        ("dev-0", "SELECT 0", "SELECT 00", "q0"),
        ("dev-1", "SELECT 1", "SELECT 11", "q1"),
    ]
    assert found.notes[0].endswith("1 predictions belong to no gold and are left out")


def test_json_without_ids_is_paired_in_order(tmp_path: Path) -> None:
    gold = lines({"gold": "SELECT 1", "db_id": "shop"}, {"gold": "SELECT 2", "db_id": "shop"})
    found = pairs(tmp_path, gold, json.dumps(["SELECT a", "SELECT b"]), ("gold.jsonl", "pred.json"))
    assert [(pair.id, pair.predicted) for pair in found.pairs] == [("line 1", "SELECT a"), ("line 2", "SELECT b")]


def test_predictions_may_carry_their_golds(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_text(lines({"id": "dev-0", "db_id": "shop", "gold": "SELECT 1", "sql": "SELECT 2"}), encoding="utf-8")
    (pair,) = read_pairs(None, path).pairs
    assert (pair.id, pair.gold, pair.predicted) == ("dev-0", "SELECT 1", "SELECT 2")
    with pytest.raises(UserError, match=r"pred.sql: holds predictions alone; name the gold queries with --gold"):
        read_pairs(None, tmp_path / "pred.sql")


@pytest.mark.parametrize(
    ("gold", "predictions", "message"),
    [
        ([{"id": "a", "query": "S", "db_id": "x"}, {"id": "b", "query": "S", "db_id": "x"}], [{"id": "a", "sql": "S"}], r"has no prediction for 1 of the 2 golds, the first b \(line 2 of"),
        ([{"id": "a", "query": "S", "db_id": "x"}], [{"id": "a", "sql": "S"}, {"id": "a", "sql": "T"}], "pred.jsonl: the id a occurs 2 times"),
        ([{"id": "a", "query": "S", "db_id": "x"}] * 2, [{"id": "a", "sql": "S"}] * 2, "gold.jsonl: the id a occurs 2 times"),
        ([{"id": "a", "query": "S"}], [{"id": "a", "sql": "S"}], "line 1 names no database"),
        ([{"id": "a", "question": "?", "db_id": "x"}], [{"id": "a", "sql": "S"}], "line 1 has no query under any of gold, gold_sql"),
        ([{"id": "a", "query": "S", "db_id": "x"}], [{"id": "a", "answer": "S"}], "line 1 has no query under any of pred, predicted"),
        ([{"id": "a", "query": "S", "db_id": "x"}], [{"id": "b", "sql": "S"}], "has no prediction for 1 of the 1 golds, the first a"),
        ([{"id": 1, "query": "S", "db_id": "x"}] * 1, [{"id": 1, "sql": "S"}, {"sql": "S"}], "pred.jsonl: line 2 has no id, though others have"),
        ([{"query": "S", "db_id": "x"}], [{"sql": "S", "db_id": "y"}], "line 1 is about the database 'y', its gold about 'x'"),
    ],
    ids=["missing", "twice", "gold twice", "no database", "no gold", "no prediction", "other ids", "some ids", "another database"],
)  # fmt: skip
def test_json_that_does_not_fit_is_refused(
    tmp_path: Path, gold: list[Any], predictions: list[Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pairs(tmp_path, lines(*gold), lines(*predictions), ("gold.jsonl", "pred.jsonl"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gold.json", "{", "gold.json: not valid JSON"),
        ("gold.json", '{"questions": []}', "gold.json: is not a list of entries"),
        ("gold.json", "3", "gold.json: is not a list of entries"),
        ("gold.json", "[" * 100_000, "gold.json: nested too deeply"),
        ("gold.jsonl", '{"gold": "S", "db_id": "x"}\n{', "gold.jsonl: line 2 is not valid JSON"),
    ],
)
def test_broken_json_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pairs(tmp_path, content, "SELECT a\n", (name, "pred.sql"))
    with pytest.raises(UserError, match=r"gone\.sql: no such file"):
        read_pairs(tmp_path / "gone.sql", tmp_path / "pred.sql")


def test_numbers_are_ids_too(tmp_path: Path) -> None:
    gold = lines(*({"question_id": place, "query": f"SELECT {place}", "db_id": "x"} for place in range(3)))
    for predictions in (
        lines(*({"question_id": place, "sql": f"SELECT {place}"} for place in (2, 0, 1))),
        lines(*({"id": str(place), "pred": f"SELECT {place}"} for place in (1, 2, 0))),
    ):
        found = pairs(tmp_path, gold, predictions, ("gold.jsonl", "pred.jsonl"))
        assert [pair.gold == pair.predicted for pair in found.pairs] == [True] * 3


def test_bird_s_predictions_are_read(tmp_path: Path) -> None:
    gold = json.dumps([{"question_id": place, "SQL": f"SELECT {place}", "db_id": "x"} for place in range(2)])
    predictions = json.dumps({str(place): f"SELECT {place}\t----- bird -----\tx" for place in (1, 0)})
    found = pairs(tmp_path, gold, predictions, ("dev.json", "predict_dev.json"))
    assert [(pair.gold, pair.predicted) for pair in found.pairs] == [("SELECT 0", "SELECT 0"), ("SELECT 1", "SELECT 1")]


@pytest.mark.parametrize(
    ("entry", "gold", "predicted"),
    [
        ({"sql": "G", "pred": "P"}, "G", "P"),
        ({"gold": "G", "sql": "P"}, "G", "P"),
        ({"gold": "G", "sql": "G", "pred": "P"}, "G", "P"),
        ({"query": "G", "sql": "P"}, "G", "P"),
        ({"query": "G", "pred": None}, "G", ""),
    ],
)
def test_one_key_is_never_gold_and_prediction(tmp_path: Path, entry: dict[str, Any], gold: str, predicted: str) -> None:
    path = tmp_path / "both.jsonl"
    path.write_text(lines(entry | {"db_id": "x"}), encoding="utf-8")
    (pair,) = read_pairs(None, path).pairs
    assert (pair.gold, pair.predicted) == (gold, predicted)
    path.write_text(lines({"query": "P", "db_id": "x"}), encoding="utf-8")
    with pytest.raises(UserError, match="line 1 has no query under any of gold"):
        read_pairs(None, path)


def test_only_the_reported_split_of_our_own_files_is_scored_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    entries = [
        {"id": f"{split}-0", "split": split, "db_id": "x", "gold": "G", "sql": "P"} for split in ("select", "dev")
    ]
    path.write_text(lines(*entries), encoding="utf-8")
    found = read_pairs(None, path)
    assert [pair.id for pair in found.pairs] == ["dev-0"]
    assert "of its 2 entries the 1 with split dev are scored; the others (select) are left out" in found.notes[0]


def test_half_a_surrogate_pair_is_replaced_and_noted(tmp_path: Path) -> None:
    found = pairs(tmp_path, "SELECT 1\tshop\n", json.dumps(["SELECT '\ud800'"]), ("gold.sql", "pred.json"))
    assert found.pairs[0].predicted == "SELECT '?'"
    assert "entry 1 holds half a surrogate pair" in found.notes[0]


def test_a_prediction_with_a_line_break_is_pointed_at(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 2 of .*pred\.sql begins no query: if predictions hold line breaks"):
        pairs(tmp_path, "SELECT 1\tshop\nSELECT 2\tshop\n", "SELECT a\nFROM t\nSELECT b\n")


def test_what_is_not_utf_8_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pred\.sql: is UTF-16; save it as UTF-8"):
        pairs(tmp_path, "SELECT 1\tshop\n", "SELECT 1\n".encode("utf-16"))
    (tmp_path / "folder.sql").mkdir()
    with pytest.raises(UserError, match=r"folder.sql: is a folder; give a file"):
        read_pairs(tmp_path / "gold.sql", tmp_path / "folder.sql")
