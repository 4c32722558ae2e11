"""What the text of a gold query and of a prediction tells: hardness, features, exact match.

Reads SQL and the names of a database, runs nothing. Each gold is parsed once.
"""

from dataclasses import dataclass, field
from functools import cached_property

from eval import semantic, spider_sql
from eval.exact_match import Component, match
from eval.features import features
from eval.hardness import Hardness, classify
from eval.query import Names, ParseError, Query


class Read:
    """What reading a prediction beside its gold gave.

    No components where the gold is outside the narrow grammar, and without `names` no match of either kind.
    """

    def __init__(self, gold: "_Text", predicted: "_Text", names: Names | None) -> None:
        self.hardness = gold.hardness
        self.features, self.tables = gold.features
        self.em, self.components = False, dict[str, Component]()
        self._gold, self._predicted, self._names = gold, predicted, names
        if gold.narrow and names:
            self.em, self.components = match(gold.narrow.query, predicted.narrow and predicted.narrow.query, names)

    @cached_property
    def em_semantic(self) -> bool:
        """Worked out when it is asked for: it costs as much as all the rest."""
        narrow = (self._gold.narrow, self._predicted.narrow)
        if all(parsed and parsed.whole for parsed in narrow):  # both say what they mean, all of SQL would say the same
            return self.em
        gold, predicted = self._gold.full, self._predicted.full
        return bool(self._names and gold and predicted and match(gold, predicted, self._names).exact)


@dataclass
class Reader:
    """Reads predictions and remembers golds."""

    _golds: dict[tuple[str, Names | None], "_Text"] = field(default_factory=dict)

    def read(self, gold: str, predicted: str, names: Names | None) -> Read:
        key = (gold, names)
        if key not in self._golds:
            self._golds[key] = _Text(gold, names)
        return Read(self._golds[key], _Text(predicted, names), names)


def hardness(sql: str, names: Names | None = None) -> Hardness:
    """The class of a gold query given as text; "unknown" where it cannot be parsed."""
    return _Text(sql, names).hardness


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
