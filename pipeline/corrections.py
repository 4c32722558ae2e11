"""corrections.jsonl: what users said of answers, a line each: this SQL is good, or this is what it should have been.

Appends to the file only; `loraql import` reads it as pairs, so that models are trained on what they got wrong.
"""

import fcntl
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from data.errors import UserError
from data.imports.pairs import Verdict

MODE = 0o644


def keep_correction(path: Path, db_id: str, question: str, sql: str, verdict: Verdict) -> None:
    """Appends one line: `question`, `query`, `db_id`, `verdict` and `time`. Folders are made.

    Several threads and processes may keep corrections at once. The line is one write, and on the disk on return. Raises UserError in one line where the file cannot be written, or import could not read it.
    """
    line = {
        "question": _usable("question", question),
        "query": _usable("SQL", sql),
        "db_id": db_id,
        "verdict": verdict,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    content = json.dumps(line, ensure_ascii=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, MODE)
        try:
            _append(file, content, path)
        finally:
            os.close(file)
    except OSError as error:
        raise UserError(f"{path}: the correction cannot be kept: {(error.strerror or str(error)).lower()}") from error


def _append(file: int, content: bytes, path: Path) -> None:
    if not stat.S_ISREG(os.fstat(file).st_mode):  # to a pipe or a device, nothing would be kept
        raise UserError(f"{path}: the correction cannot be kept: it is not a file")
    fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed: a line that another is writing is no half line
    size = os.fstat(file).st_size
    # A process that was killed while it wrote has left half a line: it must not swallow this one.
    if size and os.pread(file, 1, size - 1) != b"\n":
        content = b"\n" + content
    if os.write(file, content) != len(content):
        raise UserError(f"{path}: the correction cannot be kept: the disk is full")
    os.fsync(file)


def _usable(what: str, text: str) -> str:
    """The text without white space at its ends, if a line can hold it."""
    cleaned = text.strip()
    if not cleaned:
        raise UserError(f"the correction cannot be kept: its {what} is empty")
    if "\x00" in cleaned or any("\ud800" <= character <= "\udfff" for character in cleaned):
        raise UserError(
            f"the correction cannot be kept: its {what} holds what is no text (NUL or half a surrogate pair)"
        )
    return cleaned
