"""A model spread over processes learns what one process does, and what cannot be sharded is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

SHARED = ["train.batch_size=8", "train.packing=2", "train.accumulation=2", "train.lora.dropout=0", "data.limit=48"]


@pytest.fixture
def rendered(loraql: Callable[..., str], recipe: Path) -> Path:
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, *SHARED)
    return recipe


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_sharded_model_has_the_losses_and_adapters_of_one_process(
    loraql: Callable[..., str], rendered: Path, quantization: str
) -> None:
    from safetensors.numpy import load_file

    losses, adapters = [], []
    for more in ([], ["train.processes=2", "train.sharding=fsdp"]):
        loraql("train", rendered, *SHARED, f"train.quantization={quantization}", "--force", *more)
        lines = Path("runs/tiny/train/metrics.jsonl").read_text(encoding="utf-8").splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
        adapters.append(load_file("runs/tiny/train/checkpoint-4/adapter_model.safetensors"))
    assert len(losses[0]) == 4
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert adapters[0].keys() == adapters[1].keys()
    for name, tensor in adapters[0].items():
        np.testing.assert_allclose(adapters[1][name], tensor, atol=1e-3)
