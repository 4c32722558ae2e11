"""Which tokens a model may write next, so that its SQL names only what the schema has.

Reads a tokenizer's vocabulary and a schema, writes nothing. The vocabulary is a trie of bytes that is walked
together with the automaton of `eval/automaton.py`; what a state allows is kept.
"""

import re
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from data.schema import Schema
from eval.automaton import CLOSING, START, WORD, Automaton, State

if TYPE_CHECKING:
    import numpy as np
    import torch

    Bits = np.ndarray[Any, np.dtype[np.uint8]]

MOST_SCHEMAS = 8  # each of which may hold 50 MB of what is known of it
WORD_CHARACTERS = "".join(WORD)
# Kept of one schema, the latest: states of texts, and what states allow (6 KB each with 49,152 tokens).
MOST_TEXTS = 20_000
MOST_MASKS = 4_000


class Vocabulary:
    """What each token of a tokenizer writes, sorted, so that tokens that begin alike lie together.

    `last_foreign` tells, for each kind of free text (`Automaton.free`), where a token last holds what ends it.
    """

    def __init__(self, tokenizer: Any) -> None:
        import numpy as np

        texts = _token_texts(tokenizer)
        self.size, self.end = max(len(tokenizer), *(token + 1 for token in texts)), int(tokenizer.eos_token_id)
        # SQLite refuses a text that holds a zero byte, wherever it is.
        self.texts = {token: text for token, text in texts.items() if text and "\0" not in text and token != self.end}
        ordered = sorted((text, token) for token, text in self.texts.items())
        self.sorted = [text for text, _ in ordered]
        self.tokens = np.array([token for _, token in ordered], dtype=np.int64)
        self.last_foreign = {
            "w": np.array([len(text.rstrip(WORD_CHARACTERS)) - 1 for text in self.sorted]),
        } | {quote: np.array([text.rfind(quote) for text in self.sorted]) for quote in CLOSING.values()}
        self.root = _Node(self, 0, len(self.sorted), 0)


class _Node:
    """A beginning that tokens `low` to `high` share, the first of which up to `own` are no longer than it."""

    __slots__ = ("_children", "_vocabulary", "depth", "high", "impure", "low", "own")

    def __init__(self, vocabulary: Vocabulary, low: int, high: int, depth: int) -> None:
        self._vocabulary, self.low, self.high, self.depth = vocabulary, low, high, depth
        self.own = low
        while self.own < high and len(vocabulary.sorted[self.own]) == depth:
            self.own += 1
        self.impure = {kind: int(last[low:high].max(initial=-1)) for kind, last in vocabulary.last_foreign.items()}
        self._children: dict[str, _Node] | None = None

    @property
    def children(self) -> dict[str, "_Node"]:
        """By the next character; made when they are asked for, as most never are."""
        if self._children is None:
            self._children, place, texts = {}, self.own, self._vocabulary.sorted
            while place < self.high:
                following = texts[place][: self.depth + 1]
                after = following[:-1] + chr(ord(following[-1]) + 1)
                end = bisect_left(texts, after, place, self.high)
                self._children[following[-1]] = _Node(self._vocabulary, place, end, self.depth + 1)
                place = end
        return self._children


class Constraint:
    """What may be written about one schema. Kept between rows and batches, it answers the faster."""

    def __init__(self, vocabulary: Vocabulary, schema: Schema) -> None:
        self._vocabulary, self._automaton = vocabulary, Automaton(schema)
        # None: something was written that may not be.
        self._states: OrderedDict[tuple[int, ...], State | None] = OrderedDict()
        self._masks: OrderedDict[State | None, Bits] = OrderedDict()

    def allowed(self, written: Sequence[int], size: int | None = None) -> "torch.BoolTensor":
        """Which tokens may follow those written, as a tensor of `size`: the vocabulary's, or a model's that has more (False).

        Always at least one: the end token, where nothing else may follow.
        """
        import numpy as np
        import torch

        state = self._state(tuple(written))
        if state not in self._masks:
            self._masks[state] = self._mask(state)
            if len(self._masks) > MOST_MASKS:
                self._masks.popitem(last=False)
        self._masks.move_to_end(state)
        count = size or self._vocabulary.size
        return torch.from_numpy(np.unpackbits(self._masks[state], count=count).view(np.bool_))

    def _mask(self, state: State | None) -> "Bits":
        """A bit for each token: torch, whose threads wait for each other, takes longer to begin than this to be done."""
        import numpy as np

        mask = np.zeros(self._vocabulary.size, dtype=np.bool_)
        if state is not None:
            mask[self._following(state)] = True
        if state is None or self._automaton.may_end(state) or not mask.any():
            mask[self._vocabulary.end] = True
        return np.packbits(mask)

    def _state(self, written: tuple[int, ...]) -> State | None:
        known = len(written)
        while known and written[:known] not in self._states:
            known -= 1
        state = self._states[written[:known]] if known else START
        for place in range(known, len(written)):
            text = self._vocabulary.texts.get(written[place])
            state = self._automaton.read(text, state)[0] if text and state else None
            self._states[written[: place + 1]] = state
        while len(self._states) > MOST_TEXTS:
            self._states.popitem(last=False)
        return state

    def _following(self, state: State) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """The tokens whose texts the automaton reads to their ends."""
        import numpy as np

        automaton, vocabulary = self._automaton, self._vocabulary
        found: list[Any] = []
        to_visit: list[tuple[_Node, State, str | None]] = [(vocabulary.root, state, None)]
        while to_visit:
            node, state, came_free = to_visit.pop()
            found.append(vocabulary.tokens[node.low : node.own])
            free = automaton.free(state)
            if free and free != came_free:  # all that do not end it
                last = vocabulary.last_foreign[free][node.low : node.high]
                found.append(vocabulary.tokens[node.low : node.high][last < node.depth])
            for character, child in node.children.items():
                if free and child.impure[free] < node.depth:
                    continue
                after = automaton.step(state, character)
                if after is not None:
                    to_visit.append((child, after, free))
        return np.concatenate(found)


class Constraints:
    """The constraints of a tokenizer's model, by schema: the latest are kept. Safe to use from several threads."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._lock = tokenizer, threading.Lock()
        self._kept: OrderedDict[Schema, Constraint] = OrderedDict()

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._tokenizer)

    def of(self, schema: Schema) -> Constraint:
        with self._lock:
            if schema not in self._kept:
                if len(self._kept) == MOST_SCHEMAS:
                    self._kept.popitem(last=False)
                self._kept[schema] = Constraint(self._vocabulary, schema)
            return self._kept[schema]


def _token_texts(tokenizer: Any) -> dict[int, str]:
    """What each token adds to a text, as `fold` has it; special tokens add none.

    Byte-level tokenizers write a character for each byte; those made by sentencepiece write "▁" for a space and
    <0x0A> for bytes. Of others, what a token adds to one before it is decoded.
    """
    added = tokenizer.added_tokens_decoder
    special = set(tokenizer.all_special_ids) | {token for token, entry in added.items() if entry.special}
    pieces = {token: piece for piece, token in tokenizer.get_vocab().items() if token not in special}
    own = {token: piece for token, piece in pieces.items() if token not in added}
    characters, bytes_of = set("".join(own.values())), _byte_characters()
    if "Ġ" in characters and characters <= bytes_of.keys():
        texts = {token: bytes(bytes_of[one] for one in piece) for token, piece in own.items()}
    elif "▁" in characters:
        texts = {token: _sentence_piece(piece) for token, piece in own.items()}
    else:
        texts = _in_context(tokenizer, list(own))
    texts |= {token: piece.encode() for token, piece in pieces.items() if token in added}
    return {token: text.lower().decode("latin-1") for token, text in texts.items()}


def _byte_characters() -> dict[str, int]:
    """The byte of each character of a byte-level vocabulary: printable ones stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(0x100) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def _sentence_piece(piece: str) -> bytes:
    byte = re.fullmatch(r"<0x([0-9A-F]{2})>", piece)
    return bytes.fromhex(byte[1]) if byte else piece.replace("▁", " ").encode()


def _in_context(tokenizer: Any, tokens: list[int]) -> dict[int, bytes]:
    before = tokenizer("a", add_special_tokens=False)["input_ids"]
    alone = tokenizer.decode(before)
    texts = zip(tokens, tokenizer.batch_decode([[*before, token] for token in tokens]), strict=True)
    return {token: text[len(alone) :].encode() for token, text in texts if text.startswith(alone)}
