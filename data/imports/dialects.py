"""SQL written for PostgreSQL or MySQL, as SQLite reads it.

Queries of question/SQL pairs and statements of scripts go through sqlglot, which leaves much as it is that
SQLite does not know; so the commonest of these are rewritten here, and what is left over is refused with
the reason rather than handed on.
"""

import logging
import re
import sqlite3
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it warns of is either mended or refused here

Dialect = Literal["mysql", "postgres"]
MAX_CHARACTERS = 200_000
REFUSED = (SqlglotError, RecursionError, ValueError)
# sqlglot's kinds of types by how SQLite declares them; dates stay told apart for those who read the schema.
INTEGERS = {*exp.DataType.INTEGER_TYPES, exp.DType.SERIAL, exp.DType.BIGSERIAL, exp.DType.SMALLSERIAL, exp.DType.YEAR}
TYPES: dict[str, set[exp.DType]] = {
    "INTEGER": INTEGERS - {exp.DType.BIT},
    "BOOLEAN": {exp.DType.BOOLEAN, exp.DType.BIT},
    "NUMERIC": {exp.DType.DECIMAL, exp.DType.UDECIMAL, exp.DType.MONEY, exp.DType.SMALLMONEY},
    "REAL": {exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.UDOUBLE},
    "DATE": {exp.DType.DATE},
    "TIMESTAMP": {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPLTZ, exp.DType.DATETIME},
    "TIME": {exp.DType.TIME, exp.DType.TIMETZ},
    "BLOB": {
        exp.DType.BINARY,
        exp.DType.VARBINARY,
        exp.DType.BLOB,
        exp.DType.TINYBLOB,
        exp.DType.MEDIUMBLOB,
        exp.DType.LONGBLOB,
    },
}
# Types that sqlglot cannot parse, after the name of a column.
UNKNOWN_TYPES: dict[Dialect, re.Pattern[str]] = {
    "mysql": re.compile(
        r"(?<=[(,])(\s*`[^`]+`\s+)(?:(?:multi)?(?:point|linestring|polygon)|inet[46]|national\s+\w+)\b", re.IGNORECASE
    ),
    "postgres": re.compile(r"(?<=[(,])(\s*(?:\w+|\"[^\"]+\")\s+)bit\s+varying\b", re.IGNORECASE),
}
DATE_PARTS = {
    "YEAR": "%Y",
    "MONTH": "%m",
    "DAY": "%d",
    "HOUR": "%H",
    "MINUTE": "%M",
    "SECOND": "%S",
    "DOW": "%w",
    "DOY": "%j",
}
PART_OF: dict[type[exp.Expr], str] = {
    exp.Year: "YEAR",
    exp.Month: "MONTH",
    exp.Day: "DAY",
    exp.Hour: "HOUR",
    exp.Minute: "MINUTE",
    exp.Second: "SECOND",
}
DATE_STARTS = {"YEAR": "%Y-01-01", "MONTH": "%Y-%m-01", "DAY": "%Y-%m-%d"}
UNITS = {"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"}


@dataclass(frozen=True)
class Transpiled:
    """A query for SQLite; or "" and the reason why there is none."""

    query: str
    reason: str = ""


def transpile_query(query: str, dialect: Dialect, schema: str | None = None) -> Transpiled:
    """One query, in SQLite's words. Names lose the schema before them: a copied database has only one.

    What cannot be said in SQLite, or not by us, comes back as a reason; where `schema` is given, a query
    that names tables of another one, too. LIKE stays LIKE, though PostgreSQL tells letter case apart there
    and SQLite does not.
    """
    if len(query) > MAX_CHARACTERS:
        return Transpiled("", f"it has more than {MAX_CHARACTERS:,} characters")
    try:
        trees = [tree for tree in sqlglot.parse(query, read=dialect) if tree is not None]
        if len(trees) != 1 or not isinstance(trees[0], exp.Query):
            return Transpiled("", "it is not one query" if trees else "it is empty")
        elsewhere = sorted({table.db for table in trees[0].find_all(exp.Table)} - {"", schema})
        if schema and elsewhere:
            return Transpiled("", f"it reads the schema {elsewhere[0]}, which is not copied")
        rewritten = _rewritten(trees[0])
        made = rewritten.sql("sqlite", unsupported_level=ErrorLevel.RAISE)
    except REFUSED as error:
        return Transpiled("", one_line(error))
    reason = _why_not(made, rewritten)
    return Transpiled("", reason) if reason else Transpiled(made)


def transpile_statement(statement: str, dialect: Dialect) -> str:
    """Any other statement, an INSERT mostly. Raises one of REFUSED where that cannot be done."""
    return _rewritten(parse_statement(statement, dialect)).sql("sqlite", unsupported_level=ErrorLevel.RAISE)


def parse_statement(statement: str, dialect: Dialect) -> exp.Expr:
    """The tree of a statement. Raises one of REFUSED."""
    if len(statement) > MAX_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CHARACTERS:,} characters and is no SQL that SQLite reads")
    return sqlglot.parse_one(UNKNOWN_TYPES[dialect].sub(r"\1text", statement), read=dialect)


def one_line(error: Exception) -> str:
    text = str(error).replace("\x1b[4m", "").replace("\x1b[0m", "")  # sqlglot underlines the place
    return " ".join(text.split())[:200] or type(error).__name__


def sqlite_type(kind: exp.DataType | None) -> str:
    """How SQLite declares a column of this type: by what it holds, so that INTEGER PRIMARY KEY numbers itself."""
    if kind is None:
        return ""
    return next((name for name, kinds in TYPES.items() if kind.this in kinds), "TEXT")


def _rewritten(tree: exp.Expr) -> exp.Expr:
    """Without schemas before names, and with SQLite's functions where sqlglot keeps others'."""
    for name in tree.find_all(exp.Table, exp.Column):
        name.set("db", None)
        name.set("catalog", None)
    for node in reversed(list(tree.walk())):  # what is inside first
        made = _rewrite(node)
        if node is tree:
            tree = made
        elif made is not node:
            node.replace(made)
    return tree


def _rewrite(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Extract) and node.name.upper() in DATE_PARTS:
        return _part(node.name.upper(), node.expression)
    if type(node) in PART_OF:
        inner = node.this.this if isinstance(node.this, exp.TsOrDsToDate) else node.this
        return _part(PART_OF[type(node)], inner)
    if isinstance(node, exp.TimestampTrunc | exp.DateTrunc) and node.text("unit").upper() in DATE_STARTS:
        return exp.func("STRFTIME", exp.Literal.string(DATE_STARTS[node.text("unit").upper()]), node.this)
    if isinstance(node, exp.Add | exp.Sub | exp.DateAdd | exp.DateSub):
        return _shifted(node)
    if isinstance(node, exp.Anonymous) and node.name.upper() == "NOW":
        return exp.CurrentTimestamp()
    if isinstance(node, exp.EQ) and isinstance(node.expression, exp.Any):
        return _among(node)
    if isinstance(node, exp.Left):
        return exp.func("SUBSTR", node.this, exp.Literal.number(1), node.expression)
    if isinstance(node, exp.Right):
        return exp.func("SUBSTR", node.this, exp.Neg(this=exp.Paren(this=node.expression)))
    if isinstance(node, exp.Concat) and node.args.get("coalesce"):  # PostgreSQL's passes over NULLs
        parts = [exp.func("COALESCE", part, exp.Literal.string("")) for part in node.expressions]
        joined: exp.Expr = parts[0]
        for part in parts[1:]:
            joined = exp.DPipe(this=joined, expression=part)
        return exp.Paren(this=joined)
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and node.this.is_string:
        # CAST('2020-01-01' AS TIMESTAMP) is the number 2020 to SQLite.
        return node.this if sqlite_type(node.to) in ("TEXT", "DATE", "TIMESTAMP", "TIME") else node
    if isinstance(node, exp.Cast) and sqlite_type(node.to) == "NUMERIC" and len(node.to.expressions) == 2:
        plain = exp.Cast(this=node.this, to=exp.DataType.build("DOUBLE"))
        return exp.func("ROUND", plain, exp.Literal.number(node.to.expressions[1].name))
    if isinstance(node, exp.Cast) and sqlite_type(node.to) == "DATE":
        return exp.func("DATE", node.this)
    if isinstance(node, exp.Cast) and sqlite_type(node.to) == "TIMESTAMP":
        return exp.func("DATETIME", node.this)
    return node


def _part(part: str, value: exp.Expr) -> exp.Expr:
    text = exp.func("STRFTIME", exp.Literal.string(DATE_PARTS[part]), value)
    return exp.Cast(this=text, to=exp.DataType.build("INT"))


def _among(node: exp.EQ) -> exp.Expr:
    """x = ANY (ARRAY[...]) as x IN (...)."""
    array = node.expression.find(exp.Array)
    return exp.In(this=node.this, expressions=array.expressions) if array else node


def _shifted(node: exp.Expr) -> exp.Expr:
    """A date plus or minus an interval of one unit: the date alone for days and more, else with the time."""
    interval = node.expression
    if isinstance(node, exp.DateAdd | exp.DateSub) and not isinstance(interval, exp.Interval):
        interval = exp.Interval(this=interval, unit=node.args.get("unit"))
    if not isinstance(interval, exp.Interval) or not isinstance(interval.this, exp.Literal):
        if any(isinstance(side, exp.CurrentDate | exp.CurrentTimestamp) for side in (node.this, node.expression)):
            raise ValueError("it reckons with dates in a way that SQLite has no operator for")
        return node
    unit, amount = interval.text("unit").upper().removesuffix("S"), interval.this.name
    if unit == "WEEK" and amount.isdigit():
        unit, amount = "DAY", str(7 * int(amount))
    if unit not in UNITS or not amount.removeprefix("-").isdigit():
        return node
    minus = isinstance(node, exp.Sub | exp.DateSub)
    step = f"{(-1 if minus else 1) * int(amount):+d} {unit.lower()}s"
    is_date = isinstance(node.this, exp.CurrentDate) or "DATE" in sqlite_type(node.this.args.get("to"))
    return exp.func("DATE" if is_date else "DATETIME", node.this, exp.Literal.string(step))


def _why_not(query: str, tree: exp.Expr) -> str:
    """Why SQLite would refuse the query whatever the database holds; "" if it would not."""
    connection = sqlite3.connect(":memory:")
    try:
        known = {name.upper() for (name,) in connection.execute("SELECT name FROM pragma_function_list")}
        known |= {cte.alias.upper() for cte in tree.find_all(exp.CTE)} | {"CAST", "EXISTS", "FILTER", "OVER", "RAISE"}
        if tree.find(exp.RegexpLike, exp.RegexpILike):
            return "SQLite has no regular expressions"
        tokens = sqlglot.tokenize(query, read="sqlite")
        for token, after in pairwise(tokens):
            named = token.token_type in (
                sqlglot.TokenType.VAR,
                sqlglot.TokenType.LEFT,
                sqlglot.TokenType.RIGHT,
                sqlglot.TokenType.UNNEST,
            )
            if named and after.token_type is sqlglot.TokenType.L_PAREN and token.text.upper() not in known:
                return f"SQLite has no function {token.text}"
        connection.execute(f"EXPLAIN {query}")
    except sqlite3.Error as error:
        # Tables are not there; what else SQLite says is about the query.
        return "" if str(error).startswith("no such table") else f"SQLite cannot read it: {one_line(error)}"
    finally:
        connection.close()
    return ""
