"""GGUF files as others read them: what transformers and llama.cpp answer with one, and how llama.cpp quantizes.

They check what `gguf_file.py` wrote, so they share nothing with it. llama.cpp comes with the package llama-cpp-python,
which need not be installed.
"""

import contextlib
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from data.errors import UserError
from eval.extract import is_complete
from pipeline.config import Config
from pipeline.console import progress
from pipeline.drift import answers
from pipeline.model import encode_prompts, load_tokenizer, quiet_libraries


def read_with_transformers(config: Config, file: Path, merged: Path, prompts: Sequence[str]) -> list[str]:
    """Answers with the file's weights, in full precision, to prompts that the merged model's tokenizer encodes."""
    import torch
    from transformers import AutoModelForCausalLM

    quiet_libraries()
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that has no switch
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    return answers(config, model, load_tokenizer(merged), prompts, f"{file.name} by transformers")


def read_with_llama_cpp(config: Config, file: Path, merged: Path, prompts: Sequence[str]) -> list[str]:
    """Answers with the file's weights and tokenizer. Raises UserError if that reads a prompt as other tokens."""
    import llama_cpp

    tokenizer = load_tokenizer(merged)
    expected = encode_prompts(tokenizer, prompts)
    most = config.evaluate.max_new_tokens
    _quiet()
    model = llama_cpp.Llama(str(file), n_ctx=max(map(len, expected)) + most + 1, verbose=False)
    written: list[str] = []
    try:
        with progress(f"answering, {file.name} by llama.cpp", len(prompts), "questions") as advance:
            for prompt, ids in zip(prompts, expected, strict=True):
                read = model.tokenize(prompt.encode(), add_bos=not tokenizer.chat_template, special=True)
                if read != ids:
                    place = next((n for n, pair in enumerate(zip(read, ids, strict=False)) if pair[0] != pair[1]), -1)
                    raise UserError(
                        f"{file}: llama.cpp reads a prompt as {len(read)} tokens, the model's tokenizer as {len(ids)}; "
                        f"they part at token {place}, so its answers would not be the model's"
                    )
                written.append(_write(model, tokenizer, ids, most))
                advance()
    finally:
        model.close()
    return written


def _write(model: Any, tokenizer: Any, ids: list[int], most: int) -> str:
    """Greedily, until the answer is complete."""
    new: list[int] = []
    text = ""
    for token in model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
        new.append(token)
        text = tokenizer.decode(new, skip_special_tokens=True)
        if token == tokenizer.eos_token_id or len(new) == most or is_complete(text):
            break
    return text


def quantize_with_llama_cpp(source: Path, file: Path) -> None:
    """Writes `source`, a GGUF file in f16, as Q4_K_M. Raises UserError if llama.cpp will not."""
    import llama_cpp

    _quiet()
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    if llama_cpp.llama_model_quantize(str(source).encode(), str(file).encode(), settings):
        raise UserError(f"{file}: llama.cpp could not quantize it; leave q4_k_m out of export.gguf")


def _quiet() -> None:
    """Keeps llama.cpp's own lines out of our output."""
    import llama_cpp

    llama_cpp.llama_log_set(_silence(), None)


@cache
def _silence() -> Any:
    """What llama.cpp calls instead of printing; kept, since it calls it as long as it is loaded."""
    import llama_cpp

    return llama_cpp.llama_log_callback(lambda level, text, data: None)
