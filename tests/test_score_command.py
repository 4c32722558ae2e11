"""`loraql score` and `loraql compare` on files, as a user of another system has them."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Loraql = Callable[..., str]

GOLD = [
    ("SELECT name FROM pet", "zoo"),
    ("SELECT DISTINCT kind FROM pet WHERE age >= 3", "zoo"),
    ("SELECT count(*) FROM pet GROUP BY kind ORDER BY count(*) DESC LIMIT 1", "zoo"),
    ("SELECT nope FROM pet", "zoo"),
    ("SELECT name FROM keeper", "farm"),
]
FIRST = ["SELECT name FROM pet", "SELECT kind FROM pet WHERE age>=3", "SELEC", "SELECT name FROM pet", ""]
SECOND = ["SELECT name FROM pet", "SELECT kind FROM pet", GOLD[2][0], "SELECT 1", "SELECT name FROM keeper"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gold file, two prediction files and a folder of databases, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, script in {
        "zoo": "CREATE TABLE pet (name TEXT, kind TEXT, age INT);"
        "INSERT INTO pet VALUES ('Rex', 'dog', 3), ('Tom', 'cat', 5), ('Ada', 'dog', 7), ('Kim', 'hen', 1);",
        "farm": "CREATE TABLE keeper (name TEXT); INSERT INTO keeper VALUES ('Jo');",
    }.items():
        folder = tmp_path / "database" / name
        folder.mkdir(parents=True)
        connection = sqlite3.connect(folder / f"{name}.sqlite")
        connection.executescript(script)
        connection.close()
    Path("gold.sql").write_text("".join(f"{sql}\t{name}\n" for sql, name in GOLD), encoding="utf-8")
    for name, predictions in (("first", FIRST), ("second", SECOND)):
        Path(f"{name}.sql").write_text("".join(f"{sql}\n" for sql in predictions), encoding="utf-8")
    return tmp_path


def score(loraql: Loraql, name: str, *more: str, code: int = 0) -> str:
    return loraql(
        "score", "--gold", "gold.sql", "--pred", f"{name}.sql", "--db", "database", "--out", f"scores/{name}", *more, code=code
    )  # fmt: skip


def read(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder = Path("scores", name)
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads((folder / "scores.json").read_text(encoding="utf-8")), [json.loads(line) for line in lines]


def test_scores_are_counts_with_intervals_and_a_manifest(loraql: Loraql, files: Path) -> None:
    shown = score(loraql, "first")
    scores, lines = read("first")
    assert [scores[key] for key in ("n", "ex", "ex_keep_distinct", "em", "em_semantic")] == [4, 2, 1, 1, 2]
    assert {level: (group["n"], group["ex"]) for level, group in scores["by_hardness"].items()} == {
        "easy": (3, 2),
        "hard": (1, 0),
    }
    assert [(line["ex"], line["ex_keep_distinct"], line["em"], line["em_semantic"]) for line in lines] == [
        (1, 1, 1, 1),
        (1, 0, 0, 1),
        (0, 0, 0, 0),
        (0, 0, 0, 0),
        (0, 0, 0, 0),
    ]
    assert [line["category"] for line in lines] == ["correct", "correct", "syntax", "gold_failed", "no_sql"]
    assert all(line["hardness"] in ("easy", "medium", "hard", "extra") for line in lines)
    assert all(isinstance(line["ms"], float) for line in lines)
    assert set(scores["manifest"]["databases"]) == {"zoo", "farm"}
    assert scores["manifest"]["limits"]["seconds"] == 5.0
    assert scores["manifest"]["sqlite"] == sqlite3.sqlite_version
    assert "line 4 (zoo): its gold query failed (no_such_column: no such column: nope); it is not counted" in shown
    assert "first.sql: line 5 is an empty prediction; it scores 0" in shown
    assert "EX: 2 of 4, 50.0%" in shown
    assert "Partial matching F1" in shown
    assert "<html" in Path("scores/first/report.html").read_text(encoding="utf-8")
    assert not list(Path("scores").rglob("*.partial"))


def test_the_same_files_give_the_same_scores(loraql: Loraql, files: Path) -> None:
    seen = []
    for _ in range(2):
        score(loraql, "first", "--workers", "2")
        scores, lines = read("first")
        seen.append((scores, [{key: value for key, value in line.items() if key != "ms"} for line in lines]))
    assert seen[0] == seen[1]


def test_scoring_needs_neither_torch_nor_its_company(files: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'peft', 'trl', 'datasets', 'bitsandbytes', 'accelerate'): sys.modules[name] = None\n"
        "from pipeline.cli import main\n"
        "sys.exit(main(['score', '--gold', 'gold.sql', '--pred', 'first.sql', '--db', 'database', '--out', 'out']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path("out/scores.json").is_file()


def test_other_files_in_a_database_folder_make_a_test_suite(loraql: Loraql, files: Path) -> None:
    connection = sqlite3.connect("database/zoo/fuzz-01.sqlite")
    connection.executescript(
        "CREATE TABLE pet (name TEXT, kind TEXT, age INT); INSERT INTO pet VALUES ('Rex', 'dog', 1), ('Tom', 'cat', 5);"
    )
    connection.close()
    lucky = [*SECOND[:2], "SELECT 2", *SECOND[3:]]  # right on the original by chance
    Path("second.sql").write_text("".join(f"{sql}\n" for sql in lucky), encoding="utf-8")
    shown = score(loraql, "second")
    scores, lines = read("second")
    assert (scores["ex"], scores["ts"]) == (3, 2)
    assert [line.get("ts") for line in lines] == [1, 0, 0, 0, None]
    assert "TS: 2 of 4" in shown


def test_foreign_keys_are_found_beside_the_databases(loraql: Loraql, files: Path) -> None:
    assert "foreign keys for EM: from the SQLite files" in score(loraql, "first")
    Path("tables.json").write_text("[]", encoding="utf-8")
    assert "foreign keys for EM: tables.json" in score(loraql, "first")
    assert "foreign keys for EM: tables.json" in loraql(
        "score", "--pred", "scores/first/predictions.jsonl", "--db", ".", "--out", "scores/again"
    )
    assert read("again")[0]["ex"] == 2


def test_timings_and_plugged_values_are_named(loraql: Loraql, files: Path) -> None:
    shown = score(loraql, "first", "--timings", "2", "--plug-value")
    assert "VES: " in shown
    assert "plug_value: a prediction also passed" in shown
    scores, _ = read("first")
    assert (scores["manifest"]["plug_value"], scores["manifest"]["timings"]) == (True, 2)
    assert scores["ves"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--pred", "gone.sql"], 1, "gone.sql: no such file"),
        (["--db", "nowhere"], 1, "--db nowhere: no such folder; give the folder of databases"),
        (["--db", "gold.sql"], 1, "--db gold.sql: is a file; give the folder of databases"),
        (["--db", "database/zoo"], 1, "holds none of the databases that the gold file names (2) as NAME/NAME.sqlite, for instance farm/farm.sqlite"),
        (["--seconds", "inf"], 2, "--seconds"),
        (["--out", "gold.sql"], 2, "--out gold.sql: is a file; give a folder"),
        (["--tables", "gold.sql"], 1, "gold.sql: not in the layout of Spider's tables.json"),
        (["--tables", "gone.json"], 1, "gone.json: no such file"),
        (["--workers", "0"], 2, "--workers"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(loraql: Loraql, files: Path, arguments: list[str], code: int, message: str) -> None:
    given = {"--gold": "gold.sql", "--pred": "first.sql", "--db": "database", "--out": "scores/first"}
    given |= {arguments[0]: arguments[1]}
    error = loraql("score", *(word for pair in given.items() for word in pair), code=code)
    assert message in error
    assert error.count("\n") == 1
    assert not Path("scores").exists()


def test_a_database_name_that_is_a_path_is_refused(loraql: Loraql, files: Path) -> None:
    Path("gold.sql").write_text("SELECT 1\t../database/zoo\n", encoding="utf-8")
    Path("first.sql").write_text("SELECT 1\n", encoding="utf-8")
    assert "is not a plain name" in score(loraql, "first", code=1)


def test_a_comparison_says_what_was_won_and_lost(loraql: Loraql, files: Path) -> None:
    score(loraql, "first")
    score(loraql, "second")
    shown = loraql("compare", "scores/first", "scores/second", "--out", "scores/compared")
    assert "second against first, 4 questions" in shown
    assert "within what luck could do" in shown
    assert "won: 2" in shown
    assert "lost: 1" in shown
    figures = json.loads(Path("scores/compared/compare.json").read_text(encoding="utf-8"))["metrics"]
    assert {key: figures["ex"][key] for key in ("won", "lost", "both", "neither")} == {
        "won": 2,
        "lost": 1,
        "both": 1,
        "neither": 0,
    }
    assert "<html" in Path("scores/compared/report.html").read_text(encoding="utf-8")
    by_file = loraql("compare", "scores/first/predictions.jsonl", "scores/second")
    assert "won: 2" in by_file


def test_what_cannot_be_compared_is_refused_or_noted(loraql: Loraql, files: Path) -> None:
    score(loraql, "first")
    score(loraql, "second", "--seconds", "1")
    assert "note: the limits of the sandbox differ" in loraql("compare", "scores/first", "scores/second")
    score(loraql, "second", "--plug-value")
    error = loraql("compare", "scores/first", "scores/second", code=1)
    assert (
        "first and second (5 questions and 5 questions) cannot be compared: the setting plug_value differs; " in error
    )
    score(loraql, "second")
    connection = sqlite3.connect("database/zoo/zoo.sqlite")
    connection.executescript("INSERT INTO pet VALUES ('Bo', 'hen', 2)")
    connection.close()
    score(loraql, "first")
    assert "cannot be compared: the databases differ; score both on the same gold file and databases" in loraql(
        "compare", "scores/first", "scores/second", code=1
    )
    Path("scores/first/scores.json").unlink()
    assert "note: first has no manifest in a scores.json beside it" in loraql(
        "compare", "scores/first", "scores/second"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", "nowhere: neither a folder with scores, nor a run under runs, nor a predictions.jsonl"),
        ("first.sql", "first.sql: is not scored yet; run `loraql score --gold GOLD --pred first.sql --db DIR --out OUT`"),
        ("raw.jsonl", "raw.jsonl: line 1 lacks 'id'; is it scored?"),
        ("scores/first/scores.json", "scores.json: give the folder that it is in, scores/first"),
    ],
)  # fmt: skip
def test_what_is_not_scored_cannot_be_compared(loraql: Loraql, files: Path, given: str, message: str) -> None:
    score(loraql, "first")
    Path("raw.jsonl").write_text('{"sql": "SELECT 1"}\n', encoding="utf-8")
    assert message in loraql("compare", "scores/first", given, code=1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1", "is no object"),
        ("null", "is no object"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"id": ["a"]}', "lacks 'id'"),
        ({"ex": "x"}, "lacks 'ex'"),
        ({"question": 5}, "has an odd 'question'"),
        ({"hardness": "soft"}, "has a hardness, category or feature that is not known"),
        ({"features": ["magic"]}, "has a hardness, category or feature that is not known"),
        ({"components": {"select": []}}, "has odd components"),
        ({}, "the id line 1 occurs twice"),
    ],
)  # fmt: skip
def test_an_odd_record_is_named_by_its_line(loraql: Loraql, files: Path, line: Any, message: str) -> None:
    score(loraql, "first")
    score(loraql, "second")
    path = Path("scores/second/predictions.jsonl")
    first, second, *rest = path.read_text(encoding="utf-8").splitlines()
    odd = line if isinstance(line, str) else json.dumps((json.loads(first) if not line else json.loads(second)) | line)
    path.write_text("\n".join([first, odd, *rest]) + "\n", encoding="utf-8")
    error = loraql("compare", "scores/first", "scores/second", "--out", "scores/compared", code=1)
    assert "line 2" in error
    assert message in error


@pytest.mark.parametrize("content", ["[]", "null", '{"manifest": [1]}', '{"splits": null}', '{"splits": {"dev": 1}}'])
def test_an_odd_manifest_is_none(loraql: Loraql, files: Path, content: str) -> None:
    score(loraql, "first")
    score(loraql, "second")
    Path("scores/second/scores.json").write_text(content, encoding="utf-8")
    assert "note: second has no manifest" in loraql("compare", "scores/first", "scores/second")


def test_golds_that_all_fail_end_in_no_traceback(loraql: Loraql, files: Path) -> None:
    Path("gold.sql").write_text("SELECT nope FROM pet\tzoo\n", encoding="utf-8")
    Path("first.sql").write_text("SELECT 1\n", encoding="utf-8")
    shown = score(loraql, "first")
    assert "NOT COUNTED: 1 of 1, whose gold could not be run here" in shown
    assert read("first")[0]["n"] == 0


def test_a_missing_or_broken_database_costs_only_its_questions(loraql: Loraql, files: Path) -> None:
    Path("database/farm/farm.sqlite").write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    shown = score(loraql, "second")
    assert "cannot read the schema" in shown
    assert read("second")[0]["n"] == 3
    Path("database/farm/farm.sqlite").unlink()
    shown = score(loraql, "second")
    assert "note: farm: no database file; its 1 questions are not counted" in shown
    assert "NOT COUNTED: 2 of 5" in shown


def test_odd_results_can_be_written(loraql: Loraql, files: Path) -> None:
    Path("first.json").write_text(
        json.dumps(["SELECT '\ud800'", "SELECT 9e999", "SELECT 1", "SELECT 1", None]), encoding="utf-8"
    )
    loraql("score", "--gold", "gold.sql", "--pred", "first.json", "--db", "database", "--out", "scores/first", code=1)
    entries = [{"sql": sql} for sql in ("SELECT '\ud800'", "SELECT 9e999", "SELECT 1", "SELECT 1", None)]
    Path("first.json").write_text(json.dumps(entries), encoding="utf-8")
    loraql("score", "--gold", "gold.sql", "--pred", "first.json", "--db", "database", "--out", "scores/first")
    _, lines = read("first")
    assert lines[1]["predicted_result"]["rows"] == [["inf"]]
    assert "Infinity" not in Path("scores/first/predictions.jsonl").read_text(encoding="utf-8")


def test_nothing_that_is_read_is_overwritten(loraql: Loraql, files: Path) -> None:
    score(loraql, "first")
    before = Path("scores/first/predictions.jsonl").read_bytes()
    error = loraql(
        "score", "--pred", "scores/first/predictions.jsonl", "--db", "database", "--out", "scores/first", code=2
    )
    assert "would overwrite scores/first/predictions.jsonl, which is read" in error
    assert Path("scores/first/predictions.jsonl").read_bytes() == before
    Path("scores/first/mine.partial").write_text("mine", encoding="utf-8")
    assert "note: scores/first holds earlier scores; they are replaced" in score(loraql, "first")
    assert Path("scores/first/mine.partial").read_text(encoding="utf-8") == "mine"
