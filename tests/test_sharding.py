"""A model spread over processes learns what one process does, and what cannot be sharded is refused."""

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from data.errors import UserError
from pipeline import sharding
from pipeline.settings import TrainSettings
from pipeline.sharding import accelerate_file
from pipeline.stage import PARTIAL_KEY, digest_bytes

SHARED = ["train.batch_size=8", "train.packing=2", "train.accumulation=2", "train.lora.dropout=0", "data.limit=48"]
TRAINED = Path("runs/tiny/train")
ADAPTERS = "checkpoint-4/adapter_model.safetensors"
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")


@pytest.fixture
def rendered(loraql: Callable[..., str], recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, *SHARED)
    return recipe


def losses() -> list[float]:
    return [json.loads(line)["loss"] for line in (TRAINED / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("kind", "quantization", "kept"),
    [
        ("fsdp", "none", "pytorch_model_fsdp.bin"),
        pytest.param("fsdp", "nf4", "pytorch_model_fsdp.bin", marks=pytest.mark.slow),
        pytest.param("zero3", "none", "global_step4", marks=[NEEDS_DEEPSPEED, pytest.mark.slow]),
        pytest.param("zero3", "nf4", "global_step4", marks=[NEEDS_DEEPSPEED, pytest.mark.slow]),
    ],
)
def test_a_sharded_model_has_the_losses_and_adapters_of_one_process(
    loraql: Callable[..., str], rendered: Path, kind: str, quantization: str, kept: str
) -> None:
    from safetensors.numpy import load_file

    found: list[tuple[list[float], dict[str, Any]]] = []
    for more in ([], ["train.processes=2", f"train.sharding={kind}"]):
        loraql("train", rendered, *SHARED, f"train.quantization={quantization}", "--force", *more)
        found.append((losses(), load_file(TRAINED / ADAPTERS)))
    (one, alone), (two, sharded) = found
    assert (TRAINED / "checkpoint-4" / kept).exists(), "this kind of sharding has written the checkpoint"
    assert len(one) == 4
    assert two == pytest.approx(one, abs=1e-4)
    assert alone.keys() == sharded.keys()
    for name, tensor in alone.items():
        np.testing.assert_allclose(sharded[name], tensor, atol=1e-3)


@pytest.mark.parametrize(
    "kind",
    [pytest.param("fsdp", marks=pytest.mark.slow), pytest.param("zero3", marks=[NEEDS_DEEPSPEED, pytest.mark.slow])],
)
def test_a_sharded_run_goes_on_from_its_checkpoint(loraql: Callable[..., str], rendered: Path, kind: str) -> None:
    settings = [*SHARED, "train.processes=2", f"train.sharding={kind}"]
    loraql("train", rendered, *settings)
    whole, adapters = losses(), (TRAINED / ADAPTERS).read_bytes()
    made_from = json.loads((TRAINED / "manifest.json").read_text(encoding="utf-8"))["made_from"]
    partial = TRAINED.rename(TRAINED.with_name("train.partial"))  # as if it was killed after step 2
    (partial / "manifest.json").unlink()
    shutil.rmtree(partial / "checkpoint-4")
    (partial / PARTIAL_KEY).write_text(digest_bytes(json.dumps(made_from, sort_keys=True).encode()), encoding="utf-8")
    loraql("train", rendered, *settings, "--resume")
    assert losses() == whole
    assert (TRAINED / ADAPTERS).read_bytes() == adapters


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sharding": "fsdp"}, "train.sharding: fsdp wants train.processes of 2 or more, a GPU for each"),
        (
            {"sharding": "zero3", "processes": 2, "quantization": "int8"},
            "train.sharding: zero3 cannot split 8-bit weights; set train.quantization to nf4 or none",
        ),
    ],
)
def test_settings_that_cannot_be_sharded(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainSettings(**settings)


def test_zero3_without_deepspeed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"train.sharding: zero3 needs DeepSpeed, which is not installed"):
        accelerate_file(TrainSettings(sharding="zero3", processes=2))


def test_accelerates_settings_are_shipped() -> None:
    assert accelerate_file(TrainSettings()) is None
    path = accelerate_file(TrainSettings(sharding="fsdp", processes=2))
    assert path is not None
    fsdp = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert fsdp["distributed_type"] == "FSDP"
    assert fsdp["fsdp_config"]["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    zero3 = yaml.safe_load((path.parent / "zero3.yaml").read_text(encoding="utf-8"))
    assert zero3["deepspeed_config"]["zero_stage"] == 3
    package_data = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"accelerate/*.yaml"' in package_data


def test_four_bit_weights_to_be_split_are_stored_as_they_are_computed(tiny_model: Path) -> None:
    from pipeline.model import load_model

    split = load_model(tiny_model, quantization="nf4", sharding="fsdp")
    assert "float32" in str(split.model.layers[0].mlp.up_proj.weight.dtype)
    assert "uint8" in str(load_model(tiny_model, quantization="nf4").model.layers[0].mlp.up_proj.weight.dtype)
