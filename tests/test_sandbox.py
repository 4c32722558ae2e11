"""Hostile and runaway queries end in time, under their own category, and leave no trace."""

import contextlib
import hashlib
import os
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eval.pool import KILL_GRACE_SECONDS, Sandbox
from eval.sandbox import Limits

LIMITS = Limits(seconds=0.4, memory_mb=64, rows=10_000, result_mb=4, cell_kb=256)
SLACK_SECONDS = 1.5  # for a busy machine, on top of the limit and the grace before the kill

ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
SLOW_STEP = "SELECT printf('%.*c', 2000000000, 'x')"  # one step of SQLite's, so nothing but a kill stops it
OUT_OF_BOUNDS = "timeout memory too_many_rows too_large"
REFUSED, SYNTAX, TOO_LARGE, NOTHING = "refused", "syntax", "too_large", "no_statement"

# The query and the categories that it may end in.
HOSTILE = [
    # time
    (ENDLESS, "timeout"),
    ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT n FROM r", "too_many_rows"),
    ("WITH RECURSIVE r(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM r) SELECT length(s) FROM r", TOO_LARGE),
    ("SELECT count(*) FROM t a, t b, t c", "timeout"),
    ("SELECT a.b FROM t a, t b, t c ORDER BY a.b || b.b || c.b", OUT_OF_BOUNDS),
    ("SELECT DISTINCT a.a + b.a * c.a FROM t a, t b, t c GROUP BY 1 HAVING count(*) < 0", OUT_OF_BOUNDS),
    (SLOW_STEP, "timeout"),
    ("SELECT count(*) FROM t a, t b, t c WHERE a.b || b.b || c.b LIKE '%r%o%w%1%2%3%4%5%x'", "timeout"),
    ("SELECT count(*) FROM t a, t b, t c WHERE a.b || b.b || c.b GLOB '*r*o*w*1*2*3*4*5*x'", "timeout"),
    ("SELECT '" + "a" * 49_000 + "' LIKE '" + "%a_" * 16_000 + "b'", "ok timeout"),
    ("SELECT '" + "a" * 200_000 + "' GLOB '" + "*a[a-b]" * 30 + "*b'", "ok timeout"),
    ("SELECT max(a) FROM t WHERE sleep(1000)", "error"),
    # memory and size
    ("SELECT randomblob(1000000000)", TOO_LARGE),
    ("SELECT zeroblob(1000000000)", TOO_LARGE),
    ("SELECT length(zeroblob(2000000000))", TOO_LARGE),
    ("SELECT hex(zeroblob(200000))", TOO_LARGE),
    ("SELECT " + ", ".join(["t.*"] * 60) + ' FROM (SELECT 1 AS "' + "x" * 100_000 + '") t', TOO_LARGE),
    ("SELECT printf('%1000000000d', 1)", "ok too_large"),  # SQLite makes it NULL
    ("SELECT replace(hex(zeroblob(100000)), '00', hex(zeroblob(10000)))", TOO_LARGE),
    ("SELECT group_concat(a.b || b.b) FROM t a, t b", OUT_OF_BOUNDS),
    ("SELECT json_group_array(a.b) FROM t a, t b", OUT_OF_BOUNDS),
    ("SELECT zeroblob(60000) FROM t", TOO_LARGE),
    ("SELECT a.a, b.a FROM t a, t b", "too_many_rows"),
    ("SELECT " + ", ".join(["1"] * 1999) + " FROM t", OUT_OF_BOUNDS),
    ("SELECT a.a FROM t a, t b ORDER BY randomblob(200000)", "memory timeout"),
    ("SELECT count(*) FROM (SELECT DISTINCT randomblob(200000) FROM t a, t b)", "memory timeout"),
    # the parser
    ("SELECT " + "(" * 1000 + "1" + ")" * 1000, "too_large ok"),  # newer parsers grow their stack
    ("SELECT " + "(" * 100_000 + "1" + ")" * 100_000, "too_large ok memory"),
    ("SELECT " + "abs(" * 1000 + "1" + ")" * 1000, TOO_LARGE),
    ("SELECT " + "NOT " * 5000 + "1", TOO_LARGE),
    ("SELECT " + "- " * 5000 + "1", TOO_LARGE),
    ("SELECT 1" + " + 1" * 200_000, TOO_LARGE),
    ("SELECT * FROM " + "(SELECT * FROM " * 2000 + "t" + ")" * 2000, TOO_LARGE),
    (" UNION ALL ".join(["SELECT 1"] * 5000), TOO_LARGE),
    ("SELECT " + ", ".join(["1"] * 5000), TOO_LARGE),
    ("SELECT * FROM " + ", ".join(f"t t{place}" for place in range(70)), "error too_large"),
    ("SELECT 1 WHERE 1 IN (" + ", ".join(["1"] * 200_000) + ")", "ok timeout"),
    ("SELECT '" + "x" * 3_000_000 + "'", TOO_LARGE),
    # writing
    ("DROP TABLE t", REFUSED),
    ("DELETE FROM t", REFUSED),
    ("DELETE FROM t RETURNING a", REFUSED),
    ("UPDATE t SET b = 'x'", REFUSED),
    ("INSERT INTO t VALUES (-1, 'x', NULL)", REFUSED),
    ("REPLACE INTO t VALUES (1, 'x', NULL) RETURNING a", REFUSED),
    ("ALTER TABLE t RENAME TO gone", REFUSED),
    ("ALTER TABLE t ADD COLUMN d", REFUSED),
    ("CREATE TABLE made AS SELECT * FROM t", REFUSED),
    ("CREATE TEMP TABLE made (a)", REFUSED),
    ("CREATE VIEW made AS SELECT 1", REFUSED),
    ("CREATE INDEX made ON t (b)", REFUSED),
    ("CREATE TRIGGER made AFTER INSERT ON t BEGIN SELECT 1; END", REFUSED),
    ("CREATE VIRTUAL TABLE made USING fts5 (a)", REFUSED),
    ("WITH x AS (SELECT 1) DELETE FROM t", REFUSED),
    ("WITH x AS (SELECT 1) INSERT INTO t SELECT -1, 'x', NULL", REFUSED),
    ("ATTACH 'made.sqlite' AS e", REFUSED),
    ("ATTACH 'file:FOLDER/made.sqlite?mode=rwc' AS e", REFUSED),
    ("DETACH main", REFUSED),
    ("VACUUM", REFUSED),
    ("VACUUM INTO 'FOLDER/made.sqlite'", REFUSED),
    ("PRAGMA user_version = 7", REFUSED),
    ("PRAGMA journal_mode = WAL", REFUSED),
    ("PRAGMA writable_schema = 1", REFUSED),
    ("PRAGMA hard_heap_limit = 0", REFUSED),
    ("PRAGMA temp_store_directory = 'FOLDER'", REFUSED),
    ("BEGIN EXCLUSIVE", REFUSED),
    ("COMMIT", REFUSED),
    ("SAVEPOINT s", REFUSED),
    ("REINDEX", REFUSED),
    ("ANALYZE", REFUSED),
    ("EXPLAIN DELETE FROM t", REFUSED),
    ("EXPLAIN SELECT a FROM t", "ok refused"),
    # reaching out
    ("SELECT load_extension('/tmp/made.so')", REFUSED),
    ("SELECT fts3_tokenizer('simple', x'00')", "refused error"),
    ("SELECT readfile('/etc/passwd')", "refused error"),
    ("SELECT writefile('FOLDER/made', 'x')", "refused error"),
    ("SELECT edit('x', 'sh')", "refused error"),
    ("SELECT * FROM fsdir('/')", "refused error no_such_table"),
    # not one query
    ("", NOTHING),
    (" \n\t", NOTHING),
    (";", NOTHING),
    ("-- nothing", NOTHING),
    ("/* nothing", NOTHING),
    ("SELECT 1; SELECT 2", REFUSED),
    ("SELECT 1; DROP TABLE t", REFUSED),
    ("SELECT ?", SYNTAX),
    ("SELECT a FROM t WHERE a = :name", SYNTAX),
    ("SELECT 1\x00; DROP TABLE t", SYNTAX),
    ("\x00", SYNTAX),
    ("SELECT '\ud800'", SYNTAX),
    ("SELECT 1\nFROM\r\n", SYNTAX),
    ("SELEC a FROM t", SYNTAX),
    ("SELECT 'never closed", SYNTAX),
    ("SELECT nope FROM t", "no_such_column"),
    ("SELECT a FROM nope", "no_such_table"),
    ("SELECT nope(a) FROM t", "error"),
    ("SELECT abs(-9223372036854775808)", "error"),
]


def make_database(folder: Path) -> Path:
    path = folder / "made.db.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        """CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c BLOB); CREATE INDEX i ON t (b);
           CREATE VIEW v AS SELECT a FROM t; CREATE TABLE odd (x);
           INSERT INTO odd VALUES (CAST(x'61FF62' AS TEXT)), (x'00FF'), (NULL), ('a' || char(0) || 'ü');"""
    )
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [(number, f"row {number}", b"\xff") for number in range(600)]
    )
    connection.commit()
    connection.close()
    return path


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(LIMITS, workers=1) as opened:
        yield opened


def state(path: Path) -> tuple[str, list[str]]:
    return hashlib.sha256(path.read_bytes()).hexdigest(), sorted(entry.name for entry in path.parent.iterdir())


@pytest.mark.parametrize(("sql", "categories"), HOSTILE, ids=[f"{ascii(sql)[1:50]}" for sql, _ in HOSTILE])
def test_a_hostile_query_ends_in_time_and_leaves_no_trace(
    sandbox: Sandbox, database: Path, sql: str, categories: str
) -> None:
    before, start = state(database), time.perf_counter()
    outcome = sandbox.run(database, sql.replace("FOLDER", str(database.parent)))
    assert time.perf_counter() - start < LIMITS.seconds + KILL_GRACE_SECONDS + SLACK_SECONDS
    assert outcome.category in categories.split(), outcome.message
    assert outcome.category == "ok" or outcome.rows == ()
    assert "\n" not in outcome.message
    assert state(database) == before
    assert sandbox.run(database, "SELECT count(*) FROM t").rows == ((600,),)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT a, b FROM t WHERE a < 2 ORDER BY a DESC", ((1, "row 1"), (0, "row 0"))),
        ("select count(*) from v;", ((600,),)),
        ("SELECT 1 -- a comment", ((1,),)),
        ("SELECT 1; -- a comment", ((1,),)),
        ("VALUES (1), (NULL)", ((1,), (None,))),
        ("WITH x AS (SELECT 2 AS y) SELECT y, y FROM x", ((2, 2),)),
        ("SELECT a FROM t WHERE 0", ()),
        ("SELECT 'ß€😀', 1.5, x'0001'", (("ß€😀", 1.5, b"\x00\x01"),)),
        ("SELECT 9223372036854775807, 9e999, -9e999", ((2**63 - 1, float("inf"), float("-inf")),)),
        ('SELECT "no such column, so a text"', (("no such column, so a text",),)),  # 213 gold queries need it
        ("SELECT name FROM sqlite_master WHERE type = 'view'", (("v",),)),
        ("SELECT sum(a) OVER (ORDER BY a) FROM t LIMIT 3", ((0,), (1,), (3,))),
        ("SELECT x FROM odd", (("ab",), (b"\x00\xff",), (None,), ("a\x00ü",))),  # bad UTF-8 is dropped
    ],
)
def test_an_honest_query_returns_its_rows(sandbox: Sandbox, database: Path, sql: str, rows: object) -> None:
    outcome = sandbox.run(database, sql)
    assert (outcome.category, outcome.rows, outcome.message) == ("ok", rows, "")


def test_columns_are_named_even_where_there_are_no_rows(sandbox: Sandbox, database: Path) -> None:
    assert sandbox.run(database, "SELECT a, b AS x, count(*) FROM t GROUP BY 1 HAVING 0").columns == (
        "a",
        "x",
        "count(*)",
    )


@pytest.mark.parametrize(
    ("limits", "fits", "beyond"),
    [
        (Limits(rows=600), "SELECT a FROM t", "SELECT a FROM t UNION ALL SELECT 1"),
        (Limits(cell_kb=1), "SELECT zeroblob(1024)", "SELECT zeroblob(1025)"),
        (Limits(cell_kb=1), "SELECT printf('%01024d', 1)", "SELECT hex(zeroblob(513))"),
        (Limits(result_mb=1), "SELECT zeroblob(1700) FROM t", "SELECT zeroblob(1800) FROM t"),
        (Limits(result_mb=1), "SELECT substr(hex(zeroblob(850)), 1) FROM t", "SELECT hex(zeroblob(900)) FROM t"),
    ],
    ids=["rows", "bytes of a blob", "characters of a text", "blobs together", "texts together"],
)
def test_a_limit_is_kept_to_the_last_unit(database: Path, limits: Limits, fits: str, beyond: str) -> None:
    with Sandbox(limits, workers=1) as sandbox:
        expected = "too_many_rows" if limits.rows == 600 else "too_large"
        assert [sandbox.run(database, sql).category for sql in (fits, beyond)] == ["ok", expected]


@pytest.mark.parametrize("content", [None, b"CREATE TABLE t (a INT);\n" * 200, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_what_is_no_database_is_a_failed_query(sandbox: Sandbox, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "shop.sqlite"
    if content:
        path.write_bytes(content)
    outcome = sandbox.run(path, "SELECT * FROM t")
    assert outcome.category == "error"
    assert outcome.message
    assert path.exists() == bool(content)


def test_a_database_with_url_characters_in_its_path_is_opened(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "odd ?mode=rwc&x=%41#\n'.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE here (a)")
    assert sandbox.run(path, "SELECT name FROM sqlite_master").rows == (("here",),)


def test_outcomes_come_in_the_order_of_the_jobs(database: Path) -> None:
    jobs = [(database, f"SELECT {number}") for number in range(30)]
    jobs[3], jobs[17] = (database, ENDLESS), (database, "SELEC")
    with Sandbox(LIMITS, workers=3) as sandbox:
        outcomes = list(sandbox.map(jobs))
    assert [outcome.category for outcome in outcomes if outcome.category != "ok"] == ["timeout", "syntax"]
    assert [outcome.rows for outcome in outcomes] == [
        () if number in (3, 17) else ((number,),) for number in range(30)
    ]  # fmt: skip


def workers() -> set[int]:
    """Process ids of the running workers that this process started."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            own = f"\nPPid:\t{os.getpid()}\n" in status.read_text()
            if own and b"sandbox.py" in (status.parent / "cmdline").read_bytes():
                found.add(int(status.parent.name))
    return found


def test_a_worker_that_is_killed_loses_only_its_query(database: Path) -> None:
    others = workers()
    with Sandbox(LIMITS, workers=1) as sandbox:
        assert sandbox.run(database, "SELECT 1").category == "ok"
        (first,) = workers() - others
        os.kill(first, signal.SIGKILL)
        assert sandbox.run(database, "SELECT 2").category == "crashed"
        assert sandbox.run(database, "SELECT 3").rows == ((3,),)
        assert sandbox.run(database, SLOW_STEP).message == "stopped: over the time limit"
        assert sandbox.run(database, "SELECT 4").rows == ((4,),)
        (last,) = workers() - others
        assert last != first
    assert workers() == others


def test_one_worker_serves_many_queries(database: Path) -> None:
    others = workers()
    with Sandbox(LIMITS, workers=1) as sandbox:
        seen = set()
        for number in range(3):
            sandbox.run(database, f"SELEC {number}")
            seen |= workers() - others
    assert len(seen) == 1


def test_no_limit_is_left_behind_by_an_earlier_query(sandbox: Sandbox, database: Path) -> None:
    sandbox.run(database, "SELECT a.a FROM t a, t b ORDER BY randomblob(200000)")
    for _ in range(20):
        assert sandbox.run(database, "SELECT count(*) FROM (SELECT a FROM t ORDER BY b)").rows == ((600,),)


def test_a_late_query_is_stopped_though_others_go_on(database: Path) -> None:
    jobs = [(database, SLOW_STEP), *((database, f"SELECT {number}, '{'x' * 20_000}'") for number in range(400))]
    start = time.perf_counter()
    with Sandbox(LIMITS, workers=2) as sandbox:
        outcomes = list(sandbox.map(jobs))
    assert time.perf_counter() - start < LIMITS.seconds + KILL_GRACE_SECONDS + SLACK_SECONDS
    assert [outcome.category for outcome in outcomes] == ["timeout"] + ["ok"] * 400
    assert outcomes[0].milliseconds < 1000 * (LIMITS.seconds + KILL_GRACE_SECONDS + SLACK_SECONDS)


def test_a_long_query_is_not_sent_to_a_busy_worker(database: Path) -> None:
    long = "SELECT '" + "x" * 200_000 + "'"
    start = time.perf_counter()
    with Sandbox(LIMITS, workers=1) as sandbox:
        outcomes = list(sandbox.map([(database, SLOW_STEP), (database, long), (database, "SELECT 1")]))
    assert [outcome.category for outcome in outcomes] == ["timeout", "ok", "ok"]
    assert time.perf_counter() - start < LIMITS.seconds + KILL_GRACE_SECONDS + SLACK_SECONDS


def test_processor_time_has_a_limit_of_its_own(database: Path) -> None:
    limits = Limits(seconds=20, cpu_seconds=0.2)
    with Sandbox(limits, workers=1) as sandbox:
        outcome = sandbox.run(database, ENDLESS)
        assert (outcome.category, outcome.message) == ("cpu", "stopped: over the limit of processor time")
        assert sandbox.run(database, "SELECT 1").rows == ((1,),)


def test_large_results_wait_until_they_are_asked_for(database: Path) -> None:
    # 400 results of 3 MB each would be more than a gigabyte.
    jobs = [(database, "SELECT hex(zeroblob(2500)) FROM t")] * 400
    used = []
    with Sandbox(LIMITS, workers=2) as sandbox:
        for outcome in sandbox.map(jobs):
            assert len(outcome.rows) == 600
            used.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert len(used) == 400
    assert used[-1] - used[0] < 300_000  # kB


def test_an_outcome_says_whether_it_can_be_had_again(sandbox: Sandbox, database: Path) -> None:
    changing = [
        "SELECT random()",
        "SELECT CURRENT_DATE",
        "SELECT date('now')",
        "SELECT a FROM t ORDER BY Random() LIMIT 1",
    ]
    assert [sandbox.run(database, sql).repeatable for sql in changing] == [False] * 4
    assert sandbox.run(database, "SELECT max(a), upper(b) FROM t").repeatable
    # The authorizer sees a query each time that it is run.
    assert not sandbox.run(database, changing[0]).repeatable


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("PRAGMA table_info(odd)", ((0, "x", "", 0, None, 0),)),
        ("SELECT name FROM pragma_table_info('t')", (("a",), ("b",), ("c",))),
        ("SELECT value FROM json_each('[1, \"x\"]')", ((1,), ("x",))),
        ("SELECT count(*) FROM json_tree('{\"a\": [1, 2]}')", ((4,),)),
    ],
)
def test_what_only_describes_the_schema_or_takes_json_apart_is_allowed(
    sandbox: Sandbox, database: Path, sql: str, rows: object
) -> None:
    outcome = sandbox.run(database, sql)
    assert (outcome.category, outcome.rows) == ("ok", rows)


def test_a_database_that_is_replaced_is_opened_anew(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "changing.sqlite"
    for value in (1, 2, 3):
        path.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"CREATE TABLE t (a); INSERT INTO t VALUES ({value});")
        assert sandbox.run(path, "SELECT a FROM t").rows == ((value,),)


def test_more_databases_than_a_worker_keeps_open(sandbox: Sandbox, tmp_path: Path) -> None:
    for number in range(20):
        with contextlib.closing(sqlite3.connect(tmp_path / f"{number}.sqlite")) as connection:
            connection.executescript(f"CREATE TABLE t (a); INSERT INTO t VALUES ({number});")
    jobs = [(tmp_path / f"{number}.sqlite", "SELECT a FROM t") for number in (*range(20), *range(20))]
    assert [outcome.rows for outcome in sandbox.map(jobs)] == [((number,),) for number in (*range(20), *range(20))]


def test_a_caller_that_stops_listening_leaves_the_sandbox_usable(database: Path) -> None:
    with Sandbox(LIMITS, workers=2) as sandbox:
        outcomes = sandbox.map([(database, "SELECT 1")] * 500)
        assert next(outcomes).rows == ((1,),)
        del outcomes
        assert sandbox.run(database, "SELECT 2").rows == ((2,),)


def test_several_threads_share_a_sandbox(database: Path) -> None:
    with Sandbox(LIMITS, workers=2) as sandbox, ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda number: sandbox.run(database, f"SELECT {number}").rows, range(200))
        assert list(found) == [((number,),) for number in range(200)]


def test_slow_neighbours_are_shared_out(database: Path) -> None:
    jobs = [(database, ENDLESS)] * 6
    start = time.perf_counter()
    with Sandbox(LIMITS, workers=3) as sandbox:
        assert [outcome.category for outcome in sandbox.map(jobs)] == ["timeout"] * 6
    assert time.perf_counter() - start < 4 * LIMITS.seconds + SLACK_SECONDS


def test_a_thread_that_has_all_workers_is_told_so(database: Path) -> None:
    with Sandbox(LIMITS, workers=1) as sandbox:
        outcomes = sandbox.map([(database, "SELECT 1")] * 3)
        next(outcomes)
        with pytest.raises(RuntimeError, match="in the middle of map"):
            sandbox.run(database, "SELECT 2")
        assert [outcome.rows for outcome in outcomes] == [((1,),)] * 2
        assert sandbox.run(database, "SELECT 2").rows == ((2,),)
    assert list(Sandbox(LIMITS, workers=1).map([])) == []
