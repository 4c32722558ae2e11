"""The form of a query or a question, without what it is about.

Reads texts, returns skeletons: names and literals masked, keywords and structure kept. Two texts of one form over
different databases have the same skeleton, so that examples can be chosen, and questions grouped, by form.
"""

import re
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from itertools import pairwise

from prompts.words import name_words, stem

NAME, VALUE = "_", "?"
QUESTION_VALUE = "#"  # where `?` ends a sentence
# Characters that a query or a question is cut to: Spider's longest have 600 and 250, and input may be hostile.
LONGEST = 10_000
LONGEST_QUESTION = 4_000
REMEMBERED = 1 << 14

_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|/\*.*?(?:\*/|$))
      | (?P<string>'(?:[^']|'')*'?)
      | (?P<quoted>"(?:[^"]|"")*"?|`[^`]*`?|\[[^\]]*\]?)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|0x[0-9a-f]+|\?\d*|[:@$]\w+)
      | (?P<word>\w+)
      | (?P<sign><>|!=|==|<=|>=|\|\||<<|>>|->>?|.)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEYWORDS = _words(
    """ALL AND AS ASC BETWEEN BY CASE COLLATE CROSS DELETE DESC DISTINCT ELSE END ESCAPE EXCEPT EXISTS FROM FULL GLOB
    GROUP HAVING IN INNER INSERT INTERSECT INTO IS JOIN LEFT LIKE LIMIT MATERIALIZED NATURAL NOT NULL OFFSET ON OR ORDER
    OUTER OVER PARTITION RECURSIVE RIGHT SELECT SET THEN UNION UPDATE USING VALUES WHEN WHERE WITH"""
)
_SAME_SIGN = {"<>": "!=", "==": "="}
_COMPARES = _words("= != < > <= >= LIKE GLOB BETWEEN")
# Words that say nothing: `INNER JOIN` is a `JOIN`, `LEFT OUTER JOIN` a `LEFT JOIN`, ascending is the usual order.
_IDLE = frozenset(("INNER", "OUTER", "ASC"))


def sql_skeleton(query: str) -> str:
    """The query with names and literals masked, blanks, case, quotes and aliases made alike.

    Works on tokens alone, so that a query that cannot be parsed has a skeleton too: `SELECT T1.name FROM Singer AS T1
    WHERE T1.age > 5` becomes `SELECT _ FROM _ WHERE _ > ?`. What lies beyond LONGEST characters is not read.
    """
    return _sql_skeleton(query[:LONGEST])


@lru_cache(REMEMBERED)
def _sql_skeleton(query: str) -> str:
    kept: list[str] = []
    opened: list[str] = []  # what stands before each bracket that is open
    alias_due = False
    tokens = [(str(found.lastgroup), found[0]) for found in _TOKEN.finditer(query) if found.lastgroup != "blank"]
    for place, (kind, text) in enumerate(tokens):
        before = tokens[place - 1][1] if place else ""
        following = tokens[place + 1][1] if place + 1 < len(tokens) else ""
        last = kept[-1] if kept else ""
        word = text.upper() if kind == "word" else ""
        if kind == "quoted" and text[0] == '"' and following != "." and _is_value(kept, opened):
            kind = "string"  # SQLite reads double quotes as text where no column has that name
        if kind == "sign":
            if text == "(":
                opened.append(last)
            elif text == ")" and opened:
                opened.pop()
            if text == "." and last == NAME:  # T1.name: the name alone
                kept.pop()
            elif text not in (".", ";"):
                kept.append(_SAME_SIGN.get(text, text))
            alias_due = False
        elif kind in ("string", "number"):
            if last == "-" and kept[-2:-1] not in ([NAME], [VALUE], [")"]):
                kept.pop()  # the sign of a number
            if kept[-2:] == [VALUE, ","] and opened and opened[-1] == "IN":
                kept.pop()  # a list of values counts as one
            elif not alias_due:
                kept.append(VALUE)
            alias_due = False
        elif word == "AS" and "CAST" not in opened[-1:] and not _begins_query(following):
            alias_due = True
        elif alias_due:
            alias_due = False
        elif word == "AS" or (word in _KEYWORDS and "." not in (before, following)):
            if word not in _IDLE:
                kept.append(word)
        elif (word and last == "AS") or (following == "(" and last not in ("INTO", "WITH", "RECURSIVE", "FROM")):
            kept.append(word or NAME)  # a type, a function
        elif last not in (NAME, VALUE, ")", "END", "NULL"):
            kept.append(NAME)  # after those it would be an alias
    return " ".join(kept)


def _is_value(kept: list[str], opened: list[str]) -> bool:
    """Whether what comes next is compared with, and so a literal rather than a name."""
    last = kept[-1] if kept else ""
    return (
        last in _COMPARES
        or (last in ("(", ",") and opened[-1:] == ["IN"])
        or (last == "AND" and kept[-3:-1] == ["BETWEEN", VALUE])
    )


def _begins_query(following: str) -> bool:
    """Whether `AS` comes before the text of a `WITH` table."""
    return following == "(" or following.upper() in ("MATERIALIZED", "NOT")


@lru_cache(1 << 17)
def likeness(one: str, other: str) -> float:
    """How alike two SQL skeletons are, 0 to 1: what they share of their words and pairs of words (Jaccard)."""
    parts, others = _parts(one), _parts(other)
    shared = len(parts & others)
    return shared / (len(parts) + len(others) - shared)


@lru_cache(REMEMBERED)
def _parts(skeleton: str) -> frozenset[tuple[str, int]]:
    """Words and pairs of words, the n-th of a kind numbered n: as sets these share what multisets would."""
    words = skeleton.split()
    seen: Counter[str] = Counter()
    parts = []
    for part in words + [f"{word} {following}" for word, following in pairwise(["", *words, ""])]:
        seen[part] += 1
        parts.append((part, seen[part]))
    return frozenset(parts)


_QUESTION = re.compile(
    r"""(?P<quoted>"[^"]*"|“[^”]*”|‘[^’]*’|(?<!\w)'(?:[^']|'(?=\w))*'(?!\w))
      | (?P<word>\w+(?:[.,'’-]\w+)*)
      | (?P<sign>[^\s\w])""",
    re.VERBOSE,
)
_TABLE = re.compile(r'^Table ("(?:[^"]|"")*"|\w+) contains columns such as (.*)$', re.MULTILINE)
_COLUMN = re.compile(r'(?:^|, )("(?:[^"]|"")*"|\w+)(?=: |, |$)')
# Words that names may hold, and that tell the form of a question all the same.
_FORM = _words(
    """a about after all an and any are as at average avg be been before below between both by count did different do
    does each every few first for from had has have how id in is it its last least less list many max maximum mean min
    minimum more most much no not number of on one only or other out over per show sum than that the their them there
    to total under was were what when where which who whose with without"""
)


def question_skeleton(question: str, names: Collection[str] = ()) -> str:
    """The question with its schema's words masked as `_`, and as `#` numbers, quoted texts and proper names.

    `names` are of tables and columns; each is split at `_` and capitals, and matches in singular and plural. A proper
    name is a word with a capital that does not begin a sentence.
    """
    stems = _stems(frozenset(names))
    kept: list[str] = []
    begins = True
    for match in _QUESTION.finditer(question[:LONGEST_QUESTION]):
        text = match[0]
        if match.lastgroup == "quoted" or text[0].isdigit():
            mask = QUESTION_VALUE
        elif any(stem(part.lower()) in stems for part in (text, *re.split(r"[_'’-]", text))):
            mask = NAME
        elif text[0].isupper() and not begins and text.lower() not in _FORM and text != "I":
            mask = QUESTION_VALUE
        else:
            mask = text.lower()
        if not kept or mask != kept[-1] or mask not in (NAME, QUESTION_VALUE):  # some words of one name count as one
            kept.append(mask)
        begins = text in (".", "?", "!", ":")
    return " ".join(kept)


@lru_cache(1024)
def _stems(names: frozenset[str]) -> frozenset[str]:
    parts = {part for name in names for part in [*name_words(name), name.lower()]}
    return frozenset(stem(part) for part in parts - _FORM if len(part) > 1 or not part.isascii())


@lru_cache(1024)
def schema_names(context: str) -> frozenset[str]:
    """The names of tables and columns that a schema in sentences tells of."""
    names: set[str] = set()
    for table, columns in _TABLE.findall(context):
        names |= {table, *_COLUMN.findall(columns)}
    return frozenset(_unquoted(name) for name in names if not name.isdigit())


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
