"""score: predictions from files, judged -> `scores.json`, `predictions.jsonl`, `report.html`.

A tool of its own, for any system's predictions: reads gold and predicted SQL in the official or our own
format and a folder of databases. Needs no model and no torch.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.digest import digest_file
from data.errors import UsageError, UserError
from data.predictions import Pair, read_pairs
from data.spider import database_file, find_tables, suite_files
from eval.exact_match import COMPONENTS
from eval.execution import GOLD_FAILED, NO_DATABASE
from eval.hardness import HARDNESS
from eval.manifest import metric_manifest
from eval.pool import Sandbox
from eval.query import KnownNames
from eval.report import Run, write_report
from eval.sandbox import Limits
from eval.score import CATEGORIES, Case, Judge
from eval.summary import METRICS, components, summarize
from pipeline.console import progress, say, table
from pipeline.stage import write_json

PREDICTIONS, SCORES, REPORT = FILES = ("predictions.jsonl", "scores.json", "report.html")
PLUGGED = "plug_value: a prediction also passed with the gold's values in place of its own"
PARTIAL = {
    "acc": "Partial matching accuracy",
    "rec": "Partial matching recall",
    "f1": "Partial matching F1 (official: 1 where both are 0)",
}
SHOWN_NOTES = 8


@dataclass(frozen=True)
class ScoreSettings:
    """How to score, beside the files."""

    limits: Limits
    workers: int | None = None
    plug_value: bool = False
    timings: int = 0


def score(
    gold: Path | None, predictions: Path, databases: Path, out: Path, tables: Path | None, settings: ScoreSettings
) -> None:
    """Judges every prediction, prints the official table and writes the three files into `out`."""
    paired = read_pairs(gold, predictions)
    folder = _find_databases(databases, paired.pairs)
    tables = tables or find_tables(folder)
    names = KnownNames(tables)
    _prepare_out(out, gold, predictions)

    def case(pair: Pair) -> Case:
        database = database_file(folder, pair.db_id)
        return Case(database, pair.gold, pair.predicted, names.get(database), suite_files(database))

    with (
        Sandbox(settings.limits, settings.workers) as sandbox,
        progress("scoring", len(paired.pairs), "predictions") as advance,
    ):
        judge = Judge(sandbox, settings.plug_value, settings.timings)
        records, remarks = [], list[str]()
        for pair, verdict in zip(paired.pairs, judge.verdicts(map(case, paired.pairs)), strict=True):
            asked = {"id": pair.id, "db_id": pair.db_id, "question": pair.question}
            records.append({**asked, **verdict.record(), "gold": pair.gold, "sql": pair.predicted})
            remarks += [f"{pair.id} ({pair.db_id}): {remark}" for remark in verdict.remarks]
            advance()
    notes = [*paired.notes, *names.unreadable.values(), *_gold_notes(records), *remarks]
    if settings.plug_value:
        notes.insert(0, PLUGGED)
    manifest = metric_manifest(
        golds=((pair.db_id, pair.gold) for pair in paired.pairs),
        databases={name: database_file(folder, name) for name in {pair.db_id for pair in paired.pairs}},
        limits=settings.limits,
        foreign_keys=digest_file(tables) if tables else "sqlite",
        plug_value=settings.plug_value,
        timings=settings.timings,
    )
    files = {"gold": gold or predictions, "predictions": predictions}
    made_of = {name: {"name": path.name, "sha256": digest_file(path)} for name, path in files.items()}
    scores = {**summarize(records), "made_of": made_of, "manifest": manifest, "notes": notes}
    _write(out, predictions, records, scores)
    show_scores(records, scores)
    _show_notes(notes)
    say(f"foreign keys for EM: {tables or 'from the SQLite files (give --tables for the official ones)'}")
    say(f"report: {out / 'report.html'}")


def _prepare_out(out: Path, gold: Path | None, predictions: Path) -> None:
    """Makes the folder before the work is done, and refuses one that cannot take the files."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file; give a folder")
    for path in filter(None, (gold, predictions)):
        if path.resolve() in {(out / name).resolve() for name in FILES}:
            raise UsageError(f"--out {out}: would overwrite {path}, which is read; give another folder")
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise UserError(f"--out {out}: cannot be written to")
    if (out / SCORES).is_file():
        say(f"note: {out} holds earlier scores; they are replaced")


def _find_databases(given: Path, pairs: Sequence[Pair]) -> Path:
    """The folder that holds NAME/NAME.sqlite: the one given, or `database` in it."""
    if not given.is_dir():
        raise UserError(
            f"--db {given}: {'is a file' if given.exists() else 'no such folder'}; give the folder of databases"
        )
    names = sorted({pair.db_id for pair in pairs})
    for folder in (given, given / "database"):
        if any(database_file(folder, name).is_file() for name in names):
            return folder
    example = names[0][:60]
    raise UserError(
        f"--db {given}: holds none of the databases that the gold file names ({len(names)}) as NAME/NAME.sqlite, for "
        f"instance {example}/{example}.sqlite; give the folder that holds one folder a database"
    )


def _gold_notes(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Golds that are not counted: by database where its file is missing, else one by one."""
    failed = [item for item in records if item["category"] == GOLD_FAILED]
    missing = Counter(item["db_id"] for item in failed if item["message"] == NO_DATABASE)
    for name, count in missing.items():
        yield f"{name}: no database file; its {count} questions are not counted"
    for item in failed:
        if item["message"] != NO_DATABASE:
            yield f"{item['id']} ({item['db_id']}): its gold query failed ({item['message']}); it is not counted"


def _write(out: Path, predictions: Path, records: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> None:
    """All three files, each whole or not at all."""
    name = predictions.parent.name if predictions.name == PREDICTIONS else predictions.stem
    partial = {file: out / f"{file}.partial" for file in FILES}
    lines = "".join(json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n" for item in records)
    partial[PREDICTIONS].write_text(lines, encoding="utf-8")
    write_json(partial[SCORES], scores)
    write_report(
        partial[REPORT],
        title=f"{name}: scores",
        runs=[Run(name, records, scores)],
        manifest=scores["manifest"],
        # The page lists the golds that failed by itself.
        notes=[note for note in scores["notes"] if not note.endswith("not counted")],
    )
    for file, path in partial.items():
        path.replace(out / file)


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes[:SHOWN_NOTES]:
        say(f"note: {note}")
    if len(notes) > SHOWN_NOTES:
        say(f"note: {len(notes) - SHOWN_NOTES} more, all in scores.json")


def show_scores(records: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> None:
    """The official tool's tables, shares by hardness, from easy to extra, and in all; then what went wrong."""
    levels = [level for level in HARDNESS if level != "unknown" or level in scores["by_hardness"]]
    groups = [*(scores["by_hardness"].get(level) for level in levels), scores if scores["n"] else None]
    columns = ["", *levels, "all"]
    counted = [item for item in records if item["category"] != GOLD_FAILED]
    parts = [components(item for item in counted if item["hardness"] == level) for level in levels]
    parts.append(scores["components"])
    for key, title in PARTIAL.items():
        rows: list[list[object]] = [
            [name, *(f"{part[name][key]:.3f}" if group else "-" for part, group in zip(parts, groups, strict=True))]
            for name in COMPONENTS
        ]
        table(title, columns, rows)
    present = {metric: name for metric, name in METRICS.items() if metric in scores}
    rows = [["count", *(group["n"] if group else 0 for group in groups)]]
    rows += [[name, *(_share(group, metric) for group in groups)] for metric, name in present.items()]
    table("Scores", columns, rows)
    for metric, name in present.items():
        interval = scores["intervals"][metric]
        low, high = 100 * interval["low"], 100 * interval["high"]
        say(f"  {name}: {scores[metric]} of {scores['n']}, {100 * interval['value']:.1f}% [{low:.1f}, {high:.1f}]")
    if "ves" in scores:
        say(f"  VES: {scores['ves']:.1f} (valid efficiency score: 100 if all were right and as fast as their golds)")
    wrong = {name: count for name, count in scores["categories"].items() if name not in ("correct", GOLD_FAILED)}
    if wrong:
        say("  not right: " + ", ".join(f"{count} {CATEGORIES[name]}" for name, count in wrong.items()))
    if scores["gold_failed"]:
        say(f"  NOT COUNTED: {scores['gold_failed']} of {len(records)}, whose gold could not be run here")


def _share(group: Mapping[str, Any] | None, metric: str) -> str:
    return f"{group[metric] / group['n']:.3f}" if group else "-"
