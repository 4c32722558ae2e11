"""What makes training faster is chosen by name; what cannot work here is refused in one line."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from data.errors import UserError
from pipeline import speed
from pipeline.settings import TrainSettings
from pipeline.speed import choose_speed, describe_speed, optimizer_name, speed_up

SMALL = ["data.limit=12", "train.lora.dropout=0"]


def on(device: str, monkeypatch: pytest.MonkeyPatch, *installed: str) -> None:
    monkeypatch.setattr(speed, "pick_device", lambda: device)
    monkeypatch.setattr(speed, "find_spec", lambda name: name if name in installed else None)


def test_auto_takes_fused_adamw_and_off_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("cpu", "cuda"):
        on(device, monkeypatch)
        names = choose_speed(TrainSettings())
        assert describe_speed(names) == "speed: fused AdamW"
        assert optimizer_name(names) == "adamw_torch_fused"
        off = choose_speed(TrainSettings(speed="off"))
        assert describe_speed(off) == "speed: nothing special"
        assert optimizer_name(off) == "adamw_torch"


@pytest.mark.parametrize(
    ("device", "settings", "message"),
    [
        ("cpu", {"speed": ("liger",)}, "train.speed: liger needs a GPU; leave it out, or train.speed=auto"),
        ("cuda", {"speed": ("liger",)}, "train.speed: liger needs liger-kernel, which is not installed"),
        ("cpu", {"speed": ("adam8bit",)}, "train.speed: adam8bit needs a GPU"),
        ("cuda", {"speed": ("compile",)}, "train.speed: compile needs triton, which is not installed"),
        ("cpu", {"speed": ("compile",)}, "train.speed: compile needs a C\\+\\+ compiler, and there is none"),
        (
            "cuda",
            {"speed": ("compile",), "sharding": "fsdp", "processes": 2},
            "train.speed: compile has not been tried with train.sharding=fsdp",
        ),
    ],
)
def test_what_cannot_work_here_is_refused(
    device: str, settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(device, monkeypatch)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=message):
        choose_speed(TrainSettings(**settings))


def test_one_optimizer_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"train.speed: fused and adam8bit are two kinds of one optimizer"):
        TrainSettings(speed=("fused", "adam8bit"))
    on("cuda", monkeypatch)
    assert optimizer_name(choose_speed(TrainSettings(speed=("adam8bit",)))) == "paged_adamw_8bit"


def test_ligers_kernels_leave_the_loss_alone(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from pipeline.model import load_model

    told: list[dict[str, Any]] = []
    package, kernels, patches = (
        ModuleType(name)
        for name in ("liger_kernel", "liger_kernel.transformers", "liger_kernel.transformers.monkey_patch")
    )
    kernels._apply_liger_kernel_to_instance = lambda **given: told.append(given)  # type: ignore[attr-defined]
    patches.MODEL_TYPE_TO_APPLY_LIGER_FN = {"llama": None}  # type: ignore[attr-defined]
    for module in (package, kernels, patches):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    base = load_model(tiny_model)
    model = get_peft_model(base, LoraConfig(target_modules=["q_proj"]))
    speed_up(model, ("liger",), 0)
    assert told == [{"model": base, "cross_entropy": False, "fused_linear_cross_entropy": False}]
    patches.MODEL_TYPE_TO_APPLY_LIGER_FN = {}  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"train.speed: liger has no kernels for llama"):
        speed_up(model, ("liger",), 0)


def train(loraql: Callable[..., str], recipe: Path, choice: str) -> tuple[str, list[float]]:
    shown = loraql("train", recipe, *SMALL, f"train.speed={choice}")
    lines = Path("runs/tiny/train/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return shown, [json.loads(line)["loss"] for line in lines]


def test_training_says_what_is_on_and_another_choice_is_another_run(loraql: Callable[..., str], recipe: Path) -> None:
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, *SMALL)
    shown, fused = train(loraql, recipe, "auto")
    assert "\n  speed: fused AdamW\n" in shown
    shown, plain = train(loraql, recipe, "off")
    assert "train.speed: auto -> off" in shown
    assert "\n  speed: nothing special\n" in shown
    assert plain == pytest.approx(fused, abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")
def test_compiled_layers_learn_the_same(
    loraql: Callable[..., str], recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, *SMALL)
    _, plain = train(loraql, recipe, "off")
    for most in (0, 1):  # frozen layers run, or are passed over
        loraql("train", recipe, *SMALL, f"cache.max_gb={most}", "train.speed=compile", "--force")
        lines = Path("runs/tiny/train/metrics.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["loss"] for line in lines] == pytest.approx(plain, abs=1e-3)
