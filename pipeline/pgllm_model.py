"""A merged GPT-2 as the PostgreSQL extension pg_llm has it: sizes, named weights, tokenizer.

Reads an exported model folder, one weight at a time; writes nothing. A model that the extension would compute
otherwise than transformers does is refused.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import UserError
from pipeline.model import load_tokenizer
from pipeline.stage import read_json

# transformers has several names for the GELU that is computed with tanh.
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh")
EPSILON = 1e-5
# Settings that change what attention computes, with the one value that the extension knows.
ATTENTION = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
IGNORED = ("lm_head.weight", ".attn.bias", ".attn.masked_bias")  # tied to wte, and masks of older files


@dataclass(frozen=True)
class Gpt2:
    """`end` is the id of the end-of-text token; `dropout` what the model was pretrained with."""

    folder: Path
    n_layer: int
    n_head: int
    d_model: int
    n_positions: int
    vocab: int
    dropout: float
    end: int
    tokenizer: Any

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight, under the extension's names, sorted by name."""
        width = self.d_model
        shapes: dict[str, tuple[int, ...]] = {"wte": (self.vocab, width), "wpe": (self.n_positions, width)}
        norms = ["ln_f", *(f"h.{layer}.{name}" for layer in range(self.n_layer) for name in ("ln_1", "ln_2"))]
        linear = {"attn.c_attn": (1, 3), "attn.c_proj": (1, 1), "mlp.c_fc": (1, 4), "mlp.c_proj": (4, 1)}
        for name in norms:
            shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
        for layer in range(self.n_layer):
            for name, (wide, out) in linear.items():  # (in, out), as transformers' Conv1D keeps them, too
                shapes[f"h.{layer}.{name}.weight"] = (wide * width, out * width)
                shapes[f"h.{layer}.{name}.bias"] = (out * width,)
        return dict(sorted(shapes.items()))

    def tensors(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Every weight as little-endian float32 in C order, sorted by name."""
        import torch

        with ExitStack() as opened:
            places = _places(self.folder, opened)
            for name in self.shapes():
                file, key = places[name]
                yield name, np.ascontiguousarray(file.get_tensor(key).to(torch.float32).numpy(), dtype="<f4")

    @cached_property
    def _bpe(self) -> dict[str, Any]:
        written: dict[str, Any] = json.loads(self.tokenizer.backend_tokenizer.to_str())
        return written

    @cached_property
    def symbols(self) -> list[tuple[int, str]]:
        """Ids and tokens in the byte-level spelling, with those that were added, sorted by id."""
        known = {place: token for token, place in self._bpe["model"]["vocab"].items()}
        known |= {token["id"]: token["content"] for token in self._bpe["added_tokens"]}
        return sorted(known.items())

    @cached_property
    def merges(self) -> list[tuple[str, str]]:
        """Pairs of tokens that are joined, the first first."""
        pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in self._bpe["model"]["merges"])
        return [(left, right) for left, right in pairs]

    def check_tokenizer(self) -> None:
        """Raises UserError unless it splits text as GPT-2 does."""
        model, splits = self._bpe["model"], self._bpe["pre_tokenizer"] or {}
        affixed = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
        if model["type"] != "BPE" or affixed or splits.get("type") != "ByteLevel" or self._bpe["normalizer"]:
            raise _refused(self.folder, "its tokenizer is not GPT-2's byte-level BPE")
        if splits.get("add_prefix_space") or not splits.get("use_regex", True):
            raise _refused(self.folder, "its tokenizer splits text otherwise than GPT-2's")
        last, token = self.symbols[-1]
        if last >= self.vocab:
            raise _refused(self.folder, f"its token {token!r} has the id {last}, but there are {self.vocab} embeddings")


def read_gpt2(folder: Path) -> Gpt2:
    """Raises UserError, before any weight is read, where pg_llm has no such model."""
    config = read_json(folder / "config.json")
    _check_config(folder, config)
    tokenizer = load_tokenizer(folder)
    model = Gpt2(
        folder=folder,
        n_layer=config["n_layer"],
        n_head=config["n_head"],
        d_model=config["n_embd"],
        n_positions=config["n_positions"],
        vocab=config["vocab_size"],
        dropout=config.get("resid_pdrop", 0.1),
        end=tokenizer.eos_token_id,
        tokenizer=tokenizer,
    )
    with ExitStack() as opened:
        places = _places(folder, opened)
        expected = model.shapes()
        for name, shape in expected.items():
            if name not in places:
                what = "this bias" if name.endswith(".bias") else "this weight"
                raise _refused(folder, f"it has no {name}, and pg_llm cannot do without {what}")
            file, key = places[name]
            found = tuple(file.get_slice(key).get_shape())
            if found != shape:
                raise _refused(folder, f"{name} has the shape {found}, not {shape}")
    if unknown := sorted(set(places) - set(expected)):
        raise _refused(folder, f"it has the weight {unknown[0]}, which GPT-2 lacks")
    model.check_tokenizer()
    return model


def _check_config(folder: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("model_type")
    if kind != "gpt2" or config.get("architectures", ["GPT2LMHeadModel"]) != ["GPT2LMHeadModel"]:
        raise _refused(
            folder, f"it is {kind or 'of no known type'}; set model.base to a GPT-2 (gpt2, distilgpt2, a local folder)"
        )
    if not config.get("tie_word_embeddings", True):
        raise _refused(folder, "its output weights are not tied to its embeddings (tie_word_embeddings=false)")
    inner, width = config.get("n_inner"), config["n_embd"]
    if inner not in (None, 4 * width):
        raise _refused(folder, f"its inner width is {inner} (n_inner), not four times the width {width}")
    activation = config.get("activation_function", "gelu_new")
    if activation not in TANH_GELU:
        raise _refused(folder, f"its activation is {activation} (activation_function), not the GELU by tanh, gelu_new")
    epsilon = config.get("layer_norm_epsilon", EPSILON)
    if epsilon != EPSILON:
        raise _refused(folder, f"its layer norms add {epsilon} (layer_norm_epsilon), not {EPSILON}")
    for name, only in ATTENTION.items():
        if config.get(name, only) != only:
            raise _refused(folder, f"its attention is another ({name}={str(config[name]).lower()})")


def _places(folder: Path, opened: ExitStack) -> dict[str, tuple[Any, str]]:
    """The open file and the key in it of every weight, by the extension's names."""
    from safetensors import safe_open

    places: dict[str, tuple[Any, str]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        file = opened.enter_context(safe_open(path, framework="pt"))
        for key in file.keys():  # noqa: SIM118 - no mapping, it only looks like one
            name = key.removeprefix("transformer.")
            if not name.endswith(IGNORED):
                places[name.removesuffix(".weight") if name in ("wte.weight", "wpe.weight") else name] = (file, key)
    return places


def _refused(folder: Path, why: str) -> UserError:
    return UserError(f"{folder}: pg_llm runs GPT-2 only as it was published, and this model is not: {why}")
