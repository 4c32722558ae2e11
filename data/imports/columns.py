"""What the texts of one column of a spreadsheet are: numbers, dates, truth values, or no more than texts.

A column is converted where every text of it can be read in one way alone, whatever the country; else it stays text,
and a note says so where it looks like more. Nothing is read or written here.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial

Value = int | float | str | None

# Words for nothing, among numbers and dates.
NULLS = {"null", "n/a", "#n/a", "na", "nan", "none", "nil", "-", "--", "\\n"}
TRUTHS = {"true": 1, "false": 0}
# With a leading zero or a plus it is a code or a telephone number.
INTEGER = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)
REAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
CODE = re.compile(r"\+\d.*|(?:[A-Z]{3}[- ]?)?0\d+", re.ASCII)
# Other letters before or after digits make a code, as SKU-20 or 12ABC.
CURRENCY = (
    "AED|ARS|AUD|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EGP|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|MYR|NGN|NOK|NZD|PHP|PKR"
    "|PLN|RON|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
NUMBER_LIKE = re.compile(
    rf"(?:(?:[$€£]|(?:{CURRENCY})\b) ?)?[-+]?(?:[$€£] ?)?"
    r"(?:\d+|\d{1,3}(?:[.,'’ \xa0\u202f]\d{3})+)(?:[.,]\d+)?(?:[eE][+-]?\d+)?"
    rf"(?: ?(?:[$€£%]|{CURRENCY}))?",
    re.ASCII,
)
TIME = r" (?P<time>(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?)"
DATE_LIKE = re.compile(
    r"(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](?:\d{4}|\d\d))(?:,?[T ]\d\d?:\d\d(?::\d\d)?(?: ?[AaPp][Mm])?)?",
    re.ASCII,
)
DATES = ("YEAR-MONTH-DAY", "YEAR/MONTH/DAY", "DAY.MONTH.YEAR", "DAY/MONTH/YEAR", "MONTH/DAY/YEAR", "DAY-MONTH-YEAR", "MONTH-DAY-YEAR")  # fmt: skip
MOSTLY = 0.9  # of a column's texts that are numbers, for the others to be told
UNSEEN = Decimal("1e-10")
GIVEN_UP = 1_000  # texts after which a column that is none of all this is looked at no more
SHOWN = 40


@dataclass(frozen=True)
class Reading:
    """A way to read texts: the type that they make, and the value of one, or None if it is no such text.

    Where two of another `convention` are left, a column can be read in more than one way.
    """

    kind: str
    convention: str
    value: Callable[[str], Value]


def is_exact(text: str) -> bool:
    """Whether a floating-point number keeps the digits of a number, but for those past the tenth decimal."""
    if len(text) <= 15 and "e" not in text.lower():
        return True
    number, kept = Decimal(text), Decimal(float(text))
    if not kept.is_finite() or bool(number) != bool(kept):
        return False
    last = Decimal((0, (1,), int(number.as_tuple().exponent)))
    return abs(number - kept) <= max(last / 2, UNSEEN)


def _integer(text: str) -> Value:
    return int(text) if len(text) < 21 and INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63 else None


def _real(text: str) -> Value:
    return float(text) if REAL.fullmatch(text) and is_exact(text) else None


def _separated(whole: re.Pattern[str], groups: str, decimal: str, text: str) -> Value:
    """A number with or without a mark between thousands; with `decimal` before decimals, if there may be any."""
    before, mark, after = text.partition(decimal) if decimal else (text, "", "")
    if not whole.fullmatch(before) or (mark and not (after.isascii() and after.isdigit())):
        return None
    plain = before.replace(groups, "")
    return _real(f"{plain}.{after}" if mark else plain) if decimal else _integer(plain)


def _date(pattern: re.Pattern[str], text: str) -> Value:
    found = pattern.fullmatch(text)
    if found is None:
        return None
    try:
        day = date(int(found["year"]), int(found["month"]), int(found["day"])).isoformat()
    except ValueError:
        return None
    return f"{day} {found['time']}" if "time" in pattern.groupindex else day


def _separating(groups: str, decimal: str) -> Iterator[Reading]:
    whole = re.compile(rf"-?(?:0|[1-9]\d*|[1-9]\d{{0,2}}(?:{re.escape(groups)}\d{{3}})+)", re.ASCII)
    yield Reading("INTEGER", groups, partial(_separated, whole, groups, ""))
    yield Reading("REAL", groups, partial(_separated, whole, groups, decimal))


def _dating(form: str) -> Iterator[Reading]:
    pattern = re.escape(form).replace("YEAR", r"(?P<year>\d{4})")
    # In the standard's form each part has its two digits.
    digits = r"\d\d" if form == DATES[0] else r"\d\d?"
    pattern = pattern.replace("MONTH", f"(?P<month>{digits})").replace("DAY", f"(?P<day>{digits})")
    yield Reading("DATE", form, partial(_date, re.compile(pattern, re.ASCII)))
    yield Reading("TIMESTAMP", form, partial(_date, re.compile(pattern + TIME, re.ASCII)))


PLAIN = ""
TEXT = Reading("TEXT", PLAIN, str)
# The narrowest type of each convention goes first, and what needs no convention before all.
READINGS = (
    Reading("INTEGER", PLAIN, _integer),
    Reading("REAL", PLAIN, _real),
    *_separating(",", "."),
    *_separating(".", ","),
    Reading("BOOLEAN", PLAIN, lambda text: TRUTHS.get(text.lower())),
    *(reading for form in DATES for reading in _dating(form)),
)


class Column:
    """The texts of one column, each of which is to be seen; then how they are to be read, and what to tell of it."""

    def __init__(self) -> None:
        self._readings = list(READINGS)
        self._seen = self._numbers = self._dates = 0
        self._is_coded = False
        self._nulls: Counter[str] = Counter()
        self._odd: tuple[int, str] | None = None  # the first text that is no plain number
        self._other: tuple[int, str] | None = None  # the first one that does not look like a number at all

    def see(self, row: int, text: str) -> None:
        """One text without blanks at its ends, not empty."""
        if text.lower() in NULLS:
            self._nulls[text] += 1
            return
        if not self._readings and self._seen > GIVEN_UP and self._numbers + self._dates < MOSTLY * self._seen:
            return
        self._seen += 1
        self._readings = [reading for reading in self._readings if reading.value(text) is not None]
        if self._odd is None and _real(text) is None:
            self._odd = (row, text)
        self._is_coded = self._is_coded or CODE.fullmatch(text) is not None
        self._dates += DATE_LIKE.fullmatch(text) is not None
        if NUMBER_LIKE.fullmatch(text):
            self._numbers += 1
        elif self._other is None:
            self._other = (row, text)

    def reading(self) -> tuple[Reading, str]:
        """How to read the column, and a note; "" where there is nothing to tell."""
        chosen = next(iter(self._readings), None)
        conventions = {reading.convention for reading in self._readings}
        if not self._seen or chosen is None or (chosen.convention != PLAIN and len(conventions) > 1):
            return TEXT, self._why_text()
        notes = []
        if self._odd and (value := str(chosen.value(self._odd[1]))) != self._odd[1]:
            notes.append(f"{_shown(self._odd[1])} is read as {value}")
        elif chosen.kind == "REAL" and "." in conventions:
            notes.append("points are read as decimal points")  # not as marks between thousands, which they may be
        if self._nulls:
            notes.append(f"{', '.join(map(_shown, self._nulls))} read as NULL ({self._nulls.total()} times)")
        return chosen, "; ".join(notes)

    def _why_text(self) -> str:
        """What to say of a column that stays text; "" of one that looks like nothing else."""
        if not self._seen or self._odd is None or self._is_coded:
            return ""
        row, text = self._odd
        if self._numbers == self._seen:
            is_long = REAL.fullmatch(text) is not None
            what = "looks like numbers" + (" of more digits than fit" if is_long else " with separators or units")
        elif self._dates == self._seen:
            what = "looks like dates, but in no one order of day and month that is sure"
        elif self._other and self._numbers >= MOSTLY * self._seen:
            what, (row, text) = "holds numbers and other texts", self._other
        else:
            return ""
        return f"{what}, kept as text (first: row {row}, {_shown(text)})"


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")
