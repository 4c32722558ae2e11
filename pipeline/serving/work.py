"""Blocking work for waiting clients: a bounded number of jobs in threads, each told to stop when nobody waits for it.

The event loop never blocks: it starts jobs, and waits for the first of result, disconnect and time limit.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from starlette.requests import Request

from data.errors import UserError
from pipeline.batcher import Cancelled
from pipeline.serving.errors import ApiError

RETRY_SECONDS = 5
Result = TypeVar("Result")


@dataclass(eq=False)
class Job(Generic[Result]):
    """A job in its thread; it ends soon after `stop` is set."""

    future: "asyncio.Future[Result]"
    deadline: float  # of the event loop's clock
    stop: threading.Event


class Desk:
    """Starts jobs, at most `most` at once, and lets each take `seconds` at the most."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="loraql-serve")
        self._stops: set[threading.Event] = set()
        self._closing = False

    @property
    def waiting(self) -> int:
        return len(self._stops)

    def start(self, work: Callable[[threading.Event], Result]) -> Job[Result]:
        """Raises ApiError 429 if there is no room, 503 if the server is stopping."""
        if self._closing:
            raise ApiError(503, "the server is stopping", "stopping")
        if len(self._stops) >= self._most:
            raise _full()
        stop = threading.Event()
        self._stops.add(stop)

        def run() -> Result:
            try:
                return work(stop)
            finally:
                self._stops.discard(stop)

        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, run)
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # one that nobody waits for
        deadline = loop.time() + self._seconds
        timer = loop.call_at(deadline, stop.set)
        future.add_done_callback(lambda _: timer.cancel())
        return Job(future, deadline, stop)

    async def run(self, request: Request, work: Callable[[threading.Event], Result]) -> Result:
        """The result of the work, for as long as the client waits. Raises ApiError."""
        job = self.start(work)
        try:
            await self.wait(request, job)
            return self.result(job)
        finally:
            job.stop.set()

    async def wait(self, request: Request, job: Job[Any], also: Awaitable[Any] | None = None) -> None:
        """Until the job is done, or `also` is. Raises ApiError if the client leaves or the time is up."""
        gone = asyncio.ensure_future(_gone(request))
        others = [gone, *([asyncio.ensure_future(also)] if also else [])]
        left = job.deadline - asyncio.get_running_loop().time()
        try:
            done, _ = await asyncio.wait(
                [job.future, *others], timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for other in others:
                other.cancel()
        if not done:
            raise self.late()
        if done == {gone}:
            raise ApiError(499, "the client has left", "client_left")

    def result(self, job: Job[Result]) -> Result:
        """What a job that is done gave. Raises ApiError for what went wrong."""
        try:
            return job.future.result()
        except Cancelled:
            late = not self._closing and asyncio.get_running_loop().time() >= job.deadline
            raise self.late() if late else ApiError(503, "the server is stopping", "stopping") from None
        except MemoryError:
            raise ApiError(503, "the model ran out of memory; ask something shorter", "out_of_memory") from None
        except UserError as error:
            raise ApiError(400, str(error), "cannot_answer") from None

    def late(self) -> ApiError:
        return ApiError(504, f"not answered within {self._seconds:g} seconds", "timeout")

    def stop(self) -> None:
        """Takes no more work, and tells all that is going on to end."""
        self._closing = True
        for stop in list(self._stops):
            stop.set()

    def close(self) -> None:
        """Waits for the threads."""
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _full() -> ApiError:
    message = "too many questions are waiting; try again in a moment"
    return ApiError(429, message, "queue_full", {"Retry-After": str(RETRY_SECONDS)})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
