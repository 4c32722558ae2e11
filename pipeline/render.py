"""render: processed examples -> `runs/NAME/render/{train,select,dev}.jsonl` and `stats.json`.

Reads the CSV files of `prepare`, the databases and the base model's tokenizer. Writes one prompt and
completion a line, in batches as they are made, and `shots.jsonl` where prompts have worked examples. A prompt
over `prompt.max_length` is shortened, and what was dropped is counted; a training example that stays too long is
left out and listed, scored ones are kept.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.examples import SYNTHETIC, UNVERIFIED_GOLD, USABLE_GOLD, Example, read_csv
from pipeline.base import base_identity, fetch_base
from pipeline.bundle import POOL, make_embedder, prompt_style
from pipeline.config import Config
from pipeline.console import progress, say
from pipeline.model import encode_completions, encode_prompts, load_tokenizer, quiet_libraries
from pipeline.prompter import Prompted, Prompter
from pipeline.rendered import Figures, note_examples, show_stats
from pipeline.stage import (
    BASE_MODEL,
    EMBEDDER,
    Stage,
    digest_bytes,
    digest_files,
    read_jsonl,
    recorded_digests,
    write_json,
)
from prompts.link import digest as linker_digest

BATCH = 512


def _inputs(config: Config) -> dict[str, str]:
    root, settings = config.data.root, config.prompt
    databases = {name: digest for name, digest in recorded_digests(root).items() if name.endswith(".sqlite")}
    embedder = make_embedder(settings)
    return {
        **({EMBEDDER: embedder.identity} if embedder else {}),
        "the linker": linker_digest(),  # which shortens long prompts, too
        **databases,
        **(digest_files(*sorted(root.glob("*database/*/*.columns.csv"))) if settings.meanings else {}),
        **digest_files(*(root / "processed" / f"{split}.csv" for split in ("train", "select", "dev"))),
        "the prompt template": digest_bytes(prompt_style(settings).template.encode()),
        BASE_MODEL: base_identity(config.model),
    }


RENDER = Stage(
    name="render",
    version=2,
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


def render(config: Config, folder: Path) -> None:
    """Writes the prompts of every split. Raises UserError if a split would be empty."""
    quiet_libraries()
    splits, left_out, held_out = _split(config)
    drawn = {split: _draw(chosen, config.data.limit, f"{config.seed}:{split}") for split, chosen in splits.items()}
    for split, chosen in drawn.items():
        if not chosen and (split != "select" or config.selection.on == "select"):
            raise UserError(
                f"{config.data.root / 'processed'}: no usable question is left for {split}; see stats.json there and selection.databases"
            )
    tokenizer = load_tokenizer(fetch_base(config.model, weights=False))
    asked = [example for chosen in drawn.values() for example in chosen]
    prompter = Prompter(config, splits["train"], asked, tokenizer)
    stats: dict[str, Any] = {
        "max_length": config.prompt.max_length,
        "held_out_databases": sorted(held_out),
        "splits": {},
    }
    for split, chosen in drawn.items():
        figures = Figures(split, config.prompt.max_length)
        with (
            (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file,
            progress(f"rendering {split}", len(chosen)) as advance,
        ):
            for first in range(0, len(chosen), BATCH):
                batch = chosen[first : first + BATCH]
                prompted = (prompter.prompt(example, training=split == "train") for example in batch)
                _write_lines(
                    file, (line for line in _lines(split, prompted, prompter, tokenizer) if figures.take(line))
                )
                advance(len(batch))
        stats["splits"][split] = figures.summary() | {"left_out_by_data_limit": len(splits[split]) - len(chosen)}
    if config.prompt.shots:
        with (folder / POOL).open("w", encoding="utf-8") as file:
            _write_lines(file, (_pool_line(item, prompter) for item in splits["train"]))
    stats["left_out_for_gold"] = [{"id": item.id, "gold": item.gold} for item in left_out]
    write_json(folder / "stats.json", stats)
    show_stats(stats)
    note_examples(config, stats)


def _split(config: Config) -> tuple[dict[str, list[Example]], list[Example], set[str]]:
    """The usable examples of each split, those left out for their gold, and the databases held out of training."""
    processed = config.data.root / "processed"
    own = ("select",) if (processed / "select.csv").is_file() else ()
    examples = {split: read_csv(processed / f"{split}.csv") for split in ("train", *own, "dev")}
    usable = {split: [item for item in chosen if _is_usable(item)] for split, chosen in examples.items()}
    candidates = [item for item in usable["train"] if item.gold in USABLE_GOLD and item.origin != SYNTHETIC]
    if own and config.selection.databases:
        raise UserError(
            f"selection.databases: {processed.parent} has a select split of its own; set it to 0 to choose on that"
        )
    if not own and config.selection.on == "select" and not config.selection.databases:
        raise UserError(
            "selection.databases: nothing is held back to choose on; hold some back, or choose on dev: selection.on=dev"
        )
    held_out = _held_out(config, candidates)
    splits = {
        "train": [item for item in usable["train"] if item.db_id not in held_out],
        "select": usable["select"] if own else [item for item in candidates if item.db_id in held_out],
        "dev": usable["dev"],
    }
    left_out = [
        item
        for chosen in examples.values()
        for item in chosen
        if not _is_usable(item) or (item.db_id in held_out and item.gold not in USABLE_GOLD)
    ]
    return splits, left_out, held_out


def _is_usable(example: Example) -> bool:
    """Gold that ran; for training also gold whose database is missing, shown by tables.json's schema."""
    return example.gold in USABLE_GOLD or (example.split == "train" and example.gold == UNVERIFIED_GOLD)


def _held_out(config: Config, examples: list[Example]) -> set[str]:
    """The training databases on which checkpoints are chosen."""
    names = sorted({example.db_id for example in examples})
    wanted = config.selection.databases
    if not names:
        raise UserError(
            f"{config.data.root}: no question is left to train on: gold queries fail or databases are missing, as "
            "`loraql prepare --force` tells"
        )
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


def _lines(split: str, prompted: Iterable[Prompted], prompter: Prompter, tokenizer: Any) -> Iterator[dict[str, Any]]:
    """The lines of a batch, those that are too long shortened."""
    items = list(prompted)
    prompts = encode_prompts(tokenizer, [item.prompt for item in items])
    completions = encode_completions(tokenizer, [item.example.query for item in items])
    for item, prompt, completion in zip(items, prompts, completions, strict=True):
        # Room for the completion is kept in training alone: what an answer will need is not known.
        room = prompter.max_length - (len(completion) if split == "train" else 0)
        if len(prompt) > room:
            item, prompt = prompter.shorten(item, room)
        yield {
            "id": item.example.id,
            "db_id": item.example.db_id,
            "split": split,
            "question": item.example.question,
            "prompt": item.prompt,
            "completion": item.example.query,
            "hardness": item.example.hardness,
            "origin": item.example.origin,
            "context": item.context,
            "shots": [shot.id for shot in item.shots],
            "dropped": dict(item.dropped),
            "prompt_digest": hashlib.sha256(item.prompt.encode()).hexdigest()[:16],
            "prompt_tokens": len(prompt),
            "completion_tokens": len(completion),
        }


def _write_lines(file: Any, lines: Iterable[dict[str, Any]]) -> None:
    for line in lines:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _pool_line(example: Example, prompter: Prompter) -> dict[str, Any]:
    """What an exported model needs of a training example to show it in a prompt."""
    return {
        "id": example.id,
        "db_id": example.db_id,
        "question": example.question,
        "schema": example.schema,
        "context": prompter.shown(example),
        "completion": example.query,
    }


def show_prompts(folder: Path, count: int) -> None:
    """Prints the first `count` training prompts with their completions."""
    for line in read_jsonl(folder / "train.jsonl")[:count]:
        say(
            f"---- {line['id']} ({line['db_id']}, {line['hardness']}, {line['prompt_tokens']} + {line['completion_tokens']} tokens)"
        )
        say(line["prompt"] + line["completion"])
