"""Schema linking: which tables and columns a question is about.

Reads a schema, a question and the values that it mentions; ranks every table and column, and picks
those to show. Two small ensembles of gradient-boosted trees do the ranking; `benchmarks/linker.py`
fits them on Spider's training questions and writes `linker.json`. The gold query is never looked at.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from data.schema import Schema, Table
from prompts.clues import Clues
from prompts.values import Mention

Array = npt.NDArray[np.float64]
Name = TypeVar("Name")


class Trees:
    """Gradient-boosted trees, as lists of equal length, one a tree: each node's feature and threshold, and
    its two children. A leaf has itself as both; its value is added to the log-odds.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        nodes = len(content["feature"][0])
        self._roots = nodes * np.arange(len(content["feature"]))
        # Trees one after the other, children counted from the first node of all.
        self._feature = np.asarray(content["feature"], dtype=np.intp).ravel()
        self._threshold = np.asarray(content["threshold"], dtype=np.float64).ravel()
        self._children = np.stack(
            [(np.asarray(content[side], dtype=np.intp) + self._roots[:, None]).ravel() for side in ("left", "right")]
        ).ravel()
        self._value = np.asarray(content["value"], dtype=np.float64).ravel()
        self._base, self._depth = float(content["base"]), int(content["depth"])

    def predict(self, clues: Array) -> Array:
        """Probabilities, for clues of the shape (items, features)."""
        flat, first = clues.ravel(), clues.shape[1] * np.arange(len(clues))[:, None]
        node = np.broadcast_to(self._roots, (len(clues), len(self._roots)))
        for _ in range(self._depth):
            right = flat.take(first + self._feature.take(node)) > self._threshold.take(node)
            node = self._children.take(node + right * len(self._feature))
        odds = self._base + self._value.take(node).sum(axis=1)
        return np.asarray(1 / (1 + np.exp(-odds)))


@dataclass(frozen=True)
class Model:
    """The rankers of tables and columns, and how probable what is shown must be."""

    tables: Trees
    columns: Trees
    table_cut: float
    column_cut: float


@lru_cache(1)
def shipped_model() -> Model:
    content = json.loads((files("prompts") / "linker.json").read_text(encoding="utf-8"))
    return Model(
        Trees(content["tables"]),
        Trees(content["columns"]),
        content["table_cut"],
        content["column_cut"],
    )


def digest() -> str:
    """What tells this linker from one of another version: its trees, and the synonyms that they read."""
    total = hashlib.sha256()
    for name in ("linker.json", "synonyms.txt"):
        total.update((files("prompts") / name).read_bytes())
    return total.hexdigest()


@dataclass(frozen=True)
class Ranking:
    """How probable it is that a query answering the question uses each table, and each (table, column).

    Both in the order of rank, the most probable first; ties in schema order.
    """

    tables: Mapping[str, float]
    columns: Mapping[tuple[str, str], float]


class Linker:
    """Ranks the tables and columns of one schema."""

    def __init__(self, schema: Schema, model: Model | None = None) -> None:
        self.schema = schema
        self._model = model or shipped_model()
        self._clues = Clues(schema)
        self._edges = _edges(schema)

    def clues(self, question: str, mentions: Sequence[Mention] = ()) -> tuple[Array, Array]:
        """What the trees read of each table and each column."""
        return self._clues.of(question, mentions)

    def rank(self, question: str, mentions: Sequence[Mention] = ()) -> Ranking:
        """The probabilities, from the question and the values that it mentions."""
        of_tables, of_columns = self.clues(question, mentions)
        tables = self._model.tables.predict(of_tables).tolist()
        columns = self._model.columns.predict(of_columns).tolist()
        names = [table.name for table in self.schema.tables]
        pairs = [(table.name, column.name) for table in self.schema.tables for column in table.columns]
        return Ranking(_ranked(names, tables), _ranked(pairs, columns))

    def pick(self, ranking: Ranking, top: int | None = None) -> dict[str, set[str]]:
        """The tables to show, each with its columns: what is probable enough, and what joins it.

        `top` bounds the columns, besides the keys of joins.
        """
        columns = [pair for pair, chance in ranking.columns.items() if chance >= self._model.column_cut]
        tables = [name for name, chance in ranking.tables.items() if chance >= self._model.table_cut]
        return self.close(ranking, tables, columns, top)

    def close(
        self,
        ranking: Ranking,
        tables: Sequence[str],
        columns: Sequence[tuple[str, str]],
        top: int | None = None,
    ) -> dict[str, set[str]]:
        """These tables, those on the paths of foreign keys between them, and the columns that join them.

        Columns of other tables are left out, and so are those after the first `top`. A table of which nothing
        else is shown keeps its most probable column. No table at all means the most probable one.
        """
        shown = self._connect(list(tables) or list(ranking.tables)[:1], ranking)
        picked: dict[str, set[str]] = {name: set() for name in shown}
        for table, column in [pair for pair in columns if pair[0] in picked][:top]:
            picked[table].add(column)
        for (child, parent), pairs in self._edges.items():
            if child in picked and parent in picked:
                for child_column, parent_column in pairs:
                    picked[child].add(child_column)
                    picked[parent].add(parent_column)
        for table, column in ranking.columns:
            if not picked.get(table, {""}):
                picked[table].add(column)
        return picked

    def _connect(self, tables: list[str], ranking: Ranking) -> list[str]:
        """The tables with the shortest paths of foreign keys that join each to those before it."""
        reached = tables[:1]
        for goal in tables[1:]:
            for name in self._path(reached, goal, ranking):
                if name not in reached:
                    reached.append(name)
        return reached

    def _path(self, starts: Sequence[str], goal: str, ranking: Ranking) -> list[str]:
        """From one of `starts` to `goal` by foreign keys, the more probable tables first; only the goal if none."""
        came: dict[str, str | None] = dict.fromkeys(starts)
        front = list(starts)
        while front and goal not in came:
            fresh: dict[str, str | None] = {}
            for name in front:
                for other in self._neighbours(name):
                    if other not in came:
                        fresh.setdefault(other, name)
            came |= fresh
            front = sorted(fresh, key=lambda name: -ranking.tables[name])
        path, step = [goal], came.get(goal)
        while step is not None:
            path.append(step)
            step = came[step]
        return path[::-1]

    def _neighbours(self, name: str) -> list[str]:
        return [b if a == name else a for a, b in self._edges if name in (a, b) and a != b]


def _ranked(names: Sequence[Name], chances: Sequence[float]) -> dict[Name, float]:
    order = sorted(range(len(names)), key=lambda place: -chances[place])
    return {names[place]: chances[place] for place in order}


def _edges(schema: Schema) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The column pairs of the foreign keys between each child and parent that are both there."""
    columns = {table.name: _names(table) for table in schema.tables}
    edges: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for table in schema.tables:
        for key in table.foreign_keys:
            if key.column in columns[table.name] and key.parent_column in columns.get(key.parent_table, ()):
                edges.setdefault((table.name, key.parent_table), []).append((key.column, key.parent_column))
    return edges


def _names(table: Table) -> set[str]:
    return {column.name for column in table.columns}
