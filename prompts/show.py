"""What a prompt says of a column beyond its type: values that the question mentions, and samples.

Takes a schema as it will be shown, and gives it back with `Column.values` filled from the index.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from data.schema import Column, Schema
from prompts.values import Mention, ValueIndex

MENTIONED = 3  # of one column; more are the same words again


def add_values(schema: Schema, index: ValueIndex, mentions: Sequence[Mention], samples: int) -> Schema:
    """Each column with the values of its own that are mentioned, filled up to `samples` with frequent ones."""
    mentioned: dict[tuple[str, str], list[str]] = {}
    for mention in mentions:
        mentioned.setdefault((mention.table, mention.column), []).append(mention.text)

    def values(table: str, column: Column) -> tuple[str, ...]:
        own = mentioned.get((table, column.name), [])[:MENTIONED]
        others = [text for text in index.samples(table, column.name, samples) if text not in own]
        return (*own, *others[: max(samples - len(own), 0)])

    return _with_values(schema, values)


def without_values(schema: Schema) -> Schema:
    return _with_values(schema, lambda table, column: ())


def _with_values(schema: Schema, values: Callable[[str, Column], tuple[str, ...]]) -> Schema:
    tables = tuple(
        replace(table, columns=tuple(replace(column, values=values(table.name, column)) for column in table.columns))
        for table in schema.tables
    )
    return replace(schema, tables=tables)
