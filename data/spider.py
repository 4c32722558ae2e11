"""A data set in Spider's published layout: `train_spider.json`, `train_others.json`, `dev.json`,
`test.json`, `tables.json` and `database/NAME/NAME.sqlite`. The sample data set has the same layout.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from data.schema import Schema, read_sqlite, read_tables_json

GOOGLE_DRIVE_ID = "1403EGqzIDoHMdQF4c9Bkyl7dZLZ5Wt6J"
PAGE = f"https://drive.google.com/file/d/{GOOGLE_DRIVE_ID}/view"
ARCHIVE = f"https://drive.usercontent.google.com/download?id={GOOGLE_DRIVE_ID}&export=download&confirm=t"

# The files that make up a split, in reading order; those that are absent are passed over.
FILES: dict[str, tuple[str, ...]] = {
    "train": ("train_spider.json", "train_others.json", "train.json"),
    "select": ("select.json",),  # only imported data sets have one
    "dev": ("dev.json",),
    "test": ("test.json",),
}
PUBLISHED_COUNTS = {"train_spider.json": 7000, "train_others.json": 1659, "dev.json": 1034, "test.json": 2147}
DATABASE_FOLDERS = {"train": "database", "select": "database", "dev": "database", "test": "test_database"}


@dataclass(frozen=True)
class Question:
    """One entry as published; `id` is the split and the place in it, from 0."""

    id: str
    split: str
    question: str
    query: str
    db_id: str
    synthetic: bool = False


def find_root(folder: Path) -> Path:
    """The folder that holds `dev.json` and `database/`, whatever name it goes by."""
    holders = sorted(
        {path.parent for path in folder.rglob("dev.json") if (path.parent / "database").is_dir()},
        key=lambda path: len(path.parts),
    )
    if not holders:
        raise UserError(f"{folder}: no folder in it holds dev.json and database/, as Spider's published layout does")
    return holders[0]


def read_split(root: Path, split: str) -> list[Question]:
    """The questions of one split; none if it has no file. Raises UserError naming file and entry."""
    questions: list[Question] = []
    for name in FILES[split]:
        path = root / name
        for place, entry in enumerate(_load(path) if path.is_file() else []):
            fields = [entry.get(key) if isinstance(entry, dict) else None for key in ("question", "query", "db_id")]
            texts = [field.strip() for field in fields if isinstance(field, str) and field.strip()]
            if len(texts) < len(fields):
                raise UserError(f"{path}: entry {place} lacks a question, query or db_id")
            synthetic = isinstance(entry, dict) and entry.get("synthetic") is True
            questions.append(Question(f"{split}-{len(questions)}", split, texts[0], texts[1], texts[2], synthetic))
    return questions


def _load(path: Path) -> list[object]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(entries, list):
        raise UserError(f"{path}: holds a {type(entries).__name__}, not a list of questions")
    return entries


def database_path(root: Path, split: str, db_id: str) -> Path:
    """Where the SQLite file of a database belongs. Raises UserError for a name that is a path."""
    return database_file(root / DATABASE_FOLDERS[split], db_id)


def database_file(folder: Path, db_id: str) -> Path:
    """The SQLite file of a database in a folder of databases. Raises UserError for a name that is a path."""
    if not db_id or "/" in db_id or "\\" in db_id or "\x00" in db_id or db_id.startswith("."):
        raise UserError(f"{folder}: the database name {db_id!r} is not a plain name")
    return folder / db_id / f"{db_id}.sqlite"


def find_tables(folder: Path) -> Path | None:
    """`tables.json` in the folder or beside it, if there is one."""
    return next((path for path in (folder / "tables.json", folder.parent / "tables.json") if path.is_file()), None)


def suite_files(database: Path) -> tuple[Path, ...]:
    """The other SQLite files beside a database: its test suite, in the order of their names."""
    return tuple(sorted(path for path in database.parent.glob("*.sqlite") if path != database))


class Schemas:
    """The schemas of a data set, each read once; from `tables.json` where the SQLite file is missing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[tuple[str, str], Schema] = {}
        self._described: dict[str, Schema] | None = None

    def get(self, split: str, db_id: str) -> Schema:
        if (split, db_id) not in self._read:
            path = database_path(self._root, split, db_id)
            self._read[split, db_id] = read_sqlite(path) if path.is_file() else self._fallback(db_id)
        return self._read[split, db_id]

    def _fallback(self, db_id: str) -> Schema:
        if self._described is None:
            path = self._root / "tables.json"
            self._described = read_tables_json(path) if path.is_file() else {}
        if db_id not in self._described:
            raise UserError(
                f"{self._root}: the database {db_id} has neither an SQLite file nor an entry in tables.json"
            )
        return self._described[db_id]
