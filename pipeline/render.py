"""render: processed examples -> `runs/NAME/render/{train,select,dev}.jsonl` and `stats.json`.

Reads the CSV files of `prepare`, the databases' schemas and the base model's tokenizer. Writes one
prompt and completion a line. Nothing is cut: a training example over `prompt.max_length` is left out
and listed, and scored ones are kept whole.
"""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.examples import UNVERIFIED_GOLD, USABLE_GOLD, Example, read_csv
from data.spider import Schemas
from pipeline.base import base_identity, fetch_base
from pipeline.bundle import POOL, config_style
from pipeline.config import Config
from pipeline.console import progress, say, table
from pipeline.model import encode_completions, encode_prompts, load_tokenizer, quiet_libraries, wrap_prompt
from pipeline.stage import BASE_MODEL, Stage, digest_bytes, digest_files, read_jsonl, write_json
from prompts.context import choose_context
from prompts.render import Shot
from prompts.select import make_chooser

BATCH = 512


def _inputs(config: Config) -> dict[str, str]:
    processed = config.data.folder / config.data.source / "processed"
    style = config_style(config)
    return {
        **digest_files(processed / "train.csv", processed / "dev.csv"),
        "the prompt template": digest_bytes(style.template.encode()),
        BASE_MODEL: base_identity(config.model),
    }


RENDER = Stage(
    name="render",
    version=1,
    folder=lambda config: config.run / "render",
    settings=lambda config: {
        "seed": config.seed,
        "data": {"limit": config.data.limit},
        "selection": {"databases": config.selection.model_dump(mode="json")["databases"]},
        "prompt": config.prompt.model_dump(mode="json"),
    },
    inputs=_inputs,
    work=lambda config, folder: render(config, folder),
)


@dataclass(frozen=True)
class Prompted:
    """One line of the output, before tokens are counted."""

    example: Example
    prompt: str
    completion: str
    context: str
    shots: list[str]


def render(config: Config, folder: Path) -> None:
    """Writes the prompts of every split. Raises UserError if a split would be empty."""
    quiet_libraries()
    source = config.data.folder / config.data.source
    examples = {split: read_csv(source / "processed" / f"{split}.csv") for split in ("train", "dev")}
    usable = {split: [item for item in chosen if _is_usable(item)] for split, chosen in examples.items()}
    held_out = _held_out(config, [item for item in usable["train"] if item.gold in USABLE_GOLD])
    pool = [item for item in usable["train"] if item.db_id not in held_out]
    splits = {
        "train": pool,
        "select": [item for item in usable["train"] if item.db_id in held_out and item.gold in USABLE_GOLD],
        "dev": usable["dev"],
    }
    tokenizer = load_tokenizer(fetch_base(config.model))
    make = _prompter(config, Schemas(source), pool, tokenizer)
    stats: dict[str, Any] = {
        "max_length": config.prompt.max_length,
        "held_out_databases": sorted(held_out),
        "splits": {},
    }
    for split, chosen in splits.items():
        drawn = _draw(chosen, config.data.limit, f"{config.seed}:{split}")
        if not drawn and (split != "select" or config.selection.on == "select"):
            raise UserError(
                f"{source / 'processed'}: no usable question is left for {split}; see stats.json there and selection.databases"
            )
        lines = _render_split(split, drawn, make, tokenizer)
        kept, figures = _fit(split, lines, config.prompt.max_length)
        _write_lines(folder / f"{split}.jsonl", kept)
        stats["splits"][split] = figures | {"left_out_by_data_limit": len(chosen) - len(drawn)}
    if config.prompt.shots:
        _write_lines(folder / POOL, [_pool_line(make(item, "train")) for item in pool])
    stats["left_out_for_gold"] = [
        {"id": item.id, "gold": item.gold}
        for chosen in examples.values()
        for item in chosen
        if not _is_usable(item) or (item.db_id in held_out and item.gold not in USABLE_GOLD)
    ]
    write_json(folder / "stats.json", stats)
    _show(stats)


def _is_usable(example: Example) -> bool:
    """Gold that ran; for training also gold whose database is missing, shown by tables.json's schema."""
    return example.gold in USABLE_GOLD or (example.split == "train" and example.gold == UNVERIFIED_GOLD)


def _held_out(config: Config, examples: list[Example]) -> set[str]:
    """The training databases on which checkpoints are chosen."""
    names = sorted({example.db_id for example in examples})
    wanted = config.selection.databases
    if isinstance(wanted, int):
        if wanted >= len(names):
            raise UserError(
                f"selection.databases: {wanted} of {len(names)} training databases would leave none to train on"
            )
        return set(random.Random(config.seed).sample(names, wanted))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise UserError(f"selection.databases: {unknown[0]!r} is not a training database; there are {', '.join(names)}")
    return set(wanted)


def _draw(examples: list[Example], limit: int | None, seed: str) -> list[Example]:
    """At most `limit` examples, drawn at random, in their old order."""
    if limit is None or limit >= len(examples):
        return examples
    places = random.Random(seed).sample(range(len(examples)), limit)
    return [examples[place] for place in sorted(places)]


def _prompter(
    config: Config, schemas: Schemas, pool: list[Example], tokenizer: Any
) -> Callable[[Example, str], Prompted]:
    """A function from (example, split) to its prompt and completion."""
    style, settings = config_style(config), config.prompt
    choose = make_chooser(settings.choice, pool, config.seed, settings.same_database) if settings.shots else None

    def context(example: Example, training: bool) -> str:
        schema = schemas.get(example.split, example.db_id)
        if training:
            # Seeded by the example: its context does not depend on which others are rendered.
            schema = choose_context(
                schema, example.query, settings.context, random.Random(f"{config.seed}:{example.id}")
            )
        return style.context(schema)

    def make(example: Example, split: str) -> Prompted:
        chosen = choose(example, settings.shots) if choose else []
        shots = [Shot(shot.question, context(shot, training=True), shot.query) for shot in chosen]
        shown = context(example, training=split == "train")
        prompt = wrap_prompt(tokenizer, style.text(example.question, shown, shots))
        return Prompted(example, prompt, example.query, shown, [shot.id for shot in chosen])

    return make


def _render_split(
    split: str, examples: list[Example], make: Callable[[Example, str], Prompted], tokenizer: Any
) -> Iterable[dict[str, Any]]:
    with progress(f"rendering {split}", len(examples)) as advance:
        for first in range(0, len(examples), BATCH):
            prompted = [make(example, split) for example in examples[first : first + BATCH]]
            prompt_ids = encode_prompts(tokenizer, [item.prompt for item in prompted])
            completion_ids = encode_completions(tokenizer, [item.completion for item in prompted])
            for item, ids, completion in zip(prompted, prompt_ids, completion_ids, strict=True):
                yield {
                    "id": item.example.id,
                    "db_id": item.example.db_id,
                    "split": split,
                    "question": item.example.question,
                    "prompt": item.prompt,
                    "completion": item.completion,
                    "hardness": item.example.hardness,
                    "context": item.context,
                    "shots": item.shots,
                    "prompt_digest": hashlib.sha256(item.prompt.encode()).hexdigest()[:16],
                    "prompt_tokens": len(ids),
                    "completion_tokens": len(completion),
                }
            advance(len(prompted))


def _fit(split: str, lines: Iterable[dict[str, Any]], max_length: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What is kept, and the figures. Only training leaves long ones out: scoring shows them whole."""
    kept, long, lengths = [], [], []
    for line in lines:
        length = line["prompt_tokens"] + line["completion_tokens"]
        lengths.append(length)
        if length > max_length:
            long.append({"id": line["id"], "db_id": line["db_id"], "tokens": length})
        if length <= max_length or split != "train":
            kept.append(line)
    lengths.sort()
    if split == "train" and not kept:
        raise UserError(
            f"prompt.max_length: {max_length} tokens leave no training example (the shortest has {lengths[0]})"
        )
    return kept, {
        "questions": len(lengths),
        "kept": len(kept),
        "tokens": {
            "mean": round(sum(lengths) / max(len(lengths), 1), 1),
            "median": lengths[len(lengths) // 2] if lengths else 0,
            "p95": lengths[int(0.95 * (len(lengths) - 1))] if lengths else 0,
            "longest": lengths[-1] if lengths else 0,
        },
        "over_max_length": long,
    }


def _write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _pool_line(item: Prompted) -> dict[str, Any]:
    """What an exported model needs of a training example to show it in a prompt."""
    example = item.example
    return {
        "id": example.id,
        "db_id": example.db_id,
        "question": example.question,
        "context": item.context,
        "completion": example.query,
    }


def _show(stats: dict[str, Any]) -> None:
    rows = []
    for split, figures in stats["splits"].items():
        tokens = figures["tokens"]
        rows.append(
            [
                split,
                figures["kept"],
                tokens["mean"],
                tokens["median"],
                tokens["p95"],
                tokens["longest"],
                len(figures["over_max_length"]),
            ]
        )
    long = f"over {stats['max_length']}"
    table("Rendered", ["split", "prompts", "mean tokens", "median", "95%", "longest", long], rows)
    for split, figures in stats["splits"].items():
        if figures["over_max_length"]:
            names = Counter(item["db_id"] for item in figures["over_max_length"])
            what = "left out of training" if split == "train" else "kept whole for scoring"
            say(
                f"  {split}: {sum(names.values())} over prompt.max_length, {what}: "
                + ", ".join(f"{name} ({count})" for name, count in names.most_common(6))
            )
    if stats["left_out_for_gold"]:
        reasons = Counter(item["gold"] for item in stats["left_out_for_gold"])
        say(
            f"  left out because their gold did not run: {sum(reasons.values())} ("
            + ", ".join(f"{name} {count}" for name, count in reasons.most_common())
            + ")"
        )
    say(f"  held out for choosing checkpoints: {', '.join(stats['held_out_databases']) or 'none'}")


def show_prompts(folder: Path, count: int) -> None:
    """Prints the first `count` training prompts with their completions."""
    for line in read_jsonl(folder / "train.jsonl")[:count]:
        say(
            f"---- {line['id']} ({line['db_id']}, {line['hardness']}, {line['prompt_tokens']} + {line['completion_tokens']} tokens)"
        )
        say(line["prompt"] + line["completion"])
