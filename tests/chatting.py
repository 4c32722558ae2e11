"""A chat whose model is made up: for tests, and as a program for those that need a terminal.

`python chatting.py FOLDER` talks in the terminal that is its standard input, about a shop made in the folder.
"""

import fcntl
import sqlite3
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from data.schema import read_sqlite
from eval.pool import Sandbox
from pipeline.answerer import Answer, Options

SHOP = """
CREATE TABLE customer (customer_id INTEGER PRIMARY KEY, name TEXT, "Home Town" TEXT);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer, price REAL);
INSERT INTO customer VALUES (1, 'Ann', 'Ulm'), (2, 'Bob', NULL);
INSERT INTO purchase VALUES (1, 1, 2.5), (2, 1, 4);
"""
ANSWERS = {
    "How many customers are there?": "SELECT count(*) FROM customer",
    "Who bought nothing?": "SELECT name FROM customer WHERE customer_id NOT IN (SELECT id FROM purchase)",
    "And only those from Ulm?": "SELECT count(*) FROM customer WHERE \"Home Town\" = 'Ulm'",
    "Fail": "SELECT nope FROM customer",
    "Say nothing": "",
}


def shop(folder: Path, sandbox: Sandbox) -> Any:
    path = folder / "shop.sqlite"
    if not path.exists():
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(SHOP)
    return SimpleNamespace(
        name="shop",
        dialect="sqlite",
        schema=read_sqlite(path),
        notes=("made up",),
        run=lambda sql: sandbox.run(path, sql),
        explain=lambda sql: sandbox.run(path, f"EXPLAIN QUERY PLAN {sql}"),
        close=lambda: None,
    )


class Made:
    """Answers from `ANSWERS`; to "Wait" it writes until it is stopped."""

    name, bundle = "made-up", SimpleNamespace(max_new_tokens=128)

    def __init__(self, *_: object) -> None:
        self.asked: list[tuple[str, Options, tuple[str, str] | None]] = []

    def answer(
        self,
        database: Any,
        question: str,
        options: Options,
        *,
        earlier: tuple[str, str] | None = None,
        on_text: Callable[[str], None] = lambda text: None,
        stop: threading.Event | None = None,
    ) -> Answer:
        self.asked.append((question, options, earlier))
        on_text("SELECT a_word_at_a_time")
        if question == "Wait":
            assert stop is not None
            while not stop.is_set():
                time.sleep(0.01)
            raise RuntimeError("nobody wants to know")
        return self.judge(database, question, ANSWERS[question])

    def judge(self, database: Any, question: str, sql: str) -> Answer:
        return Answer(question, sql, database.run(sql) if sql else None)

    def __enter__(self) -> "Made":
        return self

    def __exit__(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    from pipeline import chat
    from pipeline.ask import show_answer
    from pipeline.console import say

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # from here on Ctrl-C on it reaches this process
    place = Path(sys.argv[1])
    chat.open_database = lambda address, sandbox, **_: shop(Path(address), sandbox)  # type: ignore[assignment]
    chat.Answerer = Made  # type: ignore[assignment,misc]
    chat.chat(place, str(place), place / "corrections.jsonl", Options(), show_answer)  # type: ignore[arg-type]
    say("left")
