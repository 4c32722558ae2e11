"""What training takes in memory, known before there are any weights: of a model's shape, in bytes.

Reads nothing, writes nothing. A forward and a backward pass run on torch's meta device, where tensors have sizes and
no content, while what is alive is summed up: so the figure holds for any architecture, with or without gradient
checkpointing.
"""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.batches import TokenSequence, collate, completion_loss
from pipeline.frozen import Frozen
from pipeline.lora import count_parameters
from pipeline.model import pick_dtype
from pipeline.settings import TrainSettings

# Four bits, and of each 64 weights an 8-bit scale, of 256 of which a scale in full precision.
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
FULL = 4  # bytes of a number in full precision, in which adapters train
MOMENTS = 2  # that AdamW keeps of each trained number


@dataclass(frozen=True)
class Footprint:
    """Bytes of one process. `scores` are those of the vocabulary, a part of `activations`, when they are most."""

    weights: float
    adapters: float
    gradients: float
    optimizer: float
    activations: float
    scores: float

    @property
    def total(self) -> float:
        return self.weights + self.adapters + self.gradients + self.optimizer + self.activations


def footprint(
    model: Any, settings: TrainSettings, sequences: Sequence[TokenSequence], frozen: Frozen | None
) -> Footprint:
    """Of a shape (`adapted_shape`) and its widest batch; `frozen` if its first layers are passed over.

    The model is left with gradient checkpointing if that is asked for; give a shape of its own to each call.
    """
    parts = settings.processes if settings.sharding != "none" else 1
    trainable = count_parameters(model).trainable
    adapters = trainable * FULL
    peak, scores = _pass(model, settings, sequences, frozen)
    quantized = [parameter.nbytes for parameter in model.parameters() if hasattr(parameter, "quantization")]
    peak += max(quantized, default=0)  # one at a time is unpacked for computing
    return Footprint(
        weights=weight_bytes(model) / parts,
        adapters=adapters / parts,
        gradients=adapters / parts,
        optimizer=trainable * MOMENTS * moment_bytes(settings) / parts,
        activations=max(peak - adapters, 0),  # the pass makes the gradients, too
        scores=scores,
    )


def moment_bytes(settings: TrainSettings) -> int:
    """Of each number that AdamW keeps."""
    return 1 if "adam8bit" in settings.speed else FULL


def weight_bytes(model: Any) -> float:
    """What the base's weights take in memory, quantized as they will be."""
    each = {"nf4": NF4_BYTES, "int8": 1.0}
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    size: float = sum(
        parameter.numel() * each.get(getattr(parameter, "quantization", ""), parameter.element_size())
        for parameter in frozen
    )
    return size


def _pass(
    model: Any, settings: TrainSettings, sequences: Sequence[TokenSequence], frozen: Frozen | None
) -> tuple[int, int]:
    """The most bytes that a pass adds to the model, and the most of them that are scores of the vocabulary."""
    import torch

    text = model.config.get_text_config()
    model.train()
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    batch = collate(sequences, 0)
    # Where completions are is read from the labels, which therefore stay real.
    inputs = {name: tensor if name == "labels" else tensor.to("meta") for name, tensor in batch.items()}
    if inputs["attention_mask"].dim() == 2:  # the model would look into it, and then make one of this kind
        rows, width = batch["input_ids"].shape
        inputs["attention_mask"] = torch.ones(rows, 1, width, width, dtype=torch.bool, device="meta")
    if frozen:
        compute = getattr(torch, pick_dtype(settings.compute))
        frozen.feed(torch.empty(*batch["input_ids"].shape, text.hidden_size, dtype=compute, device="meta"))
    alive = _alive(model, text.vocab_size)
    with alive, _as_on_a_device(pick_dtype(settings.compute) == "bfloat16"):
        completion_loss(model, inputs)[0].backward()
    model.zero_grad(set_to_none=True)
    return alive.most, alive.most_scores


def _alive(model: Any, vocabulary: int) -> Any:
    """A mode of torch that sums up the bytes of all tensors that are alive, but for the model's own."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Alive(TorchDispatchMode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            own = [*model.parameters(), *model.buffers()]
            self._known = {tensor.untyped_storage()._cdata for tensor in own}
            self._now = self._scores = self.most = self.most_scores = 0

        def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
            made = function(*given, **(named or {}))
            for tensor in tree_leaves(made):
                if isinstance(tensor, torch.Tensor):
                    self._add(tensor)
            return made

        def _add(self, tensor: Any) -> None:
            storage = tensor.untyped_storage()
            if storage._cdata in self._known:
                return
            size = storage.nbytes()
            scores = size if tensor.dim() > 1 and tensor.shape[-1] == vocabulary else 0
            self._known.add(storage._cdata)
            self._now, self._scores = self._now + size, self._scores + scores
            self.most, self.most_scores = max(self.most, self._now), max(self.most_scores, self._scores)
            weakref.finalize(storage, partial(self._drop, storage._cdata, size, scores))

        def _drop(self, name: int, size: int, scores: int) -> None:
            self._known.discard(name)
            self._now, self._scores = self._now - size, self._scores - scores

    return Alive()


@contextmanager
def _as_on_a_device(mixed: bool) -> Iterator[None]:
    """Computes on the meta device as is done on others: attention without the matrix of who sees whom, and, if `mixed`,
    linear layers in bfloat16, as under autocast.

    These functions of torch are replaced and not caught by a mode of torch: gradient checkpointing would go past that.
    """
    import torch
    from torch.nn import functional

    own: Any = functional
    attend, linear = own.scaled_dot_product_attention, own.linear

    def half(value: Any) -> Any:
        return None if value is None else value.to(torch.bfloat16)

    own.scaled_dot_product_attention = _attend
    if mixed:
        own.linear = lambda given, weight, bias=None: linear(half(given), half(weight), half(bias))
    try:
        yield
    finally:
        own.scaled_dot_product_attention, own.linear = attend, linear


def _attend(query: Any, key: Any, value: Any, attn_mask: Any = None, *_: Any, **named: Any) -> Any:
    """Attention as it is computed on a CPU; what it keeps is of the same size on a GPU."""
    import torch

    times = query.shape[1] // key.shape[1]
    if times > 1:
        key, value = (tensor.repeat_interleave(times, dim=1) for tensor in (key, value))
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype)
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return flash(query, key, value, named.get("dropout_p", 0.0), attn_mask=attn_mask, scale=named.get("scale"))[0]
