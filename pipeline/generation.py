"""Generation, in batches that cost no more than they must: greedy, or by another rule of choosing tokens.

What it writes is what one prompt at a time would get. Rows that are written to together are one sequence for the
model, in which each attends to itself and to what its group of prompts begins with, which is computed once. A row that
has ended leaves, and the next prompt takes its place. Writes nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.model import common_prefix, context_window
from pipeline.openings import NO_TOKEN, SHORTEST, Openings
from pipeline.pack import Group, Pack, Row
from pipeline.prefill import Prefill

# New rows are read when this part of a batch is free: reading one costs as much as reading a few.
FREE_PART = 4

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
    done: dict[int, Generation] = {}

    def finish(place: int, generation: Generation) -> None:
        done[place] = generation
        if on_done:
            on_done(place, generation)

    writer = Writer(
        model,
        tokenizer,
        batch_size=batch_size,
        choose=choose,
        ends=lambda _, text: is_complete is not None and is_complete(text),
        on_done=finish,
        prefill=prefill,
    )
    writer.add(dict(enumerate(prompts)), max_new_tokens)
    while writer.busy:
        writer.step()
    return [done[place] for place in range(len(prompts))]


class Writer:
    """Writes to prompts a token at a time; others may join, and leave, between two of them.

    A prompt is known by its place, a number that no other has or had. `ends` tells of a text that nothing more has to
    be written to, and sees each text as it grows.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        batch_size: int,
        choose: Choose,
        ends: Callable[[int, str], bool],
        on_done: Callable[[int, Generation], None],
        prefill: Prefill | None = None,
        prefixes: int = 1,
    ) -> None:
        """`prefixes`: of how many groups of prompts the beginning is kept, when others are read in between."""
        self._model, self._tokenizer, self._batch_size = model, tokenizer, batch_size
        self._choose, self._ends, self._on_done = choose, ends, on_done
        self._openings = Openings()
        self._pack = Pack(model, prefill, prefixes)
        self._waiting: deque[Row] = deque()
        self._going: list[Row] = []
        model.eval()

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._going)

    def add(self, prompts: Mapping[int, list[int]], most: int) -> None:
        """Takes in prompts by their places, to write `most` tokens to each; one that does not fit is done at once."""
        room = context_window(self._model) - most
        fitting = {place: ids for place, ids in prompts.items() if len(ids) <= room}
        for place in prompts.keys() - fitting.keys():
            self._on_done(place, Generation("", 0, ended=False, too_long=True))
        for group in groups_of(fitting):
            self._waiting.extend(Row(place, fitting[place], group, most) for place in group.places)

    def join(self, place: int, prompt: list[int], most: int) -> None:
        """Takes in one prompt; what it begins with is not read again where one before it began so, too."""
        if len(prompt) > context_window(self._model) - most:
            self._on_done(place, Generation("", 0, ended=False, too_long=True))
        else:
            self._waiting.append(Row(place, prompt, self._openings.group_of(place, prompt), most))

    def drop(self, place: int) -> None:
        """Forgets a prompt that has not ended."""
        self._waiting = deque(row for row in self._waiting if row.place != place)
        self._going = [row for row in self._going if row.place != place]

    def step(self) -> None:
        """Writes a token to each prompt for which there is room."""
        import torch

        with torch.inference_mode():
            if self._batch_size - len(self._going) >= max(self._batch_size // FREE_PART, 1):
                while together := self._next():
                    self._going += self._write(together, self._pack.read(together, beside=self._going))
            if self._going:
                self._going = self._write(self._going, self._pack.step(self._going))

    def _write(self, rows: Sequence[Row], logits: Any) -> list[Row]:
        """One token more for each; those that go on."""
        going = []
        tokens = self._choose(logits, [(row.place, row.written) for row in rows])
        for row, token in zip(rows, tokens, strict=True):
            row.written.append(token)
            text: str = self._tokenizer.decode(row.written, skip_special_tokens=True)
            ended = self._ends(row.place, text) or token == self._tokenizer.eos_token_id
            if ended or len(row.written) == row.most:
                self._on_done(row.place, Generation(text, len(row.written), ended))
            else:
                going.append(row)
        return going

    def _next(self) -> list[Row]:
        """The rows that are read next: the one that waits longest and others of its group; none if there is no room."""
        taken: list[Row] = []
        for row in self._waiting:
            if taken and (row.group is not taken[0].group or not row.group.shared):
                continue
            beside = [*self._going, *taken]
            if len(beside) == self._batch_size or (beside and not self._pack.fits([*beside, row])):
                break
            taken.append(row)
        places = {row.place for row in taken}
        self._waiting = deque(row for row in self._waiting if row.place not in places)
        return taken


def groups_of(prompts: Mapping[int, list[int]]) -> Iterator[Group]:
    """Prompts, by their places, that share most of what they hold, neighbours in their order; any other by itself."""
    group: list[int] = []
    shared: list[int] = []
    longest = 0
    for place in sorted(prompts, key=lambda place: prompts[place]):
        longer: list[int] = []
        if group:
            before = [*shared, NO_TOKEN] if shared else prompts[group[0]]
            longer = common_prefix([before, prompts[place]])
        if len(longer) >= max(SHORTEST, max(longest, len(prompts[place])) / 2):
            group.append(place)
            shared, longest = longer, max(longest, len(prompts[place]))
        else:
            if group:
                yield Group(tuple(group), tuple(shared))
            group, shared, longest = [place], [], len(prompts[place])
    if group:
        yield Group(tuple(group), tuple(shared))
