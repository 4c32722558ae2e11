"""What a model wrote, in the words of the database that it is asked of; and what a query on a server may hold.

Models write SQLite's SQL; PostgreSQL and MySQL get it through sqlglot, with names as the schema spells them. What runs
on a server is never a text as it came, but what sqlglot made of one query that was looked through. Runs nothing.
"""

import math

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from data.imports.dialects import REFUSED, check_joins, one_line
from data.imports.kinds import Dialect
from data.schema import Schema
from eval.facts import parse

# Beyond the functions that sqlglot has a class for: those that read nothing but their arguments.
CALLABLE = set(
    """
    abs age array_length ascii ceil ceiling char_length chr concat concat_ws coalesce cume_dist date_part dense_rank
    div every exp floor format greatest ifnull initcap instr json_array_length json_extract json_unquote
    jsonb_array_length jsonb_extract_path_text last_day lcase least left length ln locate log lower ltrim make_date
    makedate mod monthname ntile nullif num_nonnulls octet_length percent_rank period_diff pi position pow power
    quarter rank regexp_match regexp_replace replace reverse right round row_number rtrim sign split_part
    sqrt starts_with str_to_date strpos substr substring substring_index time_to_sec timediff to_char to_date to_number
    to_timestamp translate trim trunc truncate ucase unix_timestamp upper weekday width_bucket
    """.split()
)
FORBIDDEN = (
    exp.Into,
    exp.Lock,
    exp.DML,
    exp.DDL,
    exp.Command,
    exp.Hint,  # may lift the limits of a session, and is spelled as it came
    exp.Parameter,
    exp.Pivot,  # is lost in the spelling
    exp.Placeholder,
    exp.SessionParameter,
)
SPELLINGS = 3  # until one stays as it is
ENDLESS = (exp.Repeat, exp.Pad, exp.Space)  # make a text of any length


def native(sql: str, schema: Schema, dialect: Dialect) -> str:
    """A query of SQLite in a server's words. Raises ValueError, with the reason, where it cannot be said in them."""
    tree = parse(sql, schema)
    if tree is None:
        raise ValueError("it is no query that can be read")
    tables = {table.name.lower(): table.name for table in schema.tables}
    columns = {column.name.lower(): column for table in schema.tables for column in table.columns}
    for table in tree.find_all(exp.Table):
        if (name := tables.get(table.name.lower())) and not table.db:
            table.set("this", exp.to_identifier(name, quoted=True))
    for node in tree.find_all(exp.Column):
        if (column := columns.get(node.name.lower())) and not isinstance(node.this, exp.Star):
            node.set("this", exp.to_identifier(column.name, quoted=True))
        if (qualifier := tables.get(node.table.lower())) and not _is_alias(node.table, tree):
            node.set("table", exp.to_identifier(qualifier, quoted=True))
    if dialect == "postgres":
        _as_postgres_compares(tree, {name for name, column in columns.items() if column.type.upper() == "BOOLEAN"})
    try:
        return tree.sql(dialect, unsupported_level=ErrorLevel.RAISE)
    except REFUSED as error:
        raise ValueError(one_line(error)) from error


def vetted(sql: str, dialect: Dialect, most: int | None = None) -> str:
    """One query that reads and calls nothing out of the way, in sqlglot's spelling, for `most` rows and one more.

    Raises ValueError for any other.
    """
    try:
        tree = _read(sql, dialect)
        if most is not None and _asks_for(tree) > most:
            tree = tree.limit(most + 1, copy=False)
        text = tree.sql(dialect, comments=False)
        # sqlglot writes some quoted names without their quotes: what comes of it has to be looked through, too.
        for _ in range(SPELLINGS):
            again = _read(text, dialect).sql(dialect, comments=False)
            if again == text:
                return text
            text = again
    except (SqlglotError, *REFUSED) as error:
        raise ValueError(one_line(error)) from error
    raise ValueError("it is read in one way and spelled in another")


def _read(sql: str, dialect: Dialect) -> exp.Query:
    """The tree of a query that may run. Raises ValueError, or one of REFUSED."""
    check_joins(sql, dialect)
    trees = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    if not trees:
        raise ValueError("it is empty")
    if len(trees) > 1:
        raise ValueError("it is more than one statement")
    (tree,) = trees
    if not isinstance(tree, exp.Query):
        raise ValueError("it is no query")
    for node in tree.walk():
        _vet(node)
    _vet_sources(tree)
    return tree


def _asks_for(tree: exp.Query) -> float:
    """The number of rows that a query limits itself to."""
    limit = tree.args.get("limit")
    if isinstance(tree, exp.Subquery) and limit is None and isinstance(tree.this, exp.Query):
        return _asks_for(tree.this)
    value = limit.args.get("count" if isinstance(limit, exp.Fetch) else "expression") if limit else None
    if isinstance(value, exp.Literal) and value.name.isdigit():
        return int(value.name)
    # Another limit than a number stays as it is; whoever reads the rows has one of his own.
    return math.inf if value is None or value.name.upper() == "ALL" else 0


def _vet(node: exp.Expr) -> None:
    if isinstance(node, FORBIDDEN + ENDLESS):
        raise ValueError(f"{node.key.upper()} is not for a query that only reads")
    if isinstance(node, exp.Anonymous) and node.name.lower() not in CALLABLE:
        raise ValueError(f"the function {node.name} is not among those that may be called on a server")
    if isinstance(node, exp.Dot):  # PostgreSQL takes (x).f for f(x)
        raise ValueError(f"{node.sql()}: what stands in brackets has no fields here")
    if isinstance(node, exp.Table) and (node.catalog or node.db or node.name.lower().startswith("pg_")):
        raise ValueError(f"it reads {node.sql()}, which is not of the tables that were shown")


def _vet_sources(tree: exp.Expr) -> None:
    """PostgreSQL takes a.f for f(a) where `a` is what a function in FROM gives: such columns have to be named there."""
    functions: dict[str, set[str]] = {}
    for given in tree.walk():
        is_source = given.arg_key == "this" and isinstance(
            given.parent, exp.From | exp.Join | exp.Lateral | exp.Subquery
        )
        if not (is_source or isinstance(given.args.get("alias"), exp.TableAlias)) or _has_rows(given):
            continue
        alias = given.args.get("alias")
        name = alias.this if isinstance(alias, exp.TableAlias) and alias.this else None
        called = _folded(name) if name else given.sql("postgres").partition("(")[0].split()[-1].lower()
        columns = alias.columns if isinstance(alias, exp.TableAlias) else []
        functions.setdefault(called, {called}).update(map(_folded, columns))
    for column in tree.find_all(exp.Column):
        table = column.args.get("table")
        own = functions.get(_folded(table)) if table else None
        if own is not None and not isinstance(column.this, exp.Star) and _folded(column.this) not in own:
            raise ValueError(f"{column.sql()}: no such column is named in FROM")


def _has_rows(source: exp.Expr) -> bool:
    """Whether what stands in FROM, or is what stands there, is a table or query, and no function."""
    if isinstance(source, exp.Table | exp.Lateral):
        return isinstance(source.this, exp.Identifier | exp.Subquery)
    return isinstance(source, exp.Query | exp.Values | exp.CTE)


def _folded(identifier: exp.Expr) -> str:
    """A name as PostgreSQL knows it."""
    return identifier.name if identifier.args.get("quoted") else identifier.name.lower()


def _is_alias(name: str, tree: exp.Expr) -> bool:
    return any(alias.name.lower() == name.lower() for alias in tree.find_all(exp.TableAlias))


def _as_postgres_compares(tree: exp.Expr, booleans: set[str]) -> None:
    """SQLite's LIKE passes over letter case, and its truth values are 1 and 0."""
    for like in list(tree.find_all(exp.Like)):
        like.replace(exp.ILike(this=like.this, expression=like.expression))
    for comparison in tree.find_all(exp.EQ, exp.NEQ):
        for one, other in (("this", "expression"), ("expression", "this")):
            column, value = comparison.args[one], comparison.args[other]
            is_truth = isinstance(column, exp.Column) and column.name.lower() in booleans
            if is_truth and isinstance(value, exp.Literal) and value.name in ("0", "1"):
                comparison.set(other, exp.true() if value.name == "1" else exp.false())
