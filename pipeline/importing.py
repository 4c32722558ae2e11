"""import: your own pairs and databases, or a published data set -> `data/raw/NAME/` in Spider's layout, and `NAME.yaml`.

Writes `train.json`, `select.json`, `dev.json`, the databases with what their columns mean, `dataset.json`, and
a check-up of all of it. Whole or not at all: the folder takes its name when everything is there.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from data.errors import UsageError, UserError
from data.imports.dialects import Dialect
from data.schema import read_sqlite
from data.spider import DATABASE_FOLDERS
from pipeline.base import EMBEDDED
from pipeline.checkup.check import check_up, show
from pipeline.checkup.facts import Checkup, Finding, Item
from pipeline.config import PUBLISHED, Config
from pipeline.console import say, table
from pipeline.import_pairs import LeftOut, by_reason, usable_pairs
from pipeline.import_recipe import write_recipe
from pipeline.import_sources import Laid, Source, lay_out, read_source, write_all_meanings
from pipeline.settings import DataSettings
from pipeline.splits import DEV, SHARES, TEST, Division, split_pairs
from pipeline.stage import MANIFEST, Stage, read_json, run_stage, write_json

NAME = "import"
DIALECTS = ("sqlite", *get_args(Dialect))
RAW = Path("data/raw")
SHOWN_TABLES = 8


@dataclass(frozen=True)
class ImportOptions:
    """What to import. `database` is a path or a server's URL, `base` a model as `model.base` names it."""

    pairs: tuple[str, ...]
    name: str
    database: str | None = None
    layout: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    meanings: Path | None = None
    rows: int = 0
    schema: str | None = None
    dialect: str | None = None
    shares: tuple[int, int, int] = SHARES
    seed: int = 0
    base: str = EMBEDDED
    force: bool = False
    workers: int | None = None


def parse_columns(texts: Sequence[str]) -> dict[str, str]:
    """`question=Frage` as a mapping. Raises UsageError for anything else."""
    columns: dict[str, str] = {}
    for text in texts:
        name, equals, column = text.partition("=")
        if not equals or not name.strip() or not column.strip():
            raise UsageError(f"--map {text}: give FIELD=COLUMN, as in question=Frage")
        columns[name.strip()] = column.strip()
    return columns


def import_data(options: ImportOptions) -> Path:
    """Imports, checks and shows; the recipe to run. An earlier import of this name is replaced.

    Raises UsageError or UserError in one line, naming file and row; then everything is as it was.
    """
    config = _config(options)
    source = read_source(options.pairs, options.layout, options.columns)
    done: list[Checkup] = []
    # Its manifest has to count as that of `download`: the line begins with that stage, and finds it done.
    stage = Stage(
        name=NAME,
        version=1,
        folder=lambda config: config.data.root,
        settings=lambda config: {"data": {"source": config.data.source}},
        inputs=lambda config: {},
        work=lambda config, folder: done.append(_import(source, options, folder)),
        keeps=("processed", "suite"),
    )
    run_stage(stage, config, force=True, resume=False)
    (checkup,) = done
    root = config.data.root
    show(checkup, root)
    if (root / "suite").is_dir():
        say(f"note: {root / 'suite'} was made for the earlier import; run `loraql suite {options.name}` again")
    recipe = Path(f"{options.name}.yaml")
    if recipe.exists() and not options.force:
        say(f"recipe: {recipe} is there and stays as it is; --force writes it anew")
    else:
        first = json.loads((root / "dev.json").read_text(encoding="utf-8"))[0]
        database = root / DATABASE_FOLDERS[DEV] / first["db_id"] / f"{first['db_id']}.sqlite"
        write_recipe(checkup, options.base, database, first["question"], recipe)
        say(f"recipe: {recipe}; train on it with `loraql run {recipe}`")
    return recipe


def _config(options: ImportOptions) -> Config:
    """What names the data set. Raises UsageError for options that cannot be, before anything is read."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", options.name) or options.name.endswith((".partial", ".old")):
        raise UsageError(f"--name {options.name}: give letters, digits, `-`, `_` and `.`, as in my-shop")
    if options.name in PUBLISHED:
        raise UsageError(f"--name {options.name}: is the name of a published data set; give another")
    if options.dialect is not None and options.dialect not in DIALECTS:
        raise UsageError(f"--dialect {options.dialect}: there are {', '.join(DIALECTS)}")
    if options.rows < 0:
        raise UsageError(f"--rows {options.rows}: give 0 or more")
    config = Config(name=options.name, seed=options.seed, data=DataSettings(source=options.name, folder=RAW))
    root = config.data.root
    if root.exists() and not (root.is_dir() and _is_import(root)):
        raise UserError(f"{root}: is there, and no import made it; give another --name, or move it away")
    return config


def _is_import(root: Path) -> bool:
    path = root / MANIFEST
    return path.is_file() and read_json(path).get("stage") == NAME


def _import(source: Source, options: ImportOptions, folder: Path) -> Checkup:
    """Fills the folder; on any error nothing of it stays."""
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        laid = lay_out(source, options.database, options.rows, options.schema, folder)
        notes = [*source.notes, *laid.notes, *write_all_meanings(laid, source, options.meanings)]
        pairs, unusable, doubts = usable_pairs(source, laid, options.dialect, folder)
        missing = {str(pair.db_id) for pair in pairs} - set(laid.files)
        division = split_pairs(pairs, options.shares, options.seed, missing)
        left_out = [*unusable, *division.left_out]
        _write(division, laid, folder)
        _show(division)
        later = sum(pair.turn > 1 for pair in pairs)
        notes += [f"pairs that follow on an earlier turn of a chat, and may not stand alone: {later}"] if later else []
        notes += [*division.notes, *by_reason(left_out, "left out"), *by_reason(doubts, "translated, with a doubt")]
        split_of = {id(pair): split for split, chosen in division.splits.items() for pair in chosen}
        items = [
            Item(pair, split_of[id(pair)], laid.files.get(str(pair.db_id))) for pair in pairs if id(pair) in split_of
        ]
        aside = {"unused": _findings(unusable, "left out"), "doubt": _findings(doubts, "translated")}
        checkup = check_up(options.name, items, options.base, folder, notes, aside, options.workers)
        _check_golds(checkup, items, laid)
        write_json(folder / "dataset.json", _summary(division, checkup, left_out, doubts))
        undo.pop_all()
    return checkup


def _findings(found: LeftOut, split: str) -> list[Finding]:
    return [Finding(Item(pair, split, None), reason) for pair, reason in found]


def _check_golds(checkup: Checkup, items: Sequence[Item], laid: Laid) -> None:
    """Raises UserError where not one query runs: then it is the database that is wrong."""
    fails = checkup.findings["fails"]
    if fails and len(fails) == sum(item.database is not None for item in items):
        first = fails[0].item.pair
        schema = read_sqlite(laid.files[str(first.db_id)])
        tables = [table.name for table in schema.tables]
        raise UserError(
            f"{first.place}: {fails[0].detail}, and no other query runs either; are they about this database? "
            f"{first.db_id} holds {', '.join(tables[:SHOWN_TABLES])}{', ...' if len(tables) > SHOWN_TABLES else ''}"
        )


def _write(division: Division, laid: Laid, folder: Path) -> None:
    for split, chosen in division.splits.items():
        entries: list[dict[str, Any]] = [
            {"question": pair.question, "query": pair.query, "db_id": pair.db_id}
            | ({"synthetic": True} if pair.synthetic else {})
            for pair in chosen
        ]
        write_json(folder / f"{split}.json", entries)
    # Spider's layout has the databases of its test questions in a folder of their own.
    for db_id in sorted({str(pair.db_id) for pair in division.splits.get(TEST, ())} & set(laid.files)):
        target = folder / DATABASE_FOLDERS[TEST] / db_id
        target.mkdir(parents=True)
        for path in laid.files[db_id].parent.iterdir():
            try:
                os.link(path, target / path.name)
            except OSError:  # a file system without links
                shutil.copyfile(path, target / path.name)


def _summary(division: Division, checkup: Checkup, left_out: LeftOut, doubts: LeftOut) -> dict[str, Any]:
    return {
        "questions": dict(checkup.splits),
        "missing_databases": dict(checkup.missing),
        "split": division.by,
        "notes": list(checkup.notes),
        "left_out": _listed(left_out),
        "doubts": _listed(doubts),
    }


def _listed(found: LeftOut) -> list[dict[str, str]]:
    return [
        {"place": pair.place, "reason": reason, "question": pair.question, "query": pair.query}
        for pair, reason in found
    ]


def _show(division: Division) -> None:
    rows: list[list[object]] = [
        [split, len(chosen), len({pair.db_id for pair in chosen}), sum(pair.synthetic for pair in chosen)]
        for split, chosen in division.splits.items()
    ]
    say(f"split {division.by}")
    table("Splits", ["split", "pairs", "databases", "synthetic"], rows)
