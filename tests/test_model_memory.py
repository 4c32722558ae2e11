"""The table of memory on the page about base models is what its script makes; a shape counts as its model does."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "benchmarks" / "model_memory.py"
    spec = importlib.util.spec_from_file_location("model_memory", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_memory"] = module
    spec.loader.exec_module(module)
    return module


def test_the_smallest_model_with_checkpointing_takes_what_the_page_says(script: ModuleType) -> None:
    parameters, takes = script.training_footprint(script.SHAPES[0], "none", True)
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| SmolLM2-135M |")]
    assert row.split(" | ")[1] == f"{parameters / 1e9:.2f}"
    said = f"/ {takes.total / 1e9:.1f} |"
    assert said in row, "docs/models.md is out of date; run python benchmarks/model_memory.py"


def test_the_page_has_a_row_for_each_shape_and_says_that_they_are_estimates(script: ModuleType) -> None:
    for shape in script.SHAPES:
        assert f"\n| {shape.name} | " in PAGE
    assert "None was measured on a GPU" in PAGE
