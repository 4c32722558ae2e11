"""The SQL in what a model wrote.

One function for scoring and for answering, so that a score says what a user will see. It cuts away what
surrounds the query, and undoes what an editor or a page made of its characters; it never repairs the query itself.
"""

import re
from itertools import pairwise

# WITH and VALUES are English words too: they begin a query only where SQL goes on.
_QUERY = r"""(?:SELECT\b | WITH\s+(?:RECURSIVE\s+)?[\w"`\[\]]+\s*(?:\([^)]*\)\s*)?AS\b | VALUES\s*\()"""
_START = re.compile(rf"\b{_QUERY}", re.IGNORECASE | re.VERBOSE)
_OPENS = re.compile(rf"[\s(]*{_QUERY}", re.IGNORECASE | re.VERBOSE)
_BULLET = r"(?:[-*•]|\d{1,3}[.)])[ \t]+"
# Where a query is to be expected: on a line of its own, or behind a colon, a mark, or a quote that it is set in.
_EXPECTED = re.compile(
    rf"""(?: ^[ \t]*(?:{_BULLET})? | [:>*`"'“‘„«][ \t]* ) (?P<query>\(*{_QUERY})""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
# Statements that are no query, and may hold one: they are refused as a whole, not run in part.
_OTHER = re.compile(
    r"""\s*(?: INSERT\s+(?:OR\s+\w+\s+)?INTO | REPLACE\s+INTO | DELETE\s+FROM | UPDATE\s+\S+\s+SET
    | (?:CREATE|DROP|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:TEMP\w*\s+|UNIQUE\s+|VIRTUAL\s+|MATERIALIZED\s+)*(?:TABLE|VIEW|INDEX|TRIGGER)
    | EXPLAIN\s+(?:QUERY\s+PLAN\s+)?(?:SELECT|WITH) )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_LEAD = re.compile(
    r"\s*(?:\*\*)?(?:(?:sql(?:ite)?(?:\s+query)?|answer|response)\s*:(?:\*\*)?|sql(?:ite)?[ \t]*\r?\n)\s*",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```+|^[ \t]*~~~+", re.MULTILINE)
_THOUGHT = re.compile(r"\s*<think(?:ing)?>")
_THOUGHT_ENDS = re.compile(r"</think(?:ing)?>")
_CLOSING = {"`": "`", '"': r'(?<!\\)"', "'": r"(?<!\\)'", "“": "[”“]", "„": "[”“]", "‘": "’", "«": "»"}
_COMMENTS = re.compile(r"(?:\s*(?:--[^\n]*\n|/\*.*?\*/))*\s*", re.DOTALL)
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
# Quoted text and comments, which nothing inside ends or parts; what ends a query; white space; the rest.
_PIECE = re.compile(
    rf"""(?P<fence>```|(?<=\n)~~~)
    | (?P<kept>'(?:[^']|'')*'? | "(?:[^"]|"")*"? | `[^`]*`? | \[[^\[\]\n]*(?:\]|\Z) | /\*.*?(?:\*/|\Z))
    | (?P<comment>--[^\n]*)
    | (?P<prose>[^\S\n]*\n\s*(?:\#{{1,6}}[ ] | (?:Explanation|Note|Output|Result|Question)s?\s*: | Note[ ]that\b
        | (?:{_BULLET})?(?:This|The|It)\s+(?:(?:SQL|above)\s+)?(?:query|statement|code|command|returns|selects|retrieves|finds|lists|counts|gives|will)\b
        | {_BULLET}(?i:{_QUERY})))
    | (?P<mark>\*\* | <[|｜][^\s|｜]{{1,40}}[|｜]> | </\w+> | <(?:eos|pad|end_of_turn)>(?=\s*(?:\n|\Z)))
    | (?P<blank>\s+)
    | (?P<entity>&(?:gt|lt|amp|quot|apos|nbsp|\#39|\#34);)
    | (?P<end>;)
    | (?P<typographic>[“”‘’])
    | (?P<escaped>\\(?P<quote>["'])(?:[^"'\\]|\\(?!["']))*\\(?P=quote) | \\[nrt])
    | [^'"`\s;/\\<*&\[“”‘’-]+ | .""",
    re.VERBOSE | re.DOTALL,
)
_ENTITIES = {"gt": ">", "lt": "<", "amp": "&", "quot": '"', "apos": "'", "nbsp": " ", "#39": "'", "#34": '"'}
_STRAIGHT = str.maketrans("“”‘’", "\"\"''")
_JOINS = ("UNION", "ALL", "EXCEPT", "INTERSECT")


def extract_sql(text: str) -> str:
    """The first SQL statement in the text, without its semicolon; "" if there is none.

    What a model thinks aloud is passed over. A text that begins with a query is read from there, else a fenced block
    that holds one, else from where one is to be expected. It ends at a semicolon, a fence, a blank line where it may
    end, a heading or a sentence about it. White space is folded, but not inside quotes and comments. Text that
    holds no query comes back as it is, so that its failure is seen as a failure of syntax.
    """
    return _read(*_find(text))[0]


def is_complete(text: str) -> bool:
    """Whether a text that begins with a query, or with a fence, holds all of it: whatever follows, it stays the query."""
    answer = _answer(text)
    fence = _FENCE.match(answer.lstrip()) is not None
    if not fence and _opening(answer) is None:
        return False
    body, start, fenced = _find(text)
    if fenced != fence:
        return False
    _, ended = _read(body, start, fenced)
    if fenced:
        return bool(ended) and len(_FENCE.findall(answer)) > 1
    return ended in ("end", "blank", "fence")


def _answer(text: str) -> str:
    """What follows on thoughts. A template may have begun them in the prompt, so that only their end is there."""
    thinks = _THOUGHT.match(text)
    if not thinks and (_opening(text) is not None or _FENCE.match(text.lstrip())):
        return text
    ended = _THOUGHT_ENDS.search(text)
    return text[ended.end() :] if ended else text


def _find(text: str) -> tuple[str, int, bool]:
    """What to read, from where on, and whether in a fenced block."""
    body = _answer(text)
    if _THOUGHT.match(body):  # and no more
        return body, 0, False
    start = _opening(body)
    if start is not None:
        return body, start, False
    marks = [(mark.start(), mark.end()) for mark in _FENCE.finditer(body)]
    edges = [(0, 0), *marks, (len(body), len(body))]
    parts = [(begin, body[begin:end]) for (_, begin), (end, _) in pairwise(edges)]
    for begin, part in parts[1::2]:
        start = _start(part)
        if start is not None:
            return body[begin:], start, True  # and not the part: a string may hold what looks like a fence
    for _, part in parts[::2]:
        start = _start(part)
        if start is not None:
            return _unwrapped(part, start), 0, False
    inside = next((part for _, part in parts[1::2] if part.strip()), parts[0][1])
    lead = _LEAD.match(inside)
    return inside, lead.end() if lead else 0, False


def _opening(body: str) -> int | None:
    """Where the statement starts that a text begins with, if it does."""
    lead = _LEAD.match(body)
    comments = _COMMENTS.match(body, lead.end() if lead else 0)
    start = comments.end() if comments else 0
    return start if _OPENS.match(body, start) or _OTHER.match(body, start) else None


def _start(part: str) -> int | None:
    """Where the query starts in a text that may say something before it."""
    opening = _opening(part)
    if opening is not None:
        return opening
    expected = _EXPECTED.search(part)
    if expected:
        return expected.start("query")
    words = list(_START.finditer(part))
    shouted = (word for word in words if word.group()[:4].isupper())  # the rest may be English
    found = next(shouted, words[0] if words else None)
    return found.start() if found else None


def _unwrapped(part: str, start: int) -> str:
    """From the start on; where the query is set in quotes, up to their end."""
    body, closing = part[start:], _CLOSING.get(part[start - 1] if start else "")
    if closing is None:
        return body
    paragraph = _PARAGRAPH.split(body)[0]
    ends = [found.start() for found in re.finditer(closing, paragraph)]
    # Quotes that pair up inside are the query's own, if the last one is the end of all.
    if len(ends) % 2 and not re.search(r"\w", paragraph[ends[-1] :]):
        return body[: ends[-1]]
    return body[: ends[0]] if ends else body


def _read(text: str, start: int, fenced: bool) -> tuple[str, str]:
    """The statement with its white space folded, and what ended it; "" if the text did."""
    kept: list[str] = []
    depth, waits = 0, text[start : start + 4].upper() == "WITH"  # for its SELECT
    for piece in _PIECE.finditer(text, start):
        kind, got = piece.lastgroup or "", piece.group()
        if kind in ("end", "fence", "mark") or (kind == "prose" and not depth):
            return _joined(kept), kind
        parts = kind == "blank" and got.count("\n") > 1 and not depth and not waits
        if parts and (not fenced or _begins_another(text, piece.end(), kept)):
            return _joined(kept), kind
        if kind in ("", "prose"):
            depth += got.count("(") - got.count(")")
            waits = waits and not (depth <= 0 and re.search(r"\b(?:SELECT|VALUES)\b", got, re.IGNORECASE))
        kept.append(_plain(kind, got, kept))
    return _joined(kept), ""


def _plain(kind: str, got: str, kept: list[str]) -> str:
    """A piece as SQL has it."""
    if kind == "blank" or (kind == "prose" and not got.strip()):
        return "\n" if "\n" in got and kept and kept[-1].startswith("--") else " "
    if kind == "prose":
        return _plain("blank", got[: len(got) - len(got.lstrip())], kept) + got.lstrip()
    if kind == "entity":
        return _ENTITIES[got[1:-1]]
    if kind == "typographic":
        return got.translate(_STRAIGHT)
    if kind == "escaped":
        return f"{got[1]}{got[2:-2]}{got[1]}" if len(got) > 2 else " "
    return got


def _joined(kept: list[str]) -> str:
    return "".join(kept).strip()


def _begins_another(text: str, place: int, kept: list[str]) -> bool:
    """Whether a query that starts here is no part of the one before."""
    words = "".join(kept[-4:]).split()
    return bool(_OPENS.match(text, place)) and not (words and words[-1].upper() in _JOINS)
