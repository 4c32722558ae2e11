"""A model folder as one GGUF file, the form that llama.cpp and Ollama read.

Reads config.json and safetensors, writes the file tensor by tensor, so that no more than one is in memory. The layout
is that of the GGUF specification and of llama.cpp's architectures `llama` and `qwen2`; names come from the package gguf.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np

from data.errors import UserError
from pipeline.gguf_tokenizer import add_tokenizer

Weights = Literal["f16", "q8_0"]
SUPPORTED = {"LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA, "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2}
FORMS = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies, and what becomes of it; `heads` says how many its rows are of, where they are reordered."""

    file: Path
    source: str
    name: str
    shape: tuple[int, ...]
    form: gguf.GGMLQuantizationType
    heads: int = 0


def write_gguf(folder: Path, out: Path, weights: Weights, name: str, license: str) -> None:
    """Writes the model of `folder` to `out`. Raises UserError for what cannot be said in GGUF here."""
    config = _read_config(folder)
    form, file_type = FORMS[weights]
    writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[SUPPORTED[config.architectures[0]]])
    writer.add_name(name)
    if license != "unknown":
        writer.add_license(license)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_sizes(writer, config)
    add_tokenizer(writer, folder, config.vocab_size)
    tensors = list(_tensors(folder, config, form))
    for tensor in tensors:
        stored = gguf.quant_shape_to_byte_shape(tensor.shape, tensor.form) if _is_quantized(tensor) else tensor.shape
        dtype = np.dtype(_numpy_type(tensor))
        count = int(np.prod(stored)) * dtype.itemsize
        writer.add_tensor_info(tensor.name, stored, dtype, count, raw_dtype=tensor.form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        writer.write_tensor_data(_values(tensor))
    writer.close()


def check_supported(folder: Path) -> None:
    """Raises UserError, saying what is supported, unless the folder's model can be written as GGUF."""
    _read_config(folder)


def _read_config(folder: Path) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    known = f"supported are {' and '.join(name.removesuffix('ForCausalLM') for name in SUPPORTED)}"
    architecture = (config.architectures or ["unknown"])[0]
    if architecture not in SUPPORTED:
        raise UserError(f"{folder}: GGUF files of {architecture} are not written; {known}")
    rope = config.rope_parameters.get("rope_type", "default")
    if rope != "default":
        raise UserError(
            f"{folder}: GGUF files with rope_type {rope} are not written; {known}, with plain rotary positions"
        )
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise UserError(f"{folder}: GGUF files with sliding attention are not written; {known}, with full attention")
    return config


def _add_sizes(writer: gguf.GGUFWriter, config: Any) -> None:
    head = _head_size(config)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _head_size(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _tensors(folder: Path, config: Any, form: gguf.GGMLQuantizationType) -> Iterator[_Tensor]:
    """The model's tensors under their GGUF names. Tied embeddings are there once: readers take them for both."""
    from safetensors import safe_open

    architecture = SUPPORTED[config.architectures[0]]
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for source in weights.keys():  # noqa: SIM118 (it is no mapping)
                if source == HEAD and config.tie_word_embeddings:
                    continue
                name = names.get_name(source, try_suffixes=(".weight", ".bias"))
                if name is None:
                    raise UserError(f"{file}: GGUF has no name for its tensor {source}")
                shape = tuple(weights.get_slice(source).get_shape())
                yield _Tensor(file, source, name, shape, _form(shape, form), _heads(architecture, config, source))


def _form(shape: tuple[int, ...], form: gguf.GGMLQuantizationType) -> gguf.GGMLQuantizationType:
    """Vectors (norms, biases) stay in f32; rows that do not fill whole blocks stay in f16."""
    if len(shape) == 1:
        return gguf.GGMLQuantizationType.F32
    block, _ = gguf.GGML_QUANT_SIZES[form]
    return form if shape[-1] % block == 0 else gguf.GGMLQuantizationType.F16


def _heads(architecture: gguf.MODEL_ARCH, config: Any, source: str) -> int:
    """llama.cpp rotates neighbouring rows of a Llama's queries and keys, transformers a head's two halves."""
    if architecture is gguf.MODEL_ARCH.LLAMA:
        if ".q_proj." in source:
            return int(config.num_attention_heads)
        if ".k_proj." in source:
            return int(config.num_key_value_heads)
    return 0


def _values(tensor: _Tensor) -> np.ndarray[Any, Any]:
    from safetensors import safe_open

    with safe_open(tensor.file, framework="pt") as weights:
        values: np.ndarray[Any, Any] = weights.get_tensor(tensor.source).float().numpy()
    if tensor.heads:
        halves = values.reshape(tensor.heads, 2, -1, *values.shape[1:])
        values = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)
    return gguf.quantize(values, tensor.form)


def _is_quantized(tensor: _Tensor) -> bool:
    return tensor.form not in (gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.F32)


def _numpy_type(tensor: _Tensor) -> type[np.generic]:
    if _is_quantized(tensor):
        return np.uint8
    return np.float16 if tensor.form is gguf.GGMLQuantizationType.F16 else np.float32
