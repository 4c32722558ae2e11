"""Hostile predictions, judged: each scores 0 under its own category, in time, and changes nothing.

The inputs are those of `test_sandbox.py`, here through the whole of scoring; then thousands of mutated and
random ones.
"""

import random
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp
from test_sandbox import HOSTILE, LIMITS, make_database, state, workers

from data import embedded
from data.schema import read_sqlite
from data.spider import database_path, read_split
from eval.pool import Sandbox
from eval.query import Names
from eval.reading import Reader
from eval.sandbox import Limits
from eval.score import CATEGORIES, Case, Judge

FUZZED = 10_000
GOLD = "SELECT a, b FROM t WHERE a < 5"
SAME = ", ".join(["a"] * 14)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("hostile"))


def test_every_hostile_prediction_scores_nothing_and_changes_nothing(database: Path) -> None:
    others, before, start = workers(), state(database), time.perf_counter()
    names = Names(read_sqlite(database))
    predictions = [sql.replace("FOLDER", str(database.parent)) for sql, _ in HOSTILE]
    assert len(predictions) >= 60
    # An honest one after each: what was killed or refused must not reach its neighbour.
    cases = [Case(database, GOLD, sql, names) for hostile in predictions for sql in (hostile, GOLD)]
    with Sandbox(LIMITS, workers=2) as sandbox:
        verdicts = list(Judge(sandbox).verdicts(cases))
    assert [one.category for one in verdicts[1::2]] == ["correct"] * len(predictions)
    for (sql, allowed), verdict in zip(HOSTILE, verdicts[::2], strict=True):
        expected = {{"ok": "wrong_result", "no_statement": "empty"}.get(name, name) for name in allowed.split()}
        if not sql.strip():
            expected = {"no_sql"}
        if sql.startswith("SELECT 1; ") or " DISTINCT " in sql:  # run without what makes it hostile
            expected.add("wrong_result")
        assert verdict.category in expected, (sql[:80], verdict.category, verdict.message)
        assert not (verdict.ex or verdict.ex_keep_distinct or verdict.read.em or verdict.read.em_semantic), sql[:80]
    assert state(database) == before
    assert workers() == others
    assert time.perf_counter() - start < 120


@pytest.mark.parametrize("gold", [f"SELECT {SAME} FROM t", f"SELECT {SAME} FROM t ORDER BY 1"])
def test_many_identical_columns_are_not_hostile(database: Path, gold: str) -> None:
    almost = gold.replace(SAME, SAME[:-1] + "b")
    with Sandbox(Limits(), workers=1) as sandbox:
        start = time.perf_counter()
        same, other = Judge(sandbox).verdicts([Case(database, gold, gold), Case(database, gold, almost)])
        assert time.perf_counter() - start < 5
    assert (same.category, other.category) == ("correct", "wrong_result")


def doubling(levels: int, last: str) -> str:
    """CTEs that each use the one before twice."""
    name = "t"
    parts = [f"c0 AS (SELECT a FROM {name})"]
    parts += [f"c{level} AS ({last.format(f'c{level - 1}')})" for level in range(1, levels)]
    return f"WITH {', '.join(parts)} SELECT a FROM c{levels - 1} LIMIT 1"


HARD_TO_READ = [
    doubling(60, "SELECT a FROM {0} UNION SELECT a FROM {0}"),
    doubling(60, "SELECT x.a FROM {0} AS x JOIN {0} AS y"),
    doubling(60, "SELECT 1 UNION (SELECT a FROM {0} UNION SELECT a FROM {0}) UNION SELECT 2"),
    doubling(60, "SELECT a FROM {0} WHERE a IN (SELECT a FROM {0})"),
    " UNION ".join(["SELECT a FROM t"] * 400),
    "SELECT a FROM t WHERE a IN (" * 150 + "SELECT a FROM t" + ")" * 150,
    "SELECT count(*) FROM " + "(SELECT a FROM " * 150 + "t" + ")" * 150,
    "SELECT a FROM t WHERE " + " AND ".join(["a = 1"] * 900),
    "SELECT " + "a + " * 900 + "a FROM t",
    "SELECT a FROM t" + " JOIN t" * 900,
    "SELECT " + "(" * 4000 + "a" + ")" * 4000 + " FROM t",
    "SELECT " + "CASE WHEN a THEN " * 300 + "1" + " END" * 300 + " FROM t",
]


@pytest.mark.parametrize("sql", HARD_TO_READ, ids=[ascii(sql)[1:60] for sql in HARD_TO_READ])
def test_a_hostile_text_is_read_in_time_as_gold_and_as_prediction(database: Path, sql: str) -> None:
    names = Names(read_sqlite(database))
    start = time.perf_counter()
    for gold, predicted in ((GOLD, sql), (sql, GOLD), (sql, sql)):
        read = Reader().read(gold, predicted, names)
        assert read.em_semantic in (True, False)
        assert read.hardness
    assert time.perf_counter() - start < 20


def mutated(sql: str, draw: random.Random) -> str:
    """The query with a node of its tree replaced, dropped, doubled or taken from another place."""
    tree = sqlglot.parse_one(sql, read="sqlite")
    nodes = [node for node in tree.walk() if node.parent]
    for _ in range(draw.randint(1, 3)):
        node, other = draw.choice(nodes), draw.choice(nodes)
        kind = draw.randrange(4)
        if kind == 0:
            node.replace(other.copy())
        elif kind == 1:
            node.replace(exp.Paren(this=node.copy()))
        elif kind == 2:
            node.replace(draw.choice([exp.Null(), exp.Star(), exp.Literal.number(-1), exp.Literal.string("'")]))
        else:
            node.pop()
    return str(tree.sql("sqlite"))


def scrambled(sql: str, draw: random.Random) -> str:
    """The text with characters cut out, doubled or replaced by random ones."""
    text = list(sql)
    for _ in range(draw.randint(1, 6)):
        place = draw.randrange(len(text) + 1)
        junk = "".join(chr(draw.choice([draw.randrange(128), draw.randrange(0x2FFF), 0xD800])) for _ in range(3))
        text[place : place + draw.randrange(4)] = draw.choice(
            ["", junk, sql[place : place + 9], "'", '"', "(", ")", ";", "--"]
        )
    return "".join(text)


def fuzzed(golds: list[str], draw: random.Random) -> str:
    kind, sql = draw.randrange(4), draw.choice(golds)
    if kind == 0:
        return "".join(chr(draw.randrange(1, 0x3000)) for _ in range(draw.randrange(80)))
    if kind == 1:
        return bytes(draw.randrange(256) for _ in range(draw.randrange(80))).decode("utf-8", errors="replace")
    if kind == 2:
        return scrambled(sql, draw)
    try:
        return mutated(sql, draw)
    except (ValueError, AttributeError, TypeError, KeyError):  # a tree that has no text
        return scrambled(sql, draw)


def test_ten_thousand_fuzzed_hostile_predictions_neither_crash_nor_hang(tmp_path: Path) -> None:
    embedded.build(tmp_path)
    draw = random.Random(0)
    questions = read_split(tmp_path, "train")
    golds = sorted({question.query for question in questions})
    files = sorted({database_path(tmp_path, "train", question.db_id) for question in questions})
    names = {path: Names(read_sqlite(path)) for path in files}
    before = [state(path) for path in files]
    cases = []
    for _ in range(FUZZED):
        question = draw.choice(questions)
        path = database_path(tmp_path, "train", question.db_id)
        cases.append(Case(path, question.query, fuzzed(golds, draw), names[path]))
    with Sandbox(Limits(seconds=0.5, memory_mb=128, rows=10_000), workers=2) as sandbox:
        found = Counter(verdict.record()["category"] for verdict in Judge(sandbox).verdicts(cases))
    assert found.total() == FUZZED
    assert set(found) <= set(CATEGORIES)
    assert found["crashed"] == found["gold_failed"] == 0
    assert found["correct"] < FUZZED / 20
    assert min(found[kind] for kind in ("syntax", "no_such_table", "no_such_column", "wrong_result")) > 100, found
    assert [state(path) for path in files] == before
