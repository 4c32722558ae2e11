"""What writes answers to prompts: our own loop over a model of transformers, or vLLM.

Reads a base model and adapters; all adapters share the one base that is loaded.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from eval.extract import is_complete
from pipeline.choosing import Decoding, Request, chooser
from pipeline.config import Config
from pipeline.generation import Generation, generate
from pipeline.model import load_adapter, load_model, pick_dtype
from pipeline.prefill import Prefill


class Engine(Protocol):
    """Writes what the base, or one adapter on it, answers."""

    def use(self, adapter: Path | None) -> None:
        """From now on this adapter answers, or the base alone."""

    def write(
        self, requests: Sequence[Request], decoding: Decoding, on_done: Callable[[int, Generation], None]
    ) -> None:
        """Gives each answer, by the place of its request, as it is done."""


class Local:
    """Our own loop, on the device at hand."""

    def __init__(self, base: Path, tokenizer: Any, dtype: str, batch_size: int, frozen_layers: int = 0) -> None:
        """`frozen_layers`: that none of the adapters changes."""
        self._tokenizer, self._batch_size = tokenizer, batch_size
        self._model = load_model(base, dtype=dtype)
        self._prefill = Prefill(self._model, frozen_layers) if frozen_layers else None
        self._adapted: Any = None
        self._loaded: set[str] = set()

    def use(self, adapter: Path | None) -> None:
        if adapter is None:
            if self._adapted is not None:
                self._adapted.disable_adapter_layers()
            return
        if self._adapted is None:
            self._adapted = load_adapter(self._model, adapter, adapter.name)
        elif adapter.name not in self._loaded:
            self._adapted.load_adapter(str(adapter), adapter_name=adapter.name, use_safetensors=True)
        self._loaded.add(adapter.name)
        self._adapted.enable_adapter_layers()
        self._adapted.set_adapter(adapter.name)

    def write(
        self, requests: Sequence[Request], decoding: Decoding, on_done: Callable[[int, Generation], None]
    ) -> None:
        generate(
            self._model if self._adapted is None else self._adapted,
            self._tokenizer,
            [request.ids for request in requests],
            max_new_tokens=decoding.max_new_tokens,
            batch_size=self._batch_size,
            is_complete=is_complete,
            choose=chooser(decoding, requests),
            prefill=self._prefill,
            on_done=on_done,
        )


def start_engine(config: Config, base: Path, tokenizer: Any) -> Engine:
    """The engine that `generate.engine` names. Raises UserError if it is not installed."""
    if config.generate.engine == "vllm":
        from pipeline.vllm import Vllm

        return Vllm(base, config)
    dtype, batch_size = pick_dtype(config.train.compute), config.evaluate.batch_size
    return Local(base, tokenizer, dtype, batch_size, config.train.freeze_layers)
