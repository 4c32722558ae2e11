"""How much a client may send, how slowly, and how often."""

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import Message, Receive

from pipeline.serving.errors import ApiError

BODY_BYTES = 1_000_000
BODY_SECONDS = 20.0
# A client that is refused while it still sends would see a broken connection instead of the answer.
DISCARDED_BYTES = 16_000_000
DISCARD_SECONDS = 2.0
MOST_CLIENTS = 10_000


async def read_body(receive: Receive, declared: int | None, seconds: float = BODY_SECONDS) -> bytes | None:
    """The whole body, counted as it comes; None if the client went away. Raises ApiError 413 or 408."""
    if declared is not None and declared > BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if len(body) > BODY_BYTES:
                    raise _too_large()
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise ApiError(408, f"the body took more than {seconds:.0f} seconds to come", "slow_body") from None


def _too_large() -> ApiError:
    return ApiError(413, f"the body is larger than {BODY_BYTES:,} bytes", "body_too_large")


async def discard_body(receive: Receive) -> None:
    """Takes what a refused client still sends, within bounds."""
    taken = 0
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while taken < DISCARDED_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


def replay(body: bytes, receive: Receive) -> Receive:
    """`receive` of a request whose body has been read: gives it once, then what the connection tells."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class Buckets:
    """A bucket of `rate` requests for each client address, filled up again within a minute. A rate of 0: no limit."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> None:
        """Raises ApiError 429 where the client has to wait. Who has not asked for longest is forgotten first."""
        if not self._rate:
            return
        client, now = _client(address), self._clock()
        left, last = self._left.pop(client, (float(self._rate), now))
        left = min(self._rate, left + (now - last) * self._rate / 60)
        allowed = left >= 1
        self._left[client] = (left - allowed, now)
        if len(self._left) > MOST_CLIENTS:
            self._left.popitem(last=False)
        if not allowed:
            wait = str(int((1 - left) * 60 / self._rate) + 1)
            message = f"more than {self._rate} requests a minute; try again in {wait} s"
            raise ApiError(429, message, "rate_limit_exceeded", {"Retry-After": wait})


def _client(address: str) -> str:
    """One name for all IPv6 addresses of a network, of which a client has as many as it likes."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network(f"{address}/64", strict=False))
    except ValueError:
        return address
