"""chat: a conversation in the terminal with an exported model about a database.

Reads an exported folder and any database, and what the user types; prints SQL and rows. Writes corrections,
rows that the user saves, and the history of what was typed.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

from data.errors import UserError
from eval.extract import extract_sql
from eval.pool import Sandbox
from pipeline.answerer import Answer, Answerer, Options
from pipeline.chat_commands import HELP, Conversation
from pipeline.chat_lines import Completions, Reader, open_reader
from pipeline.chat_settings import SETTINGS
from pipeline.console import console, say, sql_text
from pipeline.databases import open_database

LOOK_EVERY = 0.05  # seconds
T = TypeVar("T")


def chat(
    folder: Path,
    address: str,
    corrections: Path,
    options: Options,
    show: Callable[[Answer, str], None],
    *,
    name: str | None = None,
    rows: int = 0,
) -> None:
    """Talks until the user leaves. Raises UserError where the model or the database cannot be read."""
    with ExitStack() as opened:
        sandbox = opened.enter_context(Sandbox())
        database = opened.enter_context(closing(open_database(address, sandbox, name=name, rows=rows)))
        with console.status("loading the model"):
            answerer = opened.enter_context(Answerer(folder))
        meanings = {name: setting.what for name, setting in SETTINGS.items()}
        reader = open_reader(database.name, Completions(database.schema, database.dialect, HELP, meanings))
        tables = len(database.schema.tables)
        say(
            f"{answerer.name} about {database.name}, {tables} table{'' if tables == 1 else 's'}. Ask a question; /help lists commands."
        )
        for note in database.notes:
            say(f"note: {note}")
        dialect = database.dialect
        patience = opened.enter_context(Patience())
        converse(
            Conversation(
                answerer, database, reader, corrections, options, lambda answer: show(answer, dialect), patience
            ),
            reader,
        )


def converse(conversation: Conversation, reader: Reader) -> None:
    """Line after line, until the user leaves or the lines end."""
    while True:
        try:
            if not conversation.take(reader.line()):
                return
        except EOFError:
            return
        except KeyboardInterrupt:
            say("Ctrl-D or /quit leaves")
        except UserError as error:
            say(str(error))
        except MemoryError:
            say("the answer takes more memory than there is; ask with a lower vote, or /new")


class Patience:
    """Work in a thread of its own, so that Ctrl-C stops the work and not the chat; meanwhile what is written is shown."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> "Patience":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __call__(self, work: Callable[[threading.Event, Callable[[str], None]], T]) -> T | None:
        stop, writing = threading.Event(), Writing()
        done = self._pool.submit(work, stop, writing.on_text)
        try:
            with writing.shown():
                while not done.done():
                    wait([done], LOOK_EVERY)
        except KeyboardInterrupt:
            stop.set()
            done.cancel()
            say("stopped")
            return None
        return done.result()


class Writing:
    """The SQL as far as it is written, and for how long the user has waited."""

    def __init__(self) -> None:
        self._text, self._start = "", time.monotonic()

    def on_text(self, text: str) -> None:
        self._text = text

    def shown(self) -> Any:
        """A context in which a terminal shows it; it is gone afterwards."""
        from rich.live import Live

        return (
            Live(console=console, get_renderable=self._now, transient=True, refresh_per_second=8)
            if console.is_terminal
            else ExitStack()
        )

    def _now(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        waited = Text(f"{time.monotonic() - self._start:.0f} s; Ctrl-C stops", style="dim")
        sql = extract_sql(self._text)
        return Group(sql_text(sql), waited) if sql else waited
