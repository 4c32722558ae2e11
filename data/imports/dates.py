"""Dates and times of PostgreSQL and MySQL as SQLite reckons with them: texts that sort as what they mean.

Rewrites parts of a query whose kinds are known (`data/imports/kinds.py`). A date is spelled 2020-01-31 and a
time stamp 2020-01-31 10:00:00, and the two are never compared as they stand: the first is less than the
second's midnight. What cannot be reckoned is refused with a ValueError.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from sqlglot import exp

from data.imports.kinds import Dialect, is_text, kind_of, sides_of, with_kind

PARTS = {
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
STARTS = {"YEAR": "%Y-01-01", "MONTH": "%Y-%m-01", "DAY": ""}
# What a unit is to SQLite; in the order in which PostgreSQL adds them.
UNITS = {
    "year": (1, "years"),
    "quarter": (3, "months"),
    "month": (1, "months"),
    "mon": (1, "months"),
    "week": (7, "days"),
    "day": (1, "days"),
    "hour": (1, "hours"),
    "minute": (1, "minutes"),
    "min": (1, "minutes"),
    "second": (1, "seconds"),
    "sec": (1, "seconds"),
}
OF_A_DATE = {"years", "months", "days"}
FORMAT = re.compile(r"(?:%[YmdHMSjw]|[-/:., _\d])*")
TIMES = {"DATE", "TIMESTAMP", "TIME"}
NO_OPERATOR = "it reckons with dates in a way that SQLite has no operator for"

Step = tuple[int | exp.Expr, str]


def spelled(text: str, kind: str) -> str:
    """The text of a date or time as the copied database spells it. Raises ValueError for what is none."""
    padded = re.sub(r"(?<=[^\d.])(\d)(?=\D|$)", r"0\1", f" {text}").strip()  # 2020-1-31
    try:
        moment = datetime.fromisoformat(f"2000-01-01 {padded}" if kind == "TIME" else padded)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset():  # times are copied as those of UTC
        raise ValueError(f"{text!r} is no date or time as SQLite spells them")
    date, time = moment.replace(tzinfo=None).isoformat(sep=" ").split(" ")
    time = time.rstrip("0") if "." in time else time
    return {"DATE": date, "TIME": time}.get(kind, f"{date} {time}")


def compared(node: exp.Expr) -> exp.Expr:
    """A comparison whose sides are spelled alike: = < > <> BETWEEN IN."""
    query = node.args.get("query")
    sides = sides_of(node)
    texts = [side for side in sides if is_text(side) and side.name]
    others = [side for side in sides if side not in texts] + (query.selects[:1] if isinstance(query, exp.Query) else [])
    kinds = {kind_of(other) for other in others}
    if not kinds & TIMES:
        kinds |= {kind_of(text) for text in texts}
    tuples = [] if query else [side for side in sides if isinstance(side, exp.Tuple)]
    if any(kind_of(part) == "TIMESTAMP" for side in tuples for part in side.expressions):
        raise ValueError("it compares a date among several values")
    if not kinds & TIMES:
        return node
    if kinds & {"INTEGER", "NUMERIC", "REAL", "INTERVAL"} or ("TIME" in kinds and len(kinds & TIMES) > 1):
        raise ValueError("it compares a date with something else")
    kind = next(kind for kind in ("TIMESTAMP", "TIME", "DATE") if kind in kinds)
    if kind == "DATE" and not all(spelled(text.name, "TIMESTAMP").endswith(" 00:00:00") for text in texts):
        kind = "TIMESTAMP"
    if kind == "TIMESTAMP" and query and kind_of(others[-1]) == "DATE":
        raise ValueError("it looks for a time among dates")
    for side in sides:
        if side in texts:
            side.replace(_literal(spelled(side.name, kind), kind))
        elif kind_of(side) == "DATE" and kind == "TIMESTAMP":
            is_moved = isinstance(side, exp.Anonymous) and side.name == "DATE" and len(side.expressions) > 1
            side.replace(_call("DATETIME", *(side.expressions if is_moved else [side.copy()])))
    return node


def of_one_kind(node: exp.Expr) -> exp.Expr:
    """UNION and its like, of columns that are spelled alike."""
    for ours, theirs in zip(node.this.selects, node.expression.selects, strict=False):
        if {kind_of(ours), kind_of(theirs)} == {"DATE", "TIMESTAMP"}:
            raise ValueError("it puts dates and time stamps into one column")
    return node


def part_of_date(node: exp.Expr) -> exp.Expr:
    """EXTRACT and YEAR() and their like."""
    if isinstance(node, exp.Extract):
        name, value = node.name.upper(), node.expression
    else:
        name, value = PART_OF[type(node)], node.this
    value = value.this if isinstance(value, exp.TsOrDsToDate) else value
    if name not in PARTS:
        raise ValueError(f"it takes the {name} of a date, which SQLite does not know")
    text = exp.func("STRFTIME", exp.Literal.string(PARTS[name]), _moment(value))
    made = exp.Cast(this=text, to=exp.DataType.build("INT"))
    made.type = node.type  # which is that of a decimal in PostgreSQL
    return made


def start(node: exp.Expr) -> exp.Expr:
    """date_trunc, which makes a date here where it makes the midnight of one there."""
    unit = node.text("unit").upper()
    if unit not in STARTS or node.args.get("zone"):
        raise ValueError(f"it cuts off a date at its {unit}, which SQLite does not know")
    value = _moment(node.this)
    if unit == "DAY":
        return _call("DATE", value)
    return _call("STRFTIME", exp.Literal.string(STARTS[unit]), value, kind="DATE")


def formatted(node: exp.Expr) -> exp.Expr:
    """to_char and DATE_FORMAT: numbers of a date and what separates them, no names."""
    form = node.args["format"]
    known = isinstance(form, exp.Literal) and "%" in form.name and FORMAT.fullmatch(form.name)
    if not known or kind_of(node.this) in ("INTEGER", "NUMERIC", "REAL", "INTERVAL"):
        raise ValueError("it formats a date or number in a way that SQLite does not know")
    _moment(node.this)
    return node


def days_apart(node: exp.Expr) -> exp.Expr:
    """DATEDIFF; the difference of two dates."""
    if node.text("unit").upper() not in ("", "DAY"):
        raise ValueError(NO_OPERATOR)
    ends = [exp.func("JULIANDAY", _day(side)) for side in (node.this, node.expression)]
    difference = exp.Sub(this=ends[0], expression=ends[1])
    return with_kind(exp.Cast(this=difference, to=exp.DataType.build("INT")), "INTEGER")


def shifted(node: exp.Expr, dialect: Dialect) -> exp.Expr:
    """A sum or difference that a date is part of."""
    base, other = node.this, node.expression
    if isinstance(node, exp.Add) and (isinstance(base, exp.Interval) or kind_of(other) == "DATE"):
        base, other = other, base
    minus = isinstance(node, exp.Sub | exp.DateSub)
    if isinstance(node, exp.DateAdd | exp.DateSub) and not isinstance(other, exp.Interval):
        other = exp.Interval(this=other, unit=node.args.get("unit"))
    if isinstance(other, exp.Interval):
        if kind_of(base) == "TIME" and dialect == "mysql":
            raise ValueError("it moves a time, which has no end in MySQL")
        return _moved(base, steps_of(other), minus)
    if not {kind_of(base), kind_of(other)} & {"DATE", "TIMESTAMP", "INTERVAL"}:
        return node
    if dialect == "postgres" and minus and kind_of(node) == "INTEGER":
        return days_apart(exp.Sub(this=base, expression=other))
    if dialect == "postgres" and kind_of(base) == "DATE" and kind_of(other) == "INTEGER":
        number = int(other.name) if isinstance(other, exp.Literal) else other
        return _moved(base, [(number, "days")], minus)
    raise ValueError(NO_OPERATOR)


def steps_of(interval: exp.Interval) -> list[Step]:
    """Amounts and SQLite's units, the greatest first. Raises ValueError for an interval that has no such."""
    unit, amount = interval.text("unit").lower(), interval.this
    if unit and not isinstance(amount, exp.Literal):
        found: list[tuple[int | exp.Expr, str]] = [(amount, unit)]
    else:
        text = f"{amount.name} {unit}".strip().lower() if amount else ""
        parts = re.findall(r"([+-]?\d+)\s*([a-z_]+)", text)
        if re.sub(r"([+-]?\d+)\s*([a-z_]+)", "", text).strip() or not parts:
            raise ValueError(f"it holds the interval {text!r}, which SQLite has no words for")
        found = [(int(number), name) for number, name in parts]
    named = [(number, name if name in UNITS else name.removesuffix("s")) for number, name in found]
    if any(name not in UNITS for _, name in named):
        raise ValueError(f"it holds an interval in {named[0][1]}, which SQLite has no words for")
    named.sort(key=lambda step: list(UNITS).index(step[1]))
    return [(_times(number, UNITS[name][0]), UNITS[name][1]) for number, name in named]


def _times(number: int | exp.Expr, factor: int) -> int | exp.Expr:
    if isinstance(number, int):
        return number * factor
    return number if factor == 1 else exp.Mul(this=exp.paren(number), expression=exp.Literal.number(factor))


def _moved(base: exp.Expr, steps: Sequence[Step], minus: bool) -> exp.Expr:
    """A date stays one if it moves by days and more."""
    base = _moment(base)
    if isinstance(base, exp.Literal) and kind_of(base) not in ("DATE", "TIMESTAMP"):
        kind = "TIMESTAMP" if ":" in base.name else "DATE"
        base = _literal(spelled(base.name, kind), kind)
    is_date = kind_of(base) == "DATE" and all(unit in OF_A_DATE for _, unit in steps)
    function = "DATE" if is_date else "TIME" if kind_of(base) == "TIME" else "DATETIME"
    modifiers: list[exp.Expr] = []
    for number, unit in steps:
        if isinstance(number, int):
            modifiers.append(exp.Literal.string(f"{-number if minus else number:+d} {unit}"))
        else:
            amount = exp.Neg(this=exp.paren(number)) if minus else _wrapped(number)
            modifiers.append(exp.DPipe(this=amount, expression=exp.Literal.string(f" {unit}")))
    return _call(function, base, *modifiers)


def _wrapped(part: exp.Expr) -> exp.Expr:
    return part if isinstance(part, exp.Column | exp.Literal | exp.Paren) else exp.paren(part)


def _moment(value: exp.Expr) -> exp.Expr:
    """What may be a date; a difference that is left is a span of time."""
    is_span = isinstance(value.unnest(), exp.Add | exp.Sub | exp.Mul | exp.Interval)
    if is_span or kind_of(value) in ("INTERVAL", "INTEGER", "NUMERIC", "REAL"):
        raise ValueError(NO_OPERATOR)
    return value


def _day(value: exp.Expr) -> exp.Expr:
    """The date of a moment."""
    value = _moment(value.this if isinstance(value, exp.TsOrDsToDate) else value)
    if isinstance(value, exp.Literal):
        return _literal(spelled(value.name, "DATE"), "DATE")
    return value if kind_of(value) == "DATE" else _call("DATE", value)


def _literal(text: str, kind: str) -> exp.Expr:
    return with_kind(exp.Literal.string(text), kind)


def _call(name: str, *arguments: exp.Expr, kind: str = "") -> exp.Expr:
    """A call of one of SQLite's functions of dates, and what it makes."""
    kind = kind or {"DATETIME": "TIMESTAMP"}.get(name, name)
    return with_kind(exp.Anonymous(this=name, expressions=list(arguments)), kind)
