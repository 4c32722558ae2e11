"""Figures about all pairs: what of each database is asked about, how hard the SQL is, how many tokens there are.

Reads schemas and the base model's tokenizer; runs nothing.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.schema import Schema
from eval.hardness import HARDNESS, SPIDER_TRAINING
from eval.query import Names
from eval.reading import hardness
from pipeline.base import fetch_base
from pipeline.checkup.facts import Coverage, Item, Lengths
from pipeline.model import encode_completions, encode_prompts, load_tokenizer, quiet_libraries, wrap_prompt
from pipeline.settings import ModelSettings
from prompts.context import used_columns
from prompts.render import preset_style

SPIDER_MIX: Mapping[str, float] = {
    level: count / sum(SPIDER_TRAINING.values()) for level, count in SPIDER_TRAINING.items()
}
BATCH = 512


def coverage(items: Sequence[Item], schemas: Mapping[str, Schema], filled: Mapping[str, bool]) -> dict[str, Coverage]:
    """By database, those with the fewest pairs last. A column is used where a query names it; `*` names none."""
    used: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    pairs = Counter(item.pair.db_id for item in items)
    for db_id, query in {(str(item.pair.db_id), item.pair.query) for item in items}:
        if db_id in schemas:
            for table, columns in used_columns(schemas[db_id], query, stars=False).items():
                used[db_id][table] |= columns
    return {
        db_id: Coverage(
            pairs[db_id],
            len(schemas[db_id].tables),
            sum(len(table.columns) for table in schemas[db_id].tables),
            sum(map(len, used[db_id].values())),
            filled[db_id],
            tuple(table.name for table in schemas[db_id].tables if table.name not in used[db_id]),
            tuple(
                f"{table.name}.{column.name}"
                for table in schemas[db_id].tables
                for column in table.columns
                if table.name in used[db_id] and column.name not in used[db_id][table.name]
            ),
        )
        for db_id in sorted(schemas, key=lambda name: (-pairs[name], name))
    }


def hardness_mix(items: Sequence[Item], schemas: Mapping[str, Schema]) -> dict[str, int]:
    """Pairs by Spider's classes."""
    names = {db_id: Names(schema) for db_id, schema in schemas.items()}
    counts = Counter(hardness(item.pair.query, names.get(str(item.pair.db_id))) for item in items)
    return {level: counts[level] for level in HARDNESS}


def token_lengths(items: Sequence[Item], schemas: Mapping[str, Schema], base: str) -> Lengths:
    """The tokens of question, full schema and SQL, as the recipe that an import writes prompts.

    Raises UserError where the base or its tokenizer cannot be had.
    """
    quiet_libraries()
    folder = fetch_base(ModelSettings(base=base))
    tokenizer = load_tokenizer(folder)
    style = preset_style("corrected", "schema-first")
    contexts = {db_id: style.context(schema) for db_id, schema in schemas.items()}
    known = [item for item in items if item.pair.db_id in contexts]
    tokens: list[int] = []
    for start in range(0, len(known), BATCH):
        batch = known[start : start + BATCH]
        prompts = [style.text(item.pair.question, contexts[str(item.pair.db_id)]) for item in batch]
        asked = encode_prompts(tokenizer, [wrap_prompt(tokenizer, prompt) for prompt in prompts])
        answered = encode_completions(tokenizer, [item.pair.query for item in batch])
        tokens += [len(prompt) + len(completion) for prompt, completion in zip(asked, answered, strict=True)]
    return Lengths(base, _window(folder), tokens)


def _window(folder: Path) -> int | None:
    """How many tokens the model can read, as its configuration says."""
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    limit = settings.get("max_position_embeddings")
    return limit if isinstance(limit, int) else None
