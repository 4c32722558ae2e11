"""A stand-in for the server of the page: its HTTP interface over real SQLite files, with canned SQL for each question.

The page's tests need its states on demand (busy, slow, locked, broken), which a real model does not give.
"""

import json
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from data.schema import Schema, read_sqlite

PAGE = Path(__file__).parents[1] / "pipeline/serving/page"
SAMPLE = Path(__file__).parents[1] / "data/sample"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ROWS = 1000


def sample(folder: Path, name: str) -> Path:
    """One of the embedded sample's databases as a file."""
    path = folder / f"{name}.sqlite"
    if not path.exists():
        with sqlite3.connect(path) as connection:
            connection.executescript((SAMPLE / f"{name}.sql").read_text(encoding="utf-8"))
    return path


@dataclass
class StandIn:
    """What the server knows and how it behaves; a test changes the latter while it runs."""

    paths: dict[str, Path]
    answers: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    busy: int = 0  # requests to be turned away with 429
    broken: bool = False
    wait: threading.Event | None = None  # a question is answered when it is set
    warnings: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        stand, self.closed = self, False

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # one connection for many files

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                _get(stand, self)

            def do_POST(self) -> None:
                if stand.closed:
                    self.close_connection = True
                else:
                    _post(stand, self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.closed = True
        self._server.shutdown()
        self._server.server_close()


def _get(stand: StandIn, handler: BaseHTTPRequestHandler) -> None:
    if handler.path == "/":
        _send_file(handler, PAGE / "index.html")
    elif handler.path.startswith("/page/"):
        _send_file(handler, PAGE / handler.path.removeprefix("/page/"))
    elif handler.path == "/health":
        known = {"model": "museum-tuned", "databases": list(stand.paths), "waiting": 0, "key_required": bool(stand.key)}
        _send(handler, {"status": "ok"} | known)
    elif _allowed(stand, handler):
        described = [_described(name, read_sqlite(path, name)) for name, path in stand.paths.items()]
        _send(handler, {"databases": described})


def _post(stand: StandIn, handler: BaseHTTPRequestHandler) -> None:
    body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
    if not _allowed(stand, handler):
        return
    stand.asked.append(body)
    if stand.busy:
        stand.busy -= 1
        _refuse(handler, 429, "the queue is full", {"Retry-After": "1"})
    elif stand.broken:
        _refuse(handler, 500, "the model has stopped")
    elif handler.path == "/v1/feedback":
        stand.feedback.append(body)
        _send(handler, {"kept": True})
    else:
        if handler.path == "/v1/sql":
            if stand.wait is not None:
                stand.wait.wait(10)
            body["sql"] = stand.answers.get(body["question"], "")
        _send(handler, _run(stand, body))


def _run(stand: StandIn, body: dict[str, Any]) -> dict[str, Any]:
    start = time.perf_counter()
    path, sql = stand.paths[body["database"]], body["sql"]
    schema = read_sqlite(path, body["database"])
    answer: dict[str, Any] = {"database": body["database"], "question": body["question"], "sql": sql, "columns": []}
    answer |= {"rows": [], "row_count": 0, "truncated": False, "warnings": stand.warnings, "error": None}
    words = sql.replace('"', " ").split()
    answer["tables"] = [table.name for table in schema.tables if table.name in words]
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        if sql:
            cursor = connection.execute(sql)
            rows = cursor.fetchall()
            answer["columns"] = [column[0] for column in cursor.description]
            answer |= {"rows": rows[:ROWS], "row_count": len(rows), "truncated": len(rows) > ROWS}
    except sqlite3.Error as error:
        category = "no_such_column" if "no such column" in str(error) else "syntax"
        answer["error"] = {"category": category, "message": str(error)}
    finally:
        connection.close()
    return answer | {"ms": 1000 * (time.perf_counter() - start)}


def _described(name: str, schema: Schema) -> dict[str, Any]:
    tables = []
    for table in schema.tables:
        keys = [
            {"column": key.column, "table": key.parent_table, "references": key.parent_column}
            for key in table.foreign_keys
        ]
        columns = [
            {"name": column.name, "type": column.type, "primary_key": column.name in table.primary_key}
            for column in table.columns
        ]
        tables.append({"name": table.name, "columns": columns, "foreign_keys": keys})
    return {"name": name, "dialect": "sqlite", "tables": tables}


def _allowed(stand: StandIn, handler: BaseHTTPRequestHandler) -> bool:
    allowed = stand.key is None or handler.headers["Authorization"] == f"Bearer {stand.key}"
    if not allowed:
        _refuse(handler, 401, "the API key is missing or wrong")
    return allowed


def _refuse(handler: BaseHTTPRequestHandler, status: int, message: str, headers: dict[str, str] | None = None) -> None:
    _send(handler, {"error": {"message": message, "type": "error", "code": None}}, status, headers)


def _send(
    handler: BaseHTTPRequestHandler, body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
) -> None:
    _reply(handler, status, json.dumps(body).encode(), {"Content-Type": "application/json"} | (headers or {}))


def _send_file(handler: BaseHTTPRequestHandler, path: Path) -> None:
    if path.parent != PAGE or not path.is_file():
        _refuse(handler, 404, "no such file")
        return
    headers = {"Content-Type": f"{KINDS[path.suffix]}; charset=utf-8", "Content-Security-Policy": POLICY}
    _reply(handler, 200, path.read_bytes(), headers | {"X-Content-Type-Options": "nosniff"})


def _reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    try:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the page no longer waits
