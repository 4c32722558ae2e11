"""What the text of a gold query and of a prediction tells: hardness, features, exact match.

Reads SQL and the names of a database, runs nothing. Each gold is parsed once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from eval import semantic, spider_sql
from eval.exact_match import Component, match
from eval.features import features
from eval.hardness import Hardness, classify
from eval.query import Names, ParseError, Query


@dataclass(frozen=True)
class Read:
    """What reading a prediction beside its gold gave. No components where the gold is outside the narrow grammar."""

    hardness: Hardness
    features: tuple[str, ...]
    tables: int
    em: bool
    em_semantic: bool
    components: Mapping[str, Component]


@dataclass
class Reader:
    """Reads predictions and remembers golds."""

    _golds: dict[tuple[str, Names | None], "_Text"] = field(default_factory=dict)

    def read(self, gold: str, predicted: str, names: Names | None) -> Read:
        """Without `names` there is no exact match of either kind."""
        key = (gold, names)
        if key not in self._golds:
            self._golds[key] = _Text(gold, names)
        told = self._golds[key]
        found, tables = told.features
        if names is None:
            return Read(told.hardness, found, tables, False, False, {})
        other = _Text(predicted, names)
        em, components = False, dict[str, Component]()
        if told.narrow:
            em, components = match(told.narrow.query, other.narrow and other.narrow.query, names)
        # Read whole by the narrow grammar, both mean what it says, and all of SQL would say the same.
        whole = told.narrow and told.narrow.whole and other.narrow and other.narrow.whole
        em_semantic = em if whole else _matches(told.full, other.full, names)
        return Read(told.hardness, found, tables, em, em_semantic, components)


class _Text:
    """A query's text, parsed when it is asked for."""

    def __init__(self, sql: str, names: Names | None) -> None:
        self._sql, self._names = sql, names

    @cached_property
    def narrow(self) -> spider_sql.Parsed | None:
        try:
            return spider_sql.parse(self._sql, self._names) if self._names else None
        except ParseError:
            return None

    @cached_property
    def full(self) -> Query | None:
        try:
            return semantic.parse(self._sql, self._names)
        except ParseError:
            return None

    @property
    def _query(self) -> Query | None:
        """As the narrow grammar has it, whose oddities the official classes show; else all of SQL."""
        return self.narrow.query if self.narrow else self.full

    @cached_property
    def hardness(self) -> Hardness:
        return classify(self._query) if self._query else "unknown"

    @cached_property
    def features(self) -> tuple[tuple[str, ...], int]:
        return features(self._query) if self._query else ((), 0)


def _matches(gold: Query | None, predicted: Query | None, names: Names) -> bool:
    return gold is not None and predicted is not None and match(gold, predicted, names).exact
