"""Models in memory: loading them, and tokenizing prompts. Torch is imported inside functions.

Reads model folders (safetensors alone, no code of theirs), writes nothing.
"""

import logging
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from data.errors import UserError

FAILED = "This query failed. Write the corrected query, and nothing else. The error:"
SHORTEST_MARK = 3  # characters; some tokenizers call a plain letter special


def quiet_libraries() -> None:
    """Keeps the progress bars and advice of the libraries out of our output; errors still come through."""
    warnings.filterwarnings("ignore", module=r"(transformers|peft|trl|bitsandbytes|torch|accelerate)\b")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for name in ("bitsandbytes", "accelerate", "peft", "trl", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


def pick_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def pick_dtype(compute: str) -> str:
    """The name of the torch type to compute in: "auto" is fp32 on a CPU, bf16 on a GPU that has it."""
    import torch

    if compute == "auto":
        compute = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"
    return {"fp32": "float32", "bf16": "bfloat16"}[compute]


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder, padding on the left, with a pad token."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no usable tokenizer in it: {str(error).strip().splitlines()[0]}") from error
    if tokenizer.eos_token_id is None:
        raise UserError(f"{folder}: its tokenizer has no end token, so a model could not learn when to stop")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def load_model(folder: Path, *, quantization: str = "none", dtype: str = "float32", sharding: str = "none") -> Any:
    """A causal language model on the device at hand, its weights in `dtype` or quantized to 4 or 8 bits.

    One that is to be spread waits in main memory (ZeRO-3 splits it as it is read), and its 4-bit weights are stored
    as `dtype`, which can be split.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quiet_libraries()
    compute = getattr(torch, dtype)
    place = "cpu" if sharding == "fsdp" and quantization == "none" else pick_device()  # quantizing wants the device
    quantized = {
        "none": None,
        "nf4": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
            bnb_4bit_quant_storage=torch.uint8 if sharding == "none" else compute,
        ),
        "int8": BitsAndBytesConfig(load_in_8bit=True),
    }[quantization]
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=compute,
            quantization_config=quantized,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            device_map=None if sharding == "zero3" else {"": place},
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: cannot be loaded as a model: {str(error).strip().splitlines()[0]}") from error
    # Greedy decoding everywhere; a base's own sampling settings would only be warned about.
    model.generation_config.do_sample = False
    for name in ("temperature", "top_p", "top_k"):
        setattr(model.generation_config, name, None)
    return model


def empty_model(folder: Path, dtype: str) -> Any:
    """The architecture that a folder's config.json describes, on torch's current device, with whatever weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    quiet_libraries()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: its config.json describes no model: {str(error).strip().splitlines()[0]}"
        ) from error


def load_adapter(model: Any, folder: Path, name: str = "default") -> Any:
    """The model with one LoRA adapter on it."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder, adapter_name=name, use_safetensors=True)


def context_window(model: Any) -> int:
    """How many tokens the model can attend to."""
    return int(getattr(model.config, "max_position_embeddings", 1 << 30))


def attention_span(model: Any) -> int:
    """How many tokens back every layer of the model attends: less than its window where some layers slide.

    0 where some layers do not attend to tokens at all (state space, linear attention), so that texts cannot share any.
    """
    config = model.config.get_text_config()
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention", "chunked_attention"}:
        return 0
    spans = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min((int(span) for span in spans if span), default=1 << 30)


def wrap_prompt(tokenizer: Any, text: str) -> str:
    """The prompt as the model expects it: one user message through its chat template, or the plain text."""
    text = _harmless(tokenizer, text)
    if not tokenizer.chat_template:
        return text + "\n"
    message = [{"role": "user", "content": text}]
    wrapped: str = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return wrapped


def wrap_correction(tokenizer: Any, prompt: str, sql: str, error: str) -> str:
    """A wrapped prompt, the query that was written to it, and what went wrong, as the model's next turn expects it."""
    return wrap_turn(tokenizer, prompt, sql, f"{FAILED} {error}")


def wrap_turn(tokenizer: Any, prompt: str, sql: str, wanted: str) -> str:
    """A wrapped prompt, what was written to it, and what the user says next, as the model expects it."""
    sql, wanted = _harmless(tokenizer, sql), _harmless(tokenizer, wanted)
    if not tokenizer.chat_template:
        return f"{prompt}{sql}\n\n{wanted}\n"
    asked = [{"role": "user", "content": "question"}]
    told = [*asked, {"role": "assistant", "content": sql}, {"role": "user", "content": wanted}]
    before: str = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    whole: str = tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
    # A template that words earlier turns differently leaves them as plain text.
    return prompt + (whole.removeprefix(before) if whole.startswith(before) else f"{sql}\n\n{wanted}\n")


def wrap_messages(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation, of messages with role and content, as the model expects it. Raises UserError for one that it does not take."""
    import jinja2

    told = [{"role": turn["role"], "content": _harmless(tokenizer, turn["content"])} for turn in messages]
    if not tokenizer.chat_template:
        return "\n\n".join(turn["content"] for turn in told) + "\n"
    try:
        wrapped: str = tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
    except jinja2.TemplateError as error:
        raise UserError(f"the model's chat template does not take these messages: {error}") from error
    return wrapped


def _harmless(tokenizer: Any, text: str) -> str:
    """What a database, a question or a model wrote must not pass for the template's own marks."""
    return _marks(tokenizer).sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


@lru_cache(8)
def _marks(tokenizer: Any) -> re.Pattern[str]:
    """What the tokenizer reads as one token that no text should hold; nothing matches where it has none.

    Those that it names, and the others that were added to its vocabulary, but for words and runs of blanks.
    """
    added = (str(token) for token in tokenizer.added_tokens_decoder.values())
    marks = {
        mark
        for mark in (*tokenizer.all_special_tokens, *added)
        if len(mark) >= SHORTEST_MARK and not mark.isalnum() and not any(letter.isspace() for letter in mark)
    }
    return re.compile("|".join(map(re.escape, sorted(marks, key=lambda mark: (-len(mark), mark)))) or "(?!)")


def encode_prompts(tokenizer: Any, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids of wrapped prompts. A chat template writes its own special tokens; plain text gets the start token."""
    if not prompts:
        return []
    plain = not tokenizer.chat_template
    encoded: list[list[int]] = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    start = [tokenizer.bos_token_id] if plain and tokenizer.bos_token_id is not None else []
    return [start + ids for ids in encoded]


def encode_completions(tokenizer: Any, queries: Sequence[str]) -> list[list[int]]:
    """Token ids of gold queries, each with the end token."""
    if not queries:
        return []
    encoded: list[list[int]] = tokenizer(list(queries), add_special_tokens=False)["input_ids"]
    return [[*ids, tokenizer.eos_token_id] for ids in encoded]


def common_prefix(prompts: list[list[int]]) -> list[int]:
    """What all prompts begin with, leaving each at least one token of its own."""
    shortest = min(prompts, key=len)[:-1]
    for place, token in enumerate(shortest):
        if any(ids[place] != token for ids in prompts):
            return shortest[:place]
    return shortest
