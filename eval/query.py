"""A parsed query as Spider's exact match looks at it: clauses as sets of small units.

Two parsers write it, `eval/spider_sql.py` (the narrow official grammar) and `eval/semantic.py` (all of
SQL, through sqlglot); `eval/exact_match.py` compares it and `eval/hardness.py` counts in it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from data.errors import UserError
from data.schema import KeyPairs, Schema, key_pairs, read_key_pairs, read_sqlite

STAR = "*"
SET_OPERATIONS = ("intersect", "except", "union")


class ParseError(ValueError):
    """The text is not a query of the grammar that was asked for."""


class Column(NamedTuple):
    """A column under an aggregate ("none" for none); named "table.column" in lower case, or "*"."""

    aggregate: str
    name: str
    distinct: bool


class Expression(NamedTuple):
    """One column, or two with an operator of `- + * /` between them ("none" for none)."""

    operator: str
    left: Column
    right: Column | None


class Condition(NamedTuple):
    """`left [NOT] operator right [AND upper]`; `left` is None for EXISTS."""

    negated: bool
    operator: str
    left: Expression | None
    right: "Value"
    upper: "Value" = None


class Table(NamedTuple):
    """A table of FROM; `join` is "" for an inner join, else its kind ("left", ...)."""

    name: str
    join: str = ""


# Conditions at even places, "and" or "or" between them at odd ones.
Conditions: TypeAlias = "tuple[Condition | str, ...]"
Value: TypeAlias = "float | str | Column | Query | None"


class Query(NamedTuple):
    """One SELECT with what follows it. `direction` is None without ORDER BY; `limit` is its presence."""

    distinct: bool
    select: tuple[tuple[str, Expression], ...]
    tables: "tuple[Table | Query, ...]"
    on: Conditions = ()
    where: Conditions = ()
    group: tuple[Column, ...] = ()
    having: Conditions = ()
    direction: str | None = None
    order: tuple[Expression, ...] = ()
    limit: bool = False
    set_operation: str | None = None
    branch: "Query | None" = None


def conditions_of(clause: Conditions) -> list[Condition]:
    return [unit for unit in clause[::2] if isinstance(unit, Condition)]


def connectors_of(clause: Conditions) -> list[str | Condition]:
    """What stands between the conditions: a condition itself where a connector is missing."""
    return list(clause[1::2])


def clauses_of(query: Query) -> tuple[Conditions, ...]:
    return query.on, query.where, query.having


def parts(query: Query) -> Iterator[Query]:
    """The queries directly in a query: in FROM, in conditions, after a set operation."""
    yield from (unit for unit in query.tables if isinstance(unit, Query))
    units = (unit for clause in clauses_of(query) for unit in conditions_of(clause))
    yield from (value for unit in units for value in (unit.right, unit.upper) if isinstance(value, Query))
    if query.branch:
        yield query.branch


class Names:
    """The tables and columns of one database in lower case, and its foreign keys as a renaming.

    `representative` maps each column of a foreign key to the one that stands for all that are joined
    through it: in the order of the keys, a pair joins the first group that holds either column; groups
    never merge; the column that comes first in the schema represents its group.
    """

    def __init__(self, schema: Schema, keys: KeyPairs | None = None) -> None:
        self.columns: dict[str, frozenset[str]] = {
            table.name.lower(): frozenset(column.name.lower() for column in table.columns) for table in schema.tables
        }
        self.representative = _representatives(keys or key_pairs(schema))


def _representatives(keys: KeyPairs) -> dict[str, str]:
    groups: list[set[int]] = []
    for pair in keys.pairs:
        group = next((group for group in groups if not group.isdisjoint(pair)), None)
        if group is None:
            groups.append(group := set())
        group.update(pair)
    chosen: dict[str, str] = {}
    for group in groups:  # a column that is in two groups is represented as the later one says
        chosen |= {keys.columns[place]: keys.columns[min(group)] for place in group}
    return chosen


class KnownNames:
    """The names of databases, each read once; foreign keys from Spider's `tables.json` where that is given."""

    def __init__(self, tables: Path | None) -> None:
        self._keys = read_key_pairs(tables) if tables else {}
        self._read: dict[Path, Names | None] = {}
        self.unreadable: dict[Path, str] = {}

    def get(self, database: Path) -> Names | None:
        """None where the file is missing, or cannot be read, which `unreadable` then explains."""
        if database not in self._read:
            self._read[database] = None
            try:
                if database.is_file():
                    self._read[database] = Names(read_sqlite(database), self._keys.get(database.stem))
            except UserError as error:
                self.unreadable[database] = str(error)
        return self._read[database]
