"""What training takes for bases of several sizes, by the sums that `loraql plan` makes: the table of docs/models.md.

    python benchmarks/model_memory.py

The shapes are the figures of the models' published config.json files. There are no weights, and nothing is measured: a
pass of each shape is summed up on torch's meta device. Takes a minute or two.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.batches import Encoded, make_sequence
from pipeline.footprint import Footprint, footprint
from pipeline.lora import adapted_shape, count_parameters
from pipeline.reference import DOCS, fill, table
from pipeline.settings import TrainSettings

PAGE = DOCS / "models.md"
LENGTH = 1024  # tokens of a sequence: prompt.max_length
COMPLETION = 40  # of them, about what a query takes


@dataclass(frozen=True)
class Shape:
    """Decoder layers with rotary positions, grouped attention and a gated MLP, as Llama and Qwen2 have them."""

    name: str
    kind: str
    width: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    tied: bool

    def config(self) -> dict[str, object]:
        return {
            "model_type": self.kind,
            "hidden_size": self.width,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.tied,
        }


SHAPES = (
    Shape("SmolLM2-135M", "llama", 576, 1536, 30, 9, 3, 49152, tied=True),
    Shape("Qwen2.5-0.5B", "qwen2", 896, 4864, 24, 14, 2, 151936, tied=True),
    Shape("Qwen2.5-1.5B", "qwen2", 1536, 8960, 28, 12, 2, 151936, tied=True),
    Shape("Qwen2.5-3B", "qwen2", 2048, 11008, 36, 16, 2, 151936, tied=True),
    Shape("Qwen2.5-7B", "qwen2", 3584, 18944, 28, 28, 4, 152064, tied=False),
)
HEAD = ("base", "parameters, billions", "`none`", "`int8`", "`nf4`")


def main() -> None:
    made = table(HEAD, [row(shape) for shape in SHAPES])
    name = "python benchmarks/model_memory.py"
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), "memory", made, name), encoding="utf-8")
    print(made)


def row(shape: Shape) -> tuple[str, ...]:
    """Name, parameters, then for each quantization GB without and with gradient checkpointing."""
    cells, parameters = list[str](), 0
    for quantization in ("none", "int8", "nf4"):
        totals = []
        for checkpointing in (False, True):
            parameters, takes = training_footprint(shape, quantization, checkpointing)
            totals.append(f"{takes.total / 1e9:.1f}")
        cells.append(" / ".join(totals))
    return shape.name, f"{parameters / 1e9:.2f}", *cells


def training_footprint(shape: Shape, quantization: str, checkpointing: bool) -> tuple[int, Footprint]:
    """Parameters of the base, and the bytes of one process whose batch is as long as prompts may be."""
    settings = TrainSettings.model_validate(
        {"quantization": quantization, "gradient_checkpointing": checkpointing, "compute": "bf16"}
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(shape.config()), encoding="utf-8")
        model = adapted_shape(settings, Path(folder))
    sequence = make_sequence([Encoded(list(range(LENGTH)), COMPLETION, "")])
    return count_parameters(model).frozen, footprint(model, settings, [sequence] * settings.batch_size, None)


if __name__ == "__main__":
    main()
