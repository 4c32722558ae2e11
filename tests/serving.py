"""Fixtures for tests of the server: a small database, and what a server of it is made of.

Tests name this file as a plug-in.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from echo import Echo

from eval.pool import Sandbox
from pipeline.databases import open_database
from pipeline.serving.guards import LOCAL
from pipeline.serving.service import Service
from pipeline.serving.work import Desk


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as made:
        yield made


@pytest.fixture
def item_database(tmp_path: Path) -> Path:
    path = tmp_path / "items.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            CREATE TABLE maker (id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, maker INTEGER REFERENCES maker (id), seen);
            INSERT INTO item VALUES (1, 'pen', NULL, x'00ff'), (2, 'cup', NULL, 9e999), (3, 'hat', NULL, 'ja');
        """)
    return path


@pytest.fixture
def make_service(item_database: Path, sandbox: Sandbox) -> Iterator[Any]:
    """Makes a service of the item database; what is given replaces its parts, or is for its desk."""
    desks = []

    def make(most: int = 8, seconds: float = 10.0, **parts: Any) -> Service:
        desks.append(Desk(most, seconds))
        given: dict[str, Any] = {
            "answerer": Echo(),
            "databases": {"shop": open_database(str(item_database), sandbox, name="shop")},
            "desk": desks[-1],
            "corrections": item_database.parent / "corrections.jsonl",
            "hosts": LOCAL,
        }
        return Service(**{**given, **parts})

    yield make
    for desk in desks:
        desk.close()
