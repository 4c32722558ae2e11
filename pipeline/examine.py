"""The checks of `doctor`, one thing each: what is there, and what mends it where it is not as it should be.

A check never raises: what goes wrong in it is what it finds.
"""

import http.client
import logging
import os
import platform
import re
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from eval.pool import Sandbox
from eval.sandbox import Limits
from pipeline.machine import free_disk, training_memory
from pipeline.runs import disk_bytes, show_bytes
from pipeline.stage import cache_folder

State = Literal["ok", "note", "wrong"]
TESTED = Path(__file__).resolve().parent.parent / "constraints.txt"  # in a source tree
LEAST_PYTHON = (3, 11)
DRIVER = Path("/proc/driver/nvidia/version")
HUB_SECONDS = 3.0
NF4_ERROR = 0.2  # of a normal number in four bits, in the mean
NEEDED_DISK, ROOMY_DISK = 1e9, 5e9
NEEDED_MEMORY = 4e9  # for the embedded model
# What each extra brings: the package by which it is known, and what wants it.
EXTRAS = {
    "serve": ("fastapi", "loraql serve"),
    "postgres": ("psycopg", "PostgreSQL databases"),
    "mysql": ("pymysql", "MySQL databases"),
    "vector": ("sentence-transformers", "worked examples by embeddings"),
    "gguf": ("llama-cpp-python", "export.gguf=q4_k_m"),
    "deepspeed": ("deepspeed", "train.sharding=zero3"),
    "vllm": ("vllm", "generate.engine=vllm"),
}
HOSTILE = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@dataclass(frozen=True)
class Finding:
    """One line; `remedy` says what to do, where there is something to do."""

    state: State
    what: str
    found: str
    remedy: str = ""


def examine_python() -> list[Finding]:
    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < LEAST_PYTHON:
        return [Finding("wrong", "Python", system, "install Python 3.11 or later, and loraql into it")]
    if platform.system() != "Linux":
        return [Finding("note", "Python", system, "loraql is tested on Linux; the container runs elsewhere too")]
    return [Finding("ok", "Python", system)]


def examine_packages() -> list[Finding]:
    """Each package that loraql needs, against what it needs and against what it was tested with."""
    own, missing, old, other = _version("loraql"), [], [], []
    if own is None:
        return [Finding("wrong", "loraql", "not installed", "pip install -e . in its folder")]
    needed = [one for one in map(Requirement, requires("loraql") or ()) if one.marker is None]
    tested = _tested()
    for one in needed:
        found = _version(one.name)
        if found is None:
            missing.append(one.name)
        elif not one.specifier.contains(found, prereleases=True):
            old.append(f"{one.name} {found} ({one.specifier})")
        elif (wanted := tested.get(_plain(one.name))) and found.split("+")[0] != wanted:
            other.append(f"{one.name} {found} ({wanted})")
    install = "pip install -c constraints.txt -e ."
    findings = [Finding("ok", "loraql", f"{own}; {len(needed)} packages that it needs")]
    if missing or old:
        bad = ", ".join([*(f"{name} is missing" for name in missing), *old])
        findings = [Finding("wrong", "packages", bad, install)]
    if other:
        findings.append(Finding("note", "packages", f"not the tested versions: {', '.join(other)}", install))
    return findings


def examine_torch() -> list[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return [Finding("wrong", "torch", _first_line(error), "pip install -c constraints.txt torch")]
    threads = torch.get_num_threads()
    findings = [Finding("ok", "torch", f"{torch.__version__}, {threads} thread{'' if threads == 1 else 's'}")]
    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            free, size = torch.cuda.mem_get_info(device)
            name = f"{torch.cuda.get_device_name(device)}, {show_bytes(free)} of {show_bytes(size)} free, CUDA {torch.version.cuda}"
            half = torch.cuda.is_bf16_supported()
            findings.append(
                Finding("ok" if half else "note", "GPU", name, "" if half else "has no bf16: training computes in fp32")
            )
    elif DRIVER.exists():
        why = (
            "torch is its CPU build"
            if torch.version.cuda is None
            else f"torch for CUDA {torch.version.cuda} finds none"
        )
        remedy = (
            "pip install --force-reinstall a CUDA build of the same torch"
            if torch.version.cuda is None
            else "look whether nvidia-smi runs, CUDA_VISIBLE_DEVICES is empty by mistake, or the driver is too old"
        )
        findings.append(Finding("wrong", "GPU", f"an NVIDIA driver is here, but {why}", remedy))
    else:
        findings.append(Finding("note", "GPU", "none: training runs on the CPU, which small models stand"))
    return findings


def examine_nf4() -> list[Finding]:
    """Four bits there and back, on the device that trains."""
    remedy = (
        "pip install -c constraints.txt --force-reinstall --no-deps bitsandbytes; or train with train.quantization=none"
    )
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of faster kernels that are not there
    try:
        import torch
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        device = "cuda" if torch.cuda.is_available() else "cpu"
        given = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).to(device)
        packed, state = quantize_4bit(given, quant_type="nf4")
        error = float((dequantize_4bit(packed, state) - given).abs().mean())
    except (ImportError, OSError, RuntimeError, ValueError, AttributeError) as failed:
        return [Finding("wrong", "NF4", f"bitsandbytes does not quantize: {_first_line(failed)}", remedy)]
    if not error < NF4_ERROR:
        return [Finding("wrong", "NF4", f"a tensor comes back with a mean error of {error:.2f}", remedy)]
    return [Finding("ok", "NF4", f"bitsandbytes {_version('bitsandbytes')} quantizes on the {device.upper()}")]


def examine_machine() -> list[Finding]:
    cores = f"{len(os.sched_getaffinity(0))} cores"
    try:
        memory = training_memory()[0]
    except (ImportError, OSError) as error:
        return [Finding("note", "machine", f"{cores}; memory is not known: {_first_line(error)}")]
    found = f"{cores}, {show_bytes(memory)} of memory for training"
    if memory < NEEDED_MEMORY:
        return [
            Finding("note", "machine", found, "close other programs, or see the settings that `loraql plan` advises")
        ]
    return [Finding("ok", "machine", found)]


def examine_disk(runs: Path) -> list[Finding]:
    findings = []
    for what, folder in (("disk, runs", runs), ("disk, cache", cache_folder())):
        try:
            free = free_disk(folder)
        except OSError as error:
            findings.append(Finding("wrong", what, f"{folder}: {_first_line(error)}", "give another folder"))
            continue
        state: State = "wrong" if free < NEEDED_DISK else "note" if free < ROOMY_DISK else "ok"
        remedy = "" if state == "ok" else "loraql clean"
        findings.append(Finding(state, what, f"{show_bytes(free)} free for {folder}", remedy))
    return findings


def examine_cache() -> list[Finding]:
    folder = cache_folder()
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return [Finding("wrong", "cache", f"{there} cannot be written to", "LORAQL_CACHE=FOLDER names another place")]
    size = show_bytes(disk_bytes(folder)) if folder.is_dir() else "empty"
    return [Finding("ok", "cache", f"{folder}: {size}")]


def examine_sandbox() -> list[Finding]:
    """A plain query gives its row, a write is refused, and one that never ends is stopped."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder, Sandbox(Limits(seconds=0.3, cpu_seconds=1), workers=1) as sandbox:
        database = Path(folder) / "check.sqlite"
        with closing(sqlite3.connect(database)) as connection:
            connection.executescript("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (41), (1);")
        plain = sandbox.run(database, "SELECT sum(a) FROM t")
        if plain.rows != ((42,),):
            wrong.append(f"a plain query: {plain.category} {plain.message or ''}".strip())
        for name, sql in (("a write", "DELETE FROM t"), ("a query without end", HOSTILE)):
            if sandbox.run(database, sql).category == "ok":
                wrong.append(f"{name} was let through")
    if wrong:
        remedy = "do not run models' SQL here; is this Python's sqlite3 whole? python -c 'import sqlite3'"
        return [Finding("wrong", "sandbox", "; ".join(wrong), remedy)]
    return [
        Finding(
            "ok", "sandbox", f"SQLite {sqlite3.sqlite_version}: runs queries, refuses writes, stops what does not end"
        )
    ]


def examine_hub() -> list[Finding]:
    """Whether models can be fetched; the embedded one and folders work without."""
    offline = [name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name, "").upper() in _TRUE]
    if offline:
        found = f"turned off by {', '.join(offline)}: models come from the cache or a folder"
        return [Finding("note", "model hub", found, f"unset {' '.join(offline)}, if you want to fetch some")]
    from huggingface_hub import constants

    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    start = time.monotonic()
    problem = _reach(endpoint)
    if problem:
        remedy = "model.base=FOLDER, or a mirror as HF_ENDPOINT=URL; the embedded model does not need it"
        return [Finding("note", "model hub", f"{endpoint} cannot be reached: {problem}", remedy)]
    return [Finding("ok", "model hub", f"{endpoint} answers in {1000 * (time.monotonic() - start):.0f} ms")]


def examine_extras() -> list[Finding]:
    """Which optional parts are installed; being without is no fault."""
    there = [name for name, (package, _) in EXTRAS.items() if _version(package)]
    lacking = [f"{name} ({what})" for name, (package, what) in EXTRAS.items() if not _version(package)]
    findings = [Finding("ok", "extras", ", ".join(there) or "none")]
    if lacking:
        findings.append(
            Finding("note", "extras", f"not installed: {', '.join(lacking)}", 'pip install "loraql[NAME]", if wanted')
        )
    return findings


_TRUE = ("1", "ON", "YES", "TRUE")


def _reach(endpoint: str) -> str | None:
    """Why the server does not answer, if so; any answer will do. Proxies are those of the environment."""
    problems: list[str | None] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=HUB_SECONDS).close()
            problems.append(None)
        except urllib.error.HTTPError:
            problems.append(None)
        except (OSError, ValueError, http.client.HTTPException) as error:
            problems.append(_first_line(error))

    # In a thread of its own: looking up a name knows no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_SECONDS)
    return problems[0] if problems else f"no answer within {HUB_SECONDS:g} s"


def _tested() -> dict[str, str]:
    """Versions by plain name, from constraints.txt where there is one."""
    if not TESTED.is_file():
        return {}
    lines = TESTED.read_text(encoding="utf-8").splitlines()
    return {_plain(name): number for name, equals, number in (line.partition("==") for line in lines) if equals}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _first_line(error: BaseException) -> str:
    lines: Sequence[str] = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
