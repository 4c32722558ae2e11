"""The queries in one file, gold or predicted: official text format, JSON, JSON lines.

Reads `query TAB database` or a query a line, a JSON list or object, or an object a line, in the layouts of
Spider, BIRD and our own `predictions.jsonl`. What is odd is noted by its line.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError

GOLD_KEYS = ("gold", "gold_sql", "gold_query", "query", "sql", "SQL")
PREDICTION_KEYS = ("pred", "predicted", "prediction", "predicted_sql", "predicted_query", "sql", "query", "SQL")
ID_KEYS = ("id", "question_id")
JSON_SUFFIXES = (".json", ".jsonl")
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
BIRD_MARK = "\t----- bird -----\t"


@dataclass(frozen=True)
class Item:
    """One line or entry. `query` is None where a text line is empty; `given_id` where the id is the file's own."""

    line: int
    query: str | None
    db_id: str = ""
    id: str = ""
    given_id: bool = False
    question: str = ""
    split: str = ""


def read_golds(path: Path, notes: list[str], not_under: Sequence[str] = ()) -> list[Item]:
    """Gold queries; in JSON under one of GOLD_KEYS, not `not_under`. Raises UserError naming file and line."""
    items = _read(path, [key for key in GOLD_KEYS if key not in not_under], notes, is_gold=True)
    while items and items[-1].query is None:  # empty lines at the end of a text
        items.pop()
    if not any(item.query for item in items):
        raise UserError(f"{path}: holds no gold queries")
    return items


def read_predictions(path: Path, notes: list[str]) -> list[Item]:
    """Predictions; in JSON under the first of PREDICTION_KEYS. Raises UserError naming file and line."""
    return _read(path, PREDICTION_KEYS, notes, is_gold=False)


def prediction_key(path: Path) -> str | None:
    """The key under which a JSON file's first entry holds its prediction."""
    first = next(iter(_entries(path, _content(path), [])), (0, None))[1]
    return next((key for key in PREDICTION_KEYS if isinstance(first, dict) and key in first), None)


def _read(path: Path, keys: Sequence[str], notes: list[str], is_gold: bool) -> list[Item]:
    content = _content(path)
    if path.suffix in JSON_SUFFIXES:
        return [_item(path, place, entry, keys, notes, is_gold) for place, entry in _entries(path, content, notes)]
    return [_text_line(path, place, text, is_gold) for place, text in _lines(path, content, notes)]


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder; give a file") from error
    if content.startswith(UTF16_MARKS):
        raise UserError(f"{path}: is UTF-16; save it as UTF-8")
    return content.removeprefix(UTF8_MARK)


def _lines(path: Path, content: bytes, notes: list[str]) -> list[tuple[int, str]]:
    """Numbered lines, ended by a line feed and nothing else."""
    lines = content.split(b"\n")
    if not lines[-1]:  # what follows the last line end is no line
        lines.pop()
    return [(place, _decode(path, place, line, notes)) for place, line in enumerate(lines, start=1)]


def _decode(path: Path, place: int, line: bytes, notes: list[str]) -> str:
    line = line.removesuffix(b"\r")
    if b"\r" in line:
        notes.append(f"{path}: line {place} holds a carriage return; it is read as a space")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        notes.append(f"{path}: line {place} is not valid UTF-8; the bad bytes are replaced")
        text = line.decode("utf-8", errors="replace")
    return text.replace("\r", " ")


def _text_line(path: Path, place: int, text: str, is_gold: bool) -> Item:
    """`query TAB database`; the database may be left out of a prediction."""
    if not text.strip():
        return Item(place, None)
    query, tab, db_id = text.strip().rpartition("\t") if is_gold else text.strip().partition("\t")
    if is_gold and not tab:
        raise UserError(f"{path}: line {place} lacks the database; a gold line is a query, a tab, the database's name")
    return Item(place, query.replace("\t", " ").strip(), db_id.strip())


def _entries(path: Path, content: bytes, notes: list[str]) -> list[tuple[int, Any]]:
    """Numbered entries of a JSON file, with the id that their place gives them under "id" where they have none."""
    if path.suffix == ".jsonl":
        lines = _lines(path, content, notes)
        return [(place, _parse(path, text, f"line {place} is ")) for place, text in lines if text.strip()]
    entries = _parse(path, content, "")
    if isinstance(entries, dict) and all(isinstance(value, str) for value in entries.values()):
        # BIRD's predictions: place -> query, a mark, the database
        texts = [(key, value.partition(BIRD_MARK)) for key, value in entries.items()]
        entries = [{"id": key, "query": query, "db_id": db_id} for key, (query, _, db_id) in texts]
    if not isinstance(entries, list):
        raise UserError(f"{path}: is not a list of entries; give one, or an entry a line in a file that ends in .jsonl")
    return list(enumerate(entries, start=1))


def _parse(path: Path, text: str | bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{path}: {where}nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{path}: {where}not valid JSON: {error}") from error


def _item(path: Path, place: int, entry: Any, keys: Sequence[str], notes: list[str], is_gold: bool) -> Item:
    where = f"{path}: {'line' if path.suffix == '.jsonl' else 'entry'} {place}"
    by_place = f"{path.stem}-{place - 1}" if path.suffix == ".json" else ""
    if isinstance(entry, str):
        return Item(place, _clean(entry, where, notes), id=by_place)
    # A prediction may be null: a model that gave none.
    kinds = (str,) if is_gold else (str, type(None))
    found = next(
        (key for key in keys if isinstance(entry, dict) and key in entry and isinstance(entry[key], kinds)), None
    )
    if found is None:
        raise UserError(f"{where} has no query under any of {', '.join(keys)}")
    given = next((str(entry[key]) for key in ID_KEYS if isinstance(entry.get(key), str | int)), "")
    texts = {key: entry[key] if isinstance(entry.get(key), str) else "" for key in ("db_id", "question", "split")}
    return Item(
        place,
        _clean(entry[found] or "", where, notes),
        id=_clean(given, where, notes) or by_place,
        given_id=bool(given),
        **{key: _clean(text, where, notes) for key, text in texts.items()},
    )


def _clean(text: str, where: str, notes: list[str]) -> str:
    """Without half surrogate pairs, which JSON can spell and no file can hold."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    if whole != text:
        notes.append(f"{where} holds half a surrogate pair; it is read as a question mark")
    return whole.strip()
