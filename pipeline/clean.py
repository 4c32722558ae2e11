"""clean: disk space back from runs and the cache, after showing what goes and what it is worth.

Deletes, of runs: checkpoints that were not chosen, half-done stages, whole runs by name; of the cache: what it made
itself and can make again. It never follows a link, touches no run that is at work, and takes only what bears the names that
loraql gives. What the chosen checkpoint and the exported model need stays; manifests remember what went.
"""

import fcntl
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import typer

from data.errors import UsageError, UserError
from pipeline.cleaned import record_cleaned
from pipeline.console import say, table
from pipeline.runs import STAGES, disk_bytes, show_bytes
from pipeline.stage import MANIFEST, cache_folder, read_json

KINDS = {
    "checkpoints": "choosing among them again",
    "partial": "going on with that stage",
    "states": "time: computed again in training",
    "cache": "time: computed again when needed",
    "models": "time: fetched and converted again",
}
OF_RUNS = ("checkpoints", "partial")
USUAL = ("checkpoints", "partial", "states")  # if nothing is asked for: cheap to be without
WHOLE = "run"
DIGEST = r"[0-9a-f]{16,64}"  # as loraql names what it keeps in the cache
GOING = ".deleting-"


@dataclass(frozen=True)
class Item:
    """Something that can go, of one kind. `owner` is the run's name, or "cache"."""

    kind: str
    owner: str
    paths: tuple[Path, ...]
    loses: str

    @property
    def size(self) -> int:
        return sum(map(disk_bytes, self.paths))


def clean(
    runs: Path, names: Sequence[str], kinds: Sequence[str] | None = None, *, whole: bool = False, yes: bool = False
) -> None:
    """Shows what can go, asks, and deletes it; without a terminal and `yes` it only shows.

    Raises UsageError for kinds and names that cannot be, UserError for a run that is not there or is at work.
    """
    chosen = _kinds(names, kinds, whole)
    folders = _folders(runs, names)
    with ExitStack() as held:
        free: list[Path] = []
        busy: list[Path] = []
        for folder in folders:
            (free if _hold(folder, held) else busy).append(folder)
        if busy and names:
            raise UserError(f"{busy[0]}: loraql is at work there; wait for it or stop it")
        for folder in busy:
            say(f"note: {folder.name}: loraql is at work there; it is left alone, and so is the cache")
        items = list(_items(free, chosen, whole, cache=not busy))
        if not items:
            say(f"nothing to clean (looked for {', '.join(chosen)})")
            return
        _show(items)
        if yes or _agrees(items):
            for item in items:
                _delete(item)
            say(f"deleted; {show_bytes(shutil.disk_usage(_existing(runs)).free)} are free")


def _kinds(names: Sequence[str], kinds: Sequence[str] | None, whole: bool) -> list[str]:
    if whole:
        if not names or kinds is not None:
            raise UsageError(
                "--all deletes whole runs: name them, and leave out --what, as in `loraql clean my-run --all`"
            )
        return []
    for kind in kinds or ():
        if kind not in KINDS:
            raise UsageError(f"--what {kind}: there are {', '.join(KINDS)}")
    if kinds is not None and not kinds:
        raise UsageError(f"--what: say what, of {', '.join(KINDS)}")
    return list(dict.fromkeys(kinds if kinds is not None else OF_RUNS if names else USUAL))


def _folders(runs: Path, names: Sequence[str]) -> list[Path]:
    """The runs that were named, or all; never a link."""
    there = {path.name: path for path in sorted(runs.iterdir())} if runs.is_dir() else {}
    for name in names:
        if name not in there or not there[name].is_dir():
            known = ", ".join(known for known, path in there.items() if path.is_dir()) or "none"
            raise UserError(f"{name}: no run under {runs}; there are: {known}")
        if there[name].is_symlink():
            raise UserError(f"{there[name]}: is a link, which clean does not follow; delete it by hand")
    chosen = [there[name] for name in dict.fromkeys(names)] if names else list(there.values())
    return [path for path in chosen if path.is_dir() and not path.is_symlink()]


def _hold(folder: Path, held: ExitStack) -> bool:
    """Takes the locks that stages of this run would take; False if one is at work there."""
    kinds = sorted((folder / "export").glob("*.partial.lock"))  # of an export's other forms
    for path in [*(folder / f"{stage}.partial.lock" for stage in STAGES), *kinds]:
        if not any(path.with_name(name).exists() for name in _stage_names(path)):
            continue
        lock = held.enter_context(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not os.fstat(lock.fileno()).st_nlink:
            return False  # of a stage that has just ended: the next one may be at work
        held.callback(path.unlink, missing_ok=True)
    return True


def _stage_names(lock: Path) -> tuple[str, ...]:
    stage = lock.name.removesuffix(".partial.lock")
    return stage, f"{stage}.partial", lock.name


def _items(folders: Sequence[Path], kinds: Sequence[str], whole: bool, cache: bool) -> Iterator[Item]:
    for folder in folders:
        if whole:
            _require_run(folder)
            yield Item(WHOLE, folder.name, (folder,), "its scores and its model, too")
            continue
        if "checkpoints" in kinds and (paths := _not_chosen(folder)):
            yield Item("checkpoints", folder.name, tuple(paths), KINDS["checkpoints"])
        if "partial" in kinds and (paths := _half_done(folder)):
            yield Item("partial", folder.name, tuple(paths), KINDS["partial"])
    if cache:
        for kind in kinds:
            if kind not in OF_RUNS and (paths := _cached(kind)):
                yield Item(kind, "cache", tuple(paths), KINDS[kind])


def _require_run(folder: Path) -> None:
    """Raises UserError for a folder that no stage has written into."""
    marks = ("config.yaml", *STAGES, *(f"{stage}.partial" for stage in STAGES))
    if not any((folder / mark).exists() for mark in marks):
        raise UserError(f"{folder}: holds nothing of a run; delete it by hand if you are sure")


def _not_chosen(folder: Path) -> list[Path]:
    """The checkpoints that a finished evaluation passed over."""
    train, evaluate = folder / "train", folder / "evaluate"
    if train.is_symlink() or not (train / MANIFEST).is_file() or not (evaluate / MANIFEST).is_file():
        return []
    try:
        chosen = read_json(evaluate / "selection.json")["chosen"]
        names = {name.split("/")[0] for name in read_json(train / MANIFEST)["outputs"]}
    except (UserError, KeyError, TypeError, AttributeError):
        say(f"note: {folder.name}: which checkpoint was chosen cannot be read; all stay")
        return []
    found = _plain_folders(train, r"checkpoint-\d+")
    if chosen not in {path.name for path in found}:
        return []
    return [path for path in found if path.name != chosen and path.name in names]


def _half_done(folder: Path) -> list[Path]:
    """Unfinished stages, and what a killed loraql left behind."""
    stages = "|".join(STAGES)
    train = folder / "train"
    left = _plain_folders(train, rf"{re.escape(GOING)}.*") if not train.is_symlink() else []
    kinds = _plain_folders(folder / "export", r"[\w-]+\.(partial|old)")
    return _plain_folders(folder, rf"({stages})\.(partial|old)") + kinds + left


def _cached(kind: str) -> list[Path]:
    """What the cache holds of this kind, by the names that loraql gives."""
    cache = cache_folder()
    if kind == "states":
        return _plain_folders(cache / "states", DIGEST)
    if kind == "models":
        return _plain_folders(cache / "models", r"smollm2-135m-instruct(\.\d+\.partial)?")
    databases = _plain_folders(cache / "databases", DIGEST)
    endings = {"answers": r"\.jsonl", "values": r"\.values.*", "embeddings": r"(\.\d+\.partial|\.npz)"}
    return databases + [
        path
        for name, ending in endings.items()
        if not (cache / name).is_symlink()
        for path in sorted((cache / name).glob("*"))
        if path.is_file() and not path.is_symlink() and re.fullmatch(DIGEST + ending, path.name)
    ]


def _plain_folders(folder: Path, pattern: str) -> list[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if re.fullmatch(pattern, path.name) and path.is_dir() and not path.is_symlink()
    ]


def _show(items: Sequence[Item]) -> None:
    rows = [[item.owner, item.kind, _named(item), show_bytes(item.size), item.loses] for item in items]
    table("What can go", ["of", "what", "which", "size", "what is lost"], rows)
    say(f"  in all {show_bytes(sum(item.size for item in items))}")


def _named(item: Item) -> str:
    if item.owner == "cache" or item.kind == WHOLE:
        folders = dict.fromkeys(str(path.parent if item.owner == "cache" else path) for path in item.paths)
        return ", ".join(folders)
    return ", ".join(path.name.removeprefix(GOING) for path in item.paths)


def _agrees(items: Sequence[Item]) -> bool:
    if not sys.stdin.isatty():
        say("nothing is deleted: no terminal to ask at; add --yes to delete this")
        return False
    if typer.confirm(f"Delete {'this' if len(items) == 1 else 'all of this'}?", default=False):
        return True
    say("nothing is deleted")
    return False


def _delete(item: Item) -> None:
    if item.kind != "checkpoints":
        for path in item.paths:
            _remove(path)
        return
    # First the manifest, then the names, then the bytes: whenever this is broken off, the run is sound.
    train = item.paths[0].parent
    record_cleaned(train, [path.name for path in item.paths])
    going = [path.rename(path.with_name(GOING + path.name)) for path in item.paths]
    for path in going:
        _remove(path)


def _remove(path: Path) -> None:
    """A file, or a folder with all in it; a link that came in its place meanwhile is not followed."""
    remove: Callable[[Path], None] = shutil.rmtree if path.is_dir() else Path.unlink
    remove(path)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())
