"""What an exported model carries besides its weights: the prompt it was trained with.

`export` writes it, `ask` reads it: `loraql.json` with the settings, `prompt.jinja`, and for a model
trained with worked examples `shots.jsonl`, the pool they are chosen from.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.examples import Example
from data.meanings import describe_columns
from data.schema import Schema
from pipeline.config import Config
from pipeline.console import say
from pipeline.stage import cache_folder, read_json, read_jsonl, write_json
from prompts.compose import Composer, Database, View
from prompts.describe import describe
from prompts.embed import PACKAGED, Embedder
from prompts.link import digest as linker_digest
from prompts.render import PromptStyle, Shot, preset_style
from prompts.select import Chooser, make_chooser
from prompts.values import index_apart

SETTINGS = "loraql.json"
TEMPLATE = "prompt.jinja"
POOL = "shots.jsonl"


@dataclass(frozen=True)
class Bundle:
    """The prompt of an exported model. `shots` examples are chosen from `pool`, by `choice` and `seed`."""

    style: PromptStyle
    view: View
    meanings: bool
    max_length: int
    max_new_tokens: int
    shots: int
    choice: Any
    embedder: str | None
    seed: int
    same_database: bool
    pool: list[Example]
    contexts: dict[str, str]  # of the pool, by id, as they are shown

    def prompt(self, question: str, schema: Schema, path: Path, tokens: Callable[[str], int]) -> str:
        """The text to put to the model, before its chat template, shortened to `max_length` `tokens`."""
        # Nothing is written beside a database that is only asked about.
        index = index_apart(path, cache_folder() / "values")
        database = Database(describe_columns(schema, path) if self.meanings else schema, path, index)
        composer = Composer(self.style, self.view)
        draft = composer.draft(database, question, self._chosen(question, schema))
        shorter, _ = composer.shorten(draft, lambda text: tokens(text) <= self.max_length)
        return composer.text(shorter)

    def _chosen(self, question: str, schema: Schema) -> list[Shot]:
        if not self.shots:
            return []
        asked = Example(question, describe(schema), "", schema.db_id, "ask", "unknown", "ok", "asked")
        chosen = self._chooser(asked, self.shots)
        return [Shot(example.question, self.contexts[example.id], example.query) for example in chosen]

    @cached_property
    def _chooser(self) -> Chooser:
        embedder = make_embedder(self.choice, self.embedder)
        return make_chooser(self.choice, self.pool, self.seed, self.same_database, embedder.embed if embedder else None)


def config_style(config: Config) -> PromptStyle:
    """The prompt's style as a configuration says it."""
    prompt = config.prompt
    return preset_style(prompt.preset, prompt.order, prompt.foreign_keys, prompt.shots > 0)


def make_embedder(choice: str, model: str | None) -> Embedder | None:
    """What turns questions into vectors, for the choices that want it: `vector` always, `skeleton` if one is named."""
    if choice == "vector" or (choice == "skeleton" and model):
        return Embedder(model or PACKAGED, cache_folder() / "embeddings")
    return None


def write_bundle(config: Config, folder: Path, **notes: Any) -> None:
    """Writes the prompt of `config` into a model folder; `notes` are kept beside the settings."""
    style, prompt = config_style(config), config.prompt
    (folder / TEMPLATE).write_text(style.template, encoding="utf-8")
    if prompt.shots:
        shutil.copyfile(config.run / "render" / POOL, folder / POOL)
    settings = {
        "preset": style.preset,
        "order": style.order,
        "foreign_keys": style.foreign_keys,
        "view": asdict(prompt.view),
        "meanings": prompt.meanings,
        "linker": linker_digest(),
        "max_length": prompt.max_length,
        "shots": prompt.shots,
        "choice": prompt.choice,
        "embedder": prompt.embedder,
        "seed": config.seed,
        "same_database": prompt.same_database,
        "max_new_tokens": config.evaluate.max_new_tokens,
    }
    write_json(folder / SETTINGS, {"prompt": settings, **notes})


def read_bundle(folder: Path) -> Bundle:
    """Raises UserError if the folder's prompt is missing or damaged."""
    template = folder / TEMPLATE
    if not template.is_file():
        raise UserError(f"{template}: missing; run `loraql export` again with --force")
    try:
        settings = read_json(folder / SETTINGS)["prompt"]
        lines = read_jsonl(folder / POOL) if settings["shots"] else []
        pool = [
            Example(
                question=line["question"],
                schema=line["schema"],
                query=line["completion"],
                db_id=line["db_id"],
                split="train",
                hardness="unknown",
                gold="ok",
                id=line["id"],
            )
            for line in lines
        ]
        contexts = {line["id"]: line["context"] for line in lines}
        style = PromptStyle(
            settings["preset"], settings["order"], settings["foreign_keys"], template.read_text(encoding="utf-8")
        )
        names = ("meanings", "max_length", "max_new_tokens", "shots", "choice", "embedder", "seed", "same_database")
        if settings["view"]["linking"] and settings["linker"] != linker_digest():
            say(f"note: {folder} was trained with another version of the linker; prompts show other columns than then")
        return Bundle(
            style, View(**settings["view"]), pool=pool, contexts=contexts, **{name: settings[name] for name in names}
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / SETTINGS}: lacks {error}; run `loraql export` again with --force") from error
