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
from pipeline.stage import cache_folder, read_json, read_jsonl, write_json
from prompts.compose import Composer, Database, View
from prompts.embed import PACKAGED, Embedder
from prompts.render import PromptStyle, Shot, preset_style
from prompts.select import Chooser, make_chooser

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

    def prompt(self, question: str, schema: Schema, path: Path, tokens: Callable[[str], int]) -> str:
        """The text to put to the model, before its chat template, shortened to `max_length` `tokens`."""
        database = Database(
            describe_columns(schema, path) if self.meanings else schema, path, cache_folder() / "values"
        )
        composer = Composer(self.style, self.view)
        draft = composer.draft(database, question, self._chosen(question, schema.db_id))
        shorter, _ = composer.shorten(draft, lambda text: tokens(text) <= self.max_length)
        return composer.text(shorter)

    def _chosen(self, question: str, db_id: str) -> list[Shot]:
        if not self.shots:
            return []
        asked = Example(question, "", "", db_id, "ask", "unknown", "ok", "asked")
        chosen = self._chooser(asked, self.shots)
        return [Shot(example.question, example.schema, example.query) for example in chosen]

    @cached_property
    def _chooser(self) -> Chooser:
        embedder = make_embedder(self.choice, self.embedder)
        return make_chooser(self.choice, self.pool, self.seed, self.same_database, embedder and embedder.embed)


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
        pool = [
            Example(
                line["question"],
                line["context"],
                line["completion"],
                line["db_id"],
                "train",
                "unknown",
                "ok",
                line["id"],
            )
            for line in (read_jsonl(folder / POOL) if settings["shots"] else [])
        ]
        style = PromptStyle(
            settings["preset"], settings["order"], settings["foreign_keys"], template.read_text(encoding="utf-8")
        )
        names = ("meanings", "max_length", "max_new_tokens", "shots", "choice", "embedder", "seed", "same_database")
        return Bundle(style, View(**settings["view"]), pool=pool, **{name: settings[name] for name in names})
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / SETTINGS}: lacks {error}; run `loraql export` again with --force") from error
