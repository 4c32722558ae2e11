"""Answers through vLLM: its own batches, prefix cache and tensor parallelism, adapters as LoRA requests.

Reads a base model and adapters. One running engine serves the base and all checkpoints. It needs the extra `vllm`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data.errors import UserError
from pipeline.choosing import Decoding, Request
from pipeline.config import Config
from pipeline.generation import Generation
from pipeline.model import pick_dtype

# The ranks that vLLM makes room for.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class Vllm:
    """An engine (`pipeline/engine.py`) that hands prompts to vLLM."""

    def __init__(self, base: Path, config: Config) -> None:
        """Raises UserError where vLLM is not installed or cannot serve this rank."""
        try:
            from vllm import LLM
        except ImportError as error:
            raise UserError(
                'generate.engine: vllm is not installed; `pip install "loraql[vllm]"` or generate.engine=transformers'
            ) from error
        rank = config.train.lora.rank
        room = next((most for most in RANKS if most >= rank), None)
        if room is None:
            raise UserError(f"generate.engine: vllm serves ranks up to {RANKS[-1]}, and train.lora.rank is {rank}")
        self._model = LLM(
            model=str(base),
            dtype=pick_dtype(config.train.compute),
            tensor_parallel_size=config.generate.processes,
            enable_prefix_caching=True,
            enable_lora=True,
            max_loras=1,
            max_lora_rank=room,
            seed=config.seed,
            trust_remote_code=False,
        )
        self._window = int(self._model.llm_engine.model_config.max_model_len)
        self._requests: dict[Path, Any] = {}
        self._adapter: Any = None

    def use(self, adapter: Path | None) -> None:
        from vllm.lora.request import LoRARequest

        if adapter is not None and adapter not in self._requests:
            self._requests[adapter] = LoRARequest(adapter.name, len(self._requests) + 1, str(adapter))
        self._adapter = self._requests[adapter] if adapter is not None else None

    def write(
        self, requests: Sequence[Request], decoding: Decoding, on_done: Callable[[int, Generation], None]
    ) -> None:
        """Hands over all of them at once, which is what vLLM is good at. Constraints are not for it."""
        from vllm import SamplingParams

        most, warm = decoding.max_new_tokens, decoding.temperature > 0
        fitting = []
        for place, request in enumerate(requests):
            if len(request.ids) + most > self._window:
                on_done(place, Generation("", 0, ended=False, too_long=True))
            else:
                fitting.append(place)
        outputs = self._model.generate(
            [{"prompt_token_ids": requests[place].ids} for place in fitting],
            [
                SamplingParams(
                    temperature=decoding.temperature, max_tokens=most, seed=requests[place].seed if warm else None
                )
                for place in fitting
            ],
            lora_request=self._adapter,
            use_tqdm=False,
        )
        for place, output in zip(fitting, outputs, strict=True):
            (written,) = output.outputs
            on_done(place, Generation(written.text, len(written.token_ids), written.finish_reason == "stop"))
