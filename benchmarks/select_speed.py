"""How fast the best of five checkpoints is found on 200 questions: the plain loop, and ours.

    python benchmarks/select_speed.py

The embedded model on the sample data set, full schemas first; five checkpoints of one short training run. The plain loop
loads base and adapter for each checkpoint, asks the library's `generate` one question at a time, runs gold and query in
the sandbox and compares the results. Ours is what `loraql evaluate` does, on all questions, nothing known beforehand. The
plain loop is timed on a draw of the questions, fresh in each round, since all of them would take most of an hour a round:
its time for them all is that of the draw by their number, plus the loading. Both have to come to the same verdicts on what both
were asked. What a race would have spared is told from ours' verdicts. Figures go to
`benchmarks/results/select_speed.json`.
"""

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from generate_speed import MOST, plain
from train_speed import processor, sample

from data.spider import database_path
from eval.extract import extract_sql
from eval.pool import Sandbox
from eval.race import still_in
from eval.verdict import is_ordered, normalize, same_result
from pipeline.asking import Asking
from pipeline.base import fetch_base
from pipeline.config import Config
from pipeline.engine import start_engine
from pipeline.evaluate import HEATS, checkpoints_of
from pipeline.model import encode_prompts, load_adapter, load_model, load_tokenizer, quiet_libraries
from pipeline.scorer import Scorer
from pipeline.stage import read_jsonl

RESULT = Path(__file__).parent / "results" / "select_speed.json"
CHECKPOINTS = 5
CONFIDENCE = 0.95
SETTINGS = [
    "selection.databases=[library, shop, clinic, flights]",
    "train.max_steps=30",
    f"train.checkpoints={CHECKPOINTS}",
    f"evaluate.max_new_tokens={MOST}",
    "cache.answers=false",
]

Verdicts = dict[tuple[str, str], bool]  # of a checkpoint on a question


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--drawn", type=int, default=10, help="questions that the plain loop is asked in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    quiet_libraries()
    with sample(SETTINGS, last="train") as config:
        result = measure(config, arguments.questions, arguments.drawn, arguments.rounds)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def measure(config: Config, questions: int, drawn: int, rounds: int) -> dict[str, Any]:
    every = read_jsonl(config.run / "render" / "select.jsonl")
    lines = random.Random(0).sample(every, questions)
    plainly: list[float] = []
    mine: list[float] = []
    same = 0
    for number in range(rounds):
        start = time.perf_counter()
        verdicts = ours(config, lines)
        mine.append(time.perf_counter() - start)
        print(f"round {number + 1}: ours: {mine[-1]:.0f} s", file=sys.stderr)
        asked = random.Random(number).sample(lines, drawn)
        loading, asking, others = loop(config, asked)
        plainly.append(loading + asking / drawn * questions)
        same += sum(verdicts[key] == right for key, right in others.items())
        print(
            f"round {number + 1}: plain loop: {loading:.0f} s + {asking:.0f} s for {drawn} questions", file=sys.stderr
        )
    checkpoints = sorted({name for name, _ in verdicts}, key=lambda name: int(name.split("-")[1]))
    right = {name: [verdicts[name, line["id"]] for line in lines] for name in checkpoints}
    return {
        "ratio": round(statistics.median(plainly) / statistics.median(mine), 2),
        "questions": questions,
        "checkpoints": len(checkpoints),
        "seconds": {"plain loop": round(statistics.median(plainly), 1), "ours": round(statistics.median(mine), 1)},
        "rounds": {"plain loop": [round(one, 1) for one in plainly], "ours": [round(one, 1) for one in mine]},
        "plain_loop_is_timed_on": f"{drawn} questions and all checkpoints in each round",
        "verdicts_that_differ": rounds * drawn * len(checkpoints) - same,
        "ex": {name: sum(found) for name, found in right.items()},
        "race": race(right),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "processor": processor()},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("loraql", "torch", "transformers", "peft")},
    }


def ours(config: Config, lines: list[dict[str, Any]]) -> Verdicts:
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    engine = start_engine(config, base, tokenizer)
    folder = Path(tempfile.mkdtemp(dir="."))
    verdicts: Verdicts = {}
    with Sandbox(config.sandbox.limits) as sandbox:
        scorer = Scorer(config, folder, sandbox)
        asking = Asking(config, engine, tokenizer, sandbox, scorer.database)
        for path in checkpoints_of(config):
            asking.use(path)
            scorer.score(path.name, "select", lines, asking.greedy, {"greedy": True})
            verdicts |= {(path.name, item["id"]): bool(item["ex"]) for item in scorer.records(path.name, "select")}
    shutil.rmtree(folder)
    return verdicts


def loop(config: Config, lines: list[dict[str, Any]]) -> tuple[float, float, Verdicts]:
    """Seconds of loading, of all else, and the verdicts."""
    loading = asking = 0.0
    verdicts: Verdicts = {}
    for path in checkpoints_of(config):
        start = time.perf_counter()
        base = fetch_base(config.model)
        tokenizer = load_tokenizer(base)
        model = load_adapter(load_model(base), path).eval()
        loading += time.perf_counter() - start
        start = time.perf_counter()
        with Sandbox(config.sandbox.limits, workers=1) as sandbox:
            for line in lines:
                (text,) = plain(model, tokenizer, encode_prompts(tokenizer, [line["prompt"]]), 1)
                database = database_path(config.data.root, "select", line["db_id"])
                gold, found = (sandbox.run(database, normalize(sql)) for sql in (line["completion"], extract_sql(text)))
                ran = gold.category == found.category == "ok"
                ordered = is_ordered(line["completion"])
                verdicts[path.name, line["id"]] = ran and same_result(gold.rows, found.rows, ordered)
        asking += time.perf_counter() - start
    return loading, asking, verdicts


def race(right: dict[str, list[bool]]) -> dict[str, Any]:
    """What a race would have spared of the answers, and whether it would have come to the same choice."""
    count = len(next(iter(right.values())))
    names, answers = list(right), 0
    asked = 0
    for number in range(1, HEATS + 1):
        answers += len(names) * (count * number // HEATS - asked)
        asked = count * number // HEATS
        if number < HEATS:
            names = still_in({name: right[name][:asked] for name in names}, CONFIDENCE, HEATS - 1)

    def best(candidates: list[str]) -> str:
        return max(candidates, key=lambda name: (sum(right[name]), -list(right).index(name)))

    return {
        "confidence": CONFIDENCE,
        "spared": round(1 - answers / (count * len(right)), 3),
        "left": names,
        "same_choice": best(names) == best(list(right)),
    }


if __name__ == "__main__":
    main()
