"""Trial passes before training: how long a forward and backward pass takes, how much memory, and so the whole.

Works on the model that is to be trained and changes nothing in it; writes nothing.
"""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.batches import Encoded, Plan, collate, make_sequence
from pipeline.console import say, table
from pipeline.frozen import Frozen
from pipeline.lora import ParameterCount, count_parameters
from pipeline.model import pick_device, pick_dtype
from pipeline.settings import TrainSettings
from pipeline.trainer import Steps


@dataclass(frozen=True)
class Trial:
    """What one pass took: seconds, gigabytes in use at its start, and gigabytes more at most."""

    seconds: float
    before: float
    growth: float


@dataclass(frozen=True)
class Speed:
    """Seconds a token: of passes forward and back, and of computing the states of frozen layers."""

    seconds: float
    frozen_seconds: float
    passes: int


class Computed:
    """States of frozen layers, computed whenever they are read, and how long that took."""

    def __init__(self, frozen: Frozen, model: Any, examples: Sequence[Encoded], pad: int) -> None:
        self._frozen, self._model, self._examples, self._pad = frozen, model, examples, pad
        self.seconds, self.tokens = 0.0, 0

    def read(self, places: Sequence[int]) -> Any:
        batch = collate([make_sequence([self._examples[place] for place in places])], self._pad)
        inputs = {name: tensor.to(self._model.device) for name, tensor in batch.items()}
        start = time.perf_counter()
        states = self._frozen.states(inputs)[0].cpu()
        self.seconds, self.tokens = self.seconds + time.perf_counter() - start, self.tokens + len(states)
        return states


def announce(steps: Steps, settings: TrainSettings, plan: Plan) -> None:
    """Parameter counts, and what the run will take, judged from a trial pass that changes nothing."""
    show_parameters(count_parameters(steps.model), settings)
    lengths = [len(make_sequence([steps.examples[place] for place in places]).ids) for places in plan.sequences]
    epochs = plan.steps / plan.steps_an_epoch
    todo = (
        f"  {plan.steps} steps ({epochs:.1f} epochs) of {plan.size} sequence{'' if plan.size == 1 else 's'}, "
        f"{sum(lengths):,} tokens; "
    )
    if settings.sharding != "none":  # no process can run the model by itself
        say(f"{todo}no estimate: the model is spread over {settings.processes} processes")
        return
    ranked = sorted(range(len(lengths)), key=lengths.__getitem__)
    trial_pass(steps, [plan.sequences[ranked[0]]], settings)  # the first one is slower
    trial = trial_pass(steps, [plan.sequences[ranked[-1]]], settings)
    minutes = trial.seconds / lengths[ranked[-1]] * sum(lengths) / settings.processes / 60
    gigabytes = trial.before + trial.growth * settings.sequences_at_once
    memory = "GPU memory" if pick_device() == "cuda" else "memory"
    say(f"{todo}estimate: {minutes:.1f} minutes, at most {gigabytes:.1f} GB of {memory}")


def measure_passes(steps: Steps, batches: Sequence[Sequence[Sequence[int]]], settings: TrainSettings) -> Speed:
    """Of a short, a middling and a long one of these batches; another one goes before, as the first is slower."""
    lengths = [
        sum(len(make_sequence([steps.examples[place] for place in row]).ids) for row in rows) for rows in batches
    ]
    ranked = sorted(range(len(batches)), key=lengths.__getitem__)
    trial_pass(steps, batches[ranked[0]][:1], settings)
    computed = steps.known[1] if steps.known and isinstance(steps.known[1], Computed) else None
    if computed:
        computed.seconds, computed.tokens = 0.0, 0
    chosen = [ranked[len(ranked) * tenths // 10] for tenths in (2, 5, 8)]
    seconds = sum(trial_pass(steps, batches[place], settings).seconds for place in chosen)
    tokens = sum(lengths[place] for place in chosen)
    return Speed(seconds / tokens, computed.seconds / computed.tokens if computed else 0.0, len(chosen))


def show_parameters(count: ParameterCount, settings: TrainSettings) -> None:
    table(
        "Parameters",
        ["all", "trainable (LoRA)", "frozen", "of them quantized", "layers with adapters"],
        [
            [
                f"{count.trainable + count.frozen:,}",
                f"{count.trainable:,}",
                f"{count.frozen:,}",
                f"{count.quantized:,} ({settings.quantization})",
                f"{count.layers - settings.freeze_layers} of {count.layers}",
            ]
        ],
    )


def trial_pass(steps: Steps, sequences: Sequence[Sequence[int]], settings: TrainSettings) -> Trial:
    """A forward and backward pass over a batch of these sequences, computed as the trainer will."""
    import torch

    device = pick_device()
    model = steps.model
    model.train()
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    inputs = {name: tensor.to(model.device) for name, tensor in steps.batch(sequences).items()}
    before = _memory_gb()
    start = time.perf_counter()
    mixed = torch.autocast(device, dtype=torch.bfloat16, enabled=pick_dtype(settings.compute) == "bfloat16")
    # Dropout draws random numbers here that the training steps must not miss.
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        with mixed:
            loss, _ = steps.loss(model, inputs)
        loss.backward()
        if device == "cuda":
            torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    growth = max(_memory_gb() - before, 0.0)
    model.zero_grad(set_to_none=True)
    return Trial(seconds, before, growth)


def _memory_gb() -> float:
    import torch

    if pick_device() == "cuda":
        return float(torch.cuda.max_memory_allocated()) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
