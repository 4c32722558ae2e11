"""The recipe that an import leaves in the working folder: steps and lengths fitted to the pairs.

Writes text alone, so that it can carry comments; a recipe that is there already is the user's.
"""

import math
from importlib.resources import files
from pathlib import Path
from shlex import quote

from jinja2 import Environment, StrictUndefined

from data.meanings import one_line
from pipeline.base import EMBEDDED
from pipeline.checkup.facts import Checkup
from pipeline.splits import DEV, SELECT, TRAIN

PASSES = 3  # over the pairs, as long as that is no more than
MOST_STEPS = 240
FEWEST_STEPS = 16
BATCH = 8
LENGTHS = (1024, 2048, 4096)  # longer prompts are shortened: they would take too long on most machines


def write_recipe(checkup: Checkup, base: str, database: Path, question: str, path: Path) -> None:
    """Writes the recipe; `database` and `question` are for the example of asking in its head."""
    count = checkup.splits[TRAIN] - sum(finding.item.split == TRAIN for finding in checkup.findings["fails"])
    batch = 2 ** min(int(math.log2(max(count, 1))), int(math.log2(BATCH)))
    steps = min(max(round(PASSES * count / batch), FEWEST_STEPS), MOST_STEPS)
    passes = steps * batch / max(count, 1)
    lengths = checkup.lengths
    longest = lengths.share(1) if lengths else 0
    limit = (lengths.limit if lengths else None) or LENGTHS[-1]
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    template = (files("pipeline") / "import.yaml.jinja").read_text(encoding="utf-8")
    text = environment.from_string(template).render(
        name=checkup.name,
        path=path,
        train=checkup.splits[TRAIN],
        select=checkup.splits[SELECT],
        dev=checkup.splits[DEV],
        database=quote(str(database)),
        question=quote(one_line(question)),
        max_length=min(next((size for size in LENGTHS if size >= longest), LENGTHS[-1]), limit),
        longest=longest,
        base=yaml_text(base),
        embedded=base == EMBEDDED,
        batch=batch,
        steps=steps,
        passes=f"{passes:.0f} times" if passes >= 1.5 else "once" if passes >= 0.75 else f"{passes:.1f} times",
        checkpoints=2 if steps < 100 else 3,
    )
    path.write_text(text, encoding="utf-8")


def yaml_text(text: str) -> str:
    """A text as a value inside braces, quoted."""
    return "'" + text.replace("'", "''") + "'"
