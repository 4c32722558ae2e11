"""What makes a training step faster, by name: `train.speed`.

Each name is a library's own means: torch's fused AdamW, bitsandbytes' 8-bit AdamW, Liger's kernels, torch.compile.
Says which of them are on for this device, and refuses those that cannot work here.
"""

import os
import shutil
from importlib.util import find_spec
from typing import Any

from data.errors import UserError
from pipeline.lora import decoder_stack
from pipeline.model import pick_device
from pipeline.settings import Speed, TrainSettings

SAID = {"fused": "fused AdamW", "adam8bit": "8-bit AdamW", "liger": "Liger kernels", "compile": "torch.compile"}
# What has been measured to help on a CPU (benchmarks/step_speed.py); what is exact and torch's default on a GPU.
AUTO: dict[str, tuple[Speed, ...]] = {"cpu": ("fused",), "cuda": ("fused",)}


def choose_speed(settings: TrainSettings) -> tuple[Speed, ...]:
    """What is on. Raises UserError for what cannot work on this machine or with a sharded model."""
    device = pick_device()
    if settings.speed == "off":
        return ()
    if settings.speed == "auto":
        return AUTO[device]
    for name in settings.speed:
        if why := _why_not(name, device, settings.sharding):
            raise UserError(f"train.speed: {name} {why}; leave it out, or train.speed=auto")
    return settings.speed


def describe_speed(names: tuple[Speed, ...]) -> str:
    return f"speed: {', '.join(SAID[name] for name in names) or 'nothing special'}"


def optimizer_name(names: tuple[Speed, ...]) -> str:
    """As the trainer calls it. On a GPU 8-bit states may go to main memory (pages) when it is short."""
    if "adam8bit" in names:
        return "paged_adamw_8bit"
    return "adamw_torch_fused" if "fused" in names else "adamw_torch"


def speed_up(model: Any, names: tuple[Speed, ...], freeze_layers: int) -> None:
    """Puts kernels into a model with adapters, or has its trained layers compiled when they first run."""
    if "liger" in names:
        _put_in_kernels(model.get_base_model())
    if "compile" in names:
        for layer in decoder_stack(model)[1][freeze_layers:]:
            layer.compile()


def _why_not(name: Speed, device: str, sharding: str) -> str | None:
    if sharding != "none" and name != "fused":
        return f"has not been tried with train.sharding={sharding}"
    if name in ("adam8bit", "liger") and device != "cuda":
        return "needs a GPU"
    if name == "liger" and find_spec("liger_kernel") is None:
        return "needs liger-kernel, which is not installed (`pip install liger-kernel`)"
    if name == "compile" and device == "cuda" and find_spec("triton") is None:
        return "needs triton, which is not installed"
    if name == "compile" and device == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        return "needs a C++ compiler, and there is none (g++, or what CXX names)"
    return None


def _put_in_kernels(base: Any) -> None:
    """Norms, rotary positions and the gated MLP; the loss is our own, over completions alone."""
    from liger_kernel.transformers import _apply_liger_kernel_to_instance
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    if base.config.model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise UserError(f"train.speed: liger has no kernels for {base.config.model_type}; leave it out")
    _apply_liger_kernel_to_instance(model=base, cross_entropy=False, fused_linear_cross_entropy=False)
