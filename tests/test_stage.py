"""Manifests and staleness: a stage runs when something that it is made of changed, and only then."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import UserError
from pipeline.config import Config
from pipeline.stage import Stage, digest_files, recorded_digests, run_stage, why_stale


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "input.txt").write_text("one", encoding="utf-8")
    return Config(name="test", runs=tmp_path)


def copying(config: Config) -> Stage:
    """Copies its input, with the seed behind it; counts how often it worked in `runs.log`."""
    source = config.runs / "input.txt"

    def work(config: Config, folder: Path) -> None:
        with (config.runs / "runs.log").open("a", encoding="utf-8") as log:
            log.write("ran\n")
        (folder / "out.txt").write_text(f"{source.read_text(encoding='utf-8')} {config.seed}", encoding="utf-8")

    return Stage(
        "copy",
        1,
        lambda config: config.run / "copy",
        lambda config: {"seed": config.seed},
        lambda config: digest_files(source),
        work,
    )


def runs(config: Config) -> int:
    return (config.runs / "runs.log").read_text(encoding="utf-8").count("ran")


def test_a_stage_runs_once(config: Config) -> None:
    stage = copying(config)
    assert why_stale(stage, config) == "not run yet"
    assert run_stage(stage, config)
    assert why_stale(stage, config) is None
    assert not run_stage(stage, config)
    assert runs(config) == 1
    assert run_stage(stage, config, force=True)
    manifest = json.loads((config.run / "copy" / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["outputs"]) == {"out.txt"}
    assert set(manifest["provenance"]) >= {"seed", "packages", "machine", "git_commit"}


def test_what_makes_it_stale(config: Config) -> None:
    stage = copying(config)
    run_stage(stage, config)
    assert why_stale(stage, config.model_copy(update={"seed": 1})) == "seed: 0 -> 1"
    assert why_stale(replace(stage, version=2), config) == "the stage itself changed (version 1 -> 2)"
    (config.runs / "input.txt").write_text("two", encoding="utf-8")
    assert why_stale(stage, config) == f"{config.runs / 'input.txt'} changed"
    (config.runs / "input.txt").unlink()
    assert why_stale(stage, config) == f"{config.runs / 'input.txt'} is missing"
    assert (
        why_stale(replace(stage, inputs=lambda config: {}), config) == f"{config.runs / 'input.txt'} is no longer used"
    )
    (config.runs / "input.txt").write_text("one", encoding="utf-8")
    more = {"more": "sha256"} | dict(stage.inputs(config))
    assert why_stale(replace(stage, inputs=lambda config: more), config) == "more is new"
    (config.run / "copy" / "out.txt").write_text("", encoding="utf-8")
    assert "out.txt is missing or cut short" in str(why_stale(stage, config))


def test_a_failure_leaves_the_old_result_and_its_own_part(config: Config) -> None:
    stage = copying(config)
    run_stage(stage, config)

    def fail(config: Config, folder: Path) -> None:
        (folder / "half.txt").write_text("half", encoding="utf-8")
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "half.txt"))

    with pytest.raises(OSError, match="No space"):
        run_stage(replace(stage, work=fail), config, force=True)
    assert (config.run / "copy" / "out.txt").read_text(encoding="utf-8") == "one 0"
    assert not (config.run / "copy" / "half.txt").exists()
    assert (config.run / "copy.partial" / "half.txt").is_file()


def test_the_same_work_goes_on_and_other_work_starts_afresh(config: Config) -> None:
    found: list[bool] = []

    def work(config: Config, folder: Path) -> None:
        found.append((folder / "half.txt").is_file())
        (folder / "half.txt").write_text("half", encoding="utf-8")
        if len(found) in (1, 3):
            raise UserError("stopped")

    stage = replace(copying(config), work=work)
    with pytest.raises(UserError):
        run_stage(stage, config)
    assert why_stale(stage, config) == "started, not finished"
    run_stage(stage, config)
    with pytest.raises(UserError):
        run_stage(stage, config, force=True)
    run_stage(stage, config.model_copy(update={"seed": 5}))
    assert found == [False, True, False, False]
    assert not (config.run / "copy.partial").exists()


def test_two_at_once_do_not_mix(config: Config) -> None:
    stage = copying(config)

    def work_twice(config: Config, folder: Path) -> None:
        run_stage(stage, config)

    with pytest.raises(UserError, match="another loraql is at work there"):
        run_stage(replace(stage, work=work_twice), config)


@pytest.mark.parametrize("content", ['{"stage": "co', "{}", "[]", "\x00"])
def test_a_damaged_manifest_is_named_and_mended_by_another_run(config: Config, content: str) -> None:
    stage = copying(config)
    run_stage(stage, config)
    path = config.run / "copy" / "manifest.json"
    path.write_text(content, encoding="utf-8")
    assert why_stale(stage, config) == f"{path} is damaged"
    run_stage(stage, config)
    assert why_stale(stage, config) is None


def test_a_run_killed_while_it_is_put_in_place_is_taken_up_again(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import stage as module

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    found: list[bool] = []

    def work(config: Config, folder: Path) -> None:
        found.append((folder / "out.txt").is_file())
        (folder / "out.txt").write_text("long work", encoding="utf-8")

    stage = replace(copying(config), work=work)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(module, "write_json", fail)
        run_stage(stage, config)
    run_stage(stage, config)
    assert found == [False, True]


def test_an_input_that_changes_while_the_stage_works_leaves_it_stale(config: Config) -> None:
    stage = copying(config)
    source = config.runs / "input.txt"

    def work(config: Config, folder: Path) -> None:
        (folder / "out.txt").write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        source.write_text("changed meanwhile", encoding="utf-8")

    run_stage(replace(stage, work=work), config)
    assert why_stale(stage, config) == f"{source} changed"


@pytest.mark.parametrize(
    "content", [None, "", "{", "{}", "[]", '{"outputs": []}', '{"outputs": {"a": 1}}', '{"outputs": {"a": {}}}']
)
def test_what_a_damaged_manifest_records_is_that_it_is_damaged(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    assert recorded_digests(tmp_path) == {str(tmp_path / "manifest.json"): "missing or damaged"}
    (tmp_path / "manifest.json").write_text('{"outputs": {"a": {"sha256": "0f"}}}', encoding="utf-8")
    assert recorded_digests(tmp_path) == {"a": "0f"}
