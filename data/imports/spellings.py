"""Values as PostgreSQL spells them in dumps, made into what the reader of its server gives.

Reads lines of COPY and single texts, by the type of their column. Writes nothing.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from sqlglot import exp

Value = int | float | str | bytes | None
Conversion = Callable[[str], Value]

ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",{}]+))\s*|([{},])', re.DOTALL)
OFFSET = re.compile(r"(?<=:\d\d)(?:\.\d+)?([+-]\d\d(?::\d\d){0,2})$")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


def copied(line: str) -> list[str | None]:
    """The cells of a line of COPY."""
    return [None if cell == "\\N" else ESCAPE.sub(_escaped, cell) for cell in line.split("\t")]


def _escaped(escape: re.Match[str]) -> str:
    octal, digits, letter = escape.groups()
    if octal or digits:
        return chr(int(octal, 8) if octal else int(digits, 16))
    return ESCAPES.get(letter, letter)


def conversion(kind: exp.DataType | None) -> Conversion | None:
    """What makes a value of a text in a column of this type; None where the text is the value."""
    if kind is None:
        return None
    if kind.this is exp.DType.ARRAY:
        element = kind.expressions[0] if kind.expressions else None
        return partial(_array, _of_array(element))
    return CONVERSIONS.get(kind.this)


def _of_array(kind: exp.DataType | None) -> Callable[[str], str]:
    while kind is not None and kind.this is exp.DType.ARRAY and kind.expressions:
        kind = kind.expressions[0]
    if kind is not None and kind.this is exp.DType.BOOLEAN:
        return lambda text: "true" if text == "t" else "false"
    if kind is not None and kind.this in {*exp.DataType.NUMERIC_TYPES} - {exp.DType.MONEY}:
        return lambda text: text if NUMBER.fullmatch(text) else json.dumps(text)
    if kind is not None and kind.this in (exp.DType.JSON, exp.DType.JSONB):
        return str
    return partial(json.dumps, ensure_ascii=False)


def _array(element: Callable[[str], str], text: str) -> str:
    """`{a,"b c",NULL}` as JSON."""
    if not text.startswith(("{", "[")):
        return text
    parts = []
    for item in ITEM.finditer(text, text.index("{")):  # bounds may stand before it
        quoted, plain, mark = item.groups()
        if mark:
            parts.append({"{": "[", "}": "]"}.get(mark, mark))
        elif plain is not None and plain.strip().upper() == "NULL":
            parts.append("null")
        else:
            parts.append(
                element(plain.strip() if plain is not None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
            )
    return "".join(parts)


def _truth(text: str) -> Value:
    return {"t": 1, "true": 1, "f": 0, "false": 0}.get(text, text)


def _money(text: str) -> Value:
    """`-$1,234.56`; what another country writes stays as it is."""
    match = re.fullmatch(r"(-?)\$(\d{1,3}(?:,\d{3})*\.\d\d)", text)
    return match[1] + match[2].replace(",", "") if match else text


def _bytes(text: str) -> Value:
    try:
        return bytes.fromhex(text[2:]) if text.startswith("\\x") else text
    except ValueError:
        return text


def _float(text: str) -> Value:
    try:
        return float(text)  # NaN is NULL in SQLite
    except ValueError:
        return text


def _in_utc(text: str) -> Value:
    """A time with its offset, as one in UTC without."""
    offset = OFFSET.search(text)
    if offset is None:
        return text
    if not offset[1].strip("+-0:"):
        return text[: offset.start(1)]
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
    except (ValueError, OverflowError):
        return text
    return moment.rstrip("0") if "." in moment else moment


CONVERSIONS: dict[exp.DType, Conversion] = {
    exp.DType.BOOLEAN: _truth,
    exp.DType.MONEY: _money,
    exp.DType.VARBINARY: _bytes,
    exp.DType.FLOAT: _float,
    exp.DType.DOUBLE: _float,
    exp.DType.TIMESTAMPTZ: _in_utc,
    exp.DType.CHAR: lambda text: text.rstrip(" "),
    exp.DType.BPCHAR: lambda text: text.rstrip(" "),
}
