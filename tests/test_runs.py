"""`loraql runs` and `loraql clean`: what there is, what can go, and that the rest goes on working."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import tiny_settings

from pipeline import clean as clean_module
from pipeline.cli import main
from pipeline.stage import MANIFEST

Loraql = Callable[..., str]


@pytest.fixture(scope="module")
def done(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which the tiny recipe has been run to the end."""
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LORAQL_CACHE", str(folder / "cache"))
        settings = tiny_settings(tiny_model) | {"data": {"source": "sample", "limit": 4}, "export": {"questions": 1}}
        Path("tiny.yaml").write_text(yaml.safe_dump({"name": "tiny"} | settings), encoding="utf-8")
        assert main(["run", "tiny.yaml"]) == 0
    return folder


@pytest.fixture
def here(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, to work in."""
    shutil.copytree(done, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "work" / "cache"))
    return tmp_path / "work"


def chosen() -> tuple[str, str]:
    """The chosen checkpoint, and the other one."""
    name = json.loads(Path("runs/tiny/evaluate/selection.json").read_text(encoding="utf-8"))["chosen"]
    (other,) = {path.name for path in Path("runs/tiny/evaluate").glob("checkpoint-*")} - {name}
    return name, other


def test_no_runs_yet_says_what_makes_one(loraql: Loraql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no runs yet; `loraql run sample` makes one" in loraql("runs")
    assert json.loads(loraql("runs", "--json")) == []
    Path("runs").write_text("", encoding="utf-8")
    assert "runs: is a file" in loraql("runs", code=1)


def test_a_run_is_shown_with_its_scores_and_cost(loraql: Loraql, here: Path) -> None:
    (run,) = json.loads(loraql("runs", "--json"))
    scores = json.loads(Path("runs/tiny/evaluate", chosen()[0], "scores.json").read_text(encoding="utf-8"))
    assert run["ex"]["value"] == scores["splits"]["dev"]["intervals"]["ex"]["value"]
    assert (run["name"], run["recipe"], run["data"], run["stage"]) == ("tiny", "tiny.yaml", "sample", "export")
    assert run["checkpoint"] == chosen()[0]
    assert run["base_ex"]["high"] <= 1
    assert run["train_seconds"] > 0
    assert run["peak_memory_mb"]["ram"] > 100
    assert run["disk_bytes"] > Path("runs/tiny/export/merged/model.safetensors").stat().st_size
    assert run["stale"] is None
    assert run["notes"] == []
    assert f"{100 * run['ex']['value']:.1f} [" in loraql("runs")


def test_the_newest_run_is_first(loraql: Loraql, here: Path) -> None:
    shutil.copytree("runs/tiny", "runs/older")
    for path in Path("runs/older").rglob(MANIFEST):
        os.utime(path, (1, 1))
    assert [run["name"] for run in json.loads(loraql("runs", "--json"))] == ["tiny", "older"]


def test_damaged_half_done_and_foreign_folders_get_a_note(loraql: Loraql, here: Path) -> None:
    shutil.copytree("runs/tiny", "runs/cut")
    Path("runs/cut/train", chosen()[0], "adapter_model.safetensors").write_bytes(b"")
    shutil.copytree("runs/tiny", "runs/spoilt")
    for name in ("train/manifest.json", "config.yaml", "evaluate/selection.json"):
        Path("runs/spoilt", name).write_text("{", encoding="utf-8")
    shutil.copytree("runs/tiny", "runs/odd")
    Path("runs/odd/evaluate/manifest.json").write_text("[1]", encoding="utf-8")
    Path("runs/begun/render.partial").mkdir(parents=True)
    Path("runs/pictures").mkdir()
    Path("runs/notes.txt").write_text("", encoding="utf-8")
    Path("runs/link").symlink_to(Path("runs/tiny").resolve())
    runs = {run["name"]: run for run in json.loads(loraql("runs", "--json"))}
    assert set(runs) == {"tiny", "cut", "spoilt", "odd", "begun", "pictures", "link"}
    assert "is missing or cut short" in runs["cut"]["notes"][0]
    assert sum("damaged" in note for note in runs["spoilt"]["notes"]) == 2
    assert "`loraql evaluate tiny.yaml --force` writes them anew" in runs["spoilt"]["notes"][-1]
    assert "runs/odd/evaluate/manifest.json is damaged" in runs["odd"]["notes"][0]
    assert runs["begun"]["notes"] == [
        "render is half-done: `loraql render begun` goes on, `loraql clean begun` removes it"
    ]
    assert runs["pictures"]["notes"] == ["not made by loraql"]
    assert "a link to" in runs["link"]["notes"][0]
    assert "pictures: not made by loraql" in loraql("runs")


def test_a_stage_that_was_made_from_something_else_is_stale(loraql: Loraql, here: Path) -> None:
    path = Path("runs/tiny/render/manifest.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["outputs"]["train.jsonl"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest), encoding="utf-8")
    (run,) = json.loads(loraql("runs", "--json"))
    assert run["stale"] == "train was made from another render/train.jsonl"
    assert "export, stale" in loraql("runs")


def test_a_note_gives_the_command_with_its_settings(loraql: Loraql, here: Path) -> None:
    loraql("render", "tiny.yaml", "name=other", "prompt.samples=1", "--seed", "3")
    Path("runs/other/train.partial").mkdir()
    (other,) = [run for run in json.loads(loraql("runs", "--json")) if run["name"] == "other"]
    (note,) = other["notes"]
    assert "`loraql train tiny.yaml name=other prompt.samples=1 --seed 3` goes on" in note


def test_two_runs_are_compared_by_name_with_the_settings_that_differ(loraql: Loraql, here: Path) -> None:
    shutil.copytree("runs/tiny", "runs/other")
    path = Path("runs/other/config.yaml")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["train"]["learning_rate"] = 0.5
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    shown = loraql("compare", "tiny", "other", "--out", "compared")
    assert "other against tiny" in shown
    assert "train.learning_rate   0.01   0.5" in shown
    compared = json.loads(Path("compared/compare.json").read_text(encoding="utf-8"))
    assert compared["settings"] == [["train.learning_rate", "0.01", "0.5"]]
    assert "Settings that differ" not in loraql("compare", "runs/tiny/evaluate/base", "tiny")


def test_without_a_terminal_clean_only_shows(loraql: Loraql, here: Path) -> None:
    before = sorted(Path("runs").rglob("*"))
    shown = loraql("clean")
    assert chosen()[1] in shown
    assert chosen()[0] not in shown
    assert "nothing is deleted: no terminal to ask at; add --yes" in shown
    assert sorted(Path("runs").rglob("*")) == before


@pytest.mark.parametrize("answer", [True, False])
def test_at_a_terminal_clean_asks(loraql: Loraql, here: Path, monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(clean_module.typer, "confirm", lambda *_, **__: answer)
    loraql("clean", "tiny")
    assert Path("runs/tiny/train", chosen()[1]).exists() != answer


def test_after_cleaning_the_run_is_fresh_and_answers(loraql: Loraql, here: Path) -> None:
    was = loraql("status", "tiny.yaml")
    loraql("clean", "tiny", "--yes")
    kept, gone = chosen()
    assert [path.name for path in sorted(Path("runs/tiny/train").glob("*heckpoint*"))] == [kept]
    assert loraql("status", "tiny.yaml") == was
    assert "stale" not in was
    assert "nothing to do" in loraql("run", "tiny.yaml")
    assert json.loads(loraql("runs", "--json"))[0]["notes"] == []
    database = "data/raw/sample/database/museum/museum.sqlite"
    assert '"sql"' in loraql("ask", "tiny", "--db", database, "--json", "How many artists are there?")
    assert "nothing to clean" in loraql("clean", "tiny", "--yes")
    again = loraql("evaluate", "tiny.yaml", "evaluate.max_new_tokens=4")
    assert f"note: {gone} cannot be chosen: `loraql clean` deleted them" in again
    loraql("train", "tiny.yaml", "--force")
    assert Path("runs/tiny/train", gone).is_dir()
    assert "cleaned" not in json.loads(Path("runs/tiny/train/manifest.json").read_text(encoding="utf-8"))


def test_a_clean_that_is_broken_off_leaves_a_sound_run(
    loraql: Loraql, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(clean_module, "_remove", killed)
        loraql("clean", "tiny", "--yes", code=130)
    assert "stale" not in loraql("status", "tiny.yaml")
    assert chosen()[1] in loraql("clean", "tiny", "--what", "partial", "--yes")
    assert not list(Path("runs/tiny/train").glob(".deleting-*"))


def test_half_done_stages_go_unless_one_is_at_work(loraql: Loraql, here: Path) -> None:
    half = Path("runs/tiny/train.partial")
    (half / "checkpoint-2").mkdir(parents=True)
    with half.with_name("train.partial.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "loraql is at work there" in loraql("clean", "tiny", "--yes", code=1)
        shown = loraql("clean", "--what", "partial,states", "--yes")
        assert "it is left alone, and so is the cache" in shown
        assert half.is_dir()
    loraql("clean", "tiny", "--what", "partial", "--yes")
    assert not half.exists()
    assert not list(Path("runs/tiny").glob("*.lock"))
    other = Path("runs/tiny/export/gguf.partial")
    other.mkdir()
    with other.with_name("gguf.partial.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "loraql is at work there" in loraql("clean", "tiny", "--yes", code=1)
    loraql("clean", "tiny", "--what", "partial", "--yes")
    assert not other.exists()


def test_without_an_evaluation_no_checkpoint_goes(loraql: Loraql, here: Path) -> None:
    shutil.rmtree("runs/tiny/evaluate")
    assert "nothing to clean" in loraql("clean", "tiny")


def test_an_unreadable_choice_keeps_all_checkpoints(loraql: Loraql, here: Path) -> None:
    Path("runs/tiny/evaluate/selection.json").write_text("{", encoding="utf-8")
    shown = loraql("clean", "tiny", "--yes")
    assert "which checkpoint was chosen cannot be read; all stay" in shown
    assert len(list(Path("runs/tiny/train").glob("checkpoint-*"))) == 2


def test_links_are_not_followed(loraql: Loraql, here: Path) -> None:
    outside = here / "outside"
    shutil.copytree("runs/tiny", outside)
    Path("runs/link").symlink_to(outside)
    gone = chosen()[1]
    shutil.rmtree(Path("runs/tiny/train", gone))
    Path("runs/tiny/train", gone).symlink_to(outside / "train" / gone)
    Path("runs/tiny/render.partial").symlink_to(outside / "render")
    Path("runs/tiny/export.partial").mkdir()
    Path("runs/tiny/export.partial/inner").symlink_to(outside / "export")
    assert "is a link" in loraql("clean", "link", "--yes", code=1)
    loraql("clean", "--yes")
    assert not Path("runs/tiny/export.partial").exists()
    loraql("clean", "tiny", "--all", "--yes")
    assert not Path("runs/tiny").exists()
    for name in (f"train/{gone}/adapter_model.safetensors", "render/train.jsonl", "export/merged/config.json"):
        assert (outside / name).is_file(), name


def test_the_cache_loses_only_what_loraql_made(loraql: Loraql, here: Path) -> None:
    digest = "0123456789abcdef" * 2
    made = [f"states/{digest}/states.bin", f"answers/{digest}.jsonl", f"values/{digest[:24]}.values"]
    made.append(f"databases/{digest[:16]}/shop.sqlite")
    others = ["states/mine/states.bin", "answers/notes.jsonl", "models/my-model/config.json", "values/readme.txt"]
    for name in [*made, *others, "models/smollm2-135m-instruct/config.json"]:
        path = Path("cache") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(5000))
    loraql("clean", "--what", "states", "--yes")
    assert [Path("cache", name).exists() for name in made] == [False, True, True, True]
    loraql("clean", "--what", "cache,models", "--yes")
    assert not [name for name in made if Path("cache", name).exists()]
    assert not Path("cache/models/smollm2-135m-instruct").exists()
    assert [name for name in others if Path("cache", name).exists()] == others


def test_whole_runs_go_by_name_alone(loraql: Loraql, here: Path) -> None:
    Path("runs/pictures").mkdir()
    assert "runs/pictures: holds nothing of a run" in loraql("clean", "pictures", "--all", "--yes", code=1)
    assert "name them" in loraql("clean", "--all", "--yes", code=2)
    assert "there are: pictures, tiny" in loraql("clean", "tyni", "--yes", code=1)
    assert "there are: pictures, tiny" in loraql("clean", "../outside", "--all", "--yes", code=1)
    assert "--what chekpoints: there are checkpoints, partial" in loraql("clean", "--what", "chekpoints", code=2)
    loraql("clean", "tiny", "--all", "--yes")
    assert [path.name for path in Path("runs").iterdir()] == ["pictures"]
