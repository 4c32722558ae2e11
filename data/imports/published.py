"""Data sets in a published layout, by name: Spider, BIRD, KaggleDBQA, and the JSON of text2sql-data (GeoQuery).

Finds the question files and databases wherever an archive put them, and reads the questions through
`data/imports/pairs.py`. Databases that are absent are named, not fatal; no code of a data set is executed.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from data import spider
from data.errors import UserError
from data.imports.folders import Part, find_inside
from data.imports.pairs import Pair, pairs_of
from data.imports.rows import SQLITE_SUFFIXES, Row, kind, read_bytes, read_rows

BIRD_FILES = {"train": ("train.json",), "dev": ("dev.json", "mini_dev_sqlite.json")}  # mini-dev is a part of dev
BIRD_DESCRIPTIONS = "database_description"
KAGGLE_SPLITS = {"_fewshot": "train", "_test": "dev"}
SPLIT_KEY = "query-split"  # by which no query is in two splits; the other key parts the questions alone
EXCLUDED = "exclude"

LOOKED_AT = 2**20  # bytes that tell whose a file is

Find = Callable[[str], Path | None]
Files = Mapping[Path, str | None]  # question files with their splits; None where a file has several, or none


@dataclass(frozen=True)
class Published:
    """A data set as read.

    `databases` and `descriptions` (BIRD's `database_description` folders) are those of databases that pairs
    name and that have an SQLite file. `notes` are for the user, a sentence each.
    """

    pairs: list[Pair]
    databases: dict[str, Path]
    descriptions: dict[str, Path]
    notes: list[str]


@dataclass(frozen=True)
class Layout:
    """`wants` says what a folder must hold, and `files` are the question files of one that holds it.

    `read` takes the folder and these files; it gives the pairs, what finds the file of a database by its
    name, and the notes.
    """

    wants: str
    files: Callable[[Path], Files]
    read: Callable[[Path, Files], tuple[list[Pair], Find, list[str]]]

    def fits(self, folder: Path) -> bool:
        return bool(self.files(folder))


def read_published(folder: Path, layout: str | None = None) -> Published:
    """The data set in a folder, or in one file of text2sql-data; its layout is detected where none is named.

    Raises UserError naming file and row, or what each layout wants where none fits.
    """
    if not folder.exists():
        raise UserError(f"{folder}: no such folder")
    if layout is not None and layout not in LAYOUTS:
        raise UserError(f"no layout is named {layout!r}; there are {', '.join(LAYOUTS)}")
    chosen, files = _fitting(folder, [layout] if layout else list(LAYOUTS))
    pairs, find, notes = chosen.read(folder, files)
    if not pairs:
        raise UserError(f"{folder}: holds no pairs")
    found = {db_id: find(db_id) for db_id in sorted({pair.db_id for pair in pairs if pair.db_id})}
    databases = {db_id: path for db_id, path in found.items() if path}
    described = {db_id: path.parent / BIRD_DESCRIPTIONS for db_id, path in databases.items()}
    return Published(pairs, databases, {db_id: path for db_id, path in described.items() if path.is_dir()}, notes)


def _fitting(folder: Path, names: Sequence[str]) -> tuple[Layout, Files]:
    """The one of these layouts that the folder is in, with its question files."""
    fitting = {name: files for name in names if (files := LAYOUTS[name].files(folder))}
    if not fitting:
        wanted = "; nor ".join(f"{name}, which wants {LAYOUTS[name].wants}" for name in names)
        raise UserError(f"{folder}: not in the layout {wanted}")
    if len(fitting) > 1:
        raise UserError(f"{folder}: fits the layouts {' and '.join(fitting)}; name one, or the folder of one data set")
    ((name, files),) = fitting.items()
    return LAYOUTS[name], files


def _holds(path: Path, *patterns: bytes) -> bool:
    """Whether the first entries of a JSON file have what the patterns say."""
    is_json = path.suffix == ".json" and path.is_file()
    content = read_bytes(path, LOOKED_AT) if is_json else b""
    return all(re.search(pattern, content) for pattern in patterns)


def _file_pairs(folder: Path, path: Path, split: str | None) -> list[Pair]:
    rows = read_rows(path)
    pairs = pairs_of(Part(path, str(path.relative_to(folder)), split, rows), {})
    for row, pair in zip(rows, pairs, strict=True):
        if pair.db_id is None:
            raise row.error("has no db_id")
    return pairs


def _all_pairs(folder: Path, files: Files) -> list[Pair]:
    return [pair for path, split in files.items() for pair in _file_pairs(folder, path, split)]


def _in_folders(folders: list[Path], db_id: str) -> Path | None:
    files = (spider.database_file(folder, db_id) for folder in folders)
    return next((path for path in files if path.is_file()), None)


def _spider_files(folder: Path) -> Files:
    try:
        root = spider.find_root(folder)
    except UserError:
        return {}
    files = {root / name: split for split, names in spider.FILES.items() for name in names}
    return {path: split for path, split in files.items() if path.is_file()}


def _read_spider(_: Path, files: Files) -> tuple[list[Pair], Find, list[str]]:
    root = next(iter(files)).parent
    folders = [root / name for name in dict.fromkeys(spider.DATABASE_FOLDERS.values())]
    return _all_pairs(root, files), partial(_in_folders, folders), []


def _bird_files(folder: Path) -> Files:
    """The question file of each split. Raises UserError where there are two of one name."""
    files: dict[str, Path] = {}
    for split, names in BIRD_FILES.items():
        for name in names:
            found = [path for path in find_inside(folder, name) if _holds(path, rb'"SQL"\s*:', rb'"db_id"\s*:')]
            if len(found) > 1:
                listed = ", ".join(str(path.relative_to(folder)) for path in found)
                raise UserError(f"{folder}: holds {name} more than once ({listed}); name the folder of one data set")
            if found:
                files.setdefault(split, found[0])
    return {path: split for split, path in files.items()}


def _read_bird(folder: Path, files: Files) -> tuple[list[Pair], Find, list[str]]:
    """BIRD's archives hold archives: databases lie in `train_databases`, `dev_databases`, or one below of that name."""
    folders = [path for path in find_inside(folder, "*_databases") if path.is_dir()]
    packed = [path for path in find_inside(folder, "*_databases.zip") if not path.with_suffix("").is_dir()]
    return _all_pairs(folder, files), partial(_in_folders, folders), [f"{path} is not unpacked" for path in packed]


def _kaggle_files(folder: Path) -> Files:
    """Few-shot questions are read as train, test ones as dev. `NAME.json` is left out where it is there in parts."""
    roots = [path.parent for path in find_inside(folder, "examples") if path.is_dir()]
    marks = ("KaggleDBQA_tables.json", "databases")
    known = [root for root in roots if any((root / mark).exists() for mark in marks)]
    files = [path for root in known for path in sorted((root / "examples").glob("[!.]*.json"))]
    return {
        path: next((split for ending, split in KAGGLE_SPLITS.items() if path.stem.endswith(ending)), None)
        for path in files
        if not all(path.with_name(f"{path.stem}{ending}.json") in files for ending in KAGGLE_SPLITS)
    }


def _read_kaggle(folder: Path, files: Files) -> tuple[list[Pair], Find, list[str]]:
    folders = list(dict.fromkeys(path.parent.parent / "databases" for path in files))
    note = "the *_fewshot.json questions are train, the *_test.json ones are dev"
    return _all_pairs(folder, files), partial(_in_folders, folders), [note]


def _text2sql_files(path: Path) -> Files:
    files = [path] if path.is_file() else find_inside(path, "*.json")
    return {file: None for file in files if _holds(file, rb'"sentences"\s*:', rb'"query-split"\s*:')}


def _read_text2sql(folder: Path, files: Files) -> tuple[list[Pair], Find, list[str]]:
    """One pair a sentence, with the first of its queries. A fold's number is no split; what is excluded is left out."""
    pairs: list[Pair] = []
    excluded = folds = 0
    for path in files:
        for entry in read_rows(path):
            for place, cells in enumerate(_sentences(entry), start=1):
                if cells["split"] == EXCLUDED:
                    excluded += 1
                    continue
                is_fold = str(cells["split"]).isdigit()
                folds += is_fold
                row = replace(entry, cells=cells | ({"split": None} if is_fold else {}))
                (pair,) = pairs_of(Part(path, path.name, None, [row]), {name: name for name in cells})
                pairs.append(replace(pair, place=f"{pair.place}, sentence {place}"))
    notes = [f"{excluded} questions that the data set excludes are left out"] if excluded else []
    notes += [f"{folds} questions have a fold of a cross-validation for a split; they are read without one"] * (
        folds > 0
    )
    return pairs, partial(_beside, folder), notes


def _sentences(entry: Row) -> Iterator[dict[str, object]]:
    """The sentences of one entry as cells of pairs, with the values of their variables filled in."""
    queries = _of(entry, entry.cells, "sql", list)
    if not queries or not isinstance(queries[0], str):
        raise entry.error("has no sql")
    examples = {
        _of(entry, variable, "name", str): variable.get("example")
        for variable in _objects(entry, entry.cells.get("variables") or [], "variables")
    }
    for sentence in _objects(entry, entry.cells.get("sentences"), "sentences"):
        given = _of(entry, {"variables": {}} | sentence, "variables", dict)
        # An empty value means the variable's example, which those that only the query has always do.
        values = examples | {name: value for name, value in given.items() if value != ""}
        odd = next((name for name, value in values.items() if not isinstance(value, str | int | float)), None)
        if odd is not None:
            raise entry.error(f"its variable {odd!r} is {kind(values[odd])}, not text")
        texts = {name: str(value) for name, value in values.items() if name}
        yield {
            "question": _fill(_of(entry, sentence, "text", str), texts),
            "query": _fill(queries[0], texts),
            "db_id": sentence.get("database", entry.path.stem),
            "split": sentence.get(SPLIT_KEY, entry.cells.get(SPLIT_KEY)),
        }


def _of(entry: Row, cells: Mapping[str, Any], key: str, wanted: type) -> Any:
    if not isinstance(cells.get(key), wanted):
        raise entry.error(f"its {key} is {kind(cells[key])}" if key in cells else f"has no {key}")
    return cells[key]


def _objects(entry: Row, values: object, key: str) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise entry.error(f"its {key} are no list of objects")
    return values


def _fill(text: str, values: Mapping[str, str]) -> str:
    """In one pass, so that a value which looks like another variable stays; `name1` is not taken out of `name10`."""
    if not values:
        return text
    names = "|".join(re.escape(name) for name in sorted(values, key=len, reverse=True))
    return re.sub(rf"(?<!\w)(?:{names})(?!\d)", lambda found: values[found.group()], text)


def _beside(folder: Path, db_id: str) -> Path | None:
    """`NAME.sqlite`, or `NAME-db.added-in-2020.sqlite` as published, in the folder; beside the file if it is one."""
    files = sorted(folder.parent.iterdir()) if folder.is_file() else find_inside(folder, "*")
    named = [path for path in files if path.suffix in SQLITE_SUFFIXES and path.is_file()]
    exact = [path for path in named if path.stem == db_id]
    return next(iter(exact + [path for path in named if path.stem.startswith(f"{db_id}-db")]), None)


LAYOUTS: dict[str, Layout] = {
    "spider": Layout(
        "dev.json beside database/NAME/NAME.sqlite, and train_spider.json, train_others.json",
        _spider_files,
        _read_spider,
    ),
    "bird": Layout(
        "train.json or dev.json with question, SQL and db_id, and train_databases/ or dev_databases/NAME/NAME.sqlite",
        _bird_files,
        _read_bird,
    ),
    "kaggledbqa": Layout(
        "examples/*.json beside databases/NAME/NAME.sqlite or KaggleDBQA_tables.json",
        _kaggle_files,
        _read_kaggle,
    ),
    "geoquery": Layout(
        "JSON files of entries with sql, sentences and query-split, as text2sql-data has them",
        _text2sql_files,
        _read_text2sql,
    ),
}
