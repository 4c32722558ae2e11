"""How hard a gold query is, by Spider's four classes.

Reads SQL text through sqlglot (SQLite dialect), so that queries outside the narrow grammar of the
official evaluator (quoted names, LEFT JOIN, IS NULL) get a class too. Nothing is run here.
"""

from collections.abc import Iterator
from typing import Literal

import sqlglot
from sqlglot import exp

Hardness = Literal["easy", "medium", "hard", "extra", "unknown"]
HARDNESS: tuple[Hardness, ...] = ("easy", "medium", "hard", "extra", "unknown")


def hardness(sql: str) -> Hardness:
    """The class of one gold query; "unknown" where sqlglot cannot parse it as a query.

    Counts only the outermost SELECT (the first branch of a set operation). Source: Spider's
    evaluation rules (Yu et al., 2018), with the official counting of aggregates: those of SELECT,
    GROUP BY and ORDER BY, negated conditions, and the connectors of HAVING.
    """
    try:
        tree = sqlglot.parse_one(sql, read="sqlite")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return "unknown"
    select, has_set_operation = _first_branch(tree)
    if select is None:
        return "unknown"
    joins = select.args.get("joins") or []
    where, having, group = select.args.get("where"), select.args.get("having"), select.args.get("group")
    order = select.args.get("order")
    on = [unit for join in joins for unit in _conditions(join.args.get("on"))]
    wheres, havings = _conditions(where and where.this), _conditions(having and having.this)
    everywhere = [*on, *wheres, *havings]
    grouped = group.expressions if group else []

    clauses = [where, group, order, select.args.get("limit")]
    connectors = [join.args.get("on") for join in joins] + [clause and clause.this for clause in (where, having)]
    surface = (
        sum(clause is not None for clause in clauses)
        + len(joins)
        + sum(_count_or(condition) for condition in connectors)
        + sum(isinstance(_positive(unit), exp.Like) for unit in everywhere)
    )
    nested = sum(len(_value_subqueries(unit)) for unit in everywhere) + has_set_operation
    aggregates = (
        sum(isinstance(item.unalias(), exp.AggFunc) for item in select.expressions)
        + sum(isinstance(item, exp.AggFunc) for item in grouped)
        + sum(len(_outer_aggregates(item)) for item in (order.expressions if order else []))
        + sum(_is_negated(unit) for unit in [*wheres, *havings])
        + max(len(havings) - 1, 0)
    )
    others = sum([aggregates > 1, len(select.expressions) > 1, len(wheres) > 1, len(grouped) > 1])
    return _class(surface, nested, others)


def _class(surface: int, nested: int, others: int) -> Hardness:
    if nested == 0 and surface <= 1 and others == 0:
        return "easy"
    if nested == 0 and ((others <= 2 and surface <= 1) or (others <= 1 and surface <= 2)):
        return "medium"
    if nested == 0 and ((others > 2 and surface <= 2) or (others <= 2 and surface == 3)):
        return "hard"
    if nested <= 1 and surface <= 1 and others == 0:
        return "hard"
    return "extra"


def _first_branch(tree: exp.Expr) -> tuple[exp.Select | None, bool]:
    """The first SELECT of a (chain of) set operations, and whether there was one."""
    node, has_set_operation = tree, False
    while isinstance(node, exp.SetOperation | exp.Subquery):
        has_set_operation = has_set_operation or isinstance(node, exp.SetOperation)
        node = node.this
    return (node if isinstance(node, exp.Select) else None), has_set_operation


def _conditions(node: exp.Expr | None) -> list[exp.Expr]:
    """The conditions that AND and OR connect, parentheses opened."""
    if node is None:
        return []
    if isinstance(node, exp.Paren):
        return _conditions(node.this)
    if isinstance(node, exp.And | exp.Or):
        return [*_conditions(node.left), *_conditions(node.right)]
    return [node]


def _count_or(node: exp.Expr | None) -> int:
    if isinstance(node, exp.Paren):
        return _count_or(node.this)
    if isinstance(node, exp.And | exp.Or):
        return isinstance(node, exp.Or) + _count_or(node.left) + _count_or(node.right)
    return 0


def _is_negated(unit: exp.Expr) -> bool:
    """NOT LIKE, NOT IN, NOT BETWEEN; IS NOT NULL is a spelling of its own, not a negated condition."""
    return not isinstance(_positive(unit), exp.Is) and (isinstance(unit, exp.Not) or bool(unit.args.get("negate")))


def _positive(unit: exp.Expr) -> exp.Expr:
    return unit.this if isinstance(unit, exp.Not) else unit


def _value_subqueries(unit: exp.Expr) -> list[exp.Expr]:
    """Subqueries that one condition compares with, not those inside them."""
    return [
        node
        for node in unit.walk(prune=lambda node: isinstance(node, exp.Query))
        if isinstance(node, exp.Query) and node is not unit
    ]


def _outer_aggregates(item: exp.Expr) -> list[exp.Expr]:
    walk: Iterator[exp.Expr] = item.walk(prune=lambda node: isinstance(node, exp.Query))
    return [node for node in walk if isinstance(node, exp.AggFunc)]
