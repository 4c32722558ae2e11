"""train: prompts and completions -> LoRA adapters in `runs/NAME/train/checkpoint-N/`, `metrics.jsonl`.

Reads `render/train.jsonl` and the base model, quantized; trains through TRL's SFTTrainer with the loss
on completions alone. The order of examples is drawn beforehand, so that a run that was killed and
taken up again at a checkpoint sees the same batches as one that was not.
"""

import json
import math
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from pipeline.base import base_identity, fetch_base
from pipeline.batches import Encoded, Plan, collate, completion_loss, make_sequence, plan_steps
from pipeline.config import Config, TrainSettings
from pipeline.console import progress, say, table
from pipeline.frozen import Frozen, cached_states
from pipeline.lora import adapted_model, count_parameters
from pipeline.model import (
    encode_completions,
    encode_prompts,
    load_tokenizer,
    pick_device,
    pick_dtype,
    quiet_libraries,
)
from pipeline.stage import BASE_MODEL, Stage, digest_files, read_jsonl
from pipeline.states import States

TRAIN = Stage(
    name="train",
    version=1,
    folder=lambda config: config.run / "train",
    settings=lambda config: {
        "seed": config.seed,
        "train": config.train.model_dump(mode="json", exclude={"report_to"}),
        "states": config.cache.dtype,
    },
    inputs=lambda config: {
        **digest_files(config.run / "render" / "train.jsonl"),
        BASE_MODEL: base_identity(config.model),
    },
    work=lambda config, folder: train(config, folder),
)


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
    plan = plan_steps(examples, settings, config.seed)
    model = adapted_model(config, base)
    asked = {place for sequence in plan.sequences for place in sequence}
    pad = tokenizer.pad_token_id
    steps = Steps(model, examples, pad, cached_states(config, model, examples, asked, pad))
    _announce(steps, settings, plan)
    checkpoint = _last_checkpoint(folder)
    _trim_metrics(folder / "metrics.jsonl", int(checkpoint.name.split("-")[1]) if checkpoint else 0)
    if checkpoint:
        say(f"  resuming from {checkpoint.name}")
    with ExitStack() as opened:
        watch = _watch(folder / "metrics.jsonl", plan, settings, opened)
        trainer = _make_trainer(config, folder, tokenizer, steps, plan, watch)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _encode(tokenizer: Any, lines: Sequence[Mapping[str, Any]]) -> list[Encoded]:
    prompts = encode_prompts(tokenizer, [line["prompt"] for line in lines])
    completions = encode_completions(tokenizer, [line["completion"] for line in lines])
    return [
        Encoded(prompt + completion, len(completion), f"{line['db_id']}\n{line['context']}")
        for prompt, completion, line in zip(prompts, completions, lines, strict=True)
    ]


@dataclass(frozen=True)
class Steps:
    """What steps are made of: batches of examples by their places, and the loss of a batch.

    `known`: the frozen layers, which are passed over then, and what they make of the examples.
    """

    model: Any
    examples: Sequence[Encoded]
    pad: int
    known: tuple[Frozen, States] | None

    def batch(self, sequences: Sequence[Sequence[int]]) -> dict[str, Any]:
        from torch.nn.utils.rnn import pad_sequence

        inputs = collate([make_sequence([self.examples[place] for place in places]) for places in sequences], self.pad)
        if self.known:
            inputs["states"] = pad_sequence([self.known[1].read(places) for places in sequences], batch_first=True)
        return inputs

    def loss(self, model: Any, inputs: Mapping[str, Any], count: Any = None) -> tuple[Any, Any]:
        """As `completion_loss`; `model` is ours, as the trainer may have wrapped it."""
        if self.known:
            self.known[0].feed(inputs["states"])
        return completion_loss(model, inputs, count)


def _make_trainer(config: Config, folder: Path, tokenizer: Any, steps: Steps, plan: Plan, watch: Any) -> Any:
    """TRL's trainer on the sequences of the plan, in their order."""
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTConfig, SFTTrainer

    class CompletionTrainer(SFTTrainer):  # type: ignore[misc]
        """Computes logits for completions only."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss, outputs = steps.loss(model, inputs, num_items_in_batch)
            return (loss, outputs) if return_outputs else loss

    settings = config.train
    on_gpu = pick_device() == "cuda"
    arguments = SFTConfig(
        output_dir=str(folder),
        seed=config.seed,
        max_steps=plan.steps,
        per_device_train_batch_size=settings.batch_size // settings.packing,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=round(settings.warmup * plan.steps),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=pick_dtype(settings.compute) == "bfloat16",
        gradient_checkpointing=settings.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        use_cpu=not on_gpu,
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
    trainer = CompletionTrainer(
        model=steps.model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"places": plan.sequences}),
        data_collator=lambda rows: steps.batch([row["places"] for row in rows]),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    # TRL casts the adapters of a quantized model to bfloat16; they train in full precision here.
    for parameter in steps.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainer


def _reporters(settings: TrainSettings) -> list[str] | str:
    from importlib.util import find_spec

    for name in settings.report_to:
        if find_spec(name) is None:
            raise UserError(f"train.report_to: {name} is not installed; `pip install {name}` or leave it out")
    return list(settings.report_to) or "none"


def _watch(metrics: Path, plan: Plan, settings: TrainSettings, opened: ExitStack) -> Any:
    """A callback that writes `metrics.jsonl`, moves the progress bar, and stops at a loss that is no number."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self._file = opened.enter_context(metrics.open("a", encoding="utf-8"))
            self._advance = opened.enter_context(progress("training", plan.steps - state.global_step, "steps"))

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any
        ) -> None:
            if not logs or "loss" not in logs:
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


def _announce(steps: Steps, settings: TrainSettings, plan: Plan) -> None:
    """Parameter counts, and what the run will take, judged from a trial pass that changes nothing."""
    count = count_parameters(steps.model)
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
    lengths = [len(make_sequence([steps.examples[place] for place in places]).ids) for places in plan.sequences]
    ranked = sorted(range(len(lengths)), key=lengths.__getitem__)
    checkpointing = settings.gradient_checkpointing
    _trial_pass(steps, plan.sequences[ranked[0]], 1, checkpointing)  # the first one is slower
    at_once = settings.batch_size // settings.packing
    seconds, gigabytes = _trial_pass(steps, plan.sequences[ranked[-1]], at_once, checkpointing)
    minutes = seconds / lengths[ranked[-1]] * sum(lengths) / 60
    epochs = plan.steps / plan.steps_an_epoch
    say(
        f"  {plan.steps} steps ({epochs:.1f} epochs) of {plan.size} sequence{'' if plan.size == 1 else 's'}, {sum(lengths):,} tokens; "
        f"estimate: {minutes:.1f} minutes, at most {gigabytes:.1f} GB of {'GPU ' if pick_device() == 'cuda' else ''}memory"
    )


def _trial_pass(steps: Steps, places: Sequence[int], sequences: int, checkpointing: bool) -> tuple[float, float]:
    """Seconds of a forward and backward pass, and gigabytes in use with that many sequences at once."""
    import torch

    on_gpu = pick_device() == "cuda"
    model = steps.model
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    inputs = {name: tensor.to(model.device) for name, tensor in steps.batch([places]).items()}
    before = _memory_gb()
    start = time.perf_counter()
    # Dropout draws random numbers here that the training steps must not miss.
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if on_gpu else []):
        loss, _ = steps.loss(model, inputs)
        loss.backward()
        if on_gpu:
            torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    growth = max(_memory_gb() - before, 0.0)
    model.zero_grad(set_to_none=True)
    return seconds, before + growth * sequences


def _memory_gb() -> float:
    import torch

    if pick_device() == "cuda":
        return float(torch.cuda.max_memory_allocated()) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole; later, broken ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in reversed(found):
        if _is_whole(path):
            return path
        shutil.rmtree(path)
    return None


def _is_whole(checkpoint: Path) -> bool:
    """Whether the file that is written last can be read."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return "global_step" in state


def _trim_metrics(path: Path, step: int) -> None:
    """Drops what was logged after the step that training goes on from."""
    if path.is_file():
        lines = [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.endswith("}") and json.loads(line)["step"] <= step
        ]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
