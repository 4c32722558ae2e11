"""The hidden states that enter the first trained layer, kept on disk: what frozen layers make of a text never changes.

Works on examples as token ids; a file in the cache holds one row for each token. A state depends on the tokens
up to its own alone, so questions about one context share the rows of their common prefix, however they are
packed later. What a killed run left half-written, and what a disk has spoilt, is told by checksums.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.batches import Encoded
from pipeline.model import common_prefix

VERSION = 1
TYPES = {"fp32": np.float32, "fp16": np.float16, "bf16": np.uint16}  # numpy has no bf16: its bits
UNIT_TOKENS = 2048  # that are computed at once, about


@dataclass(frozen=True)
class Piece:
    """Rows of the file that are written and checked together."""

    number: int
    start: int
    length: int

    @property
    def rows(self) -> slice:
        return slice(self.start, self.start + self.length)


class States:
    """States of examples, by their places. Pieces are the common prefix of each context, and the rest of each example.

    They are computed by units: some examples of one context behind their prefix. Units are always the same, and
    the first one of a context writes its prefix, so that a state has the same bits whenever it is computed.
    """

    def __init__(self, folder: Path, examples: Sequence[Encoded], width: int, kind: str) -> None:
        """Opens the files in `folder`, or makes empty ones; `width` is the model's, `kind` a key of TYPES."""
        self._examples, self._kind = examples, kind
        self._prefixes, self._rests, self._units, rows = _pieces(examples)
        count = len(self._prefixes) + len(self._rests)
        folder.mkdir(parents=True, exist_ok=True)
        self._rows = _opened(folder / "states.bin", TYPES[kind], (rows, width))
        self._sums = _opened(folder / "checksums.bin", np.uint32, (count,))
        self._checked = np.zeros(count, dtype=bool)

    def missing(self, places: Iterable[int]) -> list[list[int]]:
        """The units that have to be computed before the states of these examples can be read, as lists of places."""
        contexts = {self._examples[place].context for place in places}
        wanted = set(places)
        found = []
        for context in self._units:
            for number, unit in enumerate(self._units[context] if context in contexts else ()):
                pieces = [self._rests[place] for place in unit] + ([self._prefixes[context]] if number == 0 else [])
                if (number == 0 or wanted & set(unit)) and not all(map(self._is_whole, pieces)):
                    found.append(unit)
        return found

    def write(self, unit: Sequence[int], states: Any) -> None:
        """Keeps the states of a unit's sequence (`make_sequence`), (length, width)."""
        context = self._examples[unit[0]].context
        prefix = self._prefixes[context]
        shared = max(_shared([self._examples[place] for place in unit]), prefix.length)
        made = _array(states, self._kind)
        if unit is self._units[context][0]:
            self._keep(prefix, made[: prefix.length])
        between, at = made[prefix.length : shared], shared
        for place in unit:
            rest = self._rests[place]
            own = rest.length - len(between)
            self._keep(rest, np.concatenate([between, made[at : at + own]]))
            at += own

    def read(self, places: Sequence[int]) -> Any:
        """The states of these examples' sequence (`make_sequence`), (length, width); all have to be there."""
        first = self._examples[places[0]]
        prefix = self._prefixes[first.context]
        skipped = max(_shared([self._examples[place] for place in places]) - prefix.length, 0)
        rows = [self._rows[prefix.rows], self._rows[self._rests[places[0]].rows][:skipped]]
        rows += [self._rows[self._rests[place].rows][skipped:] for place in places]
        return _tensor(np.concatenate(rows))

    def _is_whole(self, piece: Piece) -> bool:
        if not self._checked[piece.number]:
            self._checked[piece.number] = self._sums[piece.number] == _checksum(self._rows[piece.rows])
        return bool(self._checked[piece.number])

    def _keep(self, piece: Piece, rows: Any) -> None:
        self._rows[piece.rows] = rows
        self._sums[piece.number] = _checksum(rows)


def room_needed(examples: Sequence[Encoded], width: int, kind: str) -> float:
    """Gigabytes that the states of all examples take."""
    *_, rows = _pieces(examples)
    return rows * width * np.dtype(TYPES[kind]).itemsize / 1e9


def unit_tokens(examples: Sequence[Encoded]) -> int:
    """Tokens that are computed for the states of all examples: those of all units."""
    prefixes, rests, units, _ = _pieces(examples)
    shared = sum(prefixes[context].length * len(units[context]) for context in units)
    return shared + sum(rest.length for rest in rests)


def states_key(examples: Sequence[Encoded], **settings: object) -> str:
    """A name for what states depend on: the tokens, and the base, how it is loaded and how deep."""
    digest = hashlib.sha256(json.dumps([VERSION, UNIT_TOKENS, settings], sort_keys=True).encode())
    for example in examples:
        digest.update(np.asarray([len(example.context), len(example.ids), example.completion, *example.ids]).tobytes())
        digest.update(example.context.encode())
    return digest.hexdigest()[:32]


def _pieces(examples: Sequence[Encoded]) -> tuple[dict[str, Piece], list[Piece], dict[str, list[list[int]]], int]:
    """The pieces of contexts and of examples, the units of each context, and how many rows there are."""
    groups: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        groups.setdefault(example.context, []).append(place)
    prefixes: dict[str, Piece] = {}
    units: dict[str, list[list[int]]] = {}
    rows = 0
    for context, places in groups.items():
        prefixes[context] = Piece(len(prefixes), rows, _shared([examples[place] for place in places]))
        rows += prefixes[context].length
        units[context] = _units(examples, places, prefixes[context].length)
    rests = []
    for number, example in enumerate(examples, start=len(prefixes)):
        rests.append(Piece(number, rows, len(example.ids) - prefixes[example.context].length))
        rows += rests[-1].length
    return prefixes, rests, units, rows


def _shared(examples: Sequence[Encoded]) -> int:
    """How many tokens a sequence of these examples holds once."""
    return len(common_prefix([example.prompt for example in examples])) if len(examples) > 1 else 0


def _units(examples: Sequence[Encoded], places: Sequence[int], prefix: int) -> list[list[int]]:
    units: list[list[int]] = []
    tokens = 0
    for place in places:
        own = len(examples[place].ids) - prefix
        if not units or tokens + own > UNIT_TOKENS:
            units.append([])
            tokens = prefix
        units[-1].append(place)
        tokens += own
    return units


def _opened(path: Path, kind: Any, shape: tuple[int, ...]) -> Any:
    """A memory-mapped array; a file of another size is thrown away."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    is_there = path.is_file() and path.stat().st_size == size
    return np.memmap(path, dtype=kind, mode="r+" if is_there else "w+", shape=shape)


def _checksum(rows: Any) -> int:
    """Never 0, which stands for rows that were not written."""
    return zlib.crc32(np.ascontiguousarray(rows).data) or 1


def _array(states: Any, kind: str) -> Any:
    import torch

    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[kind]
    states = states.detach().to("cpu", dtype)
    return (states.view(torch.uint16) if kind == "bf16" else states).numpy()


def _tensor(rows: Any) -> Any:
    import torch

    tensor = torch.from_numpy(rows)
    return tensor.view(torch.bfloat16) if rows.dtype == np.uint16 else tensor
