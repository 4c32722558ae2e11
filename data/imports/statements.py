"""A `.sql` script, cut into statements that SQLite reads.

Tells whose SQL a script is (SQLite's, or a dump of MySQL or PostgreSQL), finds the semicolons that end
statements, and respells what only the other two know: strings and numbers. Strings, names and comments are found
by one regular expression a dialect, since dumps are too long for a parser.
"""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from data.imports.dialects import Dialect

MAX_TRIGGER = 20_000
LOOKED_AT = 2**20  # characters that tell the dialect
# What SQLite's own scripts do not have outside comments, strings and quoted names.
MARKS: dict[Dialect, re.Pattern[str]] = {
    "mysql": re.compile(
        r"^-- (?:MySQL|MariaDB) dump|\)\s*(?:ENGINE|AUTO_INCREMENT)\s*=|^DELIMITER\s"
        r"|[(,]\s*+\w++\s++\w++[^,;]{0,200}\sAUTO_INCREMENT\b",
        re.IGNORECASE | re.MULTILINE,
    ),
    "postgres": re.compile(
        r"^-- PostgreSQL database dump|^\\(?:connect|restrict)\b|^COPY\b.*\bFROM\s+stdin"
        r"|[(,]\s*+\w++\s++(?:BIG|SMALL)?SERIAL\b|''::\w|\bnextval\(|^SET\s+search_path|^CREATE\s+TYPE\b"
        r"|^ALTER\s+TABLE\b[^;]{0,300}?\bADD\s+(?:CONSTRAINT|PRIMARY|FOREIGN)\b"
        r"|^CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?public\.",
        re.IGNORECASE | re.MULTILINE,
    ),
}
# Comments that are SQL to MySQL: dumps write views in these.
VIEW_COMMENT = re.compile(r"^/\*!500(?:01|13) (.*?)\*/", re.DOTALL | re.MULTILINE)
HEADER = re.compile(r"-- (?:MySQL|MariaDB|PostgreSQL database) dump")

# Possessive, or within a line, and whole even where the end is missing: the time grows no faster than the script.
STRING = r"'[^']*+(?:''[^']*+)*+(?:'|\Z)"
ESCAPED = r"'(?:[^'\\]++|''|\\.)*+(?:'|\Z)"
DOUBLE = ESCAPED.replace("'", '"')
NAME = r'"[^"]*+(?:""[^"]*+)*+(?:"|\Z)'
BACKTICKS = r"`[^`]*+(?:`|\Z)"
BLOCK = r"/\*.*?(?:\*/|\Z)"
# Its rows are no SQL: they end with a line of their own.
COPY = r"^COPY\b(?:[^;\"\n]|\"[^\"\n]*\")*?\bFROM\s+stdin\b[^;\n]*;[ \t]*(?:\n.*?)??(?:^\\\.[ \t]*$|\Z)"
STORED = r"^DELIMITER[ \t]+(?!;[ \t]*$)\S.*?(?:^DELIMITER[ \t]+;[ \t]*$|\Z)|^DELIMITER[^\n]*+"
TOKENS: dict[Dialect | None, re.Pattern[str]] = {
    None: re.compile(
        # A line that begins with # is none of SQLite's, but its apostrophes are not to begin strings.
        rf"{STRING}|{NAME}|{BACKTICKS}|\[[^\]]*+(?:\]|\Z)|(?P<comment>--[^\n]*+|^\#[^\n]*+|{BLOCK})|(?P<end>;)",
        re.DOTALL | re.MULTILINE,
    ),
    "mysql": re.compile(
        rf"(?P<escaped>{ESCAPED}|{DOUBLE})|{BACKTICKS}"
        rf"|(?P<comment>--(?=\s|\Z)[^\n]*+|\#[^\n]*+|{BLOCK})|(?P<whole>{STORED})"
        r"|\b0x(?P<hex>(?:[0-9a-f]{2})++)\b|\bb'(?P<bits>[01]{1,64})'"
        r"|(?P<introducer>\b_(?:binary|utf8mb[34]|utf8|latin1)\s*+(?=['\"]))|(?P<end>;)",
        re.DOTALL | re.MULTILINE | re.IGNORECASE,
    ),
    "postgres": re.compile(
        rf"(?P<whole>{COPY})|(?<![\w$])(?P<escaped>e{ESCAPED})|{STRING}|{NAME}"
        r"|(?<![\w$])\$(?P<tag>[^\W\d]\w*+|)\$(?P<dollar>.*?)(?:\$(?P=tag)\$|\Z)"
        rf"|(?P<comment>--[^\n]*+|{BLOCK}|^\\[^\n]*+)|(?P<end>;)",
        re.DOTALL | re.MULTILINE | re.IGNORECASE,
    ),
}
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "0": "\0", "Z": "\x1a"}
TRIGGER = re.compile(r"CREATE\s+(?:TEMP\w*\s+)?TRIGGER\b", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon; `line` is where it starts, `is_ended` says whether it had one."""

    line: int
    text: str
    is_ended: bool = True


def dialect_of(text: str) -> Dialect | None:
    """Whose SQL it is, by what the others do not have; None: SQLite's."""
    bare = TOKENS[None].sub(_blanked, text[:LOOKED_AT])
    return next((dialect for dialect, marks in MARKS.items() if marks.search(bare)), None)


def _blanked(token: re.Match[str]) -> str:
    """A string or a name with nothing in it; no comment but the one that heads a dump."""
    if token["end"] or HEADER.match(token[0]):
        return token[0]
    if token["comment"]:
        return " "
    return "''" if token[0][0] == "'" else "name"


def statements_of(text: str, dialect: Dialect | None) -> Iterator[Statement]:
    """The statements; a COPY of PostgreSQL comes with its rows, what DELIMITER brackets in MySQL as one."""
    if dialect == "mysql":
        text = VIEW_COMMENT.sub(r"\1", text)
    line, counted = 1, 0
    for start, statement, is_ended in _cut(text + "\n;", dialect):
        line += text.count("\n", counted, start)
        counted = start
        yield Statement(line, statement, is_ended)


def _cut(text: str, dialect: Dialect | None) -> Iterator[tuple[int, str, bool]]:
    """The statements with the places where they start, past comments; whether they end before the text does."""
    pieces: list[str] = []
    start: int | None = None
    last = 0
    for token in TOKENS[dialect].finditer(text):
        between = text[last : token.start()]
        if start is None and between.strip():
            start = last + len(between) - len(between.lstrip())
        pieces.append(between)
        last = token.end()
        if token.lastgroup == "whole":
            if start is not None:
                yield start, "".join(pieces).strip(), False
            yield token.start(), token[0], True
            pieces, start = [], None
        elif token["end"]:
            statement = "".join(pieces).strip()
            if dialect is None and _goes_on(statement):
                pieces.append(";")
                continue
            if start is not None:
                yield start, statement, token.end() < len(text)
            pieces, start = [], None
        elif start is not None or token["comment"] is None:
            start = token.start() if start is None else start
            pieces.append(_respelled(token, dialect))
    if start is not None:  # a string or comment that has no end
        yield start, "".join(pieces).strip(), False


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
