"""suite: a data set's databases and golds -> `OUT/DB/{DB,fuzz-01,...}.sqlite` and `OUT/suite.json`.

Beside each database it writes fuzzed ones that tell the gold queries from their neighbours, so that a
wrong query passes less often. OUT is itself a folder of databases: scoring runs a query on every
SQLite file of a database's folder.
"""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.errors import UsageError, UserError
from data.spider import FILES, database_path, find_root, read_split
from eval.pool import Sandbox
from eval.sandbox import Limits
from eval.suite import Settings, distill
from pipeline.console import progress, say, table
from pipeline.stage import digest_bytes, digest_file, read_json, write_json

VERSION = 1
RAW = Path("data/raw")
FIGURES = "suite.json"  # in OUT and in each database's folder
LIMITS = Limits(seconds=2.0, rows=20_000)
WORKERS = 2
SHOWN_KINDS = 5
COUNTS = ("neighbours", "killable", "killed_by_original", "killed")


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
    settings is passed over. Raises UsageError for a split, database or number that cannot be.
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
    out.mkdir(parents=True, exist_ok=True)
    done: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    with Sandbox(LIMITS, workers) as sandbox, progress("distilling", len(golds), "databases") as advance:
        for name, queries in golds.items():
            path = database_path(root, split, name)
            try:
                done[name] = _make(path, queries, out / name, sandbox, settings)
            except UserError as error:
                left_out[name] = str(error)
            advance(note=name)
    summary = {
        "version": VERSION,
        "split": split,
        "settings": asdict(settings),
        "limits": asdict(LIMITS),
        "databases": done,
        "left_out": left_out,
    }
    write_json(out / FIGURES, summary)
    _show(done, left_out)
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
        raise UsageError(f"--databases {unknown[0]}: {split} has no questions on it; it has {', '.join(sorted(golds))}")
    return {name: queries for name, queries in golds.items() if not databases or name in databases}


def _make(path: Path, golds: list[str], folder: Path, sandbox: Sandbox, settings: Settings) -> dict[str, Any]:
    """One database's suite, made or already there."""
    if not path.is_file():
        raise UserError(f"{path}: the database is missing; its {len(golds)} questions are left out")
    made_from = {"version": VERSION, "settings": asdict(settings), "database": digest_file(path), "golds": golds}
    key = digest_bytes(json.dumps(made_from, sort_keys=True).encode())
    earlier = _read_earlier(folder, key)
    if earlier is not None:
        return earlier
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir()
    shutil.copyfile(path, partial / path.name)
    figures = distill(path, golds, partial, sandbox, settings)
    digests = {file.name: digest_file(file) for file in sorted(partial.glob("*.sqlite"))}
    figures = {"key": key, **figures, "sha256": digests}
    write_json(partial / FIGURES, figures)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return figures


def _read_earlier(folder: Path, key: str) -> dict[str, Any] | None:
    """The figures of a suite that is there, whole and made from the same."""
    try:
        figures: dict[str, Any] = read_json(folder / FIGURES)
    except UserError:  # none, or damaged: it is made again
        return None
    found = {file.name: digest_file(file) for file in folder.glob("*.sqlite")}
    return figures if figures.get("key") == key and found == figures.get("sha256") else None


def _show(done: dict[str, dict[str, Any]], left_out: dict[str, str]) -> None:
    rows = [
        [
            name,
            figures["golds"],
            figures["neighbours"],
            _share(figures["killed_by_original"], figures["neighbours"]),
            _share(figures["killed"], figures["neighbours"]),
            _share(figures["killed"], figures["killable"]),
            len(figures["sha256"]),
        ]
        for name, figures in done.items()
    ]
    total = {count: sum(figures[count] for figures in done.values()) for count in COUNTS}
    if len(rows) > 1:
        kept = sum(len(figures["sha256"]) for figures in done.values())
        queries = sum(figures["golds"] for figures in done.values())
        original, killed = total["killed_by_original"], total["killed"]
        shares = [_share(original, total["neighbours"]), _share(killed, total["neighbours"]), _share(killed, total["killable"])]  # fmt: skip
        rows.append(["all", queries, total["neighbours"], *shares, kept])
    columns = ["database", "golds", "neighbours", "original alone", "suite", "of what differs", "databases"]
    table("Neighbours told apart", columns, rows)
    kinds: dict[str, Counter[str]] = {}
    for figures in done.values():
        for kind, counts in figures["kinds"].items():
            kinds.setdefault(kind, Counter()).update(counts)
    hardest = sorted(kinds, key=lambda kind: kinds[kind]["killed"] / kinds[kind]["neighbours"])[:SHOWN_KINDS]
    if hardest:
        table(
            "Hardest to tell apart (many of these mean the same as their gold)",
            ["kind", "neighbours", "original alone", "suite"],
            [
                [kind, kinds[kind]["neighbours"], *(_share(kinds[kind][count], kinds[kind]["neighbours"]) for count in COUNTS[2:])]
                for kind in hardest
            ],
        )  # fmt: skip
    failing = sum(len(figures["golds_that_fail"]) for figures in done.values())
    if failing:
        say(f"  {failing} gold queries fail and are left out; {FIGURES} lists them")
    for name, reason in left_out.items():
        say(f"  left out: {name}: {reason}")


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else ""
