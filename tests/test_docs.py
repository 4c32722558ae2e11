"""What README and docs say is so: their commands run, their links and files are there."""

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import small_spider
from test_cli import COMMANDS

from pipeline import base
from pipeline.config import Config
from pipeline.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(page: Path) -> Iterator[str]:
    """The lines of the page's shell blocks."""
    for block in re.findall(r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.strip() and not line.startswith(
                (" ", "pipeline/", "prompts/", "eval/", "data/", "tests/", "docs/", "benchmarks/")
            ):
                yield line.split("    #")[0].strip()


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=lambda page: page.name)
def test_every_command_of_a_page_runs(
    page: Path,
    loraql: Callable[..., str],
    tiny_model: Path,
    tiny_recipes: None,
    recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from data import spider

    small_spider(Path("unzipped"))
    shutil.make_archive("spider_data", "zip", "unzipped")
    monkeypatch.setattr(spider, "ARCHIVE", Path("spider_data.zip").resolve().as_uri())
    monkeypatch.setattr(base, "_embedded", lambda: tiny_model)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    loraql("run", "sample")
    if page.name != "spider.md":
        loraql("download", "spider", "--from", "spider_data.zip")
    questions = json.loads(Path("data/raw/sample/dev.json").read_text(encoding="utf-8"))
    Path("dev_gold.sql").write_text(
        "".join(f"{item['query']}\t{item['db_id']}\n" for item in questions), encoding="utf-8"
    )
    Path("predicted.sql").write_text("".join(f"{item['query']}\n" for item in questions), encoding="utf-8")
    write_own_data()
    for command in commands(page):
        words = shlex.split(command)
        program = Path(words[0]).name
        if program == "loraql":
            loraql(*words[1:])
        elif program == "make":
            assert f"\n{words[1]}:" in makefile, command
        else:
            assert program in {"python3", "pip", "docker"}, command


def write_own_data() -> None:
    """The files that the page on own data imports: the sample's shop, its pairs, a meaning."""
    shutil.copyfile("data/raw/sample/database/shop/shop.sqlite", "shop.sqlite")
    entries = json.loads(Path("data/raw/sample/train.json").read_text(encoding="utf-8"))
    pairs = [(entry["question"], entry["query"]) for entry in entries if entry["db_id"] == "shop"]
    for name, header in (("pairs.csv", ("question", "sql")), ("german.csv", ("Frage", "Abfrage"))):
        with Path(name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *pairs])
    meaning = "table,column,description,unit,values\nproduct,price,what a customer pays for one,EUR,\n"
    Path("meanings.csv").write_text(meaning, encoding="utf-8")


def test_every_command_is_documented() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"`loraql {name}`" in text


def test_every_file_of_the_tree_and_every_link_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.split("## The house")[1].split("```")[1]
    named = re.findall(r"\b(\w+\.py)\b", tree)
    assert sorted(named) == sorted(
        path.name for path in (ROOT / "pipeline").glob("*.py") if not path.name.startswith("__")
    )
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [key for key in keys(Config) if f"`{key}`" not in text]
    assert not missing


def keys(model: type[Settings], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
