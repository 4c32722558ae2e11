"""How the next token is chosen: the likeliest, or drawn; and only among those that a constraint allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.generation import Choose, greedy


@dataclass(frozen=True)
class Decoding:
    """A temperature of 0 is greedy; else tokens are drawn."""

    max_new_tokens: int
    temperature: float = 0.0


@dataclass(frozen=True)
class Request:
    """A prompt as token ids, the seed of what is drawn for it, and what may be written to it (`pipeline/constrain.py`)."""

    ids: list[int]
    seed: int = 0
    constraint: Any = None


def chooser(decoding: Decoding, requests: Sequence[Request]) -> Choose:
    """The rule for rows that are these requests by their places."""
    import torch

    draws = {place: torch.Generator().manual_seed(request.seed) for place, request in enumerate(requests)}
    constrained = any(request.constraint for request in requests)

    def choose(logits: Any, rows: Sequence[tuple[int, Sequence[int]]]) -> list[int]:
        if constrained:
            allowed = [requests[place].constraint.allowed(written, logits.shape[-1]) for place, written in rows]
            logits = logits.masked_fill(~torch.stack(allowed).to(logits.device), -torch.inf)
        if decoding.temperature == 0:
            return greedy(logits, rows)
        chances = torch.softmax(logits.float().cpu() / decoding.temperature, dim=-1)
        return [
            int(torch.multinomial(chance, 1, generator=draws[place]))
            for (place, _), chance in zip(rows, chances, strict=True)
        ]

    return choose
