"""Connections: how many there may be, how long a client may take to speak or to listen, and how the server ends.

uvicorn bounds none of these by itself.
"""

import asyncio
import contextlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import h11
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.serving.errors import ApiError

MOST_CONNECTIONS = 512
HEADER_BYTES = 32_768
HEADER_SECONDS = 15.0  # for a request's line and headers
LISTEN_SECONDS = 60.0  # for taking in what was sent
IDLE_SECONDS = 10  # between two requests
STOP_SECONDS = 5.0  # for answers that are told to end
BUSY = ApiError(503, "too many connections; try again in a moment", "too_many_connections", {"Retry-After": "5"})


class Patient(H11Protocol):
    """One connection, whose patience with its client has an end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        if len(self.connections) > MOST_CONNECTIONS:
            self.config.app.metrics.rejected.labels(BUSY.code).inc()  # type: ignore[union-attr]
            transport.write(_plain_response(BUSY))
            transport.close()
            return
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers.values():
            timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        if not self.transport.is_closing():
            self._expect_headers()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._set_timer("listen", LISTEN_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._drop_timer("listen")

    def send_400_response(self, msg: str) -> None:
        with contextlib.suppress(h11.LocalProtocolError):
            self.conn.send_failed()
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_plain_response(ApiError(400, "that is not a valid HTTP request", "bad_request")))
        self.transport.close()

    def _expect_headers(self) -> None:
        self._set_timer("headers", HEADER_SECONDS, self._check_headers)

    def _check_headers(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _set_timer(self, name: str, seconds: float, call: Callable[[], Any]) -> None:
        self._drop_timer(name)
        self._timers[name] = self.loop.call_later(seconds, call)

    def _drop_timer(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()


def _plain_response(error: ApiError) -> bytes:
    """An answer outside of any request."""
    body = json.dumps(error.body).encode()
    reason = {400: "Bad Request", 503: "Service Unavailable"}[error.status]
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **error.headers,
    }
    lines = [f"HTTP/1.1 {error.status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body


class Stoppable(Server):
    """SIGTERM and Ctrl-C end it: what is running is finished, within `patience` seconds, then `on_late` is called."""

    def __init__(self, config: Config, patience: float, on_late: Callable[[], None]) -> None:
        super().__init__(config)
        self._patience, self._on_late = patience, on_late

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that ended the server is not raised again: it was obeyed."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: Any = None) -> None:
        timer = asyncio.get_running_loop().call_later(self._patience, self._on_late)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()


def make_server(app: Any, *, patience: float, on_late: Callable[[], None], trust_proxies: bool = False) -> Stoppable:
    """A server of the app, to be run with a bound socket."""
    config = Config(
        app,
        loop="asyncio",
        http=Patient,
        ws="none",
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=trust_proxies,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=int(patience + STOP_SECONDS),
    )
    return Stoppable(config, patience, on_late)
