"""What a score was made with, so that two scores can be compared or refused.

Writes nothing; the manifest goes into `scores.json`.
"""

import hashlib
import platform
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data.spider import suite_files
from eval.sandbox import Limits

METRIC_VERSION = 1  # raise it when a change of the rules changes verdicts
# Without these two the same, figures are about different things.
MUST_AGREE = {"gold": "the gold queries", "databases": "the databases", "plug_value": "the setting plug_value"}
SHOULD_AGREE = {
    "metric": "the version of the scoring rules",
    "limits": "the limits of the sandbox",
    "foreign_keys": "the foreign keys (tables.json)",
    "sqlite": "SQLite's version",
    "decoding": "the decoding settings",
    "timings": "how often queries are timed",
}


def metric_manifest(
    *,
    golds: Iterable[tuple[str, str]],
    databases: Mapping[str, Path],
    limits: Limits,
    foreign_keys: str = "sqlite",
    plug_value: bool = False,
    timings: int = 0,
    decoding: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Settings, versions and digests. `golds` are (database, query) in order; `databases` the files by name.

    A database's digest is of all that it is scored on: itself, then its test suite.
    """
    return {
        "metric": METRIC_VERSION,
        "plug_value": plug_value,
        "timings": timings,
        "limits": asdict(limits),
        "foreign_keys": foreign_keys,
        "decoding": None if decoding is None else dict(decoding),
        "gold": _digest(f"{db_id}\t{query}\n".encode() for db_id, query in golds),
        "databases": {db_id: _digest_folder(path) for db_id, path in sorted(databases.items())},
        "sqlite": sqlite3.sqlite_version,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("loraql", "sqlglot")},
    }


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What keeps two manifests from being compared at all, and what makes a comparison doubtful."""
    return tuple(  # type: ignore[return-value]
        [name for key, name in keys.items() if first.get(key) != second.get(key)] for keys in (MUST_AGREE, SHOULD_AGREE)
    )


def _digest_folder(database: Path) -> str:
    return _digest(path.read_bytes() for path in (database, *suite_files(database)) if path.is_file())


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
