"""Greedy generation, in batches that cost no more than they must; what it writes is what one prompt at a time would get.

Prompts that begin alike share what is computed of their beginning, within a batch and from one batch to the next.
Rows that have ended leave their batch. Writes nothing.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.model import attention_span, common_prefix, context_window

# Below this length, running a shared prefix by itself costs more than it saves.
SHORTEST_SHARED_PREFIX = 32
LEAVING = 0.25  # rows leave when so many of the batch have ended


@dataclass(frozen=True)
class Generation:
    """What a model wrote after one prompt; `tokens` counts new tokens, the end token among them.

    `ended`: by the end token, or as nothing that follows would count. `too_long`: the prompt was not asked, since it
    does not fit into the model's context window.
    """

    text: str
    tokens: int
    ended: bool
    too_long: bool = False


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    batch_size: int,
    is_complete: Callable[[str], bool] | None = None,
    on_batch: Callable[[list[tuple[int, Generation]]], None] | None = None,
) -> list[Generation]:
    """Greedy completions of token-id prompts, in their order; `on_batch` sees each batch as it is done.

    `is_complete` tells of a text that nothing more has to be written to. A prompt that leaves no room in the
    model's context window is not asked: `too_long`.
    """
    import torch

    model.eval()
    room = context_window(model) - max_new_tokens
    done = [Generation("", 0, ended=False, too_long=len(ids) > room) for ids in prompts]
    if on_batch and any(generation.too_long for generation in done):
        on_batch([(place, generation) for place, generation in enumerate(done) if generation.too_long])
    fitting = [place for place in range(len(prompts)) if not done[place].too_long]
    order = sorted(fitting, key=lambda place: prompts[place])  # neighbours share what they begin with
    prefix = _Prefix(model)
    with torch.inference_mode():
        for first in range(0, len(order), batch_size):
            places = order[first : first + batch_size]
            batch = _Batch(model, tokenizer, prefix, [prompts[place] for place in places], max_new_tokens, is_complete)
            for place, generation in zip(places, batch.run(), strict=True):
                done[place] = generation
            if on_batch:
                on_batch([(place, done[place]) for place in places])
    return done


class _Prefix:
    """Keys and values of what the last batch began with."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._ids: list[int] = []
        self._cache: Any = None

    def cache(self, ids: list[int], rows: int) -> Any:
        """Those of `ids`, for so many rows: only what the last prefix did not hold is computed."""
        import torch

        shared = len(common_prefix([[*ids, -1], [*self._ids, -2]])) if self._cache else 0
        if shared == 0 or not self._cache.is_croppable:
            self._cache, shared = None, 0
        elif shared < len(self._ids):
            self._cache.crop(shared - len(self._ids))
        if shared < len(ids):
            rest = torch.tensor([ids[shared:]], device=self._model.device)
            places = torch.arange(shared, len(ids), device=self._model.device)[None]
            outputs = self._model(
                input_ids=rest, position_ids=places, past_key_values=self._cache, use_cache=True, logits_to_keep=1
            )
            self._cache = outputs.past_key_values
        self._ids = ids
        own = copy.deepcopy(self._cache)
        own.batch_repeat_interleave(rows)
        return own


class _Batch:
    """Some prompts, padded between their common prefix and the rest, and what is written after them."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prefix: _Prefix,
        prompts: list[list[int]],
        most: int,
        is_complete: Callable[[str], bool] | None,
    ) -> None:
        import torch

        self._model, self._tokenizer, self._is_complete, self._most = model, tokenizer, is_complete, most
        common = common_prefix(prompts)
        # Padding in the middle would fill the window of layers that slide.
        shares = max(map(len, prompts)) + most <= attention_span(model)
        common = common if shares and len(prompts) > 1 and len(common) >= SHORTEST_SHARED_PREFIX else []
        rests = [ids[len(common) :] for ids in prompts]
        width = max(map(len, rests))
        pad = tokenizer.pad_token_id
        # The padding is masked, and not counted in positions.
        self._ids = torch.tensor([[pad] * (width - len(rest)) + rest for rest in rests], device=model.device)
        mask = [[1] * len(common) + [0] * (width - len(rest)) + [1] * len(rest) for rest in rests]
        self._mask = torch.tensor(mask, device=model.device)
        self._cache = prefix.cache(common, len(prompts)) if common else None
        self._written: list[list[int]] = [[] for _ in prompts]
        self._ended = [False] * len(prompts)

    def run(self) -> list[Generation]:
        import torch

        rows = list(range(len(self._written)))  # of the prompts that are still written to
        for _ in range(self._most):
            places = (self._mask.cumsum(-1) - 1).clamp(min=0)[:, -self._ids.shape[1] :]
            outputs = self._model(
                input_ids=self._ids,
                attention_mask=self._mask,
                position_ids=places,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
            self._cache = outputs.past_key_values
            chosen = outputs.logits[:, -1].argmax(-1)
            for row, token in zip(rows, chosen.tolist(), strict=True):
                if not self._ended[row]:
                    self._written[row].append(token)
                    self._ended[row] = self._has_ended(row, token)
            going = [number for number, row in enumerate(rows) if not self._ended[row]]
            if not going:
                break
            self._ids = chosen[:, None]
            if len(going) <= (1 - LEAVING) * len(rows):
                keep = torch.tensor(going, device=chosen.device)
                self._cache.batch_select_indices(keep)
                self._ids, self._mask, rows = self._ids[keep], self._mask[keep], [rows[number] for number in going]
            self._mask = torch.cat([self._mask, self._mask.new_ones(len(rows), 1)], dim=-1)
        return [self._generation(row) for row in range(len(self._written))]

    def _has_ended(self, row: int, token: int) -> bool:
        if token == self._tokenizer.eos_token_id:
            return True
        return self._is_complete is not None and self._is_complete(self._text(row))

    def _text(self, row: int) -> str:
        text: str = self._tokenizer.decode(self._written[row], skip_special_tokens=True)
        return text

    def _generation(self, row: int) -> Generation:
        return Generation(self._text(row), len(self._written[row]), self._ended[row])
