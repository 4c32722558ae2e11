"""A source of rows as parts: a file is one; a folder of data files, or one that `datasets` saved, has several.

Reads through `data/imports/rows.py` and says which split each part is, where its name tells. No code that a data
set may bring is executed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from data.imports.rows import Row, arrow_rows, one_line, read_rows

DATA_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
DESCRIPTIONS = ("dataset_dict.json", "state.json", "dataset_info.json", "dataset_infos.json")
SPLITS = {
    "train": "train", "training": "train",
    "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "eval": "dev",
    "test": "test",
    "select": "select",
}  # fmt: skip
# A word of its own, as in train-00000-of-00001 or spider_dev, but not in testimonials.
_SPLIT = re.compile(rf"(?<![a-z])(?:{'|'.join(sorted(SPLITS, key=len, reverse=True))})(?![a-z])")


@dataclass(frozen=True)
class Part:
    """Rows of one file or one saved split; `name` is what messages call it, `split` None where no name tells."""

    path: Path
    name: str
    split: str | None
    rows: list[Row]


def read_parts(path: Path, inside: str | None = None) -> list[Part]:
    """The parts of a file or a folder, in the order of their names. Raises UserError naming the file."""
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a query where a path should be: too long for a name
        raise UserError(f"{str(path)[:80]}: cannot be read: {error.strerror}") from error
    if not is_folder:
        return [Part(path, path.name, None, read_rows(path, inside))]
    if _is_saved(path):
        return _saved_parts(path)
    names = [
        file.relative_to(path)
        for file in find_inside(path, "*")
        if file.is_file() and file.suffix.lower() in DATA_SUFFIXES and file.name not in DESCRIPTIONS
    ]
    if not names:
        raise UserError(f"{path}: holds no data files ({', '.join(DATA_SUFFIXES)}) and is no saved data set")
    return [Part(path / name, str(name), _split_of(name), read_rows(path / name)) for name in names]


def find_inside(folder: Path, pattern: str) -> Iterator[Path]:
    """What lies in the folder at any depth, in order; without what is hidden, or left in archives by macOS."""
    for path in sorted(folder.rglob(pattern)):
        if not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts):
            yield path


def split_named(text: str) -> str | None:
    """The split that a name holds as a word of its own; the first, if it holds several."""
    found = _SPLIT.search(text.lower())
    return SPLITS[found.group()] if found else None


def _split_of(name: Path) -> str | None:
    """By the name of the file, else by the nearest folder's."""
    names = [name.stem, *reversed(name.parent.parts)]
    return next((split for split in map(split_named, names) if split), None)


def _is_saved(path: Path) -> bool:
    """Whether the folder holds what `save_to_disk` leaves."""
    has = {name for name in DESCRIPTIONS if (path / name).is_file()}
    return "dataset_dict.json" in has or has >= {"state.json", "dataset_info.json"}


def _saved_parts(path: Path) -> list[Part]:
    import datasets
    import pyarrow

    try:
        # In memory: to read a mapped file that is cut short would end the process.
        saved = datasets.load_from_disk(path, keep_in_memory=True)
        splits = saved if isinstance(saved, datasets.DatasetDict) else {"": saved}
        tables = {name: split.with_format("arrow")[:] for name, split in splits.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: not readable as a saved data set: {one_line(error)}") from error
    return [
        Part(path / name, f"{path.name}/{name}".rstrip("/"), split_named(name), arrow_rows(path / name, table))
        for name, table in tables.items()
    ]
