"""A conversation about one database: questions, follow-ups, and the commands that begin with a slash.

Knows the last question, its SQL and what was shown last. Writes corrections, and rows as CSV where the user says so.
"""

import csv
import os
import re
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol, TypeVar

from data.errors import UserError
from data.imports.pairs import Verdict
from eval.execution import show_rows
from pipeline.answerer import Answer, Answerer, Options
from pipeline.chat_lines import Reader
from pipeline.chat_settings import change_settings, show_settings
from pipeline.console import say, table
from pipeline.corrections import keep_correction
from pipeline.databases import Database

HELP: Mapping[str, str] = {
    "help": "what can be typed",
    "schema": "[TABLE]: the tables, or the columns of one",
    "sql": "[SELECT ...]: run SQL of your own, or show the last",
    "explain": "how the database runs the last SQL",
    "edit": "change the last SQL and run it; /edit! opens it in $EDITOR",
    "save": "FILE.csv: the rows that were shown last",
    "good": "the answer is right: keep it for training",
    "fix": "[SELECT ...]: keep the right SQL, that of the last /edit or /sql if none is given",
    "settings": "[NAME=VALUE ...]: how answers are written",
    "new": 'forget the last question, on which one such as "And in May?" follows',
    "quit": "leave; Ctrl-D does too, Ctrl-C stops an answer",
}
# Words that point back to the question before: at the start, or among the first few.
_GOES_ON = re.compile(
    r"(?:and|but|or|now|then|only|also|just|same|instead|without|what about|how about|sort|order)\b"
    r"|(?:[\w']+\s+){0,3}(?:them|those|these|their|it|its|ones|they|he|she|his|her)\b",
    re.IGNORECASE,
)
T = TypeVar("T")
OnText = Callable[[str], None]


class Wait(Protocol):
    """Does what takes long while the user sees it; None if the user stopped it."""

    def __call__(self, work: Callable[[threading.Event, OnText], T], /) -> T | None: ...


class Conversation:
    """Takes line after line; `show` prints an answer."""

    def __init__(
        self,
        answerer: Answerer,
        database: Database,
        reader: Reader,
        corrections: Path,
        options: Options,
        show: Callable[[Answer], None],
        wait: Wait,
    ) -> None:
        self._answerer, self._database, self._reader = answerer, database, reader
        self._corrections, self._options = corrections, options
        self._show, self._wait = show, wait
        self._asked: Answer | None = None  # the last question, with the model's SQL
        self._own: Answer | None = None  # SQL of the user's since then
        self._shown: Answer | None = None
        self._earlier: tuple[str, str] | None = None  # question and SQL that the next question may follow on
        self._commands: dict[str, Callable[[str], None]] = {
            "help": self._help,
            "schema": self._schema,
            "sql": self._sql,
            "explain": self._explain,
            "edit": self._edit,
            "edit!": self._edit_outside,
            "save": self._save,
            "good": self._good,
            "fix": self._fix,
            "settings": self._settings,
            "new": self._new,
        }

    def take(self, line: str) -> bool:
        """Does what the line says; False if it says to leave. Raises UserError in one line."""
        text = line.strip()
        if text.lower() in ("/quit", "/exit", "quit", "exit"):
            return False
        if not text.startswith("/"):
            if text:
                self._ask(text)
            return True
        name, _, rest = text[1:].partition(" ")
        command = self._commands.get(name.lower())
        if command is None:
            close = get_close_matches(name.lower(), HELP, 1, 0.4)
            raise UserError(
                f"/{name}: no such command; {f'did you mean /{close[0]}?' if close else '/help lists them'}"
            )
        command(rest.strip())
        return True

    def _ask(self, question: str) -> None:
        # Put behind a question that it has nothing to do with, a question is answered worse.
        earlier = self._earlier if _GOES_ON.match(question) else None
        if earlier:
            say(f'follows on "{earlier[0]}"; /new lets it stand alone', style="dim")
        answer = self._wait(
            lambda stop, on_text: self._answerer.answer(
                self._database, question, self._options, earlier=earlier, stop=stop, on_text=on_text
            )
        )
        if answer is None:
            return
        self._asked, self._own, self._shown = answer, None, answer
        if answer.sql:
            self._earlier = question, answer.sql
        self._show(answer)

    def _run(self, sql: str) -> Answer | None:
        """SQL that the user wrote, run and shown; it counts as an answer to the last question."""
        question = self._asked.question if self._asked else ""
        answer = self._wait(lambda stop, on_text: self._answerer.judge(self._database, question, sql))
        if answer is not None:
            self._own = self._shown = answer
            self._show(answer)
        return answer

    def _last_sql(self) -> str:
        if self._shown is None or not self._shown.sql:
            raise UserError("there is no SQL yet; ask a question first")
        return self._shown.sql

    def _help(self, _: str) -> None:
        say("Ask a question in your own words, or:")
        width = max(map(len, HELP)) + 2
        for name, what in HELP.items():
            say(f"  /{name:<{width}}{what}")

    def _schema(self, name: str) -> None:
        tables = self._database.schema.tables
        if not name:
            listed = [[known.name, ", ".join(column.name for column in known.columns)] for known in tables]
            table(f"{self._database.name}: {len(tables)} tables", ["table", "columns"], listed)
            return
        names = {known.name.lower(): known for known in tables}
        found = names.get(name.strip("\"'`;").lower())
        if found is None:
            close = get_close_matches(name.lower(), names, 1, 0.4)
            way = f"did you mean {names[close[0]].name}?" if close else "/schema lists them"
            raise UserError(f"{name}: no such table; {way}")
        points = {key.column: f"{key.parent_table}.{key.parent_column}" for key in found.foreign_keys}
        described = any(column.meaning for column in found.columns)
        rows = [
            [
                column.name,
                column.type,
                "primary key" if column.name in found.primary_key else "",
                points.get(column.name, ""),
                *([column.meaning] if described else []),
            ]
            for column in found.columns
        ]
        table(found.name, ["column", "type", "key", "refers to", *(["meaning"] if described else [])], rows)

    def _sql(self, sql: str) -> None:
        if sql:
            self._run(sql)
        else:
            say(self._last_sql())

    def _explain(self, _: str) -> None:
        sql = self._last_sql()
        plan = self._wait(lambda stop, on_text: self._database.explain(sql))
        if plan is None:
            return
        if plan.category != "ok":
            raise UserError(f"there is no plan: {plan.message or plan.category.replace('_', ' ')}")
        if plan.columns[-1:] != ("detail",):
            table("query plan", list(plan.columns), show_rows(plan.rows))
            return
        say("query plan")  # SQLite's: a tree of steps, each with its own number and that of the one above it
        depth: dict[object, int] = {}
        for step, parent, _unused, detail in plan.rows:
            depth[step] = depth.get(parent, 0) + 1
            say("  " * depth[step] + str(detail))

    def _edit(self, _: str) -> None:
        self._edited(self._reader.edit(self._last_sql()))

    def _edit_outside(self, _: str) -> None:
        self._edited(edit_in_editor(self._last_sql()))

    def _edited(self, text: str) -> None:
        sql = text.strip()
        if not sql or sql == self._last_sql():
            say("nothing was changed")
            return
        answer = self._run(sql)
        if answer is not None and self._asked is not None and _ran(answer):
            self._earlier = self._asked.question, answer.sql

    def _save(self, name: str) -> None:
        if not name:
            raise UserError("/save: name the file, as in /save rows.csv")
        outcome = self._shown.outcome if self._shown else None
        if outcome is None or outcome.category != "ok":
            raise UserError("/save: there are no rows to save; ask a question first")
        path = Path(name).expanduser()
        if path.exists() and not self._reader.agrees(f"{path} is there; write over it?"):
            say("nothing was saved")
            return
        write_rows(path, outcome.columns, show_rows(outcome.rows))
        say(f"{len(outcome.rows)} row{'' if len(outcome.rows) == 1 else 's'} in {path}")

    def _good(self, _: str) -> None:
        asked = self._question("/good")
        if self._own is not None:
            raise UserError("/good: the last SQL is your own; /fix keeps it as the right answer")
        if not asked.sql:
            raise UserError("/good: the model wrote no SQL; /fix SELECT ... keeps yours")
        if not _ran(asked):
            raise UserError("/good: the query failed; /edit it, then /fix keeps what you made of it")
        self._keep(asked.question, asked.sql, "good")

    def _fix(self, sql: str) -> None:
        asked = self._question("/fix")
        own = self._run(sql) if sql else self._own
        if own is None:
            if not sql:
                raise UserError(
                    "/fix: there is no SQL of yours yet; /edit the answer first, or give it: /fix SELECT ..."
                )
            return
        if not _ran(own):
            raise UserError("/fix: the query fails, and is not kept; /edit it first")
        self._keep(asked.question, own.sql, "fixed")
        self._earlier = asked.question, own.sql

    def _question(self, command: str) -> Answer:
        if self._asked is None:
            raise UserError(f"{command}: there is no question yet; ask one first")
        return self._asked

    def _keep(self, question: str, sql: str, verdict: Verdict) -> None:
        keep_correction(self._corrections, self._database.name, question, sql, verdict)
        say(f'kept in {self._corrections} as {verdict}: "{question}" {sql}')

    def _settings(self, words: str) -> None:
        self._options = change_settings(self._options, words)
        show_settings(self._options, self._answerer.bundle.max_new_tokens)

    def _new(self, _: str) -> None:
        self._asked = self._own = self._shown = self._earlier = None
        say("the next question stands alone")


def _ran(answer: Answer) -> bool:
    return answer.outcome is None or answer.outcome.category == "ok"


def edit_in_editor(text: str) -> str:
    """The text after the user's editor. Raises UserError where there is none or it fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UserError("/edit!: no editor is named; set EDITOR, or edit in the line with /edit")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "query.sql"
        path.write_text(text + "\n", encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), str(path)], check=False)
            if done.returncode:
                raise UserError(f"/edit!: {editor} ended with {done.returncode}; nothing was run")
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"/edit!: {editor}: {reason.lower()}; set EDITOR to another") from error


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """The rows as CSV, whole or not at all. Raises UserError where they cannot be written."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error
