"""What every request passes through before it is looked at, and every answer after.

Host, origin, key, rate and body are checked here, in the order of what they cost; answers get their security headers
and are counted. Plain ASGI, so that a body is read once and a client that leaves is noticed.
"""

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.errors import ApiError
from pipeline.serving.guards import SECURITY_HEADERS, Guard
from pipeline.serving.limits import BODY_SECONDS, Buckets, discard_body, read_body, replay
from pipeline.serving.metrics import Metrics

JSON = "application/json"
READING = ("GET", "HEAD", "OPTIONS")


class Gate:
    """Wraps the app. `routes`: the paths that are counted by themselves."""

    def __init__(
        self,
        app: ASGIApp,
        guard: Guard,
        buckets: Buckets,
        metrics: Metrics,
        routes: frozenset[str],
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app, self._guard, self._buckets, self.metrics = app, guard, buckets, metrics
        self._routes, self._body_seconds = routes, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # no other protocol is spoken here
            return
        path, start, status = scope["path"], time.perf_counter(), 499  # who left before an answer
        route = path if path in self._routes else "/page" if path.startswith("/page/") else "other"

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-cache" if route in ("/", "/page") else "no-store")
            await send(message)

        try:
            await self._pass(scope, receive, send_on)
        finally:
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - start)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        has_body = "content-length" in headers or "transfer-encoding" in headers
        try:
            self._check(scope, headers)
            if has_body:
                length = headers.get("content-length")
                body = await read_body(
                    receive, int(length) if length and length.isdigit() else None, self._body_seconds
                )
                if body is None:
                    return
                receive = replay(body, receive)
        except ApiError as error:
            if error.code:
                self.metrics.rejected.labels(error.code).inc()
            if has_body:
                if "expect" not in headers and error.status != 408:
                    await discard_body(receive)
                error.headers["Connection"] = "close"
            await error.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        path = scope["path"]
        self._guard.check_host(headers)
        if scope["method"] not in READING:
            self._guard.check_origin(headers)
        if path.startswith("/v1/"):
            self._buckets.take(scope["client"][0] if scope.get("client") else "")
        if path.startswith("/v1/") or path == "/metrics":
            self._guard.check_key(headers)
        # No form of another page can send this type.
        if scope["method"] == "POST" and headers.get("content-type", JSON).partition(";")[0].strip().lower() != JSON:
            raise ApiError(415, f"send JSON, and say so: `Content-Type: {JSON}`", "not_json")
