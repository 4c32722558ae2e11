"""A model's answers to the questions of a split: greedy, by a vote of several, or with another try where a query fails.

Reads rendered prompts; what is known from the cache is not asked for again. Several processes share the prompts, and
each of them comes to know all answers.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data.digest import digest_file
from data.schema import Schema, read_sqlite
from eval.extract import extract_sql
from eval.pool import Sandbox
from eval.verdict import normalize
from eval.vote import commonest
from pipeline import processes
from pipeline.answers import Answers
from pipeline.base import base_identity
from pipeline.choosing import Decoding, Request
from pipeline.config import Config
from pipeline.console import say
from pipeline.constrain import Constraint, Constraints
from pipeline.engine import Engine
from pipeline.generation import Generation
from pipeline.model import encode_prompts, pick_device, pick_dtype, wrap_correction

PACKAGES = ("torch", "transformers")
BLOCK = 256  # prompts

Keep = Callable[[int, Generation], None]
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Prompt:
    """What is asked: the text, what it is called in the cache, and the database that it is about."""

    text: str
    key: str
    db_id: str


class Asking:
    """Asks the base or an adapter. `databases` gives the file of a database by its name."""

    def __init__(
        self, config: Config, engine: Engine, tokenizer: Any, sandbox: Sandbox, databases: Callable[[str], Path]
    ) -> None:
        self._config, self._engine, self._tokenizer = config, engine, tokenizer
        self._sandbox, self._databases = sandbox, databases
        self._schemas: dict[str, Schema] = {}
        self._constraints = Constraints(tokenizer)
        self._adapter: Path | None = None
        self._greedy = Decoding(config.evaluate.max_new_tokens)

    def use(self, adapter: Path | None) -> None:
        """From now on this adapter answers, or the base alone."""
        self._adapter = adapter
        self._engine.use(adapter)

    def greedy(self, lines: Sequence[Line], keep: Keep) -> None:
        """The likeliest answers; `keep` gets each by its place as it is there."""
        self._write([_prompt(line) for line in lines], self._greedy, keep)

    def vote(self, lines: Sequence[Line], keep: Keep) -> None:
        """Of `generate.vote` drawn answers the first whose result is the commonest, with the tokens of all."""
        count, seed = self._config.generate.vote, self._config.seed
        decoding = replace(self._greedy, temperature=self._config.generate.temperature)
        once = [_prompt(line) for line in lines]
        prompts = [replace(prompt, key=f"{prompt.key}#{seed}.{number}") for prompt in once for number in range(count)]
        drawn: dict[int, dict[int, Generation]] = {}

        def collect(place: int, generation: Generation) -> None:
            question, number = divmod(place, count)
            drawn.setdefault(question, {})[number] = generation
            if len(drawn[question]) == count:
                answers = drawn.pop(question)
                keep(question, self._elect(lines[question], [answers[number] for number in range(count)]))

        self._write(prompts, decoding, collect)

    def retry(self, lines: Sequence[Line], keep: Keep) -> None:
        """The likeliest answers; a query that fails is asked for again, up to `generate.retry` times, with its error."""
        prompts = {place: _prompt(line) for place, line in enumerate(lines)}
        last: dict[int, Generation] = {}
        for left in range(self._config.generate.retry, -1, -1):
            answers = self._write(list(prompts.values()), self._greedy)
            written = dict(zip(prompts, answers, strict=True))
            last |= {place: _later(last.get(place), answer) for place, answer in written.items()}
            if left:
                prompts = processes.from_first(self._failed(prompts, written) if processes.number() == 0 else None)
        if processes.number() == 0:
            for place, answer in last.items():
                keep(place, answer)

    def _elect(self, line: Line, answers: Sequence[Generation]) -> Generation:
        queries = [normalize(extract_sql(answer.text)) for answer in answers]
        database = self._databases(line["db_id"])
        outcomes = list(self._sandbox.map((database, query) for query in queries))
        return replace(answers[commonest(queries, outcomes)], tokens=sum(answer.tokens for answer in answers))

    def _failed(self, prompts: Mapping[int, Prompt], written: Mapping[int, Generation]) -> dict[int, Prompt]:
        """The prompts of another try, for those whose query does not run."""
        queries = {place: extract_sql(answer.text) for place, answer in written.items() if not answer.too_long}
        jobs = [(self._databases(prompts[place].db_id), normalize(query)) for place, query in queries.items()]
        again = {}
        for (place, query), outcome in zip(queries.items(), list(self._sandbox.map(jobs)), strict=True):
            if outcome.category != "ok":
                error = outcome.message or outcome.category.replace("_", " ")
                text = wrap_correction(self._tokenizer, prompts[place].text, query, error)
                again[place] = replace(prompts[place], text=text, key=f"{_digest(text)} {prompts[place].db_id}")
        return again

    def _write(self, prompts: Sequence[Prompt], decoding: Decoding, keep: Keep | None = None) -> list[Generation]:
        """What is written to each prompt, in their order, in every process; `keep` is called in the first alone."""
        prompts = [self._named(prompt) for prompt in prompts]
        first = processes.number() == 0
        known = self._known(decoding) if first and self._config.cache.answers else None
        found = {place: answer for place, prompt in enumerate(prompts) if known and (answer := known.get(prompt.key))}
        done: dict[int, Generation] = processes.from_first(found)
        if first and done:
            say(f"  {len(done)} of {len(prompts)} answers are known from earlier")
            for place, answer in done.items():
                if keep:
                    keep(place, answer)

        def finish(place: int, answer: Generation) -> None:
            done[place] = answer
            if known:
                known.keep(prompts[place].key, answer)
            if keep and first:
                keep(place, answer)

        todo = [place for place in range(len(prompts)) if place not in done]
        ids = encode_prompts(self._tokenizer, [prompts[place].text for place in todo])
        asked = sorted(zip(ids, todo, strict=True))  # neighbours share what they begin with
        for start in range(0, len(asked), self._at_once):
            self._write_block(asked[start : start + self._at_once], prompts, decoding, finish)
        return [done[place] for place in range(len(prompts))]

    def _write_block(
        self, asked: Sequence[tuple[list[int], int]], prompts: Sequence[Prompt], decoding: Decoding, finish: Keep
    ) -> None:
        """Has prompts, as token ids and places, written to by all processes; `finish` is called in each for all of them."""
        number, count = processes.number(), processes.count()
        mine = asked[len(asked) * number // count : len(asked) * (number + 1) // count]
        requests = [
            Request(ids, _seed(prompts[place].key), self._constraint(prompts[place].db_id)) for ids, place in mine
        ]
        if count == 1:
            self._engine.write(requests, decoding, lambda at, answer: finish(mine[at][1], answer))
            return
        own: dict[int, Generation] = {}
        self._engine.write(requests, decoding, lambda at, answer: own.update({mine[at][1]: answer}))
        for others in processes.gather(own):
            for place, answer in others.items():
                finish(place, answer)

    @property
    def _at_once(self) -> int:
        """How many prompts the engine gets: all, but where nothing would be kept, or too much held, until they are done."""
        blocks = processes.count() > 1 or self._config.generate.engine == "vllm" or self._config.generate.constrain
        return BLOCK if blocks else 1 << 30

    def _known(self, decoding: Decoding) -> Answers:
        """The answers of this model to prompts, by their keys."""
        return Answers(
            base=base_identity(self._config.model),
            adapter=digest_file(self._adapter / "adapter_model.safetensors") if self._adapter else None,
            compute=pick_dtype(self._config.train.compute),
            device=pick_device(),
            engine=self._config.generate.engine,
            versions=[version(name) for name in (*PACKAGES, self._config.generate.engine)],
            decoding=asdict(decoding),
            constrained=self._config.generate.constrain,
        )

    def _named(self, prompt: Prompt) -> Prompt:
        """With a name in the cache that says all that an answer depends on."""
        if not self._config.generate.constrain:
            return prompt
        return replace(prompt, key=f"{prompt.key} {_digest(repr(self._schema(prompt.db_id)))}")

    def _schema(self, db_id: str) -> Schema:
        if db_id not in self._schemas:
            self._schemas[db_id] = read_sqlite(self._databases(db_id))
        return self._schemas[db_id]

    def _constraint(self, db_id: str) -> Constraint | None:
        """What may be written about a database; None if anything."""
        return self._constraints.of(self._schema(db_id)) if self._config.generate.constrain else None


def _prompt(line: Line) -> Prompt:
    return Prompt(line["prompt"], f"{line['prompt_digest']} {line['db_id']}", line["db_id"])


def _later(before: Generation | None, answer: Generation) -> Generation:
    """Of two tries the second, unless it did not fit into the window; with the tokens of both."""
    if before is None:
        return answer
    return replace(before if answer.too_long else answer, tokens=before.tokens + answer.tokens)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _seed(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")
