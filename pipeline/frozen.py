"""The decoder layers below the first trained one, which need not run where their output is known.

With `train.freeze_layers` these layers make the same of an example in every epoch, so that is computed once
(`pipeline/states.py` keeps it in the cache) and put in their place. Loss and gradients stay the same.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import processes
from pipeline.base import base_identity
from pipeline.batches import Encoded, collate, forward_inputs, make_sequence
from pipeline.config import Config
from pipeline.console import progress, say
from pipeline.lora import decoder_stack
from pipeline.model import attention_span, pick_device, pick_dtype
from pipeline.stage import cache_folder
from pipeline.states import States, room_needed, states_key

FOLDER = "states"


class Frozen:
    """A model whose first `count` decoder layers are passed over, once it is told what they would give."""

    def __init__(self, model: Any, count: int) -> None:
        """`count` is at least one, and less than the model has."""
        _, layers = decoder_stack(model)
        self._model, self._layers = model, list(layers[:count])
        self._forwards = [layer.forward for layer in self._layers]
        self._states: Any = None
        self._gives_tuple = False
        self._only_these = False
        self.entered: Any = None  # the states that entered the first trained layer last
        layers[count].register_forward_pre_hook(self._enter, with_kwargs=True)
        self._layers[-1].register_forward_hook(self._leave)

    def run(self) -> None:
        """From now on the layers run as ever."""
        self._states = None
        for layer, forward in zip(self._layers, self._forwards, strict=True):
            layer.forward = forward

    def feed(self, states: Any) -> None:
        """From now on `states`, (batch, length, width), enter the first trained layer, whatever comes from below."""
        self._states = states
        for layer in self._layers:
            layer.forward = self._pass_on

    def states(self, inputs: Mapping[str, Any]) -> Any:
        """What the layers make of a batch, (batch, length, width); the layers above do not run."""
        import torch

        self.run()
        self._only_these = True
        try:
            with torch.no_grad():
                self._model(**forward_inputs(self._model, inputs))
        except _ReachedError as reached:
            return reached.hidden
        finally:
            self._only_these = False
        raise RuntimeError(f"{type(self._model).__name__}: its decoder layers did not run")

    def has_dropout(self) -> bool:
        """Whether the layers draw random numbers, so that they never make the same twice."""
        import torch

        drops = [module for layer in self._layers for module in layer.modules() if isinstance(module, torch.nn.Dropout)]
        names = ("attention_dropout", "embd_pdrop", "attn_pdrop", "resid_pdrop", "hidden_dropout", "dropout")
        rates = [drop.p for drop in drops] + [getattr(self._model.config, name, 0) or 0 for name in names]
        return any(rate > 0 for rate in rates)

    def _pass_on(self, hidden: Any, *_: Any, **__: Any) -> Any:
        return (hidden,) if self._gives_tuple else hidden

    def _leave(self, _layer: Any, _inputs: Any, output: Any) -> None:
        self._gives_tuple = isinstance(output, tuple)

    def _enter(self, _layer: Any, inputs: tuple[Any, ...], names: dict[str, Any]) -> Any:
        hidden = inputs[0] if inputs else names["hidden_states"]
        if self._only_these:
            raise _ReachedError(hidden)
        if self._states is None:
            self.entered = hidden
            return None
        states = self._states.to(hidden.device, hidden.dtype)
        return ((states, *inputs[1:]), names) if inputs else (inputs, names | {"hidden_states": states})


class _ReachedError(Exception):
    def __init__(self, hidden: Any) -> None:
        self.hidden = hidden


@dataclass(frozen=True)
class Room:
    """Where states of frozen layers are kept or would be, how many gigabytes, and why not, if not."""

    folder: Path
    width: int
    kind: str
    gigabytes: float
    refusal: str | None


def states_room(config: Config, frozen: Frozen, model: Any, examples: Sequence[Encoded]) -> Room:
    """What keeping the states of these examples takes, and whether it can be done."""
    settings = config.train
    compute = pick_dtype(settings.compute)
    kind = {"float32": "fp32", "bfloat16": "bf16"}[compute] if config.cache.dtype == "auto" else config.cache.dtype
    width = model.config.get_text_config().hidden_size
    key = states_key(
        examples,
        base=base_identity(config.model),
        quantization=settings.quantization,
        compute=compute,
        device=pick_device(),
        layers=settings.freeze_layers,
        kind=kind,
    )
    folder = cache_folder() / FOLDER / key
    needed = room_needed(examples, width, kind)
    if frozen.has_dropout():
        refusal: str | None = "this model has dropout in them"
    elif max(len(example.ids) for example in examples) > attention_span(model):
        refusal = "this model's layers do not see the whole of the examples"
    else:
        refusal = _no_room(folder, needed, config.cache.max_gb)
    return Room(folder, width, kind, needed, refusal)


def cached_states(
    config: Config, model: Any, examples: Sequence[Encoded], places: Iterable[int], pad: int
) -> tuple[Frozen, States] | None:
    """The frozen layers, and their states of all these examples, computed where the cache does not have them.

    None where nothing is frozen, or where the cache may not hold them, with a line that says so.
    """
    count = config.train.freeze_layers
    if count == 0 or config.cache.max_gb == 0:
        return None
    if config.train.sharding != "none":
        say("  frozen layers run each time: no process can run a sharded model's layers by itself")
        return None
    frozen = Frozen(model, count)
    room = states_room(config, frozen, model, examples)
    if room.refusal:
        say(f"  frozen layers run each time: {room.refusal}")
        return None
    states = States(room.folder, examples, room.width, room.kind) if processes.number() == 0 else None
    processes.wait()  # for the files
    states = states or States(room.folder, examples, room.width, room.kind)
    units = states.missing(places)
    processes.wait()  # with writing
    mine = units[processes.number() :: processes.count()]
    with progress("frozen layers", sum(map(len, mine)), "examples") as advance:
        for unit in mine:
            batch = collate([make_sequence([examples[place] for place in unit])], pad)
            states.write(unit, frozen.states({name: tensor.to(model.device) for name, tensor in batch.items()})[0])
            advance(len(unit))
    processes.wait()
    say(f"  states of {count} frozen layers: {1000 * room.gigabytes:,.0f} MB in {room.folder}")
    return frozen, states


def _no_room(folder: Path, needed: float, most: float) -> str | None:
    """Why so many gigabytes may not be kept, if so; files that are there already need none."""
    if needed > most:
        return f"their states would take {needed:.1f} GB, and cache.max_gb is {most:g}"
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    if not folder.is_dir() and needed * 1e9 > shutil.disk_usage(there).free:
        return f"their states would take {needed:.1f} GB, and {there} has no room for them"
    return None
