"""The reference pages say what the code says: every command, every option, every setting."""

import shlex
from pathlib import Path

import pytest

from data.errors import UserError
from pipeline.config import Config, load_config
from pipeline.reference import DOCS, allowed, commands, examples, fill, mark, refreshed, settings, write_reference

PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_made_of_the_code_is_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if refreshed(text) != text:
        pytest.fail(f"docs/{page.name} is out of date; run python -m pipeline.reference", pytrace=False)


def test_every_command_is_there_with_its_options_and_defaults() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert [line[len("## loraql ") :] for line in text.splitlines() if line.startswith("## loraql ")] == list(
        commands()
    )
    synth = text.split("## loraql synth\n")[1].split("\n## ")[0]
    assert "| `DB` | must be given |" in synth
    assert "| `--n N` | `500` | how many pairs; N from 1 to 1000000 |" in synth
    assert "| `--resume`, `--no-resume` | `--resume` |" in text
    assert "\nloraql synth shop.sqlite\n" in synth
    assert "may be given several times" in text.split("## loraql import\n")[1].split("\n## ")[0]


def test_every_command_and_every_option_says_what_it_is() -> None:
    silent = [name for name, command in commands().items() if not command.help or not examples(command)]
    silent += [
        f"{name} {parameter.name}"
        for name, command in commands().items()
        for parameter in command.params
        if not parameter.help
    ]
    assert not silent


@pytest.mark.parametrize("name", list(commands()))
def test_the_examples_of_a_command_are_understood(name: str) -> None:
    command = commands()[name]
    for line in examples(command):
        words = shlex.split(line.split("    #")[0].split(" < ")[0])[1:]
        own = name.split()
        assert words[: len(own)] == own, line
        given = command.make_context(name, words[len(own) :]).params
        if given.get("overrides"):
            base = given["recipe"] if not given["recipe"].startswith("my") else "sample"
            load_config(base, given["overrides"])


def test_every_setting_is_there_and_says_what_it_is() -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    found = dict(settings(Config))
    assert [key for key in found if f"\n| `{key}` | " not in text] == []
    silent = [key for key, schema in found.items() if not schema.get("description")]
    assert not silent, f"without a description: {silent}"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("seed", "a whole number from 0 to 4294967295"),
        ("selection.databases", "a whole number from 0, or a list"),
        ("selection.race", "a number above 0.5 and below 1"),
        ("data.synthetic", "a list of paths"),
        ("train.lora.dropout", "a number from 0 and below 1"),
        ("train.speed", "`auto`, `off`, or a list of `fused`, `adam8bit`, `liger`, `compile`"),
        ("prompt.linking", "`true`, `false`"),
        ("sandbox.workers", "a whole number from 1"),
    ],
)
def test_what_a_setting_may_be_is_said_in_words(key: str, words: str) -> None:
    assert allowed(dict(settings(Config))[key]) == words


def test_writing_changes_only_what_is_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n{mark('commands')}\nold\n<!-- end -->\nAfter.\n", encoding="utf-8")
    assert write_reference(tmp_path) == [page]
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n")
    assert text.endswith("<!-- end -->\nAfter.\n")
    assert "## loraql run" in text
    assert "\nold\n" not in text
    assert write_reference(tmp_path) == [], "a second time changes nothing"


def test_a_mark_without_an_end_and_no_docs_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no <!-- end --> follows"):
        fill(f"{mark('commands')}\n", "commands", "new")
    with pytest.raises(UserError, match="no such folder"):
        write_reference(tmp_path / "docs")
