"""How fast SQL is generated: the library's `generate` one prompt at a time, in batches of 8 as they come, and ours.

    python benchmarks/generate_speed.py

The embedded model and prompts of the sample data set, full schemas first; the adapter of a short training run, so that
the model writes SQL and ends it. The ways are timed in turn, the medians of several rounds are kept. All of them have
to write the same queries. Figures go to `benchmarks/results/generate_speed.json`.
"""

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from train_speed import processor, sample

from eval.extract import extract_sql, is_complete
from pipeline.base import fetch_base
from pipeline.config import Config
from pipeline.generation import generate
from pipeline.model import encode_prompts, load_adapter, load_model, load_tokenizer, quiet_libraries
from pipeline.settings import EvaluateSettings
from pipeline.stage import read_jsonl

RESULT = Path(__file__).parent / "results" / "generate_speed.json"
MOST = 64  # new tokens
BATCH, OURS = 8, EvaluateSettings().batch_size
SETTINGS = ["train.max_steps=24", "train.checkpoints=1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    quiet_libraries()
    with sample(SETTINGS, last="train") as config:
        result = measure(config, arguments.questions, arguments.rounds)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def measure(config: Config, questions: int, rounds: int) -> dict[str, Any]:
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    (checkpoint,) = (config.run / "train").glob("checkpoint-*")
    model = load_adapter(load_model(base), checkpoint).eval()
    lines = read_jsonl(config.run / "render" / "dev.jsonl")
    chosen = random.Random(0).sample(lines, questions)
    prompts = encode_prompts(tokenizer, [line["prompt"] for line in chosen])
    ways: dict[str, Callable[[], list[str]]] = {
        "one at a time": lambda: plain(model, tokenizer, prompts, 1),
        f"batches of {BATCH}": lambda: plain(model, tokenizer, prompts, BATCH),
        "ours": lambda: ours(model, tokenizer, prompts),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    written: dict[str, list[str]] = {}
    for number in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            written[name] = [extract_sql(text) for text in way()]
            seconds[name].append(time.perf_counter() - start)
            print(f"round {number + 1}: {name}: {questions / seconds[name][-1]:.2f} prompts/s", file=sys.stderr)
    first, *others = written.values()
    differing = sum(len(set(texts)) > 1 for texts in zip(first, *others, strict=True))
    median = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        "ratio_single": round(median["one at a time"] / median["ours"], 2),
        "ratio_batch": round(median[f"batches of {BATCH}"] / median["ours"], 2),
        "questions": questions,
        "queries_that_differ": differing,
        "prompts_a_second": {name: round(questions / taken, 3) for name, taken in median.items()},
        "rounds": {name: [round(taken, 2) for taken in found] for name, found in seconds.items()},
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "processor": processor()},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("loraql", "torch", "transformers", "peft")},
    }


def plain(model: Any, tokenizer: Any, prompts: list[list[int]], size: int) -> list[str]:
    """The library's own way, in the order of the prompts, padded on the left."""
    import torch

    texts = []
    for first in range(0, len(prompts), size):
        batch = prompts[first : first + size]
        width = max(map(len, batch))
        ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(one)) + one for one in batch])
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in batch])
        with torch.inference_mode():
            made = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=MOST,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        texts += tokenizer.batch_decode(made[:, width:], skip_special_tokens=True)
    return texts


def ours(model: Any, tokenizer: Any, prompts: list[list[int]]) -> list[str]:
    done = generate(model, tokenizer, prompts, max_new_tokens=MOST, batch_size=OURS, is_complete=is_complete)
    return [one.text for one in done]


if __name__ == "__main__":
    main()
