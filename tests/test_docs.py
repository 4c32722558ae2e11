"""What README and docs say is so: their commands run, their links and files are there.

All pages start from one folder, in which the tiny model has gone the whole line once.
"""

import csv
import io
import json
import re
import runpy
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import make_tiny_recipes, small_spider
from gpt2 import make_tiny_gpt2
from test_cli import COMMANDS

from data import spider
from pipeline import base, processes
from pipeline import config as config_module
from pipeline import train as training
from pipeline.cli import main
from pipeline.config import Config
from pipeline.reference import commands

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("", "sh", "bash", "shell", "console")
TINY = {"train": {"freeze_layers": 2, "max_steps": 2, "checkpoints": 1}, "evaluate": {"max_new_tokens": 8}}
# Shell commands that no test of a page runs, by how they begin, with the reason. All else runs, and options of
# loraql's own commands are checked even so.
NOT_RUN = {
    "make ": "installs, or runs all tests; that there is such a target is checked",
    "python3 -m venv": "makes the environment that the tests run in",
    ".venv/bin/pip install": "fetches packages",
    ".venv/bin/loraql run sample": "the environment made above; `loraql run sample` runs everywhere else",
    "docker ": "builds on the network",
    "loraql import pairs.csv --db postgresql://": "a server of the user's; tests/test_servers.py has one",
    "loraql serve ": "does not end by itself; tests/test_serve_docs.py starts servers",
    "loraql synth museum.sqlite --n 500 --reword": "a model of several GB; tests/test_synth.py has a tiny one",
    "pip install 'loraql[gguf]'": "compiles llama.cpp",
    "ollama ": "another program; tests/test_export.py reads its Modelfile",
    "loraql export sample --kind pgllm --db postgresql://": "a server of the user's; tests/test_pgllm.py has one",
    "loraql synth postgresql://": "a server of the user's; tests/test_synth.py has one",
}


def shell_lines(page: Path) -> Iterator[str]:
    """The commands of the page's shell blocks, fenced or indented, without comments."""
    text = page.read_text(encoding="utf-8")
    blocks = [block for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S) if language in SHELL]
    indented = re.findall(r"^    (loraql .*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    for line in [*"".join(blocks).replace("\\\n", " ").splitlines(), *indented]:
        # What is indented or names a folder is the tree of the files.
        if line.strip() and not re.match(r" |(pipeline|prompts|eval|data|tests|docs|benchmarks)/", line):
            yield line.removeprefix("$ ").split("    #")[0].strip()


def not_run(line: str) -> str | None:
    return next((begin for begin in NOT_RUN if line.startswith(begin)), None)


@pytest.fixture(scope="module")
def ready(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pages take to be there: a run of the sample, Spider's archive, own data, predictions."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        stand_in(patch, tiny_model, make_tiny_recipes(folder / "recipes", tiny_model))
        small_spider(Path("unzipped"))
        shutil.make_archive("spider_data", "zip", "unzipped")
        assert main(["run", "sample"]) == 0
        assert main(["download", "spider", "--from", "spider_data.zip"]) == 0
        write_own_data()
    return folder


def stand_in(patch: pytest.MonkeyPatch, tiny_model: Path, recipes: Path) -> None:
    """The tiny model for the embedded one, a small archive for Spider's, one process for several."""
    patch.setattr(config_module, "RECIPES", recipes)
    patch.setattr(base, "_embedded", lambda: tiny_model)
    read = config_module._read_recipe

    def for_the_tiny_model(recipe: str) -> tuple[dict[str, Any], str]:
        values, origin = read(recipe)
        if recipe.endswith(".yaml"):  # one that a page has made
            config_module._merge(values, TINY)
        return values, origin

    patch.setattr(config_module, "_read_recipe", for_the_tiny_model)
    patch.setattr("sys.stdin", io.StringIO("/schema\n/quit\n"))  # what is typed into a chat
    patch.setattr(spider, "ARCHIVE", (recipes.parent / "spider_data.zip").as_uri())
    for module in (processes, training):
        patch.setattr(module, "spread", alone)


def alone(work: str, count: int, config: Config, *words: str, accelerate: Path | None = None) -> None:
    """Does by itself what several processes are started for; tests of processes start them (test_processes.py, ...)."""
    from pipeline.evaluate import choose

    assert count > 1
    assert accelerate is None or accelerate.is_file()
    if work == "evaluate":
        choose(config, Path(words[0]))
    else:
        own = config.train.model_copy(update={"processes": 1, "sharding": "none"})
        training.fit(config.model_copy(update={"train": own}), Path(words[0]), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_runs(
    page: Path,
    loraql: Callable[..., str],
    ready: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = list(shell_lines(page))
    if any(not not_run(line) for line in lines):
        shutil.copytree(ready, tmp_path / "work")
        monkeypatch.chdir(tmp_path / "work")
        stand_in(monkeypatch, tiny_model, tmp_path / "work" / "recipes")
        if page.name == "spider.md":  # which fetches it
            shutil.rmtree("data/raw/spider")
        if page.name == "postgres-model.md":
            make_tiny_gpt2(Path("gpt2"))
    for line in lines:
        words = shlex.split(line)
        if not_run(line):
            if words[0] == "make":
                assert f"\n{words[1]}:" in makefile, line
            elif words[0] == "loraql":
                check_usage(words[1:])
        else:
            assert words[0] == "loraql", f"{page.name}: {line}: run it here, or say in NOT_RUN why not"
            loraql(*words[1:])


def check_usage(words: list[str]) -> None:
    """Raises what typer says where there is no such command, argument or option."""
    found = commands()
    name = next(name for name in sorted(found, key=len, reverse=True) if words[: name.count(" ") + 1] == name.split())
    found[name].make_context(name, words[name.count(" ") + 1 :])


def test_what_is_not_run_is_on_some_page() -> None:
    used = {not_run(line) for page in PAGES for line in shell_lines(page)}
    assert used - {None} == set(NOT_RUN)


def write_own_data() -> None:
    """The files that pages import and score: the sample's shop, its pairs, a meaning; golds, as if predicted."""
    questions = json.loads(Path("data/raw/sample/dev.json").read_text(encoding="utf-8"))
    golds = [f"{item['query']}\t{item['db_id']}\n" for item in questions]
    Path("dev_gold.sql").write_text("".join(golds), encoding="utf-8")
    Path("predicted.sql").write_text("".join(f"{item['query']}\n" for item in questions), encoding="utf-8")
    shutil.copyfile("data/raw/sample/database/shop/shop.sqlite", "shop.sqlite")
    entries = json.loads(Path("data/raw/sample/train.json").read_text(encoding="utf-8"))
    pairs = [(entry["question"], entry["query"]) for entry in entries if entry["db_id"] == "shop"]
    for name, header in (("pairs.csv", ("question", "sql")), ("german.csv", ("Frage", "Abfrage"))):
        with Path(name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *pairs])
    verdicts = [{"question": question, "query": query, "db_id": "shop", "verdict": "good"} for question, query in pairs]
    Path("corrections.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in verdicts), encoding="utf-8")
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


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")} - {"README.md"}
    assert pages <= set(re.findall(r"\]\(([\w.-]+)\)", index))


def test_the_cells_of_the_notebook_run(
    ready: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ready, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    stand_in(monkeypatch, tiny_model, tmp_path / "work" / "recipes")
    notebook = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert "up to date" in capsys.readouterr().out, "scores are read, not measured again"
    assert {"base", "checkpoint-2", "checkpoint-4"} >= set(names["scores"])  # type: ignore[call-overload]


def test_the_notebook_is_as_its_script_makes_it_and_names_no_folder_of_a_machine() -> None:
    pytest.importorskip("nbformat", reason="nbformat is not installed: pip install -e '.[dev]'")
    text = (ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "docs" / "notebook.py"))["notebook"]()
    cells = json.loads(text)["cells"]
    assert ["".join(cell["source"]) for cell in cells] == [cell["source"] for cell in made["cells"]]
    assert all(cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    assert not re.search(r"/(home|root|tmp|Users|work)/", text)
