"""An exported model that answers questions about databases: for `ask`, `chat`, `serve` and Python.

Reads the exported folder once. Each answer is SQL in the database's own words, what came of running it, the tables that
it reads and what to be wary of. A query that fails is asked for again with its error; of several drawn ones the result
that comes most often wins.
"""

import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from eval.extract import extract_sql, is_complete
from eval.naming import names_in
from eval.sandbox import Outcome, Row
from eval.vote import commonest
from pipeline.batcher import Batcher, Cancelled, OnText, Pending
from pipeline.bundle import SETTINGS, read_bundle
from pipeline.choosing import Decoding, Request
from pipeline.constrain import Constraints
from pipeline.databases import Database
from pipeline.generation import Generation
from pipeline.model import (
    context_window,
    encode_prompts,
    load_model,
    load_tokenizer,
    pick_dtype,
    quiet_libraries,
    wrap_correction,
    wrap_messages,
    wrap_prompt,
    wrap_turn,
)
from pipeline.stage import read_json

if TYPE_CHECKING:
    import pandas as pd

PATIENCE = 0.05  # seconds between two looks at whether an answer is still wanted
VOTING_TEMPERATURE = 0.7


@dataclass(frozen=True)
class Options:
    """How to answer: tries after one that fails, answers that vote, and how tokens are chosen.

    A vote draws, at `VOTING_TEMPERATURE` where none is given. `max_new_tokens` is the model's own if not given.
    """

    retry: int = 1
    vote: int = 1
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int | None = None
    seed: int = 0
    execute: bool = True


@dataclass(frozen=True)
class Answer:
    """What came of one question; `outcome` is None if the SQL was not run. `sql` is "" if the model wrote none.

    `tokens` were written, and `prompt_tokens` read, in all tries. `ended`: the answer was not cut off.
    """

    question: str
    sql: str
    outcome: Outcome | None
    tables: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tokens: int = 0
    milliseconds: float = 0.0
    prompt_tokens: int = 0
    ended: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        return self.outcome.columns if self.outcome else ()

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.outcome.rows if self.outcome else ()

    def frame(self) -> "pd.DataFrame":
        """The rows for pandas; no columns where the query failed or was not run."""
        import pandas as pd

        return pd.DataFrame([list(row) for row in self.rows], columns=list(self.columns))


@dataclass(frozen=True)
class _Try:
    """One query: as the model wrote it, after which prompt, in the database's words, and what came of it."""

    written: str
    prompt: str
    sql: str
    outcome: Outcome | None
    generation: Generation

    @property
    def error(self) -> str:
        """What is wrong with it; "" if nothing, or it was not run."""
        if self.outcome is None or self.outcome.category == "ok":
            return ""
        return self.outcome.message or self.outcome.category.replace("_", " ")


class Answerer:
    """A loaded model. Safe to use from several threads, whose questions are answered in one batch."""

    def __init__(self, folder: Path, *, batch_size: int = 8) -> None:
        """Raises UserError if the folder is no exported model."""
        quiet_libraries()
        self.folder, self.bundle = folder, read_bundle(folder)
        self.name = str(read_json(folder / SETTINGS).get("name") or _run_name(folder.resolve()))
        self.tokenizer: Any = load_tokenizer(folder)
        model = load_model(folder, dtype=pick_dtype("auto"))
        self.window = context_window(model)
        self.batcher = Batcher(model, self.tokenizer, batch_size=batch_size)
        weakref.finalize(self, self.batcher.close, drain=False)  # its thread would hold the model for ever
        self._lock = threading.Lock()
        self._constraints = Constraints(self.tokenizer)

    def __enter__(self) -> "Answerer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close(drain=False)

    @property
    def failed(self) -> bool:
        """Whether it answers no more, after an error that nobody foresaw."""
        return self.batcher.failed

    def close(self, drain: bool = True) -> None:
        """Ends when what is asked is answered, or at once."""
        self.batcher.close(drain)

    def answer(
        self,
        database: Database,
        question: str,
        options: Options | None = None,
        *,
        earlier: tuple[str, str] | None = None,
        on_text: OnText | None = None,
        stop: threading.Event | None = None,
    ) -> Answer:
        """One question about one database; `earlier` is the question and SQL that it follows on.

        `on_text` sees the first answer grow, from another thread; `stop` ends the work with Cancelled. Raises
        UserError for a question that is empty or does not fit the model.
        """
        options = options or Options()
        start = time.perf_counter()
        prompt = self.prompt(database, question, earlier)
        stop = stop or threading.Event()
        tries = [self._first(database, prompt, options, on_text, stop)]
        while tries[-1].error and len(tries) <= options.retry and tries[-1].written:
            again = wrap_correction(self.tokenizer, tries[-1].prompt, tries[-1].written, tries[-1].error)
            if self._tokens(again) > self.window - self._decoding(options).max_new_tokens:
                break
            (written,) = self._write(database, [again], options, None, stop)
            tries.append(self._try(database, again, written, options))
        # A second failure is no better than the first.
        chosen = next((one for one in tries if not one.error), tries[0])
        notes = []
        if chosen is not tries[0]:
            notes.append(f"the first query failed ({tries[0].error}); this is another try")
        elif len(tries) > 1:
            notes.append(f"asked again with the error, the model failed again: {tries[-1].sql}")
        if not chosen.generation.ended:
            notes.append(f"the answer was cut off after {self._decoding(options).max_new_tokens} tokens")
        judged = self._judged(database, question, chosen.sql, chosen.outcome, notes)
        return replace(
            judged,
            tokens=sum(one.generation.tokens for one in tries),
            prompt_tokens=sum(self._tokens(one.prompt) for one in tries),
            ended=chosen.generation.ended,
            milliseconds=1000 * (time.perf_counter() - start),
        )

    def judge(self, database: Database, question: str, sql: str) -> Answer:
        """SQL that a person wrote, in the database's own words: run, with its tables and warnings."""
        start = time.perf_counter()
        sql = extract_sql(sql)
        outcome = database.run(sql) if sql else None
        judged = self._judged(database, question, sql, outcome, [])
        return replace(judged, milliseconds=1000 * (time.perf_counter() - start))

    def prompt(self, database: Database, question: str, earlier: tuple[str, str] | None = None) -> str:
        """The text that is put to the model, chat template and all. Raises UserError where there is no question, or no room."""
        if not question.strip():
            raise UserError("the question is empty")
        asked, sql = earlier or (question, "")
        with self._lock:  # indexes of values and examples are made on first use
            text = self.bundle.prompt(
                asked.strip(),
                database.schema,
                database.path,
                lambda text: self._tokens(wrap_prompt(self.tokenizer, text)),
            )
        prompt = wrap_prompt(self.tokenizer, text)
        if earlier:
            prompt = wrap_turn(self.tokenizer, prompt, sql, question.strip())
        needed = self._tokens(prompt) + self.bundle.max_new_tokens
        if needed > self.window:
            raise UserError(
                f"{database.name}: its schema and the question take {needed} tokens with the answer, more than the {self.window} of the model's window"
            )
        return prompt

    def request(self, database: Database, prompt: str, seed: int = 0) -> Request:
        """What `prompt` gave, as the model takes it."""
        (ids,) = encode_prompts(self.tokenizer, [prompt])
        return Request(ids, seed, self._constraints.of(database.schema) if self.bundle.constrain else None)

    def complete(
        self, messages: Sequence[Mapping[str, str]], decoding: Decoding, *, seed: int = 0, on_text: OnText | None = None
    ) -> Pending:
        """What the bare model says next in a conversation of messages with role and content."""
        (ids,) = encode_prompts(self.tokenizer, [wrap_messages(self.tokenizer, messages)])
        if len(ids) + decoding.max_new_tokens > self.window:
            raise UserError(
                f"{len(ids)} tokens and {decoding.max_new_tokens} new ones are more than the {self.window} of the model's window"
            )
        return self.batcher.submit(Request(ids, seed), decoding, on_text=on_text)

    def _first(
        self, database: Database, prompt: str, options: Options, on_text: OnText | None, stop: threading.Event
    ) -> _Try:
        """The answer, or of several the one that most others agree with."""
        count = options.vote if options.execute else 1
        generations = self._write(database, [prompt] * count, options, on_text, stop)
        tries = [self._try(database, prompt, generation, options) for generation in generations]
        if len(tries) == 1:
            return tries[0]
        elected = tries[commonest([one.sql for one in tries], [one.outcome or Outcome("error") for one in tries])]
        tokens = sum(generation.tokens for generation in generations)
        return replace(elected, generation=replace(elected.generation, tokens=tokens))

    def _write(
        self,
        database: Database,
        prompts: Sequence[str],
        options: Options,
        on_text: OnText | None,
        stop: threading.Event,
    ) -> list[Generation]:
        decoding = self._decoding(options)
        asked: list[Pending] = []
        try:
            for number, prompt in enumerate(prompts):
                request = self.request(database, prompt, 1000 * options.seed + number)
                seen = on_text if number == 0 else None
                asked.append(self.batcher.submit(request, decoding, on_text=seen, is_complete=is_complete))
            return [_wait(pending, stop) for pending in asked]
        finally:
            for pending in asked:
                pending.cancel()

    def _decoding(self, options: Options) -> Decoding:
        drawn = options.temperature or (VOTING_TEMPERATURE if options.vote > 1 else 0.0)
        most = options.max_new_tokens or self.bundle.max_new_tokens
        return Decoding(most, drawn, options.top_k, options.top_p, options.repetition_penalty)

    def _try(self, database: Database, prompt: str, generation: Generation, options: Options) -> _Try:
        written = extract_sql(generation.text)
        if not written:
            return _Try("", prompt, "", None, generation)
        try:
            sql = database.native(written)
        except ValueError as error:
            failed = Outcome("error", message=f"it cannot be said in the database's SQL: {error}")
            return _Try(written, prompt, written, failed, generation)
        outcome = database.run(sql) if options.execute else None
        return _Try(written, prompt, sql, outcome, generation)

    def _judged(
        self, database: Database, question: str, sql: str, outcome: Outcome | None, notes: Sequence[str]
    ) -> Answer:
        tables, lacking = names_in(sql, database.schema, database.dialect) if sql else ((), ())
        warnings = [*notes, *lacking]
        if outcome and outcome.category == "ok" and not outcome.rows:
            warnings.append("the query returns no rows")
        return Answer(question, sql, outcome, tables, tuple(warnings))

    def _tokens(self, text: str) -> int:
        return len(encode_prompts(self.tokenizer, [text])[0])


def _run_name(folder: Path) -> str:
    """The run's name for an export that does not say it."""
    return folder.parts[-3] if folder.parts[-2:] == ("export", "merged") and len(folder.parts) > 3 else folder.name


def _wait(pending: Pending, stop: threading.Event) -> Generation:
    while True:
        try:
            return pending.result(PATIENCE)
        except TimeoutError:
            if stop.is_set():
                pending.cancel()
                raise Cancelled from None
