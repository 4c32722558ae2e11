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

from data.digest import digest_file
from data.spider import suite_files
from eval.sandbox import Limits

METRIC_VERSION = 1  # raise it when a change of the rules changes verdicts
# Without these the same, figures are about different things.
MUST_AGREE = {
    "gold": "the gold queries differ",
    "databases": "the databases differ",
    "plug_value": "the setting plug_value differs",
}
SHOULD_AGREE = {
    "metric": "the version of the scoring rules differs",
    "limits": "the limits of the sandbox differ",
    "foreign_keys": "the foreign keys (tables.json) differ",
    "sqlite": "SQLite's version differs",
    "decoding": "the decoding settings differ",
    "timings": "how often queries were timed differs",
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
        "gold": _digest(f"{db_id}\t{query}\n".encode("utf-8", "replace") for db_id, query in golds),
        "databases": {db_id: _digest_folder(path) for db_id, path in sorted(databases.items())},
        "sqlite": sqlite3.sqlite_version,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("loraql", "sqlglot")},
    }


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What keeps two manifests from being compared at all, and what makes a comparison doubtful.

    Decoding is not known of another system's predictions, and then it does not differ.
    """
    unknown = {key for key in ("decoding",) if None in (first.get(key), second.get(key))}

    def differing(keys: Mapping[str, str]) -> list[str]:
        return [text for key, text in keys.items() if key not in unknown and first.get(key) != second.get(key)]

    return differing(MUST_AGREE), differing(SHOULD_AGREE)


def _digest_folder(database: Path) -> str:
    return _digest(digest_file(path).encode() for path in (database, *suite_files(database)) if path.is_file())


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
