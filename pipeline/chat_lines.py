"""Where the chat's lines come from: a terminal with editing, history and completion, or a pipe.

Reads the keyboard or standard input; writes the history of what was typed into the user's state folder.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from data.errors import UserError
from data.imports.building import quoted
from data.schema import Schema
from pipeline.console import console, say

HISTORY = Path("loraql") / "chat_history"
_WORD = re.compile(r"""[\w.]*\Z""")  # that the cursor stands behind
_PLAIN = re.compile(r"[A-Za-z_]\w*")
_COMMAND = re.compile(r"/(?P<name>\S*)(?P<rest>\s.*)?", re.DOTALL)


class Reader(Protocol):
    """Gives what the user types."""

    def line(self) -> str:
        """The next line. Raises EOFError where there are no more, KeyboardInterrupt on Ctrl-C."""

    def edit(self, text: str) -> str:
        """The text as the user changed it. Raises UserError where nothing can be edited."""

    def agrees(self, question: str) -> bool:
        """Whether the user says yes."""


class PlainReader:
    """Lines of a pipe or a file. Each is shown behind the prompt, so that the output reads as a conversation."""

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        reconfigure = getattr(sys.stdin, "reconfigure", None)
        if reconfigure:  # not where a test stands in for it
            reconfigure(errors="replace")

    def line(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        if line.strip():
            say(f"{self._prompt}{line.strip()}")
        return line

    def edit(self, text: str) -> str:
        raise UserError("/edit needs a terminal; /sql SELECT ... runs SQL from here")

    def agrees(self, question: str) -> bool:
        say(f"{question} no: this is no terminal")
        return False


class TerminalReader:
    """A line editor: history with the arrows and Ctrl-R, completion with Tab."""

    def __init__(self, prompt: str, completions: "Completions") -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import Completer, Completion
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.history import FileHistory, History, InMemoryHistory

        class _Completer(Completer):
            def get_completions(self, document: Any, _: Any) -> Iterator[Completion]:
                for text, length, meaning in completions(document.text_before_cursor):
                    yield Completion(text, start_position=-length, display_meta=meaning)

        file = _history_file()
        history: History = FileHistory(file) if file else InMemoryHistory()
        self._prompt = prompt
        self._session: PromptSession[str] = PromptSession(
            history=history,
            completer=_Completer(),
            # A list that pops up under each word of a question would be in the way.
            complete_while_typing=Condition(lambda: self._session.default_buffer.text.startswith("/")),
            complete_in_thread=False,
        )
        self._editor: PromptSession[str] = PromptSession(
            completer=_Completer(), complete_while_typing=False, multiline=False
        )

    def line(self) -> str:
        try:
            return self._session.prompt(self._prompt)
        except KeyboardInterrupt:
            if self._session.default_buffer.text:  # only what was typed is dropped
                return ""
            raise

    def edit(self, text: str) -> str:
        return self._editor.prompt("sql> ", default=text)

    def agrees(self, question: str) -> bool:
        return self._editor.prompt(f"{question} (y/n) ").strip().lower() in ("y", "yes")


class Completions:
    """What may come next, for the text before the cursor: commands, tables, columns, settings, files."""

    def __init__(self, schema: Schema, dialect: str, commands: Mapping[str, str], settings: Mapping[str, str]) -> None:
        self._schema, self._commands, self._settings = schema, commands, settings
        self._quote: Callable[[str], str] = _backticked if dialect == "mysql" else quoted

    def __call__(self, before: str) -> Iterator[tuple[str, int, str]]:
        """The text, how many of the characters typed it stands for, and what it is."""
        command = _COMMAND.fullmatch(before)
        if command and command["rest"] is None:
            named = ((f"/{name}", meaning) for name, meaning in self._commands.items())
            yield from _that_begin(before, named)
        elif command and command["name"] == "settings":
            word = before.split()[-1] if not before[-1].isspace() else ""
            yield from _that_begin(word, ((f"{name}=", what) for name, what in self._settings.items()))
        elif command and command["name"] == "schema":
            yield from _that_begin(before.split(None, 1)[1] if before.split()[1:] else "", self._tables())
        elif command and command["name"] == "save":
            yield from _that_begin(before.split(None, 1)[1] if before.split()[1:] else "", _files(before))
        elif not command or command["name"] in ("sql", "fix"):
            yield from self._names(before, sql=bool(command) or before.lstrip()[:6].lower() in ("select", "with"))

    def _names(self, before: str, sql: bool) -> Iterator[tuple[str, int, str]]:
        """Tables and columns; behind `table.` the columns of that table."""
        found = _WORD.search(before)
        word = found.group() if found else ""
        if not word:
            return
        owner, dot, start = word.rpartition(".")
        chosen = [table for table in self._schema.tables if not dot or table.name.lower() == owner.lower()]
        columns = [
            (column.name, f"{table.name}, {column.type.lower()}".rstrip(", "))
            for table in chosen
            for column in table.columns
        ]
        known = dict(reversed([*([] if dot else self._tables()), *columns]))  # the first of a name tells what it is
        spelt = ((self._spelt(name) if sql else name, name, known[name]) for name in sorted(known, key=str.lower))
        for text, name, meaning in spelt:
            if name.lower().startswith(start.lower()) and name != start:
                yield text, len(start), meaning

    def _tables(self) -> list[tuple[str, str]]:
        return [(table.name, "table") for table in self._schema.tables]

    def _spelt(self, name: str) -> str:
        return name if _PLAIN.fullmatch(name) else self._quote(name)


def open_reader(name: str, completions: Completions) -> Reader:
    """A line editor if both ends are a terminal, else plain lines."""
    prompt = f"{name}> "
    if sys.stdin.isatty() and console.is_terminal:
        return TerminalReader(prompt, completions)
    return PlainReader(prompt)


def _backticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _that_begin(
    start: str, named: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]
) -> Iterator[tuple[str, int, str]]:
    for text, meaning in named:
        if text.lower().startswith(start.lower()) and text != start:
            yield text, len(start), meaning


def _files(before: str) -> Iterator[tuple[str, str]]:
    """Files and folders that the word before the cursor may mean."""
    typed = before.split(None, 1)[1] if before.split()[1:] else ""
    folder, _, _ = typed.rpartition("/")
    root = Path(f"{folder}/" if "/" in typed else ".").expanduser()
    try:
        entries = sorted(root.iterdir())
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith("."):
            yield f"{folder}/{entry.name}" if "/" in typed else entry.name, "folder" if entry.is_dir() else "file"


def _history_file() -> Path | None:
    """The history's file, for the user's eyes alone; None, with a note, where it cannot be written."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification says: a path that is not absolute is to be ignored.
    root = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    path = root / HISTORY
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600))
    except OSError as error:
        say(f"note: {path}: no history is kept: {(error.strerror or str(error)).lower()}")
        return None
    return path
