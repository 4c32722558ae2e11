"""train: prompts and completions -> LoRA adapters in `runs/NAME/train/checkpoint-N/`, `metrics.jsonl`.

Reads `render/train.jsonl` and the base model, quantized; trains through TRL's SFTTrainer with the loss
on completions alone. The order of examples is drawn beforehand, so that a run that was killed and
taken up again at a checkpoint sees the same batches as one that was not.
"""

import json
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pipeline.base import base_identity, fetch_base
from pipeline.batches import Encoded, Plan, check_packing, make_sequence, plan_steps
from pipeline.config import Config
from pipeline.console import say, table
from pipeline.frozen import cached_states
from pipeline.lora import adapted_model, count_parameters
from pipeline.model import (
    attention_span,
    encode_completions,
    encode_prompts,
    load_tokenizer,
    pick_device,
    quiet_libraries,
)
from pipeline.processes import spread
from pipeline.settings import TrainSettings
from pipeline.sharding import accelerate_file
from pipeline.speed import choose_speed, describe_speed
from pipeline.stage import BASE_MODEL, Stage, digest_files, read_jsonl
from pipeline.trainer import Steps, make_trainer, watch_steps

TRAIN = Stage(
    name="train",
    version=1,
    folder=lambda config: config.run / "train",
    settings=lambda config: {
        "seed": config.seed,
        "train": config.train.model_dump(mode="json", exclude={"report_to", "processes"}),
        "states": config.cache.dtype,
    },
    inputs=lambda config: {
        **digest_files(config.run / "render" / "train.jsonl"),
        BASE_MODEL: base_identity(config.model),
    },
    work=lambda config, folder: train(config, folder),
)


def train(config: Config, folder: Path) -> None:
    """Trains to the end, from the last whole checkpoint in `folder` if there is one, in as many processes as asked.

    Raises UserError for settings that the model does not allow, and when the loss stops being a number.
    """
    checkpoint = _last_checkpoint(folder)
    _trim_metrics(folder / "metrics.jsonl", int(checkpoint.name.split("-")[1]) if checkpoint else 0)
    if config.train.processes == 1:
        fit(config, folder, checkpoint)
    else:
        settings = accelerate_file(config.train)
        fetch_base(config.model)  # once, before all of them do
        words = [str(folder), *([str(checkpoint)] if checkpoint else [])]
        spread("train", config.train.processes, config, *words, accelerate=settings)


def fit(config: Config, folder: Path, checkpoint: Path | None) -> None:
    """Trains from a checkpoint, or from the start: as the only process, or as one of several (`pipeline/worker.py`)."""
    quiet_libraries()
    settings = config.train
    speed = choose_speed(settings)
    lines = read_jsonl(config.run / "render" / "train.jsonl")
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    examples = encode_examples(tokenizer, lines)
    plan = plan_steps(examples, settings, config.seed)
    model = adapted_model(config, base)
    check_packing(examples, plan, attention_span(model))
    asked = {place for sequence in plan.sequences for place in sequence}
    pad = tokenizer.pad_token_id
    steps = Steps(model, examples, pad, cached_states(config, model, examples, asked, pad))
    _announce(steps, settings, plan)
    say(f"  {describe_speed(speed)}")
    if checkpoint:
        say(f"  resuming from {checkpoint.name}")
    with ExitStack() as opened:
        watch = watch_steps(folder / "metrics.jsonl", plan, settings, opened)
        trainer = make_trainer(config, folder, tokenizer, steps, plan, watch)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def encode_examples(tokenizer: Any, lines: Sequence[Mapping[str, Any]]) -> list[Encoded]:
    prompts = encode_prompts(tokenizer, [line["prompt"] for line in lines])
    completions = encode_completions(tokenizer, [line["completion"] for line in lines])
    return [
        Encoded(prompt + completion, len(completion), f"{line['db_id']}\n{line['context']}")
        for prompt, completion, line in zip(prompts, completions, lines, strict=True)
    ]


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
    epochs = plan.steps / plan.steps_an_epoch
    todo = (
        f"  {plan.steps} steps ({epochs:.1f} epochs) of {plan.size} sequence{'' if plan.size == 1 else 's'}, "
        f"{sum(lengths):,} tokens; "
    )
    if settings.sharding != "none":  # no process can run the model by itself
        say(f"{todo}no estimate: the model is spread over {settings.processes} processes")
        return
    ranked = sorted(range(len(lengths)), key=lengths.__getitem__)
    checkpointing = settings.gradient_checkpointing
    _trial_pass(steps, plan.sequences[ranked[0]], 1, checkpointing)  # the first one is slower
    at_once = settings.sequences_at_once
    seconds, gigabytes = _trial_pass(steps, plan.sequences[ranked[-1]], at_once, checkpointing)
    minutes = seconds / lengths[ranked[-1]] * sum(lengths) / settings.processes / 60
    say(
        f"{todo}estimate: {minutes:.1f} minutes, at most {gigabytes:.1f} GB of {'GPU ' if pick_device() == 'cuda' else ''}memory"
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
