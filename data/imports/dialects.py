"""SQL written for PostgreSQL or MySQL, as SQLite reads it.

Queries of question/SQL pairs and statements of scripts go through sqlglot, which leaves much as it is that
SQLite does not know or takes for something else; what of this cannot be rewritten (`data/imports/rewriting.py`)
is refused with the reason rather than handed on.
"""

import logging
import re
import sqlite3
from dataclasses import dataclass
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from data.imports.kinds import Dialect as Dialect
from data.imports.kinds import sqlite_type as sqlite_type
from data.imports.rewriting import rewritten

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it warns of is either mended or refused here

MAX_CHARACTERS = 200_000
# What sqlglot comes to by some queries that are none.
MALFORMED = (AssertionError, AttributeError, IndexError, KeyError, TypeError)
REFUSED = (SqlglotError, RecursionError, ValueError, *MALFORMED)
MOST_BARE_JOINS = 12
NAMES_NEXT = (sqlglot.TokenType.ALIAS, sqlglot.TokenType.DOT, sqlglot.TokenType.JOIN, sqlglot.TokenType.DISTINCT)
# An interval of which sqlglot loses the end.
LOST = re.compile(r"\binterval\s*'[^'a-z]*[a-z]+\s[^':]*\d:\d", re.IGNORECASE)
# Types that sqlglot cannot parse, after the name of a column.
UNKNOWN_TYPES: dict[Dialect, re.Pattern[str]] = {
    "mysql": re.compile(
        r"(?<=[(,])(\s*`[^`]+`\s+)(?:(?:multi)?(?:point|linestring|polygon)|inet[46]|national\s+\w+)\b", re.IGNORECASE
    ),
    "postgres": re.compile(r"(?<=[(,])(\s*(?:\w+|\"[^\"]+\")\s+)bit\s+varying\b", re.IGNORECASE),
}


@dataclass(frozen=True)
class Transpiled:
    """A query for SQLite, and where its answer may differ; or "" and the reason why there is none."""

    query: str
    reason: str = ""
    notes: tuple[str, ...] = ()


def transpile_query(
    query: str, dialect: Dialect, schema: str | None = None, database: sqlite3.Connection | None = None
) -> Transpiled:
    """One query, in SQLite's words. Names lose the schema before them: a copied database has only one.

    What cannot be said in SQLite, or not by us, comes back as a reason; where `schema` is given, a query
    that names tables of another one, too. The copied `database` tells what columns hold, and whether the
    query is one about it; without it, a column is taken for what the query compares it with.
    """
    if len(query) > MAX_CHARACTERS:
        return Transpiled("", f"it has more than {MAX_CHARACTERS:,} characters")
    try:
        if LOST.search(query):
            return Transpiled("", "it holds an interval with a time, which SQLite has no words for")
        check_joins(query, dialect)
        trees = [tree for tree in sqlglot.parse(query, read=dialect) if tree is not None]
        if len(trees) != 1 or not isinstance(trees[0], exp.Query):
            return Transpiled("", "it is not one query" if trees else "it is empty")
        elsewhere = sorted({table.db for table in trees[0].find_all(exp.Table)} - {"", schema})
        if schema and elsewhere:
            return Transpiled("", f"it reads the schema {elsewhere[0]}, which is not copied")
        tree, notes = rewritten(trees[0], dialect, database)
        made = tree.sql("sqlite", unsupported_level=ErrorLevel.RAISE)
    except REFUSED as error:
        return Transpiled("", one_line(error))
    reason = _why_not(made, tree, database)
    return Transpiled("", reason) if reason else Transpiled(made, notes=notes)


def parse_statement(statement: str, dialect: Dialect) -> exp.Expr:
    """The tree of a statement. Raises one of REFUSED."""
    if len(statement) > MAX_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CHARACTERS:,} characters and is no SQL that SQLite reads")
    return sqlglot.parse_one(UNKNOWN_TYPES[dialect].sub(r"\1text", statement), read=dialect)


def check_joins(sql: str, dialect: str) -> None:
    """Raises ValueError for a query whose joins have too few conditions: each doubles the time that sqlglot takes."""
    bare, waiting, before = 0, [0], sqlglot.TokenType.SEMICOLON
    for token in sqlglot.tokenize(sql, read=dialect):
        kind = token.token_type
        if kind is sqlglot.TokenType.L_PAREN:
            waiting.append(0)
        elif kind is sqlglot.TokenType.R_PAREN and len(waiting) > 1:
            bare += waiting.pop()
        elif kind is sqlglot.TokenType.JOIN and before not in (sqlglot.TokenType.CROSS, sqlglot.TokenType.NATURAL):
            waiting[-1] += 1
        elif kind in (sqlglot.TokenType.ON, sqlglot.TokenType.USING) and before not in NAMES_NEXT:
            waiting[-1] = max(waiting[-1] - 1, 0)
        before = kind
    if bare + sum(waiting) > MOST_BARE_JOINS:
        raise ValueError(f"it has more than {MOST_BARE_JOINS} joins without a condition")


def one_line(error: Exception) -> str:
    if isinstance(error, MALFORMED):
        return "it is no SQL that can be read"
    text = str(error).replace("\x1b[4m", "").replace("\x1b[0m", "")  # sqlglot underlines the place
    return " ".join(text.split())[:200] or type(error).__name__


def _why_not(query: str, tree: exp.Expr, database: sqlite3.Connection | None) -> str:
    """Why SQLite would refuse the query, of this database or whatever it holds; "" if it would not."""
    connection = database or sqlite3.connect(":memory:")
    try:
        known = {name.upper() for (name,) in connection.execute("SELECT name FROM pragma_function_list")}
        known |= {cte.alias.upper() for cte in tree.find_all(exp.CTE)} | {"CAST", "EXISTS", "FILTER", "OVER", "RAISE"}
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
        # Without a database tables are not there; what else SQLite says is about the query.
        is_unknown = database is None and str(error).startswith("no such table")
        return "" if is_unknown else f"SQLite cannot read it: {one_line(error)}"
    finally:
        if database is None:
            connection.close()
    return ""
