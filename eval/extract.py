"""The SQL in what a model wrote.

One function for scoring and for answering, so that a score says what a user will see. It cuts away
what surrounds the query; it never repairs the query itself.
"""

import re

_FENCE = re.compile(r"```[ \t]*(?:sql|sqlite)?[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
# WITH and VALUES are English words too: they begin a query only where SQL goes on.
_START = re.compile(
    r"""\b(?:SELECT\b | WITH\s+(?:RECURSIVE\s+)?[\w"`\[\]]+\s*(?:\([^)]*\)\s*)?AS\b | VALUES\s*\()""",
    re.IGNORECASE | re.VERBOSE,
)
_LEAD = re.compile(r"^\s*(?:sql(?:ite)?\s*(?:query)?\s*:|answer\s*:|response\s*:)\s*", re.IGNORECASE)
_HEADING = re.compile(r"\n\s*(?:#{1,6} |\*\*|Explanation\b|Note\b)")
# What a semicolon or a line break does not end or part: quoted text and comments.
_PIECE = re.compile(
    r"""(?P<kept>'(?:[^']|'')*'? | "(?:[^"]|"")*"? | `[^`]*`? | --[^\n]*\n? | /\*.*?(?:\*/|$))
    | (?P<blank>\s+) | (?P<end>;) | [^'"`\s;/-]+ | .""",
    re.VERBOSE | re.DOTALL,
)


def extract_sql(text: str) -> str:
    """The first SQL statement in the text, without its semicolon; "" if there is none.

    Takes a fenced block if there is one, drops words before SELECT or WITH, and stops at a semicolon, a
    blank line or a heading. White space is folded, but not inside quotes and comments. Text that holds
    no query comes back as it is, so that its failure is seen as a failure of syntax.
    """
    fenced = _FENCE.search(text)
    inside = fenced.group(1) if fenced else text
    if fenced and not inside.strip():  # a closing fence that nothing opened
        inside = text[: fenced.start()]
    body = _LEAD.sub("", inside)
    start = _START.search(body)
    if start and not body[: start.start()].strip().startswith("("):
        body = body[start.start() :]
    body = body.split("\n\n")[0]
    heading = _HEADING.search(body)
    return _first_statement(body[: heading.start()] if heading else body)


def is_complete(text: str) -> bool:
    """Whether a text that begins with a query, or with a fence, holds all of it: a semicolon, a blank line, a closed fence."""
    fenced = _FENCE.match(text.lstrip())
    if fenced:
        return text.lstrip().count("```") > 1
    body = _LEAD.sub("", text).lstrip()
    if not _START.match(body):
        return False
    ends = (
        piece.lastgroup == "end" or (piece.group("blank") and "\n\n" in piece.group())
        for piece in _PIECE.finditer(body)
    )
    return any(ends)


def _first_statement(sql: str) -> str:
    kept: list[str] = []
    for piece in _PIECE.finditer(sql):
        if piece.lastgroup == "end":
            break
        kept.append(" " if piece.lastgroup == "blank" else piece.group())
    return "".join(kept).strip()
