"""What an exported model carries besides its weights: the prompt it was trained with.

`export` writes it, `ask` reads it: `loraql.json` with the settings, `prompt.jinja`, and for a model
trained with worked examples `shots.jsonl`, the pool they are chosen from.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.examples import Example
from pipeline.config import Config
from pipeline.stage import read_json, read_jsonl, write_json
from prompts.render import PromptStyle, Shot, preset_style
from prompts.select import make_chooser

SETTINGS = "loraql.json"
TEMPLATE = "prompt.jinja"
POOL = "shots.jsonl"


@dataclass(frozen=True)
class Bundle:
    """The prompt of an exported model. `shots` examples are chosen from `pool`, by `choice` and `seed`."""

    style: PromptStyle
    max_new_tokens: int
    shots: int
    choice: Any
    seed: int
    same_database: bool
    pool: list[Example]

    def prompt(self, question: str, context: str, db_id: str) -> str:
        """The text to put to the model, before its chat template."""
        if not self.shots:
            return self.style.text(question, context)
        asked = Example(question, context, "", db_id, "ask", "unknown", "ok", "asked")
        chosen = make_chooser(self.choice, self.pool, self.seed, self.same_database)(asked, self.shots)
        return self.style.text(
            question, context, [Shot(example.question, example.schema, example.query) for example in chosen]
        )


def config_style(config: Config) -> PromptStyle:
    """The prompt's style as a configuration says it."""
    prompt = config.prompt
    return preset_style(prompt.preset, prompt.order, prompt.foreign_keys, prompt.shots > 0)


def write_bundle(config: Config, folder: Path, **notes: Any) -> None:
    """Writes the prompt of `config` into a model folder; `notes` are kept beside the settings."""
    style = config_style(config)
    (folder / TEMPLATE).write_text(style.template, encoding="utf-8")
    if config.prompt.shots:
        shutil.copyfile(config.run / "render" / POOL, folder / POOL)
    settings = {
        "preset": style.preset,
        "order": style.order,
        "foreign_keys": style.foreign_keys,
        "shots": config.prompt.shots,
        "choice": config.prompt.choice,
        "seed": config.seed,
        "same_database": config.prompt.same_database,
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
        names = ("max_new_tokens", "shots", "choice", "seed", "same_database")
        return Bundle(style, pool=pool, **{name: settings[name] for name in names})
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder / SETTINGS}: lacks {error}; run `loraql export` again with --force") from error
