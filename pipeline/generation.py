"""Generation, in batches that cost no more than they must: greedy, or by another rule of choosing tokens.

What it writes is what one prompt at a time would get. Rows that are written to together are one sequence for the
model, in which each attends to itself and to what its group of prompts begins with, which is computed once. A row that
has ended leaves, and the next prompt takes its place. Writes nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.model import common_prefix, context_window
from pipeline.pack import Group, Pack, Row
from pipeline.prefill import Prefill

# Below this length, running a shared prefix by itself costs more than it saves.
SHORTEST_SHARED_PREFIX = 32
# New rows are read when this part of a batch is free: reading one costs as much as reading a few.
FREE_PART = 4
NO_TOKEN = -1

# Next tokens from logits, (rows, vocabulary), of these rows: the place of the prompt, and what is written after it.
Choose = Callable[[Any, Sequence[tuple[int, Sequence[int]]]], list[int]]


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


def greedy(logits: Any, _rows: Sequence[tuple[int, Sequence[int]]]) -> list[int]:
    """The likeliest tokens."""
    tokens: list[int] = logits.argmax(-1).tolist()
    return tokens


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    batch_size: int,
    is_complete: Callable[[str], bool] | None = None,
    choose: Choose = greedy,
    prefill: Prefill | None = None,
    on_done: Callable[[int, Generation], None] | None = None,
) -> list[Generation]:
    """What is written after token-id prompts, in their order; `on_done` sees each one, by its place, as it is done.

    At most `batch_size` are written to at a time. `is_complete` tells of a text that nothing more has to be written
    to. `prefill` is kept from one model to another where these differ above frozen layers only. A prompt that leaves no room in the model's context window is not asked: `too_long`.
    """
    import torch

    done: dict[int, Generation] = {}

    def finish(place: int, generation: Generation) -> None:
        done[place] = generation
        if on_done:
            on_done(place, generation)

    def write(rows: Sequence[Row], logits: Any) -> list[Row]:
        """One token more for each; those that go on."""
        going = []
        tokens = choose(logits, [(row.place, row.written) for row in rows])
        for row, token in zip(rows, tokens, strict=True):
            row.written.append(token)
            text: str = tokenizer.decode(row.written, skip_special_tokens=True)
            ended = token == tokenizer.eos_token_id or (is_complete is not None and is_complete(text))
            if ended or len(row.written) == max_new_tokens:
                finish(row.place, Generation(text, len(row.written), ended))
            else:
                going.append(row)
        return going

    room = context_window(model) - max_new_tokens
    for place, ids in enumerate(prompts):
        if len(ids) > room:
            finish(place, Generation("", 0, ended=False, too_long=True))
    groups = groups_of(prompts, [place for place in range(len(prompts)) if place not in done])
    waiting = deque(Row(place, prompts[place], group) for group in groups for place in group.places)
    going: list[Row] = []
    model.eval()
    with torch.inference_mode():
        pack = Pack(model, max_new_tokens, prefill)
        while waiting or going:
            if batch_size - len(going) >= max(batch_size // FREE_PART, 1):
                while together := _next(pack, waiting, going, batch_size):
                    going += write(together, pack.read(together, beside=going))
            if going:
                going = write(going, pack.step(going))
    return [done[place] for place in range(len(prompts))]


def _next(pack: Pack, waiting: deque[Row], going: Sequence[Row], most: int) -> list[Row]:
    """The rows of one group that are read next, taken from those that wait; none if there is no room beside the others."""
    taken: list[Row] = []
    while (
        waiting
        and len(going) + len(taken) < most
        and (not taken or waiting[0].group is taken[0].group)
        and (not (going or taken) or pack.fits([*going, *taken, waiting[0]]))
    ):
        taken.append(waiting.popleft())
        if not taken[0].group.shared:
            break
    return taken


def groups_of(prompts: Sequence[list[int]], places: Sequence[int]) -> Iterator[Group]:
    """Prompts that share most of what they hold, neighbours in their order; any other by itself."""
    group: list[int] = []
    shared: list[int] = []
    longest = 0
    for place in sorted(places, key=lambda place: prompts[place]):
        longer: list[int] = []
        if group:
            before = [*shared, NO_TOKEN] if shared else prompts[group[0]]
            longer = common_prefix([before, prompts[place]])
        if len(longer) >= max(SHORTEST_SHARED_PREFIX, max(longest, len(prompts[place])) / 2):
            group.append(place)
            shared, longest = longer, max(longest, len(prompts[place]))
        else:
            if group:
                yield Group(tuple(group), tuple(shared))
            group, shared, longest = [place], [], len(prompts[place])
    if group:
        yield Group(tuple(group), tuple(shared))
