"""The model that is trained: a quantized base, LoRA on the layers above the frozen ones.

Reads a model folder, writes nothing. Adapters go on linear modules inside decoder layers only. The same can be had
without weights, to know beforehand what it takes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from pipeline.config import Config
from pipeline.model import empty_model, load_model, pick_dtype
from pipeline.settings import TrainSettings
from pipeline.sharding import split_while_loading


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of parameters, and of decoder layers."""

    trainable: int
    frozen: int
    quantized: int
    layers: int


def adapted_model(config: Config, base: Path) -> Any:
    """The quantized base with LoRA on the layers that are not frozen; adapters in full precision."""
    import torch
    from peft import prepare_model_for_kbit_training

    settings = config.train
    torch.manual_seed(config.seed)
    dtype = pick_dtype(settings.compute)
    held = split_while_loading(settings, dtype)
    model = load_model(base, quantization=settings.quantization, dtype=dtype, sharding=settings.sharding)
    del held
    if settings.quantization != "none":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=settings.gradient_checkpointing)
    return _add_adapters(model, settings)


def adapted_shape(settings: TrainSettings, base: Path) -> Any:
    """The same model without its weights, on torch's meta device; needs no more than the base's config.json.

    Weights that would be quantized are not, but are counted as such, and the others are in full precision then.
    """
    import torch

    with torch.device("meta"):
        model = empty_model(base, pick_dtype(settings.compute))
        if settings.quantization != "none":
            quantized = {id(module.weight) for module in _linears(model, decoder_stack(model)[0]).values()}
            for parameter in model.parameters():
                if id(parameter) in quantized:
                    parameter.quantization = settings.quantization
                else:
                    parameter.data = parameter.data.float()  # as peft prepares them
        return _add_adapters(model, settings)


def _add_adapters(model: Any, settings: TrainSettings) -> Any:
    from peft import LoraConfig, get_peft_model

    pattern, stack = decoder_stack(model)
    layers = len(stack)
    if settings.freeze_layers >= layers:
        raise UserError(
            f"train.freeze_layers: {settings.freeze_layers} was given, but the model has {layers} decoder layers; at most {layers - 1}"
        )
    linear = {name.rsplit(".", 1)[-1] for name in _linears(model, pattern)}
    targets = linear if settings.lora.targets == "all-linear" else set(settings.lora.targets)
    if not targets <= linear:
        raise UserError(
            f"train.lora.targets: no {min(targets - linear)!r} in this model's layers; there are {', '.join(sorted(linear))}"
        )
    lora = LoraConfig(
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=sorted(targets),
        layers_to_transform=list(range(settings.freeze_layers, layers)),
        layers_pattern=pattern,
        task_type="CAUSAL_LM",
    )
    # ZeRO-3 wants weights of one type, and keeps its own copy of trained ones in full precision.
    return get_peft_model(model, lora, autocast_adapter_dtype=settings.sharding != "zero3")


def decoder_stack(model: Any) -> tuple[str, Any]:
    """The name of the list of decoder layers ("layers", "h", ...), and the list."""
    import torch

    count = model.config.num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return name.rsplit(".", 1)[-1], module
    raise UserError(
        f"model.base: no list of {count} decoder layers found in {type(model).__name__}; this architecture is not supported"
    )


def _linears(model: Any, pattern: str) -> dict[str, Any]:
    """The linear modules inside decoder layers, which LoRA targets by the ends of their names."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and f".{pattern}." in f".{name}"
    }


def count_parameters(model: Any) -> ParameterCount:
    """Counts weights, not bytes: four-bit weights are stored two to a byte."""
    trainable = frozen = quantized = 0
    for parameter in model.parameters():
        kind = type(parameter).__name__
        whole = getattr(parameter, "ds_numel", None) or parameter.numel()  # ZeRO-3 leaves only a part in place
        count = whole * (2 if kind == "Params4bit" else 1)
        trainable += count if parameter.requires_grad else 0
        frozen += 0 if parameter.requires_grad else count
        is_quantized = kind in {"Params4bit", "Int8Params"} or hasattr(parameter, "quantization")
        quantized += count if is_quantized else 0
    return ParameterCount(trainable, frozen, quantized, len(decoder_stack(model)[1]))
