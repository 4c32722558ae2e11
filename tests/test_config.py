"""Recipes and settings: what is wrong is named with its key, what was given and what is allowed."""

from pathlib import Path

import pytest

from data.errors import UsageError
from pipeline.config import load_config, recipe_names


@pytest.mark.parametrize("recipe", recipe_names())
@pytest.mark.parametrize("quick", [False, True])
def test_every_recipe_loads(recipe: str, quick: bool) -> None:
    config = load_config(recipe, [], quick=quick)
    assert config.name == recipe + ("-quick" if quick else "")


def test_the_shipped_recipes_are_there() -> None:
    assert recipe_names() == ["sample", "spider-qwen2.5-coder-7b", "spider-smollm2", "spider-smollm2-shots"]


def test_overrides_and_seed_reach_the_config() -> None:
    config = load_config(
        "sample", ["train.learning_rate=1e-4", "selection.databases=[shop, clinic]", "name=other"], seed=7
    )
    assert config.train.learning_rate == 1e-4
    assert config.selection.databases == ("shop", "clinic")
    assert (config.name, config.seed) == ("other", 7)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rat=1", "train.learning_rat: no such setting; did you mean 'learning_rate'?"),
        ("train.lora.ranks=1", "train.lora.ranks: no such setting; did you mean 'rank'?"),
        ("zebra=1", "zebra: no such setting; allowed here: name, runs, seed"),
        ("train.learning_rate=fast", "train.learning_rate: 'fast' was given: input should be a valid number"),
        ("train.learning_rate=-1", "train.learning_rate: -1 was given: input should be greater than 0"),
        ("train.quantization=int3", "train.quantization: 'int3' was given: input should be 'nf4', 'int8' or 'none'"),
        ("train=fast", "train: 'fast' was given"),
        ("name=../x", "name: '../x' was given"),
        ("train.learning_rate", "settings are given as key=value"),
        ("=3", "settings are given as key=value"),
        ("seed.x=3", "seed.x: 'seed' is a value, not a section"),
        ("train.batch_size=[", "the value is not valid YAML"),
        ("train.speed=[fused, fast]", "train.speed: 'fast' was given; there are auto, off, fused, adam8bit"),
        ("train.speed=3", "train.speed: 3 was given"),
        ("train.packing=3", "train.packing: 3 does not divide train.batch_size, which is 8"),
        ("prompt.preset=seed", "prompt.order: the preset 'seed' has only question-first"),
        ("data.source=../spider", "data.source: '../spider' was given"),
        ("prompt.embedder=some-model", "prompt.embedder: prompt.choice=keyword does not use one"),
    ],
)
def test_a_bad_override_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_config("sample", ["seed=1", override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\ntrain: {ranks: 3}\n", "train.ranks: no such setting"),
        ("name: [unclosed", "not valid YAML"),
        ("- a list", "not a mapping of settings"),
        ("seed: 3", "name: must be given"),
    ],
)
def test_a_bad_recipe_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_config(str(path), [])
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="no such recipe; there are sample, spider-"):
        load_config("smaple", [])
    with pytest.raises(UsageError, match=r"mine\.yaml: no such recipe file"):
        load_config("mine.yaml", [])


def test_quick_needs_a_quick_section(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: a", encoding="utf-8")
    with pytest.raises(UsageError, match="has no `quick` section"):
        load_config(str(path), [], quick=True)
