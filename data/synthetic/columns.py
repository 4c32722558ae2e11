"""What people call a column, and what a key column calls the row that it leads to.

Reads names as schemas have them (`ordered_at`, `price_eur`, `is_active`, `sku`), gives phrases that can stand
as nouns: "order time", "price in EUR", "product". What is true or false is said by a verb: "are active".
"""

import re
from collections.abc import Collection, Sequence

from data.synthetic.kinds import KEY_WORDS, NAME_WORDS, Kind, Value
from data.synthetic.nouns import PREPOSITIONS, UNCOUNTED, a, is_plural, singular

MONEY = {"aud", "brl", "cad", "chf", "cny", "czk", "dkk", "eur", "gbp", "inr", "jpy", "nok", "pln", "sek", "usd"}
UNITS = {currency: currency.upper() for currency in MONEY} | {
    "kg": "kg", "lb": "pounds", "lbs": "pounds", "oz": "ounces", "mm": "mm", "cm": "cm", "km": "km", "ft": "feet",
    "kmh": "km/h", "mph": "mph", "sqm": "square meters", "ml": "ml", "kw": "kW", "kwh": "kWh", "kb": "KB", "mb": "MB",
    "gb": "GB", "pct": "percent", "percent": "percent", "ms": "milliseconds", "mins": "minutes", "hrs": "hours",
    "cents": "cents", "sec": "seconds", "secs": "seconds",
}  # fmt: skip
# These are units only after some words: "price min" is the lowest price.
LENGTHS = ("altitude", "depth", "distance", "elevation", "height", "length", "width")
TIMES = ("delay", "duration", "length", "runtime", "time")
SHORT_UNITS = {
    "m": ("meters", LENGTHS), "g": ("grams", ("mass", "weight")), "l": ("liters", ("capacity", "volume")),
    "c": ("°C", ("temp", "temperature")), "f": ("°F", ("temp", "temperature")), "h": ("hours", TIMES),
    "min": ("minutes", TIMES), "minutes": ("minutes", TIMES), "seconds": ("seconds", TIMES), "s": ("seconds", TIMES),
    "hours": ("hours", TIMES), "days": ("days", TIMES),
}  # fmt: skip
# What happens at the time in a column.
EVENTS = {
    "accessed": "access", "added": "addition", "approved": "approval", "archived": "archiving", "arrived": "arrival",
    "assigned": "assignment", "booked": "booking", "born": "birth", "bought": "purchase", "canceled": "cancellation",
    "cancelled": "cancellation", "changed": "change", "closed": "closing", "completed": "completion",
    "confirmed": "confirmation", "created": "creation", "deleted": "deletion", "delivered": "delivery",
    "departed": "departure", "died": "death", "discontinued": "discontinuation", "dispatched": "dispatch",
    "ended": "end", "ends": "end", "expired": "expiry", "expires": "expiry", "finished": "finish", "hired": "hiring",
    "inserted": "insertion", "invoiced": "invoice", "issued": "issue", "joined": "joining", "left": "leaving",
    "logged in": "login", "modified": "modification", "opened": "opening", "ordered": "order", "paid": "payment",
    "placed": "placement", "posted": "posting", "published": "publication", "purchased": "purchase",
    "received": "receipt", "refunded": "refund", "registered": "registration", "rejected": "rejection",
    "released": "release", "resolved": "resolution", "returned": "return", "reviewed": "review", "sent": "sending",
    "shipped": "shipping", "signed": "signing", "signed up": "signup", "sold": "sale", "started": "start",
    "starts": "start", "submitted": "submission", "updated": "update", "uploaded": "upload", "verified": "verification",
    "visited": "visit",
}  # fmt: skip
# Who a column like "created by" names.
AGENTS = {
    "approved by": "approver", "assigned to": "assignee", "authored by": "author", "created by": "creator",
    "designed by": "designer", "directed by": "director", "eliminated by": "eliminator", "handled by": "handler", "invited by": "inviter", "managed by": "manager", "modified by": "last editor",
    "owned by": "owner", "posted by": "poster", "produced by": "producer", "published by": "publisher", "referred by": "referrer", "reported by": "reporter",
    "reviewed by": "reviewer", "sold by": "seller", "updated by": "last editor", "written by": "writer",
}  # fmt: skip
# Columns that tell rows apart without being called a key.
OWN_KEYS = {
    "asin", "barcode", "ean", "email", "iata", "iban", "icao", "isbn", "iso", "login", "sku", "slug", "symbol", "ticker",
    "upc", "username", "vin",
}  # fmt: skip
SECONDS = 100_000_000  # times that are counted in seconds are of more than these
CLOCK = re.compile(r"\d\d:\d\d")
MIDNIGHT = re.compile(r"[ T]00:00(:00(\.0+)?)?")
TRUE, FALSE = {"1", "t", "y", "yes", "true"}, {"0", "f", "n", "no", "false"}
BE = {"is": ("is", "are"), "are": ("is", "are"), "was": ("was", "were"), "were": ("was", "were")}
HAVE = {"has", "have", "had"}
ADJECTIVES = {
    "active", "available", "complete", "default", "free", "hidden", "inactive", "internal", "local", "open", "optional",
    "organic", "overdue", "paid", "premium", "primary", "private", "public", "remote", "returnable", "taxable", "valid",
    "vegan", "vegetarian", "visible", "void",
}  # fmt: skip
ENDS = {"min": "minimum", "max": "maximum", "avg": "average"}
BARE = {"access", "insurance", "parking", "wifi"}


def with_unit(phrase: str) -> str:
    """ "price eur" -> "price in EUR", "price min" -> "minimum price"."""
    *head, unit = phrase.split(" ")
    if not head or {"in", "per"} & set(head):
        return phrase
    short, after = SHORT_UNITS.get(unit.lower(), ("", ()))
    said = UNITS.get(unit.lower()) or (short if head[-1].lower() in after else "")
    if said.startswith("°"):
        head[-1] = "temperature"
    if said:
        return f"{' '.join(head)} in {said}"
    return f"{ENDS[unit]} {' '.join(head)}" if unit in ENDS else phrase


def as_noun(phrase: str, kind: Kind, values: Sequence[Value], taken: Collection[str]) -> tuple[str, Kind]:
    """ "ordered at" -> "order time", "created by" -> "creator", where these are none of the phrases `taken`.

    With it comes the kind, which is "other" for times that are kept as mere seconds.
    """
    if phrase in AGENTS and AGENTS[phrase] not in taken:
        return AGENTS[phrase], kind
    head, _, last = phrase.rpartition(" ")
    in_seconds = bool(values) and all(isinstance(value, int | float) and value >= SECONDS for value in values)
    if last not in ("at", "on") or not (kind == "date" or head in EVENTS or in_seconds):
        return phrase, kind
    texts = [value for value in values if isinstance(value, str)]
    kind = "other" if in_seconds else kind
    has_clock = any(CLOCK.search(text) and not MIDNIGHT.search(text) for text in texts) or not texts
    noun = "time" if has_clock else "date"
    is_done = bool(re.fullmatch(r"\w{2,}[^e\W]ed", head.split(" ")[0]))
    # "times shipped" would count them.
    options = (f"{EVENTS.get(head, head)} {noun}" if head in EVENTS or not is_done else "", f"date {head}")
    return next((option for option in options if option and option not in taken), phrase), kind


def is_truth(phrase: str, declared: str, values: Sequence[Value]) -> bool:
    """Whether a column of two values says yes and no by its name or type; a mere 0 and 1 may count something."""
    texts = {str(value).lower() for value in values}
    if len(texts) != 2 or not (texts & TRUE and texts & FALSE):
        return False
    parts = phrase.lower().split()
    is_told = declared.upper().startswith("BOOL") or (parts[0] in {*BE, *HAVE, "can"} and len(parts) > 1)
    return is_told or parts[-1] in ("flag", "yn") or _says_how(phrase)


def is_true(value: Value) -> bool:
    return str(value).lower() in TRUE


def _says_how(phrase: str) -> bool:
    return phrase in ADJECTIVES or bool(re.fullmatch(r"(\w{2,} )?\w{2,}[^e\W]ed", phrase))


def _stem(phrase: str) -> str:
    return phrase.removesuffix(" flag").removesuffix(" yn")


def truth_name(phrase: str) -> str:
    """What a column of yes and no is called: "is active" -> "active status"."""
    first, _, rest = _stem(phrase).partition(" ")
    stem = rest if rest and first in {*BE, *HAVE, "can"} else _stem(phrase)
    before, space, last = stem.rpartition(" ")
    stem = f"{before}{space}{EVENTS.get(last, last)}"  # "cancellation status"
    return stem if stem.endswith("status") else f"{stem} status"


def truth_verb(phrase: str, true: bool, many: bool) -> str:
    """What rows do of which it is true or false: "are active", "does not have a discount"; "" without a verb."""
    stem = _stem(phrase)
    first, _, rest = stem.partition(" ")
    no = "" if true else "not "
    if first in BE and rest:
        return f"{BE[first][many]} {no}{rest}"
    if first == "can" and rest:
        return f"{'can' if true else 'cannot'} {rest}"
    if first in HAVE and rest:
        if _says_how(rest):
            return f"{'have' if many else 'has'} {no}{rest}"
        is_bare = is_plural(rest) or rest.split()[-1] in UNCOUNTED | BARE or rest.endswith("ing")
        thing = rest if is_bare or rest.split()[0] in ("a", "an", "any") else a(rest)
        if true:
            return f"{'have' if many else 'has'} {thing}"
        return f"{'do' if many else 'does'} not have {thing}"
    return f"{BE['is'][many]} {no}{stem}" if _says_how(stem) else ""


def role_of(phrase: str, parent_phrase: str, noun: str, plain: bool) -> str:
    """What a child calls its parent, by the key column's phrase: the parent's noun where the column names none.

    "" where only a preposition is left, and other keys lead to the same parent.
    """
    parts = phrase.split()
    is_same = phrase.lower() == parent_phrase.lower()
    while parts and parts[-1].lower() in KEY_WORDS | NAME_WORDS | OWN_KEYS:
        parts.pop()
    rest = " ".join(parts)
    if rest.lower() in AGENTS:
        return AGENTS[rest.lower()]
    if parts and parts[-1].lower() in PREPOSITIONS:
        return noun if plain else ""
    role = singular(rest) if len("".join(parts)) > 2 and not (is_same and plain) else noun
    # "maker" is as good a name as "car maker"; without a word of its own the parent's is clearer.
    return noun if role in (*noun.split(), "parent") and plain else role
