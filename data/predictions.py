"""Gold queries and predictions from files: the official text format, JSON and JSONL.

Reads `gold.sql` (query, tab, database), `pred.sql` (a query a line), a JSON list or JSONL in the layout of
Spider or of our own `predictions.jsonl`. What is odd in a file is reported by line; nothing is paired
with a line that it does not belong to.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError

GOLD_KEYS = ("gold", "query", "sql", "SQL")
PREDICTION_KEYS = ("sql", "pred", "predicted", "prediction", "predicted_sql", "query")
REPORTED_SPLIT = "dev"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Pair:
    """A gold query with its prediction; `id` is the file's own, else the gold's line."""

    id: str
    db_id: str
    gold: str
    predicted: str
    question: str = ""


@dataclass(frozen=True)
class Paired:
    """All pairs in the order of the golds, and what was odd, a sentence each."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Item:
    """One line of either file; `query` is None where a text line is empty."""

    line: int
    query: str | None
    db_id: str = ""
    id: str = ""
    question: str = ""
    split: str = ""


def read_pairs(gold: Path | None, predictions: Path) -> Paired:
    """Pairs golds and predictions by their ids if both have them, else by their order.

    Without a gold file the predictions have to carry their golds, as our own do; of the splits that
    `evaluate` asks only dev is read then, the one that is reported. Raises UserError where they do not match one to one, naming the first line without a partner.
    """
    notes: list[str] = []
    if gold is None and predictions.suffix not in (".json", ".jsonl"):
        raise UserError(f"{predictions}: holds predictions alone; name the gold queries with --gold")
    golds = _read(gold or predictions, GOLD_KEYS, notes, is_gold=True)
    predicted = _read(predictions, PREDICTION_KEYS, notes, is_gold=False)
    if gold is None and any(item.split == REPORTED_SPLIT for item in golds):
        golds, predicted = ([item for item in items if item.split == REPORTED_SPLIT] for items in (golds, predicted))
    gold = gold or predictions
    if not any(item.query for item in golds):
        raise UserError(f"{gold}: holds no gold queries")
    pairs = [
        _pair(gold, predictions, golds[place], item, notes)
        for place, item in enumerate(_align(gold, predictions, golds, predicted, notes))
        if not _is_separator(golds[place], item)
    ]
    return Paired(tuple(pairs), tuple(notes))


def _align(gold: Path, predictions: Path, golds: list[_Item], predicted: list[_Item], notes: list[str]) -> list[_Item]:
    """The predictions in the order of the golds."""
    by_id = {item.id: item for item in predicted if item.id}
    if any(item.id in by_id for item in golds):
        twice = [name for name, count in Counter(item.id for item in golds).items() if count > 1]
        if twice:
            raise UserError(f"{gold}: the id {twice[0]} occurs twice; each question has an id of its own")
        if len(by_id) < len(predicted):
            raise UserError(f"{predictions}: an id is missing or occurs twice; each question may have one prediction")
        missing = next((item for item in golds if item.id not in by_id), None)
        if missing:
            raise UserError(
                f"{predictions}: has no prediction for {missing.id or 'the gold'}, line {missing.line} of {gold}; "
                "add one (it may be empty)"
            )
        if len(by_id) > len(golds):
            notes.append(f"{predictions}: {len(by_id) - len(golds)} predictions belong to no gold and are left out")
        return [by_id[item.id] for item in golds]
    while len(predicted) > len(golds) and not predicted[-1].query:
        predicted = predicted[:-1]
    if len(golds) != len(predicted):
        longer, other, path = (
            (golds, predicted, gold) if len(golds) > len(predicted) else (predicted, golds, predictions)
        )
        raise UserError(
            f"{gold} has {len(golds)} lines and {predictions} has {len(predicted)}: they are paired line by line; "
            f"the first without a partner is line {longer[len(other)].line} of {path}"
        )
    return predicted


def _is_separator(gold: _Item, prediction: _Item) -> bool:
    """An empty line in both files, as between the sessions of a dialogue."""
    return gold.query is None and not prediction.query


def _pair(gold_path: Path, path: Path, gold: _Item, prediction: _Item, notes: list[str]) -> Pair:
    if not gold.query:
        raise UserError(f"{gold_path}: line {gold.line} is empty, but line {prediction.line} of {path} holds a query")
    if not gold.db_id:
        raise UserError(f"{gold_path}: line {gold.line} names no database (db_id)")
    if not prediction.query:
        notes.append(f"{path}: line {prediction.line} is an empty prediction; it scores 0")
    if prediction.db_id and prediction.db_id != gold.db_id:
        notes.append(
            f"{path}: line {prediction.line} goes on after a tab with {prediction.db_id[:40]!r}, which is not the gold's "
            f"database ({gold.db_id}); it is left out"
        )
    return Pair(
        gold.id or f"line {gold.line}",
        gold.db_id,
        gold.query,
        prediction.query or "",
        gold.question or prediction.question,
    )


def _read(path: Path, keys: Sequence[str], notes: list[str], is_gold: bool) -> list[_Item]:
    try:
        content = path.read_bytes().removeprefix(BYTE_ORDER_MARK)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    if path.suffix == ".json":
        return _read_list(path, content, keys)
    lines = content.split(b"\n")
    if not lines[-1]:  # what follows the last line end is no line
        lines.pop()
    texts = [_decode(path, place, line, notes) for place, line in enumerate(lines, start=1)]
    if path.suffix == ".jsonl":
        numbered = [(place, text) for place, text in enumerate(texts, start=1) if text.strip()]
        return [_entry(path, place, _json_line(path, place, text), keys) for place, text in numbered]
    items = [_text_line(path, place, text, is_gold) for place, text in enumerate(texts, start=1)]
    while is_gold and items and items[-1].query is None:
        items.pop()
    return items


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


def _text_line(path: Path, place: int, text: str, is_gold: bool) -> _Item:
    """`query TAB database`; the database may be left out of a prediction."""
    if not text.strip():
        return _Item(place, None)
    query, tab, db_id = text.strip().rpartition("\t") if is_gold else text.strip().partition("\t")
    if is_gold and not tab:
        raise UserError(f"{path}: line {place} lacks the database; a gold line is a query, a tab, the database's name")
    return _Item(place, query.replace("\t", " ").strip(), db_id.strip())


def _read_list(path: Path, content: bytes, keys: Sequence[str]) -> list[_Item]:
    try:
        entries = json.loads(content)
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(entries, list):
        raise UserError(f"{path}: holds a {type(entries).__name__}, not a list of questions")
    return [
        _entry(path, place, entry, keys, f"{path.stem}-{place - 1}") for place, entry in enumerate(entries, start=1)
    ]


def _json_line(path: Path, place: int, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: line {place} is not valid JSON: {error}") from error


def _entry(path: Path, place: int, entry: Any, keys: Sequence[str], own_id: str = "") -> _Item:
    if isinstance(entry, str):
        return _Item(place, entry.strip(), id=own_id)
    found = next((key for key in keys if isinstance(entry, dict) and isinstance(entry.get(key), str)), None)
    if found is None:
        where = "line" if path.suffix == ".jsonl" else "entry"
        raise UserError(f"{path}: {where} {place} has no query under any of {', '.join(keys)}")
    texts = {key: value for key in ("db_id", "id", "question", "split") if isinstance(value := entry.get(key), str)}
    return _Item(place, entry[found].strip(), **{"id": own_id} | texts)
