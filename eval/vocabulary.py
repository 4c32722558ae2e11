"""Which words a query about one schema may hold: SQL's own by place, and the schema's names.

Reads a schema and what SQLite itself says of its functions and reserved words; writes nothing. All words are in
lower case (ASCII, as SQLite folds them) and in latin-1 of their UTF-8 bytes, since text is written byte by byte.
"""

import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from data.schema import Schema
from eval.sandbox import FORBIDDEN_FUNCTIONS

# What has to follow a word; "(" is an opening bracket. Each is a place of `eval/places.py`.
Place = str
QUERIES: dict[str, Place] = {"select": "operand", "values": "operand", "with": "alias"}
OPERANDS: dict[str, Place] = {
    **dict.fromkeys(("not", "distinct", "all", "case", "when"), "operand"),
    **dict.fromkeys(("null", "true", "false", "current_date", "current_time", "current_timestamp"), "operator"),
    **dict.fromkeys(("exists", "cast"), "("),
}
COMPARISONS: dict[str, Place] = dict.fromkeys(("in", "like", "glob", "regexp", "match", "between"), "operand")
OPERATORS: dict[str, Place] = {
    **COMPARISONS,
    **dict.fromkeys(("and", "or", "is", "escape", "when", "then", "else"), "operand"),
    **dict.fromkeys(("end", "isnull", "notnull"), "operator"),
    **dict.fromkeys(("over", "filter"), "("),
    "not": "negated",
    "collate": "collation",
}
COMPOUND: dict[str, Place] = dict.fromkeys(("union", "intersect", "except"), "query")
TAIL: dict[str, Place] = {**COMPOUND, "order": "by", "limit": "operand"}
SORTS: dict[str, Place] = {"asc": "operator", "desc": "operator", "nulls": "nulls"}
JOINS: dict[str, Place] = {
    "join": "table",
    **dict.fromkeys(("left", "right", "full", "inner", "cross", "natural"), "join"),
}
FRAMES: dict[str, Place] = dict.fromkeys(("rows", "range", "groups"), "frame")
# What may follow an operand, by the clause that it stands in.
CLAUSES: dict[str, dict[str, Place]] = {
    "select": {"from": "table", "as": "alias", "where": "operand", **TAIL},
    "from": {**JOINS, "on": "operand", "using": "(", "where": "operand", "group": "by", **TAIL},
    "where": {"group": "by", "having": "operand", **TAIL},
    "order": {**SORTS, "limit": "operand"},
    "limit": {"offset": "operand"},
    "with": {**QUERIES, "as": "alias"},
    "values": TAIL,
    "cast": {"as": "type"},
    "window": {**SORTS, **FRAMES, "order": "by"},
}
# What may stand at places that hold few words.
PLACES: dict[Place, dict[str, Place]] = {
    "start": QUERIES,
    "query": {"select": "operand", "values": "operand", "all": "query"},
    "by": {"by": "operand"},
    "negated": {**COMPARISONS, "null": "operator"},
    "join": {**JOINS, "outer": "join"},
    "nulls": {"first": "operator", "last": "operator"},
    "collation": dict.fromkeys(("nocase", "binary", "rtrim"), "operator"),
    "type": dict.fromkeys(
        "integer int bigint real float double numeric decimal text char varchar blob date datetime boolean".split(),
        "operator",
    ),
    "frame": dict.fromkeys(
        ("between", "and", "unbounded", "preceding", "following", "current", "row"),
        "frame",
    ),
}
# What may come first within brackets, beside operands.
OPENINGS: dict[str, dict[str, Place]] = {
    "": QUERIES,
    "source": QUERIES,
    "filter": {"where": "operand"},
    "window": {"partition": "by", "order": "by", **FRAMES},
}
# Any query may call its tables so, before it says which they are: t1, s, c2.
SHORT_ALIASES = frozenset(f"{letter}{digit}" for letter in map(chr, range(97, 123)) for digit in ("", *"0123456789"))
_PLAIN = re.compile(r"[a-z_\x80-\xff][a-z0-9_\x80-\xff]*")


class Words:
    """Some words, and what they begin with."""

    def __init__(self, words: Iterable[str]) -> None:
        self.whole = frozenset(words)
        self.prefixes = frozenset(word[:length] for word in self.whole for length in range(1, len(word) + 1))


@dataclass(frozen=True)
class SchemaNames:
    """Tables and their columns, as `fold` has them."""

    tables: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, schema: Schema) -> "SchemaNames":
        return cls(
            {fold(table.name): frozenset(fold(column.name) for column in table.columns) for table in schema.tables}
        )

    @cached_property
    def columns(self) -> frozenset[str]:
        """Those of all tables."""
        return frozenset[str]().union(*self.tables.values())


def fold(name: str) -> str:
    """A name in ASCII lower case, each UTF-8 byte a character."""
    return name.encode("utf-8", "replace").lower().decode("latin-1")


@cache
def is_plain(name: str) -> bool:
    """Whether a folded name may be written without quotes. SQLite says which words are its own."""
    if not _PLAIN.fullmatch(name):
        return False
    if not name.isascii():
        return True
    try:
        _sqlite().execute(f"SELECT 1 AS {name}")
    except sqlite3.OperationalError:
        return False
    return True


@cache
def functions() -> frozenset[str]:
    """The functions of this SQLite that the sandbox lets a query call."""
    listed = {name.lower() for (name,) in _sqlite().execute("SELECT name FROM pragma_function_list")}
    own = {name for name in listed if re.match(r"(sqlite_|fts|rtree|geopoly|matchinfo|offsets|optimize|snippet)", name)}
    return frozenset(name for name in listed - own - FORBIDDEN_FUNCTIONS if _PLAIN.fullmatch(name))


@cache
def _sqlite() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)
