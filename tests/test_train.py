"""Training: what carries the loss, what a step is made of, and that a killed run ends like a whole one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import UserError
from pipeline.batches import IGNORED, Encoded, Plan, check_packing, collate, completion_loss, make_sequence, plan_steps
from pipeline.model import encode_completions, encode_prompts, load_model, load_tokenizer
from pipeline.settings import TrainSettings

PREFIX = list(range(10, 30))
EXAMPLES = [
    Encoded([*PREFIX, 40, 41, 50, 51, 52, 0], 4, "one"),
    Encoded([*PREFIX, 42, 53, 0], 2, "one"),
    Encoded([*PREFIX, 43, 44, 45, 54, 55, 0], 3, "one"),
]


def batch(*groups: list[Encoded]) -> dict[str, object]:
    return collate([make_sequence(group) for group in groups], pad=0)


def loss_and_gradients(folder: Path, inputs: dict[str, object]) -> tuple[float, list[object]]:
    model = load_model(folder).eval()
    loss, _ = completion_loss(model, inputs)
    loss.backward()
    return loss.item(), [parameter.grad for parameter in model.parameters()]


def test_completion_loss_is_the_model_s_own_loss(tiny_model: Path) -> None:
    import torch

    inputs = batch([EXAMPLES[0]], [EXAMPLES[1]])
    ours, gradients = loss_and_gradients(tiny_model, inputs)
    model = load_model(tiny_model).eval()
    stock = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], labels=inputs["labels"]).loss
    stock.backward()
    assert ours == pytest.approx(float(stock), abs=1e-6)
    for own, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(own, parameter.grad, atol=1e-6, rtol=1e-4)


def test_packed_questions_have_the_loss_and_gradients_of_separate_ones(tiny_model: Path) -> None:
    import torch

    packed, packed_gradients = loss_and_gradients(tiny_model, batch(EXAMPLES))
    apart, apart_gradients = loss_and_gradients(tiny_model, batch(*([example] for example in EXAMPLES)))
    assert len(make_sequence(EXAMPLES).ids) < sum(len(example.ids) for example in EXAMPLES) / 1.5
    assert packed == pytest.approx(apart, abs=1e-6)
    for one, other in zip(packed_gradients, apart_gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_packing_is_refused_where_the_model_would_not_see_the_start_of_a_sequence() -> None:
    plan = Plan([[0, 1, 2]], 1, 1, 1)
    check_packing(EXAMPLES, plan, 35)
    check_packing(EXAMPLES, Plan([[0], [1], [2]], 1, 3, 3), 10)
    with pytest.raises(UserError, match=r"see 34 tokens back, and .* need 35; set train.packing=1"):
        check_packing(EXAMPLES, plan, 34)


def test_the_end_token_keeps_its_label_though_it_is_the_pad_token(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    (prompt,), (completion,) = encode_prompts(tokenizer, ["Count them."]), encode_completions(tokenizer, ["SELECT 1"])
    example = Encoded(prompt + completion, len(completion), "")
    longer = Encoded(prompt + completion[:-1] + completion, len(completion), "")
    labels = collate([make_sequence([example]), make_sequence([longer])], tokenizer.pad_token_id)["labels"]
    assert labels[0, len(prompt) : len(example.ids)].tolist() == completion
    assert completion[-1] == tokenizer.eos_token_id
    assert set(labels[0, : len(prompt)].tolist()) == {IGNORED}
    assert set(labels[0, len(example.ids) :].tolist()) == {IGNORED}


@pytest.mark.parametrize("packing", [1, 4])
def test_an_epoch_holds_every_example_and_packs_one_context_only(packing: int) -> None:
    examples = [Encoded(list(range(5 + place % 7)), 2, f"context {place % 3}") for place in range(50)]
    settings = TrainSettings(batch_size=4, accumulation=2, packing=packing, epochs=2)
    plan = plan_steps(examples, settings, seed=1)
    epoch = plan.sequences[: plan.steps_an_epoch * plan.size]
    assert {place for sequence in epoch for place in sequence} == set(range(50))
    assert plan.steps == 2 * plan.steps_an_epoch
    assert len(plan.sequences) == plan.steps * plan.size
    for sequence in plan.sequences:
        assert len(sequence) <= packing
        assert len({examples[place].context for place in sequence}) == 1
    assert plan == plan_steps(examples, settings, seed=1)
    assert plan != plan_steps(examples, settings, seed=2)


def test_a_killed_run_ends_like_an_unbroken_one(loraql: Callable[..., str], recipe: Path) -> None:
    settings = ["train.max_steps=30", "train.checkpoints=6", "train.packing=2", "prompt.context=full", "data.limit=64"]
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, *settings)
    loraql("train", recipe, *settings)
    whole = losses("runs/tiny/train/metrics.jsonl")
    adapter = Path("runs/tiny/train/checkpoint-30/adapter_model.safetensors").read_bytes()

    killed = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "train", str(recipe), *settings, "--force"], stdout=subprocess.DEVNULL
    )
    partial = Path("runs/tiny/train.partial")
    wait_until(lambda: (partial / "checkpoint-10" / "trainer_state.json").is_file())
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (partial / "checkpoint-30" / "trainer_state.json").is_file(), "it was killed in the middle"
    Path("runs/tiny/train/manifest.json").unlink()

    shown = loraql("train", recipe, *settings, "--resume")
    assert "resuming from checkpoint-" in shown
    resumed = losses("runs/tiny/train/metrics.jsonl")
    assert list(resumed) == list(range(1, 31))
    assert resumed == pytest.approx(whole, abs=1e-6)
    assert Path("runs/tiny/train/checkpoint-30/adapter_model.safetensors").read_bytes() == adapter


def test_a_diverging_loss_stops_with_a_plain_line(loraql: Callable[..., str], rendered: Path) -> None:
    error = loraql(
        "train", rendered, "train.learning_rate=1e30", "train.max_grad_norm=1e30", "train.max_steps=20", code=1
    )
    assert "it diverged. Lower train.learning_rate (now 1e+30)" in error
    assert not Path("runs/tiny/train").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.freeze_layers=4", "train.freeze_layers: 4 was given, but the model has 4 decoder layers; at most 3"),
        ("train.lora.targets=[q_proj,query]", "train.lora.targets: no 'query' in this model's layers; there are"),
        ("train.report_to=[trackio]", "train.report_to: trackio is not installed"),
    ],
)
def test_settings_that_the_model_does_not_allow(
    loraql: Callable[..., str], rendered: Path, setting: str, message: str
) -> None:
    assert message in loraql("train", rendered, setting, code=1)


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_frozen_layers_have_no_adapter_and_adapters_are_in_full_precision(
    loraql: Callable[..., str], rendered: Path, quantization: str
) -> None:
    from safetensors import safe_open

    shown = loraql("train", rendered, "train.freeze_layers=3", f"train.quantization={quantization}")
    assert "1 of 4" in shown
    assert f"({quantization})" in shown
    with safe_open("runs/tiny/train/checkpoint-4/adapter_model.safetensors", "pt") as tensors:
        names = list(tensors.keys())
        assert {str(tensors.get_tensor(name).dtype) for name in names} == {"torch.float32"}
    assert names
    assert all(".layers.3." in name for name in names)


def losses(path: str) -> dict[int, float]:
    lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return {line["step"]: line["loss"] for line in lines}


def wait_until(there: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)
