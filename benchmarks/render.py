"""How fast all of Spider is rendered: full schemas, and linked ones with values, from a warm index.

    loraql download spider && loraql prepare spider-smollm2
    python benchmarks/render.py

Each way is rendered in a process of its own, in turn, and the medians are kept; so is the largest memory of a
process. The plain way, for the ratio, is full schemas. The index is built before, once. Figures go to
`benchmarks/results/render.json`.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "render.json"
WAYS = {
    "full": ["prompt.context=full"],
    "mixed": ["prompt.context=mixed"],
    "linked, values": ["prompt.context=linked", "prompt.linking=true", "prompt.samples=2", "prompt.matches=true"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="spider-smollm2")
    parser.add_argument("--repeats", type=int, default=3, help="measurements that the medians are of")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(render_once(arguments.recipe, WAYS[arguments.way])))
        return
    for way in WAYS:  # builds the index, and fetches the base model's tokenizer
        measured(arguments.recipe, way)
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(arguments.repeats):
        for way in WAYS:
            runs[way].append(measured(arguments.recipe, way))
    result = {
        "questions": runs["full"][0]["questions"],
        "ways": {way: summary(measurements, runs["full"]) for way, measurements in runs.items()},
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("transformers", "sqlglot", "numpy")},
        },
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def measured(recipe: str, way: str) -> dict[str, float]:
    """One rendering in a fresh process; the seconds of it all, start-up too, and of rendering alone."""
    start = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, __file__, "--recipe", recipe, "--way", way], capture_output=True, text=True, check=True
    )
    inside: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return inside | {"seconds_in_all": time.perf_counter() - start}


def render_once(recipe: str, overrides: list[str]) -> dict[str, Any]:
    from pipeline.config import load_config
    from pipeline.render import render

    config = load_config(recipe, overrides)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        render(config, Path(folder))
        seconds = time.perf_counter() - start
        stats = json.loads((Path(folder) / "stats.json").read_text(encoding="utf-8"))
    return {
        "questions": sum(figures["questions"] for figures in stats["splits"].values()),
        "mean_tokens_dev": stats["splits"]["dev"]["tokens"]["mean"],
        "seconds": seconds,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def summary(measurements: list[dict[str, float]], plain: list[dict[str, float]]) -> dict[str, float]:
    def median(runs: list[dict[str, float]], name: str) -> float:
        return statistics.median(run[name] for run in runs)

    return {name: round(median(measurements, name), 1) for name in measurements[0] if name != "questions"} | {
        "times_the_plain_way": round(median(measurements, "seconds") / median(plain, "seconds"), 2)
    }


if __name__ == "__main__":
    main()
