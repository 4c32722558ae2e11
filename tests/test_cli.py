"""The shell: help is fast, every error is one line with an exit code, nothing half-written stays."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import small_spider

from data import embedded
from pipeline.panels import PANELS

Loraql = Callable[..., str]
COMMANDS = [
    "download", "prepare", "render", "train", "evaluate", "export", "ask", "run", "plan", "status", "import", "synth", "score", "compare",
    "chat", "serve", "suite", "push", "runs", "clean", "init", "doctor",
]  # fmt: skip


def test_the_commands_are_these(loraql: Loraql) -> None:
    shown = loraql("--help")
    assert [name for name in COMMANDS if f"\n  {name} " in shown] == COMMANDS


def test_help_puts_every_command_into_a_panel_whole(loraql: Loraql) -> None:
    shown = loraql("--help")
    assert "More:" not in shown
    assert [title for title in PANELS if f"\n\n{title}:\n" in shown] == list(PANELS)
    assert "..." not in shown.split("The line:")[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(loraql: Loraql, command: str) -> None:
    assert f"Examples:\n    loraql {command}" in loraql(command, "--help")


def test_help_loads_no_heavy_library() -> None:
    code = "import sys; from pipeline.cli import main; main(['--help']); print(sorted({'torch', 'transformers', 'pandas', 'pydantic'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("[]\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "sample", "train.learning_rat=1"], "did you mean 'learning_rate'?"),
        (["train", "smaple"], "smaple: no such recipe; there are sample"),
        (["train", "mine.yaml"], "mine.yaml: no such recipe file"),
        (["train"], "Missing argument 'RECIPE'"),
        (["trian", "sample"], "trian"),
        (["train", "sample", "--fast"], "--fast"),
        (["download", "spidre"], "spidre: no such recipe"),
    ],
)
def test_bad_usage_is_exit_code_2(loraql: Loraql, recipe: Path, arguments: list[str], message: str) -> None:
    error = loraql(*arguments, code=2)
    assert message in error
    assert error.startswith("loraql: ")
    assert error.count("\n") == 1


def test_a_stage_without_the_one_before_says_which(loraql: Loraql, recipe: Path) -> None:
    error = loraql("train", recipe, code=1)
    assert f"train needs download, which is not up to date (not run yet): run `loraql download {recipe}`" in error


def test_spider_from_a_zip_with_a_missing_database_and_a_broken_query(
    loraql: Loraql, tiny_recipes: None, recipe: Path
) -> None:
    small_spider(Path("unzipped"))
    shutil.make_archive("spider", "zip", "unzipped")
    shown = loraql("download", "spider", "--from", "spider.zip")
    assert "missing: the database coffee; 1 questions cannot be run" in shown
    assert "note: train_spider.json holds 374 questions, 7,000 were published" in shown
    assert "note: test.json is not there" in shown
    prepared = loraql("prepare", "spider-smollm2")
    assert "1 in shop: no_such_table: no such table: ghost" in prepared
    stats = json.loads(Path("data/raw/spider/processed/stats.json").read_text(encoding="utf-8"))
    assert stats["splits"]["train"]["gold"] == {"ok": 372, "no_database": 1, "no_such_table": 1}
    loraql("render", "spider-smollm2", "data.limit=null", "prompt.max_length=4000")
    rendered = json.loads(Path("runs/spider-smollm2/render/stats.json").read_text(encoding="utf-8"))
    splits = rendered["splits"]
    used = splits["train"]["kept"] + splits["select"]["kept"] + len(rendered["left_out_for_gold"])
    assert used == 374, "every training question is used or listed"
    assert [item["gold"] for item in rendered["left_out_for_gold"]] == ["no_such_table"]


def test_a_folder_is_as_good_as_a_zip_and_processed_files_survive(
    loraql: Loraql, tiny_recipes: None, recipe: Path
) -> None:
    small_spider(Path("unzipped"))
    loraql("download", "spider", "--from", "unzipped")
    loraql("prepare", "spider-smollm2")
    loraql("download", "spider", "--from", "unzipped", "--force")
    assert "prepare: up to date" in loraql("prepare", "spider-smollm2")


def test_no_network_says_where_to_put_the_file(loraql: Loraql, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from data import spider

    monkeypatch.setattr(spider, "ARCHIVE", "http://127.0.0.1:9/spider.zip")
    error = loraql("download", "spider", code=1)
    assert "get https://drive.google.com/file/d/1403EGqzIDoHMdQF4c9Bkyl7dZLZ5Wt6J/view in a browser" in error
    assert "save it as data/raw/spider_data.zip, then run `loraql download spider` again" in error
    assert not Path("data/raw/spider").exists()


def test_a_corrupt_zip(loraql: Loraql, recipe: Path) -> None:
    small_spider(Path("unzipped"))
    shutil.make_archive("spider", "zip", "unzipped")
    whole = Path("spider.zip").read_bytes()
    Path("spider.zip").write_bytes(whole[: len(whole) // 2])
    assert "spider.zip: not a whole, plain zip archive" in loraql("download", "spider", "--from", "spider.zip", code=1)
    Path("spider.zip").write_bytes(whole)
    error = loraql("download", "spider", f"data.sha256={'f' * 64}", "--from", "spider.zip", code=1)
    assert "spider.zip: its SHA-256 is" in error
    with zipfile.ZipFile("other.zip", "w") as other:
        other.writestr("notes.txt", "nothing here")
    assert "no folder in it holds dev.json and database/" in loraql("download", "spider", "--from", "other.zip", code=1)
    assert "absent.zip: no such file or folder" in loraql("download", "spider", "--from", "absent.zip", code=1)
    assert not Path("data/raw/spider").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("\n", "\nx,y\n", 1) + '"', "train.csv: "),
        (lambda text: text.replace("question,schema", "questions,schema", 1), "lacks the column 'question'"),
        (lambda text: text + ",,,,,,,\n", "row 373 has no question"),
    ],
)
def test_a_bad_row_is_named(loraql: Loraql, prepared: Path, damage: Callable[[str], str], message: str) -> None:
    path = Path("data/raw/sample/processed/train.csv")
    text = damage(path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    manifest = path.parent / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["outputs"]["train.csv"]["bytes"] = len(text.encode())
    manifest.write_text(json.dumps(content), encoding="utf-8")
    error = loraql("render", prepared, code=1)
    assert message in error
    assert "data/raw/sample/processed/train.csv" in error
    assert not Path("runs/tiny/render").exists()


def test_ask_wants_a_run_and_a_database(loraql: Loraql, recipe: Path) -> None:
    assert "nowhere: neither an exported model's folder nor a run" in loraql(
        "ask", "nowhere", "--db", "x.sqlite", "How many?", code=1
    )
    Path("bundle").mkdir()
    Path("bundle/loraql.json").write_text("{}", encoding="utf-8")
    Path("notes.sqlite").write_text("just text", encoding="utf-8")
    assert "notes.sqlite: not an SQLite database" in loraql(
        "ask", "bundle", "--db", "notes.sqlite", "How many?", code=1
    )
    assert "absent.sqlite: no such file or folder" in loraql(
        "ask", "bundle", "--db", "absent.sqlite", "How many?", code=1
    )
    embedded.build_database("CREATE TABLE t (a INT);", Path("t.sqlite"))
    assert "prompt.jinja: missing" in loraql("ask", "bundle", "--db", "t.sqlite", "How many?", code=1)


def test_a_full_disk_is_one_line(loraql: Loraql, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def fill(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "dev.json"))

    monkeypatch.setattr(embedded, "build", fill)
    error = loraql("download", "sample", code=1)
    assert "the disk is full" in error
    assert error.count("\n") == 1
    assert not Path("data/raw/sample").exists()


def test_an_interrupt_says_how_to_go_on(loraql: Loraql, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "build", interrupt)
    monkeypatch.setattr(sys, "argv", ["loraql", "download", "sample"])
    assert "go on with: loraql download sample" in loraql("download", "sample", code=130)
    monkeypatch.setattr(sys, "argv", ["loraql", "import", "p.csv", "--db", "mysql://me:s3cr:@t@host/shop"])
    shown = loraql("download", "sample", code=130)
    assert "s3cr" not in shown
    assert "mysql://me:...@host/shop" in shown


def test_python_m_pipeline_is_the_same() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pipeline", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert shown.startswith("Usage: loraql [OPTIONS] COMMAND")
    assert "loraql run sample" in shown
