"""Advice on settings before training: what to change if it does not fit, and where it would be cheaper.

Works on a forecast and on rendered lines; each piece of advice says what the same figures would be with it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.batches import Encoded, encode_examples
from pipeline.bundle import prompt_style
from pipeline.config import Config
from pipeline.console import say, table
from pipeline.forecast import Forecast, forecast
from pipeline.frozen import Room
from pipeline.memory import smaller_batch
from pipeline.model import attention_span, pick_dtype, wrap_prompt
from pipeline.settings import TrainSettings
from pipeline.states import room_needed
from prompts.render import ORDERS

PACKING = 8
WORTH = 0.9  # of what it is now: what is not a tenth cheaper is not told


def advise(
    config: Config, tokenizer: Any, lines: Sequence[Mapping[str, Any]], now: Forecast, room: Room | None
) -> None:
    """A table of settings and what they would give."""
    rows = list(_to_fit(now)) if not now.fits else _without_checkpointing(now)
    rows += _packed(config, tokenizer, lines, now) + _linked(config, tokenizer, lines, now)
    rows += _frozen(config, now) + _kept(now, room)
    if rows:
        table("Advice", ["settings", "what they would give"], rows)
    else:
        say("advice: nothing in these figures asks for other settings")


def _to_fit(now: Forecast) -> list[list[str]]:
    """Ways to less memory, each alone, then all of them."""
    settings = now.settings
    ways: list[Mapping[str, object]] = []
    if not settings.gradient_checkpointing:
        ways.append({"gradient_checkpointing": True})
    fewer = smaller_batch(settings)
    while fewer:
        smallest = {"batch_size": fewer.batch_size, "accumulation": fewer.accumulation}
        following = smaller_batch(fewer)
        if following is None or _other(now, smallest).fits:
            ways.append(smallest)
            break
        fewer = following
    if settings.quantization != "nf4":
        ways.append({"quantization": "nf4"})
    if len(ways) > 1:
        ways.append({name: value for way in ways for name, value in way.items()})
    rows = []
    for way in ways:
        other = _other(now, way)
        words = " ".join(f"train.{name}={str(value).lower()}" for name, value in way.items())
        rows.append(
            [words, f"{_gb(other.needs)} instead of {_gb(now.needs)}: {'fits' if other.fits else 'does not fit yet'}"]
        )
    return rows


def _without_checkpointing(now: Forecast) -> list[list[str]]:
    if not now.settings.gradient_checkpointing:
        return []
    other = _other(now, {"gradient_checkpointing": False})
    if not other.fits:
        return []
    gives = f"about a quarter less time: layers run forward once; {_gb(other.needs)} of memory, and there are {_gb(now.has)}"
    return [["train.gradient_checkpointing=false", gives]]


def _packed(config: Config, tokenizer: Any, lines: Sequence[Mapping[str, Any]], now: Forecast) -> list[list[str]]:
    settings = config.train
    most = settings.batch_size // settings.processes
    packing = next(count for count in range(min(PACKING, most), 0, -1) if most % count == 0)
    if settings.packing > 1 or packing == 1:
        return []
    examples, words = list(now.examples), f"train.packing={packing}"
    if prompt_style(config.prompt).order != "schema-first":
        if "schema-first" not in ORDERS[config.prompt.preset]:
            return []
        reordered = _schema_first(config, tokenizer, lines)
        if reordered is None:
            return []
        examples, words = reordered, f"prompt.order=schema-first {words}"
    other = _other(now, {"packing": packing}, examples)
    longest = max(sum(batch) for batch in other.lengths)
    share = other.epoch_tokens / now.epoch_tokens
    if share > WORTH or longest > attention_span(now.shape):
        return []
    return [
        [words, f"an epoch computes {other.epoch_tokens:,.0f} tokens instead of {now.epoch_tokens:,.0f} ({share:.0%})"]
    ]


def _schema_first(config: Config, tokenizer: Any, lines: Sequence[Mapping[str, Any]]) -> list[Encoded] | None:
    """The examples with their schemas before their questions; None where the lines do not say enough for that."""

    def text(order: Any, line: Mapping[str, Any]) -> str:
        style = replace(prompt_style(config.prompt), order=order)
        return wrap_prompt(tokenizer, style.text(line["question"], line["context"]))

    now = prompt_style(config.prompt).order
    if config.prompt.shots or any(text(now, line) != line["prompt"] for line in lines[:PACKING]):
        return None
    return encode_examples(tokenizer, [{**line, "prompt": text("schema-first", line)} for line in lines])


def _linked(config: Config, tokenizer: Any, lines: Sequence[Mapping[str, Any]], now: Forecast) -> list[list[str]]:
    """Where schemas are most of what is read, and are not shared."""
    if config.prompt.linking or config.train.packing > 1:
        return []
    contexts = tokenizer([line["context"] for line in lines], add_special_tokens=False)["input_ids"]
    share = sum(map(len, contexts)) / sum(len(example.ids) for example in now.examples)
    if share < 0.5:
        return []
    gives = f"schemas are {share:.0%} of all tokens: what it leaves out of them is saved"
    return [["prompt.linking=true prompt.context=linked", gives]]


def _frozen(config: Config, now: Forecast) -> list[list[str]]:
    settings = now.settings
    epochs = now.plan.steps / now.plan.steps_an_epoch
    half = now.shape.config.get_text_config().num_hidden_layers // 2
    if settings.freeze_layers or epochs < 2 or half < 1:
        return []
    kind = "fp32" if pick_dtype(settings.compute) == "float32" else "bf16"
    size = room_needed(now.examples, now.shape.config.get_text_config().hidden_size, kind)
    other = replace(_other(now, {"freeze_layers": half}), has_states=size <= config.cache.max_gb)
    how = (
        f"its first {half} layers run once, not {epochs:.1f} times ({size:.1f} GB of cache)"
        if other.has_states
        else f"no pass back through its first {half} layers"
    )
    return [
        [
            f"train.freeze_layers={half}",
            f"{_gb(other.needs)} of memory instead of {_gb(now.needs)}, {how}; fewer layers learn",
        ]
    ]


def _kept(now: Forecast, room: Room | None) -> list[list[str]]:
    if not room or not room.refusal or "cache.max_gb" not in room.refusal:
        return []
    epochs = now.plan.steps / now.plan.steps_an_epoch
    gives = f"the {now.settings.freeze_layers} frozen layers run once, not {epochs:.1f} times"
    return [[f"cache.max_gb={math.ceil(room.gigabytes)}", gives]] if epochs > 1 else []


def _other(now: Forecast, changes: Mapping[str, object], examples: Sequence[Encoded] | None = None) -> Forecast:
    settings: TrainSettings = now.settings.model_copy(update=dict(changes))
    return forecast(settings, now.seed, now.base, now.examples if examples is None else examples, now.has_states)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
