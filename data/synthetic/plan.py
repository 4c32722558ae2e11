"""A small typed query: what `data/synthetic/grammar.py` samples, what SQL and question are both written from.

Gives SQL in the habitual style of Spider, its skeleton, and the queries beside it that show whether each
of its parts does anything. Runs nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from data.imports.building import quoted
from data.synthetic.kinds import Value
from data.synthetic.profile import Entity, Field, Link

Aggregate = Literal["", "count", "avg", "sum", "max", "min"]
Shape = Literal["list", "count", "figures", "groups", "parents"]
Check = Literal["filter", "inner", "having", "distinct", "left", "right", "cut"]

PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What SQLite, sqlglot or the official grammar would not take for a name.
_WORDS = """
    add all alter and as asc autoincrement avg between by case cast check collate commit constraint count create
    cross current_date current_time current_timestamp default deferrable delete desc distinct drop else end escape
    except exists false for foreign from full glob group having if in index inner insert intersect into is isnull
    join left like limit max min natural not nothing notnull null offset oid on or order outer primary raise
    references regexp returning right rollback rowid select set sum table then to transaction true union unique
    update using value values when where window with
"""
KEYWORDS = frozenset(_WORDS.split())


@dataclass(frozen=True)
class Step:
    """One table of FROM. `up`: the table before it holds the key that leads here; else this one does."""

    entity: Entity
    link: Link | None = None
    up: bool = True


@dataclass(frozen=True)
class Ref:
    """A column of the table at a place of FROM."""

    place: int
    field: Field


@dataclass(frozen=True)
class Item:
    """What is selected or sorted by: a column, or an aggregate of one; `ref` None for count(*)."""

    aggregate: Aggregate
    ref: Ref | None
    distinct: bool = False


@dataclass(frozen=True)
class Condition:
    """`operator` in lower case; `values` as they are compared, or a `nested` query instead.

    LIKE keeps the fragment in `values`, and where it stands in `fragment_at`.
    """

    ref: Ref
    operator: str
    values: tuple[Value, ...] = ()
    nested: "Plan | None" = None
    fragment_at: Literal["", "start", "end", "inside"] = ""


@dataclass(frozen=True)
class Having:
    item: Item
    operator: str
    value: Value


@dataclass(frozen=True)
class Order:
    item: Item
    descending: bool


@dataclass(frozen=True)
class Plan:
    """One query. `shape` says what is asked: rows, their number, figures of them, groups, or parents by children."""

    shape: Shape
    steps: tuple[Step, ...]
    select: tuple[Item, ...]
    distinct: bool = False
    where: tuple[Condition, ...] = ()
    connector: Literal["and", "or"] = "and"
    group: Ref | None = None
    having: Having | None = None
    order: Order | None = None
    limit: int | None = None
    combine: "tuple[Literal['intersect', 'union', 'except'], Plan] | None" = None
    aliases: bool = True

    @property
    def entity(self) -> Entity:
        return self.steps[0].entity


def to_sql(plan: Plan) -> str:
    return _Text(plan, masked=False).query()


def skeleton(plan: Plan) -> str:
    """The SQL with every name and literal masked."""
    return _Text(plan, masked=True).query()


class _Text:
    """Writes one plan; nested ones get a writer of their own."""

    def __init__(self, plan: Plan, masked: bool) -> None:
        self._plan, self._masked = plan, masked
        names = [step.entity.table for step in plan.steps]
        self._numbered = len(names) > 1 and (plan.aliases or len(set(names)) < len(names))

    def query(self) -> str:
        plan = self._plan
        text = f"SELECT {'DISTINCT ' if plan.distinct else ''}{', '.join(map(self._item, plan.select))} FROM {self._tables()}"
        if plan.where:
            text += " WHERE " + f" {plan.connector.upper()} ".join(map(self._condition, plan.where))
        if plan.group:
            text += f" GROUP BY {self._column(plan.group)}"
        if plan.having:
            text += f" HAVING {self._item(plan.having.item)} {plan.having.operator} {self._literal(plan.having.value)}"
        if plan.order:
            text += f" ORDER BY {self._item(plan.order.item)} {'DESC' if plan.order.descending else 'ASC'}"
        if plan.limit:
            text += f" LIMIT {plan.limit}"
        if plan.combine:
            text += f" {plan.combine[0].upper()} {_Text(plan.combine[1], self._masked).query()}"
        return text

    def _name(self, name: str) -> str:
        if self._masked:
            return "_"
        return name if PLAIN_NAME.fullmatch(name) and name.lower() not in KEYWORDS else quoted(name)

    def _literal(self, value: Value) -> str:
        if self._masked:
            return "?"
        return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)

    def _owner(self, place: int) -> str:
        return f"T{place + 1}" if self._numbered else self._name(self._plan.steps[place].entity.table)

    def _column(self, ref: Ref) -> str:
        name = self._name(ref.field.name)
        return f"{self._owner(ref.place)}.{name}" if len(self._plan.steps) > 1 else name

    def _item(self, item: Item) -> str:
        inner = f"{'DISTINCT ' if item.distinct else ''}{self._column(item.ref) if item.ref else '*'}"
        return f"{item.aggregate}({inner})" if item.aggregate else inner

    def _tables(self) -> str:
        def table(place: int) -> str:
            name = self._name(self._plan.steps[place].entity.table)
            return f"{name} AS {self._owner(place)}" if self._numbered else name

        text = table(0)
        for place, step in enumerate(self._plan.steps[1:], start=1):
            assert step.link
            here, there = step.link.parent_column, step.link.column
            if not step.up:
                here, there = there, here
            text += f" JOIN {table(place)} ON {self._column(Ref(place - 1, there))} = {self._column(Ref(place, here))}"
        return text

    def _condition(self, condition: Condition) -> str:
        left, operator = self._column(condition.ref), condition.operator.upper()
        if condition.nested:
            return f"{left} {operator} ({_Text(condition.nested, self._masked).query()})"
        if condition.fragment_at:
            before = "" if condition.fragment_at == "start" else "%"
            after = "" if condition.fragment_at == "end" else "%"
            return f"{left} {operator} {self._literal(f'{before}{condition.values[0]}{after}')}"
        values = [*map(self._literal, condition.values)]
        if operator in ("IN", "NOT IN"):
            return f"{left} {operator} ({', '.join(values)})"
        return f"{left} {operator} {' AND '.join(values)}".rstrip()


def checks(plan: Plan) -> Iterator[tuple[Check, Plan]]:
    """The queries beside it, by what they show.

    Without a filter, a nested query's filter, HAVING or DISTINCT the result must be another one. Both sides
    of a set operation are run alone. "cut" gives one row more than LIMIT does, and what they are sorted by.
    """
    for place, condition in enumerate(plan.where):
        yield "filter", replace(plan, where=(*plan.where[:place], *plan.where[place + 1 :]))
        if condition.nested and condition.nested.where:
            freed = replace(condition, nested=replace(condition.nested, where=()))
            yield "inner", replace(plan, where=(*plan.where[:place], freed, *plan.where[place + 1 :]))
    if plan.having:
        yield "having", replace(plan, having=None)
    if plan.distinct:
        yield "distinct", replace(plan, distinct=False)
    if plan.combine:
        yield "left", replace(plan, combine=None)
        yield "right", plan.combine[1]
        if plan.combine[1].where:
            yield "inner", replace(plan, combine=(plan.combine[0], replace(plan.combine[1], where=())))
    if plan.limit and plan.order:
        yield "cut", replace(plan, select=(*plan.select, plan.order.item), limit=plan.limit + 1, distinct=False)


def literals(plan: Plan) -> list[Value]:
    """Every value, number and limit that the question has to name. Yes and no are said by other words."""
    found: list[Value] = []
    for condition in plan.where:
        found += () if condition.ref.field.truth else condition.values
        if condition.nested:
            found += literals(condition.nested)
    if plan.having:
        found.append(plan.having.value)
    if plan.limit and plan.limit > 1:
        found.append(plan.limit)
    if plan.combine:
        found += literals(plan.combine[1])
    return found
