"""Neighbours of a gold query: the queries one small mistake away from it.

Reads SQL text through sqlglot (SQLite dialect) and a schema; runs nothing. A data set's databases
should give a gold and its neighbours different results; where they do not, a wrong prediction passes.
Source: Zhong et al. (2020), "Semantic Evaluation for Text-to-SQL with Distilled Test Suites".
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlglot import exp

from data.schema import Schema
from eval.facts import COMPARISONS, Place, Resolver, literal, near, parse
from eval.sandbox import Value

AGGREGATES = (exp.Max, exp.Min, exp.Sum, exp.Avg, exp.Count)
SET_OPERATIONS = (exp.Union, exp.Intersect, exp.Except)
VALUES_TRIED = 3  # other values of a column in place of one constant
COLUMNS_TRIED = 4  # other columns in place of one

# A node and what takes its place, made when it is wanted: most edits are never used.
Edit = tuple[str, exp.Expr, Callable[[], exp.Expr]]


@dataclass(frozen=True)
class Neighbour:
    """A query that differs from its gold by one change of this kind."""

    kind: str
    sql: str


def neighbours(
    sql: str, schema: Schema, values: Mapping[Place, Sequence[Value]], seed: int, limit: int
) -> list[Neighbour]:
    """At most `limit` neighbours, none twice: a sample by `seed` that takes the kinds in turn.

    `values` are what the columns hold, by lower-case table and column. Empty where sqlglot cannot read
    the query. Some may be refused by SQLite, as where an aggregate has no place.
    """
    tree = parse(sql, schema)
    if tree is None:
        return []
    rng = random.Random(f"{seed} {sql}")
    by_kind: dict[str, list[Edit]] = {}
    for edit in _edits(tree, Resolver(schema), values, rng):
        by_kind.setdefault(edit[0], []).append(edit)
    for edits in by_kind.values():
        rng.shuffle(edits)
    queues = [by_kind[kind] for kind in sorted(by_kind)]
    found: dict[str, Neighbour] = {}
    same = {tree.sql("sqlite"), sql}
    while queues and len(found) < limit:
        for queue in queues[: limit - len(found)]:
            kind, node, make = queue.pop()
            changed = _render(tree, node, make())
            if changed not in same:
                found.setdefault(changed, Neighbour(kind, changed))
        queues = [queue for queue in queues if queue]
    return list(found.values())


def rewritten(sql: str, schema: Schema) -> str | None:
    """The query as neighbours spell it, nothing changed; None where sqlglot cannot read it."""
    tree = parse(sql, schema)
    return None if tree is None else tree.sql("sqlite")


def _render(tree: exp.Expr, node: exp.Expr, replacement: exp.Expr) -> str:
    """The text with one node replaced; the tree is as before after."""
    if node is tree:
        return replacement.sql("sqlite")
    node.replace(replacement)
    text = tree.sql("sqlite")
    replacement.replace(node)
    return text


def _edits(
    tree: exp.Expr, resolver: Resolver, values: Mapping[Place, Sequence[Value]], rng: random.Random
) -> Iterator[Edit]:
    for node in list(tree.walk()):
        if isinstance(node, COMPARISONS):
            yield from _comparison(node)
        elif isinstance(node, exp.Literal):
            yield from _constant(node, resolver, values, rng)
        elif isinstance(node, exp.Column):
            yield from _column(node, resolver, rng)
        elif isinstance(node, AGGREGATES):
            yield from _aggregate(node)
        elif isinstance(node, exp.And | exp.Or):
            yield from _connective(node)
        elif isinstance(node, exp.SetOperation):
            yield from _set_operation(node)
        elif isinstance(node, exp.Ordered):
            descending = bool(node.args.get("desc"))
            # Where NULLs come is SQLite's rule for the direction, or sqlglot would spell it out.
            yield "order", node, partial(_with, node, desc=not descending, nulls_first=descending)
        elif isinstance(node, exp.Limit):
            yield from _limit(node)
        elif isinstance(node, exp.Select):
            yield from _clauses(node)
        elif isinstance(node, exp.Join):
            yield from _join(node)
        elif isinstance(node, exp.Add | exp.Sub):
            other = exp.Sub if isinstance(node, exp.Add) else exp.Add
            yield "arithmetic", node, partial(_as, node, other)
        if isinstance(node, exp.Like | exp.In | exp.Between | exp.Exists | exp.Is):
            yield from _negation(node)


def _with(node: exp.Expr, **changes: object) -> exp.Expr:
    """A copy with some arguments set; None takes one away."""
    copy = node.copy()
    for name, value in changes.items():
        copy.set(name, value)
    return copy


def _as(node: exp.Expr, other: type[exp.Expr]) -> exp.Expr:
    """A copy as another kind of node: the same operands under another operator."""
    return other(**node.copy().args)


def _is_join(node: exp.Expr | None) -> bool:
    """Whether a condition says which rows belong together: two columns, equal."""
    return isinstance(node, exp.EQ) and isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Column)


def _comparison(node: exp.Expr) -> Iterator[Edit]:
    if _is_join(node):
        return
    for other in COMPARISONS:
        if not isinstance(node, other):
            yield "comparison", node, partial(_as, node, other)


def _constant(
    node: exp.Literal, resolver: Resolver, values: Mapping[Place, Sequence[Value]], rng: random.Random
) -> Iterator[Edit]:
    parent = node.parent
    if isinstance(parent, exp.Limit | exp.Offset | exp.Ordered) or literal(node) is None:
        return
    value = literal(node)
    if isinstance(parent, exp.Like):
        for pattern in _patterns(str(value)):
            yield "like", node, partial(exp.Literal.string, pattern)
        return
    others = [other for other in near(value) if str(other) != str(value)]
    operands = [] if parent is None else [parent.this, parent.expression]
    place = next(filter(None, map(resolver.place, operands)), None)
    held = [other for other in values.get(place, ()) if str(other) != str(value)] if place else []
    others += rng.sample(held, min(VALUES_TRIED, len(held)))
    for other in others:
        yield "constant", node, partial(_spell, other, node.is_string)


def _spell(value: Value, as_text: bool) -> exp.Expr:
    """A value as the query's literals are spelled: a year in quotes stays in quotes."""
    if as_text or not isinstance(value, int | float):
        return exp.Literal.string(value.decode(errors="replace") if isinstance(value, bytes) else str(value))
    return exp.Literal.number(value)


def _patterns(pattern: str) -> Iterator[str]:
    core = pattern.strip("%")
    yield from (core, f"{core}%", f"%{core}", f"%{core}%", f"%{core[1:]}%", f"%{core[:-1]}%", f"_{core}%")


def _column(node: exp.Column, resolver: Resolver, rng: random.Random) -> Iterator[Edit]:
    place = resolver.place(node)
    if place is None or isinstance(node.this, exp.Star):
        return
    kind = "join" if _is_join(node.parent) else "column"
    siblings = resolver.siblings(place)
    for name in rng.sample(siblings, min(COLUMNS_TRIED, len(siblings))):
        yield kind, node, partial(_with, node, this=exp.to_identifier(name, quoted=True))
    select = node.find_ancestor(exp.Select)
    if kind == "column" and node.table and select:
        for alias in resolver.owners(node.name, select):
            if alias.lower() != node.table.lower():
                yield kind, node, partial(_with, node, table=exp.to_identifier(alias))


def _aggregate(node: exp.Expr) -> Iterator[Edit]:
    if isinstance(node.this, exp.Distinct):
        yield "distinct", node, partial(_with, node, this=node.this.expressions[0].copy())
    elif isinstance(node, exp.Count) and isinstance(node.this, exp.Column):
        yield "distinct", node, partial(_with, node, this=exp.Distinct(expressions=[node.this.copy()]))
    if isinstance(node.this, exp.Star):
        return
    for other in AGGREGATES:
        if not isinstance(node, other):
            yield "aggregate", node, partial(other, this=node.this.copy())


def _connective(node: exp.And | exp.Or) -> Iterator[Edit]:
    other = exp.Or if isinstance(node, exp.And) else exp.And
    yield "connective", node, partial(exp.paren, _as(node, other))
    for kept, dropped in ((node.this, node.expression), (node.expression, node.this)):
        kind = "join" if _is_join(dropped) else "condition"
        yield kind, node, kept.copy


def _set_operation(node: exp.SetOperation) -> Iterator[Edit]:
    for other in SET_OPERATIONS:
        if not isinstance(node, other):
            yield "set operation", node, partial(_as, node, other)
    if isinstance(node, exp.Except):
        yield "set operation", node, partial(_with, node, this=node.expression.copy(), expression=node.this.copy())
    if isinstance(node, exp.Union):
        yield "set operation", node, partial(_with, node, distinct=not node.args.get("distinct"))
    for branch in (node.this, node.expression):
        yield "set operation", node, branch.copy


def _limit(node: exp.Limit) -> Iterator[Edit]:
    most = literal(node.expression)
    if isinstance(most, int):
        for other in (most + 1, most - 1):
            if other > 0:
                yield "limit", node, partial(_with, node, expression=exp.Literal.number(other))


def _clauses(node: exp.Select) -> Iterator[Edit]:
    """Clauses of a SELECT taken away or added whole, and single columns of its lists taken away."""
    group = node.args.get("group")
    # Elsewhere DISTINCT changes nothing: in a set, or in a single row.
    parent = node.parent
    within_set = isinstance(parent, SET_OPERATIONS) or isinstance(parent and parent.parent, exp.In)
    if not within_set and (group or not all(isinstance(item.unalias(), exp.AggFunc) for item in node.expressions)):
        distinct = None if node.args.get("distinct") else exp.Distinct()
        yield "distinct", node, partial(_with, node, distinct=distinct)
    for clause, kind in (("where", "condition"), ("having", "having"), ("limit", "limit")):
        if node.args.get(clause) and not _is_join(node.args[clause].this):
            yield kind, node, partial(_with, node, **{clause: None})
    if group:
        yield "group", node, partial(_with, node, group=None, having=None)
    if node.args.get("order"):
        yield "order", node, partial(_with, node, order=None)
    for clause, kind in (("group", "group"), ("order", "order")):
        listed = node.args.get(clause)
        if isinstance(listed, exp.Expr) and len(listed.expressions) > 1:
            for dropped in listed.expressions:
                left = [item.copy() for item in listed.expressions if item is not dropped]
                yield kind, listed, partial(_with, listed, expressions=left)


def _join(node: exp.Join) -> Iterator[Edit]:
    if not node.args.get("on"):
        return
    if node.side:
        yield "join", node, partial(_with, node, side=None)
    else:
        yield "join", node, partial(_with, node, side="LEFT", kind=None)


def _negation(node: exp.Expr) -> Iterator[Edit]:
    kind = "like" if isinstance(node, exp.Like) else "in" if isinstance(node, exp.In | exp.Exists) else "comparison"
    if isinstance(node.parent, exp.Not):
        yield kind, node.parent, node.copy
    else:
        yield kind, node, partial(_negate, node)


def _negate(node: exp.Expr) -> exp.Expr:
    return exp.Not(this=node.copy())
