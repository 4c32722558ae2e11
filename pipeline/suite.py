"""suite: a data set's databases and golds -> `OUT/DB/{DB,fuzz-01,...}.sqlite` and `OUT/suite.json`.

Beside each database it writes fuzzed ones that tell the gold queries from their neighbours, so that a
wrong query passes less often. OUT is itself a folder of databases: scoring runs a query on every
SQLite file of a database's folder. Of what stands in OUT it takes away only what it wrote, and one run
is at work there at a time.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.digest import digest_file
from data.errors import UsageError, UserError
from data.spider import FILES, database_path, find_root, read_split
from eval.pool import Sandbox
from eval.sandbox import Limits
from eval.suite import Settings, distill
from pipeline.console import progress
from pipeline.stage import digest_bytes, read_json
from pipeline.suite_figures import FIGURES, short, show_suites

VERSION = 2
RAW = Path("data/raw")
LOCK = ".suite.lock"
LIMITS = Limits(seconds=2.0, rows=20_000)
WORKERS = 2
LONGEST_NAME = 200  # bytes of a database's name
FUZZED = r"fuzz-\d{2,}"
_OWN = re.compile(rf"{FUZZED}\.sqlite|suite\.json(\.partial)?|\.candidates-.*")


def suite(
    dataset: str,
    *,
    databases: Sequence[str] = (),
    split: str = "dev",
    most: int = 20,
    seed: int = 0,
    out: Path | None = None,
    workers: int = WORKERS,
) -> Path:
    """Makes the suites of one split's databases (all, or those named); the folder that holds them.

    `most` counts the original too. A database whose suite was made from the same file, golds and
    settings is passed over. Suites that an earlier run left in OUT are listed beside the new ones. All
    of OUT has one version, split, seed and `most`: with others, a run makes again the suites that it
    names, and is refused where any would stay behind. Raises UsageError for a split, database, number or
    folder that cannot be, UserError for a folder in the way that holds anything else than a suite.
    """
    if split not in FILES:
        raise UsageError(f"--split {split}: there is no such split; there are {', '.join(FILES)}")
    if most < 1:
        raise UsageError(f"--most {most}: a suite holds at least the database itself; give 1 or more")
    root = _root(dataset)
    out = out or root / "suite"
    settings = Settings(most=most, seed=seed)
    golds = _golds(root, split, databases)
    # OUT/DB/DB.sqlite must not be the database that it is a copy of.
    if out.resolve() == database_path(root, split, "any").parent.parent.resolve():
        raise UsageError(f"--out {out}: holds the databases themselves; give another folder")
    there = next(path for path in (out, *out.parents) if path.exists())
    if not there.is_dir():
        raise UsageError(f"--out {there}: is a file; give a folder")
    made_with = {"version": VERSION, "split": split, "settings": asdict(settings), "limits": asdict(LIMITS)}
    paths, left_out = _find(root, split, golds)
    done: dict[str, dict[str, Any]] = {}
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        kept = _look_around(out, paths, made_with)
        try:
            with Sandbox(LIMITS, workers) as sandbox, progress("making suites", len(paths), "databases") as advance:
                for name, path in paths.items():
                    try:
                        done[name] = _make(path, golds[name], out / name, sandbox, settings, made_with)
                    except UserError as error:
                        left_out[name] = str(error)
                    advance(note=name)
        finally:  # stopped half-way, too: it says what is there
            held = dict(sorted((kept | done).items()))
            missing = {name: reason for name, reason in left_out.items() if name not in held}
            _write(out / FIGURES, {**made_with, "databases": held, "left_out": missing})
    show_suites(done, left_out, len(kept))
    if not done:
        raise UserError(
            f"{root}: no suite was made for {split}; {next(iter(left_out.values()), 'it has no questions')}"
        )
    return out


def _root(dataset: str) -> Path:
    for folder in (RAW / dataset, Path(dataset)):
        if folder.is_dir():
            return find_root(folder)
    raise UserError(f"{dataset}: neither a data set under {RAW} nor a folder; run `loraql download {dataset}` first")


def _golds(root: Path, split: str, databases: Sequence[str]) -> dict[str, list[str]]:
    """The gold queries by database, in the order of the questions."""
    golds: dict[str, list[str]] = {}
    for question in read_split(root, split):
        golds.setdefault(question.db_id, []).append(question.query)
    unknown = [name for name in databases if name not in golds]
    if unknown:
        known = ", ".join(map(short, sorted(golds)))
        raise UsageError(f"--databases {short(unknown[0])}: {split} has no questions on it; it has {known}")
    return {name: queries for name, queries in golds.items() if not databases or name in databases}


def _find(root: Path, split: str, golds: Mapping[str, list[str]]) -> tuple[dict[str, Path], dict[str, str]]:
    """The file of each database; why there is none, of the others."""
    paths: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for name, queries in golds.items():
        try:
            if len(name.encode(errors="replace")) > LONGEST_NAME:
                raise UserError(f"{root}: the database name {short(name)} is too long")
            path = database_path(root, split, name)
            if re.fullmatch(FUZZED, name):
                raise UserError(f"{path}: its name is one that fuzzed databases bear; rename it")
            if not path.is_file():
                raise UserError(f"{path}: the database is missing; its {len(queries)} questions are left out")
            paths[name] = path
        except UserError as error:
            left_out[name] = str(error)
    return paths, left_out


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keeps other runs out of the folder. Raises UserError if one is at work there."""
    with (out / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(lock.fileno()).st_nlink:  # of a run that has just ended
                raise BlockingIOError
        except BlockingIOError as error:
            raise UserError(f"{out}: another loraql suite is at work there; wait for it or stop it") from error
        try:
            yield
        finally:
            Path(lock.name).unlink(missing_ok=True)


def _look_around(out: Path, names: Iterable[str], made_with: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The suites in OUT of other databases than those named, by database.

    Raises UserError for what must not be written over, and for a suite that was made in another way or
    is damaged: one figure must not mix them.
    """
    if (out / FIGURES).exists() and not isinstance(_read(out / FIGURES).get("databases"), dict):
        raise UserError(f"{out / FIGURES}: not written by loraql suite; move it away or give another --out")
    for name in names:
        for folder in (out / name, _partial(out / name)):
            _require_own(folder, name)
    kept = {}
    for folder in sorted(path for path in out.iterdir() if path.is_dir() and path.name not in names):
        figures = _read(folder / FIGURES)
        if "key" not in figures or "sha256" not in figures:
            continue  # not a suite, or one that was never finished
        found = figures.get("made_with", {})
        if found != made_with:
            raise UserError(
                f"{folder}: a suite made with {_difference(found, made_with)}; "
                "make it again in the same run, delete it, or give another --out"
            )
        if not _is_whole(folder, figures):
            raise UserError(
                f"{folder}: its files are not as they were written; make it again in the same run or delete it"
            )
        kept[folder.name] = figures
    return kept


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    before, after = ({**made, **made.get("settings", {})} for made in (old, new))
    differing = [key for key in after if before.get(key) != after[key] and not isinstance(after[key], dict)]
    return ", ".join(f"{key} {before[key]}" for key in differing if key in before) or "another version of loraql"


def _require_own(folder: Path, name: str) -> None:
    """Raises UserError for a folder that holds anything else than a suite of this database."""
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"{folder}: not a folder; move it away or give another --out")
    marked = "key" in _read(folder / FIGURES)
    for path in sorted(folder.iterdir()):
        if not marked or not (path.name == f"{name}.sqlite" or _OWN.fullmatch(path.name)):
            raise UserError(f"{path}: not written by loraql suite; move it away or give another --out")


def _partial(folder: Path) -> Path:
    return folder.with_name(folder.name + ".partial")


def _make(
    path: Path, golds: list[str], folder: Path, sandbox: Sandbox, settings: Settings, made_with: Mapping[str, Any]
) -> dict[str, Any]:
    """One database's suite, made or already there."""
    made_from = {**made_with, "database": digest_file(path), "golds": golds}
    key = digest_bytes(json.dumps(made_from, sort_keys=True).encode())
    earlier = _read(folder / FIGURES)
    if earlier.get("key") == key and _is_whole(folder, earlier):
        return earlier
    partial = _partial(folder)
    for old in (partial, folder):
        if old.exists():
            shutil.rmtree(old)
    partial.mkdir()
    _write(partial / FIGURES, {"key": key})  # marks the folder as our own
    shutil.copyfile(path, partial / path.name)
    figures = distill(path, golds, partial, sandbox, settings)
    digests = {file.name: digest_file(file) for file in sorted(partial.glob("*.sqlite"))}
    figures = {"key": key, "made_with": made_with, **figures, "sha256": digests}
    _write(partial / FIGURES, figures)
    partial.rename(folder)
    return figures


def _read(path: Path) -> dict[str, Any]:
    """What one of our files holds; nothing if it is missing, damaged or not ours."""
    try:
        content = read_json(path)
    except (UserError, OSError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: Any) -> None:
    """Writes a file whole or not at all. Half a surrogate pair, in a gold, is written as JSON escapes it."""
    fresh = path.with_name(path.name + ".partial")
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
    fresh.replace(path)


def _is_whole(folder: Path, figures: Mapping[str, Any]) -> bool:
    return {file.name: digest_file(file) for file in folder.glob("*.sqlite")} == figures.get("sha256")
