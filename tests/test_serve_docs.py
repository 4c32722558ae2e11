"""What docs/serving.md shows is so: its commands parse, its requests are answered, its program runs."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from echo import running

from pipeline import serve as serve_module

pytest_plugins = ["serving"]
PAGE = (Path(__file__).parent.parent / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = [block.replace("\n    ", "\n").strip() for block in re.findall(r"\n\n((?:    .*\n|\n(?=    ))+)", PAGE)]


def lines(program: str) -> list[str]:
    return [line for block in BLOCKS for line in block.splitlines() if line.startswith(f"{program} ")]


def test_its_commands_parse(loraql: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[serve_module.Serving] = []
    monkeypatch.setattr(import_module("pipeline.ask"), "find_export", lambda *_: Path())
    monkeypatch.setattr("pipeline.serve.serve", lambda _, serving: started.append(serving))
    for line in lines("loraql"):
        loraql(*shlex.split(line)[1:])
    assert len(started) == 4
    assert all(serve_module.name_databases(serving.databases) for serving in started)
    assert started[-1].hosts == ["sql.example.org"]


def test_its_requests_are_answered(make_service: Any) -> None:
    with running(make_service()) as (host, port):
        for line in lines("curl"):
            command = shlex.split(line.replace("127.0.0.1:8000", f"{host}:{port}"))
            got = subprocess.run([*command, "-s", "-w", "%{http_code}"], capture_output=True, text=True, check=True)
            assert got.stdout.endswith("200"), got.stdout


def test_its_program_runs(make_service: Any) -> None:
    (program,) = (block for block in BLOCKS if block.startswith("from openai"))
    with running(make_service()) as (host, port):
        program = program.replace("127.0.0.1:8000", f"{host}:{port}")
        got = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert got.stdout == "How many products are there?\n" + "How many products are there?"


def test_every_option_is_on_it(loraql: Callable[..., str]) -> None:
    shown = set(re.findall(r"--[a-z-]+", loraql("serve", "--help"))) - {"--help", "--runs"}
    assert {name for name in shown if not re.search(rf"{name}\b", PAGE)} == set()
