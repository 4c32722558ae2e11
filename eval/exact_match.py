"""Exact set match of two parsed queries, and its components.

Reads `Query` objects of either parser; runs nothing. Values do not count: what a condition compares with
is only looked at where it is a subquery. Source: docs/scoring.md, after Yu et al. (2018).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from eval.query import (
    Column,
    Condition,
    Conditions,
    Expression,
    Names,
    Query,
    Table,
    Value,
    conditions_of,
    connectors_of,
)

# In the order in which the official tool prints them.
COMPONENTS = (
    "select",
    "select(no AGG)",
    "where",
    "where(no OP)",
    "group(no Having)",
    "group",
    "order",
    "and/or",
    "IUEN",
    "keywords",
)


class Component(NamedTuple):
    """Whether one part agrees, and whether each side has it at all."""

    agrees: bool
    predicted: bool
    gold: bool


class Match(NamedTuple):
    """Exact match, and each component by its name."""

    exact: bool
    components: dict[str, Component]


_NOTHING = Query(False, (), ())


def match(gold: Query, predicted: Query | None, names: Names) -> Match:
    """Compares two queries of one database; a prediction that could not be parsed (None) has no parts."""
    left = canonical(gold, names)
    right = canonical(predicted, names) if predicted else _NOTHING
    return _compare(left, right)


def canonical(query: Query, names: Names) -> Query:
    """The query without DISTINCT and values, each foreign-key column as its group's representative.

    That holds for the outermost query and for its set-operation branches. Subqueries in conditions only
    lose their values; subqueries in FROM stay as they are. A column is renamed only where its table is in
    the outermost FROM.
    """
    sources = {unit.name for unit in query.tables if isinstance(unit, Table)}
    renamed = {column: to for column, to in names.representative.items() if column.rpartition(".")[0] in sources}
    return _rename(_disable_values(query), renamed)


def _disable_values(query: Query) -> Query:
    return query._replace(
        on=_conditions_without_values(query.on),
        where=_conditions_without_values(query.where),
        having=_conditions_without_values(query.having),
        branch=query.branch and _disable_values(query.branch),
    )


def _conditions_without_values(clause: Conditions) -> Conditions:
    def subquery(value: Value) -> Query | None:
        return _disable_values(value) if isinstance(value, Query) else None

    return tuple(
        unit._replace(right=subquery(unit.right), upper=subquery(unit.upper))
        if isinstance(unit, Condition) and place % 2 == 0
        else unit
        for place, unit in enumerate(clause)
    )


def _rename(query: Query, renamed: Mapping[str, str]) -> Query:
    def column(unit: Column) -> Column:
        return Column(unit.aggregate, renamed.get(unit.name, unit.name), False)

    def expression(unit: Expression) -> Expression:
        return Expression(unit.operator, column(unit.left), column(unit.right) if unit.right else None)

    def conditions(clause: Conditions) -> Conditions:
        return tuple(
            unit._replace(left=expression(unit.left)) if isinstance(unit, Condition) and unit.left else unit
            for unit in clause
        )

    return query._replace(
        distinct=False,
        select=tuple((aggregate, expression(unit)) for aggregate, unit in query.select),
        on=conditions(query.on),
        where=conditions(query.where),
        group=tuple(column(unit) for unit in query.group),
        having=conditions(query.having),
        order=tuple(expression(unit) for unit in query.order),
        branch=query.branch and _rename(query.branch, renamed),
    )


def _compare(gold: Query, predicted: Query) -> Match:
    """The match of two queries that are canonical already."""
    components = _components(gold, predicted)
    agree = all(part.agrees for part in components.values())
    return Match(agree and (not gold.tables or Counter(gold.tables) == Counter(predicted.tables)), components)


def _components(gold: Query, predicted: Query) -> dict[str, Component]:
    sides = (gold, predicted)
    where = [conditions_of(query.where) for query in sides]
    connectors = [set(connectors_of(query.where)) for query in sides]
    keywords = [_keywords(query) for query in sides]
    parts = (
        _same_units(*([*query.select] for query in sides)),
        _same_units(*([unit for _, unit in query.select] for query in sides)),
        _same_units(*where),
        _same_units(*([unit.left for unit in units] for units in where)),
        _same_units(*([unit.name.rpartition(".")[2] for unit in query.group] for query in sides)),
        _present([query.group for query in sides], [([c.name for c in q.group], q.having) for q in sides]),
        _present([query.direction for query in sides], [(q.direction, q.order, q.limit) for q in sides]),
        # The original reports equal connectors as present on both sides, and else swaps the two totals.
        Component(True, True, True)
        if connectors[0] == connectors[1]
        else Component(False, bool(connectors[0]), bool(connectors[1])),
        _same_branches(gold, predicted),
        Component(keywords[0] == keywords[1], bool(keywords[1]), bool(keywords[0])),
    )
    return dict(zip(COMPONENTS, parts, strict=True))


def _same_units(gold: Sequence[Any], predicted: Sequence[Any]) -> Component:
    agrees = len(gold) == len(predicted) and (gold == predicted or Counter(gold) == Counter(predicted))
    return Component(agrees, bool(predicted), bool(gold))


def _present(clauses: Sequence[object], contents: Sequence[Any]) -> Component:
    """A clause compared whole; where neither side has it, they agree."""
    gold, predicted = (bool(clause) for clause in clauses)
    agrees = gold == predicted and (not gold or contents[0] == contents[1])
    return Component(agrees, predicted, gold)


def _same_branches(gold: Query, predicted: Query) -> Component:
    present = Component(False, predicted.branch is not None, gold.branch is not None)
    if gold.branch is None or predicted.branch is None:
        return present._replace(agrees=gold.branch is predicted.branch)
    same = gold.set_operation == predicted.set_operation and _compare(gold.branch, predicted.branch).exact
    return present._replace(agrees=same)


def _keywords(query: Query) -> set[str]:
    clauses = [query.on, query.where, query.having]
    units = [unit for clause in clauses for unit in conditions_of(clause)]
    found = {
        "where": query.where,
        "group": query.group,
        "having": query.having,
        "order": query.direction,
        "limit": query.limit,
        "or": any("or" in connectors_of(clause) for clause in clauses),
        "not": any(unit.negated for unit in units),
        "in": any(unit.operator == "in" for unit in units),
        "like": any(unit.operator == "like" for unit in units),
    }
    words = {word for word, present in found.items() if present}
    return words | {word for word in (query.direction, query.set_operation) if word}


def component_scores(matches: Iterable[Mapping[str, Component]]) -> dict[str, dict[str, float]]:
    """Precision ("acc"), recall and F1 of each component over many predictions, as the official tool has them.

    Precision is over the predictions that have the component, recall over the golds that have it; where
    both are 0 the official F1 is 1.
    """
    collected = list(matches)
    scores: dict[str, dict[str, float]] = {}
    for name in COMPONENTS:
        parts = [components[name] for components in collected]
        agreeing = [part for part in parts if part.agrees]
        precision = _share(sum(part.predicted for part in agreeing), sum(part.predicted for part in parts))
        recall = _share(sum(part.gold for part in agreeing), sum(part.gold for part in parts))
        both = precision + recall
        scores[name] = {"acc": precision, "rec": recall, "f1": 2 * precision * recall / both if both else 1.0}
    return scores


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0
