"""The tokenizer of a model folder, as a GGUF file holds it.

Reads tokenizer.json through the tokenizers library and adds vocabulary, merges, token types, special tokens and the
chat template. llama.cpp splits text by rules that it knows by name, so those of the folder must be among them.
"""

import json
from pathlib import Path
from typing import Any

import gguf

from data.errors import UserError
from pipeline.model import load_tokenizer

# How llama.cpp calls the ways to split text before the merges: the patterns, then whether GPT-2's pattern follows.
GPT2 = "gpt-2"
DIGITS_APART = "smollm"
LLAMA3 = "llama-bpe"  # the one with which llama.cpp takes whole words of the vocabulary before any merge
PATTERNS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": LLAMA3,
}


def add_tokenizer(writer: gguf.GGUFWriter, folder: Path, size: int) -> None:
    """Adds the tokenizer, filled up to `size` tokens. Raises UserError for one that llama.cpp would not split alike."""
    tokenizer = load_tokenizer(folder)
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    splitting = split_name(folder, parts)
    if len(tokenizer) > size:
        raise UserError(f"{folder}: its tokenizer has {len(tokenizer)} tokens, but there are {size} embeddings")
    tokens = [f"[PAD{place}]" for place in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for token, place in parts["model"]["vocab"].items():
        tokens[place], types[place] = token, gguf.TokenType.NORMAL
    for added in parts["added_tokens"]:
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], kind
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in parts["model"]["merges"]]

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if tokenizer.unk_token_id is not None:
        writer.add_unk_token_id(tokenizer.unk_token_id)
    # As `encode_prompts`: a chat template writes the start token itself, plain text gets it.
    writer.add_add_bos_token(not tokenizer.chat_template and tokenizer.bos_token_id is not None)
    writer.add_add_space_prefix(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def split_name(folder: Path, parts: dict[str, Any]) -> str:
    """What llama.cpp calls this way to split text; `parts` is the content of a tokenizer.json."""
    name = _split_name(parts)
    if name is None or bool(parts["model"].get("ignore_merges")) != (name == LLAMA3):
        raise UserError(
            f"{folder}: GGUF files with its tokenizer are not written; supported are byte-level BPE that splits text "
            "as GPT-2, SmolLM, Llama 3 or Qwen2 do"
        )
    return name


def _split_name(parts: dict[str, Any]) -> str | None:
    if parts["model"]["type"] != "BPE" or parts["model"].get("byte_fallback"):
        return None
    if (parts["normalizer"] or {}).get("type") not in (None, "NFC"):
        return None
    splitter = parts["pre_tokenizer"] or {}
    steps = splitter["pretokenizers"] if splitter.get("type") == "Sequence" else [splitter]
    *before, last = steps
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    with_gpt2 = last.get("use_regex", True)
    if not before:
        return GPT2 if with_gpt2 else None
    (step, *more) = before
    if more:
        return None
    if step["type"] == "Digits" and step["individual_digits"] and with_gpt2:
        return DIGITS_APART
    if step["type"] == "Split" and step["behavior"] == "Isolated" and not step["invert"] and not with_gpt2:
        return PATTERNS.get(step["pattern"].get("Regex", ""))
    return None
