"""Greedy generation, in batches that cost no more than they must; what it writes is what one prompt at a time would get.

Prompts that begin alike share what is computed of their beginning, within a batch and from one batch to the next: the
prompts of a batch are one sequence for the model, in which each attends to the common beginning and to itself. What
has ended is fed no more. Writes nothing.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.batches import attention_mask
from pipeline.model import attention_span, common_prefix, context_window

# Below this length, running a shared prefix by itself costs more than it saves.
SHORTEST_SHARED_PREFIX = 32


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
    # Layers that slide count tokens, whosever they are.
    longest = max((len(prompts[place]) for place in order), default=0) + max_new_tokens
    batch_size = max(min(batch_size, attention_span(model) // longest), 1)
    with torch.inference_mode():
        for places in batches_of(prompts, order, batch_size):
            batch = _Batch(model, tokenizer, prefix, [prompts[place] for place in places], max_new_tokens, is_complete)
            for place, generation in zip(places, batch.run(), strict=True):
                done[place] = generation
            if on_batch:
                on_batch([(place, done[place]) for place in places])
    return done


def batches_of(prompts: Sequence[list[int]], order: Sequence[int], size: int) -> Iterator[list[int]]:
    """The places in batches: of prompts that share most of what they hold, or of any that share less."""
    batch: list[int] = []
    for place in order:
        *before, _ = longer = [prompts[one] for one in (*batch, place)]
        if len(batch) == size or (_shared(before) and not _shared(longer)):
            yield batch
            batch = []
        elif len(batch) > 1 and _shared(longer[-2:]) and not _shared(before):  # those that share begin
            yield batch[:-1]
            batch = batch[-1:]
        batch.append(place)
    if batch:
        yield batch


def _shared(prompts: Sequence[list[int]]) -> int:
    """How many tokens these prompts begin with alike, if that is most of them and worth the while; else 0."""
    if len(prompts) < 2:
        return 0
    length = len(common_prefix(list(prompts)))
    return length if length >= max(SHORTEST_SHARED_PREFIX, max(map(len, prompts)) / 2) else 0


class _Prefix:
    """Keys and values of what the last batch began with."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._ids: list[int] = []
        self._cache: Any = None

    def cache(self, ids: list[int]) -> Any:
        """Those of `ids`, to add to: only what the last prefix did not hold is computed."""
        shared = len(common_prefix([[*ids, -1], [*self._ids, -2]])) if self._cache else 0
        if shared == 0 or not self._cache.is_croppable:
            self._cache, shared = None, 0
        elif shared < len(self._ids):
            self._cache.crop(shared - len(self._ids))
        if shared < len(ids):
            self._cache = _forward(self._model, ids[shared:], shared, self._cache).past_key_values
        self._ids = ids
        return copy.deepcopy(self._cache)


def _forward(model: Any, ids: list[int], start: int = 0, cache: Any = None) -> Any:
    """The model's outputs for one text, of which `cache` holds the first `start` tokens; logits of the last."""
    import torch

    places = torch.arange(start, start + len(ids), device=model.device)[None]
    tokens = torch.tensor([ids], device=model.device)
    return model(input_ids=tokens, position_ids=places, past_key_values=cache, use_cache=True, logits_to_keep=1)


class _Batch:
    """Some prompts, and what is written after them."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prefix: _Prefix,
        prompts: list[list[int]],
        most: int,
        is_complete: Callable[[str], bool] | None,
    ) -> None:
        self._model, self._tokenizer, self._is_complete, self._most = model, tokenizer, is_complete, most
        self._prefix, self._prompts = prefix, prompts
        self._written: list[list[int]] = [[] for _ in prompts]
        self._ended = [False] * len(prompts)
        self._cache: Any = None
        # Of each token whose keys the cache holds: whose it is (-1: of all), and its place in its text.
        self._owners: list[int] = []
        self._places: list[int] = []

    def run(self) -> list[Generation]:
        chosen = self._read()
        for number in range(self._most):
            for row, token in chosen.items():
                self._written[row].append(token)
                self._ended[row] = self._has_ended(row, token)
            going = {row: [token] for row, token in chosen.items() if not self._ended[row]}
            if not going or number == self._most - 1:
                break
            chosen = self._feed(going)
        return [Generation(self._text(row), len(ids), self._ended[row]) for row, ids in enumerate(self._written)]

    def _read(self) -> dict[int, int]:
        """The first new token of each prompt: all are read at once behind what they share, else each by itself."""
        common = self._prompts[0][: _shared(self._prompts)]
        if common:
            self._cache = self._prefix.cache(common)
            self._owners, self._places = [-1] * len(common), list(range(len(common)))
            return self._feed({row: ids[len(common) :] for row, ids in enumerate(self._prompts)})
        alone = [_forward(self._model, ids) for ids in self._prompts]
        self._cache = _joined([outputs.past_key_values for outputs in alone])
        self._owners = [row for row, ids in enumerate(self._prompts) for _ in ids]
        self._places = [place for ids in self._prompts for place in range(len(ids))]
        return {row: int(outputs.logits[0, -1].argmax()) for row, outputs in enumerate(alone)}

    def _feed(self, tokens: dict[int, list[int]]) -> dict[int, int]:
        """The next token of each row after these, which are added to the cache."""
        import torch

        before = len(self._owners)
        for row, ids in tokens.items():
            start = len(self._prompts[row]) + len(self._written[row]) - len(ids)
            self._owners += [row] * len(ids)
            self._places += range(start, start + len(ids))
        device = self._model.device
        owners, places = torch.tensor(self._owners, device=device), torch.tensor(self._places, device=device)
        mask = None
        if len(self._prompts) > 1:
            mine = (owners < 0) | (owners == owners[before:, None])
            mask = attention_mask(self._model, (mine & (places <= places[before:, None]))[None, None])
        ends = torch.tensor([len(ids) for ids in tokens.values()], device=device).cumsum(0) - 1
        outputs = self._model(
            input_ids=torch.tensor([[token for ids in tokens.values() for token in ids]], device=device),
            position_ids=places[None, before:],
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=ends,
        )
        self._cache = outputs.past_key_values
        return dict(zip(tokens, outputs.logits[0].argmax(-1).tolist(), strict=True))

    def _has_ended(self, row: int, token: int) -> bool:
        if token == self._tokenizer.eos_token_id:
            return True
        return self._is_complete is not None and self._is_complete(self._text(row))

    def _text(self, row: int) -> str:
        text: str = self._tokenizer.decode(self._written[row], skip_special_tokens=True)
        return text


def _joined(caches: Sequence[Any]) -> Any:
    """One cache of texts that stand one after the other."""
    import torch

    first, *others = caches
    for number, layer in enumerate(first.layers) if others else ():
        layers = [layer, *(cache.layers[number] for cache in others)]
        layer.keys = torch.cat([one.keys for one in layers], dim=-2)
        layer.values = torch.cat([one.values for one in layers], dim=-2)
    return first
