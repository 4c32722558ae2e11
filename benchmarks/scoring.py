"""How fast predictions are scored: EX, EM and hardness, with one worker and with two, cold and warm.

    python benchmarks/scoring.py
    python benchmarks/scoring.py --gold gold.sql --pred c3.sql --db spider_data/database

Without files it scores 972 neighbours of the sample's gold queries. Cold is a judge that knows no gold yet,
warm one that has judged the same golds before; worker processes run already in both. The plain way, for the
ratio, opens the database for each query in this very process, without any protection, and parses every text
anew. Figures go to `benchmarks/results/scoring.json`. With `--suite DIR` (as `loraql suite` makes them) it
also measures test-suite accuracy against the number of databases.
"""

import argparse
import json
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data import embedded
from data.predictions import read_pairs
from data.schema import read_sqlite
from data.spider import database_file, database_path, find_tables, read_split, suite_files
from eval import spider_sql
from eval.exact_match import match
from eval.neighbours import neighbours
from eval.pool import Sandbox
from eval.query import KnownNames, Names, ParseError
from eval.score import Case, Judge
from eval.verdict import is_ordered, normalize, same_result

RESULT = Path(__file__).parent / "results" / "scoring.json"
PREDICTIONS = 972


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        cases = from_files(arguments) if arguments.pred else from_sample(Path(folder))
        result = measure(cases, arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gold", type=Path, help="gold queries in the official format")
    parser.add_argument("--pred", type=Path, help="predictions in the official format")
    parser.add_argument("--db", type=Path, help="the folder of databases")
    parser.add_argument("--suite", type=Path, help="a folder of test suites for the same databases")
    parser.add_argument("--times", type=int, default=3, help="score the predictions this often in a row (N x)")
    parser.add_argument("--repeats", type=int, default=7, help="measurements that the medians are of")
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args()


def from_files(arguments: argparse.Namespace) -> list[Case]:
    names = KnownNames(find_tables(arguments.db))
    files = [
        (pair, database_file(arguments.db, pair.db_id)) for pair in read_pairs(arguments.gold, arguments.pred).pairs
    ]
    return [Case(path, pair.gold, pair.predicted, names.get(path)) for pair, path in files]


def from_sample(folder: Path) -> list[Case]:
    """Neighbours of the sample's golds: some right, some wrong, some that do not run."""
    embedded.build(folder)
    draw = random.Random(0)
    cases = []
    for question in read_split(folder, "train") + read_split(folder, "dev"):
        path = database_path(folder, "dev", question.db_id)
        schema = read_sqlite(path)
        near = [neighbour.sql for neighbour in neighbours(question.query, schema, {}, 0, 3)]
        cases += [Case(path, question.query, sql, Names(schema)) for sql in [question.query, *near]]
    known = {case.database: case.names for case in cases}  # one a database, as scoring has it
    drawn = draw.sample(cases, PREDICTIONS)
    return [replace(case, names=known[case.database]) for case in drawn]


def measure(cases: list[Case], arguments: argparse.Namespace) -> dict[str, Any]:
    repeats, times = arguments.repeats, arguments.times
    right = {
        sum(verdict.ex for verdict in judged(cases, 1)),
        sum(verdict.ex for verdict in judged(cases, 2)),
        plain(cases),
    }
    assert len(right) == 1, f"the ways disagree: {right}"
    cold = {workers: [seconds_of(cases, workers, cold=True) for _ in range(repeats)] for workers in (1, 2)}
    warm = {workers: [seconds_of(cases, workers, cold=False) for _ in range(repeats)] for workers in (1, 2)}
    many = {workers: [seconds_of(cases * times, workers, cold=True) for _ in range(repeats)] for workers in (1, 2)}
    full = {workers: [seconds_of(cases, workers, True, everything) for _ in range(repeats)] for workers in (1, 2)}
    plainly = [clock(lambda: plain(cases)) for _ in range(repeats)]
    median = {
        f"{name}_{workers}": statistics.median(runs)
        for name, by in (("cold", cold), ("warm", warm), ("many", many), ("full", full))
        for workers, runs in by.items()
    }
    result = {
        "predictions": len(cases),
        "right": right.pop(),
        "input": str(arguments.pred.name) if arguments.pred else "neighbours of the sample's golds",
        "repeats": repeats,
        "seconds_one_worker": round(median["cold_1"], 4),
        "seconds_two_workers": round(median["cold_2"], 4),
        "seconds_one_worker_golds_known": round(median["warm_1"], 4),
        "seconds_two_workers_golds_known": round(median["warm_2"], 4),
        "seconds_one_worker_all_figures": round(median["full_1"], 4),
        "seconds_two_workers_all_figures": round(median["full_2"], 4),
        "seconds_plain": round(statistics.median(plainly), 4),
        "times_faster_than_plain": round(statistics.median(plainly) / median["cold_1"], 2),
        "predictions_a_second": {
            key: round(len(cases) * (times if key.startswith("many") else 1) / value) for key, value in median.items()
        },
        "seconds_all": {"cold_1": cold[1], "cold_2": cold[2], "warm_1": warm[1], "warm_2": warm[2], "plain": plainly},
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "processor": processor()},
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "loraql": version("loraql"),
            "sqlglot": version("sqlglot"),
        },
    }
    if arguments.suite:
        result["test_suite"] = suites(cases, arguments.suite, min(repeats, 3))
    return result


def judged(cases: Sequence[Case], workers: int) -> list[Any]:
    with Sandbox(workers=workers) as sandbox:
        return judged_by(sandbox, cases)


def judged_by(sandbox: Sandbox, cases: Sequence[Case]) -> list[Any]:
    return list(Judge(sandbox).verdicts(cases))


def official(judge: Judge, cases: Sequence[Case]) -> int:
    """EX, EM and hardness of each, which is what the official tool gives."""
    return sum(bool((verdict.ex, verdict.read.em, verdict.read.hardness)) for verdict in judge.verdicts(cases))


def everything(judge: Judge, cases: Sequence[Case]) -> int:
    """All that a line of predictions.jsonl holds: also EX with DISTINCT kept and the semantic match."""
    return sum(bool(verdict.record()) for verdict in judge.verdicts(cases))


def seconds_of(
    cases: Sequence[Case], workers: int, cold: bool, work: Callable[[Judge, Sequence[Case]], int] = official
) -> float:
    with Sandbox(workers=workers) as sandbox:
        list(sandbox.map([(cases[0].database, "SELECT 1")] * 50 * workers))  # started
        judge = Judge(sandbox)
        if not cold:
            work(judge, cases)
        return clock(partial(work, judge, cases))


def clock(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def plain(cases: Sequence[Case]) -> int:
    """The plain way, for predictions that are known to be harmless; how many are right."""
    right = 0
    for case in cases:
        assert case.names
        rows: list[Any] = []
        for sql in (case.gold, case.predicted):
            connection = sqlite3.connect(case.database)
            connection.text_factory = lambda raw: raw.decode("utf-8", errors="ignore")
            try:
                rows.append(connection.execute(normalize(sql)).fetchall())
            except sqlite3.Error:
                rows.append(None)
            connection.close()
        if rows[0] is not None and rows[1] is not None:
            right += same_result(rows[0], rows[1], is_ordered(case.gold))
        try:
            match(
                spider_sql.parse(case.gold, case.names).query,
                spider_sql.parse(case.predicted, case.names).query,
                case.names,
            )
        except ParseError:
            continue
    return right


def suites(cases: list[Case], folder: Path, repeats: int) -> list[dict[str, float]]:
    """Seconds for suites of growing size, where every prediction runs on every database."""
    rows = []
    for most in (1, 5, 10, 20):
        suited = []
        for case in cases:
            path = database_file(folder, case.database.stem)
            if path.is_file():
                files = [path, *suite_files(path)]
                # The same number for each, whatever its suite holds.
                suited.append(replace(case, predicted=case.gold, suite=tuple((files * most)[1:most])))
        with Sandbox(workers=2) as sandbox:
            judged_by(sandbox, suited[:50])
            runs = [clock(partial(judged_by, sandbox, suited)) for _ in range(repeats)]
        rows.append({"databases": most, "predictions": len(suited), "seconds": round(statistics.median(runs), 3)})
    return rows


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
