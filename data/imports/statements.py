"""A `.sql` script, cut into statements that SQLite reads.

Tells whose SQL a script is (SQLite's, or a dump of MySQL or PostgreSQL), finds the semicolons that end
statements, and respells what only the other two know: strings, numbers, CREATE TABLE. Strings, names and
comments are found by one regular expression a dialect, since dumps are too long for a parser.
"""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import ErrorLevel

from data.imports.dialects import Dialect, sqlite_type

MAX_TRIGGER = 20_000
MYSQL = re.compile(r"^-- (?:MySQL|MariaDB) dump|\)\s*ENGINE\s*=|\bAUTO_INCREMENT\b|^DELIMITER\s", re.I | re.M)
POSTGRES = re.compile(
    r"^-- PostgreSQL database dump|^\\(?:connect|restrict)\b|\b(?:BIG|SMALL)?SERIAL\b[\s,]|^COPY\b.*\bFROM\s+stdin"
    r"|'::\w|\bnextval\(|^SET\s+search_path|^ALTER\s+TABLE\b[^;]{0,300}?\bADD\s+(?:CONSTRAINT|PRIMARY|FOREIGN)\b|^CREATE\s+TYPE\b",
    re.I | re.M,
)
LOOKED_AT = 2**20  # characters that tell the dialect

# Possessive, and whole even where the end is missing: no script makes these slow.
STRING = r"'[^']*+(?:''[^']*+)*+(?:'|\Z)"
ESCAPED = r"'(?:[^'\\]++|''|\\.)*+(?:'|\Z)"
DOUBLE = ESCAPED.replace("'", '"')
NAME = r'"[^"]*+(?:""[^"]*+)*+(?:"|\Z)'
BACKTICKS = r"`[^`]*+(?:`|\Z)"
BLOCK = r"/\*.*?(?:\*/|\Z)"
STORED = r"^DELIMITER[ \t]+(?!;[ \t]*$)\S.*?(?:^DELIMITER[ \t]+;[ \t]*$|\Z)|^DELIMITER[^\n]*+"
TOKENS: dict[Dialect | None, re.Pattern[str]] = {
    None: re.compile(
        rf"{STRING}|{NAME}|{BACKTICKS}|\[[^\]]*+(?:\]|\Z)|(?P<comment>--[^\n]*+|{BLOCK})|(?P<end>;)", re.DOTALL
    ),
    "mysql": re.compile(
        rf"(?P<escaped>{ESCAPED}|{DOUBLE})|{BACKTICKS}"
        rf"|(?P<comment>--(?=\s|\Z)[^\n]*+|\#[^\n]*+|{BLOCK}|{STORED})"
        r"|\b0x(?P<hex>(?:[0-9a-f]{2})++)\b|\bb'(?P<bits>[01]{1,64})'"
        r"|(?P<introducer>\b_(?:binary|utf8mb[34]|utf8|latin1)\s*+(?=['\"]))|(?P<end>;)",
        re.DOTALL | re.MULTILINE | re.IGNORECASE,
    ),
    "postgres": re.compile(
        rf"(?<![\w$])(?P<escaped>e{ESCAPED})|{STRING}|{NAME}"
        r"|(?<![\w$])\$(?P<tag>[^\W\d]\w*+|)\$(?P<dollar>.*?)(?:\$(?P=tag)\$|\Z)"
        rf"|(?P<comment>--[^\n]*+|{BLOCK}|^\\[^\n]*+)|(?P<end>;)",
        re.DOTALL | re.MULTILINE | re.IGNORECASE,
    ),
}
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a"}
TRIGGER = re.compile(r"CREATE\s+(?:TEMP\w*\s+)?TRIGGER\b", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon; `line` is where it starts."""

    line: int
    text: str


def dialect_of(text: str) -> Dialect | None:
    """Whose SQL it is, by what the others do not have; None: SQLite's."""
    head = text[:LOOKED_AT]
    if MYSQL.search(head):
        return "mysql"
    return "postgres" if POSTGRES.search(head) else None


def statements_of(text: str, dialect: Dialect | None) -> Iterator[Statement]:
    line, counted = 1, 0
    for start, statement in _cut(text + "\n;", dialect):
        line += text.count("\n", counted, start)
        counted = start
        yield Statement(line, statement)


def _cut(text: str, dialect: Dialect | None) -> Iterator[tuple[int, str]]:
    """The statements with the places where they start, past comments in front of them."""
    pieces: list[str] = []
    start: int | None = None
    last = 0
    for token in TOKENS[dialect].finditer(text):
        between = text[last : token.start()]
        if start is None and between.strip():
            start = last + len(between) - len(between.lstrip())
        pieces.append(between)
        last = token.end()
        if token["end"]:
            statement = "".join(pieces).strip()
            if dialect is None and _goes_on(statement):
                pieces.append(";")
                continue
            if start is not None:
                yield start, statement
            pieces, start = [], None
        elif start is not None or token["comment"] is None:
            start = token.start() if start is None else start
            pieces.append(_respelled(token, dialect))
    if start is not None:  # a string or comment that has no end
        yield start, "".join(pieces).strip()


def _goes_on(statement: str) -> bool:
    """Whether the semicolon is one inside a trigger."""
    is_trigger = TRIGGER.match(statement) is not None and len(statement) < MAX_TRIGGER
    return is_trigger and not sqlite3.complete_statement(statement + ";")


def _respelled(token: re.Match[str], dialect: Dialect | None) -> str:
    """A token as SQLite spells it. Comments stay in its own scripts: they may say what columns mean."""
    if dialect is None:
        return token[0]
    kind = token.lastgroup
    if kind == "comment":
        return " "
    if kind == "hex":
        return f"X'{token['hex']}'"
    if kind == "bits":
        return str(int(token["bits"], 2))
    if kind == "introducer":
        return ""
    if kind == "dollar":
        return _literal(token["dollar"])
    if kind == "escaped":
        return _unescaped(token["escaped"])
    return token[0]


def _unescaped(text: str) -> str:
    """A string with backslashes, in either sort of quotation marks, perhaps after an E."""
    quote = text[-1]
    body = text.removeprefix("E").removeprefix("e")[1:-1].replace(quote * 2, quote)
    if "\\" in body:
        body = re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), body, flags=re.DOTALL)
    return _literal(body)


def _literal(text: str) -> str:
    """A string; or the bytes, where they are no text that an SQL script may hold."""
    if re.search("[\\0\\ud800-\\udfff]", text):  # surrogates stand for bytes that were not UTF-8
        return f"X'{text.encode(errors='surrogateescape').hex()}'"
    return "'" + text.replace("'", "''") + "'"


def table_for_sqlite(create: exp.Create, more: list[exp.Expr]) -> str:
    """CREATE TABLE with names, types, keys and plain defaults; engines, indexes and checks are left out.

    `more` are keys that the script adds later with ALTER TABLE, which SQLite cannot do.
    """
    if not isinstance(create.this, exp.Schema):
        raise ValueError("a CREATE TABLE without a list of columns")
    columns = [item for item in create.this.expressions if isinstance(item, exp.ColumnDef)]
    if not columns:
        raise ValueError("a CREATE TABLE without types")
    keys = [key for item in (*create.this.expressions, *more) for key in _table_keys(item)]
    if any(column.find(exp.PrimaryKeyColumnConstraint) for column in columns):
        keys = [key for key in keys if not isinstance(key, exp.PrimaryKey)]
    body = ", ".join([*map(_column, columns), *(_sql(key) for key in keys)])
    exists = "IF NOT EXISTS " if create.args.get("exists") else ""
    return f"CREATE TABLE {exists}{_sql(exp.to_identifier(create.this.this.name, quoted=True))} ({body})"


def _column(column: exp.ColumnDef) -> str:
    words = [_sql(exp.to_identifier(column.name, quoted=True)), sqlite_type(column.kind)]
    for constraint in column.constraints:
        kind = constraint.kind
        if isinstance(kind, exp.PrimaryKeyColumnConstraint):
            words.append("PRIMARY KEY")
        elif isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null"):
            words.append("NOT NULL")
        elif isinstance(kind, exp.UniqueColumnConstraint) and kind.this is None:
            words.append("UNIQUE")
        elif isinstance(kind, exp.DefaultColumnConstraint):
            value = kind.this.this if isinstance(kind.this, exp.Cast) else kind.this
            if isinstance(
                value, exp.Literal | exp.Boolean | exp.Neg | exp.Null | exp.CurrentTimestamp | exp.CurrentDate
            ):
                words.append(f"DEFAULT {value.sql('sqlite')}")
        elif isinstance(kind, exp.Reference):
            words.append(_sql(_bare_reference(kind)))
    return " ".join(filter(None, words))


def _table_keys(item: exp.Expr) -> list[exp.Expr]:
    """The keys in an entry of a table's body, without the names of constraints, which may clash."""
    if isinstance(item, exp.Constraint | exp.AddConstraint):
        return [key for inner in item.expressions for key in _table_keys(inner)]
    if isinstance(item, exp.PrimaryKey):
        return [exp.PrimaryKey(expressions=[_plain(column) for column in item.expressions])]
    if isinstance(item, exp.UniqueColumnConstraint) and isinstance(item.this, exp.Schema):
        prefixed = any(isinstance(column, exp.ColumnPrefix) for column in item.this.expressions)
        columns = [_plain(column) for column in item.this.expressions]
        # Unique in its first letters is not unique to SQLite, nor the other way round.
        return [] if prefixed else [exp.UniqueColumnConstraint(this=exp.Schema(expressions=columns))]
    if isinstance(item, exp.ForeignKey) and isinstance(item.args.get("reference"), exp.Reference):
        columns = [_plain(column) for column in item.expressions]
        return [exp.ForeignKey(expressions=columns, reference=_bare_reference(item.args["reference"]))]
    return []


def _plain(column: exp.Expr) -> exp.Identifier:
    """The name alone, of a column that may come with an order or a length."""
    found = column if isinstance(column, exp.Identifier) else column.find(exp.Identifier)
    if found is None:
        raise ValueError("a key on something that is no column")
    return exp.to_identifier(found.name, quoted=True)


def _bare_reference(reference: exp.Reference) -> exp.Reference:
    """The parent without its schema, and without what happens on deletion."""
    parent = reference.this
    table = parent.this if isinstance(parent, exp.Schema) else parent
    columns = [_plain(column) for column in parent.expressions] if isinstance(parent, exp.Schema) else []
    name = exp.to_table(_sql(exp.to_identifier(table.name, quoted=True)), dialect="sqlite")
    return exp.Reference(this=exp.Schema(this=name, expressions=columns) if columns else name)


def _sql(tree: exp.Expr) -> str:
    return str(tree.sql("sqlite", unsupported_level=ErrorLevel.RAISE))
