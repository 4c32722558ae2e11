"""Question/SQL pairs as people keep them: any file or folder that `data/imports/folders.py` reads, as `Pair`s.

Columns are found by their names in a fixed order of preference, `NAMES`; chats by their messages. A bad
row is an error that names it; nothing is passed over in silence.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from data.errors import UserError
from data.imports.dialogues import turns, unfence
from data.imports.folders import SPLITS, Part, read_parts
from data.imports.rows import Row, kind, split_source

# What each field's column may be called, the preferred name first; case, spaces, `_` and `-` do not count.
NAMES: dict[str, tuple[str, ...]] = {
    "question": (
        "question", "nlquestion", "naturallanguagequestion", "nl", "naturallanguage", "naturallanguagequery", "nlquery",
        "utterance", "sqlprompt", "instruction", "input", "prompt", "text",
    ),
    "query": (
        "query", "sql", "sqlquery", "goldsql", "goldquery", "gold", "target", "completion", "response", "output", "answer",
    ),
    "db_id": ("dbid", "databaseid", "db", "dbname", "database", "databasename", "schemaname", "schemaid"),
    "split": ("split", "set", "partition"),
    "evidence": ("evidence", "hint", "externalknowledge"),
    "synthetic": ("synthetic",),
    "verdict": ("verdict",),
}  # fmt: skip
CHATS = ("messages", "conversations")
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}
Verdict = Literal["good", "fixed"]  # of a user, on a model's answer: pipeline/corrections.py
SHOWN_COLUMNS, SHOWN_LENGTH = 30, 40


@dataclass(frozen=True)
class Pair:
    """One question with its SQL, as read; `place` says where, as "pairs.csv, row 3", for messages.

    `db_id` and `split` (train, select, dev or test) are None where the source does not say. A pair of a later
    `turn` of a chat may not stand without the turns before it. A pair with a `verdict` says what a user made of a
    model's answer; anything else in such a column is the source's own affair.
    """

    question: str
    query: str
    db_id: str | None
    split: str | None
    place: str
    synthetic: bool = False
    turn: int = 1
    verdict: Verdict | None = None


def read_pairs(source: Path | str, columns: Mapping[str, str] | None = None) -> list[Pair]:
    """The pairs of a file, a folder, or a table or query of an SQLite file (see `split_source`).

    `columns` names the column of a field, a key of NAMES, where its name does not tell. Raises UserError
    naming file and row; a file without rows is an error.
    """
    pairs: list[Pair] = []
    for part in read_parts(*split_source(source)):
        if not part.rows:
            raise UserError(f"{part.path}: holds no pairs")
        pairs += pairs_of(part, columns or {})
    return pairs


def pairs_of(part: Part, columns: Mapping[str, str]) -> list[Pair]:
    """The pairs of one part; none if it has no rows. A split that a row names goes before the part's."""
    present = list(dict.fromkeys(name for row in part.rows for name in row.cells))
    if not part.rows:
        _check_fields(part.path, columns, present)
        return []
    found = _find_columns(part, columns, present)
    chat = next((name for name in present if _plain(name) in CHATS), None)
    missing = [field for field in ("question", "query") if field not in found]
    if not missing:
        texts = ((row, [(row.cells.get(found["question"]), row.cells.get(found["query"]))]) for row in part.rows)
        return [pair for row, pairs in texts for pair in _row_pairs(part, row, pairs, found)]
    if chat is None or {"question", "query"} & set(columns):
        field = missing[0]
        raise UserError(
            f"{part.path}: no column for the {field}; name it, as in {field}=COLUMN; its columns are {_listed(present)}"
        )
    chats = ((row, turns(row.cells.get(chat), row.error)) for row in part.rows)
    return [pair for row, pairs in chats for pair in _row_pairs(part, row, pairs, found)]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()


def _listed(names: Iterable[str]) -> str:
    """Names on one line; those of a file without a header are long."""
    short = [_shown(name)[1:-1] for name in names]
    return (", ".join(short[:SHOWN_COLUMNS]) or "none") + (", ..." if len(short) > SHOWN_COLUMNS else "")


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "...")


def _check_fields(path: Path, columns: Mapping[str, str], present: Iterable[str]) -> None:
    unknown = next((field for field in columns if field not in NAMES), None)
    if unknown is not None:
        raise UserError(
            f"{path}: there is no field {unknown!r}; map one of {', '.join(NAMES)} to one of its columns {_listed(present)}"
        )


def _find_columns(part: Part, columns: Mapping[str, str], present: list[str]) -> dict[str, str]:
    """The column of each field that has one."""
    _check_fields(part.path, columns, present)
    plain: dict[str, str] = {}
    for name in present:
        plain.setdefault(_plain(name), name)
    found: dict[str, str] = {}
    for field, name in columns.items():
        column = name if name in present else plain.get(_plain(name))
        if column is None:
            raise UserError(f"{part.path}: has no column {name!r} for {field}; its columns are {_listed(present)}")
        found[field] = column
    for field, names in NAMES.items():
        # Beside `sql`, and with no better name for the question, `query` is what the user asked.
        asked = ("query",) if field == "question" and "sql" in plain else ()
        free = (plain[name] for name in names + asked if name in plain and plain[name] not in found.values())
        column = next(free, None)
        if field not in found and column is not None:
            found[field] = column
    if "question" not in columns and "input" in plain and _plain(found.get("question", "")) == "instruction":
        found["question"] = _asking(part.rows, found["question"], plain["input"])
    return found


def _asking(rows: list[Row], instruction: str, given: str) -> str:
    """Which column asks: the instruction, with a schema as input; or the input, under one order for all rows."""
    orders, inputs = ({repr(row.cells.get(column)) for row in rows} for column in (instruction, given))
    return given if len(orders) == 1 and len(inputs) > 1 else instruction


def _row_pairs(
    part: Part, row: Row, texts: list[tuple[object, object]] | list[tuple[str, str]], found: Mapping[str, str]
) -> Iterable[Pair]:
    """The pairs of one row: one, but for a chat of several turns."""
    cells = {
        field: _clean(row, row.cells.get(found[field]), field)
        for field in ("db_id", "evidence", "split")
        if field in found
    }
    split = cells.get("split") or ""
    if split and split.lower() not in SPLITS:
        raise row.error(f"has the split {_shown(split)}, which is none of {', '.join(SPLITS)}")
    marked = row.cells.get(found["synthetic"]) if "synthetic" in found else None
    synthetic = "" if marked is None else str(marked).strip().lower()  # text, or a truth value, or 0 and 1
    if synthetic not in TRUTHS:
        raise row.error(f"has {_shown(synthetic)} for synthetic; give true or false")
    said = row.cells.get(found["verdict"]) if "verdict" in found else None
    verdict = next((known for known in get_args(Verdict) if known == said), None)
    for turn, (asked, answered) in enumerate(texts, start=1):
        question = _clean(row, asked, "question")
        query = unfence(_clean(row, answered, "query")).strip()
        if not question or not query:
            raise row.error(f"has no {'query' if question else 'question'}")
        evidence = cells.get("evidence", "")
        yield Pair(
            question if evidence in question else f"{question} ({evidence})",
            query,
            cells.get("db_id") or None,
            SPLITS[split.lower()] if split else part.split,
            f"{part.name}, row {row.number}" + (f", turn {turn}" if len(texts) > 1 else ""),
            TRUTHS[synthetic],
            turn,
            verdict,
        )


def _clean(row: Row, value: object, field: str) -> str:
    """A cell's text without white space at its ends; "" if it holds nothing."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise row.error(f"its {field} is {kind(value)}, not text")
    if "\x00" in value:
        raise row.error(f"its {field} holds a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise row.error(f"its {field} holds half a surrogate pair, which no file can")
    return value.strip()
