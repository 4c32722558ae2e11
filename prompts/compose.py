"""One question about one database becomes one prompt, short enough for the model.

Reads the schema and the index of values; asks the linker what the question is about. The same composer serves training, scoring and asking, so that a model is asked as it was taught.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from data.schema import Schema
from prompts.context import used_columns
from prompts.link import Linker, Ranking
from prompts.render import PromptStyle, Shot
from prompts.show import add_values
from prompts.values import Mention, ValueIndex, open_index

# What is dropped from a prompt that is too long, in this order.
DROPS = ("examples", "sample values", "unlinked columns", "unlinked tables")
Picked = Mapping[str, set[str]]


@dataclass(frozen=True)
class View:
    """What prompts show of a database beyond, or instead of, its whole schema.

    `linking`: only the tables and columns that the question seems to be about, at most `top_columns` besides
    those that join. `samples`: that many frequent values of each text column. `matches`: the values that
    the question mentions.
    """

    linking: bool = False
    top_columns: int | None = None
    samples: int = 0
    matches: bool = False


class Database:
    """What prompts can tell of one database. Its index and its linker are made when they are first needed.

    `path` is None where the SQLite file is missing: then no values are known. `index_path` is where the index
    of its values is, or will be.
    """

    def __init__(self, schema: Schema, path: Path | None, index_path: Path) -> None:
        self.schema = schema
        self._path = path
        self._index_path = index_path
        self._mentions: tuple[str, list[Mention]] = ("", [])

    @cached_property
    def index(self) -> ValueIndex | None:
        return open_index(self._path, self.schema, self._index_path) if self._path else None

    def close(self) -> None:
        """Lets go of the index, if it was opened."""
        if index := self.__dict__.pop("index", None):
            index.close()

    @cached_property
    def linker(self) -> Linker:
        return Linker(self.schema)

    def mentions(self, question: str) -> list[Mention]:
        """The values that a question mentions. The last answer is kept: linking and showing both ask."""
        if self._mentions[0] != question:
            self._mentions = (question, self.index.mentions(question) if self.index else [])
        return self._mentions[1]

    def rank(self, question: str) -> Ranking:
        return self.linker.rank(question, self.mentions(question))


@dataclass(frozen=True)
class Draft:
    """A prompt before it is text: what it shows of a database, and the worked examples before it.

    `query`, in training alone, is the gold one: what it uses is never dropped.
    """

    database: Database
    question: str
    schema: Schema
    samples: int
    shots: tuple[Shot, ...] = ()
    query: str | None = None


class Composer:
    """Writes prompts in one style, showing what a view says."""

    def __init__(self, style: PromptStyle, view: View) -> None:
        self._style = style
        self._view = view

    def draft(self, database: Database, question: str, shots: Sequence[Shot] = ()) -> Draft:
        """What scoring and asking show: the full schema, or what the linker picks."""
        schema = database.schema
        if self._view.linking:
            schema = schema.subset(self.pick(database, question))
        return Draft(database, question, schema, self._view.samples, tuple(shots))

    def pick(self, database: Database, question: str) -> Picked:
        """The tables and columns that the linker shows."""
        return database.linker.pick(database.rank(question), self._view.top_columns)

    def context(self, draft: Draft) -> str:
        """The schema as text, with values where the view wants them."""
        return self._style.context(self._filled(draft))

    def text(self, draft: Draft, context: str | None = None) -> str:
        """The prompt, before a chat template; `context` if it is known already."""
        return self._style.text(draft.question, self.context(draft) if context is None else context, draft.shots)

    def shorten(self, draft: Draft, fits: Callable[[str], bool]) -> tuple[Draft, Counter[str]]:
        """The draft with as much dropped as it takes to fit, in the order of DROPS, and how many of each.

        What is linked is never dropped, so the result may still be too long.
        """
        dropped: Counter[str] = Counter()

        def fitting(candidate: Draft) -> bool:
            return fits(self.text(candidate))

        while draft.shots and not fitting(draft):
            draft = replace(draft, shots=draft.shots[1:])  # the least alike
            dropped["examples"] += 1
        if fitting(draft):
            return draft, dropped
        if draft.samples:
            fewer = _most(draft.samples, lambda count: fitting(replace(draft, samples=count)))
            dropped["sample values"] = self._values(draft) - self._values(replace(draft, samples=fewer))
            draft = replace(draft, samples=fewer)
            if fitting(draft):
                return draft, dropped
        return self._narrow(draft, fitting, dropped)

    def _narrow(
        self, draft: Draft, fitting: Callable[[Draft], bool], dropped: Counter[str]
    ) -> tuple[Draft, Counter[str]]:
        """Drops unlinked columns, the least probable first, then unlinked tables."""
        ranking = draft.database.rank(draft.question)
        needed = used_columns(draft.database.schema, draft.query) if draft.query else {}
        linked = _union(draft.database.linker.pick(ranking, self._view.top_columns), needed)
        shown = {table.name: {column.name for column in table.columns} for table in draft.schema.tables}
        spare = [
            (table, column)
            for table, column in ranking.columns
            if column in shown.get(table, ()) and column not in linked.get(table, ())
        ]
        tables = [name for name in ranking.tables if name in shown and name not in linked]

        def keeping(columns: int, unlinked: int) -> Draft:
            kept = {name: linked.get(name, set()) & shown[name] for name in shown if name in linked}
            kept |= {name: set() for name in tables[:unlinked]}
            for table, column in spare[:columns]:
                if table in kept:
                    kept[table].add(column)
            for table, column in spare:  # a table left in is shown with its most probable column
                if not kept.get(table, {""}):
                    kept[table].add(column)
            return replace(draft, schema=draft.schema.subset(kept))

        columns = _most(len(spare), lambda count: fitting(keeping(count, len(tables))))
        unlinked = len(tables) if columns else _most(len(tables), lambda count: fitting(keeping(0, count)))
        shorter = keeping(columns, unlinked)
        left = {table.name: len(table.columns) for table in shorter.schema.tables}
        dropped["unlinked columns"] = sum(len(names) - left[table] for table, names in shown.items() if table in left)
        dropped["unlinked tables"] = len(shown) - len(left)
        return shorter, +dropped

    def _values(self, draft: Draft) -> int:
        return sum(len(column.values) for table in self._filled(draft).tables for column in table.columns)

    def _filled(self, draft: Draft) -> Schema:
        index = draft.database.index if draft.samples or self._view.matches else None
        if index is None:
            return draft.schema
        mentions = draft.database.mentions(draft.question) if self._view.matches else []
        return add_values(draft.schema, index, mentions, draft.samples)


def _union(picked: Picked, needed: Picked) -> dict[str, set[str]]:
    return {name: picked.get(name, set()) | needed.get(name, set()) for name in [*picked, *needed]}


def _most(count: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `count` that fits, by halving; 0 if none does."""
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
