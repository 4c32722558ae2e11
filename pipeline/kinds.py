"""The kinds of export beside the merged model, each a stage that is made from it -> `runs/NAME/export/KIND/`.

A kind is one function in a module of its own, which fills its folder, checks what it wrote and shows it. Here they
get what every stage has: manifests, staleness, half-done folders.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from data.errors import UsageError
from pipeline.base import base_identity
from pipeline.config import Config
from pipeline.export import EXPORT
from pipeline.export_adapter import export_adapter
from pipeline.export_gguf import export_gguf, require_gguf
from pipeline.export_onnx import require_onnx
from pipeline.pgllm import export_pgllm
from pipeline.stage import BASE_MODEL, Stage, digest_files, recorded_digests

MERGED = "merged"
KINDS: dict[str, Callable[[Config, Path], None]] = {
    "adapter": export_adapter,
    "gguf": export_gguf,
    "pgllm": export_pgllm,
}
# What a kind wants of this machine, asked before the merged model is made.
WANTS: dict[str, Callable[[Config], None]] = {"gguf": require_gguf, "onnx": require_onnx}
# Settings of a kind of its own, and what it reads besides the merged model.
SETTINGS = {"gguf": "gguf", "pgllm": "block"}
RENDERED = ("pgllm",)
VERSION = 1


def kind_stages(names: list[str], config: Config) -> list[Stage]:
    """The stages of these kinds, `merged` among them, each once.

    Raises UsageError for a kind that there is not, UserError for one that cannot be made here.
    """
    for name in names:
        if name in WANTS:
            WANTS[name](config)
        if name != MERGED and name not in KINDS:
            raise UsageError(f"--kind {name}: no such kind; there are {', '.join([MERGED, *KINDS])}")
    return [EXPORT if name == MERGED else kind_stage(name) for name in dict.fromkeys(names)]


def kind_stage(name: str) -> Stage:
    return Stage(
        name=f"export {name}",
        version=VERSION,
        folder=lambda config: config.run / "export" / name,
        settings=partial(_settings, name),
        inputs=partial(_inputs, name),
        work=KINDS[name],
    )


def _settings(name: str, config: Config) -> dict[str, Any]:
    """What the merged model does not already depend on, which is an input."""
    own = config.export.model_dump(mode="json", include={SETTINGS.get(name, "")})
    return {"name": config.name, "export": own}


def _inputs(name: str, config: Config) -> Mapping[str, str]:
    merged = config.run / "export"
    digests = {str(merged / own): digest for own, digest in recorded_digests(merged).items()}
    if name in RENDERED:
        digests |= digest_files(*(config.run / "render" / f"{split}.jsonl" for split in ("train", "dev")))
    return digests | {BASE_MODEL: base_identity(config.model)}
