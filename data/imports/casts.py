"""CASTs of PostgreSQL and MySQL, whose types SQLite takes for one of five or for a number.

Rewrites them so that the value is the same, or raises a ValueError that says why it cannot be.
"""

from sqlglot import exp

from data.imports import dates
from data.imports.kinds import Dialect, is_text, kind_of, sqlite_type, with_kind

DECIMALS = ("NUMERIC", "REAL")
TIMES = ("DATE", "TIMESTAMP", "TIME")
TEXTS = ("TEXT", *TIMES)
TRUTHS = dict.fromkeys(("t", "true", "y", "yes", "on", "1"), True) | dict.fromkeys(
    ("f", "false", "n", "no", "off", "0"), False
)
NO_TYPES = {exp.DType.ARRAY, exp.DType.BIT, exp.DType.INTERVAL, exp.DType.STRUCT}


def cast(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    if not isinstance(node, exp.Cast) or (dialect == "mysql" and node.to.this is exp.DType.BINARY):
        return exp.Collate(this=node.this, expression=exp.var("BINARY"))  # BINARY x, in a comparison
    value: exp.Expr = node.this
    kind, held = sqlite_type(node.to), kind_of(node.this)
    sizes = [int(size.name) for size in node.to.expressions if size.name.isdigit()]
    text = is_text(value)
    if isinstance(value, exp.Null) or (held == kind and kind in TIMES) or (kind == "INTEGER" and is_whole(value)):
        return value
    if text and (kind in TEXTS or node.to.this in NO_TYPES) and node.find_ancestor(exp.Insert):
        return value  # what a table holds stays as it is spelled
    if node.to.this is exp.DType.INTERVAL and text:
        return exp.Interval(this=value)
    if node.to.this in NO_TYPES:
        raise ValueError(f"SQLite has no type {node.to.this.value}")
    if text and kind in TIMES:
        # CAST('2020-01-01' AS TIMESTAMP) is the number 2020 to SQLite.
        return with_kind(exp.Literal.string(dates.spelled(value.name, kind)), kind)
    if kind in TIMES:
        return with_kind(exp.Anonymous(this={"TIMESTAMP": "DATETIME"}.get(kind, kind), expressions=[value]), kind)
    if kind == "BOOLEAN":
        return _to_truth(value, dialect)
    if kind == "TEXT":
        return _to_text(value, sizes, dialect)
    if held in TIMES:
        raise ValueError("it makes a number of a date")
    if kind == "INTEGER":
        whole = value if held in ("INTEGER", "BOOLEAN", "TEXT") else exp.func("ROUND", value)
        return exp.Cast(this=whole, to=exp.DataType.build("BIGINT"))
    if kind in DECIMALS:
        plain = exp.Cast(this=value, to=exp.DataType.build("DOUBLE"))
        places = sizes[1:] or ([0] if sizes or dialect == "mysql" else [])
        if kind == "REAL" or not places:
            return plain
        return exp.func("ROUND", plain, *(exp.Literal.number(place) for place in places if place))
    return node


def _to_truth(value: exp.Expr, dialect: Dialect) -> exp.Expr:
    if is_text(value):
        return truth(value.name, dialect)
    if kind_of(value) == "INTEGER":
        return exp.paren(exp.NEQ(this=value, expression=exp.Literal.number(0)))
    if kind_of(value) != "BOOLEAN":
        raise ValueError("it makes a truth value of a text")
    return value


def _to_text(value: exp.Expr, sizes: list[int], dialect: Dialect) -> exp.Expr:
    if is_text(value) and not sizes:
        return value
    check_spelling(value, dialect)
    plain = value if kind_of(value) == "TEXT" else exp.Cast(this=value, to=exp.DataType.build("TEXT"))
    return exp.func("SUBSTR", plain, exp.Literal.number(1), exp.Literal.number(sizes[0])) if sizes else plain


def is_whole(value: exp.Expr) -> bool:
    """Whether it is an integer whatever its type is on the server."""
    inner = value.unnest()
    return isinstance(inner, exp.Cast) and sqlite_type(inner.to) == "INTEGER"


def check_spelling(value: exp.Expr, dialect: Dialect) -> None:
    """Raises ValueError for a value of which SQLite makes another text."""
    if not is_whole(value) and kind_of(value) in (*DECIMALS, "BOOLEAN")[: 3 if dialect == "postgres" else 2]:
        raise ValueError("it makes text of a number with decimals or a truth value, which SQLite spells otherwise")


def truth(text: str, dialect: Dialect) -> exp.Expr:
    if text.lower() not in (TRUTHS if dialect == "postgres" else ("0", "1")):
        raise ValueError(f"it compares a truth value with {text!r}")
    return exp.Boolean(this=TRUTHS[text.lower()])
