"""plan: what training would take, before anything is spent: parameters, memory, disk, tokens, time, and what to change.

Reads `render/train.jsonl` and the base model's config.json and tokenizer; its weights only to measure a few passes.
Writes nothing but digests into the cache, and fetches nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.errors import UserError
from pipeline.advice import advise
from pipeline.base import find_base
from pipeline.batches import check_packing, encode_examples
from pipeline.config import Config
from pipeline.console import say, table
from pipeline.footprint import FULL, MOMENTS, moment_bytes, weight_bytes
from pipeline.forecast import Forecast, forecast
from pipeline.frozen import Frozen, Room, states_room
from pipeline.lora import adapted_model, adapted_shape, count_parameters
from pipeline.machine import free_disk, training_memory
from pipeline.memory import told_when_full
from pipeline.model import attention_span, load_tokenizer, pick_device, pick_dtype, quiet_libraries
from pipeline.settings import TrainSettings
from pipeline.stage import cache_folder, read_jsonl
from pipeline.trainer import Steps
from pipeline.trial import Computed, measure_passes, show_parameters


def plan(config: Config, measure: bool = True) -> None:
    """Shows what training takes. Raises UserError where the base's config.json and tokenizer are not here."""
    quiet_libraries()
    base = find_base(config.model)
    if base is None:
        raise UserError(
            f"plan: model.base={config.model.base} is not on this machine, and plan fetches nothing: a folder with its "
            "config.json and tokenizer files is enough, as model.base=FOLDER"
        )
    tokenizer = load_tokenizer(base)
    lines = read_jsonl(config.run / "render" / "train.jsonl")
    examples = encode_examples(tokenizer, lines)
    shape = adapted_shape(config.train, base)
    room = _states_room(config, shape, examples)
    show_parameters(count_parameters(shape), config.train)
    now = forecast(config.train, config.seed, base, examples, has_states=room is not None and not room.refusal)
    check_packing(examples, now.plan, attention_span(shape))
    _show_memory(now)
    _show_disk(config, base, shape, room, now)
    _show_tokens(now, examples)
    reason = _why_not_measured(config, base, measure, now.fits)
    if reason:
        say(f"time: not measured: {reason}")
    else:
        _show_time(config, base, tokenizer.pad_token_id, now, room)
    advise(config, tokenizer, lines, now, room)


def _states_room(config: Config, shape: Any, examples: Sequence[Any]) -> Room | None:
    if config.train.freeze_layers == 0 or config.cache.max_gb == 0 or config.train.sharding != "none":
        return None
    return states_room(config, Frozen(shape, config.train.freeze_layers), shape, examples)


def _show_memory(now: Forecast) -> None:
    settings, takes = now.settings, now.footprint
    device = "GPU memory" if pick_device() == "cuda" else "RAM"
    compute = {"float32": "fp32", "bfloat16": "bf16"}[pick_dtype(settings.compute)]
    at_once = settings.sequences_at_once
    others = now.other_checkpointing
    with_or_without = "without" if settings.gradient_checkpointing else "with"
    rows: list[tuple[str, float, str]] = [
        ("weights", takes.weights, f"{settings.quantization}, computed in {compute}{_spread(settings)}"),
        ("adapters", takes.adapters, "fp32"),
        ("gradients", takes.gradients, "of the adapters, fp32"),
        ("optimizer", takes.optimizer, f"AdamW: two numbers of {moment_bytes(settings)} bytes for each trained one"),
        (
            "activations",
            takes.activations,
            f"at most {at_once} x {now.widest} tokens at once; {with_or_without} gradient checkpointing {others.activations / 1e9:.2f}",
        ),
        ("  of them scores", takes.scores, "of the vocabulary, for the tokens of completions"),
    ]
    if now.libraries:
        rows.append(("Python, libraries", now.libraries, ""))
        rows.append(("allocator", now.slack, "what a CPU's allocator holds beside: about 0.7 of activations"))
    rows.append(("all", now.total, "a process"))
    gpus = len(training_memory()) if device == "GPU memory" else 0
    if settings.processes > 1 and not gpus:
        rows.append(("all", now.needs, f"{settings.processes} processes"))
    where = "" if not gpus else f"; free on the fullest of {gpus} GPUs" if gpus > 1 else "; free on the GPU"
    rows.append((f"{device} here", now.has, ("it fits" if now.fits else "it does not fit") + where))
    table("Memory", ["what", "GB", "note"], [[name, round(size / 1e9, 2), note] for name, size, note in rows])
    if gpus and settings.processes > gpus:
        say(
            f"  note: {settings.processes} processes want a GPU each, and there {'is 1' if gpus == 1 else f'are {gpus}'}"
        )


def _show_disk(config: Config, base: Path, shape: Any, room: Room | None, now: Forecast) -> None:
    count, settings = count_parameters(shape), config.train
    item = {"float32": 4, "bfloat16": 2}[pick_dtype(settings.compute)]
    weights = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    checkpoint = count.trainable * (FULL + MOMENTS * moment_bytes(settings))
    kept = min(settings.checkpoints, now.plan.steps)
    rows: list[list[object]] = [
        [
            "base weights",
            weights or weight_bytes(adapted_shape(_plain(config), base)),
            f"{'here' if weights else 'not here; about'}: {base}",
        ],
        ["checkpoints", checkpoint * kept, f"{kept} of {checkpoint / 1e6:,.0f} MB: adapters and optimizer"],
        ["merged export", count.frozen * item, f"all weights in {'fp32' if item == FULL else 'bf16'}"],
    ]
    if room:
        there = "there already" if room.folder.is_dir() else f"at most cache.max_gb={config.cache.max_gb:g}"
        rows.append(
            ["states of frozen layers", room.gigabytes * 1e9, f"not kept: {room.refusal}" if room.refusal else there]
        )
    for name, folder in (("free for the run", config.run), ("free for the cache", cache_folder())):
        rows.append([name, free_disk(folder), str(folder)])
    table("Disk", ["what", "GB", "note"], [[name, round(float(str(size)) / 1e9, 2), note] for name, size, note in rows])


def _spread(settings: TrainSettings) -> str:
    return "" if settings.sharding == "none" else f"; a part of {settings.processes}, after loading"


def _plain(config: Config) -> Any:
    return config.train.model_copy(update={"quantization": "none"})


def _show_tokens(now: Forecast, examples: Sequence[Any]) -> None:
    completions = sum(example.completion for example in examples)
    every = sum(len(example.ids) for example in examples)
    plan = now.plan
    rows = [
        ["examples", f"{len(examples):,}", ""],
        ["tokens of prompts", f"{every - completions:,}", "an epoch"],
        ["tokens of completions", f"{completions:,}", "an epoch; the loss is on these"],
        ["tokens that are computed", f"{now.epoch_tokens:,.0f}", f"an epoch; {_packed(now, every)}"],
        ["padding beside them", f"{now.padding:.1%}", "of what is computed in a batch"],
        ["steps an epoch", f"{plan.steps_an_epoch:,}", f"{plan.size} sequence{'' if plan.size == 1 else 's'} each"],
        ["steps", f"{plan.steps:,}", f"{plan.steps / plan.steps_an_epoch:.2f} epochs, {now.tokens:,} tokens in all"],
    ]
    table("Tokens and steps", ["what", "how many", "note"], rows)


def _packed(now: Forecast, every: int) -> str:
    share = now.epoch_tokens / every
    return (
        f"{share:.0%} of all, by train.packing={now.settings.packing}"
        if now.settings.packing > 1
        else "each example by itself"
    )


def _why_not_measured(config: Config, base: Path, measure: bool, fits: bool) -> str | None:
    if not measure:
        return "as asked"
    if config.train.sharding != "none":
        return "no process can run a model that is spread over several"
    if not any(base.glob("*.safetensors")):
        return f"the weights are not in {base}"
    return None if fits else "memory would not do"


def _show_time(config: Config, base: Path, pad: int, now: Forecast, room: Room | None) -> None:
    with told_when_full(UserError, "while passes were measured", config.train):
        model = adapted_model(config, base)
        known = None
        if room and not room.refusal:
            frozen = Frozen(model, config.train.freeze_layers)
            known = (frozen, Computed(frozen, model, now.examples, pad))
        speed = measure_passes(Steps(model, now.examples, pad, known), now.batches, config.train)
    # A GPU for each process; the cores are the same for all of them.
    share = config.train.processes if pick_device() == "cuda" else 1
    epoch = speed.seconds * now.epoch_tokens / share
    whole = speed.seconds * now.tokens / share
    rows = [
        ["training, an epoch", _duration(epoch), f"{1 / speed.seconds:,.0f} tokens a second, of {speed.passes} passes"]
    ]
    if known:
        once = speed.frozen_seconds * now.unit_tokens / share
        whole += once
        rows.append(["states of frozen layers", _duration(once), "once; those that the cache has take none"])
    rows.append(["all", _duration(whole), f"{now.plan.steps:,} steps, without loading and saving"])
    table("Time", ["what", "takes", "note"], rows)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
