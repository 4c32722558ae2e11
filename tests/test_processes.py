"""Several processes train what one does, and fail as one does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.settings import TrainSettings

SHARED = ["train.batch_size=8", "train.packing=2", "train.accumulation=2", "train.lora.dropout=0", "data.limit=48"]


@pytest.fixture
def rendered(loraql: Callable[..., str], recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, *SHARED)
    return recipe


def test_two_processes_have_the_losses_of_one(loraql: Callable[..., str], rendered: Path) -> None:
    from safetensors.numpy import load_file

    def train(*more: str) -> tuple[str, list[float], dict[str, Any]]:
        shown = loraql("train", rendered, *SHARED, "cache.max_gb=1", "--force", *more)
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
    with pytest.raises(ValueError, match=r"train.processes: 3 do not share the 4 sequences of a batch evenly"):
        TrainSettings(batch_size=8, packing=2, processes=3)
