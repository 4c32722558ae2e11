"""Downloads that break off are taken up again, and only the rest is sent."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data import fetch
from data.errors import UserError
from data.fetch import UnreachableError, download

BODY = bytes(range(256)) * 4000


def ignore(done: int, total: int | None) -> None:
    """A report that nobody reads."""


class Server(ThreadingHTTPServer):
    """Serves one body at every path; the attributes say how well it behaves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag: str | None = '"one"'
        self.ranges = True
        self.status = 200
        self.length = True  # names the length of its answers
        self.kind = "application/zip"
        self.breaks_after: int | None = None  # bytes of an answer before the connection drops
        self.asked: list[dict[str, str]] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/spider.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(dict(self.headers))
        start, range_asked = 0, self.headers.get("Range")
        if range_asked and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(range_asked.removeprefix("bytes=").rstrip("-"))
        if start and start >= len(server.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.body)}")
            self.end_headers()
            return
        body = server.body[start:]
        self.send_response(206 if start else server.status)
        self.send_header("Content-Type", server.kind)
        if server.length:
            self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        body = body[: server.breaks_after]
        self.wfile.write(body)
        server.sent += len(body)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def broken(server: Server, tmp_path: Path) -> Path:
    """The target of a transfer that broke off after 300,000 bytes; the server behaves from now on."""
    server.breaks_after = 300_000
    with pytest.raises(UnreachableError, match="broke off at 300,000 of 1,024,000 bytes"):
        download(server.url, tmp_path / "spider.zip", ignore)
    server.breaks_after = None
    server.sent = 0
    return tmp_path / "spider.zip"


def test_a_file_comes_whole_and_leaves_nothing_else(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "spider.zip"
    download(server.url, target, ignore)
    assert target.read_bytes() == BODY
    assert list(target.parent.iterdir()) == [target]
    assert "Range" not in server.asked[0]


def test_progress_is_reported_to_the_last_byte(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    download(server.url, tmp_path / "spider.zip", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_broken_transfer_keeps_what_came_and_is_no_finished_file(broken: Path) -> None:
    assert not broken.exists()
    assert broken.with_name("spider.zip.part").read_bytes() == BODY[:300_000]


def test_a_broken_transfer_is_taken_up_where_it_broke(server: Server, broken: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    download(server.url, broken, lambda done, total: seen.append((done, total)))
    assert server.asked[-1]["Range"] == "bytes=300000-"
    assert server.asked[-1]["If-Range"] == '"one"'
    assert server.sent == len(BODY) - 300_000
    assert broken.read_bytes() == BODY
    assert seen[0][0] > 300_000
    assert seen[-1] == (len(BODY), len(BODY))
    assert list(broken.parent.iterdir()) == [broken]


def test_a_transfer_that_breaks_twice_goes_on_twice(server: Server, broken: Path) -> None:
    server.breaks_after = 500_000
    with pytest.raises(UnreachableError, match="broke off at 800,000 of"):
        download(server.url, broken, ignore)
    server.breaks_after = None
    download(server.url, broken, ignore)
    assert server.asked[-1]["Range"] == "bytes=800000-"
    assert broken.read_bytes() == BODY


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, broken: Path) -> None:
    server.body, server.etag = b"another version " * 9999, '"two"'
    download(server.url, broken, ignore)
    assert broken.read_bytes() == server.body
    assert server.sent == len(server.body)


def test_a_server_without_ranges_starts_over(server: Server, broken: Path) -> None:
    server.ranges = False
    download(server.url, broken, ignore)
    assert broken.read_bytes() == BODY
    assert server.sent == len(BODY)


def test_without_a_mark_of_the_version_nothing_is_resumed(server: Server, tmp_path: Path) -> None:
    server.etag, server.breaks_after = None, 1000
    with pytest.raises(UnreachableError):
        download(server.url, tmp_path / "spider.zip", ignore)
    server.breaks_after = None
    download(server.url, tmp_path / "spider.zip", ignore)
    assert "Range" not in server.asked[-1]
    assert (tmp_path / "spider.zip").read_bytes() == BODY


def test_what_came_from_another_address_is_not_taken_up(server: Server, broken: Path) -> None:
    download(server.url + "?other", broken, ignore)
    assert "Range" not in server.asked[-1]
    assert broken.read_bytes() == BODY


@pytest.mark.parametrize("memory", ["", "{", "{}"])
def test_a_damaged_memory_of_the_earlier_transfer_starts_over(server: Server, broken: Path, memory: str) -> None:
    broken.with_name("spider.zip.part.json").write_text(memory)
    download(server.url, broken, ignore)
    assert broken.read_bytes() == BODY
    assert server.sent == len(BODY)


def test_a_transfer_that_was_whole_but_not_renamed_is_finished(server: Server, broken: Path) -> None:
    """Killed between the last byte and the rename: the server has nothing more to send."""
    broken.with_name("spider.zip.part").write_bytes(BODY)
    download(server.url, broken, ignore)
    assert broken.read_bytes() == BODY


def test_a_file_without_a_named_length_comes_whole(server: Server, tmp_path: Path) -> None:
    server.length = False
    download(server.url, tmp_path / "spider.zip", ignore)
    assert (tmp_path / "spider.zip").read_bytes() == BODY


def test_a_web_page_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.kind, server.body = "text/html; charset=utf-8", b"<html>Quota exceeded</html>"
    with pytest.raises(UserError, match="web page instead of the file") as caught:
        download(server.url, tmp_path / "spider.zip", ignore)
    assert not isinstance(caught.value, UnreachableError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_error_answer_names_the_address(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(UserError) as caught:
        download(server.url, tmp_path / "spider.zip", ignore)
    assert server.url in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(UnreachableError, match="refused") as caught:
            download(url, tmp_path / "x", ignore)
    assert url in str(caught.value)


def test_a_server_that_falls_silent_is_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UnreachableError, match="timed out"):
            download(f"http://127.0.0.1:{silent.getsockname()[1]}/x", tmp_path / "x", ignore)


def test_a_name_that_does_not_resolve_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        download("http://nowhere.invalid/x", tmp_path / "x", ignore)


@pytest.mark.parametrize(
    "answer", [b"rubbish\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort"]
)
def test_a_server_that_speaks_no_proper_http_is_one_line(tmp_path: Path, answer: bytes) -> None:
    def reply(listening: socket.socket) -> None:
        with listening.accept()[0] as opened:
            opened.recv(4096)
            opened.sendall(answer)

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        threading.Thread(target=reply, args=(listening,), daemon=True).start()
        with pytest.raises(UserError):
            download(f"http://127.0.0.1:{listening.getsockname()[1]}/x", tmp_path / "x", ignore)
