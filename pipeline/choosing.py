"""How the next token is chosen: the likeliest, or drawn; and only among those that a constraint allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.generation import Choose

LEAST_TEMPERATURE = 1e-4  # below it scores would become infinite, and the likeliest token is drawn anyway
SEEDS = 2**63  # that torch takes


@dataclass(frozen=True)
class Decoding:
    """A temperature of 0 is greedy; else tokens are drawn, of the `top_k` likeliest (0: of all) with a chance of `top_p`.

    A `repetition_penalty` above 1 makes what the prompt or the answer holds already less likely (Keskar et al., 2019).
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class Request:
    """A prompt as token ids, the seed of what is drawn for it, and what may be written to it (`pipeline/constrain.py`)."""

    ids: list[int]
    seed: int = 0
    constraint: Any = None


def chooser(decoding: Decoding, requests: Sequence[Request]) -> Choose:
    """The rule for rows that are these requests by their places."""
    rules = Rules()
    for place, request in enumerate(requests):
        rules.add(place, request, decoding)
    return rules.choose


class Rules:
    """How tokens are chosen for prompts by their places; others come and go."""

    def __init__(self) -> None:
        self._rules: dict[int, _Rule] = {}

    @property
    def places(self) -> set[int]:
        return set(self._rules)

    def add(self, place: int, request: Request, decoding: Decoding) -> None:
        self._rules[place] = _Rule(request, decoding)

    def drop(self, place: int) -> None:
        self._rules.pop(place, None)

    def choose(self, logits: Any, rows: Sequence[tuple[int, Sequence[int]]]) -> list[int]:
        """A token for each row of (rows, vocabulary)."""
        import torch

        rules = [self._rules[place] for place, _ in rows]
        if any(rule.request.constraint for rule in rules):
            size = logits.shape[-1]
            allowed = [
                rule.request.constraint.allowed(written, size)
                if rule.request.constraint
                else torch.ones(size, dtype=torch.bool)
                for rule, (_, written) in zip(rules, rows, strict=True)
            ]
            logits = logits.masked_fill(~torch.stack(allowed).to(logits.device), -torch.inf)
        likeliest: list[int] = logits.argmax(-1).tolist()
        return [
            token if rule.plain else rule.draw(scores, written)
            for token, rule, scores, (_, written) in zip(likeliest, rules, logits, rows, strict=True)
        ]


class _Rule:
    """That of one prompt."""

    def __init__(self, request: Request, decoding: Decoding) -> None:
        import torch
        from transformers import (
            LogitsProcessorList,
            RepetitionPenaltyLogitsProcessor,
            TemperatureLogitsWarper,
            TopKLogitsWarper,
            TopPLogitsWarper,
        )

        self.request = request
        self._greedy = decoding.temperature < LEAST_TEMPERATURE
        self._warp = LogitsProcessorList()
        if decoding.repetition_penalty != 1:
            self._warp.append(RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty))
        self.plain = self._greedy and not self._warp
        if self._greedy:
            return
        self._random = torch.Generator().manual_seed(request.seed % SEEDS)
        self._warp.append(TemperatureLogitsWarper(float(decoding.temperature)))
        if decoding.top_k:
            self._warp.append(TopKLogitsWarper(decoding.top_k))
        if decoding.top_p < 1:
            self._warp.append(TopPLogitsWarper(decoding.top_p))

    def draw(self, logits: Any, written: Sequence[int]) -> int:
        """A token by its logits, (vocabulary), after what is written."""
        import torch

        before = torch.tensor([[*self.request.ids, *written]])
        scores = self._warp(before, logits[None].float().cpu())
        if self._greedy:
            return int(scores.argmax())
        return int(torch.multinomial(torch.softmax(scores[0], dim=-1), 1, generator=self._random))
