"""serve: an exported model that many people ask over HTTP, about databases that are named at the start.

Reads the exported folder and the databases; writes corrections that people send, and nothing else. Ends on Ctrl-C or
SIGTERM once the answers that are being written are sent.
"""

import errno
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UsageError, UserError
from eval.pool import Sandbox
from eval.sandbox import Limits
from pipeline.console import say

if TYPE_CHECKING:
    from pipeline.databases import Database

KEY = "LORAQL_API_KEY"
NEEDED = ("fastapi", "uvicorn", "prometheus_client")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
PATIENCE_SECONDS = 30.0  # for answers that are being written when the server is told to end
RESULT_MB = 8


@dataclass(frozen=True)
class Serving:
    """How to serve. `hosts`: further names by which the server may be asked, as behind a proxy; `rate`: 0 is no limit."""

    databases: Sequence[str] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    key_file: Path | None = None
    no_key: bool = False
    hosts: Sequence[str] = ()
    max_rows: int = 1000
    queue: int = 64
    batch: int = 8
    rate: int = 120
    timeout: float = 120.0
    corrections: Path = Path("corrections.jsonl")


def serve(folder: Path, serving: Serving) -> None:
    """Serves an exported model until it is told to end. Raises UserError or UsageError before it starts."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(f"serve needs {', '.join(missing)}: run `pip install 'loraql[serve]'`")
    from pipeline.answerer import Answerer
    from pipeline.serving.app import make_app
    from pipeline.serving.connection import make_server
    from pipeline.serving.guards import LOCAL, is_loopback
    from pipeline.serving.service import Service
    from pipeline.serving.work import Desk

    addresses = name_databases(serving.databases)
    key = read_key(serving.key_file)
    local = is_loopback(serving.host)
    if not local and key is None and not serving.no_key:
        raise UsageError(
            f"--host {serving.host} lets other machines ask: set a key with --api-key-file or {KEY}, or say --no-key"
        )
    hosts = frozenset(name.lower() for name in serving.hosts)
    names = LOCAL | hosts | {serving.host} if local else hosts or None
    with ExitStack() as stack:
        bound = stack.enter_context(closing(bind(serving.host, serving.port)))
        sandbox = stack.enter_context(Sandbox(Limits(result_mb=RESULT_MB)))
        databases = {name: stack.enter_context(opened(name, address, sandbox)) for name, address in addresses.items()}
        say(f"loading {folder}")
        answerer = Answerer(folder, batch_size=serving.batch)  # the desk counts who waits
        stack.callback(answerer.close)
        desk = Desk(serving.batch + serving.queue, serving.timeout)
        stack.callback(desk.close)
        service = Service(
            answerer=answerer,
            databases=databases,
            desk=desk,
            corrections=serving.corrections,
            max_rows=serving.max_rows,
            key=key,
            hosts=names,
            rate=serving.rate,
        )
        server = make_server(
            make_app(service),
            patience=PATIENCE_SECONDS,
            on_late=desk.stop,
            trust_proxies="FORWARDED_ALLOW_IPS" in os.environ,
        )
        _introduce(service.answerer.name, databases, bound, key)
        server.run(sockets=[bound])
        desk.stop()
        say("stopped")


def name_databases(given: Sequence[str]) -> dict[str, str]:
    """Addresses of databases by the names that clients will use. Raises UsageError for bad and double names."""
    found: dict[str, str] = {}
    for text in given:
        name, mark, address = text.partition("=")
        if not mark or "://" in name:
            name, address = Path(text.split("?")[0].rstrip("/")).stem, text
        if not NAME.fullmatch(name) or not address:
            raise UsageError(
                f"--db {_harmless(text)}: give it as NAME=PATH, the name of letters, digits, '-', '_' and '.'"
            )
        if name in found:
            raise UsageError(f"--db: two databases are called {name}; name one of them otherwise, as NAME=PATH")
        found[name] = address
    return found


def read_key(path: Path | None) -> str | None:
    """The API key of the file or the environment; None if there is neither. Raises UserError or UsageError."""
    where, text = f"${KEY}", os.environ.get(KEY)
    if path is not None:
        where = str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not a text file") from error
    if text is None:
        return None
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"{where}: holds no API key; it has to be one line of ASCII characters without spaces")
    return key


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address, before anything is loaded. Raises UserError if it cannot be had."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise UserError(f"--host {host}: no address of this machine ({error.strerror})") from error
    bound = socket.socket(family, kind, number)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(0)  # the only sure sign that nobody else listens there
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} of {host} is taken; choose another with --port") from error
        raise UserError(f"{host}, port {port}: {(error.strerror or str(error)).lower()}") from error
    return bound


@contextmanager
def opened(name: str, address: str, sandbox: Sandbox) -> "Iterator[Database]":
    """A database under its name, with what there is to say of it. Raises UserError."""
    from pipeline.databases import open_database

    database = open_database(address, sandbox, name=name)
    for note in database.notes:
        say(f"{name}: {note}")
    with closing(database):
        yield database


def _introduce(model: str, databases: "dict[str, Database]", bound: socket.socket, key: str | None) -> None:
    host, port = bound.getsockname()[:2]
    for name, database in databases.items():
        say(f"database {name}: {len(database.schema.tables)} tables ({database.dialect})")
    if not databases:
        say("no databases: only the bare model answers, at /v1/chat/completions")
    if key is None:
        say("no API key: whoever reaches this address may ask")
    say(f"serving {model} on http://{f'[{host}]' if ':' in host else host}:{port} (Ctrl-C ends it)")


def _harmless(text: str) -> str:
    """Without a password that a URL may hold."""
    return re.sub(r"(://[^:/]*:).*@", r"\1...@", text)
