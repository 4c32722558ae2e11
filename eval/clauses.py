"""Putting clauses of a `Query` together: set operations appended, conditions connected, joins recognized."""

from collections.abc import Callable

from eval.query import Column, Condition, Conditions, Query


def append(query: Query, operation: str, branch: Query) -> Query:
    """The query with a branch after its last."""
    if query.branch is None:
        return query._replace(set_operation=operation, branch=branch)
    return query._replace(branch=append(query.branch, operation, branch))


def connect(units: list[Condition], connector: str) -> Conditions:
    """The conditions as a clause, the connector between each two."""
    return tuple(part for place, unit in enumerate(units) for part in ((connector, unit) if place else (unit,)))


def conjunction(*clauses: Conditions) -> Conditions:
    """All clauses as one, joined by AND; empty ones are passed over."""
    joined: Conditions = ()
    for clause in clauses:
        joined = (*joined, "and", *clause) if joined and clause else joined or clause
    return joined


def lift_joins(on: Conditions, where: Conditions) -> tuple[Conditions, Conditions]:
    """Equalities between columns of two tables move from WHERE to ON, if WHERE only knows AND."""
    units = [unit for unit in where[::2] if isinstance(unit, Condition)]
    if "or" in where:
        return on, where

    def joins(unit: Condition) -> bool:
        if unit.operator != "=" or not isinstance(unit.right, Column) or unit.left is None or unit.left.right:
            return False
        sides = (unit.left.left.name, unit.right.name)
        return len({name.rpartition(".")[0] for name in sides}) == 2 and all("." in name for name in sides)

    def pick(wanted: Callable[[Condition], bool]) -> Conditions:
        return connect([unit for unit in units if wanted(unit)], "and")

    return conjunction(on, pick(joins)), pick(lambda unit: not joins(unit))
