"""import: your own pairs and databases, or a published data set -> `data/raw/NAME/` in Spider's layout, and `NAME.yaml`.

Writes `train.json`, `select.json`, `dev.json`, the databases with what their columns mean, `dataset.json`, and
a check-up of all of it. Whole or not at all: the folder takes its name when everything is there.
"""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import sqlglot

from data.errors import UsageError, UserError
from data.imports.dialects import Dialect, transpile_query
from data.imports.pairs import Pair
from data.spider import DATABASE_FOLDERS
from pipeline.base import EMBEDDED
from pipeline.checkup.check import check_up, show
from pipeline.checkup.facts import Checkup, Item
from pipeline.config import PUBLISHED, Config, DataSettings
from pipeline.console import say, table
from pipeline.import_recipe import write_recipe
from pipeline.import_sources import Laid, Source, copy_tables, lay_out, read_source, write_all_meanings
from pipeline.splits import DEV, SHARES, TEST, Division, split_pairs
from pipeline.stage import MANIFEST, Stage, read_json, run_stage, write_json

NAME = "import"
DIALECTS = ("sqlite", *get_args(Dialect))
RAW = Path("data/raw")
SHOWN = 5
QUERIES = ("SELECT", "WITH", "VALUES")

LeftOut = list[tuple[Pair, str]]  # with the reason


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
        laid = lay_out(source, options.database, options.rows, folder)
        notes = [*source.notes, *laid.notes, *write_all_meanings(laid, source, options.meanings)]
        pairs, without_database = _about_databases(source, laid, folder)
        pairs, no_query = _queries_alone(pairs)
        pairs, untranslated = _in_sqlite(pairs, options.dialect, laid)
        missing = {str(pair.db_id) for pair in pairs} - set(laid.files)
        division = split_pairs(pairs, options.shares, options.seed, missing)
        left_out = [*without_database, *no_query, *untranslated, *division.left_out]
        _write(division, laid, folder)
        _show(division)
        notes += [*division.notes, *_told(left_out)]
        split_of = {id(pair): split for split, chosen in division.splits.items() for pair in chosen}
        items = [
            Item(pair, split_of[id(pair)], laid.files.get(str(pair.db_id))) for pair in pairs if id(pair) in split_of
        ]
        checkup = check_up(options.name, items, options.base, folder, notes, options.workers)
        write_json(folder / "dataset.json", _summary(division, checkup, left_out))
        undo.pop_all()
    return checkup


def _about_databases(source: Source, laid: Laid, folder: Path) -> tuple[list[Pair], LeftOut]:
    """The pairs with their databases. Where a file is missing, those stay whose schema is known otherwise."""
    names = list(laid.files)
    pairs: list[Pair] = []
    for pair in source.pairs:
        if pair.db_id is None and len(names) > 1:
            raise UserError(
                f"{pair.place}: names no database, and there are {len(names)} ({', '.join(names[:SHOWN])}"
                f"{', ...' if len(names) > SHOWN else ''}); add a column db_id"
            )
        pairs.append(pair if pair.db_id else replace(pair, db_id=names[0]))
    asked = {str(pair.db_id) for pair in pairs}
    if not asked & set(names):
        raise UserError(
            f"{pairs[0].place}: is about the database {pairs[0].db_id}, and no pair is about one that is there "
            f"({', '.join(names[:SHOWN])}); name the files as the pairs name their databases"
        )
    known = copy_tables(source, asked, folder) | set(names)
    left_out = [(pair, f"no database {pair.db_id}") for pair in pairs if pair.db_id not in known]
    return [pair for pair in pairs if pair.db_id in known], left_out


def _queries_alone(pairs: list[Pair]) -> tuple[list[Pair], LeftOut]:
    """The pairs whose SQL is one query: anything else would run in part, or be learnt by the model as it stands."""
    reasons = [_no_query(pair.query) for pair in pairs]
    left_out = [(pair, reason) for pair, reason in zip(pairs, reasons, strict=True) if reason]
    if len(left_out) == len(pairs):
        raise UserError(f"{pairs[0].place}: its SQL {left_out[0][1]}, and no pair is left")
    return [pair for pair, reason in zip(pairs, reasons, strict=True) if not reason], left_out


def _no_query(sql: str) -> str | None:
    """Why a text is not one query; None if it is, or cannot be told."""
    try:
        tokens = sqlglot.tokenize(sql, read="sqlite")
    except sqlglot.errors.TokenError:
        return None
    statements = [
        list(part)
        for end, part in groupby(tokens, lambda token: token.token_type == sqlglot.TokenType.SEMICOLON)
        if not end
    ]
    if len(statements) > 1:
        return "is more than one statement"
    words = [token.text.upper() for part in statements for token in part if token.text != "("]
    return "is not a query (SELECT, WITH or VALUES)" if words[:1] and words[0] not in QUERIES else None


def _in_sqlite(pairs: list[Pair], dialect: str | None, laid: Laid) -> tuple[list[Pair], LeftOut]:
    """The pairs in SQLite's words; what cannot be said in them is left out."""
    chosen = next((known for known in get_args(Dialect) if known == (dialect or laid.dialect)), None)
    if chosen is None:
        return pairs, []
    kept, left_out = list[Pair](), LeftOut()
    for pair in pairs:
        made = transpile_query(pair.query, chosen, laid.schema)
        if made.query:
            kept.append(replace(pair, query=made.query))
        else:
            left_out.append((pair, f"not said in SQLite: {made.reason}"))
    if not kept:
        pair, reason = left_out[-1]
        raise UserError(f"{pair.place}: {reason}; no pair is left (is --dialect {chosen} what they are written in?)")
    return kept, left_out


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


def _summary(division: Division, checkup: Checkup, left_out: LeftOut) -> dict[str, Any]:
    return {
        "questions": dict(checkup.splits),
        "missing_databases": dict(checkup.missing),
        "split": division.by,
        "notes": list(checkup.notes),
        "left_out": [
            {"place": pair.place, "reason": reason, "question": pair.question, "query": pair.query}
            for pair, reason in left_out
        ],
    }


def _told(left_out: LeftOut) -> list[str]:
    """Pairs that are left out, by reason."""
    places: dict[str, list[str]] = {}
    for pair, reason in left_out:
        places.setdefault(reason, []).append(pair.place)
    most = Counter({reason: len(found) for reason, found in places.items()}).most_common()
    told = [
        f"{count} left out ({'; '.join(places[reason][:3])}{'; ...' if count > 3 else ''}): {reason}"
        for reason, count in most[:SHOWN]
    ]
    more = sum(count for _, count in most[SHOWN:])
    return [
        *told,
        *([f"{more} left out for {len(most) - SHOWN} other reasons: dataset.json lists them"] if more else []),
    ]


def _show(division: Division) -> None:
    rows: list[list[object]] = [
        [split, len(chosen), len({pair.db_id for pair in chosen}), sum(pair.synthetic for pair in chosen)]
        for split, chosen in division.splits.items()
    ]
    say(f"split {division.by}")
    table("Splits", ["split", "pairs", "databases", "synthetic"], rows)
