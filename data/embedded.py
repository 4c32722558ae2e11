"""The embedded sample data set: eight small databases kept as SQL text, with questions and gold SQL.

Reads `data/sample/`, writes the same layout as Spider's, so that everything after `download` treats
both alike.
"""

import json
import shutil
import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Any

# No database is in two splits; the recipe holds one training database back for choosing checkpoints.
SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("shop", "clinic", "flights", "university", "concerts", "library"),
    "dev": ("car_rental", "museum"),
}


def build(folder: Path) -> None:
    """Writes the question files and builds the SQLite files under `folder`."""
    source = files("data") / "sample"
    shutil.rmtree(folder / "database", ignore_errors=True)  # of a build that was interrupted
    for split, names in SPLITS.items():
        entries: list[dict[str, Any]] = []
        for name in names:
            database = folder / "database" / name / f"{name}.sqlite"
            database.parent.mkdir(parents=True)
            build_database((source / f"{name}.sql").read_text(encoding="utf-8"), database)
            for pair in json.loads((source / f"{name}.json").read_text(encoding="utf-8")):
                entries += [
                    {"db_id": name, "question": question, "query": pair["query"]} for question in pair["questions"]
                ]
        text = json.dumps(entries, indent=1, ensure_ascii=False)
        (folder / f"{split}.json").write_text(text + "\n", encoding="utf-8")


def build_database(script: str, path: Path) -> None:
    """Runs a script of our own (never a downloaded one) into a new SQLite file."""
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(f"BEGIN; {script} COMMIT;")
    finally:
        connection.close()
