"""`loraql doctor` finds what is wrong and says what mends it; the shell completes names quickly."""

import http.server
import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from eval.sandbox import Outcome
from pipeline import examine
from pipeline.cli import main
from pipeline.completing import RECIPES
from pipeline.examine import EXTRAS, Finding

Loraql = Callable[..., str]
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_all_is_looked_at_and_nothing_stays(loraql: Loraql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "DRIVER", Path("absent"))
    monkeypatch.setattr(examine, "free_disk", lambda _: 1e10)
    report = json.loads(loraql("doctor", "--json"))
    found = {finding["what"]: finding for finding in report["findings"]}
    assert report["ok"]
    assert set(found) >= {
        *("Python", "loraql", "torch", "NF4", "machine", "disk, runs", "disk, cache", "cache", "sandbox", "model hub"),
        "extras",
    }
    assert found["NF4"]["state"] == found["sandbox"]["state"] == "ok"
    assert "HF_HUB_OFFLINE" in found["model hub"]["found"]
    assert not list(Path().iterdir())


def test_something_wrong_is_exit_code_1_with_its_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Finding("wrong", "NF4", "does not quantize", "install it again")
    monkeypatch.setattr("pipeline.doctor.examine_nf4", lambda: [wrong])
    monkeypatch.setattr("pipeline.doctor.examine_torch", list)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "wrong: NF4: install it again" in shown
    assert shown.endswith("1 thing is wrong\n")


def test_a_missing_old_or_untested_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"loraql": "0.1.0", "sqlglot": "30.1", "rich": "1.0"}
    monkeypatch.setattr(
        examine, "requires", lambda _: ["sqlglot>=30.0", "rich>=15.0", "trl>=1.16", 'ruff; extra == "dev"']
    )
    monkeypatch.setattr(examine, "_version", there.get)
    monkeypatch.setattr(examine, "_tested", lambda: {"sqlglot": "30.30.0"})
    wrong, note = examine.examine_packages()
    assert (wrong.state, wrong.found) == ("wrong", "trl is missing, rich 1.0 (>=15.0)")
    assert (note.state, note.found) == ("note", "not the tested versions: sqlglot 30.1 (30.30.0)")
    assert "pip install -c constraints.txt" in wrong.remedy


def test_a_driver_without_a_gpu_for_torch_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    driver = tmp_path / "version"
    monkeypatch.setattr(examine, "DRIVER", driver)
    assert examine.examine_torch()[1].state == "note"
    driver.write_text("", encoding="utf-8")
    for cuda, said in ((None, "torch is its CPU build"), ("13.0", "torch for CUDA 13.0 finds none")):
        monkeypatch.setattr(torch.version, "cuda", cuda)
        finding = examine.examine_torch()[1]
        assert (finding.state, said in finding.found, bool(finding.remedy)) == ("wrong", True, True)


def test_a_gpu_is_told_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    own = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        mem_get_info=lambda _: (30e9, 40e9),
        get_device_name=lambda _: "A Card",
        is_bf16_supported=lambda: False,
    )
    monkeypatch.setattr(torch, "cuda", own)
    finding = examine.examine_torch()[1]
    assert (finding.state, finding.found.startswith("A Card, 30.0 GB of 40.0 GB free")) == ("note", True)


def test_a_broken_quantizer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import bitsandbytes.functional

    monkeypatch.setattr(bitsandbytes.functional, "dequantize_4bit", lambda packed, state: 0)
    assert only(examine.examine_nf4()).state == "wrong"

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no library\nmore")

    monkeypatch.setattr(bitsandbytes.functional, "quantize_4bit", fail)
    assert only(examine.examine_nf4()).found == "bitsandbytes does not quantize: no library"


def test_a_sandbox_that_lets_things_through_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine.Sandbox, "run", lambda *_: Outcome("ok", rows=((42,),)))
    finding = only(examine.examine_sandbox())
    assert finding.state == "wrong"
    assert finding.found == "a write was let through; a query without end was let through"


def test_a_full_disk_and_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(examine, "free_disk", lambda _: 5e8)
    assert [finding.state for finding in examine.examine_disk(Path("runs"))] == ["wrong", "wrong"]
    monkeypatch.setattr(examine, "free_disk", lambda _: 2e9)
    assert {finding.remedy for finding in examine.examine_disk(Path("runs"))} == {"loraql clean"}
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "file" / "cache"))
    assert only(examine.examine_cache()).state == "wrong"


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A server that answers every request with 403."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_hub_is_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    finding = only(examine.examine_hub())
    assert (finding.state, finding.found.startswith(f"{endpoint} answers")) == ("ok", True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    finding = only(examine.examine_hub())
    assert (finding.state, "cannot be reached" in finding.found) == ("note", True)


def test_every_extra_is_looked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) - {"dev", "benchmarks"} <= set(EXTRAS)


def complete(words: str, folder: Path, shell: str = "bash") -> list[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "_LORAQL_COMPLETE": f"complete_{shell}"}
    environment |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    environment |= {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    command = [sys.executable, "-m", "pipeline"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=folder)
    return done.stdout.split("\n")[:-1]


def test_names_of_recipes_and_runs_are_completed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("", encoding="utf-8")
    (tmp_path / "runs/exported/export/merged").mkdir(parents=True)
    (tmp_path / "runs/begun").mkdir()
    assert complete("loraql train ", tmp_path) == sorted(["mine.yaml", *(path.stem for path in RECIPES.glob("*.yaml"))])
    assert complete("loraql clean ", tmp_path) == ["begun", "exported"]
    assert complete("loraql compare be", tmp_path) == ["begun"]
    assert complete("loraql ask ", tmp_path) == ["exported"]
    assert complete("loraql download sp", tmp_path)[:1] == ["spider"]
    assert set(complete("loraql c", tmp_path)) >= {"compare", "clean"}
    assert "begun" in complete("loraql clean be", tmp_path, "fish")[0]
    assert '"begun"' in complete("loraql clean be", tmp_path, "zsh")[0]


def test_completing_loads_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys, pipeline.cli, pipeline.completing as c; c.recipe_names(''); c.run_names(''); c.export_names('');"
        "print(sorted({'torch', 'transformers', 'pandas', 'pydantic', 'yaml', 'rich.console'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout == "[]\n"
