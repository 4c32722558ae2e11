"""export --kind gguf: the merged model for llama.cpp and Ollama -> `runs/NAME/export/gguf/`.

Reads `export/merged/`. Writes one GGUF file for each of `export.gguf`, a Modelfile for Ollama, prompt and card. Then
loads each file with other readers than wrote it, transformers and, if it is installed, llama.cpp, and compares their
queries with the merged model's.
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from data.errors import UserError
from eval.extract import extract_sql
from pipeline.bundle import write_bundle
from pipeline.card import base_license, base_name, write_card
from pipeline.config import Config
from pipeline.console import show_files
from pipeline.drift import answers, check_drift, drawn_prompts
from pipeline.gguf_file import check_supported, write_gguf
from pipeline.gguf_readers import read_with_llama_cpp, read_with_transformers
from pipeline.model import load_model, load_tokenizer, pick_dtype
from pipeline.modelfile import modelfile
from pipeline.stage import PARTIAL_KEY, read_json

LLAMA_CPP = "llama_cpp"
# Where a small model writes something else though nothing is wrong, which is told, not refused: with four bits, and with
# eight where llama.cpp rounds what goes through the layers to eight bits, too.
TOLD = {("q4_k_m", "transformers"), ("q4_k_m", "llama.cpp"), ("q8_0", "llama.cpp")}
Reader = Callable[[Config, Path, Path, Sequence[str]], list[str]]


def export_gguf(config: Config, folder: Path) -> None:
    """Writes the files and checks them. Raises UserError for a model without GGUF, or answers that are too different."""
    merged = config.run / "export" / "merged"
    wanted = config.export.gguf
    check_supported(merged)
    license = config.export.license or base_license(config)
    tokenizer = load_tokenizer(merged)
    prompts = drawn_prompts(config)
    dtype = pick_dtype(config.train.compute)
    before = _queries(answers(config, load_model(merged, dtype=dtype), tokenizer, prompts, "merged"))
    readers: dict[str, Reader] = {"transformers": read_with_transformers}
    if _has_llama_cpp():
        readers["llama.cpp"] = read_with_llama_cpp
    checked: dict[str, dict[str, int]] = {}
    for weights in wanted:
        file = folder / file_name(config, weights)
        if weights == "q4_k_m":
            _write_quantized(merged, file, config, license)
        else:
            write_gguf(merged, file, weights, config.name, license)
        checked[weights] = {}
        for reader, read in readers.items():
            after = _queries(read(config, file, merged, prompts))
            what = f"between {file.name}, read by {reader}, and the merged model"
            refuse = (weights, reader) not in TOLD
            checked[weights][reader] = check_drift(config, before, after, what, refuse=refuse)
    first = file_name(config, wanted[0])
    (folder / "Modelfile").write_text(modelfile(config, tokenizer, first, license), encoding="utf-8")
    chosen = read_json(config.run / "evaluate" / "selection.json")["chosen"]
    write_bundle(config, folder, base=base_name(config), checkpoint=chosen, drift=checked, checked=len(prompts))
    write_card(config, folder, "gguf", _check(checked, len(prompts)))
    show_files(f"{chosen}, merged, for llama.cpp and Ollama", folder, [PARTIAL_KEY])


def require_gguf(config: Config) -> None:
    """Raises UserError if what quantizes to four bits is wanted and not installed."""
    if "q4_k_m" in config.export.gguf and not _has_llama_cpp():
        raise UserError(
            "export.gguf: q4_k_m is quantized by llama.cpp, which is not installed: `pip install 'loraql[gguf]'` "
            "(it compiles for some minutes and wants cmake and a C++ compiler)"
        )


def _has_llama_cpp() -> bool:
    return importlib.util.find_spec(LLAMA_CPP) is not None


def file_name(config: Config, weights: str) -> str:
    return f"{config.name}-{weights.upper()}.gguf"


def _queries(written: Sequence[str]) -> list[str]:
    return [extract_sql(text) for text in written]


def _write_quantized(merged: Path, file: Path, config: Config, license: str) -> None:
    """llama.cpp quantizes a file of its own form, which is written for it and taken away."""
    from pipeline.gguf_readers import quantize_with_llama_cpp

    source = file.with_suffix(".f16")
    write_gguf(merged, source, "f16", config.name, license)
    quantize_with_llama_cpp(source, file)
    source.unlink()


def _check(checked: dict[str, dict[str, int]], count: int) -> str:
    told = [
        f"{weights.upper()} read by {reader}: {count - drift} of {count}"
        for weights, readers in checked.items()
        for reader, drift in readers.items()
    ]
    return f"These are GGUF files of it. Queries equal to those of the merged, unquantized model: {', '.join(told)}."
