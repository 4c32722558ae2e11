"""compare: two scored runs side by side -> a table, and with `--out` `compare.json` and `report.html`.

Reads what `score` or `evaluate` wrote: a folder of scores, a run, or a `predictions.jsonl`. Refuses figures
that are about different golds or databases, and warns where settings differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from eval.comparison import common, compare, judgement
from eval.manifest import MUST_AGREE, differences
from eval.report import Run, write_report
from eval.summary import METRICS, summarize
from pipeline.console import say, table
from pipeline.stage import read_json, read_jsonl, write_json

SHOWN_CHANGES = 10


@dataclass(frozen=True)
class _Scored:
    """One side: a name for people, its records, and what they were made with (None: not known)."""

    name: str
    records: Sequence[Mapping[str, Any]]
    manifest: Mapping[str, Any] | None


def compare_runs(first: str, second: str, runs: Path, out: Path | None) -> None:
    """Prints the comparison; the second is measured against the first."""
    sides = [_find(given, runs) for given in (first, second)]
    if sides[0].name == sides[1].name:
        sides = [
            _Scored(given, side.records, side.manifest) for given, side in zip((first, second), sides, strict=True)
        ]
    old, new = sides
    notes = _check(old, new)
    pairs = common(old.records, new.records)
    if not pairs:
        raise UserError(
            f"{first} and {second} have no question in common: their ids differ; score both on one gold file"
        )
    left_out = max(len(old.records), len(new.records)) - len(pairs)
    if left_out:
        notes.append(f"{left_out} questions are left out: asked of one side only, or their gold failed")
    for note in notes:
        say(f"note: {note}")
    figures = compare(pairs)
    _show(old, new, pairs, figures)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        scored = [
            Run(side.name, records, summarize(records))
            for side, records in zip(sides, zip(*pairs, strict=True), strict=True)
        ]
        write_json(out / "compare.json", {"first": first, "second": second, "notes": notes, "metrics": figures})
        write_report(
            out / "report.html", title=f"{new.name} against {old.name}", runs=scored, comparison=figures, notes=notes
        )
        say(f"report: {out / 'report.html'}")
    else:
        say("every question side by side: add --out DIR for a page")


def _find(given: str, runs: Path) -> _Scored:
    """What a name or path on the command line stands for."""
    path = Path(given)
    if not path.exists() and (runs / given).is_dir():
        path = runs / given
    if (path / "evaluate").is_dir():
        path = path / "evaluate"
    if (path / "selection.json").is_file():
        path = path / read_json(path / "selection.json")["chosen"]
    if path.is_file():
        if path.suffix != ".jsonl":
            raise UserError(
                f"{path}: is not scored yet; run `loraql score --gold GOLD --pred {path} --db DIR --out OUT` first"
            )
        return _load(given, path)
    if not (path / "predictions.jsonl").is_file():
        raise UserError(
            f"{given}: neither a folder with scores, nor a run under {runs}, nor a predictions.jsonl; "
            "`loraql score` and `loraql evaluate` write them"
        )
    return _load(given, path / "predictions.jsonl")


def _load(given: str, path: Path) -> _Scored:
    records = read_jsonl(path)
    if any("split" in item for item in records):  # evaluate asks two splits; dev is the one that is reported
        records = [item for item in records if item["split"] == "dev"]
    for place, item in enumerate(records, start=1):
        missing = next((key for key in ("id", "ex", "category", "hardness", "components") if key not in item), None)
        if missing:
            raise UserError(
                f"{path}: line {place} lacks {missing!r}; it is not scored yet, run `loraql score` on it first"
            )
    scores = path.with_name("scores.json")
    manifest = _manifest(read_json(scores)) if scores.is_file() else None
    name = path.parent.name if path.name == "predictions.jsonl" else path.stem
    return _Scored(name or given, records, manifest)


def _manifest(scores: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Of a folder that `score` wrote, or of dev in one that `evaluate` wrote."""
    manifest: Mapping[str, Any] | None = scores.get("manifest") or scores.get("splits", {}).get("dev", {}).get(
        "manifest"
    )
    return manifest


def _check(old: _Scored, new: _Scored) -> list[str]:
    """Notes on what makes the comparison doubtful. Raises UserError where it would mean nothing."""
    if old.manifest is None or new.manifest is None:
        unknown = old if old.manifest is None else new
        return [f"{unknown.name} has no scores.json beside it: whether both were scored alike is not known"]
    refused, doubtful = differences(old.manifest, new.manifest)
    if refused:
        raise UserError(
            f"{old.name} and {new.name} cannot be compared: {' and '.join(refused)} differ; score both with the same "
            f"{'settings' if refused == [MUST_AGREE['plug_value']] else 'gold file and databases'}"
        )
    return [f"{name} differ" if name.endswith("s") else f"{name} differs" for name in doubtful]


def _show(
    old: _Scored,
    new: _Scored,
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    figures: Mapping[str, Mapping[str, Any]],
) -> None:
    rows = [
        [
            METRICS[metric],
            f"{100 * (one['both'] + one['lost']) / len(pairs):.1f}",
            f"{100 * (one['both'] + one['won']) / len(pairs):.1f}",
            f"{100 * one['value']:+.1f} [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]",
            one["won"],
            one["lost"],
            f"{one['mcnemar_p']:.4f}",
            judgement(one),
        ]
        for metric, one in figures.items()
    ]
    columns = ["%", old.name, new.name, "difference [95%]", "won", "lost", "McNemar p", ""]
    table(f"{new.name} against {old.name}, {len(pairs)} questions", columns, rows)
    for label, wanted in (("won", (0, 1)), ("lost", (1, 0))):
        changed = [(was, now) for was, now in pairs if (was["ex"], now["ex"]) == wanted]
        if changed:
            shown = [[now["id"], now["db_id"], was["sql"], now["sql"]] for was, now in changed[:SHOWN_CHANGES]]
            table(f"{label}: {len(changed)}", ["question", "database", old.name, new.name], shown)
