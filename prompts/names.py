"""Many names as rows of words, so that a clue for each word becomes one for each name.

A wide schema has thousands of names of a few words each: rows of places are small where a matrix of names and
words is not.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Names:
    """Names as words: each one's places in the vocabulary, filled up with a place after the last.

    `share` is what part of the name each word is; a word that comes twice counts once, with both its parts.
    """

    def __init__(self, names: Sequence[Sequence[str]], place: Mapping[str, int]) -> None:
        longest = max((len(set(known)) for known in names), default=0)
        self._words = np.full((len(names), longest), len(place), dtype=np.intp)
        self._share = np.zeros((len(names), longest))
        for row, known in enumerate(names):
            for index, (word, count) in enumerate(Counter(known).items()):
                self._words[row, index], self._share[row, index] = place[word], count / len(known)
        self._none = len(place)

    def uses(self) -> npt.NDArray[np.intp]:
        """How many names have each word of the vocabulary."""
        return np.bincount(self._words.ravel(), minlength=self._none + 1)[: self._none]

    def shares(self, clue: Array) -> Array:
        """For each name the part of it that the clue, which has one number a word, is about."""
        return np.asarray((self._share * clue[self._words]).sum(axis=1))

    def sums(self, clue: Array) -> Array:
        return np.asarray(clue[self._words].sum(axis=1))

    def best(self, clue: Array) -> Array:
        """For each name the strongest clue of its words."""
        return np.asarray(clue[self._words].max(axis=1, initial=0))

    def found(self, clue: Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """The names, and their words, for which there is a clue: as pairs of places."""
        rows, indexes = np.nonzero(clue[self._words])
        return rows, self._words[rows, indexes]


def by_word(sets: Iterable[Collection[str]]) -> dict[str, list[int]]:
    """For each word the places of the sets that hold it."""
    places: dict[str, list[int]] = {}
    for place, held in enumerate(sets):
        for word in sorted(held):
            places.setdefault(word, []).append(place)
    return places


def marked(count: int, places: Mapping[str, Sequence[int]], asked: Collection[str]) -> Array:
    """1 at each place that a word asked for leads to."""
    marks = np.zeros(count)
    for word in asked:
        marks[places.get(word, [])] = 1
    return marks
