"""Our verdicts against those of Spider's official evaluator, on the predictions of published systems.

The files under `../shared/data` are not part of the repository; without them these tests are skipped.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.hardness import hardness
from eval.sandbox import Limits, Sandbox
from eval.score import judge

SHARED = Path(__file__).parents[2] / "shared" / "data"
ARCHIVE, SCORING = SHARED / "spider_data.zip", SHARED / "scoring"

pytestmark = pytest.mark.skipif(
    not (ARCHIVE.is_file() and SCORING.is_dir()), reason=f"{SHARED} with Spider and official verdicts is not here"
)

# Of the synthetic pairs, those where the specification wants another verdict than the official evaluator's.
DELIBERATE = {
    "ex int/float reject": "the official quick reject mis-sorts rows that mix int and float; equal by intent",
    "empty vs semicolon": "a bare semicolon is no query, so it has no empty result",
    "empty vs delete": "DELETE is refused, and a refused prediction scores 0",
}
# Only the first statement is run, whether DISTINCT is kept or not.
DELIBERATE_KEEPING_DISTINCT = DELIBERATE | {"two statements": "the official one does not split them in this mode"}


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SCORING / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the databases that the verdicts are about."""
    folder = tmp_path_factory.mktemp("spider")
    needed = {row["db_id"] for name in ("c3", "graphix", "pairs") for row in read(name)}
    with zipfile.ZipFile(ARCHIVE) as archive:
        for db_id in needed:
            archive.extract(f"spider_data/database/{db_id}/{db_id}.sqlite", folder)
    return folder / "spider_data" / "database"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(), workers=2) as opened:
        yield opened


def scored(sandbox: Sandbox, databases: Path, rows: list[dict[str, Any]], keep_distinct: bool) -> list[bool]:
    cases = [(databases / row["db_id"] / f"{row['db_id']}.sqlite", row["gold"], row["pred"]) for row in rows]
    return [judged.category == "correct" for judged in judge(sandbox, cases, keep_distinct)]


def differing(sandbox: Sandbox, databases: Path, name: str, keep_distinct: bool) -> list[dict[str, Any]]:
    rows, field = read(name), "ex_keep_distinct" if keep_distinct else "ex"
    verdicts = scored(sandbox, databases, rows, keep_distinct)
    return [row for row, verdict in zip(rows, verdicts, strict=True) if verdict != bool(row[field])]


@pytest.mark.parametrize("keep_distinct", [False, True])
@pytest.mark.parametrize("name", ["c3", "graphix"])
def test_ex_agrees_on_every_published_prediction(
    sandbox: Sandbox, databases: Path, name: str, keep_distinct: bool
) -> None:
    assert differing(sandbox, databases, name, keep_distinct) == []


@pytest.mark.parametrize(("keep_distinct", "deliberate"), [(False, DELIBERATE), (True, DELIBERATE_KEEPING_DISTINCT)])
def test_ex_differs_only_where_the_specification_wants_it(
    sandbox: Sandbox, databases: Path, keep_distinct: bool, deliberate: dict[str, str]
) -> None:
    assert {row["name"] for row in differing(sandbox, databases, "pairs", keep_distinct)} == set(deliberate)


@pytest.mark.parametrize("name", ["c3", "graphix", "pairs"])
def test_hardness_agrees_on_every_gold_that_the_official_grammar_parses(name: str) -> None:
    rows = [row for row in read(name) if row["hardness"]]
    assert len(rows) > 50
    assert [(row["gold"], row["hardness"]) for row in rows if hardness(row["gold"]) != row["hardness"]] == []
