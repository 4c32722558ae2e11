"""When memory runs out in training: the same steps in smaller batches, or one line that says what to change."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserError
from pipeline import trainer
from pipeline.memory import MemoryFullError, ran_out, smaller_batch, told_when_full
from pipeline.settings import TrainSettings

SETTINGS = [
    "train.batch_size=8", "train.packing=1", "train.lora.dropout=0", "train.max_steps=6", "train.checkpoints=3",
    "data.limit=48", "prompt.context=needed", "--force",
]  # fmt: skip
# How torch says it on a CPU.
ON_CPU = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes. Error code 12 (Cannot allocate memory)"

# A worker's loss, before anything else is imported: it fails while more than two sequences come at once.
FULL_WORKER = f"""
import sys
if "torch.distributed.run" not in " ".join(sys.orig_argv):
    from pipeline import batches
    real = batches.completion_loss
    def completion_loss(model, inputs, count=None):
        if inputs["input_ids"].shape[0] > 2:
            raise RuntimeError({ON_CPU!r})
        return real(model, inputs, count)
    batches.completion_loss = completion_loss
"""


@pytest.fixture
def rendered(loraql: Callable[..., str], recipe: Path) -> Path:
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, "data.limit=48", "prompt.context=needed")
    return recipe


def losses() -> list[float]:
    lines = [json.loads(line) for line in Path("runs/tiny/train/metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def errors() -> dict[str, Exception]:
    import torch

    return {
        "GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        "CPU": RuntimeError(ON_CPU),
        "Python": MemoryError(),
    }


def fail_above(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception, calls: int = 0) -> list[int]:
    """Makes the loss fail with more sequences than `most` at once, after so many calls; the sizes that it saw."""
    real, seen = trainer.completion_loss, []

    def completion_loss(model: Any, inputs: Any, count: Any = None) -> Any:
        seen.append(len(inputs["input_ids"]))
        if seen[-1] > most and len(seen) > calls:
            raise error
        return real(model, inputs, count)

    monkeypatch.setattr(trainer, "completion_loss", completion_loss)
    return seen


def test_a_full_memory_makes_batches_smaller_and_leaves_the_losses(
    loraql: Callable[..., str], rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loraql("train", rendered, *SETTINGS)
    whole = losses()
    seen = fail_above(monkeypatch, 2, errors()["CPU"])
    shown = loraql("train", rendered, *SETTINGS)
    assert "memory ran out with train.batch_size=8: going on with train.batch_size=4 train.accumulation=2" in shown
    assert "memory ran out with train.batch_size=4: going on with train.batch_size=2 train.accumulation=4" in shown
    assert max(seen[-24:]) == min(seen[-24:]) == 2
    assert losses() == pytest.approx(whole, abs=1e-4)
    manifest = json.loads(Path("runs/tiny/train/manifest.json").read_text(encoding="utf-8"))
    assert manifest["made_from"]["settings"]["train"]["batch_size"] == 8, "what was asked for, so that it is up to date"


def test_it_goes_on_from_the_last_whole_checkpoint(
    loraql: Callable[..., str], rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loraql("train", rendered, *SETTINGS)
    whole = losses()
    seen = fail_above(monkeypatch, 4, errors()["GPU"], calls=2 + 5)  # two trial passes, five of six steps
    shown = loraql("train", rendered, *SETTINGS)
    assert shown.index("going on with train.batch_size=4") < shown.index("resuming from checkpoint-4")
    assert seen[-4:] == [4, 4, 4, 4], "two steps were left"
    assert losses() == pytest.approx(whole, abs=1e-4)


def test_one_sequence_that_does_not_fit_ends_with_what_to_change(
    loraql: Callable[..., str], rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_above(monkeypatch, 0, errors()["CPU"], calls=2)
    error = loraql("train", rendered, *SETTINGS, "train.batch_size=1", code=1)
    assert error.splitlines() == [
        "loraql: train: memory ran out with 1 sequence at once; set train.gradient_checkpointing=true, "
        "train.quantization=nf4, a larger train.freeze_layers, a smaller prompt.max_length or model.base "
        "(`loraql plan` has figures)"
    ]


def test_a_trial_pass_that_does_not_fit_says_so_before_training(
    loraql: Callable[..., str], rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_above(monkeypatch, 0, errors()["GPU"])
    error = loraql("train", rendered, *SETTINGS, "train.gradient_checkpointing=true", code=1)
    assert "memory ran out before training, with one sequence at once; set train.quantization=nf4, a larger" in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_one_of_two_processes_makes_both_start_again(
    loraql: Callable[..., str], rendered: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loraql("train", rendered, *SETTINGS)
    whole = losses()
    (tmp_path / "double").mkdir()
    (tmp_path / "double" / "sitecustomize.py").write_text(FULL_WORKER, encoding="utf-8")
    root = str(Path(trainer.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "double"), root]))
    shown = loraql("train", rendered, *SETTINGS, "train.processes=2")
    assert "memory ran out with train.batch_size=8: going on with train.batch_size=4 train.accumulation=2" in shown
    assert losses() == pytest.approx(whole, abs=1e-4)


def test_libraries_errors_of_a_full_memory_are_known_and_others_pass() -> None:
    settings = TrainSettings()
    assert all(map(ran_out, errors().values()))
    assert not ran_out(RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"), told_when_full(UserError, "now", settings):
        raise RuntimeError("shapes do not fit")
    with pytest.raises(MemoryFullError, match="memory ran out now"), told_when_full(MemoryFullError, "now", settings):
        raise MemoryError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"batch_size": 8}, (4, 2)),
        ({"batch_size": 6, "accumulation": 2}, (3, 4)),
        ({"batch_size": 9}, (3, 3)),
        ({"batch_size": 16, "packing": 4, "processes": 2}, (8, 2)),
        ({"batch_size": 8, "packing": 4, "processes": 2}, None),
        ({"batch_size": 7}, (1, 7)),
    ],
)
def test_a_smaller_batch_leaves_a_step_as_large(before: dict[str, int], after: tuple[int, int] | None) -> None:
    settings = TrainSettings(**before)
    fewer = smaller_batch(settings)
    assert (fewer and (fewer.batch_size, fewer.accumulation)) == after
    if fewer:
        again = TrainSettings.model_validate(fewer.model_dump())
        assert again.batch_size * again.accumulation == settings.batch_size * settings.accumulation
