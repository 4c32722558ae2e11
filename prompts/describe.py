"""A schema as text: one sentence a line, or CREATE TABLE statements.

Reads a `Schema`, returns the context that a prompt shows. The words are fixed: checkpoints are
trained on them (source: the prompt specification in docs/prompts.md).
"""

import re
from functools import lru_cache
from typing import Literal

from data.schema import Column, ForeignKey, Schema, Table

ForeignKeys = Literal["child", "both"]
REMEMBERED = 1 << 16  # names and types, which every prompt of a database repeats


def describe(schema: Schema, foreign_keys: ForeignKeys = "both") -> str:
    """Sentences about tables, columns and keys, in schema order.

    `foreign_keys="child"` prints a key even if its parent is not shown, "both" only if both ends are.
    """
    lines = ["There are tables such as " + ", ".join(quote_name(table.name) for table in schema.tables)]
    lines += [_sentence(table) for table in schema.tables]
    for table in schema.tables:
        for key in _shown_keys(table, schema, foreign_keys):
            child, parent = quote_name(table.name), quote_name(key.parent_table)
            lines.append(
                f"The {quote_name(key.column)} of {child} is foreign key of {quote_name(key.parent_column)} of {parent}"
            )
    return "\n".join(lines)


def create_tables(schema: Schema, foreign_keys: ForeignKeys = "both") -> str:
    """One CREATE TABLE statement a line."""
    return "\n".join(_statement(table, _shown_keys(table, schema, foreign_keys)) for table in schema.tables)


@lru_cache(REMEMBERED)
def quote_name(name: str) -> str:
    """The name itself if it is a plain word, else double-quoted."""
    return name if re.fullmatch(r"\w+", name) else _quoted(name)


def _quoted(name: str) -> str:
    return '"' + _printable(name).replace('"', '""') + '"'


def _printable(text: str) -> str:
    """Without line breaks and control characters, which could pass for parts of a prompt."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def _sentence(table: Table) -> str:
    parts = [
        f"{quote_name(column.name)}{_typed(column.type)}" + (f" ({_about(column)})" if _about(column) else "")
        for column in table.columns
    ]
    if len(table.primary_key) == 1:
        parts.append(f"{quote_name(table.primary_key[0])} is primary key")
    elif table.primary_key:
        parts.append("(" + ",".join(_quoted(name) for name in table.primary_key) + ") is primary key")
    return f"Table {quote_name(table.name)} contains columns such as " + ", ".join(parts)


@lru_cache(REMEMBERED)
def _typed(declared: str) -> str:
    kind = re.sub(r"\s*\([^)]*\)", "", _printable(declared)).strip().lower()
    return f": {kind}" if kind else ""


def _about(column: Column) -> str:
    """What is known of a column beyond its type: its meaning, and values as SQL writes them."""
    said = [column.meaning] if column.meaning else []
    if column.values:
        said.append("e.g. " + ", ".join("'" + value.replace("'", "''") + "'" for value in column.values))
    return "; ".join(said)


def _shown_keys(table: Table, schema: Schema, foreign_keys: ForeignKeys) -> list[ForeignKey]:
    if foreign_keys == "child":
        return list(table.foreign_keys)
    shown = {other.name: {column.name for column in other.columns} for other in schema.tables}
    return [key for key in table.foreign_keys if key.parent_column in shown.get(key.parent_table, ())]


def _statement(table: Table, keys: list[ForeignKey]) -> str:
    single = table.primary_key[0] if len(table.primary_key) == 1 else None
    parts = [
        " ".join(
            filter(
                None,
                [
                    quote_name(column.name),
                    _printable(column.type),
                    "PRIMARY KEY" if column.name == single else "",
                    # What a column holds must not end the comment that tells it.
                    f"/* {_about(column).replace('*/', '* /')} */" if _about(column) else "",
                ],
            )
        )
        for column in table.columns
    ]
    if len(table.primary_key) > 1:
        parts.append("PRIMARY KEY (" + ", ".join(map(quote_name, table.primary_key)) + ")")
    parts += [
        f"FOREIGN KEY ({quote_name(key.column)}) REFERENCES {quote_name(key.parent_table)} ({quote_name(key.parent_column)})"
        for key in keys
    ]
    return f"CREATE TABLE {quote_name(table.name)} ( " + ", ".join(parts) + " );"
