"""`loraql chat`: what each line that is typed does, in a pipe and in a terminal."""

import csv
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import chatting
import pytest
from chatting import Made, shop

from data.errors import UserError
from eval.pool import Sandbox
from pipeline import chat as chat_module
from pipeline.answerer import Options
from pipeline.ask import show_answer
from pipeline.chat import Patience, converse
from pipeline.chat_commands import HELP, Conversation
from pipeline.chat_lines import Completions, PlainReader
from pipeline.chat_settings import SETTINGS, change_settings

Talk = Callable[..., str]
FIRST, SECOND, NEXT = list(chatting.ANSWERS)[:3]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as made:
        yield made


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def talk(
    made: Made, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Talk:
    """Types the lines into one chat as a pipe would; what it prints."""
    monkeypatch.chdir(tmp_path)
    database = shop(tmp_path, sandbox)

    def run(*lines: str) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        reader = PlainReader("shop> ")
        with Patience() as patience:
            converse(
                Conversation(made, database, reader, Path("corrections.jsonl"), Options(), show_answer, patience),  # type: ignore[arg-type]
                reader,
            )
        return capsys.readouterr().out

    return run


def kept() -> list[tuple[str, str, str]]:
    lines = Path("corrections.jsonl").read_text(encoding="utf-8").splitlines()
    return [(line["verdict"], line["question"], line["query"]) for line in map(json.loads, lines)]


def test_a_pipe_gets_a_conversation_in_plain_lines(talk: Talk) -> None:
    shown = talk(FIRST, "", "/quit", SECOND)
    assert shown.startswith(f"shop> {FIRST}\nSELECT count(*) FROM customer\n")
    assert "count(*)" in shown and "\x1b" not in shown and SECOND not in shown


def test_a_question_that_points_back_follows_on_the_last_one_until_new(talk: Talk, made: Made) -> None:
    shown = talk(FIRST, SECOND, NEXT, "/new", NEXT)
    last = SECOND, chatting.ANSWERS[SECOND]
    assert [earlier for _, _, earlier in made.asked] == [None, None, last, None]
    assert shown.count(f'follows on "{SECOND}"; /new lets it stand alone') == 1


def test_an_answer_without_sql_is_nothing_to_follow_on(talk: Talk, made: Made) -> None:
    shown = talk(FIRST, "Say nothing", NEXT, "/new", "Say nothing", "/explain", "/good")
    assert made.asked[2][2] == (FIRST, chatting.ANSWERS[FIRST])
    assert "there is no SQL yet" in shown and "/good: the model wrote no SQL" in shown


def test_a_command_that_is_none_is_told_the_nearest(talk: Talk) -> None:
    shown = talk("/shema", "/xyzzy", "/")
    assert "/shema: no such command; did you mean /schema?" in shown
    assert "/xyzzy: no such command; /help lists them" in shown


def test_help_names_every_command(talk: Talk) -> None:
    shown = talk("/help")
    assert all(f"/{name} " in shown for name in HELP)


def test_schema_shows_tables_or_the_columns_of_one(talk: Talk) -> None:
    shown = talk("/schema", "/schema Purchase", "/schema custmer")
    assert "customer_id, name, Home Town" in shown
    assert re.search(r"customer_id\s+INTEGER\s+customer\.customer_id", shown)
    assert "custmer: no such table; did you mean customer?" in shown


def test_sql_of_the_users_own_runs_and_leaves_the_question_as_it_was(talk: Talk, made: Made) -> None:
    shown = talk("/sql", FIRST, "/sql SELECT name FROM customer ORDER BY name", "/sql", NEXT, "/sql SELECT nope")
    assert "there is no SQL yet; ask a question first" in shown
    assert "Ann" in shown and shown.count("SELECT name FROM customer ORDER BY name") == 3
    assert made.asked[1][2] == (FIRST, chatting.ANSWERS[FIRST])
    assert "no such column: nope" in shown


def test_explain_shows_the_query_plan(talk: Talk) -> None:
    shown = talk("/explain", FIRST, "/explain", "Fail", "/explain")
    assert "query plan\n  SCAN customer\n" in shown
    assert "there is no plan: no such column: nope" in shown


def test_save_writes_rows_and_asks_before_it_writes_over_a_file(talk: Talk, tmp_path: Path) -> None:
    shown = talk(
        "/save rows.csv",
        "/sql SELECT * FROM customer",
        "/save",
        "/save rows.csv",
        "/save rows.csv",
        "/save no/rows.csv",
    )
    with Path("rows.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["customer_id", "name", "Home Town"], ["1", "Ann", "Ulm"], ["2", "Bob", ""]]
    assert "there are no rows to save" in shown and "name the file, as in /save rows.csv" in shown
    assert "2 rows in rows.csv" in shown
    assert "rows.csv is there; write over it? no: this is no terminal" in shown and "nothing was saved" in shown
    assert "no/rows.csv: cannot be written: no such file or directory" in shown
    assert not list(tmp_path.glob("*.partial"))


def test_good_keeps_the_models_sql_and_fix_the_users(talk: Talk) -> None:
    right = "SELECT name FROM customer WHERE customer_id NOT IN (SELECT customer_id FROM purchase)"
    shown = talk(
        "/good", "/fix", FIRST, "/good", SECOND, "/fix", f"/sql {right}", "/good", "/fix", f"/fix {right} LIMIT 9"
    )
    assert kept() == [
        ("good", FIRST, chatting.ANSWERS[FIRST]), ("fixed", SECOND, right), ("fixed", SECOND, f"{right} LIMIT 9"),
    ]  # fmt: skip
    assert shown.count("there is no question yet; ask one first") == 2
    assert "/fix: there is no SQL of yours yet" in shown
    assert "/good: the last SQL is your own; /fix keeps it" in shown
    assert f'kept in corrections.jsonl as good: "{FIRST}"' in shown


def test_what_fails_is_neither_good_nor_a_fix(talk: Talk) -> None:
    shown = talk("Fail", "/good", "/fix SELECT neither FROM customer")
    assert "/good: the query failed" in shown and "/fix: the query fails, and is not kept" in shown
    assert not Path("corrections.jsonl").exists()


def test_a_fix_is_what_the_next_question_follows_on(talk: Talk, made: Made) -> None:
    talk(FIRST, "/fix SELECT count(name) FROM customer", NEXT)
    assert made.asked[1][2] == (FIRST, "SELECT count(name) FROM customer")


def test_edit_wants_a_terminal(talk: Talk) -> None:
    assert "/edit needs a terminal" in talk(FIRST, "/edit")


def test_edit_outside_opens_the_editor_and_runs_what_it_leaves(
    talk: Talk, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i s/count/max/;s/[*]/name/")
    shown = talk(FIRST, "/edit!", "/fix", NEXT)
    assert kept() == [("fixed", FIRST, "SELECT max(name) FROM customer")] and "Bob" in shown
    assert made.asked[1][2] == (FIRST, "SELECT max(name) FROM customer")
    for editor, message in [
        ("true", "nothing was changed"),
        ("false", "/edit!: false ended with 1; nothing was run"),
        ("no-such-editor", "/edit!: no-such-editor: no such file or directory"),
        ("'unclosed", "No closing quotation".lower()),
        ("", "no editor is named"),
    ]:
        monkeypatch.setenv("EDITOR", editor)
        assert message in talk(FIRST, "/edit!")


def test_settings_are_shown_and_reach_the_model(talk: Talk, made: Made) -> None:
    shown = talk("/settings", "/settings temperature=0.5 vote=3", "/settings max_tokens=7", FIRST)
    assert re.search(r"max_tokens\s+128", shown) and re.search(r"temperature\s+0\.5", shown)
    assert made.asked[0][1] == Options(temperature=0.5, vote=3, max_new_tokens=7)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("temprature=1", "no such setting; did you mean temperature?"),
        ("qqq=1", "no such setting; there are temperature, top_k"),
        ("vote", "give a value, as in vote=1"),
        ("vote=0", "give a whole number from 1 up to 100"),
        ("vote=1.5", "give a whole number from 1 up to 100"),
        ("temperature=hot", "give a number from 0 up to 5"),
        ("temperature=nan", "give a number from 0 up to 5"),
        ("top_p=0", "give a number above 0 up to 1"),
        ("seed=-1", "give a whole number from 0"),
        ("vote=2 retry=x", "/settings retry=x: give a whole number"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line_and_changes_nothing(words: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        change_settings(Options(), words)


def test_every_setting_can_be_set() -> None:
    for name, setting in SETTINGS.items():
        changed = change_settings(Options(), f"{name}={setting.most}")
        assert changed == replace(Options(), **{setting.field: setting.kind(f"{setting.most}")})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("/", [f"/{name}" for name in HELP]),
        ("/sc", ["/schema"]),
        ("/schema cu", ["customer"]),
        ("/settings vote=2 to", ["top_k=", "top_p="]),
        ("Which cust", ["customer", "customer_id"]),
        ("Which ", []),
        ("/sql SELECT home", ['"Home Town"']),
        ("Where is the home", ["Home Town"]),
        ("/sql SELECT purchase.", ["customer_id", "id", "price"]),
        ("/sql SELECT purchase.p", ["price"]),
        ("SELECT nothing.p", []),
        ("/save ro", ["rows.csv"]),
        ("/save deep/", ["deep/inside"]),
        ("/save none/", []),
        ("/good cust", []),
    ],
)
def test_completion_knows_commands_names_settings_and_files(
    before: str, wanted: list[str], sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("deep/inside").mkdir(parents=True)
    Path("rows.csv").touch()
    complete = Completions(shop(tmp_path, sandbox).schema, "sqlite", HELP, dict.fromkeys(SETTINGS, ""))
    found = list(complete(before))
    assert [text for text, _, _ in found] == wanted
    assert all(before.lower().endswith(text.strip('"')[:length].lower()) for text, length, _ in found)


class Terminal:
    """A chat in a pseudo-terminal."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._end, other = pty.openpty()
        termios.tcsetwinsize(other, (40, 100))
        values = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "XDG_STATE_HOME": str(folder / "state")}
        path = os.pathsep.join([str(Path(chatting.__file__).parent), str(Path(chat_module.__file__).parent.parent)])
        self.process = subprocess.Popen(
            [sys.executable, chatting.__file__, str(folder)],
            cwd=folder, stdin=other, stdout=other, stderr=other, start_new_session=True,
            env={**os.environ, **values, "PYTHONPATH": path, **environment},
        )  # fmt: skip
        os.close(other)
        self.raw = ""

    def type(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def until(self, wanted: str | None = None) -> str:
        """What was shown since the last look, up to this or a prompt; without colours and movements of the cursor."""
        shown, plain = "", ""
        while wanted not in plain if wanted else self._cooked():
            ready, _, _ = select.select([self._end], [], [], 60 if wanted else 0.05)
            assert ready or not wanted, f"{wanted!r} never came: {plain}"
            shown += self._read() if ready else ""
            plain = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])|[\r\x08]", "", shown)
        return plain

    def _cooked(self) -> bool:
        """Whether the chat is busy: at a prompt it takes keys, not lines."""
        assert self.process.poll() is None, f"the chat ended: {self.raw}"
        return bool(termios.tcgetattr(self._end)[3] & termios.ICANON)

    def _read(self) -> str:
        try:
            piece = os.read(self._end, 65536).decode(errors="replace")
        except OSError:
            piece = ""
        assert piece, f"the chat ended: {self.raw}"
        self.raw += piece
        return piece

    def end(self) -> int:
        code = self.process.wait(60)
        os.close(self._end)
        return code


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(**environment: str) -> Terminal:
        opened.append(Terminal(tmp_path, **environment))
        return opened[-1]

    yield start
    for one in opened:
        one.process.kill()
        one.process.wait()


def test_in_a_terminal_lines_are_edited_completed_and_remembered_and_ctrl_c_stops_an_answer(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    chat = terminal()
    chat.until("made-up about shop, 2 tables")
    chat.until()
    chat.type("/schema cus")
    chat.until("customer")  # is offered
    chat.type("\t")
    chat.until("tomer")
    chat.type("\r")
    chat.until("Home Town")
    chat.until()
    chat.type("/sql SELECT purchase.pr")
    chat.until("price")
    chat.type("\t")
    chat.until("ice")
    chat.type(" FROM purchase\r")
    chat.until("4.0")
    chat.until()
    chat.type("Wait\r")
    chat.until("a_word_at_a_time")
    chat.type("\x03")
    chat.until("stopped")
    chat.until()
    chat.type("half a line\x03")  # drops the line
    chat.until()
    chat.type("\x03")
    chat.until("Ctrl-D or /quit leaves")
    chat.until()
    chat.type(f"{FIRST}\r")
    chat.until("1 row")
    assert "\x1b[" in chat.raw.rpartition("count")[2], "in colours"
    chat.until()
    chat.type("/edit\r")
    chat.until()
    chat.type("\x7f" * len("customer") + "purchase\r")
    assert "SELECT count(*) FROM purchase" in chat.until("1 row")
    chat.until()
    chat.type("/save rows.csv\r")
    chat.until("1 row in")
    chat.until()
    chat.type("\x1b[A\r")  # the line before
    chat.until("(y/n)")
    chat.type("y\r")
    chat.until("1 row in")
    chat.until()
    chat.type("\x04")
    chat.until("left")
    assert chat.end() == 0
    history = tmp_path / "state" / "loraql" / "chat_history"
    assert FIRST in history.read_text(encoding="utf-8") and history.stat().st_mode & 0o077 == 0
    assert "\ny\n" not in history.read_text(encoding="utf-8").replace("+", "")


def test_without_colours_and_without_a_place_for_the_history_it_works_too(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    chat = terminal(NO_COLOR="1", XDG_STATE_HOME=str(tmp_path / "file"))
    chat.until("no history is kept: not a directory")
    chat.until()
    chat.type(f"{FIRST}\r")
    chat.until("1 row")
    chat.until()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", chat.raw)
    chat.type("quit\r")
    chat.until("left")
    assert chat.end() == 0
