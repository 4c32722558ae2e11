"""What an exported model carries besides its weights: the prompt it was trained with.

`export` writes it, `ask` reads it: `loraql.json` with the settings, `prompt.jinja`, and for a model
trained with worked examples `shots.jsonl`, the pool they are chosen from.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from data.errors import UserError
from data.examples import Example
from data.meanings import describe_columns
from data.schema import Schema
from pipeline.config import Config, explain
from pipeline.console import say
from pipeline.settings import PromptSettings
from pipeline.stage import cache_folder, read_json, read_jsonl, write_json
from prompts.compose import Composer, Database
from prompts.describe import describe
from prompts.embed import PACKAGED, Embedder
from prompts.link import digest as linker_digest
from prompts.render import PromptStyle, Shot, preset_style
from prompts.select import Chooser, make_chooser
from prompts.values import index_apart

SETTINGS = "loraql.json"
TEMPLATE = "prompt.jinja"
POOL = "shots.jsonl"
AGAIN = "run `loraql export` again with --force"
Checked = TypeVar("Checked")


class _Carried(BaseModel):
    """What `loraql.json` must hold; notes of the export stand beside it."""

    prompt: PromptSettings
    seed: int
    max_new_tokens: PositiveInt
    constrain: bool = False
    linker: str


@checked(frozen=True)
class _PoolLine:
    """What a line of `shots.jsonl` must hold."""

    id: str
    db_id: str
    question: str
    schema: str
    context: str
    completion: str


@dataclass(frozen=True)
class Bundle:
    """The prompt of an exported model; examples come from `pool`, shown with their `contexts`, by id."""

    settings: PromptSettings
    style: PromptStyle
    seed: int
    max_new_tokens: int
    constrain: bool
    pool: list[Example]
    contexts: dict[str, str]

    def prompt(self, question: str, schema: Schema, path: Path, tokens: Callable[[str], int]) -> str:
        """The text to put to the model, before its chat template, shortened to `prompt.max_length` `tokens`."""
        # Nothing is written beside a database that is only asked about.
        index = index_apart(path, cache_folder() / "values")
        database = Database(describe_columns(schema, path) if self.settings.meanings else schema, path, index)
        composer = Composer(self.style, self.settings.view)
        draft = composer.draft(database, question, self._chosen(question, schema))
        shorter, _ = composer.shorten(draft, lambda text: tokens(text) <= self.settings.max_length)
        return composer.text(shorter)

    def _chosen(self, question: str, schema: Schema) -> list[Shot]:
        if not self.settings.shots:
            return []
        asked = Example(question, describe(schema), "", schema.db_id, "ask", "unknown", "ok", "asked")
        chosen = self._chooser(asked, self.settings.shots)
        return [Shot(example.question, self.contexts[example.id], example.query) for example in chosen]

    @cached_property
    def _chooser(self) -> Chooser:
        embedder = make_embedder(self.settings)
        return make_chooser(
            self.settings.choice,
            self.pool,
            self.seed,
            self.settings.same_database,
            embedder.embed if embedder else None,
        )


def prompt_style(prompt: PromptSettings) -> PromptStyle:
    """The style that the settings ask for."""
    return preset_style(prompt.preset, prompt.order, prompt.foreign_keys, prompt.shots > 0)


def make_embedder(prompt: PromptSettings) -> Embedder | None:
    """What turns questions into vectors, where examples are chosen by it: `vector` always, `skeleton` if one is named."""
    if prompt.shots and (prompt.choice == "vector" or (prompt.choice == "skeleton" and prompt.embedder)):
        return Embedder(prompt.embedder or PACKAGED, cache_folder() / "embeddings")
    return None


def write_bundle(config: Config, folder: Path, **notes: Any) -> None:
    """Writes the prompt of `config` into a model folder; `notes` are kept beside the settings."""
    (folder / TEMPLATE).write_text(prompt_style(config.prompt).template, encoding="utf-8")
    if config.prompt.shots:
        shutil.copyfile(config.run / "render" / POOL, folder / POOL)
    carried = _Carried(
        prompt=config.prompt,
        seed=config.seed,
        max_new_tokens=config.evaluate.max_new_tokens,
        constrain=config.generate.constrain,
        linker=linker_digest(),
    )
    write_json(folder / SETTINGS, {"name": config.name, **carried.model_dump(mode="json"), **notes})


def read_bundle(folder: Path) -> Bundle:
    """Raises UserError if the folder's prompt is missing or damaged."""
    template = folder / TEMPLATE
    if not template.is_file():
        raise UserError(f"{template}: missing; {AGAIN}")
    carried = _checked(f"{folder / SETTINGS}", TypeAdapter(_Carried), read_json(folder / SETTINGS))
    prompt = carried.prompt
    if prompt.linking and carried.linker != linker_digest():
        say(f"note: {folder} was trained with another version of the linker; prompts show other columns than then")
    lines = _read_pool(folder / POOL) if prompt.shots else []
    return Bundle(
        settings=prompt,
        style=_read_style(template, prompt),
        seed=carried.seed,
        max_new_tokens=carried.max_new_tokens,
        constrain=carried.constrain,
        pool=[
            Example(
                question=line.question,
                schema=line.schema,
                query=line.completion,
                db_id=line.db_id,
                split="train",
                hardness="unknown",
                gold="ok",
                id=line.id,
            )
            for line in lines
        ],
        contexts={line.id: line.context for line in lines},
    )


def _read_style(template: Path, prompt: PromptSettings) -> PromptStyle:
    """The style with the template that the model was trained with, tried out."""
    try:
        style = replace(prompt_style(prompt), template=template.read_text(encoding="utf-8"))
        text = style.text("the question", "the context")
    except (UnicodeDecodeError, UserError) as error:
        raise UserError(f"{template}: damaged ({error}); {AGAIN}") from error
    if "the question" not in text or "the context" not in text:
        raise UserError(f"{template}: damaged (it shows no question or no context); {AGAIN}")
    return style


def _read_pool(path: Path) -> list[_PoolLine]:
    lines = read_jsonl(path)
    if not lines:
        raise UserError(f"{path}: holds no examples; {AGAIN}")
    form = TypeAdapter(_PoolLine)
    return [_checked(f"{path}: line {number}", form, line) for number, line in enumerate(lines, start=1)]


def _checked(where: str, form: TypeAdapter[Checked], content: Any) -> Checked:
    if not isinstance(content, dict):
        raise UserError(f"{where}: is no object; {AGAIN}")
    try:
        return form.validate_python(content)
    except ValidationError as error:
        raise UserError(f"{where}: {explain(error)}; {AGAIN}") from error
