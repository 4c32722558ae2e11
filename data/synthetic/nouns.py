"""English for identifiers: the words in a name, its plural, an article, a list in a sentence.

Reads names of tables and columns as people write them (`Birth_Year`, `SurfaceArea`, `countrylanguage`),
gives phrases. Only what questions about a database need, so no dictionary.
"""

import re
from collections.abc import Collection, Sequence

# Parts of names that are often written together.
COMMON = {
    "address", "birth", "city", "code", "country", "date", "email", "end", "first", "full", "home", "last", "name",
    "number", "phone", "start", "title", "type", "user", "year",
}  # fmt: skip
IRREGULAR = {
    "child": "children", "foot": "feet", "goose": "geese", "man": "men", "mouse": "mice", "person": "people",
    "tooth": "teeth", "woman": "women", "criterion": "criteria", "analysis": "analyses", "crisis": "crises",
    "thesis": "theses", "basis": "bases", "axis": "axes", "life": "lives", "wife": "wives", "knife": "knives",
    "shelf": "shelves", "half": "halves", "leaf": "leaves", "movie": "movies", "cookie": "cookies", "tie": "ties",
    "bus": "buses", "gas": "gases", "shoe": "shoes", "quiz": "quizzes", "house": "houses", "horse": "horses",
    "cache": "caches", "genre": "genres", "calorie": "calories", "axe": "axes", "zombie": "zombies",
}  # fmt: skip
REGULAR = {plural: single for single, plural in IRREGULAR.items() if single != "axe"}
UNCOUNTED = {
    "aircraft", "data", "equipment", "fish", "headquarters", "information", "means", "merchandise", "music", "news",
    "offspring", "personnel", "racing", "series", "sheep", "software", "species", "staff", "furniture",
}  # fmt: skip
# What follows these belongs to the word before: "date of birth", "doses per day".
PREPOSITIONS = {"of", "per", "in", "for", "from", "to", "at", "by", "with", "on", "since"}
DONE = re.compile(r"\w{2,}[^e\W]ed|held|done|won|lost|made|available|active")
SHORT = {
    "abbrev": "abbreviation", "addr": "address", "amt": "amount", "dept": "department", "desc": "description",
    "dob": "date of birth", "fname": "first name", "lname": "last name", "num": "number", "pct": "percent",
    "qty": "quantity", "yr": "year",
}  # fmt: skip
# Read letter by letter.
LETTERS = {"asin", "ean", "gps", "iata", "iban", "icao", "ip", "isbn", "sku", "ssn", "upc", "url", "vat", "vin"}
VOWELS = "aeiou"
SMALLEST_PART = 3


def words(identifier: str, vocabulary: Collection[str] = ()) -> str:
    """The words of a name, in lower case but for abbreviations; a word may be two of the vocabulary's."""
    text = re.sub(r"[\W_]+", " ", identifier)
    text = re.sub(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    text = re.sub(r"(?<=[^\W\d_]{2})(?=\d)", " ", text)
    parts = [part for word in text.split() for part in _parts(_lower(word), vocabulary)]
    phrase = " ".join(SHORT.get(part, part) for part in parts)
    return re.sub(r"^no of ", "number of ", phrase) or "unnamed"


def _lower(word: str) -> str:
    if word.upper() in ("ID", "IDS"):
        return "ID"
    if word.lower() in LETTERS:
        return word.upper()
    is_short = word.isupper() and 1 < len(word) <= 5 and not set(word.lower()) & {*VOWELS, "y"}
    return word if is_short else word.lower()


def _parts(word: str, vocabulary: Collection[str]) -> list[str]:
    if (word in vocabulary and word not in COMMON) or len(word) < 2 * SMALLEST_PART:
        return [word]
    for cut in range(SMALLEST_PART, len(word) - SMALLEST_PART + 1):
        head, tail = word[:cut], word[cut:]
        known = {*vocabulary, *COMMON}
        if head in known and tail in known:
            return [head, tail]
    return [word]


def _head(phrase: str) -> tuple[str, str, str]:
    """What stands before the noun that carries the number, the noun, what follows it."""
    parts = phrase.split(" ")
    # "date of birth", "date adopted"
    follows = (place for place, part in enumerate(parts) if place and (part in PREPOSITIONS or _is_done(parts, place)))
    end = next(follows, len(parts))
    return " ".join(parts[: end - 1]), parts[end - 1], " ".join(parts[end:])


def _is_done(parts: Sequence[str], place: int) -> bool:
    """Whether a word says what was done to the word before it: "hours played", "date first used"."""
    if parts[place] in ("first", "last") and place + 1 < len(parts):
        place += 1
    return bool(DONE.fullmatch(parts[place].lower()))


def _with_head(phrase: str, change: dict[str, str], rule: "Sequence[tuple[str, str]]") -> str:
    before, noun, after = _head(phrase)
    small = noun.lower()
    if small in UNCOUNTED or DONE.fullmatch(small):
        changed = noun
    elif small in change:
        changed = change[small]
    else:
        pattern, ending = next(((pattern, ending) for pattern, ending in rule if re.search(pattern, small)), ("$", ""))
        changed = re.sub(pattern, ending, noun, count=1, flags=re.IGNORECASE)
    return " ".join(part for part in (before, changed, after) if part)


def plural(phrase: str) -> str:
    """ "birth year" -> "birth years", "date of birth" -> "dates of birth"; a plural stays what it is."""
    if is_plural(phrase):
        return phrase
    rule = [(r"(?<=[^aeiou])y$", "ies"), (r"(s|x|z|ch|sh)$", r"\1es"), (r"$", "s")]
    return _with_head(phrase, IRREGULAR, rule)


def singular(phrase: str) -> str:
    """ "tour stops" -> "tour stop"."""
    rule = [
        (r"(?<=[a-z]{2})ies$", "y"),
        (r"(?<=ss|sh|ch|zz|us)es$|(?<=x)es$|(?<=[^aeiou]o)es$", ""),
        (r"(?<![sui])s$", ""),
        (r"$", ""),
    ]
    return _with_head(phrase, REGULAR, rule)


def is_plural(phrase: str) -> bool:
    return _head(phrase)[1].lower() not in IRREGULAR and singular(phrase) != phrase


def a(phrase: str) -> str:
    """With its article."""
    first = phrase.lower()
    vowel = bool(re.match(r"[aeiou]|hour|heir|honou?r", first)) and not re.match(r"uni(?!n)|us[ae]|eu|one\b", first)
    if phrase[:2].isupper():  # read letter by letter
        vowel = phrase[0] in "AEFHILMNORSX"
    return f"an {phrase}" if vowel else f"a {phrase}"


def listed(phrases: Sequence[str], last: str = "and") -> str:
    """ "a, b and c"."""
    *first, end = phrases
    return f"{', '.join(first)} {last} {end}" if first else end
