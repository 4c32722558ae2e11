"""What a gold query is made of, for reports that group by it.

Reads a parsed `Query`; the names are those that people filter by.
"""

from collections.abc import Iterator

from eval.query import Conditions, Query, Table, conditions_of, connectors_of

FEATURES = ("join", "group", "nested", "set operation", "order", "limit", "distinct", "aggregate", "like", "or")


def features(query: Query) -> tuple[tuple[str, ...], int]:
    """The features of a query anywhere in it, in the order of FEATURES, and how many tables it names."""
    parts = list(_parts(query))
    tables = {unit.name for part in parts for unit in part.tables if isinstance(unit, Table)}
    branches = 1 + sum(part.branch is not None for part in parts)
    conditions = [unit for part in parts for clause in _clauses(part) for unit in conditions_of(clause)]
    columns = [column for part in parts for _, unit in part.select for column in (unit.left, unit.right) if column]
    present = {
        "join": any(len(part.tables) > 1 for part in parts),
        "group": any(part.group for part in parts),
        "nested": len(parts) > branches,
        "set operation": branches > 1,
        "order": any(part.direction for part in parts),
        "limit": any(part.limit for part in parts),
        "distinct": any(part.distinct for part in parts) or any(column.distinct for column in columns),
        "aggregate": any(aggregate != "none" for part in parts for aggregate, _ in part.select)
        or any(column.aggregate != "none" for column in columns),
        "like": any(unit.operator == "like" for unit in conditions),
        "or": any("or" in connectors_of(clause) for part in parts for clause in _clauses(part)),
    }
    return tuple(name for name in FEATURES if present[name]), len(tables)


def _clauses(query: Query) -> tuple[Conditions, ...]:
    return (query.on, query.where, query.having)


def _parts(query: Query) -> Iterator[Query]:
    """The query with all queries in it: in FROM, in conditions, in set operations."""
    yield query
    inner = [unit for unit in query.tables if isinstance(unit, Query)]
    for clause in _clauses(query):
        for unit in conditions_of(clause):
            inner += [value for value in (unit.right, unit.upper) if isinstance(value, Query)]
    for part in [*inner, *([query.branch] if query.branch else [])]:
        yield from _parts(part)
