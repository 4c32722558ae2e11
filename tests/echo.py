"""What tests of the server need: a model that answers with the question itself, and a server that runs."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from typing import Any

from pipeline.answerer import Answer
from pipeline.batcher import Cancelled, Pending
from pipeline.choosing import Request
from pipeline.generation import Generation
from pipeline.serve import bind
from pipeline.serving.app import make_app
from pipeline.serving.connection import make_server
from pipeline.serving.service import Service


class Characters:
    """A tokenizer to which each character is a token."""

    chat_template = "none"

    def __call__(self, texts: Any, **_: Any) -> dict[str, Any]:
        return {"input_ids": list(texts) if isinstance(texts, str) else [list(text) for text in texts]}


class Echo:
    """Answers a question with itself as SQL. `go` is cleared to let questions wait."""

    name, window, failed = "tiny", 512, False

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.tokenizer = Characters()
        self.pause_at = -1  # characters of a completion, after which it waits for ever
        self.begun = self.stopped = 0

    def answer(self, database: Any, question: str, options: Any = None, *, earlier: Any = None, stop: Any) -> Answer:
        self.begun += 1
        while not self.go.wait(0.02):
            if stop.is_set():
                self.stopped += 1
                raise Cancelled
        return self.judge(database, question, question)

    def prompt(self, _database: Any, question: str, _earlier: Any = None) -> str:
        return question

    def complete(self, messages: Any, decoding: Any, *, seed: int = 0, on_text: Any = None) -> Pending:
        """The last message again, a character at a time, each one token."""
        pending = Pending(Request([1, 2]), decoding, Future(), threading.Event(), on_text, None)
        text = messages[-1]["content"]

        def write() -> None:
            for size in range(1, min(len(text), decoding.max_new_tokens) + 1):
                while (not self.go.wait(0.02) or size == self.pause_at) and not pending.stop.wait(0.02):
                    pass
                if pending.stop.is_set():
                    self.stopped += 1
                    pending.future.set_exception(Cancelled())
                    return
                on_text(text[:size])
            done = len(text) <= decoding.max_new_tokens
            pending.future.set_result(
                Generation(text[: decoding.max_new_tokens], min(len(text), decoding.max_new_tokens), done)
            )

        self.begun += 1
        threading.Thread(target=write, daemon=True).start()
        return pending

    def close(self) -> None:
        """Nothing is held."""

    def judge(self, database: Any, question: str, sql: str) -> Answer:
        return Answer(question, sql, database.run(sql), ("item",), ("a warning",), tokens=3, milliseconds=1.5)


@contextmanager
def running(service: Service, **options: Any) -> Iterator[tuple[str, int]]:
    """The service on a real socket; its host and port."""
    with closing(bind("127.0.0.1", 0)) as bound:
        address = bound.getsockname()
        server = make_server(make_app(service, **options), patience=5, on_late=service.desk.stop)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            until(lambda: server.started)
            yield address
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def until(true: Any, seconds: float = 10.0) -> None:
    """Waits for what another thread brings about."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
