"""The tree of a PostgreSQL or MySQL query, with SQLite's functions where sqlglot keeps others'.

What means something else in SQLite is rewritten so that it means the same, or refused with a ValueError that
says why. Dates are the business of `data/imports/dates.py`.
"""

import sqlite3
from collections.abc import Callable, Sequence

from sqlglot import exp

from data.imports import dates
from data.imports.casts import DECIMALS, cast, check_spelling, truth
from data.imports.differences import differences, has_letters
from data.imports.kinds import Dialect, add_kinds, is_text, kind_of, sides_of, with_kind

Rule = Callable[[exp.Expr, Dialect], exp.Expr]

# What is left in a tree where SQLite would fail, or do something else without a word.
LEFT_OVER: dict[type[exp.Expr], str] = {
    exp.Interval: "it holds an interval, which SQLite does not have",
    exp.Bracket: "SQLite has no arrays",
    exp.Array: "SQLite has no arrays",
    exp.Any: "SQLite has no ANY",
    exp.All: "SQLite has no ALL",
    exp.RegexpLike: "SQLite has no regular expressions",
    exp.RegexpILike: "SQLite has no regular expressions",
    exp.Format: "SQLite's FORMAT is another function",
    exp.Soundex: "SQLite's SOUNDEX is another function",
    exp.Into: "it makes a table of its rows",
    exp.CurrentSchema: "it asks about the server",
    exp.CurrentDatabase: "it asks about the server",
    exp.CurrentVersion: "it asks about the server",
}
COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between, exp.In)


def rewritten(
    tree: exp.Expr, dialect: Dialect, database: sqlite3.Connection | None = None
) -> tuple[exp.Expr, tuple[str, ...]]:
    """The tree without schemas before names, and notes on where the answer may still differ.

    `database` tells what columns hold. Raises ValueError for what cannot be said in SQLite.
    """
    for name in tree.find_all(exp.Table, exp.Column):
        name.set("db", None)
        name.set("catalog", None)
    if isinstance(tree, exp.Query):
        add_kinds(tree, dialect, database)
    notes = differences(tree, dialect, database)
    for node in reversed(list(tree.walk())):  # what is inside first
        rule = RULES.get(type(node))
        made = rule(node, dialect) if rule else node
        if node is tree:
            tree = made
        elif made is not node:
            made.type = made.type or node.type
            node.replace(made)
    for node in tree.walk():
        _refuse(node)
    return tree, notes


def _refuse(node: exp.Expr) -> None:
    if type(node) in LEFT_OVER:
        raise ValueError(LEFT_OVER[type(node)])
    options = node.args.get("limit_options") if isinstance(node, exp.Fetch) else None
    if options and (options.args.get("percent") or options.args.get("with_ties")):
        raise ValueError("SQLite's LIMIT is a number of rows")
    if isinstance(node, exp.Rand) and not isinstance(node.parent, exp.Ordered):
        raise ValueError("SQLite's RANDOM makes integers")
    within = node.parent if isinstance(node, exp.Distinct) and isinstance(node.parent, exp.AggFunc) else None
    if within and (len(node.expressions) > 1 or node.find(exp.Tuple) or within.args.get("separator")):
        raise ValueError("SQLite's aggregates of DISTINCT values take one argument")


def _compared(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    node = _among(node)
    if isinstance(node, exp.Not) or isinstance(node.expression, exp.Any | exp.All):
        return node
    sides = sides_of(node)
    texts = [side for side in sides if is_text(side)]
    if any(kind_of(side) == "BOOLEAN" for side in sides):
        for text in texts:
            text.replace(truth(text.name, dialect))
    elif dialect == "mysql" and not any(isinstance(side, exp.Column) for side in sides):
        for side in sides[:2]:
            side.replace(_any_case(side, texts))
    return dates.compared(node)


def _any_case(part: exp.Expr, texts: Sequence[exp.Expr] = ()) -> exp.Expr:
    """A text of MySQL that is made of others: in SQLite only columns know that letter case does not count.

    `texts` are what it is compared with; one without letters needs no such care.
    """
    fold = str.lower if isinstance(part, exp.Lower) else str.upper if isinstance(part, exp.Upper) else None
    is_safe = isinstance(part, exp.Column | exp.Literal | exp.Collate | exp.TimeToStr) or kind_of(part) != "TEXT"
    is_folded = fold is not None and all(text.name == fold(text.name) for text in texts)
    if is_safe or is_folded or not part.find(exp.Column) or (texts and not any(map(has_letters, texts))):
        return part
    is_call = isinstance(part, exp.Func) and not isinstance(part, exp.Concat)
    copy = part.copy() if is_call else exp.paren(part)
    return with_kind(exp.Collate(this=copy, expression=exp.var("NOCASE")), "TEXT")


def _case(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    """CASE x WHEN y, which compares as x = y does."""
    subject = node.this
    for branch in node.args["ifs"] if subject else ():
        pair = _compared(exp.EQ(this=subject.copy(), expression=branch.this.copy()), dialect)
        if pair.this != subject and pair.this.find(exp.Anonymous):
            raise ValueError("it compares a date with something else")
        node.set("this", pair.this)
        branch.set("this", pair.expression)
    return node


def _distinct(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    for part in node.expressions if dialect == "mysql" else ():
        part.replace(_any_case(part))
    return node


def _select(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Groups and orders of MySQL without regard to letter case."""
    if dialect == "postgres" or not isinstance(node, exp.Select):
        return node
    keys = [key for name in ("group", "order") if (clause := node.args.get(name)) for key in clause.expressions]
    shown: dict[str, exp.Expr] = {}
    for place, item in enumerate(node.selects, start=1):
        shown |= {str(place): item.unalias(), item.alias.lower(): item.unalias()}
    for key in keys:
        key = key.this if isinstance(key, exp.Ordered) else key
        key = shown.get(key.name.lower(), key) if isinstance(key, exp.Literal | exp.Column) else key
        key.replace(_any_case(key))
    # What a subquery gives may be compared outside of it.
    for item in node.selects if node.args.get("distinct") or isinstance(node.parent, exp.Subquery | exp.CTE) else ():
        item.unalias().replace(_any_case(item.unalias()))
    return node


def _among(node: exp.Expr) -> exp.Expr:
    """x = ANY (...) as x IN (...), and x <> ALL (ARRAY[...]) as NOT IN."""
    values = node.expression
    if isinstance(node, exp.EQ) and isinstance(values, exp.Any):
        inner = values.this.unnest()
        if isinstance(inner, exp.Array):
            return exp.In(this=node.this, expressions=inner.expressions)
        if isinstance(inner, exp.Query):
            return exp.In(this=node.this, query=exp.Subquery(this=inner))
    # sqlglot takes ALL (...) for a function where it holds no query.
    if isinstance(node, exp.NEQ) and isinstance(values, exp.Anonymous) and values.name.upper() == "ALL":
        inner = values.expressions[0].unnest()
        if isinstance(inner, exp.Array):
            return exp.Not(this=exp.In(this=node.this, expressions=inner.expressions))
    return node


def _joined(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    parts = node.expressions if isinstance(node, exp.Concat) else [node.this, node.args.get("expression")]
    for part in filter(None, parts):
        check_spelling(part, dialect)
    if type(node) is exp.Concat and node.args.get("coalesce"):  # PostgreSQL's passes over NULLs
        empty = exp.Literal.string("")
        joined: exp.Expr
        joined, *rest = [p if isinstance(p, exp.Literal) else exp.func("COALESCE", p, empty.copy()) for p in parts]
        for part in rest:
            joined = exp.DPipe(this=joined, expression=part)
        return exp.paren(joined)
    return node


def _listed(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    """GROUP_CONCAT; of DISTINCT values SQLite's separator is always the comma."""
    check_spelling(node.this, dialect)
    if isinstance(node.this, exp.Distinct) and node.text("separator") == ",":
        node.set("separator", None)
    return node


def _like(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Both are without regard to letter case in SQLite; a backslash escapes on servers only."""
    if any(isinstance(side, exp.Collate) for side in (node.this, node.expression)):
        raise ValueError("SQLite's LIKE does not tell letter case apart")
    like: exp.Expr = exp.Like(**node.args) if isinstance(node, exp.ILike) else node
    pattern = node.expression
    if isinstance(pattern, exp.Literal) and "\\" in pattern.name and not isinstance(node.parent, exp.Escape):
        return exp.Escape(this=like.copy(), expression=exp.Literal.string("\\"))
    return like


def _collated(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    name = node.expression.name.upper()
    known = {"C": "BINARY", "POSIX": "BINARY", "BIN": "BINARY", "CI": "NOCASE", "BINARY": "BINARY", "NOCASE": "NOCASE"}
    collation = known.get(name.rsplit("_", 1)[-1])
    if collation is None:
        raise ValueError(f"SQLite has no collation {node.expression.name}")
    return exp.Collate(this=node.this, expression=exp.var(collation))


def _divided(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    """10.00 is the integer 10 in a column of decimals, and 10 / 4 is 2."""
    if "NUMERIC" in (kinds := {kind_of(node.this), kind_of(node.expression)}) and "REAL" not in kinds:
        node.set("this", with_kind(exp.Cast(this=node.this, to=exp.DataType.build("DOUBLE")), "REAL"))
    return node


def _remainder(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    if {kind_of(node.this), kind_of(node.expression)} & set(DECIMALS):  # % is one of integers
        return exp.Anonymous(this="MOD", expressions=[node.this.unnest(), node.expression.unnest()])
    return node


def _rounded(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    if isinstance(node.args.get("decimals"), exp.Neg):
        raise ValueError("SQLite does not round before the decimal point")
    return node


def _cut(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    """SUBSTRING, LEFT and RIGHT."""
    start, length = node.args.get("start"), node.args.get("length") or node.args.get("expression")
    is_odd = isinstance(start, exp.Literal) and (start.is_string or start.name == "0")
    is_none = isinstance(node, exp.Right) and node.expression.name == "0"
    if is_odd or is_none or isinstance(length, exp.Neg) or (dialect == "postgres" and isinstance(start, exp.Neg)):
        raise ValueError("it cuts a text in a way that SQLite does not")
    if isinstance(node, exp.Left):
        return exp.func("SUBSTR", node.this, exp.Literal.number(1), node.expression)
    if isinstance(node, exp.Right):
        number = node.expression if isinstance(node.expression, exp.Literal) else exp.paren(node.expression)
        return exp.func("SUBSTR", node.this, exp.Neg(this=number))
    return node


def _placed(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Where a text is in another: without regard to letter case in MySQL."""
    if dialect == "mysql":
        for name in ("this", "substr"):
            part = node.args[name]
            is_text = isinstance(part, exp.Literal)
            node.set(name, exp.Literal.string(part.name.lower()) if is_text else exp.Lower(this=part))
    return node


def _as_hex(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    if kind_of(node.this) not in ("TEXT", "BLOB"):
        raise ValueError("SQLite's HEX is of bytes, not of numbers")
    return node


def _inverted(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    if dialect == "mysql":
        raise ValueError("~ makes a number without a sign, which SQLite does not have")
    return node


def _json_text(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    return exp.Cast(this=exp.paren(node.copy()), to=exp.DataType.build("TEXT"))


def _escaped_text(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    return exp.Literal.string(node.name) if dialect == "postgres" else node


def _now(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    is_now = node.name.upper() in ("NOW", "SYSDATE", "CLOCK_TIMESTAMP")
    return with_kind(exp.CurrentTimestamp(), "TIMESTAMP") if is_now else node


RULES: dict[type[exp.Expr], Rule] = {
    **dict.fromkeys(COMPARISONS, _compared),
    **dict.fromkeys((exp.Extract, *dates.PART_OF), lambda node, dialect: dates.part_of_date(node)),
    **dict.fromkeys((exp.TimestampTrunc, exp.DateTrunc), lambda node, dialect: dates.start(node)),
    **dict.fromkeys((exp.Add, exp.Sub, exp.DateAdd, exp.DateSub), dates.shifted),
    **dict.fromkeys((exp.Concat, exp.DPipe), _joined),
    **dict.fromkeys((exp.Substring, exp.Left, exp.Right), _cut),
    **dict.fromkeys((exp.Like, exp.ILike), _like),
    exp.TimeToStr: lambda node, dialect: dates.formatted(node),
    exp.DateDiff: lambda node, dialect: dates.days_apart(node),
    **dict.fromkeys((exp.Greatest, exp.Least, exp.Coalesce, exp.Nullif), lambda node, dialect: dates.compared(node)),
    **dict.fromkeys((exp.Union, exp.Except, exp.Intersect), lambda node, dialect: dates.of_one_kind(node)),
    exp.Select: _select,
    exp.Case: _case,
    exp.Distinct: _distinct,
    exp.Cast: cast,
    exp.Div: _divided,
    exp.Mod: _remainder,
    exp.Round: _rounded,
    exp.GroupConcat: _listed,
    exp.Collate: _collated,
    exp.StrPosition: _placed,
    exp.Hex: _as_hex,
    exp.BitwiseNot: _inverted,
    exp.JSONExtractScalar: _json_text,
    exp.ByteString: _escaped_text,
    exp.Anonymous: _now,
}
