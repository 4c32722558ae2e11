"""runs: what is under `runs/`, as a table: each run's data and base, how far it came, its scores and what it cost.

Reads manifests, `config.yaml`, `selection.json` and scores, and compares sizes of files; it computes no digest and loads
no model, so that it is quick. Writes nothing. A folder that is half-done, damaged or not a run gets a note.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from data.errors import UserError
from pipeline.console import console, say, table
from pipeline.stage import MANIFEST, read_json

GAP = 3  # between two columns
STAGES = ("render", "train", "evaluate", "export")  # those that write into a run's folder
DROPPED_FIRST = ("recipe", "memory", "data", "chosen", "trained", "base model")  # where the terminal is narrow


@dataclass
class Run:
    """One folder under `runs/`. Shares are of 1, seconds of training; None is what is not known or not there yet."""

    name: str
    recipe: str | None = None
    data: str | None = None
    base: str | None = None
    stage: str | None = None
    stale: str | None = None
    checkpoint: str | None = None
    ex: dict[str, float] | None = None
    base_ex: dict[str, float] | None = None
    train_seconds: float | None = None
    peak_memory_mb: dict[str, int] | None = None
    disk_bytes: int = 0
    changed: float = 0.0
    notes: list[str] = field(default_factory=list)


def show_runs(runs: Path, as_json: bool = False) -> None:
    """Prints the runs, the newest first. Raises UserError if `runs` is no folder."""
    if runs.exists() and not runs.is_dir():
        raise UserError(f"{runs}: is a file, not a folder of runs")
    found = find_runs(runs)
    if as_json:
        shown = [asdict(run) | {"changed": _date(run.changed, "seconds")} for run in found]
        console.file.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
        return
    if not found:
        say(f"{runs}: no runs yet; `loraql run sample` makes one, `loraql init` writes a recipe for your own")
        return
    columns = _columns(found, console.width)
    table(str(runs), list(columns), list(zip(*columns.values(), strict=True)))
    for run in found:
        for note in run.notes:
            say(f"  {run.name}: {note}")


def find_runs(runs: Path) -> list[Run]:
    """The folders of `runs`, the newest first; whatever they hold, each gives a Run."""
    folders = [path for path in runs.iterdir() if path.is_dir()] if runs.is_dir() else []
    return sorted((_read(path) for path in sorted(folders)), key=lambda run: -run.changed)


def disk_bytes(path: Path) -> int:
    """Bytes that a file, or a folder with all in it, takes on disk; links are not followed."""
    paths = [path]
    if path.is_dir() and not path.is_symlink():
        paths += [Path(folder, name) for folder, folders, files in os.walk(path) for name in (*folders, *files)]
    return sum(found.lstat().st_blocks * 512 for found in paths if os.path.lexists(found))


def show_bytes(size: float) -> str:
    """As people read it: 90 MB, 1.2 GB."""
    return (
        f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"
    )


def _read(folder: Path) -> Run:
    run = Run(folder.name, changed=folder.stat().st_mtime)
    if folder.is_symlink():
        run.notes.append(f"a link to {folder.resolve()}; what it takes is not counted")
    else:
        run.disk_bytes = disk_bytes(folder)
    manifests = {stage: _manifest(folder / stage, run) for stage in STAGES}
    done = {stage: manifest for stage, manifest in manifests.items() if manifest}
    halves = [stage for stage in STAGES if (folder / f"{stage}.partial").is_dir()]
    if not done and not halves and not run.notes and not (folder / "config.yaml").exists():
        run.notes.append("not made by loraql")
        return run
    _read_config(folder, run)
    again = run.name
    for manifest in done.values():
        run.recipe = run.recipe or manifest["provenance"].get("recipe")
        again = manifest["provenance"].get("arguments") or run.recipe or again
    for stage in halves:
        what = f"a new try at {stage} is unfinished" if stage in done else f"{stage} is half-done"
        run.notes.append(f"{what}: `loraql {stage} {again}` goes on, `loraql clean {run.name}` removes it")
    if not done:
        return run
    run.stage = list(done)[-1]
    run.changed = max((folder / stage / MANIFEST).stat().st_mtime for stage in done)
    run.stale = next(filter(None, (_older(stage, done) for stage in done)), None)
    if run.stale:
        run.notes.append(f"stale: {run.stale}; `loraql run {again}` brings it up to date")
    if "train" in done:
        cost = done["train"]["provenance"]
        run.train_seconds, run.peak_memory_mb = cost.get("seconds"), cost.get("peak_memory_mb")
    if "evaluate" in done:
        _read_scores(folder / "evaluate", run, again)
    return run


def _manifest(folder: Path, run: Run) -> dict[str, Any] | None:
    """A stage's manifest, if it can be used; a note on what is wrong with the stage."""
    if not (folder / MANIFEST).is_file():
        return None
    try:
        manifest = read_json(folder / MANIFEST)
        inputs, _ = dict(manifest["made_from"]["inputs"]), dict(manifest["provenance"])
        sizes = {name: output["bytes"] for name, output in manifest["outputs"].items()}
    except (UserError, OSError, KeyError, TypeError, AttributeError, ValueError):
        run.notes.append(f"{folder / MANIFEST} is damaged: `loraql {folder.name} ... --force` writes it anew")
        return None
    for name, size in sizes.items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            run.notes.append(f"{folder / name} is missing or cut short")
            break
    return {**manifest, "inputs": inputs}


def _older(stage: str, done: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What this stage was made from and is another now, as far as manifests tell."""
    for path, digest in done[stage]["inputs"].items():
        parts = Path(path).parts
        for earlier in STAGES[: STAGES.index(stage)]:
            if earlier not in parts or earlier not in done:
                continue
            name = str(Path(*parts[parts.index(earlier) + 1 :]))
            known = {**done[earlier].get("cleaned", {}), **done[earlier]["outputs"]}.get(name)
            if not known or known.get("sha256") != digest:
                return f"{stage} was made from another {earlier}/{name}"
    return None


def _read_config(folder: Path, run: Run) -> None:
    """What its configuration says of data and base; a stage that never ended has left none."""
    path = folder / "config.yaml"
    if not path.exists():
        return
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        run.data, run.base = values["data"]["source"], Path(values["model"]["base"]).name
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        run.notes.append(f"{path} is damaged; the next stage writes it anew")


def _read_scores(folder: Path, run: Run, again: str) -> None:
    try:
        run.checkpoint = read_json(folder / "selection.json")["chosen"]
        run.ex, run.base_ex = (
            {"value": share["value"], "low": share["low"], "high": share["high"]}
            for share in (
                read_json(folder / name / "scores.json")["splits"]["dev"]["intervals"]["ex"]
                for name in (str(run.checkpoint), "base")
            )
        )
    except (UserError, OSError, KeyError, TypeError):
        run.notes.append(f"the scores in {folder} cannot be read: `loraql evaluate {again} --force` writes them anew")


def _columns(found: Sequence[Run], width: int) -> dict[str, list[str]]:
    """By title, a cell for each run; a narrow terminal gets those that matter most."""
    columns = {
        "run": [run.name for run in found],
        "recipe": [run.recipe or "-" for run in found],
        "data": [run.data or "-" for run in found],
        "base model": [run.base or "-" for run in found],
        "reached": [f"{run.stage or '-'}{', stale' if run.stale else ''}" for run in found],
        "chosen": [(run.checkpoint or "-").removeprefix("checkpoint-") for run in found],
        "EX % on dev [95%]": [_share(run.ex, interval=True) for run in found],
        "base": [_share(run.base_ex) for run in found],
        "trained": [_duration(run.train_seconds) for run in found],
        "memory": [_memory(run.peak_memory_mb) for run in found],
        "disk": [show_bytes(run.disk_bytes) for run in found],
        "date": [_date(run.changed, "hours").split()[0] for run in found],
    }
    if all(recipe in ("-", name) for name, recipe in zip(columns["run"], columns["recipe"], strict=True)):
        del columns["recipe"]
    if set(columns["memory"]) == {"-"}:
        del columns["memory"]
    for title in DROPPED_FIRST:
        if sum(max(map(len, [title, *cells])) + GAP for title, cells in columns.items()) > width:
            columns.pop(title, None)
    return columns


def _share(share: Mapping[str, float] | None, interval: bool = False) -> str:
    if not share:
        return "-"
    value, low, high = (f"{100 * share[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]" if interval else value


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


def _memory(peak: Mapping[str, int] | None) -> str:
    if not peak:
        return "-"
    return f"{show_bytes(peak['gpu'] * 2**20)} GPU" if peak.get("gpu") else show_bytes(peak["ram"] * 2**20)


def _date(seconds: float, exactness: str) -> str:
    return datetime.fromtimestamp(seconds).astimezone().replace(tzinfo=None).isoformat(" ", exactness)
