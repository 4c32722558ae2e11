"""The caller's side of the sandbox: a pool of worker processes that run `eval/sandbox.py`.

Gives each worker queries ahead of time and takes their outcomes in order. A worker that dies or outstays
its time is killed and replaced; only its query is lost.
"""

import itertools
import json
import os
import queue
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from eval import sandbox
from eval.sandbox import MAX_SQL_BYTES, Category, Limits, Outcome

KILL_GRACE_SECONDS = 1.0
# What a worker may have waiting: its pipe holds 64 KiB, so that sending never has to wait for it.
# A query that may be slow must not wait behind another while a worker is free: more than one is sent ahead only
# to a worker that has been quick, one more for each quick answer.
QUEUED_QUERIES = 8
QUEUED_BYTES = 32_768
QUICK_SECONDS = 0.02
# How far workers may run ahead of the outcome that the caller waits for, and what may be held meanwhile.
AHEAD = 512
AHEAD_BYTES = 64 * 2**20


class Sandbox:
    """A pool of worker processes; use it as a context manager. Safe to call from several threads.

    A thread that is in the middle of `map` has the workers; asking for another run raises RuntimeError.
    """

    def __init__(self, limits: Limits | None = None, workers: int | None = None) -> None:
        self.limits = limits or Limits()
        self.workers = workers or os.cpu_count() or 1
        self._idle: queue.Queue[_Worker | None] = queue.Queue()
        for _ in range(self.workers):
            self._idle.put(None)  # started when first needed
        self._driving: set[int] = set()  # the threads that are in the middle of a run

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        while not self._idle.empty():
            worker = self._idle.get()
            if worker:
                worker.stop()

    def run(self, database: Path, sql: str) -> Outcome:
        """Runs one query on one SQLite file. Never raises for anything that the query does."""
        (outcome,) = self._drive([(database, sql)], workers=1)
        return outcome

    def map(self, jobs: Iterable[tuple[Path, str]]) -> Iterator[Outcome]:
        """Runs (database, query) jobs on all idle workers; outcomes in the order of the jobs."""
        return self._drive(jobs, self.workers)

    def _drive(self, jobs: Iterable[tuple[Path, str]], workers: int) -> Iterator[Outcome]:
        """Keeps each worker's queue filled and gives outcomes in order, in the caller's own thread.

        The workers go on while the caller does something else between two outcomes.
        """
        requests = enumerate(map(_encode, jobs))
        first = next(requests, None)
        if first is None:
            return
        todo = itertools.chain([first], requests)
        # Drawn, but not with a worker: it found no room, or was lost with one that another query killed.
        again: deque[_Request] = deque()
        done: dict[int, tuple[Outcome, int]] = {}
        thread = threading.get_ident()
        pool = self._take(workers)
        self._driving.add(thread)
        try:
            for wanted in itertools.count():
                while wanted not in done:
                    held = sum(size for _, size in done.values())
                    for place, worker in enumerate(pool):
                        if not worker.alive:
                            again.extend(worker.waiting)
                            worker.stop()
                            pool[place] = worker = _Worker(self.limits)
                        while again or (len(done) < AHEAD and held < AHEAD_BYTES):
                            request = again.popleft() if again else next(todo, None)
                            if request is None:
                                break
                            if not worker.has_room(request):
                                again.appendleft(request)
                                break
                            worker.send(request)
                    busy = [worker for worker in pool if worker.waiting]
                    if not busy:
                        return
                    if held >= AHEAD_BYTES:
                        busy = [worker for worker in busy if wanted in worker.numbers] or busy
                    for worker in _ready(busy):
                        done.update(worker.receive())
                yield done.pop(wanted)[0]
        finally:
            self._driving.discard(thread)
            for worker in pool:
                usable = worker.alive and not worker.waiting
                if not usable:
                    worker.stop()
                self._idle.put(worker if usable else None)

    def _take(self, most: int) -> "list[_Worker]":
        """At least one worker, waiting for it if all are busy; more only if they are idle."""
        if threading.get_ident() in self._driving and self._idle.empty():
            raise RuntimeError("this thread is in the middle of map(), which has all the workers")
        slots = [self._idle.get()]
        while len(slots) < most:
            try:
                slots.append(self._idle.get_nowait())
            except queue.Empty:
                break
        pool: list[_Worker] = []
        try:
            for worker in slots:
                pool.append(worker or _Worker(self.limits))
        except OSError:  # no process can be started: nothing is lost for those who come later
            for worker in (*pool, *slots[len(pool) :]):
                self._idle.put(worker)
            raise
        return pool


_Request = tuple[int, bytes]  # the place of a job, and its line for the worker


def _encode(job: tuple[Path, str]) -> bytes:
    database, sql = job
    # A longer text would only be refused there; a piece of it is refused in the same way.
    return json.dumps({"database": str(database.absolute()), "sql": sql[: MAX_SQL_BYTES + 1]}).encode() + b"\n"


def _ready(busy: "list[_Worker]") -> "list[_Worker]":
    """The workers that have written something or are out of time, waiting for the first."""
    with selectors.DefaultSelector() as selector:
        for worker in busy:
            selector.register(worker.pipe, selectors.EVENT_READ, worker)
        first = min(worker.deadline for worker in busy)
        events = selector.select(max(first - time.perf_counter(), 0))
    written = [key.data for key, _ in events]
    now = time.perf_counter()
    return [worker for worker in busy if worker in written or worker.deadline <= now]


class _Worker:
    """The caller's end of one worker process, with the queries that it was sent and has not answered."""

    def __init__(self, limits: Limits) -> None:
        self.alive = True
        self.waiting: deque[_Request] = deque()
        self._limits, self._chunks, self._started = limits, list[bytes](), 0.0
        self._quick = 0  # answers in a row
        # -I -S: no environment, no site packages, no current folder on the path.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", sandbox.__file__, json.dumps(asdict(limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            bufsize=0,
            start_new_session=True,  # Ctrl-C reaches the caller alone
        )
        assert self._process.stdin and self._process.stdout
        self._input, self.pipe = self._process.stdin, self._process.stdout.fileno()

    def has_room(self, request: "_Request") -> bool:
        """Whether sending would not have to wait for the query that it is busy with."""
        queued = sum(len(text) for _, text in self.waiting) + len(request[1])
        ahead = min(QUEUED_QUERIES, 1 + self._quick)
        return self.alive and (not self.waiting or (len(self.waiting) < ahead and queued <= QUEUED_BYTES))

    @property
    def deadline(self) -> float:
        """When the query that it is busy with has to be answered."""
        return self._started + self._limits.seconds + KILL_GRACE_SECONDS

    @property
    def numbers(self) -> set[int]:
        return {number for number, _ in self.waiting}

    def send(self, request: "_Request") -> None:
        if not self.waiting:
            self._started = time.perf_counter()
        self.waiting.append(request)
        view = memoryview(request[1])
        try:
            while view:
                view = view[self._input.write(view) or 0 :]
        except OSError:
            pass  # it is gone, which the next read tells

    def receive(self) -> Iterator[tuple[int, tuple[Outcome, int]]]:
        """The outcomes that have come in, with their bytes; one that says why, if the worker is late or gone."""
        if self.deadline <= time.perf_counter() and not self._readable():
            yield self._give_up("timeout", "stopped: over the time limit")
            return
        chunk = os.read(self.pipe, 1 << 20)
        self._chunks.append(chunk)
        if not chunk:
            if self._process.wait() == -signal.SIGXCPU:
                yield self._give_up("cpu", "stopped: over the limit of processor time")
            else:
                yield self._give_up("crashed", "the worker process died")
        elif b"\n" in chunk:
            *lines, rest = b"".join(self._chunks).split(b"\n")
            self._chunks = [rest]
            for line in lines:
                yield self._answered(_decode(line), len(line))
        # JSON writes a byte of text or blob in six characters at the most.
        elif sum(map(len, self._chunks)) > 8 * self._limits.result_mb * 2**20:
            yield self._give_up("crashed", "the worker process wrote more than a result may hold")

    def _readable(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self.pipe, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _answered(self, outcome: Outcome, size: int) -> tuple[int, tuple[Outcome, int]]:
        number, _ = self.waiting.popleft()
        self._started = time.perf_counter()
        self._quick = self._quick + 1 if outcome.milliseconds < 1000 * QUICK_SECONDS else 0
        if outcome.category == "memory":  # what it still holds is not known: the next query gets a fresh one
            self.alive = False
        return number, (outcome, size)

    def _give_up(self, category: Category, message: str) -> tuple[int, tuple[Outcome, int]]:
        self.alive = False
        number, _ = self.waiting.popleft()
        milliseconds = 1000 * (time.perf_counter() - self._started)
        return number, (Outcome(category, milliseconds=milliseconds, message=message), 0)

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


def _decode(line: bytes) -> Outcome:
    reply = json.loads(line)
    rows = reply.pop("rows")
    if reply.pop("blobs"):
        rows = [[bytes.fromhex(cell["hex"]) if isinstance(cell, dict) else cell for cell in row] for row in rows]
    return Outcome(rows=tuple(map(tuple, rows)), columns=tuple(reply.pop("columns")), **reply)
