"""What `train.speed` gives: seconds of a compiled training step and of a fused optimizer's step, and without them.

    python benchmarks/step_speed.py

The embedded model and the sample recipe's shapes: full schemas first, eight questions a sequence, LoRA of rank 16
above 8 frozen layers. The same steps are taken in every way, in turn; ratios are of medians over rounds, the first
steps of a round (which compile) left out and told apart. The optimizers step alone, on random gradients. Figures go to `benchmarks/results/step_speed.json`.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from train_speed import processor, sample, some_of_each

from pipeline.base import fetch_base
from pipeline.batches import plan_steps
from pipeline.config import Config
from pipeline.lora import adapted_model
from pipeline.model import load_tokenizer, quiet_libraries
from pipeline.stage import read_jsonl
from pipeline.train import encode_examples
from pipeline.trainer import Steps, make_trainer

RESULT = Path(__file__).parent / "results" / "step_speed.json"
WAYS: dict[str, Any] = {"off": "off", "compile": ("compile",)}
OPTIMIZER_STEPS = 20
WARM = 2  # steps that may compile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    quiet_libraries()
    found: dict[str, dict[str, list[float]]] = {name: {"step": [], "first": [], "loss": []} for name in WAYS}
    stepped: dict[str, list[float]] = {"off": [], "fused": []}
    with sample() as config:
        model = adapted_model(config, fetch_base(config.model))
        for _ in range(arguments.rounds):
            for name in stepped:
                stepped[name].append(optimizer_seconds(model, fused=name == "fused"))
        print({name: [round(each, 4) for each in rounds] for name, rounds in stepped.items()}, file=sys.stderr)
        for _ in range(arguments.rounds):
            for name, way in WAYS.items():
                for kind, seconds in measure(config, way, arguments.steps).items():
                    found[name][kind].append(seconds)
                print(name, {kind: round(rounds[-1], 4) for kind, rounds in found[name].items()}, file=sys.stderr)
    arguments.out.write_text(json.dumps(summary(found, stepped, arguments.steps), indent=2) + "\n", encoding="utf-8")
    print(arguments.out.read_text(encoding="utf-8"))


def optimizer_seconds(model: Any, *, fused: bool) -> float:
    """Of one step of AdamW over the adapters, the median of several."""
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0, fused=fused)
    for parameter in trained:
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    seconds = []
    for _ in range(OPTIMIZER_STEPS):
        start = time.perf_counter()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    optimizer.zero_grad()
    return statistics.median(seconds)


def measure(config: Config, speed: Any, steps: int) -> dict[str, float]:
    """The median of the seconds of a step, the seconds of the first steps, and the last loss."""
    from transformers import TrainerCallback

    settings = {"freeze_layers": 8, "packing": 8, "batch_size": 8, "max_steps": steps, "checkpoints": 1, "speed": speed}
    own = config.model_copy(update={"train": config.train.model_copy(update=settings)})
    base = fetch_base(own.model)
    tokenizer = load_tokenizer(base)
    examples = some_of_each(encode_examples(tokenizer, read_jsonl(own.run / "render" / "train.jsonl")), 32)
    marks: dict[str, list[float]] = {"begin": [], "end": []}

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            marks["begin"].append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks["end"].append(time.perf_counter())

    taken = Steps(adapted_model(own, base), examples, tokenizer.pad_token_id, None)
    plan = plan_steps(examples, own.train, 0)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(own, Path(folder), tokenizer, taken, plan, Clock())
        trainer.train()
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    whole = [end - begin for begin, end in zip(marks["begin"], marks["end"], strict=True)]
    return {
        "step": statistics.median(whole[WARM:]),
        "first": sum(whole[:WARM]),
        "loss": losses[-1],
    }


def summary(found: dict[str, dict[str, list[float]]], stepped: dict[str, list[float]], steps: int) -> dict[str, Any]:
    step = {name: statistics.median(one["step"]) for name, one in found.items()}
    optimizer = {name: statistics.median(rounds) for name, rounds in stepped.items()}
    return {
        "ratio_compile": round(step["off"] / step["compile"], 3),
        "ratio_fused_of_the_optimizer": round(optimizer["off"] / optimizer["fused"], 3),
        "seconds_step": {name: [round(each, 3) for each in one["step"]] for name, one in found.items()},
        f"seconds_first_{WARM}_steps": {name: [round(each, 2) for each in one["first"]] for name, one in found.items()},
        "seconds_optimizer": {name: [round(each, 5) for each in rounds] for name, rounds in stepped.items()},
        "loss": {name: round(one["loss"][0], 6) for name, one in found.items()},
        "steps": steps,
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "processor": processor()},
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("loraql", "torch", "transformers", "trl", "peft")},
    }


if __name__ == "__main__":
    main()
