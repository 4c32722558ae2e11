"""What a check-up is made of: pairs in their splits, what was found about each, and figures about all.

Holds no logic but how it is written down as JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data.imports.pairs import Pair
from pipeline.splits import question_key, sql_key


@dataclass(frozen=True)
class Kind:
    """One kind of finding. `title` follows a number of pairs; `meaning` is for the page."""

    title: str
    meaning: str


# The most pressing first: in this order they are advised and shown.
KINDS: Mapping[str, Kind] = {
    "fails": Kind("gold query fails", "Left out of training and of scoring."),
    "leak": Kind(
        "in another split too",
        "Question or SQL is in another split of the same database: a score on it tells what was learned by heart.",
    ),
    "unused": Kind("left out", "Not in the data set: in none of its splits."),
    "missing": Kind("database is missing", "The query could not be run; the pair can be trained on, not scored."),
    "contradiction": Kind(
        "one question, other SQL", "The question was asked before and answered otherwise: at most one is what is meant."
    ),
    "schema": Kind(
        "schema in the question",
        "The question holds a CREATE TABLE: prompts bring the schema themselves, and people who ask will not.",
    ),
    "unstable": Kind(
        "result may vary",
        "The query does not say which rows come first, so a right answer may be scored as wrong.",
    ),
    "unfounded": Kind(
        "unfounded value",
        "The SQL holds a value that is in neither the question nor the database: it may be a slip, and no model can know it.",
    ),
    "empty": Kind("empty result", "Every other query that returns nothing would count as right."),
    "slow": Kind("slow query", "Takes more than a second on this database."),
    "long": Kind("too long for the model", "Prompt and SQL have more tokens than the base model can read."),
    "duplicate": Kind("duplicate", "The same question and SQL again: it weighs more in training, and nothing else."),
    "doubt": Kind(
        "translated, with a doubt", "SQLite may answer otherwise than the server that the SQL is written for."
    ),
    "spelling": Kind(
        "one question, spelled twice in SQL", "Two queries that return the same here: a model learns faster from one."
    ),
    "near": Kind("same words, other SQL", "Often right, where word order matters; worth a look."),
}


@dataclass(frozen=True)
class Item:
    """One pair in its split; `database` is None where the file is not there."""

    pair: Pair
    split: str
    database: Path | None

    @cached_property
    def question(self) -> str:
        return question_key(self.pair.question)

    @cached_property
    def query(self) -> str:
        return sql_key(self.pair.query)


@dataclass(frozen=True)
class Finding:
    """One pair and what is to be said of it."""

    item: Item
    detail: str


@dataclass(frozen=True)
class Coverage:
    """How one database is asked about; its tables and columns in schema order."""

    pairs: int
    tables: int
    columns: int
    named_columns: int
    has_rows: bool
    unasked_tables: tuple[str, ...]
    unused_columns: tuple[str, ...]  # TABLE.COLUMN, of the tables that are asked about


@dataclass(frozen=True)
class Lengths:
    """Tokens of prompt and SQL of each pair whose schema is known, in their order; `limit` is the model's, if it has one."""

    base: str
    limit: int | None
    tokens: Sequence[int]

    def share(self, part: float) -> int:
        """So many tokens hold this part of the pairs."""
        return int(np.quantile(self.tokens, part, method="inverted_cdf"))


@dataclass(frozen=True)
class Checkup:
    """All that was found; `findings` by kind, in the order of KINDS."""

    name: str
    splits: Mapping[str, int]
    findings: Mapping[str, Sequence[Finding]]
    databases: Mapping[str, Coverage]
    missing: Mapping[str, int]
    hardness: Mapping[str, int]
    lengths: Lengths | None
    notes: Sequence[str]
    synthetic: int = 0
    actions: Sequence[str] = field(default_factory=list)

    @property
    def pairs(self) -> int:
        return sum(self.splits.values())

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        lengths = self.lengths
        tokens = lengths and {
            "base": lengths.base,
            "limit": lengths.limit,
            "median": lengths.share(0.5),
            "p95": lengths.share(0.95),
            "longest": lengths.share(1),
        }
        return {
            "name": self.name,
            "pairs": self.pairs,
            "synthetic": self.synthetic,
            "splits": dict(self.splits),
            "what_to_do": list(self.actions),
            "findings": {kind: [_record(finding) for finding in found] for kind, found in self.findings.items()},
            "databases": {db_id: asdict(coverage) for db_id, coverage in self.databases.items()},
            "missing_databases": dict(self.missing),
            "hardness": dict(self.hardness),
            "tokens": tokens,
            "notes": list(self.notes),
        }


def _record(finding: Finding) -> dict[str, str]:
    pair = finding.item.pair
    return {
        "place": pair.place,
        "split": finding.item.split,
        "db_id": pair.db_id or "",
        "detail": finding.detail,
        "question": pair.question,
        "query": pair.query,
    }
