"""The kinds of export: each is checked against the model it was made of, and its card's lines run."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import load_config
from pipeline.drift import answers, drawn_prompts
from pipeline.gguf_file import write_gguf
from pipeline.gguf_tokenizer import split_name
from pipeline.model import load_model, load_tokenizer
from pipeline.modelfile import read_dialogue

Loraql = Callable[..., str]


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which the whole line ran once, with every kind that can be made."""
    import os

    from conftest import tiny_settings

    from pipeline.cli import main

    folder = tmp_path_factory.mktemp("finished")
    before = Path.cwd()
    os.chdir(folder)
    try:
        recipe = {"name": "tiny"} | tiny_settings(tiny_model)
        Path("tiny.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        assert main(["run", "tiny.yaml"]) == 0
        assert main(["export", "tiny.yaml", "--kind", "adapter", "--kind", "gguf"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to change, as the working folder."""
    shutil.copytree(finished, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return Path("runs/tiny/export")


def test_it_works(run: Path) -> None:
    for kind in ("merged", "adapter", "gguf"):
        print((run / kind / "README.md").read_text())
    print((run / "gguf" / "Modelfile").read_text())
