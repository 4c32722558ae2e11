"""TRL's trainer on the batches that were drawn, with our loss and what is known of frozen layers.

Writes checkpoints and `metrics.jsonl` into the folder it is given.
"""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from data.errors import UserError
from pipeline import processes
from pipeline.batches import IGNORED, Encoded, Plan, TokenSequence, collate, completion_loss, make_sequence
from pipeline.config import Config
from pipeline.console import progress
from pipeline.frozen import Frozen
from pipeline.model import pick_device, pick_dtype
from pipeline.settings import TrainSettings
from pipeline.sharding import gathered_adapters, shard_on_cpu
from pipeline.speed import choose_speed, optimizer_name, speed_up


class Known(Protocol):
    """What frozen layers make of examples."""

    def read(self, places: Sequence[int]) -> Any:
        """The states of these examples' sequence, (length, width)."""


@dataclass(frozen=True)
class Steps:
    """What steps are made of: batches of examples by their places, and the loss of a batch.

    `known`: the frozen layers, which are passed over then, and what they make of the examples.
    """

    model: Any
    examples: Sequence[Encoded]
    pad: int
    known: tuple[Frozen, Known] | None

    def batch(self, sequences: Sequence[Sequence[int]]) -> dict[str, Any]:
        from torch.nn.utils.rnn import pad_sequence

        made = [make_sequence([self.examples[place] for place in places]) for places in sequences]
        # A process that has no example takes the step with the others, without a loss.
        made = [sequence if sequence.ids else TokenSequence([self.pad], [IGNORED], [0], [1]) for sequence in made]
        inputs = collate(made, self.pad)
        if self.known:
            states = [
                self.known[1].read(places or [0])[: len(one.ids)] for places, one in zip(sequences, made, strict=True)
            ]
            inputs["states"] = pad_sequence(states, batch_first=True)
        return inputs

    def loss(self, model: Any, inputs: Mapping[str, Any], count: Any = None) -> tuple[Any, Any]:
        """As `completion_loss`; `model` is ours, as the trainer may have wrapped it."""
        if self.known:
            self.known[0].feed(inputs["states"])
        return completion_loss(model, inputs, count)


def make_trainer(config: Config, folder: Path, tokenizer: Any, steps: Steps, plan: Plan, watch: Any) -> Any:
    """TRL's trainer on the sequences of the plan, in their order."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
        """Computes logits for completions only."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss, outputs = steps.loss(model, inputs, num_items_in_batch)
            if num_items_in_batch is not None:  # of all processes, whose gradients are averaged
                loss = loss * self.accelerator.num_processes
            return (loss, outputs) if return_outputs else loss

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            if self.is_fsdp_enabled:  # the library's own way gathers the whole base, too
                self._save(output_dir, state_dict=gathered_adapters(self.model))
            else:
                super().save_model(output_dir, _internal_call)

    settings = config.train
    speed = choose_speed(settings)
    on_gpu = pick_device() == "cuda"
    arguments = SFTConfig(
        output_dir=str(folder),
        seed=config.seed,
        max_steps=plan.steps,
        per_device_train_batch_size=settings.sequences_at_once,
        gradient_accumulation_steps=settings.accumulation,
        optim=optimizer_name(speed),
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=round(settings.warmup * plan.steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=pick_dtype(settings.compute) == "bfloat16",
        gradient_checkpointing=settings.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        use_cpu=not on_gpu and settings.sharding != "zero3",  # Accelerate shards on GPUs alone if it is said
        ddp_backend="gloo" if processes.count() > 1 and not on_gpu else None,
        dataloader_pin_memory=on_gpu,
        train_sampling_strategy="sequential",  # the order is drawn beforehand
        max_length=None,  # render has left out what is too long; nothing is cut
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        save_strategy="steps",
        save_steps=math.ceil(plan.steps / settings.checkpoints),
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=_reporters(settings),
    )
    if settings.sharding == "fsdp" and not on_gpu:
        shard_on_cpu(arguments.distributed_state)
    trainer = CompletionTrainer(
        model=steps.model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"places": plan.sequences}),
        data_collator=lambda rows: steps.batch([row["places"] for row in rows]),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    # TRL casts the adapters of a quantized model to bfloat16; they train in full precision here (with ZeRO-3 it is
    # DeepSpeed's copy of them that does).
    kind = getattr(torch, pick_dtype(settings.compute)) if settings.sharding == "zero3" else torch.float32
    for parameter in steps.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(kind)
    speed_up(steps.model, speed, settings.freeze_layers)
    return trainer


def _reporters(settings: TrainSettings) -> list[str] | str:
    from importlib.util import find_spec

    for name in settings.report_to:
        if find_spec(name) is None:
            raise UserError(f"train.report_to: {name} is not installed; `pip install {name}` or leave it out")
    return list(settings.report_to) or "none"


def watch_steps(metrics: Path, plan: Plan, settings: TrainSettings, opened: ExitStack) -> Any:
    """A callback that writes `metrics.jsonl`, moves the progress bar, and stops at a loss that is no number."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._file = opened.enter_context(metrics.open("a", encoding="utf-8"))
            self._advance = opened.enter_context(progress("training", plan.steps - state.global_step, "steps"))

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any
        ) -> None:
            if not logs or "loss" not in logs or not state.is_world_process_zero:
                return
            if not math.isfinite(logs["loss"]) or not math.isfinite(logs.get("grad_norm", 0.0)):
                raise UserError(
                    f"train: the loss is {logs['loss']} at step {state.global_step}: it diverged. "
                    f"Lower train.learning_rate (now {settings.learning_rate}) or raise train.warmup"
                )
            line = {"step": state.global_step, "epoch": round(state.global_step / plan.steps_an_epoch, 4)}
            line |= {name: logs[name] for name in ("loss", "grad_norm", "learning_rate") if name in logs}
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
            self._advance(1, note=f"loss {logs['loss']:.3f}")

    return Watch()
