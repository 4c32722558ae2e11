"""Which examples make up which step, and how they become tensors.

Works on token ids. The order is drawn beforehand from the seed, so that a run that was killed and
taken up again sees the batches of one that was not. With `packing`, questions about one context share a
sequence that holds their common prompt prefix once: each attends to the prefix and to itself, at the
positions that it would have alone, so that loss and gradients are those of separate sequences.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import UserError
from pipeline.model import common_prefix, encode_completions, encode_prompts
from pipeline.settings import TrainSettings

IGNORED = -100
# Batches of like length are cut from this many batches' worth of sequences.
LENGTH_GROUP_BATCHES = 8


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example. The last `completion` of them carry the loss; `context` says who may share."""

    ids: list[int]
    completion: int
    context: str

    @property
    def prompt(self) -> list[int]:
        return self.ids[: -self.completion]


@dataclass(frozen=True)
class Plan:
    """For every sequence of every step the places of its examples; `size` sequences make a step.

    One that was divided between processes may be left without examples.
    """

    sequences: list[list[int]]
    size: int
    steps: int
    steps_an_epoch: int


@dataclass(frozen=True)
class TokenSequence:
    """One sequence: token ids, labels, positions, and whose each token is (0: shared by all)."""

    ids: list[int]
    labels: list[int]
    positions: list[int]
    owners: list[int]


def encode_examples(tokenizer: Any, lines: Sequence[Mapping[str, Any]]) -> list[Encoded]:
    """The examples of rendered lines."""
    prompts = encode_prompts(tokenizer, [line["prompt"] for line in lines])
    completions = encode_completions(tokenizer, [line["completion"] for line in lines])
    return [
        Encoded(prompt + completion, len(completion), f"{line['db_id']}\n{line['context']}")
        for prompt, completion, line in zip(prompts, completions, lines, strict=True)
    ]


def plan_steps(examples: Sequence[Encoded], settings: TrainSettings, seed: int) -> Plan:
    """Every epoch holds every example once; sequences of like length meet, which spares padding."""
    draw = random.Random(seed)
    size = settings.batch_size * settings.accumulation // settings.packing
    epoch = _epoch(examples, settings.packing, size, draw)
    steps_an_epoch = len(epoch) // size
    steps = max(round(settings.epochs * steps_an_epoch), 1)
    steps = min(steps, settings.max_steps or steps)
    sequences = epoch
    while len(sequences) < steps * size:
        sequences = sequences + _epoch(examples, settings.packing, size, draw)
    parts = settings.parts
    divided = [
        sequence[len(sequence) * part // parts : len(sequence) * (part + 1) // parts]
        for sequence in sequences[: steps * size]
        for part in range(parts)
    ]
    return Plan(divided, size * parts, steps, steps_an_epoch)


def batches(plan: Plan, at_once: int) -> list[list[list[int]]]:
    """What runs at once, in one process: each step's sequences, so many at a time."""
    return [
        plan.sequences[first : min(first + at_once, start + plan.size)]
        for start in range(0, len(plan.sequences), plan.size)
        for first in range(start, start + plan.size, at_once)
    ]


def _epoch(examples: Sequence[Encoded], packing: int, size: int, draw: random.Random) -> list[list[int]]:
    order = draw.sample(range(len(examples)), len(examples))
    groups: dict[str, list[int]] = {}
    for place in order:
        groups.setdefault(examples[place].context if packing > 1 else str(place), []).append(place)
    sequences = [group[first : first + packing] for group in groups.values() for first in range(0, len(group), packing)]
    draw.shuffle(sequences)
    # The last step is filled up from the same epoch, so that every step has as many sequences.
    sequences += draw.choices(sequences, k=-len(sequences) % size)
    group = size * LENGTH_GROUP_BATCHES
    ranked = [
        sequence
        for first in range(0, len(sequences), group)
        for sequence in sorted(sequences[first : first + group], key=lambda sequence: -_length(examples, sequence))
    ]
    batches = [ranked[first : first + size] for first in range(0, len(ranked), size)]
    draw.shuffle(batches)
    return [sequence for batch in batches for sequence in batch]


def _length(examples: Sequence[Encoded], sequence: Sequence[int]) -> int:
    return sum(len(examples[place].ids) for place in sequence)


def make_sequence(examples: Sequence[Encoded]) -> TokenSequence:
    """One example as it is, or several behind their common prompt prefix."""
    prefix = common_prefix([example.prompt for example in examples]) if len(examples) > 1 else []
    ids, positions = list(prefix), list(range(len(prefix)))
    labels, owners = [IGNORED] * len(prefix), [0] * len(prefix)
    for number, example in enumerate(examples, start=1):
        own = example.ids[len(prefix) :]
        ids += own
        positions += range(len(prefix), len(example.ids))
        labels += [IGNORED] * (len(own) - example.completion) + own[-example.completion :]
        owners += [number] * len(own)
    return TokenSequence(ids, labels, positions, owners)


def check_packing(examples: Sequence[Encoded], plan: Plan, span: int) -> None:
    """Raises UserError where questions share a sequence in which the model does not see `span` tokens back to its start."""
    for places in plan.sequences:
        length = len(make_sequence([examples[place] for place in places]).ids)
        if len(places) > 1 and length > span:
            raise UserError(
                f"train.packing: layers of this model see {span} tokens back, and questions that share a sequence need "
                f"{length}; set train.packing=1"
            )


def collate(sequences: Sequence[TokenSequence], pad: int) -> dict[str, Any]:
    """Tensors of a batch, padded on the right: (batch, length); the mask of a packed one (batch, 1, length, length)."""
    import torch

    width = max(len(sequence.ids) for sequence in sequences)

    def padded(rows: Sequence[list[int]], filler: int) -> Any:
        return torch.tensor([row + [filler] * (width - len(row)) for row in rows])

    owners = padded([sequence.owners for sequence in sequences], -1)
    if any(max(sequence.owners) > 1 for sequence in sequences):
        causal = torch.ones(width, width, dtype=torch.bool).tril()
        same = (owners[:, None, :] == 0) | (owners[:, None, :] == owners[:, :, None])
        mask = (causal & same)[:, None]
    else:
        mask = (owners >= 0).long()
    return {
        "input_ids": padded([sequence.ids for sequence in sequences], pad),
        "labels": padded([sequence.labels for sequence in sequences], IGNORED),
        "position_ids": padded([sequence.positions for sequence in sequences], 0),
        "attention_mask": mask,
    }


def forward_inputs(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What a collated batch gives to the model's forward."""
    mask = inputs["attention_mask"]
    return {
        "input_ids": inputs["input_ids"],
        "position_ids": inputs["position_ids"],
        "attention_mask": attention_mask(model, mask) if mask.dim() == 4 else mask,
        "use_cache": False,
    }


def attention_mask(model: Any, seen: Any) -> Any:
    """A boolean mask of who sees whom, (batch, 1, queries, keys), as the model's attention takes it."""
    import torch

    inner = getattr(model, "module", model)  # of one that is spread over processes
    if inner.config._attn_implementation != "eager":
        return seen
    return torch.where(seen, 0.0, torch.finfo(inner.dtype).min).to(inner.dtype)  # it adds the mask to its scores


def completion_loss(model: Any, inputs: Mapping[str, Any], count: Any = None) -> tuple[Any, Any]:
    """Cross-entropy over completion tokens, divided by `count` (their number in this batch if None); and the outputs.

    Runs the output head where completions are only: with a large vocabulary it costs a small model a
    third of its time. Same loss and gradients as over all positions.
    """
    import torch

    labels = inputs["labels"]
    scored = (labels[:, 1:] != IGNORED).any(dim=0).nonzero().squeeze(1)
    outputs = model(**forward_inputs(model, inputs), logits_to_keep=scored)
    targets = labels[:, scored + 1].to(outputs.logits.device)
    total = torch.nn.functional.cross_entropy(
        outputs.logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / ((targets != IGNORED).sum() if count is None else count), outputs
