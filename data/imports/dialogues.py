"""Questions and answers as people write them down: chat messages, and text with `Q:` and `A:` before them.

Both become plain pairs of texts here; `data/imports/rows.py` and `data/imports/pairs.py` use them. Nothing is written.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import UserError

# The roles of chat formats and those of ShareGPT.
ASKING = ("user", "human")
ANSWERING = ("assistant", "gpt", "model", "chatgpt")
PASSED_OVER = ("system", "developer", "tool", "function", "observation", "function_call")
CALLS = ("tool_calls", "function_call")  # what an assistant asks of a tool is no answer
FENCE = "```"
# A label may be bold, as Markdown writes it.
_ASKS = re.compile(r"\s*(?:\*\*)?(?:q|question)\s*:(?:\*\*)?", re.IGNORECASE)
_ANSWERS = re.compile(r"\s*(?:\*\*)?(?:a|answer|sql)\s*:(?:\*\*)?", re.IGNORECASE)
# The word after an opening fence is a language, unless the query starts there.
_FENCED = re.compile(
    r"```[ \t]*(?:(?!(?:select|with|values)\b)[\w+-]*[ \t]*\n|sql\b)?(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE
)


def unfence(answer: str) -> str:
    """What stands in the first code fence, else the answer as it is."""
    fenced = _FENCED.search(answer)
    return fenced.group(1) if fenced else answer


def turns(messages: object, error: Callable[[str], UserError]) -> list[tuple[str, str]]:
    """The question and the answer of each turn of a chat.

    Messages hold `role` and `content`, or `from` and `value`. Raises what `error` makes of the reason where
    a message is malformed, or questions and answers do not take turns.
    """
    if not isinstance(messages, list) or not messages:
        raise error("holds no messages")
    found: list[tuple[str, str]] = []
    asked: str | None = None
    for number, message in enumerate(messages, start=1):
        if isinstance(message, dict) and any(message.get(call) for call in CALLS):
            continue
        role, text = _message(number, message, error)
        if role in PASSED_OVER:
            continue
        if (role in ASKING) == (asked is not None):
            raise error(f"message {number} ({role}) is out of turn; an answer follows each question")
        if asked is None:
            asked = text
        else:
            found.append((asked, text))
            asked = None
    if asked is not None or not found:
        raise error("the last question has no answer" if asked is not None else "holds no question with an answer")
    return found


def _message(number: int, message: object, error: Callable[[str], UserError]) -> tuple[str, str]:
    cells = message if isinstance(message, dict) else {}
    role = cells.get("role", cells.get("from"))
    content = cells.get("content", cells.get("value"))
    if isinstance(content, list):  # parts, as vision models take them
        content = "".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    if isinstance(role, str) and role.lower() in PASSED_OVER:
        return role.lower(), ""
    if not isinstance(role, str) or not isinstance(content, str):
        raise error(f"message {number} lacks a role with a content, or a from with a value")
    if role.lower() not in ASKING + ANSWERING:
        raise error(
            f"message {number} has the role {role!r}, which is none of {', '.join(ASKING + ANSWERING + PASSED_OVER)}"
        )
    return role.lower(), content


def transcript(path: Path, text: str) -> list[tuple[int, str, str]]:
    """Line, question and answer of each pair in `Q:` and `A:` text; either may span lines.

    An empty line ends a pair, but not inside a code fence. Between pairs there may be headings and rules,
    as in Markdown. Raises UserError naming file and line.
    """
    asked: list[_Asked] = []
    last: _Asked | None = None  # the pair to which a line may still belong
    fenced = False
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if last and fenced:
            last.answer.append(line)
        elif asks := _ASKS.match(line):
            last = _Asked(number, [line[asks.end() :]])
            asked.append(last)
        elif answers := _ANSWERS.match(line):
            if last is None or last.answer:
                raise UserError(f"{path}, row {number}: an answer without a `Q:` of its own")
            last.answer.append(line[answers.end() :])
        elif not line.strip():
            last = None if last and any(part.strip() for part in last.answer) else last
        elif last:
            (last.answer or last.question).append(line)
        elif not line.startswith(("#", "---")):
            raise UserError(f"{path}, row {number}: belongs to no pair; a pair is `Q: ...`, then `A: SELECT ...`")
        fenced ^= last is not None and bool(last.answer) and line.count(FENCE) % 2 == 1
    return [pair.texts(path) for pair in asked]


@dataclass(frozen=True)
class _Asked:
    """A question by its lines, which begin at `line`, and the lines of its answer."""

    line: int
    question: list[str]
    answer: list[str] = field(default_factory=list)

    def texts(self, path: Path) -> tuple[int, str, str]:
        if not self.answer:
            raise UserError(f"{path}, row {self.line}: a question without an `A:`")
        return self.line, "\n".join(self.question), "\n".join(self.answer)
