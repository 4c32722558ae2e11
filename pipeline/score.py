"""score: predictions from files, judged -> `scores.json`, `predictions.jsonl`, `report.html`.

A tool of its own, for any system's predictions: reads gold and predicted SQL in the official or our own
format and a folder of databases. Needs no model and no torch.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UsageError, UserError
from data.predictions import Pair, read_pairs
from data.spider import database_file, find_tables, suite_files
from eval.exact_match import COMPONENTS
from eval.hardness import HARDNESS
from eval.manifest import metric_manifest
from eval.pool import Sandbox
from eval.query import KnownNames
from eval.report import Run, write_report
from eval.sandbox import Limits
from eval.score import GOLD_FAILED, Case, Judge
from eval.summary import METRICS, components, summarize
from pipeline.console import progress, say, table
from pipeline.stage import digest_file, write_json

PARTIAL = {"acc": "Partial matching accuracy", "rec": "Partial matching recall", "f1": "Partial matching F1"}
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

    def case(pair: Pair) -> Case:
        database = database_file(folder, pair.db_id)
        return Case(database, pair.gold, pair.predicted, names.get(database), suite_files(database))

    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file; give a folder")
    with (
        Sandbox(settings.limits, settings.workers) as sandbox,
        progress("scoring", len(paired.pairs), "predictions") as advance,
    ):
        judge = Judge(sandbox, settings.plug_value, settings.timings)
        records = []
        for pair, verdict in zip(paired.pairs, judge.verdicts(map(case, paired.pairs)), strict=True):
            asked = {"id": pair.id, "db_id": pair.db_id, "question": pair.question}
            records.append({**asked, **verdict.record(), "gold": pair.gold, "sql": pair.predicted})
            advance()
    notes = [*paired.notes, *_gold_notes(records)]
    manifest = metric_manifest(
        golds=((pair.db_id, pair.gold) for pair in paired.pairs),
        databases={name: database_file(folder, name) for name in {pair.db_id for pair in paired.pairs}},
        limits=settings.limits,
        foreign_keys=digest_file(tables) if tables else "sqlite",
        plug_value=settings.plug_value,
        timings=settings.timings,
    )
    scores = {**summarize(records), "manifest": manifest, "notes": notes}
    _write(out, predictions.stem, records, scores)
    _show_notes(notes)
    show_table(records, scores)
    if settings.plug_value:
        say("plug_value: a prediction also passed with the gold's values in place of its own")
    say(f"foreign keys for EM: {tables or 'from the SQLite files (give --tables for the official ones)'}")
    say(f"report: {out / 'report.html'}")


def _find_databases(given: Path, pairs: Sequence[Pair]) -> Path:
    """The folder that holds NAME/NAME.sqlite: the one given, or `database` in it."""
    names = sorted({pair.db_id for pair in pairs})
    for folder in (given, given / "database"):
        if any(database_file(folder, name).is_file() for name in names):
            return folder
    raise UserError(
        f"--db {given}: holds none of the {len(names)} databases of the gold file as NAME/NAME.sqlite, "
        f"for instance {names[0]}/{names[0]}.sqlite; give the folder that holds one folder a database"
    )


def _gold_notes(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for item in records:
        if item["category"] == GOLD_FAILED:
            yield f"{item['id']} ({item['db_id']}): its gold query failed ({item['message']}); it is not counted"


def _write(out: Path, name: str, records: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> None:
    """All three files, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in records)
    (out / "predictions.jsonl.partial").write_text(lines, encoding="utf-8")
    write_json(out / "scores.json.partial", scores)
    write_report(
        out / "report.html.partial",
        title=f"{name}: scores",
        runs=[Run(name, records, scores)],
        manifest=scores["manifest"],
        notes=scores["notes"],
    )
    for partial in sorted(out.glob("*.partial")):
        partial.replace(partial.with_suffix(""))


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes[:SHOWN_NOTES]:
        say(f"note: {note}")
    if len(notes) > SHOWN_NOTES:
        say(f"note: {len(notes) - SHOWN_NOTES} more, all in scores.json")


def show_table(records: Sequence[Mapping[str, Any]], scores: Mapping[str, Any]) -> None:
    """The official tool's tables: shares by hardness, from easy to extra, and in all."""
    levels = [level for level in HARDNESS if level != "unknown" or level in scores["by_hardness"]]
    groups = [*(scores["by_hardness"].get(level) for level in levels), scores]
    columns = ["", *levels, "all"]
    rows: list[list[object]] = [["count", *(group["n"] if group else 0 for group in groups)]]
    present = {metric: name for metric, name in METRICS.items() if metric in scores}
    for metric, name in present.items():
        rows.append([name, *(_share(group, metric) for group in groups)])
    table("Scores", columns, rows)
    for metric, name in present.items():
        interval = scores["intervals"][metric]
        low, high = 100 * interval["low"], 100 * interval["high"]
        say(f"  {name}: {scores[metric]} of {scores['n']}, {100 * interval['value']:.1f}% [{low:.1f}, {high:.1f}]")
    if "ves" in scores:
        say(f"  valid efficiency score (VES): {scores['ves']:.1f}")
    counted = [item for item in records if item["category"] != GOLD_FAILED]
    parts = [components(item for item in counted if item["hardness"] == level) for level in levels]
    parts.append(scores["components"])
    for key, title in PARTIAL.items():
        rows = [
            [name, *(f"{part[name][key]:.3f}" if group else "-" for part, group in zip(parts, groups, strict=True))]
            for name in COMPONENTS
        ]
        table(title, columns, rows)


def _share(group: Mapping[str, Any] | None, metric: str) -> str:
    return f"{group[metric] / group['n']:.3f}" if group else "-"
