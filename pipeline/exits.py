"""Errors become one line and an exit code; nothing else in the project catches them.

0 done, 1 failed, 2 bad usage or configuration, 130 interrupted.
"""

import errno
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from data.errors import UsageError, UserError

INTERRUPTED = 130
PASSWORD = re.compile(r"(://[^:/]*:).*@")  # in a server's URL


def guard(command: Callable[[], Any]) -> int:
    """Runs the command; its exit code."""
    try:
        return _note_interrupt(int(command() or 0))
    except UserError as error:
        return _fail(str(error), error.exit_code)
    except typer.Exit as stop:
        return _note_interrupt(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _note_interrupt(INTERRUPTED)
    except typer.TyperException as error:
        return _fail(error.format_message(), UsageError.exit_code)
    except OSError as error:
        return _fail(_explain_os_error(error), UserError.exit_code)


def _note_interrupt(code: int) -> int:
    """Typer makes an exit code of Ctrl-C; here it gets its line too."""
    if code != INTERRUPTED:
        return code
    words = [PASSWORD.sub(r"\1...@", word) for word in sys.argv[1:] if word not in ("--force", "--no-resume")]
    again = shlex.join(["loraql", *words])
    if {"score", "compare", "ask", "chat", "serve", "import", "synth", "plan", "init", "runs", "doctor"} & set(
        sys.argv[1:2]
    ):
        return _fail(f"interrupted; nothing was written; start again with: {again}", code)
    return _fail(f"interrupted; what is finished and the half-done part are kept; go on with: {again}", code)


def _explain_os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        folder = Path(error.filename or ".").absolute()
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free / 1e6
        return f"{where}the disk is full ({free:,.0f} MB free); make room and run the same command again, it goes on from what is kept"
    return f"{where}{(error.strerror or str(error)).lower()}"


def _fail(message: str, code: int) -> int:
    print(f"loraql: {' '.join(message.split())}", file=sys.stderr)
    return code
