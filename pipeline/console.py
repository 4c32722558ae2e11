"""What the user sees: lines, tables and progress. In a terminal a bar, elsewhere plain lines."""

import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 120

# Where there is no terminal rich would assume 80 columns and crop tables to them.
console = Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
errors = Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)
LINE_EVERY_SECONDS = 10.0

Advance = Callable[..., None]


def say(text: str, style: str = "", *, error: bool = False) -> None:
    """One line, taken literally; to standard error where output is for programs."""
    (errors if error else console).print(Text(_printable(text), style=style))


def sql_lines(sql: str, dialect: str = "sqlite") -> None:
    """A query, coloured where there are colours."""
    console.print(sql_text(sql, dialect))


def sql_text(sql: str, dialect: str = "sqlite") -> Text:
    """The same, to be shown with other things. The colours are the terminal's own, which suit its background."""
    lexer = {"postgres": "postgresql", "mysql": "mysql"}.get(dialect, "sql")
    text = Syntax("", lexer, theme="ansi_dark", background_color="default").highlight(_printable(sql))
    text.rstrip()
    return text


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; figures to the right, everything else to the left."""
    shown = Table(title=Text(title), title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD)
    for place, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[place], int | float) or row[place] is None for row in rows)
        shown.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row))
    console.print(shown, soft_wrap=False)


def show_files(what: str, folder: Path, leaving: Collection[str] = ()) -> None:
    """What a folder holds, with sizes, `leaving` out files of these names."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in leaving]
    say(f"  {what}:")
    table("Files", ["file", "size"], [[str(path.relative_to(folder)), size(path.stat().st_size)] for path in paths])


def size(count: float) -> str:
    """Bytes as people say them: decimal units, three digits at least where there are as many."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _cell(value: object) -> Text:
    if value is None:
        return Text("NULL", style="dim")
    return Text(str(round(value, 6)) if isinstance(value, float) else _printable(str(value)))


def _printable(text: str) -> str:
    """Without control characters: what a database or a model holds must not steer the terminal."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


@contextmanager
def progress(label: str, total: int | None, unit: str = "") -> Iterator[Advance]:
    """Gives `advance(amount=1, note="")`: a bar with rate and time left, or a line every ten seconds."""
    if console.is_terminal:
        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{unit} {{task.fields[rate]}}"),
        ]
        with Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console
        ) as bar:
            task = bar.add_task(label, total=total, note="", rate="")

            def advance(amount: int = 1, note: str = "") -> None:
                speed = bar.tasks[task].speed
                bar.update(task, advance=amount, note=note, rate=f"{speed:,.1f}/s" if speed else "")

            yield advance
    else:
        yield _plain_progress(label, total, unit)


def _plain_progress(label: str, total: int | None, unit: str) -> Advance:
    start = shown = time.monotonic()
    done = 0

    def advance(amount: int = 1, note: str = "") -> None:
        nonlocal done, shown
        done += amount
        now = time.monotonic()
        if now - shown < LINE_EVERY_SECONDS and done != total:
            return
        shown = now
        rate = done / max(now - start, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if total and rate else ""
        say(
            f"  {label}: {done:,}{f' of {total:,}' if total else ''} {unit} ({rate:,.1f}/s{left}){f' {note}' if note else ''}"
        )

    return advance
