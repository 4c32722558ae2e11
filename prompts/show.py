"""What a prompt says of a column beyond its type: values that the question mentions, and samples.

Takes a schema as it will be shown, and gives it back with `Column.values` filled from the index.
"""

from collections.abc import Sequence
from dataclasses import replace

from data.schema import Column, Schema
from prompts.values import Mention, ValueIndex

MENTIONED = 3  # of one column; more are the same words again


def add_values(schema: Schema, index: ValueIndex, mentions: Sequence[Mention], samples: int) -> Schema:
    """Each column with the values of its own that are mentioned, filled up to `samples` with frequent ones."""
    mentioned: dict[tuple[str, str], list[str]] = {}
    for mention in mentions:
        mentioned.setdefault((mention.table, mention.column), []).append(mention.text)

    def filled(table: str, column: Column) -> Column:
        own = mentioned.get((table, column.name), [])[:MENTIONED]
        others = [text for text in index.samples(table, column.name, samples) if text not in own]
        values = (*own, *others[: max(samples - len(own), 0)])
        return replace(column, values=values) if values else column

    tables = tuple(
        replace(table, columns=tuple(filled(table.name, column) for column in table.columns)) for table in schema.tables
    )
    return replace(schema, tables=tables)
