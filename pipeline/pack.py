"""The keys and values of rows that are written to together, as one sequence for the model.

Each row attends to what its group of prompts begins with, which is held once, and to itself. Writes nothing.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.batches import attention_mask
from pipeline.lora import decoder_stack
from pipeline.model import attention_span, common_prefix
from pipeline.prefill import Part, Prefill


@dataclass(frozen=True)
class Group:
    """Prompts that begin alike, by their places; what they share is empty where that is not worth the while."""

    places: tuple[int, ...]
    shared: tuple[int, ...]


@dataclass
class Row:
    """A prompt that is being written to, at the most `most` tokens."""

    place: int
    prompt: list[int]
    group: Group
    most: int
    written: list[int] = field(default_factory=list)


class Pack:
    """What the rows attend to. Of each token in it: whose it is, a row's or a group's number, and its place in its text."""

    def __init__(self, model: Any, prefill: Prefill | None, prefixes: int = 1) -> None:
        """`prefill`: what frozen layers are known to make of prompts; `prefixes`: of how many groups it is kept what they share."""
        import torch

        self._model, self._prefill = model, prefill
        self._prefixes = _Prefixes(model, prefill, prefixes)
        self._span = attention_span(model)
        self._room = min(self._span, _tokens_that_pay(model))
        self._owners = self._places = torch.empty(0, dtype=torch.long, device=model.device)
        self._cache: Any = None

    def fits(self, rows: Sequence[Row]) -> bool:
        """Whether there is room for all that these may come to hold."""
        return self._needed(rows) <= self._room

    def read(self, rows: Sequence[Row], beside: Sequence[Row]) -> Any:
        """Takes in the prompts of rows of one group, beside rows that go on; logits of their first new tokens, (rows, vocabulary)."""
        import torch

        self._keep(beside)
        group = rows[0].group
        in_sight = self._needed(rows) <= self._span
        shared = list(group.shared) if in_sight else []
        # A row that the model does not see to its start is by itself, and has a cache that lets go of what is past.
        cache = self._prefixes.cache(shared) if in_sight else None
        before = self._tensor([_number(group)] * len(shared)), self._tensor(range(len(shared)))
        parts = [(len(shared), tuple(row.prompt)) for row in rows] if in_sight else []
        own = [row.prompt[len(shared) :] for row in rows]
        cache, owners, places, logits = self._run(rows, own, cache, *before, parts)
        start = len(shared) if (self._owners == _number(group)).any() else 0
        if self._cache is None:
            self._cache = cache
        else:
            for layer, more in zip(self._cache.layers, cache.layers, strict=True):
                layer.keys = torch.cat([layer.keys, more.keys[..., start:, :]], dim=-2)
                layer.values = torch.cat([layer.values, more.values[..., start:, :]], dim=-2)
        self._owners = torch.cat([self._owners, owners[start:]])
        self._places = torch.cat([self._places, places[start:]])
        return logits

    def step(self, rows: Sequence[Row]) -> Any:
        """Takes in what was written last to each row; logits of the next tokens, (rows, vocabulary)."""
        self._keep(rows)
        last = [row.written[-1:] for row in rows]
        self._cache, self._owners, self._places, logits = self._run(
            rows, last, self._cache, self._owners, self._places, []
        )
        return logits

    def _keep(self, rows: Sequence[Row]) -> None:
        """Drops what none of these attends to."""
        import torch

        if not rows:
            self._cache, self._owners, self._places = None, self._owners[:0], self._places[:0]
            return
        wanted = [row.place for row in rows] + [_number(row.group) for row in rows]
        live = torch.isin(self._owners, self._tensor(wanted))
        if live.all():
            return
        kept = live.nonzero().squeeze(1)
        self._owners, self._places = self._owners[kept], self._places[kept]
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys.index_select(-2, kept), layer.values.index_select(-2, kept)

    def _run(
        self,
        rows: Sequence[Row],
        tokens: Sequence[Sequence[int]],
        cache: Any,
        owners: Any,
        places: Any,
        parts: Sequence[Part],
    ) -> tuple[Any, Any, Any, Any]:
        """Runs the model on these tokens of each row behind a cache: the cache, owners and places after it, and logits.

        `parts` are the rows' own, where they are prompts that may be known.
        """
        import torch

        mine = self._tensor([row.place for row, ids in zip(rows, tokens, strict=True) for _ in ids])
        groups = self._tensor([_number(row.group) for row, ids in zip(rows, tokens, strict=True) for _ in ids])
        new = [
            place
            for row, ids in zip(rows, tokens, strict=True)
            for place in range(len(row.prompt) + len(row.written) - len(ids), len(row.prompt) + len(row.written))
        ]
        asked = self._tensor(new)
        owners, places = torch.cat([owners, mine]), torch.cat([places, asked])
        mask = None
        if len(rows) > 1 or (parts and self._prefill):
            seen = (owners == mine[:, None]) | (owners == groups[:, None])
            mask = attention_mask(self._model, (seen & (places <= asked[:, None]))[None, None])
        inputs = {
            "input_ids": self._tensor([token for ids in tokens for token in ids])[None],
            "position_ids": asked[None],
            "attention_mask": mask,
            "past_key_values": cache,
            "use_cache": True,
            "logits_to_keep": self._tensor([len(ids) for ids in tokens]).cumsum(0) - 1,
        }
        outputs = _forward(self._model, self._prefill, parts, inputs)
        return outputs.past_key_values, owners, places, outputs.logits[0]

    def _needed(self, rows: Sequence[Row]) -> int:
        shared = {_number(row.group): len(row.group.shared) for row in rows}
        return sum(shared.values()) + sum(len(row.prompt) - len(row.group.shared) + row.most for row in rows)

    def _tensor(self, numbers: Sequence[int]) -> Any:
        import torch

        return torch.tensor(numbers, dtype=torch.long, device=self._model.device)


def _number(group: Group) -> int:
    """Below 0, where no row's is."""
    return -1 - group.places[0]


def _tokens_that_pay(model: Any) -> int:
    """With more tokens in one sequence, what attention spends on tokens of other rows is more than all else.

    For each row a layer spends two operations a weight, and four a token and unit of its width.
    """
    _, layers = decoder_stack(model)
    weights: int = sum(parameter.numel() for parameter in layers[0].parameters())
    return weights // (2 * int(model.config.get_text_config().hidden_size))


@dataclass
class _Prefix:
    """Tokens, and their keys and values."""

    ids: list[int]
    cache: Any

    def shares(self, ids: list[int]) -> int:
        """How many tokens both begin with."""
        return len(common_prefix([[*ids, -1], [*self.ids, -2]]))


class _Prefixes:
    """Keys and values of what was asked for last, at most so many; the latest last."""

    def __init__(self, model: Any, prefill: Prefill | None, most: int) -> None:
        self._model, self._prefill, self._most = model, prefill, most
        self._held: list[_Prefix] = []

    def cache(self, ids: list[int]) -> Any:
        """Those of `ids`, to add to: only what no prefix holds is computed."""
        import torch
        from transformers import DynamicCache

        if not ids:
            return DynamicCache()
        held = max(self._held, key=lambda prefix: prefix.shares(ids), default=_Prefix([], None))
        shared = held.shares(ids)
        if shared < len(held.ids) and len(self._held) < self._most:
            held, shared = _Prefix([], None), 0
        else:
            self._held = [prefix for prefix in self._held if prefix is not held]
        if shared == 0:
            held.cache = DynamicCache()
        elif shared < len(held.ids):
            held.cache.crop(shared - len(held.ids))
        if shared < len(ids):
            places = torch.arange(len(ids), device=self._model.device)
            seen = places <= places[shared:, None]
            inputs = {
                "input_ids": torch.tensor([ids[shared:]], device=self._model.device),
                "position_ids": places[None, shared:],
                "attention_mask": attention_mask(self._model, seen[None, None]) if self._prefill else None,
                "past_key_values": held.cache,
                "use_cache": True,
                "logits_to_keep": 1,
            }
            _forward(self._model, self._prefill, [(shared, tuple(ids))], inputs)
        held.ids = ids
        self._held.append(held)
        return copy.deepcopy(held.cache)


def _forward(model: Any, prefill: Prefill | None, parts: Sequence[Part], inputs: Mapping[str, Any]) -> Any:
    return prefill.run(model, parts, inputs) if prefill and parts else model(**inputs)
