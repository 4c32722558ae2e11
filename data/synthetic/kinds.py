"""What kind of thing a column holds: an id, a name, a year, a measure.

Guessed from its name and values, so that ids are not added up and years not averaged.
"""

import re
from collections.abc import Sequence
from typing import Literal

Kind = Literal["key", "name", "category", "text", "number", "rank", "year", "date", "flag", "code", "other"]
Value = int | float | str

LONGEST_READ = 200  # characters of a text
MOST_GROUPS = 60
FLAGS = {"0", "1", "t", "f", "y", "n", "yes", "no", "true", "false"}
KEY_WORDS = {"id", "ids", "code", "key", "uuid", "guid", "number", "no", "nr"}
CODE_WORDS = {
    "asin", "barcode", "code", "ean", "email", "fax", "guid", "hash", "iata", "iban", "icao", "image", "ip", "isbn", "key",
    "link", "mobile", "password", "path", "phone", "photo", "picture", "postal", "postcode", "sku", "ssn", "telephone",
    "token", "upc", "url", "uuid", "vin", "website", "zip", "zipcode",
}  # fmt: skip
NAME_WORDS = {"name", "title", "nickname", "label"}
YEAR_WORDS = {"year", "years", "yr", "founded", "built", "opened", "established", "season", "elected", "since"}
RANK_WORDS = {"rank", "ranking", "position", "place", "latitude", "longitude", "level", "floor", "order"}
# Columns called this can be shown; "the average average" cannot be asked for.
BARE_WORDS = {"average", "avg", "highest", "lowest", "maximum", "minimum", "max", "min", "total", "sum", "count"}
MOSTLY = 0.8
NUMERIC = re.compile(r"[-+\d.,:/ ()%]*")
DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?")


def last_word(phrase: str) -> str:
    return phrase.lower().rsplit(" ", 1)[-1]


def is_few(distinct: int, rows: int) -> bool:
    """Whether rows share values enough to be told by them in groups."""
    return 2 <= distinct <= MOST_GROUPS and 2 * distinct <= rows


def kind_of(phrase: str, storages: set[str], values: Sequence[Value], rows: int) -> Kind:
    """The kind of a column that is no key. `storages`: SQLite's classes in it; `values`: its distinct ones."""
    told = set(phrase.lower().split())
    if not values or storages not in ({"text"}, {"integer"}, {"real"}, {"integer", "real"}):
        return "other"
    if len(values) <= 2 and {str(value).lower() for value in values} <= FLAGS:
        return "flag"
    if told & YEAR_WORDS and all(map(_is_year, values)):
        return "year"
    if told & CODE_WORDS or (last_word(phrase) in KEY_WORDS and len(told) > 1):
        return "code"
    if told <= BARE_WORDS:
        return "other"
    texts = [value for value in values if isinstance(value, str)]
    if not texts:
        return "rank" if last_word(phrase) in RANK_WORDS else "number"
    return _kind_of_text(phrase, texts, rows)


def _is_year(value: Value) -> bool:
    # Texts compare as numbers only where they are equally long.
    return bool(re.fullmatch(r"\d{4}" if isinstance(value, str) else r"-?\d{3,4}", str(value)))


def _kind_of_text(phrase: str, texts: Sequence[str], rows: int) -> Kind:
    if all(DATE.fullmatch(text) for text in texts):
        return "date"
    # Numbers kept as text do not compare as numbers.
    if sum(bool(NUMERIC.fullmatch(text)) for text in texts) >= MOSTLY * len(texts):
        return "code"
    if max(map(len, texts)) >= LONGEST_READ:
        return "other"
    if is_few(len(texts), rows):
        return "category"
    return "name" if last_word(phrase) in NAME_WORDS else "text"
