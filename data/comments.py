"""The comments beside columns in the text of a CREATE TABLE, which SQLite keeps as it was written.

Reads `-- ...` at the end of a column's line and `/* ... */` on it; writes nothing. A comment on a line of
its own may be about anything, and is not taken.
"""

import re
from collections import defaultdict

CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "FOREIGN", "UNIQUE", "CHECK")
# Possessive, and whole even where the end is missing: no text makes these slow.
TOKENS = re.compile(
    r"--(?P<line>[^\n]*+)|/\*(?P<block>.*?)(?:\*/|\Z)|'[^']*+(?:''[^']*+)*+(?:'|\Z)"
    r"|(?P<name>\"[^\"]*+(?:\"\"[^\"]*+)*+(?:\"|\Z)|`[^`]*+(?:`|\Z)|\[[^\]]*+(?:\]|\Z)|\w++)|(?P<mark>[(),])",
    re.DOTALL,
)


def column_comments(statement: str) -> dict[str, list[str]]:
    """The comments by the lower-case name of the column on whose line they stand.

    One that stands after a comma is about the column before it, unless another column starts on that line.
    """
    comments: defaultdict[str, list[str]] = defaultdict(list)
    depth = line = last = 0
    column: str | None = None
    column_line = -1  # where its entry was last seen
    at_start = False  # of an entry
    between: list[str] = []  # comments since the comma, on this line

    def settle() -> None:
        if column is not None and column_line == line:
            comments[column] += between
        between.clear()

    for token in TOKENS.finditer(statement):
        breaks = statement.count("\n", last, token.start())
        if breaks:
            settle()
        line += breaks
        last = token.start()
        comment = token["line"] if token["line"] is not None else token["block"]
        if comment is not None:
            between.append(comment)
            if not at_start:
                settle()
            continue
        if at_start and depth == 1 and token["name"]:
            at_start = False
            is_column = token["name"].upper() not in CONSTRAINTS
            column = _unquoted(token["name"]).lower() if is_column else None
            column_line = line
            settle()
        if depth:
            column_line = line + token[0].count("\n")
        depth += {"(": 1, ")": -1}.get(token["mark"] or "", 0)
        at_start = at_start or (depth == 1 and token["mark"] in ("(", ",") and (token["mark"] == "," or column is None))
    settle()
    return dict(comments)


def _unquoted(name: str) -> str:
    if name[0] == '"':
        return name[1:-1].replace('""', '"')
    return name[1:-1] if name[0] in "`[" else name
