"""How alike the chosen examples' gold SQL is to that of the question asked, for each way of choosing.

    pip install "loraql[vector]"
    python benchmarks/choices.py spider_data

Reads Spider in its published layout, unpacked. Asks about the development questions whose database is there, all
with the whole schema as context; the pool are the training questions, 3 examples each. The likeness is that of SQL
skeletons: the gold query asked for is looked at for this figure only, after the choice. It says how much of a query
an example shows, not what a model makes of it. Figures go to `benchmarks/results/choices.json`.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data.examples import Example
from data.spider import Schemas, database_path, read_split
from prompts.describe import describe
from prompts.embed import PACKAGED, Embed, Embedder
from prompts.select import Choice, make_chooser
from prompts.skeleton import likeness, sql_skeleton

RESULT = Path(__file__).parent / "results" / "choices.json"
SHOTS = 3
WAYS: dict[str, tuple[Choice, bool]] = {  # with embeddings or without
    "random": ("random", False),
    "keyword": ("keyword", False),
    "vector": ("vector", True),
    "skeleton, words alone": ("skeleton", False),
    "skeleton": ("skeleton", True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spider", type=Path, help="the folder that holds dev.json and database/")
    parser.add_argument("--model", default=PACKAGED, help="another sentence-transformers model")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    pool, asked = (examples(arguments.spider, split) for split in ("train", "dev"))
    with tempfile.TemporaryDirectory() as cache:
        embedder = Embedder(arguments.model, Path(cache))
        start = time.perf_counter()
        embedder.embed([example.question for example in [*pool, *asked]])
        embedding = time.perf_counter() - start
        ways = {
            name: measure(choice, pool, asked, embedder.embed if embeds else None)
            for name, (choice, embeds) in WAYS.items()
        }
    result = {
        "asked": len(asked),
        "pool": len(pool),
        "shots": SHOTS,
        "skeletons_of_pool": len({sql_skeleton(example.query) for example in pool}),
        "seconds_embedding_all_questions": round(embedding, 2),
        "ways": ways,
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "processor": processor()},
        "versions": {
            "python": platform.python_version(),
            "model": arguments.model,
            **{
                name: version(name)
                for name in ("loraql", "bm25s", "numpy", "sentence-transformers", "torch", "transformers")
            },
        },
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def examples(root: Path, split: str) -> list[Example]:
    """The questions of a split whose database is there, shown with its whole schema."""
    schemas = Schemas(root)
    questions = [item for item in read_split(root, split) if database_path(root, split, item.db_id).is_file()]
    contexts = {db_id: describe(schemas.get(split, db_id)) for db_id in {item.db_id for item in questions}}
    return [
        Example(item.question, contexts[item.db_id], item.query, item.db_id, split, "unknown", "ok", item.id)
        for item in questions
    ]


def measure(choice: Choice, pool: list[Example], asked: list[Example], embed: Embed | None) -> dict[str, Any]:
    """Getting ready is to index the pool, and to embed what this way is the first to need."""
    start = time.perf_counter()
    choose = make_chooser(choice, pool, 0, embed=embed, ahead=asked)
    ready = time.perf_counter()
    chosen = [choose(example, SHOTS) for example in asked]
    done = time.perf_counter()
    alike = [
        [likeness(sql_skeleton(shot.query), sql_skeleton(example.query)) for shot in shots]
        for example, shots in zip(asked, chosen, strict=True)
    ]
    return {
        "likeness": round(statistics.fmean(value for values in alike for value in values), 4),
        "likeness_of_the_best": round(statistics.fmean(map(max, alike)), 4),
        "likeness_of_the_last": round(statistics.fmean(values[-1] for values in alike), 4),
        "share_with_an_equal_skeleton": round(statistics.fmean(max(values) == 1 for values in alike), 4),
        "seconds_getting_ready": round(ready - start, 2),
        "seconds_choosing": round(done - ready, 2),
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
