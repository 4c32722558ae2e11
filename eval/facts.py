"""What a gold query says about the columns of its database.

Reads SQL text through sqlglot (SQLite dialect) and a schema; runs nothing. Neighbours of a gold and
fuzzed rows both need to know which column a constant is compared with, so that it can be replaced by
a likely value, or turn up in the rows.
"""

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp

from data.imports.dialects import REFUSED, check_joins
from data.schema import Schema
from eval.sandbox import Value

Place = tuple[str, str]  # table and column, both in lower case

COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {exp.GT: exp.LT, exp.LT: exp.GT, exp.GTE: exp.LTE, exp.LTE: exp.GTE}


@dataclass
class Facts:
    """What one query, or several, compare columns with.

    `constants` holds values with which a comparison of a column comes out true, None for IS NULL; `around`
    those, the constant itself and values next to it; `counts` numbers that a count is compared with;
    `links` columns compared with one another; `ranked` columns that rows are sorted by, or an extreme is
    taken of.
    """

    constants: dict[Place, list[Value]] = field(default_factory=dict)
    around: dict[Place, list[Value]] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    links: list[tuple[Place, Place]] = field(default_factory=list)
    ranked: set[Place] = field(default_factory=set)

    def note(self, place: Place, values: Iterable[Value], others: Iterable[Value]) -> None:
        """Adds values of a column, and others that are only next to them."""
        self.constants.setdefault(place, []).extend(values)
        self.around.setdefault(place, []).extend(dict.fromkeys([*values, *others]))


def parse(sql: str, schema: Schema) -> exp.Expr | None:
    """The query's tree, or None where sqlglot cannot read it as a query.

    A name in double quotes that no column or alias bears is the text that SQLite takes it for.
    """
    try:
        check_joins(sql, "sqlite")
        tree = sqlglot.parse_one(sql, read="sqlite")
    except REFUSED:
        return None
    if not isinstance(tree, exp.Query):
        return None
    known = {column.name.lower() for table in schema.tables for column in table.columns}
    known |= {alias.alias.lower() for alias in tree.find_all(exp.Alias)}
    for column in list(tree.find_all(exp.Column)):
        name = column.this
        if isinstance(name, exp.Identifier) and name.quoted and not column.table and name.name.lower() not in known:
            column.replace(exp.Literal.string(name.name))
    return tree


class Resolver:
    """Says which table's column a name in a query stands for."""

    def __init__(self, schema: Schema) -> None:
        self._columns = {
            table.name.lower(): {column.name.lower(): column.name for column in table.columns}
            for table in schema.tables
        }

    def place(self, node: exp.Expr | None) -> Place | None:
        """The place of a column node, through parentheses; None for anything else, or a name of no table."""
        if node is None:
            return None
        node = node.unnest()
        if not isinstance(node, exp.Column):
            return None
        name, qualifier = node.name.lower(), node.table.lower()
        select = node.find_ancestor(exp.Select)
        while select is not None:
            for alias, table in sources(select):
                if qualifier in ("", alias.lower()) and name in self._columns.get(table.lower(), {}):
                    return table.lower(), name
            select = select.find_ancestor(exp.Select)
        return None

    def siblings(self, place: Place) -> list[str]:
        """The other columns of the same table, as the table spells them."""
        return [own for name, own in self._columns[place[0]].items() if name != place[1]]

    def owners(self, name: str, select: exp.Select) -> list[str]:
        """The aliases under which a SELECT sees tables that have a column of this name."""
        return [alias for alias, table in sources(select) if name.lower() in self._columns.get(table.lower(), {})]


def sources(select: exp.Select) -> list[tuple[str, str]]:
    """The alias and name of each table in a SELECT's FROM."""
    first = select.args.get("from_")
    units = [unit.this for unit in [first, *(select.args.get("joins") or [])] if unit is not None]
    return [(unit.alias_or_name, unit.name) for unit in units if isinstance(unit, exp.Table)]


def facts(sql: str, schema: Schema) -> Facts:
    """What a query says; nothing where it cannot be read."""
    found = Facts()
    tree = parse(sql, schema)
    if tree is None:
        return found
    resolver = Resolver(schema)
    for node in tree.walk():
        if isinstance(node, COMPARISONS):
            _compare(found, resolver, node.this, node.expression, type(node))
            _compare(found, resolver, node.expression, node.this, _MIRRORED.get(type(node), type(node)))
        elif isinstance(node, exp.Like):
            place, pattern = resolver.place(node.this), literal(node.expression)
            if place and isinstance(pattern, str):
                accepted, missed = matches(pattern)
                found.note(place, accepted, missed)
        elif isinstance(node, exp.Between):
            _compare(found, resolver, node.this, node.args["low"], exp.GTE)
            _compare(found, resolver, node.this, node.args["high"], exp.LTE)
        elif isinstance(node, exp.In):
            for item in [*node.expressions, *([node.args["query"]] if node.args.get("query") else [])]:
                _compare(found, resolver, node.this, item, exp.EQ)
        elif isinstance(node, exp.Is):
            if place := resolver.place(node.this):
                found.note(place, [None], [])
        elif isinstance(node, exp.Ordered | exp.Max | exp.Min):
            if place := resolver.place(_within(node.this)):
                found.ranked.add(place)
        elif isinstance(node, exp.SetOperation):
            for left, right in zip(node.left.selects, node.right.selects, strict=False):
                _link(found, resolver.place(left), resolver.place(right))
    return found


def _compare(found: Facts, resolver: Resolver, left: exp.Expr, right: exp.Expr, operator: type[exp.Expr]) -> None:
    """Notes what `left` is compared with, if it is a column or an aggregate."""
    value = literal(right)
    if isinstance(left, exp.Count):
        if isinstance(value, int):
            found.counts.append(value)
        return
    place = resolver.place(_within(left))
    if place is None:
        return
    if value is not None:
        found.note(place, _meeting(value, operator), [value, *near(value)])
    elif isinstance(right, exp.Subquery | exp.Select):
        for item in right.selects[:1]:
            _link(found, place, resolver.place(_within(item)))
    else:
        _link(found, place, resolver.place(right))


def _link(found: Facts, left: Place | None, right: Place | None) -> None:
    if left and right and left != right:
        found.links.append((left, right))


def _within(node: exp.Expr) -> exp.Expr:
    """The argument of an aggregate or a function of one argument."""
    while isinstance(node, exp.Func | exp.Paren | exp.Alias) and isinstance(node.this, exp.Expr):
        node = node.this
    return node


def literal(node: exp.Expr) -> Value:
    """The value that a node spells out; None for anything else."""
    node = node.unnest()
    if isinstance(node, exp.Neg):
        value = literal(node.this)
        return -value if isinstance(value, int | float) else None
    if not isinstance(node, exp.Literal):
        return None
    return str(node.this) if node.is_string else number(node.this)


def number(text: str) -> int | float | None:
    """The number that a text spells; None for anything else, such as 0x10, and for what is beyond all floats."""
    for kind in (int, float):
        with suppress(ValueError):
            found = storable(kind(text))
            return found if math.isfinite(found) else None
    return None


def storable(value: int | float) -> int | float:
    """The number as SQLite holds it: a float where an integer takes more than 64 bits."""
    if isinstance(value, float) or -(2**63) <= value < 2**63:
        return value
    if abs(value) < 10**308:
        return float(value)
    return math.inf if value > 0 else -math.inf


def _meeting(value: Value, operator: type[exp.Expr]) -> list[Value]:
    """Values that compare true with a constant."""
    above, below = list(near(value))[:2]
    by_operator: dict[type[exp.Expr], list[Value]] = {
        exp.GT: [above],
        exp.GTE: [value, above],
        exp.LT: [below],
        exp.LTE: [value, below],
        exp.NEQ: [above, below],
    }
    return by_operator.get(operator, [value])


def near(value: Value) -> Iterator[Value]:
    """Values next to a constant, on both sides of every comparison: first one above, then one below."""
    if isinstance(value, int | float):
        step = max(1, math.ulp(value)) if isinstance(value, float) else 1
        yield from (storable(value + step), storable(value - step))
    elif isinstance(value, str):
        yield from (_count_on(value, 1) or f"{value}a", _count_on(value, -1) or value[:-1])
        yield from (value.swapcase(), f"{value}a", value[:-1])


def _count_on(text: str, step: int) -> str | None:
    """The text with its last number moved by a step, as wide as before: the next day of a date."""
    found = re.search(r"\d+(?=\D*$)", text)
    if found is None or len(found[0]) > 15:
        return None
    moved = max(int(found[0]) + step, 0)
    return f"{text[: found.start()]}{moved:0{len(found[0])}d}{text[found.end() :]}"


def matches(pattern: str) -> tuple[list[str], list[str]]:
    """Texts that a LIKE pattern accepts, and some next to them, most of which it does not."""
    core = pattern.replace("%", "").replace("_", "e")
    accepted = [pattern.replace("%", filler).replace("_", "e") for filler in ("", "o", "ab")]
    return accepted, [f"o{core}", f"{core}o", core[1:], core[:-1], core.swapcase(), f"{core} {core}"]
