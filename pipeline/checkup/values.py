"""Values in SQL that come from nowhere: a constant that neither the question nor the database holds.

Reads the questions, and the databases through the sandbox, one bounded look-up a value. Such a pair is often
an error of whoever wrote it, and teaches a model to make values up.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from data.imports.building import quoted
from data.imports.dialects import check_joins
from data.schema import Schema
from eval.pool import Sandbox
from pipeline.checkup.facts import Finding, Item

LARGEST_DATABASE = 200 * 2**20  # bytes; a value may stand anywhere in it, and all of it would be read
LONGEST_VALUE = 200
TABLES_AT_ONCE = 20
_NUMBERS = """one first once single|two second twice both couple pair|three third thrice|four fourth|five fifth|six sixth|
seven seventh|eight eighth|nine ninth|ten tenth|eleven eleventh|twelve twelfth dozen"""
NUMBER_WORDS = {word: number for number, words in enumerate(_NUMBERS.split("|"), start=1) for word in words.split()}
MORE_THAN_ONE = re.compile(r"\b(?:several|multiple|more than one|at least two|repeated)\b")
SCALES = (1.0, 100.0, 1e3, 1e6, 1e9)  # 50% is 0.5, and 2 million are 2000000
PATTERNS = (exp.Like, exp.ILike, exp.Glob)
COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, *PATTERNS)
WRAPPERS = (exp.Lower, exp.Upper, exp.Trim, exp.Paren)
_DATE = re.compile(r"(\d{4})(?:[-/]\d{1,2}){1,2}(?:[ T].*)?")


@dataclass(frozen=True)
class Constant:
    """One constant of a query; `parts` are what has to be found of it, `looked_up` whether a database can hold it."""

    shown: str
    parts: tuple[str, ...]
    is_number: bool
    looked_up: bool = True


def unfounded(items: Sequence[Item], schemas: dict[str, Schema], sandbox: Sandbox) -> Iterator[Finding]:
    """Pairs with a constant that is in neither; `schemas` are those of databases that hold rows, by name."""
    wanted = [
        (item, constant)
        for item in items
        if item.database and item.pair.db_id in schemas and item.database.stat().st_size <= LARGEST_DATABASE
        for constant in constants(item.pair.query, schemas[item.pair.db_id])
        if not in_question(constant, item.pair.question)
    ]
    lookups = {
        (item.database, part, constant.is_number): schemas[str(item.pair.db_id)]
        for item, constant in wanted
        if constant.looked_up
        for part in constant.parts
    }
    jobs = [
        (key, database, sql)
        for key, schema in lookups.items()
        if (database := key[0])
        for sql in _searches(schema, key[1], key[2])
    ]
    held = set()
    outcomes = sandbox.map((database, sql) for _, database, sql in jobs)
    for (key, *_), outcome in zip(jobs, outcomes, strict=True):
        if outcome.category != "ok" or any(cell for row in outcome.rows for cell in row):
            held.add(key)  # also where it cannot be told
    missing: dict[int, tuple[Item, list[str]]] = {}
    for item, constant in wanted:
        if not all((item.database, part, constant.is_number) in held for part in constant.parts):
            nowhere = "in neither the question nor the database" if constant.looked_up else "not in the question"
            missing.setdefault(id(item), (item, []))[1].append(f"{constant.shown} is {nowhere}")
    for item, told in missing.values():
        yield Finding(item, "; ".join(dict.fromkeys(told)))


def constants(query: str, schema: Schema) -> Iterator[Constant]:
    """What a query compares columns with, and limits of more than one row; nothing where it cannot be parsed."""
    try:
        check_joins(query, "sqlite")
        tree = sqlglot.parse_one(query, read="sqlite")
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError):
        return
    columns = {column.name.lower() for table in schema.tables for column in table.columns}
    for node in tree.find_all(*COMPARISONS):
        is_pattern = isinstance(node, PATTERNS)
        for value, other in ((node.expression, node.this), (node.this, node.expression)):
            yield from _constant(value, other, columns, is_pattern)
    for listing in tree.find_all(exp.In, exp.Between):
        bounds = [listing.args.get("low"), listing.args.get("high")]
        for value in bounds if isinstance(listing, exp.Between) else listing.expressions:
            yield from _constant(value, listing.this, columns)
    for limit in tree.find_all(exp.Limit):
        if isinstance(limit.expression, exp.Literal) and limit.expression.name not in ("0", "1"):
            yield Constant(f"LIMIT {limit.expression.name}", (limit.expression.name,), True, looked_up=False)


def _constant(
    value: exp.Expr | None, other: exp.Expr | None, columns: set[str], is_pattern: bool = False
) -> Iterator[Constant]:
    sign = "-" if isinstance(value, exp.Neg) else ""
    value = value.this if isinstance(value, exp.Neg) else value
    if isinstance(value, exp.Literal) and not value.is_string:
        if value.name not in ("0", "1"):
            yield Constant(sign + value.name, (sign + value.name,), True, looked_up=not _is_count(other))
        return
    text = ""
    if isinstance(value, exp.Literal):
        text = value.name
    elif isinstance(value, exp.Column) and not value.table and value.this.quoted and value.name.lower() not in columns:
        text = value.name  # SQLite reads double quotes as text where no column has that name
    while isinstance(other, WRAPPERS):
        other = other.this
    # What a function such as strftime() returns need not be said in the question in the same way.
    if not isinstance(other, exp.Column) or len(text) > LONGEST_VALUE:
        return
    parts = tuple(part.strip() for part in (re.split(r"[%*_]+", text) if is_pattern else [text]) if part.strip())
    if parts:
        yield Constant(f"'{text}'", parts, is_number=False)


def _is_count(other: exp.Expr | None) -> bool:
    return other is not None and other.find(exp.AggFunc) is not None


def in_question(constant: Constant, question: str) -> bool:
    """Whether the question says it: text in any case, also as its words; numbers also as words, or scaled."""
    said = question.casefold()
    if constant.is_number:
        return _says_number(constant.shown.removeprefix("LIMIT "), said)
    words = set(re.findall(r"\w+", said))
    for part in constant.parts:
        text = part.casefold()
        date = _DATE.fullmatch(text)
        if text not in said and not (date and date[1] in said) and not set(re.findall(r"\w+", text)) <= words:
            return False
    return True


def _says_number(shown: str, said: str) -> bool:
    try:
        wanted = abs(float(shown))
    except ValueError:  # 0x10
        return True
    found = [float(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", said)]
    found += [float(NUMBER_WORDS[word]) for word in re.findall(r"\w+", said) if word in NUMBER_WORDS]
    if MORE_THAN_ONE.search(said):
        found.append(2.0)
    # "At least 3" may be written `> 2`.
    return any(
        abs(wanted - number) <= (wanted.is_integer() and number.is_integer())
        or any(abs(wanted * scale - number) < 1e-9 or abs(wanted - number * scale) < 1e-9 for scale in SCALES)
        for number in found
    )


def _searches(schema: Schema, part: str, is_number: bool) -> Iterator[str]:
    """Queries that return 1 if a column of any table holds it; texts within longer ones, but for the shortest."""
    text = "'" + part.replace("'", "''") + "'"
    inside = f"'%{part.replace(chr(39), chr(39) * 2)}%'" if len(part) > 2 else text
    for start in range(0, len(schema.tables), TABLES_AT_ONCE):
        tests = []
        for table in schema.tables[start : start + TABLES_AT_ONCE]:
            columns = [quoted(column.name) for column in table.columns]
            each = [f"{name} = {part} OR {name} = {text}" if is_number else f"{name} LIKE {inside}" for name in columns]
            tests.append(f"EXISTS (SELECT 1 FROM {quoted(table.name)} WHERE {' OR '.join(each)})")
        yield f"SELECT {' OR '.join(tests)}"
