"""Does a model that was merged, quantized or converted still answer as the one it was made of?

Draws questions of the run's dev split, has both models answer them, and counts where they differ. Every kind of
export ends with it. Writes nothing.
"""

import random
from collections.abc import Sequence
from typing import Any

from data.errors import UserError
from eval.extract import is_complete
from pipeline.config import Config
from pipeline.console import progress, say
from pipeline.generation import generate
from pipeline.model import encode_prompts
from pipeline.stage import read_jsonl


def drawn_prompts(config: Config) -> list[str]:
    """`export.questions` prompts of dev, as the model expects them; the same ones for every kind."""
    lines = read_jsonl(config.run / "render" / "dev.jsonl")
    count = min(config.export.questions, len(lines))
    return [line["prompt"] for line in random.Random(config.seed).sample(lines, count)]


def answers(config: Config, model: Any, tokenizer: Any, prompts: Sequence[str], label: str) -> list[str]:
    """What a model of transformers writes to the prompts, greedily."""
    with progress(f"answering, {label}", len(prompts), "questions") as advance:
        settings = config.evaluate
        written = generate(
            model,
            tokenizer,
            encode_prompts(tokenizer, prompts),
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
            is_complete=is_complete,
            on_done=lambda *_: advance(),
        )
    return [answer.text for answer in written]


def check_drift(config: Config, before: Sequence[str], after: Sequence[str], what: str, *, rounded: float = 0.0) -> int:
    """How many answers differ; says so. Raises UserError if they are more than `export.max_drift`.

    `rounded` is the share of the answers that rounding of the weights may change, where that is more.
    """
    drift = sum(old != new for old, new in zip(before, after, strict=True))
    say(f"  check: {drift} of {len(before)} answers differ {what}")
    allowed = max(config.export.max_drift, int(rounded * len(before)))
    if drift > allowed:
        raise UserError(
            f"export: {drift} of {len(before)} answers differ {what}, more than the {allowed} allowed "
            "(export.max_drift); look at the model, or accept it with --allow-drift"
        )
    return drift
