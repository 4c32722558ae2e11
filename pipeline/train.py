"""train: prompts and completions -> LoRA adapters in `runs/NAME/train/checkpoint-N/`, `metrics.jsonl`.

Reads `render/train.jsonl` and the base model, quantized; trains through TRL's SFTTrainer with the loss
on completions alone. The order of examples is drawn beforehand, so that a run that was killed and
taken up again at a checkpoint sees the same batches as one that was not.
"""

import json
import math
import random
import resource
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from pipeline.base import base_identity, fetch_base
from pipeline.config import Config, TrainSettings
from pipeline.console import progress, say, table
from pipeline.lora import adapted_model, count_parameters
from pipeline.model import (
    encode_completions,
    encode_prompts,
    load_tokenizer,
    pick_device,
    pick_dtype,
    quiet_libraries,
)
from pipeline.stage import Stage, digest_files, read_jsonl

TRIAL_EXAMPLES = 2
# Batches of like length are cut from this many batches' worth of examples.
LENGTH_GROUP_BATCHES = 8

TRAIN = Stage(
    name="train",
    version=1,
    folder=lambda config: config.run / "train",
    settings=lambda config: {"seed": config.seed, "train": config.train.model_dump(mode="json", exclude={"report_to"})},
    inputs=lambda config: {
        **digest_files(config.run / "render" / "train.jsonl"),
        "the base model": base_identity(config.model),
    },
    work=lambda config, folder: train(config, folder),
)


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example; the last `completion` of them carry the loss."""

    ids: list[int]
    completion: int

    @property
    def labels(self) -> list[int]:
        hidden = len(self.ids) - self.completion
        return [-100] * hidden + self.ids[hidden:]


def train(config: Config, folder: Path) -> None:
    """Trains to the end, from the last whole checkpoint in `folder` if there is one.

    Raises UserError for settings that the model does not allow, and when the loss stops being a number.
    """
    quiet_libraries()
    settings = config.train
    lines = read_jsonl(config.run / "render" / "train.jsonl")
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    examples = _encode(tokenizer, lines)
    steps_an_epoch = math.ceil(len(examples) / (settings.batch_size * settings.accumulation))
    steps = min(math.ceil(settings.epochs * steps_an_epoch), settings.max_steps or sys.maxsize)
    model = adapted_model(config, base)
    order = _batch_order([len(example.ids) for example in examples], steps, settings, config.seed)
    trainer = _make_trainer(
        config, folder, model, tokenizer, [examples[place] for place in order], steps, steps_an_epoch
    )
    _announce(model, settings, examples, steps, steps_an_epoch)
    checkpoint = _last_checkpoint(folder)
    _trim_metrics(folder / "metrics.jsonl", int(checkpoint.name.split("-")[1]) if checkpoint else 0)
    if checkpoint:
        say(f"  resuming from {checkpoint.name}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _encode(tokenizer: Any, lines: Sequence[Mapping[str, Any]]) -> list[Encoded]:
    prompts = encode_prompts(tokenizer, [line["prompt"] for line in lines])
    completions = encode_completions(tokenizer, [line["completion"] for line in lines])
    return [
        Encoded(prompt + completion, len(completion)) for prompt, completion in zip(prompts, completions, strict=True)
    ]


def _batch_order(lengths: Sequence[int], steps: int, settings: TrainSettings, seed: int) -> list[int]:
    """Places of examples for every step, epoch after epoch; batches of like length, drawn in random order.

    Each epoch holds every example once; within groups of a few batches examples are sorted by length,
    which spares padding, and the batches are then shuffled.
    """
    size, draw = settings.batch_size * settings.accumulation, random.Random(seed)
    order: list[int] = []
    while len(order) < steps * size:
        epoch = draw.sample(range(len(lengths)), len(lengths))
        group = size * LENGTH_GROUP_BATCHES
        ranked = [
            place
            for first in range(0, len(epoch), group)
            for place in sorted(epoch[first : first + group], key=lambda place: -lengths[place])
        ]
        batches = [ranked[first : first + size] for first in range(0, len(ranked), size)]
        # The short batch, if there is one, is filled up so that each step stays one batch.
        batches[-1] += draw.sample(range(len(lengths)), min(size - len(batches[-1]), len(lengths)))
        draw.shuffle(batches)
        order += [place for batch in batches for place in batch]
    return order[: steps * size]


def _make_trainer(
    config: Config, folder: Path, model: Any, tokenizer: Any, examples: list[Encoded], steps: int, steps_an_epoch: int
) -> Any:
    """TRL's trainer on the examples in the order given."""
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
        """Runs the output head where there are completions only: with a large vocabulary it costs most of a small model's time."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            labels = inputs["labels"]
            scored = (labels[:, 1:] != -100).any(dim=0).nonzero().squeeze(1)
            outputs = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                use_cache=False,
                logits_to_keep=scored,
            )
            targets = labels[:, scored + 1]
            total = torch.nn.functional.cross_entropy(
                outputs.logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum"
            )
            count = num_items_in_batch if num_items_in_batch is not None else (targets != -100).sum()
            loss = total / count
            return (loss, outputs) if return_outputs else loss

    settings = config.train
    on_gpu = pick_device() == "cuda"
    arguments = SFTConfig(
        output_dir=str(folder),
        seed=config.seed,
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=round(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=pick_dtype(settings.compute) == "bfloat16",
        gradient_checkpointing=settings.gradient_checkpointing,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        train_sampling_strategy="sequential",  # the order is drawn beforehand
        max_length=None,  # render has left out what is too long; nothing is cut
        dataset_kwargs={"skip_prepare_dataset": True},
        save_strategy="steps",
        save_steps=math.ceil(steps / settings.checkpoints),
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=_reporters(settings),
    )
    columns = {"input_ids": [example.ids for example in examples], "labels": [example.labels for example in examples]}
    metrics = folder / "metrics.jsonl"
    trainer = CompletionTrainer(
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict(columns),
        callbacks=[_watch(metrics, steps, steps_an_epoch, settings)],
    )
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    # TRL casts the adapters of a quantized model to bfloat16; they train in full precision here.
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainer


def _reporters(settings: TrainSettings) -> list[str] | str:
    from importlib.util import find_spec

    for name in settings.report_to:
        if find_spec(name) is None:
            raise UserError(f"train.report_to: {name} is not installed; `pip install {name}` or leave it out")
    return list(settings.report_to) or "none"


def _watch(metrics: Path, steps: int, steps_an_epoch: int, settings: TrainSettings) -> Any:
    """A callback that writes `metrics.jsonl`, moves the progress bar, and stops at a loss that is no number."""
    from contextlib import ExitStack

    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self._open = ExitStack()

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._file = self._open.enter_context(metrics.open("a", encoding="utf-8"))
            self._advance = self._open.enter_context(progress("training", steps - state.global_step, "steps"))

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any
        ) -> None:
            if not logs or "loss" not in logs:
                return
            if not math.isfinite(logs["loss"]) or not math.isfinite(logs.get("grad_norm", 0.0)):
                self._open.close()
                raise UserError(
                    f"train: the loss is {logs['loss']} at step {state.global_step}: it diverged. "
                    f"Lower train.learning_rate (now {settings.learning_rate}) or raise train.warmup"
                )
            line = {"step": state.global_step, "epoch": round(state.global_step / steps_an_epoch, 4)}
            line |= {name: logs[name] for name in ("loss", "grad_norm", "learning_rate") if name in logs}
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            self._advance(1, note=f"loss {logs['loss']:.3f}")

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._open.close()

    return Watch()


def _announce(model: Any, settings: TrainSettings, examples: list[Encoded], steps: int, steps_an_epoch: int) -> None:
    """Parameter counts, and what the run will take, judged from one trial step that changes nothing."""
    count = count_parameters(model)
    table(
        "Parameters",
        ["trainable", "frozen", "of them quantized", "layers with adapters"],
        [
            [
                f"{count.trainable:,}",
                f"{count.frozen:,}",
                f"{count.quantized:,} ({settings.quantization})",
                f"{count.layers - settings.freeze_layers} of {count.layers}",
            ]
        ],
    )
    seconds_a_token, gigabytes = _trial_step(model, examples, settings)
    tokens = (
        sum(len(example.ids) for example in examples)
        / len(examples)
        * steps
        * settings.batch_size
        * settings.accumulation
    )
    minutes = seconds_a_token * tokens / 60
    say(
        f"  {steps} steps ({steps / steps_an_epoch:.1f} epochs), {tokens:,.0f} tokens; estimate: {minutes:.1f} minutes, {gigabytes:.1f} GB of {'GPU ' if pick_device() == 'cuda' else ''}memory"
    )


def _trial_step(model: Any, examples: list[Encoded], settings: TrainSettings) -> tuple[float, float]:
    """Seconds a token, and gigabytes in use at a full batch of the longest examples."""
    import torch

    longest = sorted(examples, key=lambda example: len(example.ids))[-TRIAL_EXAMPLES:]
    width = min(len(example.ids) for example in longest)
    ids = torch.tensor([example.ids[-width:] for example in longest], device=model.device)
    kept = max(example.completion for example in longest)
    before = _memory_gb()
    devices = [torch.cuda.current_device()] if pick_device() == "cuda" else []
    start = time.perf_counter()
    with torch.random.fork_rng(devices=devices):
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=kept + 1).logits[:, :-1]
        torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, -kept:].flatten()).backward()
    seconds = time.perf_counter() - start
    used = _memory_gb()
    model.zero_grad(set_to_none=True)
    growth = max(used - before, 0.0) * settings.batch_size / len(longest)
    return seconds / ids.numel(), before + growth


def _memory_gb() -> float:
    import torch

    if pick_device() == "cuda":
        return float(torch.cuda.max_memory_allocated()) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole; later, broken ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in reversed(found):
        if (path / "trainer_state.json").is_file():  # written last
            return path
        shutil.rmtree(path)
    return None


def _trim_metrics(path: Path, step: int) -> None:
    """Drops what was logged after the step that training goes on from."""
    if path.is_file():
        lines = [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.endswith("}") and json.loads(line)["step"] <= step
        ]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
