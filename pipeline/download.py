"""download: a data set, checked, in Spider's layout -> `data/raw/SOURCE/`.

Reads Spider's published archive (or `--from` a URL, zip or folder), or builds the embedded sample.
Writes the question files, `tables.json` and the databases; says which databases are missing.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from data import embedded, fetch, spider
from data.digest import digest_file
from data.errors import UserError
from pipeline.config import PUBLISHED, Config
from pipeline.console import Advance, progress, say
from pipeline.stage import Stage, digest_bytes, write_json

PARKED = "spider_data.zip"


def download_stage(origin: str | None = None) -> Stage:
    """The stage; `origin` is a URL, a zip or a folder to take instead of the published archive."""
    return Stage(
        name="download",
        version=1,
        folder=lambda config: config.data.root,
        settings=lambda config: {"data": {"source": config.data.source}},
        inputs=_inputs,
        work=partial(download, origin=origin),
        keeps=("processed", "suite"),
    )


def _inputs(config: Config) -> dict[str, str]:
    if config.data.source != "sample":
        return {}
    sources = sorted(
        (path for path in (files("data") / "sample").iterdir() if path.is_file()), key=lambda path: path.name
    )
    return {f"data/sample/{path.name}": digest_bytes(path.read_bytes()) for path in sources}


def download(config: Config, folder: Path, origin: str | None = None) -> None:
    """Fills `folder` with the data set. Raises UserError with what to do where it cannot be had."""
    if config.data.source == "sample":
        embedded.build(folder)
    elif config.data.source == "spider":
        _fetch_spider(config, folder, origin)
    else:
        raise UserError(
            f"{folder.with_name(config.data.source)}: not there; `download` knows {' and '.join(PUBLISHED)}, "
            f"your own data comes with `loraql import ... --name {config.data.source}`"
        )
    _report(config, folder)


def _fetch_spider(config: Config, folder: Path, origin: str | None) -> None:
    shutil.rmtree(folder / "unpacked", ignore_errors=True)
    if origin and Path(origin).is_dir():
        root = spider.find_root(Path(origin))
    else:
        archive = _archive(config, origin)
        with _bytes_progress("unpacking") as report:
            fetch.unpack(archive, folder / "unpacked", report)
        root = spider.find_root(folder / "unpacked")
    for name in ("database", "test_database"):
        shutil.rmtree(folder / name, ignore_errors=True)
    wanted = [name for names in spider.FILES.values() for name in names] + ["tables.json", "README.txt", "LICENSE"]
    for name in [*wanted, "database", "test_database"]:
        source, target = root / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=_only_databases)
        elif source.is_file():
            shutil.copyfile(source, target)
    shutil.rmtree(folder / "unpacked", ignore_errors=True)


def _only_databases(folder: str, names: list[str]) -> list[str]:
    """Of each database's folder the SQLite files and schema scripts are kept; notes and sources are not."""
    return [name for name in names if (Path(folder) / name).is_file() and Path(name).suffix not in {".sqlite", ".sql"}]


def _archive(config: Config, origin: str | None) -> Path:
    """The zip, downloaded if it has to be."""
    parking = config.data.folder / PARKED
    if origin and "://" in origin:  # a name of its own, not to pass for the published archive later
        parking = config.data.folder / f"spider-{digest_bytes(origin.encode())[:12]}.zip"
    if origin and "://" not in origin:
        archive = Path(origin)
        if not archive.is_file():
            raise UserError(f"--from {origin}: no such file or folder")
    elif parking.is_file():
        archive = parking
    else:
        archive = parking
        try:
            with _bytes_progress("downloading") as report:
                fetch.download(origin or spider.ARCHIVE, archive, report)
        except fetch.UnreachableError as error:
            raise UserError(
                f"{error}. Without a network: get {spider.PAGE} in a browser, save it as {parking}, "
                "then run `loraql download spider` again (the same command also takes up a broken transfer)"
            ) from error
    if config.data.sha256 and (digest := digest_file(archive)) != config.data.sha256:
        raise UserError(
            f"{archive}: its SHA-256 is {digest}, but data.sha256 says {config.data.sha256}; delete it and fetch it again"
        )
    return archive


@contextmanager
def _bytes_progress(label: str) -> Iterator[fetch.Report]:
    """Progress in megabytes; the bar starts at the first report, which knows how many there are."""
    with ExitStack() as bar:
        shown: int = 0
        advance: Advance | None = None

        def report(done: int, total: int | None) -> None:
            nonlocal shown, advance
            if advance is None:
                advance = bar.enter_context(progress(label, total >> 20 if total else None, "MB"))
            if done >> 20 > shown:
                advance((done >> 20) - shown)
                shown = done >> 20

        yield report


def _report(config: Config, folder: Path) -> None:
    """Counts questions and databases, compares with what was published, and keeps both in dataset.json."""
    counts, missing, notes = {}, Counter[str](), []
    for split in spider.FILES:
        questions = spider.read_split(folder, split)
        if questions:
            counts[split] = len(questions)
        absent = [
            question.db_id
            for question in questions
            if not spider.database_path(folder, split, question.db_id).is_file()
        ]
        missing.update(absent)
    if config.data.source == "spider":
        notes = list(_differences(folder))
    summary: dict[str, Any] = {"questions": counts, "missing_databases": dict(missing), "differences": notes}
    write_json(folder / "dataset.json", summary)
    say("  " + ", ".join(f"{split}: {count:,} questions" for split, count in counts.items()))
    for note in notes:
        say(f"  note: {note}")
    for name, count in sorted(missing.items()):
        say(f"  missing: the database {name}; {count} questions cannot be run")


def _differences(folder: Path) -> Iterator[str]:
    for name, published in spider.PUBLISHED_COUNTS.items():
        path = folder / name
        if not path.is_file():
            yield f"{name} is not there ({published:,} questions as published)"
        elif (count := len(json.loads(path.read_text(encoding="utf-8")))) != published:
            yield f"{name} holds {count:,} questions, {published:,} were published"
