"""What every stage has in common: manifests, staleness, half-done folders.

A stage writes into `NAME.partial` and is renamed when it is done, its `manifest.json` last. The
manifest holds a key made of the stage's slice of the configuration, the digests of its inputs and its
version; the same key with all files present means that there is nothing to do. A partial folder is
taken up again by the same key and wiped by another.
"""

import fcntl
import hashlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from data.digest import digest_file
from data.errors import UserError
from pipeline.config import Config
from pipeline.console import say

MANIFEST = "manifest.json"
PARTIAL_KEY = "partial.json"
# Among a stage's inputs: models, which may be of the hub.
BASE_MODEL = "the base model"
EMBEDDER = "the embedder"
FULL_DISK_BYTES = 2**20
PACKAGES = ("loraql", "torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "sqlglot")


@dataclass(frozen=True)
class Stage:
    """One step of the line. `work(config, folder)` fills the folder, which may hold its own earlier part."""

    name: str
    version: int
    folder: Callable[[Config], Path]
    settings: Callable[[Config], dict[str, Any]]
    inputs: Callable[[Config], Mapping[str, str]]
    work: Callable[[Config, Path], None]
    keeps: tuple[str, ...] = ()  # subfolders of other stages, carried over


def cache_folder() -> Path:
    """Where base models, embeddings and indexes are kept: `LORAQL_CACHE`, else the user's cache folder."""
    own = os.environ.get("LORAQL_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loraql"


def digest_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest_files(*paths: Path) -> dict[str, str]:
    """Digests by path, for a stage's inputs. A missing file has the digest "missing"."""
    return {str(path): digest_file(path) if path.is_file() else "missing" for path in paths}


def recorded_digests(folder: Path) -> dict[str, str]:
    """What a stage recorded of the files that it wrote into its folder: digests by name."""
    path = folder / MANIFEST
    try:
        return {name: output["sha256"] for name, output in read_json(path)["outputs"].items()}
    except (UserError, KeyError, TypeError, AttributeError):
        return {str(path): "missing or damaged"}


def read_json(path: Path) -> Any:
    """Raises UserError naming the file that is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; run the stage that writes it again with --force") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}); run the stage that writes it again with --force") from error


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """One object a line. Raises UserError naming file and line."""
    if not path.is_file():
        raise UserError(f"{path}: missing; run the stage that writes it again with --force")
    lines = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if line.strip():
            try:
                lines.append(json.loads(line))
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
                raise UserError(
                    f"{path}: line {number} is not JSON ({error}); run its stage again with --force"
                ) from error
    return lines


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def why_stale(stage: Stage, config: Config) -> str | None:
    """Why the stage has to run, or None if what it wrote is as it should be."""
    folder = stage.folder(config)
    path = folder / MANIFEST
    if not path.is_file():
        return "started, not finished" if _partial(folder).is_dir() else "not run yet"
    try:
        manifest = read_json(path)
        outputs, made_from = manifest["outputs"], manifest["made_from"]
        missing = [name for name, size in outputs.items() if not _has_size(folder / name, size["bytes"])]
    except (UserError, KeyError, TypeError):
        return f"{path} is damaged"
    if missing:
        return f"{folder / missing[0]} is missing or cut short"
    return _difference(made_from, _made_from(stage, config))


def run_stage(stage: Stage, config: Config, *, force: bool = False, resume: bool = True) -> bool:
    """Runs the stage unless it is up to date; whether it ran."""
    folder = stage.folder(config)
    reason = why_stale(stage, config)
    if reason is None and not force:
        say(f"{stage.name}: up to date ({folder})")
        return False
    made_from = _made_from(stage, config)
    partial = _partial(folder)
    with _open_partial(partial, made_from, resume and not force):
        say(f"{stage.name}: {reason or 'forced'} -> {folder}")
        start = time.monotonic()
        _work(stage, config, partial)
        seconds = time.monotonic() - start
        outputs = {
            str(path.relative_to(partial)): {"sha256": digest_file(path), "bytes": path.stat().st_size}
            for path in sorted(partial.rglob("*"))
            if path.is_file() and path.name not in (PARTIAL_KEY, MANIFEST)
        }
        # What a model of the hub is, is known once it has been fetched; all else counts as it was at the start.
        inputs = stage.inputs(config)
        made_from["inputs"] |= {key: inputs[key] for key in (BASE_MODEL, EMBEDDER) if key in inputs}
        provenance = _provenance(config, seconds)
        write_json(
            partial / MANIFEST,
            {"stage": stage.name, "made_from": made_from, "outputs": outputs, "provenance": provenance},
        )
        _put_in_place(partial, folder, stage.keeps)
    if config.run in folder.parents:
        fresh = config.run / "config.yaml.partial"
        fresh.write_text(yaml.safe_dump(config.dump(), sort_keys=False), encoding="utf-8")
        fresh.replace(config.run / "config.yaml")
    say(f"{stage.name}: done in {seconds:.1f} s")
    return True


def _work(stage: Stage, config: Config, partial: Path) -> None:
    """Does the work. Libraries name a full disk and full memory in many ways; here they get one line."""
    try:
        stage.work(config, partial)
    except UserError:
        raise
    except Exception as error:
        for folder in (partial, cache_folder()):
            free = shutil.disk_usage(folder).free if folder.exists() else FULL_DISK_BYTES
            if free < FULL_DISK_BYTES:
                raise UserError(
                    f"{folder}: the disk is full ({free / 1e6:.1f} MB free); make room and run the same command "
                    "again, it goes on from what is kept"
                ) from error
        if type(error).__name__ == "OutOfMemoryError":
            raise UserError(f"{stage.name}: the GPU's memory is full; lower {stage.name}.batch_size") from error
        raise


def _made_from(stage: Stage, config: Config) -> dict[str, Any]:
    # Through JSON, so that it compares equal to what a manifest holds.
    made_from = {"version": stage.version, "settings": stage.settings(config), "inputs": dict(stage.inputs(config))}
    return json.loads(json.dumps(made_from))  # type: ignore[no-any-return]


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    if old["version"] != new["version"]:
        return f"the stage itself changed (version {old['version']} -> {new['version']})"
    before, after = dict(flatten(old["settings"])), dict(flatten(new["settings"]))
    for key in [*after, *(key for key in before if key not in after)]:
        if before.get(key) != after.get(key):
            return f"{key}: {before.get(key)} -> {after.get(key)}"
    for name in sorted(set(old["inputs"]) | set(new["inputs"])):
        before, after = old["inputs"].get(name), new["inputs"].get(name)
        if before != after:
            how = {"missing": "is missing", None: "is no longer used"}.get(after, "changed" if before else "is new")
            return f"{name} {how}"
    return None


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as `train.lora.rank` and its value."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + ".partial")


@contextmanager
def _open_partial(partial: Path, made_from: dict[str, Any], resume: bool) -> Iterator[None]:
    """An own, locked partial folder: the same work's earlier one, or an empty one."""
    key = digest_bytes(json.dumps(made_from, sort_keys=True).encode())
    marker = partial / PARTIAL_KEY
    partial.parent.mkdir(parents=True, exist_ok=True)
    with partial.with_name(partial.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{partial}: another loraql is at work there; wait for it or stop it") from error
        try:
            same = marker.is_file() and marker.read_text(encoding="utf-8") == key
            if partial.is_dir() and not (same and resume):
                shutil.rmtree(partial)
            partial.mkdir(exist_ok=True)
            marker.write_text(key, encoding="utf-8")
            yield
        finally:
            Path(lock.name).unlink()


def _put_in_place(partial: Path, folder: Path, keeps: tuple[str, ...]) -> None:
    if folder.exists():
        old = folder.with_name(folder.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        partial.rename(folder)
        for name in keeps:
            if (old / name).is_dir():
                (old / name).rename(folder / name)
        shutil.rmtree(old)
    else:
        partial.rename(folder)
    # The key goes last: until then a killed run can be taken up again.
    (folder / PARTIAL_KEY).unlink()


def _provenance(config: Config, seconds: float) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 1),
        "seed": config.seed,
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "recipe": config.recipe,
        "arguments": config.arguments,
        "peak_memory_mb": _peak_memory_mb(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _peak_memory_mb() -> dict[str, int]:
    """Of this process since its start, or of the largest that it started; of the GPU, what torch took of it."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = {"ram": max(resource.getrusage(who).ru_maxrss for who in whose) // 1024}
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        peak["gpu"] = torch.cuda.max_memory_allocated() // 2**20
    return peak


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of this source tree, where it is one."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None
