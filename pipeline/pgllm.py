"""pgllm: a merged GPT-2 and its training examples for pg_llm, the PostgreSQL extension that runs GPT-2.

Reads `export/merged/` and `render/`; writes `weights.npz.gz`, the tables as files for COPY, and three scripts: `schema.sql`,
`load.sql`, `usage.sql`. The rows can also go straight into a server's tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

from data.errors import UserError
from pipeline.batches import encode_examples
from pipeline.config import Config
from pipeline.console import say, show_files
from pipeline.model import quiet_libraries
from pipeline.pgllm_files import Field, write_archive, write_table
from pipeline.pgllm_model import Gpt2, read_gpt2
from pipeline.pgllm_server import ADD_BLOCKS, NEW_BLOCKS, OLD_BLOCKS, PER_TOKEN, TABLES, load_server
from pipeline.stage import PARTIAL_KEY, read_jsonl

WEIGHTS = "weights.npz.gz"
Block = tuple[list[int], list[int]]


def export_pgllm(config: Config, folder: Path) -> None:
    """Writes the files into `folder`; the model is named as the run.

    Raises UserError where the model is none that pg_llm runs, or where the examples do not fill a block of text.
    """
    quiet_libraries()
    model = read_gpt2(config.run / "export" / "merged")
    rows = _rows(config, model)
    folder.mkdir(parents=True, exist_ok=True)
    for name, own in rows.items():
        write_table(folder / f"{name}.tsv", own)
    write_archive(folder / WEIGHTS, model.tensors())
    for name, text in _scripts(config, model, len(rows["llm_dataset"])):
        (folder / name).write_text(text, encoding="utf-8")
    show_files(f"{config.name} for PostgreSQL's pg_llm", folder, [PARTIAL_KEY])
    _say_sizes(config, model, len(rows["llm_dataset"]))
    say(
        "  into a server: `psql -f schema.sql -f load.sql` in the folder, then what usage.sql says; or --db with its URL"
    )


def load_pgllm(config: Config, database: str, truncate: bool = False) -> None:
    """Writes the rows into the server alone. Raises UsageError for a URL that is none, else UserError in one line."""
    quiet_libraries()
    model = read_gpt2(config.run / "export" / "merged")
    total = len(model.shapes()) - len(PER_TOKEN) + model.vocab + model.n_positions
    others = load_server(database, config.name, _rows(config, model), model.tensors(), total, truncate)
    say(f"database: the model {config.name} is in it, {total:,} rows of weights")
    if others:
        say(
            f"note: llm_dataset holds {others:,} {'blocks' if others > 1 else 'block'} of other texts, which llm_train reads, "
            "too; --truncate empties all tables"
        )


def _say_sizes(config: Config, model: Gpt2, blocks: int) -> None:
    say(
        f"  {model.n_layer} layers of width {model.d_model}, {len(model.shapes())} weights; {len(model.symbols):,} tokens, "
        f"{len(model.merges):,} merges; {blocks:,} blocks of {_block(config, model):,} tokens"
    )


def make_blocks(tokens: Sequence[int], size: int) -> list[Block]:
    """Blocks of `size` tokens that do not overlap, each with the same one token ahead; what fills no block is left out."""
    blocks = [
        (list(tokens[first : first + size]), list(tokens[first + 1 : first + size + 1]))
        for first in range(0, len(tokens) - size, size)
    ]
    if not blocks:
        raise UserError(
            f"pgllm: the training examples are {len(tokens)} tokens, which fill no block of {size}; set export.block to less"
        )
    return blocks


def _stream(config: Config, model: Gpt2) -> list[int]:
    """All training examples one after the other, each with the end-of-text token after it."""
    encoded = encode_examples(model.tokenizer, read_jsonl(config.run / "render" / "train.jsonl"))
    # GPT-2 starts a text with the token that ends one: that of the example before is there already.
    start = [model.end] if model.tokenizer.bos_token_id == model.end else []
    texts = (
        example.ids[len(start) :] if start and example.ids[: len(start)] == start else example.ids
        for example in encoded
    )
    return list(chain.from_iterable(texts))


def _block(config: Config, model: Gpt2) -> int:
    """How many tokens a block has. Raises UserError if the model cannot read as many."""
    block = config.export.block or model.n_positions
    if block > model.n_positions:
        raise UserError(f"export.block: {block} was given, but the model has {model.n_positions} positions")
    return block


def _rows(config: Config, model: Gpt2) -> Mapping[str, Sequence[Sequence[Field]]]:
    """The rows of every table but the one of weights."""
    name = config.name
    return {
        "llm_model_config": [(name, model.n_layer, model.n_head, model.d_model, model.n_positions, model.vocab)],
        "llm_bpe_vocab": [(name, place, token, None, token.encode()) for place, token in model.symbols],
        "llm_bpe_merges": [
            (name, rank, left, right, f"{left} {right}") for rank, (left, right) in enumerate(model.merges)
        ],
        "llm_dataset": make_blocks(_stream(config, model), _block(config, model)),
    }


def _scripts(config: Config, model: Gpt2, blocks: int) -> Iterator[tuple[str, str]]:
    import jinja2

    first = read_jsonl(config.run / "render" / "dev.jsonl")[0]
    given: dict[str, Any] = {
        "name": config.name,
        "model": _literal(config.name),
        "keyed": [(name, table.listed) for name, table in TABLES.items() if table.keyed],
        "new_blocks": NEW_BLOCKS,
        "old_blocks": OLD_BLOCKS,
        "add_blocks": ADD_BLOCKS,
        "gpt2": model,
        "end": model.end,
        "question": _literal(first["question"]),
        "prompt": _literal(first["prompt"]),
        "max_tokens": config.evaluate.max_new_tokens,
        "steps": blocks,
        "weight_decay": config.train.weight_decay,
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    yield "schema.sql", (files("pipeline") / "pgllm_schema.sql").read_text(encoding="utf-8")
    for name in ("load.sql", "usage.sql"):
        template = (files("pipeline") / f"pgllm_{name}.jinja").read_text(encoding="utf-8")
        yield name, environment.from_string(template).render(given)


def _literal(text: str) -> str:
    """Text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"
