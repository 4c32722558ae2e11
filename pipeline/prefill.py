"""What frozen layers make of prompts, kept in memory: base and checkpoints make the same of them.

Keys, values and the states that enter the first trained layer, of each part of a text that is read at once. With them
the frozen layers are passed over where a prompt is read again. Writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.frozen import Frozen

MOST_BYTES = 2**31

Part = tuple[int, tuple[int, ...]]  # where it begins, and the text up to its end


@dataclass(frozen=True)
class _Made:
    """Of one part: keys and values of each frozen layer, (1, heads, length, size), and states, (1, length, width)."""

    keys: list[Any]
    values: list[Any]
    states: Any

    @property
    def size(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.keys, *self.values, self.states))


class Prefill:
    """Of a model whose first `count` layers no adapter changes; at least one."""

    def __init__(self, model: Any, count: int) -> None:
        self._frozen, self._count = Frozen(model, count), count
        self._made: dict[Part, _Made] = {}
        self._size = 0

    def run(self, model: Any, parts: Sequence[Part], inputs: Mapping[str, Any]) -> Any:
        """The model's outputs for these parts, which follow each other in its inputs.

        The inputs need a cache, to which keys and values are added, and a mask of their own.
        """
        made = [self._made.get(part) for part in parts]
        if all(made):
            return self._pass_over(model, [one for one in made if one], inputs)
        outputs = model(**inputs)
        self._keep(parts, inputs["past_key_values"])
        return outputs

    def _pass_over(self, model: Any, made: Sequence[_Made], inputs: Mapping[str, Any]) -> Any:
        import torch

        for number in range(self._count):
            keys = torch.cat([one.keys[number] for one in made], dim=-2)
            values = torch.cat([one.values[number] for one in made], dim=-2)
            inputs["past_key_values"].update(keys, values, number)
        self._frozen.feed(torch.cat([one.states for one in made], dim=1))
        try:
            return model(**inputs)
        finally:
            self._frozen.run()

    def _keep(self, parts: Sequence[Part], cache: Any) -> None:
        lengths = [len(text) - start for start, text in parts]
        layers = cache.layers[: self._count]
        first = layers[0].keys.shape[-2] - sum(lengths)
        at = 0
        for part, length in zip(parts, lengths, strict=True):
            rows = slice(first + at, first + at + length)
            made = _Made(
                [layer.keys[..., rows, :].clone() for layer in layers],
                [layer.values[..., rows, :].clone() for layer in layers],
                self._frozen.entered[:, at : at + length].clone(),
            )
            at += length
            if part not in self._made and self._size + made.size <= MOST_BYTES:
                self._made[part] = made
                self._size += made.size
