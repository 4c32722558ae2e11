"""What a gold query is made of, for reports that group by it.

Reads a parsed `Query`; the names are those that people filter by.
"""

from collections.abc import Iterator

from eval.query import Query, Table, clauses_of, conditions_of, connectors_of, parts

FEATURES = ("join", "group", "nested", "set operation", "order", "limit", "distinct", "aggregate", "like", "or")


def features(query: Query) -> tuple[tuple[str, ...], int]:
    """The features of a query anywhere in it, in the order of FEATURES, and how many tables it names."""
    found = list(_all(query))
    tables = {unit.name for part in found for unit in part.tables if isinstance(unit, Table)}
    branches = 1 + sum(part.branch is not None for part in found)
    conditions = [unit for part in found for clause in clauses_of(part) for unit in conditions_of(clause)]
    columns = [column for part in found for _, unit in part.select for column in (unit.left, unit.right) if column]
    present = {
        "join": any(len(part.tables) > 1 for part in found),
        "group": any(part.group for part in found),
        "nested": len(found) > branches,
        "set operation": branches > 1,
        "order": any(part.direction for part in found),
        "limit": any(part.limit for part in found),
        "distinct": any(part.distinct for part in found) or any(column.distinct for column in columns),
        "aggregate": any(aggregate != "none" for part in found for aggregate, _ in part.select)
        or any(column.aggregate != "none" for column in columns),
        "like": any(unit.operator == "like" for unit in conditions),
        "or": any("or" in connectors_of(clause) for part in found for clause in clauses_of(part)),
    }
    return tuple(name for name in FEATURES if present[name]), len(tables)


def _all(query: Query) -> Iterator[Query]:
    """The query with all queries in it, however deep."""
    yield query
    for part in parts(query):
        yield from _all(part)
