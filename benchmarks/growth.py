"""How cost grows with the data: once, twice and four times as many questions, from frozen states to scores.

    python benchmarks/growth.py

The embedded model on the sample data set, 20 layers frozen. For each size: computing the states of the frozen layers, an
epoch of training with them, and scoring one model on as many questions. Medians of several rounds. Figures go to
`benchmarks/results/growth.json`, with the exponent of a power law fitted to each: 1 is a straight line.
"""

import argparse
import json
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from train_speed import WAYS, prepare, processor, sample, some_of_each

from eval.pool import Sandbox
from pipeline.asking import Asking
from pipeline.base import fetch_base
from pipeline.config import Config
from pipeline.engine import start_engine
from pipeline.model import load_tokenizer, quiet_libraries
from pipeline.scorer import Scorer
from pipeline.stage import read_jsonl
from pipeline.train import encode_examples

RESULT = Path(__file__).parent / "results" / "growth.json"
SIZES = (32, 64, 128)
WAY = WAYS["all, 20 frozen"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    quiet_libraries()
    with sample() as config:
        result = measure(config, arguments.rounds)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def measure(config: Config, rounds: int) -> dict[str, Any]:
    config = config.model_copy(
        update={
            "cache": config.cache.model_copy(update={"answers": False}),
            "evaluate": config.evaluate.model_copy(update={"max_new_tokens": 24}),
        }
    )
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    lines = read_jsonl(config.run / "render" / "train.jsonl")
    every = encode_examples(tokenizer, lines)
    found: dict[str, dict[int, list[float]]] = {
        name: {size: [] for size in SIZES} for name in ("frozen states", "training", "scoring")
    }
    for number in range(rounds):
        for size in SIZES:
            examples = some_of_each(every, size)
            trainer, _, filling = prepare(config, WAY, tokenizer, base, examples, number)
            start = time.perf_counter()
            trainer.train()
            found["training"][size].append(time.perf_counter() - start)
            found["frozen states"][size].append(filling)
            found["scoring"][size].append(score(config, base, tokenizer, random.Random(number).sample(lines, size)))
            print(f"round {number + 1}: {size}: {[seconds[size][-1] for seconds in found.values()]}", file=sys.stderr)
    medians = {
        name: {size: round(statistics.median(taken), 2) for size, taken in sizes.items()}
        for name, sizes in found.items()
    }
    return {
        "seconds": medians,
        "exponents": {name: exponent(sizes) for name, sizes in medians.items()},
        "rounds": {
            name: {size: [round(one, 2) for one in taken] for size, taken in sizes.items()}
            for name, sizes in found.items()
        },
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "processor": processor()},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("loraql", "torch", "transformers", "peft", "trl")},
    }


def score(config: Config, base: Path, tokenizer: Any, lines: list[dict[str, Any]]) -> float:
    engine = start_engine(config, base, tokenizer)
    with tempfile.TemporaryDirectory(dir=".") as folder, Sandbox(config.sandbox.limits) as sandbox:
        scorer = Scorer(config, Path(folder), sandbox)
        asking = Asking(config, engine, tokenizer, sandbox, scorer.database)
        start = time.perf_counter()
        scorer.score("base", "train", lines, asking.greedy, {"greedy": True})
        return time.perf_counter() - start


def exponent(seconds: dict[int, float]) -> float:
    """The slope of a line through the logarithms, by least squares."""
    points = [(math.log(size), math.log(taken)) for size, taken in seconds.items()]
    middle = [statistics.fmean(values) for values in zip(*points, strict=True)]
    above = sum((x - middle[0]) * (y - middle[1]) for x, y in points)
    return round(above / sum((x - middle[0]) ** 2 for x, _ in points), 3)


if __name__ == "__main__":
    main()
