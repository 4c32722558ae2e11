"""Fuzzed databases keep every key, never run a trigger, and tell golds from their neighbours."""

import fcntl
import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from data import embedded
from data.errors import UsageError, UserError
from data.schema import read_sqlite
from eval.cover import Candidate, Mutant, choose
from eval.facts import facts
from eval.fuzz import fuzz
from eval.pool import Sandbox
from eval.sandbox import Limits
from eval.source import read_source
from eval.suite import Settings, distill
from pipeline import console
from pipeline.suite import LOCK, suite

ODD = """
CREATE TABLE "order" ("first name" TEXT NOT NULL, "group" INTEGER, at DATE, PRIMARY KEY ("first name", "group")) WITHOUT ROWID;
CREATE TABLE "Line ""2"" x" (id INTEGER PRIMARY KEY, owner TEXT, "select" INT, price REAL CHECK (price >= 0),
  twice REAL GENERATED ALWAYS AS (price * 2) STORED, code TEXT UNIQUE NOT NULL,
  FOREIGN KEY (OWNER, "Select") REFERENCES "ORDER" ("first name", "group"));
CREATE TABLE chick (id INTEGER PRIMARY KEY, egg INT REFERENCES egg, twin INT REFERENCES chick (id));
CREATE TABLE egg (id INTEGER PRIMARY KEY, chick INT NOT NULL REFERENCES chick);
CREATE UNIQUE INDEX one_twin ON chick (twin);
CREATE TABLE log (what TEXT);
CREATE VIEW cheap AS SELECT id, price FROM "Line ""2"" x" WHERE price < 10;
INSERT INTO "order" VALUES ('Ann', 1, '2024-01-01'), ('Ann', 2, NULL), ('Bob', 1, '2024-02-01');
INSERT INTO "Line ""2"" x" (id, owner, "select", price, code) VALUES (1, 'Ann', 1, 2.5, 'x'), (2, 'Bob', 1, 30, 'y'), (3, NULL, 2, 7, 'z');
INSERT INTO chick VALUES (1, NULL, NULL); INSERT INTO egg VALUES (1, 1); UPDATE chick SET egg = 1;
CREATE TRIGGER spy AFTER INSERT ON "Line ""2"" x" BEGIN INSERT INTO log VALUES ('ran'); END;
CREATE TRIGGER bar BEFORE DELETE ON chick BEGIN SELECT RAISE(ABORT, 'no'); END;
"""
ODD_GOLDS = [
    'SELECT "first name" FROM "order" WHERE "group" > 1',
    'SELECT T1.at, T2.price FROM "order" AS T1 JOIN "Line ""2"" x" AS T2 ON T1."first name" = T2.owner AND T1."group" = T2."select"',
    'SELECT count(*) FROM "Line ""2"" x" WHERE twice > 10',
    "SELECT count(*) FROM cheap",
    "SELECT c.id FROM chick AS c JOIN egg AS e ON e.chick = c.id WHERE c.twin IS NULL",
]  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(seconds=2, rows=5000), workers=2) as opened:
        yield opened


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "sample"
    embedded.build(folder)
    return folder


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("odd") / "odd.sqlite"
    embedded.build_database(ODD, path)
    return path


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def fuzzed(database: Path, golds: list[str], folder: Path, number: int) -> Path:
    schema = read_sqlite(database)
    path = folder / f"{number}.sqlite"
    fuzz(read_source(database), [facts(gold, schema) for gold in golds], f"seed {number}", path)
    return path


def test_every_key_and_constraint_holds(odd: Path, tmp_path: Path) -> None:
    filled = 0
    for number in range(25):
        path = fuzzed(odd, ODD_GOLDS, tmp_path, number)
        assert rows(path, "PRAGMA foreign_key_check") == []
        assert rows(path, "PRAGMA integrity_check") == [("ok",)]
        filled += bool(rows(path, 'SELECT 1 FROM "Line ""2"" x" WHERE owner IS NOT NULL AND price IS NOT NULL'))
        filled += bool(rows(path, "SELECT 1 FROM egg JOIN chick ON egg.chick = chick.id"))
    assert filled > 15


def test_what_the_source_would_run_is_not_run(odd: Path, tmp_path: Path) -> None:
    for number in range(10):
        path = fuzzed(odd, [], tmp_path, number)
        assert rows(path, "SELECT * FROM log WHERE what = 'ran'") == []
        assert rows(path, "SELECT name FROM sqlite_master WHERE type = 'trigger'") == []
        assert rows(path, "SELECT name FROM sqlite_master WHERE type = 'view'") == [("cheap",)]


def test_types_are_those_of_the_source(sample: Path, tmp_path: Path) -> None:
    for database in sorted(sample.glob("database/*/*.sqlite")):
        source = read_source(database)
        fuzz(source, [], "0", tmp_path / "fuzzed.sqlite")
        for table in source.tables:
            for column in table.columns:
                query = f'SELECT DISTINCT typeof("{column.name}") FROM "{table.name}"'
                had = {kind for (kind,) in rows(database, query)} | {"null"}
                assert {kind for (kind,) in rows(tmp_path / "fuzzed.sqlite", query)} <= had, column


def test_rows_aim_at_the_golds(sample: Path, tmp_path: Path) -> None:
    database = sample / "database" / "museum" / "museum.sqlite"
    gold = "SELECT title FROM artwork WHERE technique = 'tapestry of moss' AND year > 4321"
    hits = [bool(rows(fuzzed(database, [gold], tmp_path, number), gold)) for number in range(10)]
    assert sum(hits) >= 4


def test_the_plain_twin_holds_the_same_rows_the_other_way_round(odd: Path, tmp_path: Path) -> None:
    fuzz(read_source(odd), [], "5", tmp_path / "a.sqlite", tmp_path / "b.sqlite")
    query = 'SELECT * FROM "Line ""2"" x"'
    there = rows(tmp_path / "a.sqlite", query)
    assert len(there) > 1
    assert rows(tmp_path / "b.sqlite", query) == there[::-1]


def test_the_same_seed_gives_the_same_bytes_in_another_process(odd: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from eval.fuzz import fuzz; from eval.source import read_source;"
        "fuzz(read_source(Path(sys.argv[1])), [], sys.argv[2], Path(sys.argv[3]))"
    )
    digests = []
    for place, (seed, hashing) in enumerate([("7", "0"), ("7", "1"), ("8", "0")]):
        path = tmp_path / f"{place}.sqlite"
        command = [sys.executable, "-c", code, str(odd), seed, str(path)]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": hashing}, cwd=Path(__file__).parent.parent)
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


def test_a_suite_tells_more_apart_than_the_original(sample: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    questions = json.loads((sample / "dev.json").read_text(encoding="utf-8"))
    golds = [entry["query"] for entry in questions if entry["db_id"] == "museum"]
    database = sample / "database" / "museum" / "museum.sqlite"
    figures = distill(database, golds, tmp_path, sandbox)
    assert figures["neighbours"] > 100
    assert figures["killed"] >= 0.95 * figures["killable"]
    assert figures["killed"] > figures["killed_by_original"]
    assert figures["killed"] >= 0.9 * figures["neighbours"]
    assert {path.name for path in tmp_path.iterdir()} == set(figures["files"])
    assert len(figures["files"]) <= 19
    assert sum(kind["killed"] for kind in figures["kinds"].values()) == figures["killed"]
    new = sum(file["new"] for file in figures["files"].values())
    assert new == figures["killed"] - figures["killed_by_original"]
    assert figures["neighbours"] - figures["killable"] == len(figures["not_told_apart"])


def test_odd_names_views_and_generated_columns_are_survived(odd: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    figures = distill(odd, ODD_GOLDS, tmp_path, sandbox)
    assert figures["golds"] == len(ODD_GOLDS)
    assert figures["golds_that_fail"] == {}
    assert figures["killed"] > figures["killed_by_original"]


def test_a_gold_that_fails_is_listed(odd: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    figures = distill(odd, ["SELECT nobody FROM log", "SELECT what FROM log", "DROP TABLE log"], tmp_path, sandbox)
    assert figures["golds"] == 1
    assert set(figures["golds_that_fail"]) == {"SELECT nobody FROM log", "DROP TABLE log"}
    assert "no_such_column" in figures["golds_that_fail"]["SELECT nobody FROM log"]


def test_a_slow_gold_is_not_a_failing_one(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT max(i) FROM n"
    slow, endless, long = count.format(4_000_000), count.format(10**12), "SELECT a.id FROM chick AS a, chick AS b"
    monkeypatch.setattr("eval.suite.GOLD_SECONDS", 8.0)
    golds = [slow, "SELECT nobody FROM log", "SELECT what FROM log"]
    with Sandbox(Limits(seconds=0.2), workers=2) as hurried:
        figures = distill(odd, golds, tmp_path, hurried, Settings(most=1, neighbours=4))
        assert set(figures["golds_that_fail"]) == {"SELECT nobody FROM log"}
        assert figures["golds_too_slow"] == {}
        assert figures["golds"] == 2
        assert figures["runs_cut_short"] > 0
        monkeypatch.setattr("eval.suite.GOLD_SECONDS", 0.3)
        figures = distill(odd, [endless, long], tmp_path, hurried, Settings(most=1, neighbours=4))
        assert list(figures["golds_too_slow"]) == [endless]
    with Sandbox(Limits(rows=0), workers=1) as small:
        figures = distill(odd, [long], tmp_path, small, Settings(most=1, neighbours=4))
        assert "too_many_rows" in figures["golds_too_slow"][long]


def test_integers_beyond_64_bits_are_survived(sample: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    database = tmp_path / "wide.sqlite"
    script = f"CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, m NUMERIC, s TEXT); INSERT INTO t VALUES (1, {2**63 - 1}, {-(2**63)}, '{10**30}');"
    embedded.build_database(script, database)
    golds = [
        *(f"SELECT id FROM t WHERE {column} > {2**63 - 1}" for column in ("id", "n", "m", "s")),
        f"SELECT id FROM t WHERE n < {-(2**63)} OR m = '{10**25}' OR s = {10**400}",
        "SELECT n FROM t ORDER BY n DESC LIMIT 1",
    ]
    (tmp_path / "out").mkdir()
    figures = distill(database, golds, tmp_path / "out", sandbox)
    assert figures["golds"] == len(golds)
    assert figures["killed"] > figures["killed_by_original"]


def test_a_large_table_costs_little(tmp_path: Path) -> None:
    database = tmp_path / "large.sqlite"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
    script = f"CREATE TABLE big (id INTEGER, owner INT, name TEXT); INSERT INTO big {numbers} SELECT i, i % 977, 'n' || i FROM n; "
    script += "CREATE TABLE owner (id INT, photo BLOB); INSERT INTO owner VALUES (1, zeroblob(3000000)), (2, x'00');"
    embedded.build_database(script, database)
    source = read_source(database)
    assert all(len(table.rows) <= 2000 for table in source.tables)
    assert all(len(column.own) <= 200 for table in source.tables for column in table.columns)
    cells = [cell for table in source.tables for row in table.rows for cell in row]
    assert max(len(cell) for cell in cells if isinstance(cell, str | bytes)) < 5000
    assert source.values()["owner", "photo"] == (b"\x00",)
    golds = ["SELECT name FROM big WHERE id = 7", "SELECT count(*) FROM big AS b JOIN owner AS o ON b.owner = o.id"]
    (tmp_path / "out").mkdir()
    with Sandbox(Limits(seconds=0.5, rows=1000), workers=2) as hurried:
        figures = distill(database, golds, tmp_path / "out", hurried, Settings(rounds=2, neighbours=8))
    assert figures["golds"] == 2
    assert figures["killed"] > 0
    assert all(path.stat().st_size < 100_000 for path in (tmp_path / "out").iterdir())


def candidate(name: str, kills: str, unsteady: str = "") -> Candidate:
    return Candidate(Path(name), {Mutant("gold", "kind", letter) for letter in kills}, set(unsteady))


@pytest.mark.parametrize(
    ("pool", "most", "kept"),
    [
        ([("a", "12"), ("b", "1234"), ("c", "45")], 9, "bc"),
        ([("a", "1234"), ("b", "125"), ("c", "346")], 9, "bc"),  # a was best, and is needless in the end
        ([("a", "12"), ("b", "34"), ("c", "5")], 2, "ab"),
        ([("a", "123", "gh"), ("b", "12"), ("c", "3")], 9, "bc"),  # right answers may fail on a
        ([("a", "123", "gh"), ("b", "12"), ("c", "3")], 1, "a"),  # but kills come first
        ([], 3, ""),
    ],
)
def test_few_candidates_that_kill_all_are_kept(pool: list[tuple[str, ...]], most: int, kept: str) -> None:
    assert "".join(item.path.name for item in choose([candidate(*item) for item in pool], most)) == kept


def test_the_folder_is_one_of_databases_and_is_made_once(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = suite(str(sample), databases=["museum"], most=4, out=tmp_path / "suite")
    shown = capsys.readouterr().out
    assert "museum" in shown
    folder = out / "museum"
    assert (folder / "museum.sqlite").read_bytes() == (sample / "database/museum/museum.sqlite").read_bytes()
    files = {path.name: path for path in folder.glob("*.sqlite")}
    assert 2 <= len(files) <= 4
    summary = json.loads((out / "suite.json").read_text(encoding="utf-8"))
    assert set(summary["databases"]["museum"]["sha256"]) == set(files)
    assert not list(out.glob("*.partial"))

    before = {name: path.stat().st_mtime_ns for name, path in files.items()}
    suite(str(sample), databases=["museum"], most=4, out=out)
    assert {name: path.stat().st_mtime_ns for name, path in files.items()} == before
    digests = summary["databases"]["museum"]["sha256"]
    files["fuzz-01.sqlite"].write_bytes(b"cut")
    (out / "museum.partial").mkdir()  # of a run that was killed
    suite(str(sample), databases=["museum"], most=4, out=out)
    again = json.loads((out / "suite.json").read_text(encoding="utf-8"))["databases"]["museum"]["sha256"]
    assert again == digests
    assert hashlib.sha256(files["fuzz-01.sqlite"].read_bytes()).hexdigest() == digests["fuzz-01.sqlite"]
    suite(str(sample), databases=["museum"], most=4, seed=1, out=out)
    assert (
        json.loads((out / "suite.json").read_text(encoding="utf-8"))["databases"]["museum"]["sha256"]["fuzz-01.sqlite"]
        != digests["fuzz-01.sqlite"]
    )


def test_a_missing_database_is_left_out(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sample, copy)
    (copy / "database/museum/museum.sqlite").unlink()
    (copy / "database/car_rental/car_rental.sqlite").write_text("not a database", encoding="utf-8")
    with pytest.raises(UserError, match="no suite was made"):
        suite(str(copy), most=2, out=tmp_path / "out")
    shown = " ".join(capsys.readouterr().out.split())
    assert "the database is missing" in shown
    assert "not an SQLite database" in shown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "nosuch"}, "--split nosuch.*train, select, dev, test"),
        ({"databases": ["nosuch"]}, "--databases nosuch.*museum"),
        ({"most": 0}, "--most 0"),
        ({"out": "database"}, "--out .*give another folder"),
    ],
)
def test_bad_usage_is_named(sample: Path, settings: dict[str, Any], message: str) -> None:
    if "out" in settings:
        settings = {"out": sample / settings["out"]}
    with pytest.raises(UsageError, match=message):
        suite(str(sample), **settings)


def test_an_unknown_data_set_is_named() -> None:
    with pytest.raises(UserError, match=r"nosuch: .*loraql download nosuch"):
        suite("nosuch")


def thesis(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work", encoding="utf-8")
    return folder / "thesis.txt"


@pytest.mark.parametrize("folder", ["museum", "museum.partial", "car_rental"])
def test_what_it_did_not_write_stays(sample: Path, tmp_path: Path, folder: str) -> None:
    mine = thesis(tmp_path / folder)
    with pytest.raises(UserError, match=f"{folder}/thesis.txt: not written by loraql suite; move it away"):
        suite(str(sample), most=2, out=tmp_path)
    assert mine.read_text(encoding="utf-8") == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == [folder]  # nothing was begun


def test_another_copy_of_the_databases_stays(sample: Path, tmp_path: Path) -> None:
    shutil.copytree(sample / "database", tmp_path / "copy")
    with pytest.raises(UserError, match="not written by loraql suite"):
        suite(str(sample), databases=["museum"], most=2, out=tmp_path / "copy")
    assert (tmp_path / "copy/museum/museum.sqlite").is_file()


def test_files_put_beside_a_suite_stay(sample: Path, tmp_path: Path) -> None:
    suite(str(sample), databases=["museum"], most=2, out=tmp_path)
    note = tmp_path / "museum" / "note.txt"
    note.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"note.txt: not written by loraql suite"):
        suite(str(sample), databases=["museum"], most=3, out=tmp_path)
    assert note.is_file()
    note.unlink()
    (tmp_path / "suite.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(UserError, match=r"suite.json: not written by loraql suite"):
        suite(str(sample), databases=["museum"], most=2, out=tmp_path)


def test_the_partial_folder_of_a_killed_run_is_our_own(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.suite.distill", killed)
        with pytest.raises(KeyboardInterrupt):
            suite(str(sample), databases=["museum"], most=2, out=tmp_path)
    assert {path.name for path in (tmp_path / "museum.partial").iterdir()} == {"museum.sqlite", "suite.json"}
    suite(str(sample), databases=["museum"], most=2, out=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"museum", "suite.json"}


def test_a_later_run_keeps_what_is_there(sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def listed(out: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((out / "suite.json").read_text(encoding="utf-8"))["databases"]
        return found

    parts, whole = tmp_path / "parts", tmp_path / "whole"
    suite(str(sample), databases=["museum"], most=1, out=parts)
    suite(str(sample), databases=["car_rental"], most=1, out=parts)
    assert "made earlier, that stay: 1" in capsys.readouterr().out
    suite(str(sample), databases=["car_rental", "museum"], most=1, out=whole)
    assert (parts / "suite.json").read_bytes() == (whole / "suite.json").read_bytes()
    with pytest.raises(UserError, match="museum: a suite made with seed 0; make it again in the same run"):
        suite(str(sample), databases=["car_rental"], most=1, seed=1, out=parts)
    with pytest.raises(UserError, match="car_rental: a suite made with most 1; "):
        suite(str(sample), databases=["museum"], most=2, out=parts)
    assert (parts / "suite.json").read_bytes() == (whole / "suite.json").read_bytes()
    suite(str(sample), databases=["car_rental", "museum"], most=1, seed=1, out=parts)
    assert set(listed(parts)) == set(listed(whole))
    assert listed(parts) != listed(whole)
    shutil.rmtree(parts / "museum")
    suite(str(sample), databases=["car_rental"], most=1, out=parts)
    assert listed(parts) == {"car_rental": listed(whole)["car_rental"]}
    next((whole / "museum").glob("*.sqlite")).write_bytes(b"cut")
    with pytest.raises(UserError, match="museum: its files are not as they were written"):
        suite(str(sample), databases=["car_rental"], most=1, out=whole)


def test_two_runs_at_once_do_not_collide(sample: Path, tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another loraql suite is at work there"):
            suite(str(sample), databases=["museum"], most=1, out=tmp_path)
    suite(str(sample), databases=["museum"], most=1, out=tmp_path)  # the lock of a dead run does not count
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_file_for_out_is_named(sample: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--out .*/file: is a file; give a folder"):
        suite(str(sample), out=tmp_path / out)


def test_names_that_cannot_be_are_left_out_and_cut(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sample, copy)
    (copy / "database/fuzz-01").mkdir()
    shutil.copyfile(copy / "database/museum/museum.sqlite", copy / "database/fuzz-01/fuzz-01.sqlite")
    names = ["n" * 5000, "../up", "fuzz-01", "museum", "half\ud800"]
    questions = [{"question": "?", "query": "SELECT title FROM artwork", "db_id": name} for name in names]
    questions.append({"question": "?", "query": "SELECT '\ud800'", "db_id": "museum"})
    (copy / "dev.json").write_text(json.dumps(questions), encoding="utf-8")
    suite(str(copy), most=1, out=tmp_path / "out")
    shown = capsys.readouterr().out
    assert shown.count("left out: ") == 4
    assert "n" * 100 not in shown
    summary = json.loads((tmp_path / "out" / "suite.json").read_text(encoding="utf-8"))
    assert set(summary["left_out"]) == set(names) - {"museum"}
    with pytest.raises(UsageError) as raised:
        suite(str(copy), databases=["m" * 5000], out=tmp_path / "out")
    assert len(str(raised.value)) < 500


def test_the_table_keeps_long_names_whole_on_80_columns(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, copy = "student_transcripts_tracking", tmp_path / "copy"
    (copy / "database" / name).mkdir(parents=True)
    shutil.copyfile(sample / "database/museum/museum.sqlite", copy / "database" / name / f"{name}.sqlite")
    question = {"question": "?", "query": "SELECT title FROM artwork WHERE year > 1700", "db_id": name}
    (copy / "dev.json").write_text(json.dumps([question]), encoding="utf-8")
    narrow = Console(width=80, highlight=False, emoji=False, soft_wrap=True)
    monkeypatch.setattr(console, "console", narrow)
    suite(str(copy), most=3, out=tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"  {name} ") and "%" in line for line in lines)
    assert max(map(len, (line.rstrip() for line in lines if "%" in line))) <= 80
