"""Several processes train what one does, and fail as one does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.batches import Encoded, plan_steps
from pipeline.model import load_model
from pipeline.settings import TrainSettings
from pipeline.trainer import Steps

SHARED = ["train.batch_size=8", "train.packing=2", "train.accumulation=2", "train.lora.dropout=0", "data.limit=48"]


@pytest.fixture
def rendered(loraql: Callable[..., str], recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, *SHARED)
    return recipe


@pytest.mark.parametrize("packing", [pytest.param(2, marks=pytest.mark.slow), 8])
def test_two_processes_have_the_losses_of_one(loraql: Callable[..., str], rendered: Path, packing: int) -> None:
    from safetensors.numpy import load_file

    def train(*more: str) -> tuple[str, list[float], dict[str, Any]]:
        shown = loraql("train", rendered, *SHARED, f"train.packing={packing}", "cache.max_gb=1", "--force", *more)
        lines = Path("runs/tiny/train/metrics.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [json.loads(line)["loss"] for line in lines]
        return shown, losses, load_file("runs/tiny/train/checkpoint-4/adapter_model.safetensors")

    _, one, alone = train()
    for states in Path("cache/states").rglob("checksums.bin"):
        states.unlink()  # so that both compute them
    _, two, shared = train("--num-processes", "2")
    assert two == pytest.approx(one, abs=1e-4)
    assert len(two) == 4
    for name, tensor in alone.items():
        np.testing.assert_allclose(shared[name], tensor, atol=1e-3)


def test_what_one_of_them_fails_with_is_told_in_one_line(loraql: Callable[..., str], rendered: Path) -> None:
    shown = loraql("train", rendered, *SHARED, "train.processes=2", "train.freeze_layers=9", code=1)
    assert shown.splitlines() == [
        "loraql: train.freeze_layers: 9 was given, but the model has 4 decoder layers; at most 3"
    ]
    assert not Path("runs/tiny/train").exists()


def test_processes_share_a_batch_evenly() -> None:
    assert TrainSettings(batch_size=8, packing=2, processes=2).sequences_at_once == 2
    assert TrainSettings(batch_size=8, packing=8, processes=2).sequences_at_once == 1
    assert TrainSettings(batch_size=24, packing=8, processes=4).sequences_at_once == 3
    with pytest.raises(
        ValueError, match=r"train.processes: 3 do not share the 8 examples of a batch, packed by 2, evenly"
    ):
        TrainSettings(batch_size=8, packing=2, processes=3)


def test_a_process_that_is_left_without_examples_takes_the_step_without_a_loss(tiny_model: Path) -> None:
    import torch

    settings = TrainSettings(batch_size=4, packing=4, processes=2, epochs=1)
    examples = [Encoded([5, 6, 7, 8 + place], 1, "one" if place else "alone") for place in range(5)]
    plan = plan_steps(examples, settings, seed=0)
    assert sorted(map(len, plan.sequences)) == [0, 1, 2, 2]
    assert (plan.size, plan.steps) == (2, 2)
    model = load_model(tiny_model)
    steps = Steps(model, examples, 0, None)
    loss, _ = steps.loss(model, steps.batch([[]]), count=torch.tensor(4))
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in model.parameters())
