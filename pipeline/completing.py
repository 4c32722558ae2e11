"""What the shell completes: names of recipes, of runs and of exported models.

Reads names of files alone and imports nothing of weight: a shell waits for it at every press of the tab key.
"""

from pathlib import Path

RECIPES = Path(__file__).with_name("recipes")
RUNS = Path("runs")


def recipe_names(incomplete: str) -> list[str]:
    """Shipped recipes, and YAML files of the working folder."""
    shipped = [path.stem for path in RECIPES.glob("*.yaml")]
    return _fitting([*shipped, *(path.name for path in Path().glob("*.yaml"))], incomplete)


def dataset_names(incomplete: str) -> list[str]:
    """Published data sets, and recipes."""
    return _fitting(["sample", "spider", *recipe_names("")], incomplete)


def run_names(incomplete: str) -> list[str]:
    return _fitting([path.name for path in RUNS.glob("*") if path.is_dir()], incomplete)


def export_names(incomplete: str) -> list[str]:
    """Runs with an exported model."""
    return _fitting([path.parents[1].name for path in RUNS.glob("*/export/merged")], incomplete)


def _fitting(names: list[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
