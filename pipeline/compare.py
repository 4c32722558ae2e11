"""compare: two scored runs side by side -> a table, and with `--out` `compare.json` and `report.html`.

Reads what `score` or `evaluate` wrote: a folder of scores, a run, or a `predictions.jsonl`. Refuses figures
that are about different golds or databases, and warns where settings of scoring differ; of two runs it shows in which settings
they differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from data.errors import UsageError, UserError
from eval.comparison import common, compare, judgement
from eval.manifest import differences
from eval.report import Run, write_report
from eval.summary import METRICS, summarize, why_no_record
from pipeline.console import say, table
from pipeline.stage import flatten, read_json, read_jsonl, write_json

DEV = "dev"
SHOWN_CHANGES = 5


@dataclass(frozen=True)
class _Scored:
    """One side: a name for people, its records by split, and what those were made with (None: not known).

    `settings` are those of its run by key, none where it is not of a run.
    """

    name: str
    records: Mapping[str, Sequence[Mapping[str, Any]]]
    manifests: Mapping[str, Mapping[str, Any] | None]
    settings: Mapping[str, Any]


def compare_runs(first: str, second: str, runs: Path, out: Path | None) -> None:
    """Prints the comparison; the second is measured against the first."""
    if out and out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: is a file; give a folder")
    sides = [_find(given, runs) for given in (first, second)]
    if sides[0].name == sides[1].name:
        sides = [replace(side, name=given) for given, side in zip((first, second), sides, strict=True)]
    old, new = sides
    split = _common_split(old, new)
    notes = _check(old, new, split)
    records = [side.records[split] for side in sides]
    pairs = common(*records)
    if not pairs:
        raise UserError(
            f"{first} and {second} have no question in common: their ids differ; score both on one gold file"
        )
    left_out = max(map(len, records)) - len(pairs)
    if left_out:
        notes.append(f"{left_out} questions are left out: asked of one side only, or their gold failed")
    for note in notes:
        say(f"note: {note}")
    figures = compare(pairs)
    _show(old, new, pairs, figures)
    differing = _differing(old.settings, new.settings)
    if differing:
        table("Settings that differ", ["setting", old.name, new.name], differing)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        asked = [list(answers) for answers in zip(*pairs, strict=True)]
        scored = [Run(side.name, own, summarize(own)) for side, own in zip(sides, asked, strict=True)]
        write_json(
            out / "compare.json",
            {"first": first, "second": second, "notes": notes, "metrics": figures, "settings": differing},
        )
        title = f"{new.name} against {old.name}"
        write_report(out / "report.html", title=title, runs=scored, comparison=figures, notes=notes)
        say(f"report: {out / 'report.html'}")
    else:
        say("every question side by side: add --out DIR for a page")


def _find(given: str, runs: Path) -> _Scored:
    """What a name or path on the command line stands for."""
    path, name = Path(given), None
    if not path.exists() and (runs / given).is_dir():
        path = runs / given
    if (path / "evaluate").is_dir():
        path = path / "evaluate"
    if (path / "selection.json").is_file():
        selection = read_json(path / "selection.json")
        if not isinstance(selection, dict) or not isinstance(selection.get("chosen"), str):
            raise UserError(f"{path / 'selection.json'}: names no chosen checkpoint; run `loraql evaluate` again")
        name = (path.parent if path.name == "evaluate" else path).resolve().name
        path = path / selection["chosen"]
    if path.is_file() and path.suffix != ".jsonl":
        if path.name == "scores.json":
            raise UserError(f"{path}: give the folder that it is in, {path.parent}")
        raise UserError(
            f"{path}: is not scored yet; run `loraql score --gold GOLD --pred {path} --db DIR --out OUT` first"
        )
    if path.is_file():
        return _load(given, path)
    if not (path / "predictions.jsonl").is_file():
        raise UserError(
            f"{given}: neither a folder with scores, nor a run under {runs}, nor a predictions.jsonl; "
            "`loraql score` and `loraql evaluate` write them"
        )
    return _load(given, path / "predictions.jsonl", name)


def _load(given: str, path: Path, name: str | None = None) -> _Scored:
    """One side; `name` is the run's, where it is the chosen checkpoint of one."""
    records: dict[str, list[Mapping[str, Any]]] = {}
    seen: set[tuple[str, str]] = set()
    for place, item in enumerate(read_jsonl(path), start=1):
        problem = why_no_record(item)
        if problem:
            raise UserError(f"{path}: line {place} {problem}; is it scored? `loraql score` writes such lines")
        split = item.get("split", DEV)
        if (split, item["id"]) in seen:
            raise UserError(f"{path}: line {place}: the id {item['id'][:60]} occurs twice")
        seen.add((split, item["id"]))
        records.setdefault(split, []).append(item)
    if not records:
        raise UserError(f"{path}: is empty")
    name = name or (path.parent.name if path.name == "predictions.jsonl" else path.stem)
    manifests = _manifests(path.with_name("scores.json"), list(records))
    return _Scored(name or given, records, manifests, _settings(path.absolute()))


def _settings(predictions: Path) -> dict[str, Any]:
    """The settings of the run that RUN/evaluate/MODEL/predictions.jsonl is of, by key."""
    if len(predictions.parents) < 3 or predictions.parents[1].name != "evaluate":
        return {}
    path = predictions.parents[2] / "config.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (yaml.YAMLError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path}: damaged; any stage that runs again writes it anew, as `loraql export --force` does")
    return dict(flatten(values))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[list[str]]:
    """Rows of settings that two runs do not share: key, then one value each. None where either is not of a run."""
    keys = [key for key in dict.fromkeys([*old, *new]) if key not in ("name", "runs")] if old and new else []
    return [[key, _shown(old, key), _shown(new, key)] for key in keys if old.get(key, ...) != new.get(key, ...)]


def _shown(settings: Mapping[str, Any], key: str) -> str:
    if key not in settings:
        return "(not there yet)"  # of a run that an earlier version made
    value = settings[key]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _manifests(path: Path, splits: Sequence[str]) -> dict[str, Mapping[str, Any] | None]:
    """By split: of a folder that `score` wrote, or that `evaluate` wrote."""
    scores = read_json(path) if path.is_file() else {}
    known = scores if isinstance(scores, dict) else {}
    by_split = known.get("splits")
    found: dict[str, Mapping[str, Any] | None] = {}
    for split in splits:
        part = by_split.get(split) if isinstance(by_split, dict) else known
        manifest = part.get("manifest") if isinstance(part, dict) else None
        found[split] = manifest if isinstance(manifest, dict) else None
    return found


def _common_split(old: _Scored, new: _Scored) -> str:
    """dev, the one that is reported, else the first that both were asked."""
    both = [split for split in old.records if split in new.records]
    if not both:
        raise UserError(
            f"{old.name} was asked {', '.join(old.records)} and {new.name} {', '.join(new.records)}: no split in common"
        )
    return DEV if DEV in both else both[0]


def _check(old: _Scored, new: _Scored, split: str) -> list[str]:
    """Notes on what makes the comparison doubtful. Raises UserError where it would mean nothing."""
    manifests = [side.manifests[split] for side in (old, new)]
    if manifests[0] is None or manifests[1] is None:
        unknown = old if manifests[0] is None else new
        return [
            f"{unknown.name} has no manifest in a scores.json beside it: whether both were scored alike is not known"
        ]
    refused, doubtful = differences(manifests[0], manifests[1])
    if refused:
        counts = " and ".join(f"{len(side.records[split])} questions" for side in (old, new))
        raise UserError(
            f"{old.name} and {new.name} ({counts}) cannot be compared: {', '.join(refused)}; score both on the same gold "
            "file and databases, with the same settings"
        )
    return doubtful


def _show(
    old: _Scored,
    new: _Scored,
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    figures: Mapping[str, Mapping[str, Any]],
) -> None:
    for label, wanted in (("won", (0, 1)), ("lost", (1, 0))):
        changed = [(was, now) for was, now in pairs if (was["ex"], now["ex"]) == wanted]
        shown = [[now["id"], now["db_id"], was["sql"], now["sql"]] for was, now in changed[:SHOWN_CHANGES]]
        if changed:
            count = f"{len(changed)}, the first {len(shown)}" if len(changed) > len(shown) else str(len(changed))
            table(f"{label}: {count}", ["question", "database", old.name, new.name], shown)
    rows = [
        [
            METRICS[metric],
            f"{100 * (one['both'] + one['lost']) / len(pairs):.1f}",
            f"{100 * (one['both'] + one['won']) / len(pairs):.1f}",
            f"{100 * one['value']:+.1f} [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]",
            one["won"],
            one["lost"],
            f"{one['mcnemar_p']:.4f}" if one["mcnemar_p"] >= 0.0001 else "<0.0001",
            judgement(one),
        ]
        for metric, one in figures.items()
    ]
    columns = ["%", old.name, new.name, "difference [95%]", "won", "lost", "McNemar p", ""]
    table(f"{new.name} against {old.name}, {len(pairs)} questions", columns, rows)
