"""Golds and their predictions, paired.

Reads the files through `data/queries.py`. A gold and a prediction belong together by their ids if both
files give ids, else by their place; nothing is paired with what it does not belong to.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from data.queries import JSON_SUFFIXES, Item, prediction_key, read_golds, read_predictions

REPORTED_SPLIT = "dev"
_QUERY_START = re.compile(r"\s*(?:select|with|values|\()", re.IGNORECASE)


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


def read_pairs(gold: Path | None, predictions: Path) -> Paired:
    """Pairs golds and predictions.

    Without a gold file the predictions have to carry their golds, as our own do; of the splits that
    `evaluate` asks only dev is read then, the one that is reported. Raises UserError where they do not match
    one to one, naming the first line without a partner.
    """
    notes: list[str] = []
    carried = gold is None or gold == predictions
    if gold is None and predictions.suffix not in JSON_SUFFIXES:
        raise UserError(
            f"{predictions}: holds predictions alone; name the gold queries with --gold (JSON is told by its ending, .json or .jsonl)"
        )
    gold = gold or predictions
    predicted = read_predictions(predictions, notes)
    # One key never serves as both.
    key = prediction_key(predictions) if carried and predictions.suffix in JSON_SUFFIXES else None
    golds = read_golds(gold, notes, not_under=[key] if key else [])
    if carried:
        golds, predicted = _reported(golds, predicted, predictions, notes)
    aligned = _align(gold, predictions, golds, predicted, notes)
    pairs = [
        _pair(gold, predictions, own, other, notes)
        for own, other in zip(golds, aligned, strict=True)
        if not _is_separator(own, other)
    ]
    return Paired(tuple(pairs), tuple(dict.fromkeys(notes)))


def _reported(golds: list[Item], predicted: list[Item], path: Path, notes: list[str]) -> tuple[list[Item], list[Item]]:
    """Only the reported split, of a file that holds it and others."""
    kept = [item.split == REPORTED_SPLIT for item in golds]
    if not any(kept) or all(kept):
        return golds, predicted
    others = sorted({item.split or "none" for item, wanted in zip(golds, kept, strict=True) if not wanted})
    notes.append(
        f"{path}: of its {len(golds)} entries the {sum(kept)} with split {REPORTED_SPLIT} are scored; "
        f"the others ({', '.join(others)}) are left out"
    )
    pairs = [pair for pair, wanted in zip(zip(golds, predicted, strict=True), kept, strict=True) if wanted]
    return [own for own, _ in pairs], [other for _, other in pairs]


def _align(gold: Path, path: Path, golds: list[Item], predicted: list[Item], notes: list[str]) -> list[Item]:
    """The predictions in the order of the golds."""
    for file, items in ((gold, golds), (path, predicted)):
        _check_ids(file, items)
    by_id = {item.id: item for item in predicted if item.id}
    both_give = all(item.given_id for item in golds) and all(item.given_id for item in predicted)
    if both_give or any(item.id in by_id for item in golds):
        return _by_id(gold, path, golds, by_id, notes)
    return _by_place(gold, path, golds, predicted)


def _check_ids(path: Path, items: Sequence[Item]) -> None:
    given = [item for item in items if item.given_id]
    if given and len(given) < len(items):
        without = next(item for item in items if not item.given_id)
        raise UserError(f"{path}: line {without.line} has no id, though others have; give all of them one, or none")
    name, count = next(iter(Counter(item.id for item in given).most_common(1)), ("", 0))
    if count > 1:
        raise UserError(f"{path}: the id {name} occurs {count} times; each question has an id of its own")


def _by_id(gold: Path, path: Path, golds: list[Item], by_id: dict[str, Item], notes: list[str]) -> list[Item]:
    missing = [item for item in golds if item.id not in by_id]
    if missing:
        raise UserError(
            f"{path}: has no prediction for {len(missing)} of the {len(golds)} golds, the first {missing[0].id} "
            f"(line {missing[0].line} of {gold}); add them (a prediction may be empty)"
        )
    if len(by_id) > len(golds):
        notes.append(f"{path}: {len(by_id) - len(golds)} predictions belong to no gold and are left out")
    return [by_id[item.id] for item in golds]


def _by_place(gold: Path, path: Path, golds: list[Item], predicted: list[Item]) -> list[Item]:
    while len(predicted) > len(golds) and not predicted[-1].query:
        predicted = predicted[:-1]
    if len(golds) == len(predicted):
        return predicted
    if len(golds) > len(predicted):
        where = f"line {golds[len(predicted)].line} of {gold}"
    else:
        where = f"line {predicted[len(golds)].line} of {path}"
    broken = next((item for item in predicted if item.query and not _QUERY_START.match(item.query)), None)
    hint = (
        f"; line {broken.line} of {path} begins no query: if predictions hold line breaks, give JSON lines"
        if broken
        else ""
    )
    raise UserError(
        f"{gold} has {len(golds)} lines and {path} has {len(predicted)}: they are paired line by line; "
        f"the first without a partner is {where}{hint}"
    )


def _is_separator(gold: Item, prediction: Item) -> bool:
    """An empty line in both files, as between the sessions of a dialogue."""
    return gold.query is None and not prediction.query


def _pair(gold_path: Path, path: Path, gold: Item, prediction: Item, notes: list[str]) -> Pair:
    if not gold.query:
        beside = "" if gold_path == path else f", but line {prediction.line} of {path} holds a query"
        raise UserError(f"{gold_path}: line {gold.line} has an empty gold query{beside}")
    if not gold.db_id:
        raise UserError(f"{gold_path}: line {gold.line} names no database (db_id)")
    if not prediction.query:
        notes.append(f"{path}: line {prediction.line} is an empty prediction; it scores 0")
    if prediction.db_id and prediction.db_id != gold.db_id:
        if path.suffix in JSON_SUFFIXES:
            raise UserError(
                f"{path}: line {prediction.line} is about the database {prediction.db_id[:40]!r}, its gold about "
                f"{gold.db_id[:40]!r}; are the files in the same order?"
            )
        notes.append(
            f"{path}: line {prediction.line} goes on after a tab with {prediction.db_id[:40]!r}, which is not the gold's "
            f"database ({gold.db_id}); it is left out"
        )
    question = gold.question or prediction.question
    return Pair(gold.id or f"line {gold.line}", gold.db_id, gold.query, prediction.query or "", question)
