"""Prompts of a configuration's examples: what each shows, its worked examples, and how it is shortened.

Reads the databases of the data set; `render` writes what comes of it. Those that were asked about last are
kept open, since the questions of one come together.
"""

import random
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from data.examples import Example
from data.meanings import describe_columns
from data.spider import Schemas, database_path
from pipeline.bundle import make_embedder, prompt_style
from pipeline.config import Config
from pipeline.model import encode_prompts, wrap_prompt
from pipeline.stage import cache_folder
from prompts.compose import Composer, Database, Draft, Picked
from prompts.context import choose_context, shuffle
from prompts.render import Shot
from prompts.select import make_chooser
from prompts.values import index_beside

KEPT_DATABASES = 64


@dataclass(frozen=True)
class Prompted:
    """One example's prompt as text, before tokens are counted, with what it was made of."""

    example: Example
    draft: Draft
    context: str
    prompt: str
    shots: tuple[Example, ...]
    dropped: Counter[str] = field(default_factory=Counter)


class Prompter:
    """Makes prompts. Worked examples come from `pool`; `asked` is what will be asked, in that order."""

    def __init__(self, config: Config, pool: Sequence[Example], asked: Sequence[Example], tokenizer: Any) -> None:
        settings = config.prompt
        self.max_length = settings.max_length
        self._settings, self._seed = settings, config.seed
        self._root, self._schemas = config.data.root, Schemas(config.data.root)
        self._composer = Composer(prompt_style(settings), settings.view)
        self._tokenizer = tokenizer
        self._databases: OrderedDict[tuple[str, str], Database] = OrderedDict()
        self._contexts: dict[str, str] = {}
        self._choose = None
        if settings.shots:
            embedder = make_embedder(settings)
            embed = embedder.embed if embedder else None
            self._choose = make_chooser(settings.choice, pool, config.seed, settings.same_database, embed, asked)

    def prompt(self, example: Example, training: bool) -> Prompted:
        """The prompt as its settings say, however long."""
        chosen = self._choose(example, self._settings.shots) if self._choose else []
        shots = [Shot(shot.question, self.shown(shot), shot.query) for shot in chosen]
        database = self.database(example)
        draft = self._taught(example, shots) if training else self._composer.draft(database, example.question, shots)
        context = self._composer.context(draft)
        return Prompted(example, draft, context, self._wrap(self._composer.text(draft, context)), tuple(chosen))

    def shorten(self, item: Prompted, room: int) -> tuple[Prompted, list[int]]:
        """The same with as much dropped as it takes to have at most `room` tokens, and those tokens."""
        draft, dropped = self._composer.shorten(item.draft, lambda text: len(self._encode(self._wrap(text))) <= room)
        context = self._composer.context(draft)
        prompt = self._wrap(self._composer.text(draft, context))
        shots = item.shots[len(item.shots) - len(draft.shots) :]
        return Prompted(item.example, draft, context, prompt, shots, dropped), self._encode(prompt)

    def shown(self, example: Example) -> str:
        """The context of a training example, as it is shown when it is a worked example."""
        if example.id not in self._contexts:
            self._contexts[example.id] = self._composer.context(self._taught(example, ()))
        return self._contexts[example.id]

    def database(self, example: Example) -> Database:
        """The database that an example is about; those used last are kept open."""
        key = (example.split, example.db_id)
        if key in self._databases:
            self._databases.move_to_end(key)
        else:
            if len(self._databases) >= KEPT_DATABASES:
                self._databases.popitem(last=False)[1].close()
            schema, path = self._schemas.get(*key), database_path(self._root, *key)
            if self._settings.meanings:
                schema = describe_columns(schema, path)
            found = path if path.is_file() else None
            self._databases[key] = Database(schema, found, index_beside(path, cache_folder() / "values"))
        return self._databases[key]

    def pick(self, example: Example) -> Picked:
        """The tables and columns that the linker shows."""
        return self._composer.pick(self.database(example), example.question)

    def _taught(self, example: Example, shots: Sequence[Shot]) -> Draft:
        """What training shows. Seeded by the example: it does not depend on which others are rendered."""
        draw = random.Random(f"{self._seed}:{example.id}")
        database, kind = self.database(example), self._settings.context
        picked = self._composer.pick(database, example.question) if kind == "linked" else None
        schema = choose_context(database.schema, example.query, kind, draw, picked)
        if self._settings.shuffle:
            schema = shuffle(schema, draw)
        return Draft(database, example.question, schema, self._settings.samples, tuple(shots), example.query)

    def _wrap(self, text: str) -> str:
        return wrap_prompt(self._tokenizer, text)

    def _encode(self, prompt: str) -> list[int]:
        return encode_prompts(self._tokenizer, [prompt])[0]
