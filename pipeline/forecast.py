"""What settings make of the examples: their steps, their tokens and their memory, for one setting or for another.

Works on token ids and on a model's shape; reads the base's config.json, writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.batches import Encoded, Plan, batches, make_sequence, plan_steps
from pipeline.footprint import Footprint, footprint
from pipeline.frozen import Frozen
from pipeline.lora import adapted_shape
from pipeline.machine import libraries_memory, training_memory
from pipeline.model import pick_device
from pipeline.settings import TrainSettings
from pipeline.states import unit_tokens

CPU_SLACK = 0.7  # of activations: what the sample recipe's passes held beside what they used (LOG.md)


@dataclass(frozen=True)
class Forecast:
    """Steps, batches and memory under some settings. Bytes are those of one process."""

    settings: TrainSettings
    seed: int
    examples: Sequence[Encoded]
    plan: Plan
    batches: list[list[list[int]]]
    lengths: list[list[int]]
    libraries: float
    base: Path
    has_states: bool

    @cached_property
    def footprint(self) -> Footprint:
        return self._footprint(self.settings)

    @cached_property
    def other_checkpointing(self) -> Footprint:
        """With gradient checkpointing where the settings have none, and the other way round."""
        other = not self.settings.gradient_checkpointing
        return self._footprint(self.settings.model_copy(update={"gradient_checkpointing": other}))

    @property
    def slack(self) -> float:
        return CPU_SLACK * self.footprint.activations if self.libraries else 0.0

    @property
    def total(self) -> float:
        return self.footprint.total + self.slack + self.libraries

    @property
    def needs(self) -> float:
        """Bytes on each GPU, or of RAM for all processes."""
        return self.total if pick_device() == "cuda" else self.total * self.settings.processes

    @property
    def has(self) -> float:
        """Bytes that there are for it."""
        return min(training_memory()[: self.settings.processes])

    @property
    def fits(self) -> bool:
        return self.needs <= self.has

    @cached_property
    def shape(self) -> Any:
        """The model without its weights."""
        return adapted_shape(self.settings, self.base)

    @property
    def widest(self) -> int:
        return max(self._widest_lengths)

    @property
    def tokens(self) -> int:
        """That are computed in all steps, without padding."""
        return sum(map(sum, self.lengths))

    @property
    def epoch_tokens(self) -> float:
        return self.tokens * self.plan.steps_an_epoch / self.plan.steps

    @property
    def padding(self) -> float:
        padded = sum(len(batch) * max(batch) for batch in self.lengths)
        return 1 - self.tokens / padded

    @property
    def unit_tokens(self) -> int:
        """Tokens of which the states of frozen layers are computed."""
        return unit_tokens(self.examples)

    @property
    def _widest_lengths(self) -> list[int]:
        return max(self.lengths, key=lambda batch: len(batch) * max(batch))

    def _footprint(self, settings: TrainSettings) -> Footprint:
        shape = adapted_shape(settings, self.base)
        widest = self.lengths.index(self._widest_lengths)
        sequences = [make_sequence([self.examples[place] for place in places]) for places in self.batches[widest]]
        return footprint(shape, settings, sequences, Frozen(shape, settings.freeze_layers) if self.has_states else None)


def forecast(settings: TrainSettings, seed: int, base: Path, examples: Sequence[Encoded], has_states: bool) -> Forecast:
    """`has_states`: whether frozen layers are passed over."""
    plan = plan_steps(examples, settings, seed)
    grouped = batches(plan, settings.sequences_at_once)
    known: dict[tuple[int, ...], int] = {}
    lengths = []
    for batch in grouped:
        for places in batch:
            if tuple(places) not in known:
                known[tuple(places)] = len(make_sequence([examples[place] for place in places]).ids)
        lengths.append([known[tuple(places)] for places in batch])
    return Forecast(settings, seed, examples, plan, grouped, lengths, libraries_memory(), base, has_states)
