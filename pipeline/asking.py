"""A model's answers to the questions of a split: greedy, by a vote of several, or with another try where a query fails.

Reads rendered prompts; what is known from the cache is not asked for again. Several processes share the prompts, and
each of them comes to know all answers.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data.digest import digest_file
from data.schema import read_sqlite
from eval.extract import extract_sql
from eval.pool import Sandbox
from eval.vote import commonest
from pipeline import processes
from pipeline.answers import Answers
from pipeline.base import base_identity
from pipeline.choosing import Decoding, Request
from pipeline.config import Config
from pipeline.engine import Engine
from pipeline.generation import Generation
from pipeline.model import encode_prompts, pick_device, pick_dtype, wrap_correction

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
        self._constraints: dict[str, Any] = {}
        self._vocabulary: Any = None
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
        count = self._config.generate.vote
        decoding = replace(self._greedy, temperature=self._config.generate.temperature)
        prompts = [_prompt(line) for line in lines for _ in range(count)]
        drawn: dict[int, Generation] = {}

        def collect(place: int, generation: Generation) -> None:
            drawn[place] = generation
            question = place // count
            mine = range(question * count, (question + 1) * count)
            if all(one in drawn for one in mine):
                keep(question, self._elect(lines[question], [drawn[one] for one in mine]))

        seed = self._config.seed
        numbered = [
            replace(prompt, key=f"{prompt.key}#{seed}.{number % count}") for number, prompt in enumerate(prompts)
        ]
        self._write(numbered, decoding, collect)

    def _elect(self, line: Line, answers: Sequence[Generation]) -> Generation:
        queries = [extract_sql(answer.text) for answer in answers]
        database = self._databases(line["db_id"])
        outcomes = list(self._sandbox.map((database, query) for query in queries))
        return replace(answers[commonest(queries, outcomes)], tokens=sum(answer.tokens for answer in answers))

    def retry(self, lines: Sequence[Line], keep: Keep) -> None:
        """The likeliest answers; a query that fails is asked for again, up to `generate.retry` times, with its error."""
        prompts = [_prompt(line) for line in lines]
        places = list(range(len(lines)))
        spent = [0] * len(lines)
        for again in range(self._config.generate.retry + 1):
            failed: list[tuple[int, Prompt]] = []
            answers = self._write([prompts[place] for place in places], self._greedy)
            outcomes = self._sandbox.map(
                (self._databases(prompts[place].db_id), extract_sql(answer.text))
                for place, answer in zip(places, answers, strict=True)
            )
            for place, answer, outcome in zip(places, answers, outcomes, strict=True):
                spent[place] += answer.tokens
                if outcome.category == "ok" or again == self._config.generate.retry or answer.too_long:
                    keep(place, replace(answer, tokens=spent[place]))
                else:
                    error = outcome.message or outcome.category.replace("_", " ")
                    asked = wrap_correction(self._tokenizer, prompts[place].text, extract_sql(answer.text), error)
                    failed.append((place, replace(prompts[place], text=asked, key=_digest(asked))))
            places = [place for place, _ in failed]
            for place, prompt in failed:
                prompts[place] = prompt

    def _write(self, prompts: Sequence[Prompt], decoding: Decoding, keep: Keep | None = None) -> list[Generation]:
        """What is written to each prompt, in their order; in every process."""
        known = self._known(decoding)
        done = {place: answer for place, prompt in enumerate(prompts) if known and (answer := known.get(prompt.key))}
        if keep:
            for place, answer in done.items():
                keep(place, answer)
        todo = [place for place in range(len(prompts)) if place not in done]
        ids = dict(zip(todo, encode_prompts(self._tokenizer, [prompts[place].text for place in todo]), strict=True))
        mine = _share(ids)

        def finish(number: int, answer: Generation) -> None:
            done[mine[number]] = answer
            if known:
                known.keep(prompts[mine[number]].key, answer)
            if keep and processes.count() == 1:
                keep(mine[number], answer)

        requests = [
            Request(ids[place], _seed(prompts[place].key), self._constraint(prompts[place].db_id)) for place in mine
        ]
        self._engine.write(requests, decoding, finish)
        if processes.count() > 1:
            for others in processes.gather({place: asdict(done[place]) for place in mine}):
                done |= {place: Generation(**answer) for place, answer in others.items()}
            if keep:
                for place in todo:
                    keep(place, done[place])
        return [done[place] for place in range(len(prompts))]

    def _known(self, decoding: Decoding) -> Answers | None:
        """The answers of this model to prompts, by their keys."""
        if not self._config.cache.answers:
            return None
        return Answers(
            base=base_identity(self._config.model),
            adapter=digest_file(self._adapter / "adapter_model.safetensors") if self._adapter else None,
            compute=pick_dtype(self._config.train.compute),
            device=pick_device(),
            engine=self._config.generate.engine,
            decoding=asdict(decoding),
            constrained=self._config.generate.constrain,
        )

    def _constraint(self, db_id: str) -> Any:
        """What may be written about a database; None if anything."""
        if not self._config.generate.constrain:
            return None
        from pipeline.constrain import Constraint, Vocabulary

        if self._vocabulary is None:
            self._vocabulary = Vocabulary(self._tokenizer)
        if db_id not in self._constraints:
            self._constraints[db_id] = Constraint(self._vocabulary, read_sqlite(self._databases(db_id)))
        return self._constraints[db_id]


def _prompt(line: Line) -> Prompt:
    return Prompt(line["prompt"], f"{line['prompt_digest']} {line['db_id']}", line["db_id"])


def _share(prompts: Mapping[int, list[int]]) -> list[int]:
    """The places that are this process's own: neighbours in the order of their tokens, which share what they begin with."""
    ordered = sorted(prompts, key=lambda place: prompts[place])
    number, count = processes.number(), processes.count()
    return ordered[len(ordered) * number // count : len(ordered) * (number + 1) // count]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _seed(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")
