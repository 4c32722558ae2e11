"""What a name in a query stands for, while the query is being read.

Knows the sources of FROM, column aliases and CTEs of one SELECT and of those around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from eval.query import Expression, Names, Query


@dataclass
class Scope:
    """What names mean inside one SELECT: sources by alias, expressions by column alias, CTEs; then outside."""

    sources: dict[str, str | Query] = field(default_factory=dict)
    aliases: dict[str, exp.Expr] = field(default_factory=dict)
    ctes: dict[str, Query] = field(default_factory=dict)
    outer: "Scope | None" = None

    def chain(self) -> "Iterator[Scope]":
        scope: Scope | None = self
        while scope:
            yield scope
            scope = scope.outer

    def resolve(self, column: exp.Column, names: Names | None) -> str | None:
        """The "table.column" that a name stands for; None for text in double quotes that names nothing."""
        name, qualifier = column.name.lower(), column.table.lower()
        for level in self.chain():
            sources = {qualifier: level.sources.get(qualifier)} if qualifier else level.sources
            for source in sources.values():
                if isinstance(source, Query) and (qualifier or _offers(source, name)):
                    return _through(source, name)
                if isinstance(source, str) and (qualifier or _holds(names, source, name)):
                    return f"{source}.{name}"
        quoted = isinstance(column.this, exp.Identifier) and column.this.quoted
        if quoted and not qualifier:
            return None
        return f"{qualifier}.{name}" if qualifier else name


def _holds(names: Names | None, table: str, name: str) -> bool:
    return names is not None and name in names.columns.get(table, ())


def _offers(query: Query, name: str) -> bool:
    return any(_ends_with(unit, name) for _, unit in query.select)


def _through(query: Query, name: str) -> str:
    """A column of a derived table as the column that it is inside, where it is one."""
    for aggregate, unit in query.select:
        if aggregate == "none" and _ends_with(unit, name):
            return unit.left.name
    return name


def _ends_with(unit: Expression, name: str) -> bool:
    return unit.right is None and unit.left.aggregate == "none" and unit.left.name.rpartition(".")[2] == name
