"""What tests of servers need: programs that run them, and a look at what was copied.

A test that needs a program which is not installed is skipped.
"""

import getpass
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from data.schema import Table, read_sqlite

PASSWORD = "s3cr:t/@%?"
IN_URL = "s3cr%3At%2F%40%25%3F"
START_SECONDS = 60
POSTGRES_FOLDERS = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "opt/homebrew/opt/postgresql*/bin")


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def find_program(name: str, *folders: str) -> Path:
    """A program of the folders, the newest version first, or of the PATH; skips the test without one."""
    found = [path / name for folder in folders for path in sorted(Path("/").glob(folder), reverse=True)]
    on_path = shutil.which(name)
    found += [Path(on_path)] if on_path else []
    program = next((path for path in found if path.is_file()), None)
    if program is None:
        pytest.skip(f"no {name} is installed")
    return program


def ordinary_user(*names: str) -> str:
    """Servers refuse to run as root; this user may stand in for it."""
    if os.geteuid() != 0:
        return getpass.getuser()
    known = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in names if name in known), None)
    if user is None:
        pytest.skip(f"root cannot start the server, and there is none of the users {', '.join(names)}")
    return user


@contextmanager
def running(
    user: str, make: Callable[[Path], list[str]], start: Callable[[Path], list[str]], connect: Callable[[], Any]
) -> Iterator[Any]:
    """A server of an empty folder, and a connection to it; skips the test where it does not come up."""
    as_user: dict[str, Any] = (
        {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    folder = Path(tempfile.mkdtemp(prefix="loraql-server-"))
    try:
        if as_user:
            shutil.chown(folder, user)
        made = subprocess.run(make(folder), cwd="/", capture_output=True, text=True, check=False, **as_user)
        if made.returncode:
            pytest.skip(f"no server can be made here: {made.stderr.strip()[-300:]}")
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(start(folder), cwd="/", stdout=log, stderr=log, **as_user)
        try:
            with closing(wait_for(process, connect, folder / "log")) as connection:
                yield connection
        finally:
            process.terminate()
            process.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(process: "subprocess.Popen[bytes]", connect: Callable[[], Any], log: Path) -> Any:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            return connect()
        except Exception:  # noqa: BLE001 - whatever the driver says while the server comes up
            time.sleep(0.1)
    pytest.skip(f"the server does not come up: {log.read_text()[-300:]}")


def tables(path: Path) -> dict[str, Table]:
    return {table.name: table for table in read_sqlite(path).tables}


def ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def check_line(message: str) -> None:
    """An error is one line, and tells no password."""
    assert "\n" not in message
    assert not any(secret in message for secret in (PASSWORD, IN_URL, "wr@ng", "wr%40ng", "s3cr"))
