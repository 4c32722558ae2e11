"""plan: that its figures are those of the real thing, and that it leaves everything as it is."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserError
from pipeline import machine
from pipeline.batches import Encoded, collate, completion_loss, make_sequence
from pipeline.config import Config, load_config
from pipeline.footprint import footprint, weight_bytes
from pipeline.forecast import forecast
from pipeline.frozen import Frozen
from pipeline.lora import adapted_model, adapted_shape, count_parameters
from pipeline.settings import TrainSettings

Loraql = Callable[..., str]
SEQUENCES = [make_sequence([Encoded(list(range(10, 10 + length)), 30, "")]) for length in (150, 200)]


def figure(shown: str, row: str) -> float:
    found = re.search(rf"^ +{re.escape(row)} +([\d.,]+)", shown, re.MULTILINE)
    assert found, row
    return float(found[1].replace(",", ""))


def content(*folders: Path) -> dict[Path, bytes]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_a_shape_counts_as_the_model_does_and_its_weights_weigh_as_much(
    recipe: Path, tiny_model: Path, quantization: str
) -> None:
    config = load_config(str(recipe), [f"train.quantization={quantization}", "train.freeze_layers=1"])
    shape, model = adapted_shape(config.train, tiny_model), adapted_model(config, tiny_model)
    assert {parameter.device.type for parameter in shape.parameters()} == {"meta"}
    assert count_parameters(shape) == count_parameters(model)
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    real = sum(parameter.numel() * parameter.element_size() for parameter in frozen)
    assert weight_bytes(shape) == pytest.approx(real, rel=0.02)


def test_what_a_pass_takes_is_what_a_real_pass_keeps_for_the_way_back(recipe: Path, tiny_model: Path) -> None:
    import torch

    config = load_config(str(recipe), ["train.lora.dropout=0"])
    takes = footprint(adapted_shape(config.train, tiny_model), config.train, SEQUENCES, None)
    model = adapted_model(config, tiny_model).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        kept.setdefault(storage.data_ptr(), storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        completion_loss(model, collate(SEQUENCES, 0))
    real = sum(storage.nbytes() for place, storage in kept.items() if place not in own)
    assert real <= takes.activations + takes.gradients <= 2 * real
    assert takes.optimizer == 2 * takes.gradients == 2 * takes.adapters == 8 * count_parameters(model).trainable


def test_checkpointing_and_frozen_layers_take_less_and_larger_batches_more(tiny_model: Path) -> None:
    def activations(frozen: bool = False, times: int = 1, **settings: Any) -> float:
        train = TrainSettings(quantization="none", freeze_layers=2, **settings)
        shape = adapted_shape(train, tiny_model)
        return footprint(shape, train, SEQUENCES * times, Frozen(shape, 2) if frozen else None).activations

    plain = activations()
    assert activations(gradient_checkpointing=True) < 0.8 * plain
    assert activations(gradient_checkpointing=True, frozen=True) <= activations(gradient_checkpointing=True)
    assert 1.8 * plain < activations(times=2) < 2.2 * plain
    assert activations(compute="bf16") < plain


def test_torch_is_as_it_was_after_a_pass_that_failed(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.nn import functional

    before = functional.linear, functional.scaled_dot_product_attention
    train = TrainSettings(quantization="none", compute="bf16")
    shape = adapted_shape(train, tiny_model)
    monkeypatch.setattr(shape, "forward", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        footprint(shape, train, SEQUENCES, None)
    assert (functional.linear, functional.scaled_dot_product_attention) == before


def test_plan_shows_all_of_it_and_changes_no_file(loraql: Loraql, rendered: Path, tiny_model: Path) -> None:
    before = content(Path("runs"), Path("data"), tiny_model)
    shown = loraql("plan", rendered)
    assert content(Path("runs"), Path("data"), tiny_model) == before
    for title in ("Parameters", "Memory", "Disk", "Tokens and steps", "Time"):
        assert f"\n{title} " in f"\n{shown}"
    assert figure(shown, "examples") == 12
    assert figure(shown, "steps") == 4
    assert "2 of 4" in shown
    assert "tokens a second, of 3 passes" in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_with_a_cache_the_states_are_measured_apart_and_none_are_written(
    loraql: Loraql, rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))
    shown = loraql("plan", rendered, "cache.max_gb=1")
    assert "once; those that the cache has take none" in shown
    assert not list((tmp_path / "cache").rglob("states.bin"))
    refused = loraql(
        "plan", rendered, "cache.max_gb=0.000001", "train.max_steps=null", "train.epochs=2", "--no-measure"
    )
    assert "not kept: their states would take" in refused
    assert "cache.max_gb=1 " in refused
    assert "the 2 frozen layers run once, not 2.0 times" in refused


def test_without_weights_it_tells_all_but_the_time(
    loraql: Loraql, recipe: Path, tiny_model: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(tiny_model, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, f"model.base={bare}")
    shown = loraql("plan", recipe, f"model.base={bare}")
    assert f"time: not measured: the weights are not in {bare}" in " ".join(shown.split())
    (row,) = [line for line in shown.splitlines() if "base weights" in line]
    assert "not here; about" in row
    assert "no .safetensors file in it" in loraql("train", recipe, f"model.base={bare}", code=1)


def test_it_says_what_to_run_before_and_fetches_no_base(
    loraql: Loraql, recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pipeline.plan import plan

    error = loraql("plan", recipe, code=1)
    assert f"plan needs download, which is not up to date (not run yet): run `loraql download {recipe}`" in error
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "empty"))
    for base in ("smollm2-135m-instruct", "someone/some-model"):
        with pytest.raises(UserError, match=f"model.base={base} is not on this machine, and plan fetches nothing"):
            plan(Config.model_validate({"name": "x", "model": {"base": base}}))
    assert not (tmp_path / "empty").exists()


def test_what_does_not_fit_is_not_measured_and_gets_settings_that_do(
    loraql: Loraql, rendered: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import forecast as module

    settings = ["train.batch_size=8", "train.packing=1"]
    needs = figure(loraql("plan", rendered, *settings, "--no-measure"), "all")
    libraries = machine.libraries_memory() / 1e9
    monkeypatch.setattr(module, "libraries_memory", lambda: libraries * 1e9)
    monkeypatch.setattr(module, "training_memory", lambda: [(libraries + 0.7 * (needs - libraries)) * 1e9])
    shown = loraql("plan", rendered, *settings)
    assert "time: not measured: memory would not do" in shown
    assert "train.gradient_checkpointing=true" in shown
    assert re.search(r"train.batch_size=4 train.accumulation=2 .*instead of .*: fits", shown)


def test_packing_is_advised_with_the_tokens_that_it_gives(loraql: Loraql, rendered: Path) -> None:
    settings = ["prompt.context=full", "train.max_steps=null"]
    loraql("render", rendered, *settings)
    shown = loraql("plan", rendered, *settings, "--no-measure")
    found = re.search(r"train.packing=4 +an epoch computes ([\d,]+) tokens instead of ([\d,]+)", shown)
    assert found
    packed = loraql("plan", rendered, *settings, "--no-measure", "train.packing=4")
    assert figure(packed, "tokens that are computed") == float(found[1].replace(",", ""))
    assert figure(shown, "tokens that are computed") == float(found[2].replace(",", ""))
    assert "train.packing=4 " not in packed.partition("Advice")[2]


def test_advised_order_is_what_rendering_in_that_order_gives(loraql: Loraql, rendered: Path) -> None:
    first = ["prompt.order=question-first", "prompt.context=full"]
    loraql("render", rendered, *first)
    shown = loraql("plan", rendered, *first, "--no-measure")
    found = re.search(r"prompt.order=schema-first train.packing=4 +an epoch computes ([\d,]+) tokens", shown)
    assert found
    loraql("render", rendered, "prompt.context=full")
    packed = loraql("plan", rendered, "prompt.context=full", "train.packing=4", "--no-measure")
    assert figure(packed, "tokens that are computed") == float(found[1].replace(",", ""))


def test_padding_and_tokens_are_counted_by_batches(tiny_model: Path) -> None:
    examples = [Encoded(list(range(length)), 2, str(length)) for length in (10, 20, 30, 40)]
    settings = TrainSettings(quantization="none", batch_size=2, epochs=3)
    told = forecast(settings, 0, tiny_model, examples, has_states=False)
    assert told.tokens == 300
    assert told.epoch_tokens == 100
    padded = sum(2 * max(batch) for batch in told.lengths)
    assert told.padding == pytest.approx(1 - 300 / padded)
    assert told.widest == 40
