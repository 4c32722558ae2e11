"""What in a question points at each table and column of a schema, as numbers for the linker's trees.

Reads names, types, keys, meanings, and the values that a question mentions. The order of the clues
is part of `linker.json`, which was fitted on it: a change here wants `benchmarks/linker.py --fit`.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import JaroWinkler

from data.schema import Schema
from prompts.names import Names, by_word, marked
from prompts.values import Mention
from prompts.words import STOP_WORDS, name_words, stem, stems, synonyms, words

Array = npt.NDArray[np.float64]

TABLE_CLUES = (
    *("part", "whole", "near", "best part", "best whole", "best near", "best synonym", "best value", "covers", "alone"),
    *("tables", "columns", "neighbours", "neighbour named", "between named"),
    *("part behind", "best part behind", "value behind", "covers behind"),
)
COLUMN_CLUES = (
    *("part", "own part", "rarity", "whole", "near", "synonym", "value", "primary key", "foreign key", "referenced"),
    *(
        "name",
        "number",
        "date",
        "number asked",
        "date asked",
        "place",
        "part behind",
        "value behind",
        "table part behind",
    ),
)
NEAR = 0.9  # the least likeness of two words that differ by a slip
NEAR_NUMBERS = 1 << 20  # kept of the likeness between words asked for and words known
PART_OF_NAME = 4  # letters of the shortest word looked for inside of a run-together name

_NUMBER_CUES = frozenset(
    stems(
        """
        average avg mean maximum max minimum min sum total high low large small great most least more less highest
        lowest largest smallest greatest between than over under above below percent rate
        """.split()
    )
)
_DATE_CUES = frozenset(
    stems("when date day month year before after since recent latest earliest first last old".split())
)


class Clues:
    """The clues of one schema; all that does not depend on the question is computed once."""

    def __init__(self, schema: Schema) -> None:
        tables = schema.tables
        columns = [(place, column) for place, table in enumerate(tables) for column in table.columns]
        self._owner = np.array([place for place, _ in columns], dtype=np.intp)
        self._column_place = {(tables[place].name, column.name): index for index, (place, column) in enumerate(columns)}
        table_words = [stems(name_words(table.name)) for table in tables]
        column_words = [stems(name_words(column.name)) for _, column in columns]
        own = [
            [word for word in known if word not in table_words[place]] or known
            for known, (place, _) in zip(column_words, columns, strict=True)
        ]
        self._vocabulary = sorted({word for known in table_words + column_words for word in known})
        self._place = {word: place for place, word in enumerate(self._vocabulary)}
        self._tables, self._columns, self._own = (
            Names(known, self._place) for known in (table_words, column_words, own)
        )
        self._rarity = np.log1p(len(columns) / np.maximum(self._columns.uses(), 1))
        self._table_phrases = [" ".join(known) for known in table_words]
        self._column_phrases = [" ".join(known) for known in column_words]
        self._meanings = by_word(
            {stem(word) for word in words(column.meaning) if word not in STOP_WORDS} for _, column in columns
        )
        self._synonyms = by_word(synonyms().get(word, frozenset()) for word in self._vocabulary)
        self._fixed_columns = self._of_schema(schema, column_words)
        self._adjacent = _adjacency(schema)
        sizes = [len(table.columns) for table in tables]
        self._fixed_tables = np.stack(
            [np.full(len(tables), np.log1p(len(tables))), np.log1p(sizes), self._adjacent.sum(axis=1)], axis=1
        )
        self._near = lru_cache(max(NEAR_NUMBERS // (len(self._vocabulary) + 1), 8))(self._nearness)

    def of(self, question: str, mentions: Sequence[Mention]) -> tuple[Array, Array]:
        """Clues of the shapes (tables, len(TABLE_CLUES)) and (columns, len(COLUMN_CLUES) + len(TABLE_CLUES)),
        in schema order."""
        low = words(question)
        all_stems = stems(low)
        asked = set(all_stems)
        content = {found for word, found in zip(low, all_stems, strict=True) if word not in STOP_WORDS}
        text = f" {' '.join(all_stems)} "
        exact = np.zeros(len(self._vocabulary) + 1)  # the last stands for no word
        exact[[self._place[word] for word in content if word in self._place]] = 1
        near = self._near_words(content)
        synonym = marked(len(exact), self._synonyms, asked)
        value = self._values(mentions)

        part = self._columns.shares(exact)
        whole = _whole(part, self._column_phrases, text)
        close = self._columns.best(near)
        meant = np.maximum(self._columns.best(synonym), marked(len(self._owner), self._meanings, content))
        table_part = self._tables.shares(exact)
        table_whole = _whole(table_part, self._table_phrases, text)
        table_close = self._tables.best(near)

        covers, alone = self._coverage(exact, value)
        best = [_most(self._owner, clue, len(table_part)) for clue in (part, whole, close, meant, value)]
        named = self._adjacent * table_part
        tables = np.column_stack(
            [table_part, table_whole, table_close, *best, covers, alone, self._fixed_tables]
            + [named.max(axis=1, initial=0), (named > 0).sum(axis=1) >= 2]
            + [_behind(table_part), _behind(best[0]), _behind(best[4]), _behind(covers)]
        )
        number, date = self._fixed_columns[:, 4], self._fixed_columns[:, 5]
        number_asked = float(not asked.isdisjoint(_NUMBER_CUES))
        date_asked = float(not asked.isdisjoint(_DATE_CUES) or bool(re.search(r"\b(1[5-9]|20)\d\d\b", question)))
        rarity = self._columns.sums(exact * np.append(self._rarity, 0))
        columns = np.column_stack(
            [part, self._own.shares(exact), rarity, whole, close, meant, value, self._fixed_columns[:, :6]]
            + [number * number_asked, date * date_asked, self._fixed_columns[:, 6]]
            + [_behind(part), _behind(value), (best[0][self._owner] - part)]
        )
        return tables, np.hstack([columns, tables[self._owner]])

    def _of_schema(self, schema: Schema, column_words: Sequence[Sequence[str]]) -> Array:
        """Primary key, foreign key, referenced, name-like, number, date, place in the table."""
        parents = {(key.parent_table, key.parent_column) for table in schema.tables for key in table.foreign_keys}
        rows: list[list[float]] = []
        for table in schema.tables:
            children = {key.column for key in table.foreign_keys}
            for place, column in enumerate(table.columns):
                known, kind = set(column_words[len(rows)]), column.type.lower()
                rows.append(
                    [
                        column.name in table.primary_key,
                        column.name in children,
                        (table.name, column.name) in parents,
                        not known.isdisjoint(("name", "titl")),
                        bool(re.search("int|real|num|dec|float|double|money", kind)),
                        bool(re.search("date|time|year", kind))
                        or not known.isdisjoint(("date", "year", "time", "day")),
                        np.log1p(place),
                    ]
                )
        return np.array(rows, dtype=np.float64).reshape(-1, 7)

    def _near_words(self, content: Collection[str]) -> Array:
        """For each word of the vocabulary, how near a word of the question that is no word of it comes."""
        rows = [self._near(word) for word in sorted(content) if word not in self._place and len(word) >= PART_OF_NAME]
        return np.append(np.max(rows, axis=0), 0) if rows else np.zeros(len(self._vocabulary) + 1)

    def _nearness(self, word: str) -> Array:
        def likeness(other: str) -> float:
            if len(other) >= PART_OF_NAME and (word in other or other in word):
                return min(len(word), len(other)) / max(len(word), len(other))
            return float(JaroWinkler.similarity(word, other, score_cutoff=NEAR))

        return np.array([likeness(other) for other in self._vocabulary])

    def _values(self, mentions: Sequence[Mention]) -> Array:
        weights = np.zeros(len(self._owner))
        for mention in mentions:
            place = self._column_place.get((mention.table, mention.column))
            if place is not None:
                weights[place] = max(weights[place], mention.weight)
        return weights

    def _coverage(self, exact: Array, value: Array) -> tuple[Array, Array]:
        """The share of the question's schema words that each table has, and how many only it has."""
        count = len(self._fixed_tables)
        columns, words_of_columns = self._columns.found(exact)
        tables, words_of_tables = self._tables.found(exact)
        holders = np.concatenate([self._owner[columns], tables])
        pairs = np.unique(np.stack([holders, np.concatenate([words_of_columns, words_of_tables])]), axis=1)
        uses = np.bincount(pairs[1], minlength=1)
        has = np.bincount(pairs[0], minlength=count)
        alone = np.bincount(pairs[0][uses[pairs[1]] == 1], minlength=count)
        by_value = _most(self._owner, (value >= 1).astype(np.float64), count)
        return has / max(int((uses > 0).sum()), 1), alone + by_value


def _adjacency(schema: Schema) -> Array:
    """1 where a foreign key joins two tables."""
    place = {table.name: index for index, table in enumerate(schema.tables)}
    adjacent = np.zeros((len(place), len(place)))
    for table in schema.tables:
        for key in table.foreign_keys:
            if key.parent_table in place and key.parent_table != table.name:
                ends = place[table.name], place[key.parent_table]
                adjacent[ends] = adjacent[ends[::-1]] = 1
    return adjacent


def _whole(part: Array, phrases: Sequence[str], text: str) -> Array:
    """1 where all words of a name stand in the question one after the other."""
    found = np.zeros(len(phrases))
    for index in np.flatnonzero(part >= 0.999).tolist():
        found[index] = f" {phrases[index]} " in text
    return found


def _most(owner: npt.NDArray[np.intp], clue: Array, count: int) -> Array:
    """For each table the strongest clue of its columns."""
    most = np.zeros(count)
    np.maximum.at(most, owner, clue)
    return most


def _behind(clue: Array) -> Array:
    """How far each is behind the first."""
    return np.asarray(clue - clue.max(initial=0))
