"""The model card of an export: what the model was trained on, how good it is, how it is used.

Reads what the stages before recorded (counts, scores, the choice of the checkpoint) and writes `README.md` into the
folder of one kind. `card.md.jinja` is the page; `use/KIND.md.jinja` says how that kind is used.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from data.examples import SYNTHETIC
from data.schema import Column, ForeignKey, Schema, Table
from pipeline.base import EMBEDDED, find_base
from pipeline.bundle import prompt_style
from pipeline.config import Config
from pipeline.front_matter import Licences, front_matter, write_results
from pipeline.stage import read_json, read_jsonl

EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
UNKNOWN = "unknown"
DATA_LICENSES = {"sample": "apache-2.0", "spider": "cc-by-sa-4.0"}
DATA_PAGES = {"spider": "https://yale-lily.github.io/spider"}
NAMED_DATABASES = 12
QUESTION = "Which singers are older than 40?"
EXAMPLE = Schema(
    "concerts",
    (
        Table(
            "singer",
            (Column("singer_id", "integer"), Column("name", "text"), Column("age", "integer")),
            ("singer_id",),
            (),
        ),
        Table(
            "concert",
            (Column("concert_id", "integer"), Column("singer_id", "integer"), Column("year", "integer")),
            ("concert_id",),
            (ForeignKey("singer_id", "singer", "singer_id"),),
        ),
    ),
)


def write_card(config: Config, folder: Path, kind: str, check: str) -> None:
    """Writes `README.md`. `check` says in a sentence or two what these files are and how they were checked."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["literal"] = repr
    facts = card_facts(config, folder)
    model, base, data = (_known(facts[name]) for name in ("license", "base_license", "data_license"))
    # Who says what the model may be used for has looked at the base's licence.
    licences = Licences(model, base or model, data)
    front = front_matter(config, kind, facts["base"], licences, facts["scores"])
    card = environment.get_template("card.md.jinja").render(facts, kind=kind, check=check, front=front)
    (folder / "README.md").write_text(card, encoding="utf-8")
    if kind == "merged":
        write_results(config, folder, facts["scores"])


def _known(licence: str) -> str | None:
    return None if licence == UNKNOWN else licence


def card_facts(config: Config, folder: Path) -> dict[str, Any]:
    """What a card of any kind can say; `folder` holds the tokenizer's chat template, if the model has one."""
    evaluated = config.run / "evaluate"
    selection = read_json(evaluated / "selection.json")
    style = prompt_style(config.prompt)
    context = style.context(EXAMPLE)
    return {
        "config": config,
        "selection": selection,
        "scores": read_json(evaluated / selection["chosen"] / "scores.json")["splits"]["dev"],
        "base_scores": read_json(evaluated / "base" / "scores.json")["splits"]["dev"],
        "base": base_name(config),
        "embedded": config.model.base == EMBEDDED,
        "license": config.export.license or base_license(config),
        "base_license": base_license(config),
        "data_license": config.export.data_license or DATA_LICENSES.get(config.data.source, UNKNOWN),
        "data_page": DATA_PAGES.get(config.data.source),
        "splits": [_counted(config, split) for split in ("train", "select", "dev")],
        "template": style.template.strip(),
        "schema_first": style.order == "schema-first",
        "context": context,
        "question": QUESTION,
        "prompt": style.text(QUESTION, context),
        "chat": _has_chat_template(config),
    }


def base_name(config: Config) -> str:
    """The base as others can find it: its id on the hub, or of a local folder the name alone."""
    if config.model.base == EMBEDDED:
        return EMBEDDED_HUB_ID
    folder = Path(config.model.base)
    return folder.resolve().name if folder.is_dir() else config.model.base


def base_license(config: Config) -> str:
    """The base's licence, as the front matter of its own card has it; "unknown" where that says nothing."""
    if config.model.base == EMBEDDED:
        return "apache-2.0"
    folder = find_base(config.model)
    page = folder / "README.md" if folder else None
    if not page or not page.is_file():
        return UNKNOWN
    begin, _, rest = page.read_text(encoding="utf-8", errors="replace").partition("---\n")
    try:
        front = yaml.safe_load(rest.partition("\n---")[0]) if not begin.strip() else None
    except yaml.YAMLError:
        return UNKNOWN
    found = front.get("license") if isinstance(front, dict) else None
    return found if isinstance(found, str) else UNKNOWN


def _counted(config: Config, split: str) -> dict[str, Any]:
    """How many questions (and of them synthetic) of how many databases, and which databases where they are few."""
    lines = read_jsonl(config.run / "render" / f"{split}.jsonl")
    databases = sorted({line["db_id"] for line in lines})
    return {
        "name": split,
        "questions": len(lines),
        "synthetic": sum(line.get("origin") == SYNTHETIC for line in lines),
        "databases": len(databases),
        "names": databases if len(databases) <= NAMED_DATABASES else [],
    }


def _has_chat_template(config: Config) -> bool:
    """Asked of the merged model, which every kind is made of, or while that is made of the base."""
    folders = (config.run / "export" / "merged", find_base(config.model))
    return any(folder and _chat_template(folder) for folder in folders)


def _chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and bool(read_json(settings).get("chat_template"))


def _template(name: str) -> str | None:
    path = files("pipeline").joinpath(*name.split("/"))
    return path.read_text(encoding="utf-8") if path.is_file() else None
