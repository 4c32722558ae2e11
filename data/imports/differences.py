"""Where the answer to a translated query may still differ from the server's, for its user to know.

Reads the tree of a PostgreSQL or MySQL query before it is rewritten; changes nothing.
"""

import re
import sqlite3

from sqlglot import exp

from data.imports.kinds import Dialect, kind_of, sides_of, sqlite_type

FIRST_DAYS = re.compile(r"\d+-\d+-(?:0?[1-9]|1\d|2[0-8])(?!\d)")
LIKE = "a LIKE of PostgreSQL tells letter case apart, SQLite's does not"
EQUAL = "texts of MySQL are equal whatever their letter case, those of this database are not"
MONTHS = "a month from the 31st is the last day of the next on the server, and the first days after it in SQLite"
BYTES = "LENGTH counts bytes in MySQL, letters in SQLite"
HALVES = "halves are rounded away from zero in SQLite; the server rounds those of floating-point numbers to even"
DISTINCT_ON = "the rows of a DISTINCT ON are in no order"
SUMS = "the sum of a bigint column has decimals when it is divided on the server, that of integers has none"
TRUTHS = "true and false in JSON are 1 and 0 to SQLite"


def differences(tree: exp.Expr, dialect: Dialect, database: sqlite3.Connection | None) -> tuple[str, ...]:
    """Notes, each once."""
    is_mysql = dialect == "mysql"
    tests = {
        LIKE: not is_mysql and any(map(_minds_case, tree.find_all(exp.Like))),
        EQUAL: is_mysql and any(map(_compares_letters, tree.find_all(exp.EQ, exp.NEQ, exp.In))),
        MONTHS: any(map(_counts_months, tree.find_all(exp.Add, exp.Sub, exp.DateAdd, exp.DateSub))),
        BYTES: any(length.args.get("binary") and _is_text(length.this) for length in tree.find_all(exp.Length)),
        HALVES: any(map(_rounds_floats, tree.find_all(exp.Round, exp.Cast))),
        DISTINCT_ON: any(distinct.args.get("on") for distinct in tree.find_all(exp.Distinct)),
        SUMS: not is_mysql and any(map(_divides_sum, tree.find_all(exp.Div))),
        TRUTHS: tree.find(exp.JSONExtractScalar) is not None,
    }
    if tests[EQUAL] and database:  # a copied server's has columns that know it
        query = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND sql LIKE '%COLLATE NOCASE%'"
        tests[EQUAL] = database.execute(query).fetchone() == (0,)
    return tuple(note for note, applies in tests.items() if applies)


def has_letters(part: exp.Expr) -> bool:
    """Whether it is a text that another letter case would change."""
    return isinstance(part, exp.Literal) and part.is_string and part.name.lower() != part.name.upper()


def _minds_case(like: exp.Like) -> bool:
    is_folded = isinstance(like.this, exp.Lower | exp.Upper)
    return not is_folded and (not isinstance(like.expression, exp.Literal) or has_letters(like.expression))


def _compares_letters(node: exp.Expr) -> bool:
    sides = sides_of(node)
    return any(isinstance(side, exp.Column) for side in sides) and any(map(has_letters, sides))


def _is_text(part: exp.Expr) -> bool:
    return kind_of(part) in ("", "TEXT")


def _rounds_floats(node: exp.Expr) -> bool:
    """Literals with a point are decimals on servers, and so are means of integers."""
    is_whole = sqlite_type(node.to) == "INTEGER" if isinstance(node, exp.Cast) else not node.args.get("decimals")
    parts = node.this.find_all(exp.Column, exp.Cast)
    return is_whole and kind_of(node.this) == "REAL" and any(kind_of(part) == "REAL" for part in parts)


def _divides_sum(node: exp.Div) -> bool:
    """Whether integers are divided of which one is a sum: how large its column may be is not known here."""
    sides = (node.this.unnest(), node.expression.unnest())
    return all(kind_of(side) == "INTEGER" for side in sides) and any(side.find(exp.Sum) for side in sides)


def _counts_months(node: exp.Expr) -> bool:
    """Whether a date moves by months that may not be one of the first 28 days of its own."""
    sides = [node.this, node.expression]
    if any(isinstance(side, exp.TimestampTrunc) or FIRST_DAYS.match(side.name) for side in sides):
        return False
    spans = [side for side in sides if isinstance(side, exp.Interval | exp.Cast)]
    units = [node.text("unit"), *(f"{span.text('unit')} {span.this.name}" for span in spans)]
    return any(re.search("mon|year|quarter", unit, re.IGNORECASE) for unit in units)
