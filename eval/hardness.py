"""How hard a gold query is, by Spider's four classes.

Counts in a parsed `Query`, of the outermost SELECT alone. "unknown" is for texts that cannot be parsed.
"""

from collections.abc import Mapping
from typing import Literal

from eval.query import Query, clauses_of, conditions_of, connectors_of

Hardness = Literal["easy", "medium", "hard", "extra", "unknown"]
HARDNESS: tuple[Hardness, ...] = ("easy", "medium", "hard", "extra", "unknown")
# How many of the 8,659 training questions of Spider (train_spider.json and train_others.json) are of each class.
SPIDER_TRAINING: Mapping[Hardness, int] = {"easy": 1983, "medium": 2999, "hard": 1921, "extra": 1756}


def classify(query: Query) -> Hardness:
    """The class of a parsed gold query. Source: Spider's evaluation rules (Yu et al., 2018).

    The counting of aggregates is the official one: those of SELECT, GROUP BY and ORDER BY, negated
    conditions, and the connectors of HAVING, but not the aggregates that HAVING compares.
    """
    clauses = clauses_of(query)
    units = [unit for clause in clauses for unit in conditions_of(clause)]
    surface = (
        sum(map(bool, (query.where, query.group, query.direction, query.limit)))
        + max(len(query.tables) - 1, 0)
        + sum(connectors_of(clause).count("or") for clause in clauses)
        + sum(unit.operator == "like" for unit in units)
    )
    nested = sum(isinstance(value, Query) for unit in units for value in (unit.right, unit.upper))
    nested += query.branch is not None
    ordered = [column for unit in query.order for column in (unit.left, unit.right) if column]
    aggregates = (
        sum(aggregate != "none" for aggregate, _ in query.select)
        + sum(column.aggregate != "none" for column in (*query.group, *ordered))
        + sum(unit.negated for clause in (query.where, query.having) for unit in conditions_of(clause))
        + len(connectors_of(query.having))
    )
    others = sum([aggregates > 1, len(query.select) > 1, len(query.where) > 1, len(query.group) > 1])
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
