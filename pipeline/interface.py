"""loraql from Python: ask an exported model, evaluate a recipe. What they raise is `data.errors.UserError`, one clear line.

from pipeline import ask, evaluate
ask("sample", "shop.sqlite", "How many orders were late?").frame()
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from eval.pool import Sandbox
from pipeline.answerer import Answer, Answerer, Options
from pipeline.ask import find_export
from pipeline.bundle import SETTINGS
from pipeline.config import load_config
from pipeline.databases import open_database
from pipeline.evaluate import EVALUATE
from pipeline.run import run_one
from pipeline.stage import read_json


def ask(model: str | Path, database: str | Path, question: str, *, runs: str | Path = "runs", **options: Any) -> Answer:
    """What an exported model, a run's name or a folder, answers about a database, a path or URL.

    `options` are those of `pipeline.answerer.Options`: retry, vote, temperature, seed and so on. The model that was
    asked last stays loaded until it is exported again.
    """
    folder = find_export(str(model), Path(runs)).resolve()
    answerer = _loaded(folder, (folder / SETTINGS).stat().st_mtime_ns)
    with Sandbox(workers=1) as sandbox:
        opened = open_database(str(database), sandbox)
        try:
            return answerer.answer(opened, question, Options(**options))
        finally:
            opened.close()


def evaluate(recipe: str | Path, *overrides: str) -> dict[str, Any]:
    """The scores of a recipe's base and checkpoints by name and split; `overrides` are settings such as "seed=1".

    They are measured if they are not up to date; what comes before, training above all, has to be.
    """
    config = load_config(str(recipe), list(overrides))
    run_one(EVALUATE, config, str(recipe))
    folder = config.run / "evaluate"
    return {path.parent.name: read_json(path)["splits"] for path in sorted(folder.glob("*/scores.json"))}


@lru_cache(1)
def _loaded(folder: Path, _written: int) -> Answerer:
    return Answerer(folder)
