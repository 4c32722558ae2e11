"""One thread that writes to all prompts that are asked for, by whomever: they join one batch and leave it at any token.

Holds a loaded model; writes no files. `pipeline/answerer.py` asks it for one user or for many.
"""

import itertools
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pipeline.choosing import Decoding, Request, Rules
from pipeline.generation import Generation, Writer
from pipeline.openings import REMEMBERED

OnText = Callable[[str], None]
IsComplete = Callable[[str], bool]


class Cancelled(Exception):  # noqa: N818
    """Nobody waits for this answer any more, or the model is being put away."""


@dataclass(frozen=True, eq=False)
class Pending:
    """An answer that is being written."""

    request: Request
    decoding: Decoding
    future: Future[Generation]
    stop: threading.Event
    on_text: OnText | None
    is_complete: IsComplete | None

    def result(self, timeout: float | None = None) -> Generation:
        """The answer. Raises TimeoutError after so many seconds, Cancelled, MemoryError, or what ended the thread."""
        return self.future.result(timeout)

    def cancel(self) -> None:
        """Makes room for others; `result` raises Cancelled, unless the answer is there already."""
        self.stop.set()


class Batcher:
    """Writes to at most `batch_size` prompts at a time; any number may wait. Safe to use from several threads."""

    def __init__(self, model: Any, tokenizer: Any, *, batch_size: int) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._batch_size = batch_size
        self._changed = threading.Condition()
        self._arrived: list[Pending] = []
        self._held: dict[int, Pending] = {}  # by place: those that the writer has
        self._open = True
        self.failed = False  # an error that nobody foresaw has ended the thread
        self._places = itertools.count()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many answers are asked for and not yet there."""
        with self._changed:
            return len(self._arrived) + len(self._held)

    def submit(
        self,
        request: Request,
        decoding: Decoding,
        *,
        on_text: OnText | None = None,
        is_complete: IsComplete | None = None,
    ) -> Pending:
        """Asks for an answer; `on_text` gets the whole text as it grows, in another thread.

        Raises Cancelled after `close`, or RuntimeError after a failure.
        """
        pending = Pending(request, decoding, Future(), threading.Event(), on_text, is_complete)
        with self._changed:
            if self.failed:
                raise RuntimeError("the model has failed; it has to be loaded again")
            if not self._open:
                raise Cancelled
            self._arrived.append(pending)
            self._changed.notify()
        return pending

    def close(self, drain: bool = True) -> None:
        """Takes no more, and ends when all is written; or at once, if not to `drain`."""
        with self._changed:
            self._open = False
            if not drain:
                for pending in (*self._arrived, *self._held.values()):
                    pending.cancel()
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._serve():
                pass
        finally:  # whatever went wrong: nobody is left to wait
            with self._changed:
                self._open, self.failed = False, sys.exception() is not None
                left = [*self._arrived, *self._held.values()]
            for pending in left:
                pending.future.set_exception(sys.exception() or Cancelled())

    def _serve(self) -> bool:
        """Writes until closed; True where the batch was too much for the memory, and a new one has to be begun."""
        import torch

        rules = Rules()
        writer = Writer(
            self._model,
            self._tokenizer,
            batch_size=self._batch_size,
            choose=rules.choose,
            ends=self._ends,
            on_done=self._finish,
            prefixes=REMEMBERED,
        )
        try:
            while self._take(writer, rules):
                writer.step()
        except (torch.OutOfMemoryError, MemoryError) as error:
            for place in list(self._held):
                self._release(place).set_exception(MemoryError(str(error)))
            return True
        return False

    def _take(self, writer: Writer, rules: Rules) -> bool:
        """Hands the writer what has come and takes from it what is not wanted any more; False where all is done."""
        with self._changed:
            while self._open and not self._arrived and not self._held:
                self._changed.wait()
            arrived, self._arrived = self._arrived, []
            new = {next(self._places): pending for pending in arrived}
            self._held |= new
        for place, pending in new.items():
            rules.add(place, pending.request, pending.decoding)
            writer.join(place, pending.request.ids, pending.decoding.max_new_tokens)
        for place in [place for place, pending in self._held.items() if pending.stop.is_set()]:
            writer.drop(place)
            self._release(place).set_exception(Cancelled())
        for place in rules.places - self._held.keys():
            rules.drop(place)
        return bool(self._open or self._held or self._arrived)

    def _ends(self, place: int, text: str) -> bool:
        pending = self._held[place]
        if pending.on_text and not pending.stop.is_set():
            pending.on_text(text)
        return pending.is_complete is not None and pending.is_complete(text)

    def _finish(self, place: int, generation: Generation) -> None:
        self._release(place).set_result(generation)

    def _release(self, place: int) -> Future[Generation]:
        with self._changed:
            return self._held.pop(place).future
