"""How fast a model is trained: TRL's stock SFTTrainer with padding, each measure of ours alone, and all together.

    python benchmarks/train_speed.py

The embedded model and sample data set, full schemas first, LoRA of rank 16, 16 examples a step. The same examples
are trained on in every way; each way is timed in turn, the medians of several rounds are kept, and ratios are those
of examples a second. Stock trains the same layers as the way that it is compared with: `freezing alone` says what
leaving adapters off the lower layers gives by itself. The loss of the untrained model on all examples is computed
in each way and has to be the same. Figures go to `benchmarks/results/train_speed.json`.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.base import fetch_base
from pipeline.batches import Encoded, encode_examples, plan_steps
from pipeline.config import Config, load_config
from pipeline.frozen import cached_states
from pipeline.lora import adapted_model
from pipeline.model import load_tokenizer, quiet_libraries
from pipeline.stage import read_jsonl
from pipeline.trainer import Steps, make_trainer

RESULT = Path(__file__).parent / "results" / "train_speed.json"
STEP = 16  # examples
AT_ONCE = 4  # of the stock trainer, which then accumulates
PACKING = 8  # two databases a step
EPOCHS = 3
STAGES = ("download", "prepare", "render", "train")
SETTINGS = ["train.packing=1", f"train.batch_size={STEP}", "train.lora.rank=16", "train.lora.alpha=32"]
SAME = 1e-4  # what losses may differ by


@dataclass(frozen=True)
class Way:
    """How one is trained: `frozen` layers without adapters, so many examples a sequence, states kept or not."""

    frozen: int
    packing: int = 1
    cached: bool = False
    stock: bool = False


WAYS = {
    "stock": Way(0, stock=True),
    "stock, 20 frozen": Way(20, stock=True),
    "stock, 25 frozen": Way(25, stock=True),
    "completion logits, like lengths": Way(0),
    "shared prefixes": Way(0, PACKING),
    "completion logits, 20 frozen": Way(20),
    "shared prefixes, 20 frozen": Way(20, PACKING),
    "states kept, 20 frozen": Way(20, cached=True),
    "all, 20 frozen": Way(20, PACKING, cached=True),
    "all, 25 frozen": Way(25, PACKING, cached=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=32, help="that are trained on in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    quiet_libraries()
    with sample() as config:
        measured = measure(config, arguments.examples, arguments.rounds, arguments.ways)
    result = summary(measured, arguments.examples)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


@contextmanager
def sample(settings: list[str] | None = None, last: str = "render") -> Iterator[Config]:
    """The sample's line up to a stage, in a folder of its own that is worked in meanwhile."""
    settings = SETTINGS if settings is None else settings
    with tempfile.TemporaryDirectory() as folder:
        there = Path.cwd()
        os.chdir(folder)
        for stage in STAGES[: STAGES.index(last) + 1]:
            command = [sys.executable, "-m", "pipeline", stage, "sample", *settings]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield load_config("sample", settings)
        os.chdir(there)


def measure(config: Config, count: int, rounds: int, ways: list[str]) -> dict[str, dict[str, Any]]:
    """Seconds of each way's epochs, of filling its cache, and the loss of the untrained model."""
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    examples = some_of_each(encode_examples(tokenizer, read_jsonl(config.run / "render" / "train.jsonl")), count)
    found: dict[str, dict[str, Any]] = {name: {"seconds": [], "seconds_filling": []} for name in ways}
    for number in range(rounds):
        for name in ways:
            way = WAYS[name]
            trainer, steps, filling = prepare(config, way, tokenizer, base, examples, number)
            if number == 0:
                found[name]["loss"] = loss(steps, way.packing)
            start = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - start
            found[name]["seconds"].append(seconds)
            found[name]["seconds_filling"].append(filling)
            print(f"round {number + 1}: {name}: {len(examples) / seconds:.2f} examples/s", file=sys.stderr)
    return found


def some_of_each(examples: list[Encoded], count: int) -> list[Encoded]:
    """Examples of all databases, as many of each."""
    contexts: dict[str, list[Encoded]] = {}
    for example in examples:
        contexts.setdefault(example.context, []).append(example)
    each = -(-count // len(contexts) // PACKING) * PACKING
    return [example for group in contexts.values() for example in group[:each]][:count]


def prepare(
    config: Config, way: Way, tokenizer: Any, base: Path, examples: list[Encoded], number: int
) -> tuple[Any, Steps, float]:
    """A trainer for one epoch, and the seconds that filling an empty cache took."""
    train = config.train.model_copy(
        update={
            "freeze_layers": way.frozen,
            "packing": way.packing,
            "epochs": 1.0,
            "max_steps": None,
            "checkpoints": 1,
        }
    )
    own = config.model_copy(update={"train": train})
    pad = tokenizer.pad_token_id
    model = adapted_model(own, base)
    os.environ["LORAQL_CACHE"], kept = tempfile.mkdtemp(dir="."), os.environ.get("LORAQL_CACHE")
    start = time.perf_counter()
    known = cached_states(own, model, examples, range(len(examples)), pad) if way.cached else None
    filling = time.perf_counter() - start if known else 0.0
    del os.environ["LORAQL_CACHE"]
    os.environ |= {"LORAQL_CACHE": kept} if kept else {}
    steps = Steps(model, examples, pad, known)
    folder = Path(tempfile.mkdtemp(dir="."))
    if way.stock:
        return stock_trainer(own, folder, tokenizer, steps, number), steps, 0.0
    plan = plan_steps(examples, train, number)
    return make_trainer(own, folder, tokenizer, steps, plan, silent()), steps, filling


def stock_trainer(config: Config, folder: Path, tokenizer: Any, steps: Steps, number: int) -> Any:
    """TRL's own way: prompts and completions in tokens, in random order, padded, the loss on completions."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    order = random.Random(number).sample(list(steps.examples), len(steps.examples))
    rows = {
        "input_ids": [example.ids for example in order],
        "completion_mask": [
            [0] * (len(example.ids) - example.completion) + [1] * example.completion for example in order
        ],
    }
    arguments = SFTConfig(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=AT_ONCE,
        gradient_accumulation_steps=STEP // AT_ONCE,
        learning_rate=config.train.learning_rate,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        max_length=None,
        save_strategy="no",
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=False,
    )
    trainer = SFTTrainer(
        model=steps.model, args=arguments, processing_class=tokenizer, train_dataset=Dataset.from_dict(rows)
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def silent() -> Any:
    from transformers import TrainerCallback

    return TrainerCallback()


def loss(steps: Steps, packing: int) -> float:
    """Of the untrained model on the first examples, in sequences of so many."""
    import torch

    total = count = 0.0
    for first in range(0, STEP, packing):
        places = list(range(first, first + packing))
        with torch.no_grad():
            value, _ = steps.loss(steps.model, steps.batch([places]))
        tokens = sum(steps.examples[place].completion for place in places)
        total, count = total + float(value) * tokens, count + tokens
    return total / count


def summary(measured: dict[str, dict[str, Any]], count: int) -> dict[str, Any]:
    """Medians, and ratios against stock with the same layers."""
    median = {name: statistics.median(found["seconds"]) for name, found in measured.items()}
    losses = [found["loss"] for found in measured.values()]
    if max(losses) - min(losses) > SAME:
        raise SystemExit(f"the losses differ: {losses}")

    def ratio(name: str, against: str) -> float | None:
        return round(float(median[against] / median[name]), 2) if name in median and against in median else None

    def over_all(name: str, against: str) -> float | None:
        if name not in median or against not in median:
            return None
        filling = statistics.median(measured[name]["seconds_filling"])
        return round(EPOCHS * median[against] / (filling + EPOCHS * median[name]), 2)

    return {
        "ratio_epoch2": ratio("all, 20 frozen", "stock, 20 frozen"),
        "ratio_total": over_all("all, 20 frozen", "stock, 20 frozen"),
        "ratio_epoch2_25": ratio("all, 25 frozen", "stock, 25 frozen"),
        "ratio_unfrozen": ratio("shared prefixes", "stock"),
        "ratios": {
            "against": "stock with the same layers frozen",
            **{
                name: ratio(name, against)
                for name in median
                if (against := f"stock, {WAYS[name].frozen} frozen" if WAYS[name].frozen else "stock") != name
            },
            "freezing 20 alone, against stock": ratio("stock, 20 frozen", "stock"),
            "all, 20 frozen, against stock": ratio("all, 20 frozen", "stock"),
            "all, 25 frozen, against stock": ratio("all, 25 frozen", "stock"),
        },
        "examples": count,
        "examples_a_second": {name: round(count / seconds, 3) for name, seconds in median.items()},
        "seconds_filling": {
            name: round(statistics.median(found["seconds_filling"]), 2)
            for name, found in measured.items()
            if WAYS[name].cached
        },
        "rounds": {name: [round(seconds, 2) for seconds in found["seconds"]] for name, found in measured.items()},
        "loss": {name: round(found["loss"], 6) for name, found in measured.items()},
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "processor": processor()},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("loraql", "torch", "transformers", "trl", "peft")},
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
