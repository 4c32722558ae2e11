"""init: a few questions, or options -> `NAME.yaml`, a commented recipe fitted to data, model, machine and time.

Reads what data sets there are, the size of the base if it is here, and what this machine has; `pipeline/fitting.py` holds the
rules. Fetches nothing.
"""

import json
import math
import os
import re
import struct
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import typer
from jinja2 import Environment, StrictUndefined

from data import embedded
from data.errors import UsageError, UserError
from pipeline.base import EMBEDDED, find_base
from pipeline.config import load_config
from pipeline.console import say, table
from pipeline.fitting import Data, Fit, Machine, Model, fit
from pipeline.import_recipe import yaml_text
from pipeline.machine import free_disk, training_memory
from pipeline.settings import DataSettings, ModelSettings
from pipeline.stage import read_json

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Usable questions of Spider: to train on, to choose on (20 databases), to score (LOG.md).
SPIDER = Data("spider", 6341, 1434, 972, has_select=False, select_databases="20")
SELECT = "library"  # of the sample
LENGTHS = {"sample": 1024, "spider": 1024}  # of prompts; imports vary more
OTHER_LENGTH = 2048
EMBEDDED_BILLIONS, EMBEDDED_LAYERS = 0.135, 30
UNKNOWN_BILLIONS = 7.0
ELSEWHERE_FLOPS = 6e13  # a second in bf16, of a GPU with 24 GB
MEASURED_SECONDS = 0.3
HOURS = 1.0
MOST_HOURS = 10_000


def init(
    name: str | None, *, data: str | None, model: str | None, gpu: str | None, hours: float | None, force: bool = False
) -> Path:
    """Writes the recipe; its path. What is not given is asked for at a terminal, and has a default elsewhere.

    Raises UsageError for what cannot be, UserError where memory or time would not do.
    """
    there = data_sets()
    here = _this_machine(None if gpu in (None, "auto") else gpu)
    say(f"{here.label}: {here.memory / 1e9:.1f} GB of memory, {free_disk(Path()) / 1e9:.0f} GB of disk free")
    if data is None:
        say(f"Data sets: {', '.join(there)}. Your own pairs become one with `loraql import`.")
        data = _ask("Which data?", "sample")
    if data not in there:
        raise UsageError(f"--data {data}: there are {', '.join(there)}; `loraql import` makes one of your own pairs")
    if model is None:
        say(
            f"Models: {EMBEDDED} (small, comes with loraql), a Hugging Face id as Qwen/Qwen2.5-Coder-1.5B-Instruct, a folder."
        )
        model = _ask("Which model?", EMBEDDED)
    base = _model(model)
    if gpu is None and here.kind == "cpu":
        gpu = _ask("No GPU was found. Train here (none), or on one elsewhere: how many GB has it?", "none")
    machine = here if gpu in (None, "auto") else _this_machine(gpu)
    if hours is None:
        hours = _hours(_ask("How many hours may training and scoring take?", f"{HOURS:g}"))
    if not 0 < hours <= MOST_HOURS:
        raise UsageError(f"--hours {hours:g}: give more than 0, {MOST_HOURS:,} at the most")
    name = name or _ask("What is it to be called?", f"{data}-{_short(model)}")
    if not NAME.fullmatch(name):
        raise UsageError(f"{name}: give letters, digits, `-`, `_` and `.`, as in my-run")
    path = Path(f"{name}.yaml")
    if path.exists() and not force:
        raise UserError(f"{path}: is there already; give another name, or --force to write over it")
    found = _data(data)
    chosen = fit(base, found, machine, hours, LENGTHS.get(data, OTHER_LENGTH))
    text = _text(name, path, base, found, machine, hours, chosen)
    _write(path, text)
    _show(chosen, machine)
    say(f"recipe: {path}")
    say(f"next: loraql run {path} --quick    (everything once, with a handful of steps)")
    say(f"then: loraql run {path}")
    return path


def data_sets() -> list[str]:
    """Those that are published, and those that were imported here."""
    root = DataSettings().folder
    own = [path.name for path in sorted(root.iterdir()) if (path / "dataset.json").is_file()] if root.is_dir() else []
    return ["sample", "spider", *(name for name in own if name not in ("sample", "spider") and NAME.fullmatch(name))]


def _ask(question: str, default: str) -> str:
    """The answer at a terminal; the default where there is none."""
    if not sys.stdin.isatty():
        return default
    return str(typer.prompt(question, default=default)).strip()


def _hours(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{text}: give a number of hours, as 2 or 0.5") from error


def _short(model: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", Path(model).name).strip("-.").lower()
    return plain.removesuffix("-instruct") or "model"


def _data(name: str) -> Data:
    """How many questions there are, also of data that is not fetched yet."""
    if name == "spider":
        return SPIDER
    if name == "sample":
        counts = {database: _sample_questions(database) for names in embedded.SPLITS.values() for database in names}
        train = sum(counts[database] for database in embedded.SPLITS["train"] if database != SELECT)
        dev = sum(counts[database] for database in embedded.SPLITS["dev"])
        return Data(name, train, counts[SELECT], dev, has_select=False, select_databases=f"[{SELECT}]")
    path = DataSettings().folder / name / "dataset.json"
    questions = read_json(path).get("questions", {})
    try:
        train, select, dev = (int(questions.get(split, 0)) for split in ("train", "select", "dev"))
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: damaged; import {name} again") from error
    return Data(name, train, select, dev, has_select=True)


def _sample_questions(database: str) -> int:
    text = (files("data") / "sample" / f"{database}.json").read_text(encoding="utf-8")
    return sum(len(pair["questions"]) for pair in json.loads(text))


def _model(base: str) -> Model:
    """The model and its size: of its files where it is here, else by its name."""
    folder = Path(base)
    if base != EMBEDDED and folder.is_dir() and not (folder / "config.json").is_file():
        raise UsageError(f"--model {base}: no config.json in it, so it is not a model folder")
    if base != EMBEDDED and not folder.is_dir() and not HUB_ID.fullmatch(base):
        raise UsageError(f"--model {base}: neither {EMBEDDED}, a Hugging Face id as in Qwen/Qwen2.5-0.5B, nor a folder")
    local = find_base(ModelSettings(base=base))
    billions = (_weights(local) or None) if local else None
    layers = read_json(local / "config.json").get("num_hidden_layers") if local else None
    if base == EMBEDDED:
        return Model(base, EMBEDDED_BILLIONS, layers or EMBEDDED_LAYERS)
    if billions is None and (told := re.search(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)(b|m)(?![a-z])", folder.name.lower())):
        billions = float(told[1]) / (1 if told[2] == "b" else 1000)
    if billions is None:
        say(f"note: how large {base} is cannot be told from its name; {UNKNOWN_BILLIONS:g} billion weights are assumed")
    return Model(base, billions or UNKNOWN_BILLIONS, layers)


def _weights(folder: Path) -> float:
    """Billions of weights, as the heads of safetensors files tell; 0 where there are none."""
    count = 0
    for path in folder.glob("*.safetensors"):
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                tensors = json.loads(file.read(min(length, 2**27)))
            count += sum(math.prod(tensor["shape"]) for name, tensor in tensors.items() if name != "__metadata__")
        except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: damaged, not a whole safetensors file; fetch the model again") from error
    return count / 1e9


def _this_machine(gpu: str | None) -> Machine:
    """What `--gpu` stands for: none, a number of GB elsewhere, or (None) what is found here."""
    if gpu not in (None, "none"):
        try:
            size = float(str(gpu))
        except ValueError as error:
            raise UsageError(f"--gpu {gpu}: give auto, none, or the memory in GB of a GPU elsewhere, as 24") from error
        if not 1 <= size <= 1000:
            raise UsageError(f"--gpu {gpu}: give its memory in GB, as 24")
        return Machine("gpu", 0.95 * size * 1e9, ELSEWHERE_FLOPS, f"a GPU with {size:g} GB")
    import torch

    if gpu is None and torch.cuda.is_available():
        return Machine("gpu", training_memory()[0], _flops("cuda"), torch.cuda.get_device_name(0))
    cores = len(os.sched_getaffinity(0))
    memory = training_memory()[0] if not torch.cuda.is_available() else _main_memory()
    return Machine("cpu", memory, _flops("cpu"), f"{cores} CPU core{'' if cores == 1 else 's'}, no GPU")


def _main_memory() -> float:
    return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _flops(device: str) -> float:
    """Floating-point operations a second of a matrix product, measured for a moment."""
    import torch

    size = 4096 if device == "cuda" else 1024
    half = device == "cuda" and torch.cuda.is_bf16_supported()
    matrix = torch.ones(size, size, device=device, dtype=torch.bfloat16 if half else torch.float32)
    for _ in range(2):  # the first ones also start the libraries
        matrix @ matrix
    best, end = 0.0, time.perf_counter() + MEASURED_SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def _text(name: str, path: Path, model: Model, data: Data, machine: Machine, hours: float, chosen: Fit) -> str:
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    template = (files("pipeline") / "init.yaml.jinja").read_text(encoding="utf-8")
    values: dict[str, Any] = {
        "name": name,
        "path": path,
        "model": model,
        "data": data,
        "machine": machine,
        "fit": chosen,
    }
    return environment.from_string(template).render(
        **values,
        hours=f"{hours:g}",
        base=yaml_text(model.base),
        size=f"{model.billions:.1f} billion weights"
        if model.billions >= 1
        else f"{1000 * model.billions:.0f} million weights",
        memory=f"{chosen.memory / 1e9:.1f} GB",
        has=f"{machine.memory / 1e9:.1f} GB",
        passes="once" if 0.75 <= chosen.passes < 1.5 else f"{chosen.passes:.1f} times",
        train=_duration(chosen.train_hours),
        score=_duration(chosen.score_hours),
        quick=min(4, chosen.batch),
    )


def _write(path: Path, text: str) -> None:
    """Whole or not at all; and only what loads."""
    fresh = path.with_name(f".{path.stem}.{os.getpid()}.yaml")
    try:
        fresh.write_text(text, encoding="utf-8")
        for quick in (False, True):
            load_config(str(fresh), [], quick=quick)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _show(chosen: Fit, machine: Machine) -> None:
    rows = [
        ["memory", f"about {chosen.memory / 1e9:.1f} GB", f"{chosen.quantization}, {chosen.batch} examples at once"],
        [
            "training",
            f"about {_duration(chosen.train_hours)}",
            f"{chosen.steps} steps, every example {chosen.passes:.1f} times",
        ],
        [
            "scoring",
            f"about {_duration(chosen.score_hours)}",
            f"of {chosen.limit} questions a split" if chosen.limit else "of all questions",
        ],
    ]
    table(f"Fitted to {machine.label}", ["what", "takes", "with"], rows)


def _duration(hours: float) -> str:
    minutes = hours * 60
    return f"{hours:.1f} h" if hours >= 1.5 else f"{minutes:.0f} min" if minutes >= 1 else "a minute"
