"""The SQL in what a model wrote.

One function for scoring and for answering, so that a score says what a user will see. It cuts away
what surrounds the query; it never repairs the query itself.
"""

import re

_FENCE = re.compile(r"```[ \t]*(?:sql|sqlite)?[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)
_START = re.compile(r"\b(?:SELECT|WITH|VALUES)\b", re.IGNORECASE)
_LEAD = re.compile(r"^\s*(?:sql(?:ite)?\s*(?:query)?\s*:|answer\s*:|response\s*:)\s*", re.IGNORECASE)
_HEADING = re.compile(r"\n\s*(?:#{1,6} |\*\*|Explanation\b|Note\b)")


def extract_sql(text: str) -> str:
    """The first SQL statement in the text, on one line, without its semicolon; "" if there is none.

    Takes a fenced block if there is one, drops words before SELECT or WITH, and stops at a semicolon
    outside quotes, a blank line or a heading. Text that holds no query comes back as it is, so that
    its failure is seen as a failure of syntax.
    """
    fenced = _FENCE.search(text)
    body = _LEAD.sub("", fenced.group(1) if fenced else text)
    start = _START.search(body)
    if start and not body[: start.start()].strip().startswith("("):
        body = body[start.start() :]
    body = body.split("\n\n")[0]
    heading = _HEADING.search(body)
    return _first_statement(body[: heading.start()] if heading else body)


def _first_statement(sql: str) -> str:
    quote = ""
    for place, character in enumerate(sql):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote = character
        elif character == ";":
            sql = sql[:place]
            break
    # A line comment would swallow what follows it on one line.
    return sql.strip() if "--" in sql else " ".join(sql.split())
