"""Clients that mean harm: whatever they send, the server stays up, and nothing on its machine changes."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from echo import running, until

from pipeline.serving import connection
from pipeline.serving.service import Service

pytest_plugins = ["serving"]
Address = tuple[str, int]


@contextmanager
def unharmed(service: Service, folder: Path, **options: Any) -> Iterator[Address]:
    """A running server, which is well afterwards, with the files that it had."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with running(service, **options) as address:
        yield address
        until(lambda: service.desk.waiting == 0)
        got = httpx.get(f"http://{address[0]}:{address[1]}/health")
        assert got.json()["status"] == "ok"
        rows = httpx.post(
            f"http://{address[0]}:{address[1]}/v1/run", json={"database": "shop", "sql": "SELECT count(*) FROM item"}
        ).json()["rows"]
        assert rows == [[3]]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def speak(address: Address, *pieces: bytes, patience: float = 10.0) -> bytes:
    """Sends bytes as they are; what comes back until the server closes the connection."""
    with socket.create_connection(address, timeout=patience) as spoken:
        for piece in pieces:
            spoken.sendall(piece)
        heard = b""
        try:
            while chunk := spoken.recv(65536):
                heard += chunk
        except TimeoutError:
            heard += b"...open"
        except ConnectionResetError:  # it was closed while more came
            heard = heard or b"closed"
        return heard


def head(path: str = "/v1/sql", method: str = "POST", **headers: object) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def test_queries_that_would_change_something_do_not(make_service: Any, item_database: Path) -> None:
    other = item_database.parent / "other.sqlite"
    with unharmed(make_service(), item_database.parent) as (host, port):
        for sql in (
            "DROP TABLE item",
            "DELETE FROM item",
            "INSERT INTO item VALUES (9, 'x', NULL, 1)",
            "SELECT 1; DROP TABLE item",
            f"ATTACH '{other}' AS other",
            f"VACUUM INTO '{other}'",
            "PRAGMA journal_mode = WAL",
            "SELECT load_extension('/tmp/x')",
            "SELECT writefile('x', 'y')",
            "\0",
            "(" * 50_000,
        ):
            for path, name in (("run", "sql"), ("sql", "question")):
                got = httpx.post(f"http://{host}:{port}/v1/{path}", json={"database": "shop", name: sql}, timeout=30)
                assert got.status_code == 422 or got.json()["error"]["category"] != "ok", sql


def test_names_of_databases_are_no_paths(make_service: Any, item_database: Path) -> None:
    with unharmed(make_service(), item_database.parent) as (host, port), httpx.Client() as client:
        for name in (
            "../../x",
            str(item_database),
            "/etc/passwd",
            "shop\0",
            "x" * 100_000,
            "shop/../shop",
            "\\\\host\\x",
        ):
            for path, more in (("sql", {"question": "x"}), ("run", {"sql": "x"}), ("feedback", {"question": "x", "sql": "x", "verdict": "good"})):  # fmt: skip
                got = client.post(f"http://{host}:{port}/v1/{path}", json={"database": name, **more})
                assert got.status_code in (404, 422), name
                assert str(item_database.parent) not in got.text or name == str(item_database)
        for path in ("/page/..%2f..%2fserve.py", "/page//etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page/%00", "//v1"):
            assert client.get(f"http://{host}:{port}{path}").status_code == 404


def test_bodies_that_are_too_large_or_too_slow(make_service: Any, item_database: Path) -> None:
    with unharmed(make_service(), item_database.parent, body_seconds=0.5) as address:
        assert b" 413 " in speak(address, head(Content_Length=10**12), b"x" * 1000)
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        heard = speak(address, head(Transfer_Encoding="chunked"), chunk * 20, b"0\r\n\r\n")
        assert b" 413 " in heard
        assert json.loads(heard.partition(b"\r\n\r\n")[2])["error"]["code"] == "body_too_large"
        started = time.monotonic()
        heard = speak(address, head(Content_Length=100), b"{")
        assert b" 408 " in heard
        assert time.monotonic() - started < 5


def test_requests_that_are_none(make_service: Any, item_database: Path) -> None:
    with unharmed(make_service(), item_database.parent) as address:
        for said in (
            b"hello\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
            head(Cookie="x" * 400_000),
            head(Content_Length="-1"),
            head(Content_Length="ten"),
            head(Transfer_Encoding="gzip"),
            head(Transfer_Encoding="chunked") + b"zz\r\n",
            head().replace(b"Host: 127.0.0.1\r\n", b""),
        ):
            heard = speak(address, said)
            assert heard.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501", b"closed")), (said[:60], heard[:200])
            assert b"open" not in heard[-10:]


def test_those_who_say_nothing_are_shown_out(
    make_service: Any, item_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.3)
    with unharmed(make_service(), item_database.parent) as address:
        assert speak(address, b"") == b""
        assert speak(address, b"POST /v1/sql HTTP/1.1\r\nHost:") == b""
        alive = speak(address, head("/health", "GET"), patience=5)
        assert alive.startswith(b"HTTP/1.1 200")
        assert not alive.endswith(b"open")


def test_those_who_do_not_listen_are_shown_out(
    make_service: Any, item_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LISTEN_SECONDS", 0.3)
    body = json.dumps({"database": "shop", "sql": "SELECT printf('%.*c', 900000, 'x') FROM item a, item b"}).encode()
    with unharmed(make_service(), item_database.parent) as address, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(10)
        deaf.connect(address)
        deaf.sendall(head("/v1/run", Content_Length=len(body)) + body)
        time.sleep(1.5)
        with pytest.raises((ConnectionResetError, AssertionError)):
            got = b""
            while chunk := deaf.recv(1 << 20):
                got += chunk
            assert len(got) > 3_000_000, "the rest was not sent"


def test_a_thousand_connections(make_service: Any, item_database: Path) -> None:
    service = make_service()
    with unharmed(service, item_database.parent) as address:
        held = []
        try:
            for _ in range(1000):
                one = socket.create_connection(address, timeout=10)
                one.sendall(b"GET /health HTTP/1.1\r\n")
                held.append(one)
            busy = b"".join(one.recv(4096) for one in held[-5:])
            assert busy.count(b"HTTP/1.1 503 Service Unavailable") == 5
            assert b'"code": "too_many_connections"' in busy
            held[0].sendall(b"Host: 127.0.0.1\r\n\r\n")
            assert held[0].recv(4096).startswith(b"HTTP/1.1 200"), "those who were here first are served"
        finally:
            for one in held:
                one.close()
        until(lambda: httpx.get(f"http://{address[0]}:{address[1]}/health").status_code == 200)
    assert b'loraql_rejected_total{code="too_many_connections"}' in service.metrics.text()


def test_many_at_once_with_nonsense(make_service: Any, item_database: Path) -> None:
    nonsense = (
        b'{"database": "shop", "question": "' + b"\\u0000" * 500 + b'"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe\x00",
        b'{"database": "shop", "question": ' + b"1" * 10_000 + b"}",
        b"null",
        b"",
    )
    with unharmed(make_service(), item_database.parent) as (host, port), httpx.Client() as client:

        def shout() -> None:
            for body in nonsense:
                for path in ("sql", "run", "feedback", "chat/completions"):
                    got = client.post(f"http://{host}:{port}/v1/{path}", content=body, headers={"Content-Type": "application/json"})  # fmt: skip
                    answered.append((got.status_code, body[:20]))

        answered: list[tuple[int, bytes]] = []
        threads = [threading.Thread(target=shout) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answered) == 4 * 4 * len(nonsense)
    assert {status for status, _ in answered} <= {200, 400, 422, 429}


PROGRAM = """
import sys
from pathlib import Path
from echo import Echo
from pipeline import answerer
from pipeline.exits import guard
from pipeline.serve import Serving, serve
answerer.Answerer = lambda *_, **__: Echo()
sys.exit(guard(lambda: serve(Path("exported"), Serving(databases=[f"shop={sys.argv[1]}"], port=0))))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_the_server_finishes_what_it_began(number: signal.Signals, item_database: Path) -> None:
    paths = os.pathsep.join(str(path) for path in (Path(__file__).parent, Path(__file__).parent.parent))
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(item_database)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    ) as process:
        assert process.stdout
        assert process.stderr
        line = next(line for line in process.stdout if line.startswith("serving"))
        url = line.split(" on ")[1].split()[0]
        slow = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000) SELECT max(x) FROM n"
        answers: list[Any] = []

        def ask() -> None:
            answers.append(httpx.post(f"{url}/v1/run", json={"database": "shop", "sql": slow}, timeout=30).json())

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: httpx.get(f"{url}/health").json()["waiting"] == 1 or answers)
        process.send_signal(number)
        thread.join()
        assert answers[0]["error"] or answers[0]["rows"] == [[1000000]]
        assert process.wait(20) == 0
        assert process.stdout.read().splitlines()[-1] == "stopped"
        assert process.stderr.read() == ""
