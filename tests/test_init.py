"""`loraql init`: a recipe for any data, model, machine and time; it loads, and says why each value is what it is."""

import json
import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from data.errors import UserError
from pipeline import new_recipe
from pipeline.config import load_config
from pipeline.fitting import Data, Fit, Machine, Model, fit

Loraql = Callable[..., str]
DATA = Data("mine", 6000, 1000, 1000, has_select=True)
CPU = Machine("cpu", 20e9, 1e11, "2 CPU cores")
GPU = Machine("gpu", 24e9, 6e13, "a GPU with 24 GB")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, on a machine with a known speed and memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(new_recipe, "_flops", lambda device: 2e11)
    monkeypatch.setattr(new_recipe, "training_memory", lambda: [20e9])


def import_made(name: str = "my-shop") -> None:
    folder = Path("data/raw", name)
    folder.mkdir(parents=True)
    counts = {"train": 60, "select": 8, "dev": 8}
    (folder / "dataset.json").write_text(json.dumps({"questions": counts}), encoding="utf-8")


def chosen(model: Model, machine: Machine, hours: float = 1000, data: Data = DATA) -> Fit:
    return fit(model, data, machine, hours, 1024)


@pytest.mark.parametrize(
    ("data", "model", "gpu"),
    product(
        ["sample", "spider", "my-shop"],
        ["smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-360M-Instruct", "Qwen/Qwen2.5-Coder-7B-Instruct"],
        ["auto", "none", "24", "80"],
    ),
)
def test_every_recipe_loads_and_says_why(loraql: Loraql, data: str, model: str, gpu: str) -> None:
    import_made()
    for hours in ("1", "12", "1000"):
        words = ["init", "mine", "--data", data, "--model", model, "--gpu", gpu, "--hours", hours, "--force"]
        if "7B" in model and gpu in ("auto", "none"):
            assert "takes about 29 GB when it is scored and exported" in loraql(*words, code=1)
            assert not Path("mine.yaml").exists()
            continue
        shown = loraql(*words)
        assert "next: loraql run mine.yaml --quick" in shown
        config, quick = load_config("mine.yaml", []), load_config("mine.yaml", [], quick=True)
        assert (config.data.source, config.model.base, quick.name) == (data, model, "mine-quick")
        assert config.train.max_steps >= 16
        assert quick.train.max_steps == 2
        assert (config.selection.databases == 0) == (data == "my-shop")
        lines = Path("mine.yaml").read_text(encoding="utf-8").splitlines()
        for key in ("quantization", "learning_rate", "batch_size", "max_steps", "checkpoints", "base", "max_length"):
            assert any(line.strip().startswith(f"{key}:") and "  # " in line for line in lines), key
    assert {path.name for path in Path().iterdir()} <= {"data", "mine.yaml"}


def test_a_recipe_that_is_there_is_left_alone(loraql: Loraql) -> None:
    Path("mine.yaml").write_text("mine", encoding="utf-8")
    assert "mine.yaml: is there already" in loraql("init", "mine", code=1)
    assert Path("mine.yaml").read_text(encoding="utf-8") == "mine"
    loraql("init", "mine", "--force")
    assert load_config("mine.yaml", []).name == "mine"


def test_without_a_terminal_what_is_not_given_has_a_default(loraql: Loraql) -> None:
    assert "recipe: sample-smollm2-135m.yaml" in loraql("init", "--gpu", "none")
    config = load_config("sample-smollm2-135m.yaml", [])
    assert config.data.source == "sample"
    assert config.selection.databases == ("library",)


def test_at_a_terminal_it_asks(loraql: Loraql, monkeypatch: pytest.MonkeyPatch) -> None:
    import_made()
    answers = iter(["my-shop", "Qwen/Qwen2.5-0.5B-Instruct", "16", "2", "asked"])
    asked = []

    def prompt(question: str, default: str) -> str:
        asked.append((question, default))
        return next(answers)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(new_recipe.typer, "prompt", prompt)
    shown = loraql("init")
    assert "Data sets: sample, spider, my-shop." in shown
    assert "Fitted to a GPU with 16 GB" in shown
    assert [default for _, default in asked] == ["sample", "smollm2-135m-instruct", "none", "1", "my-shop-qwen2.5-0.5b"]
    assert load_config("asked.yaml", []).model.base == "Qwen/Qwen2.5-0.5B-Instruct"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "mine"], "--data mine: there are sample, spider"),
        (["--model", "no model"], "--model no model: neither smollm2-135m-instruct, a Hugging Face id"),
        (["--model", "empty"], "--model empty: no config.json in it"),
        (["--gpu", "big"], "--gpu big: give auto, none, or the memory"),
        (["--gpu", "nan"], "--gpu nan: give its memory"),
        (["--hours", "0"], "--hours 0: give more than 0"),
        (["--hours", "nan"], "--hours nan: give more than 0"),
        (["a/b"], "a/b: give letters"),
    ],
)
def test_what_cannot_be_is_one_line(loraql: Loraql, arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    error = loraql("init", *arguments, code=2)
    assert message in error
    assert error.count("\n") == 1


def test_a_local_model_s_size_is_that_of_its_weights(tmp_path: Path) -> None:
    folder = tmp_path / "called-7B"
    folder.mkdir()
    (folder / "config.json").write_text('{"num_hidden_layers": 12}', encoding="utf-8")
    head = json.dumps(
        {"__metadata__": {}, "w": {"dtype": "F32", "shape": [1000, 500], "data_offsets": [0, 0]}}
    ).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    assert new_recipe._model(str(folder)) == Model(str(folder), 0.0005, 12)
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="damaged"):
        new_recipe._model(str(folder))


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen2.5-Coder-7B-Instruct", 7),
        ("HuggingFaceTB/SmolLM2-135M", 0.135),
        ("a/gemma-3-1b-it", 1),
        ("a/Qwen2.5-0.5B", 0.5),
        ("a/phi-4", 7),
    ],
)
def test_a_model_s_size_is_told_from_its_name(name: str, billions: float) -> None:
    assert new_recipe._model(name).billions == billions


def test_small_models_stay_whole_and_large_ones_go_to_four_bits() -> None:
    assert chosen(Model("small", 0.135), CPU).quantization == "none"
    large = chosen(Model("large", 7.6), GPU)
    assert (large.quantization, large.batch * large.accumulation) == ("nf4", 16)
    roomy = chosen(Model("large", 7.6), Machine("gpu", 140e9, 3e14, "one"))
    assert (roomy.quantization, roomy.checkpointing) == ("none", False)
    assert roomy.memory < 140e9
    with pytest.raises(UserError, match="about 801 GB when it is scored and exported"):
        chosen(Model("huge", 400), GPU)
    with pytest.raises(UserError, match="about 22 GB in four bits, one example at a time"):
        fit(Model("large", 7.6), DATA, Machine("gpu", 18e9, 6e13, "one"), 1000, 16384)


def test_more_time_buys_more_passes_until_there_are_three() -> None:
    small = Model("small", 0.135, 30)
    fits = [chosen(small, CPU, hours) for hours in (1, 4, 1000)]
    assert [one.limit is None for one in fits] == [False, True, True]
    assert sorted(one.steps for one in fits) == [one.steps for one in fits]
    assert fits[-1].passes == pytest.approx(3, abs=0.01)
    assert fits[-1].freeze == 0
    assert all(one.train_hours + one.score_hours <= hours for one, hours in zip(fits, (1, 4, 1000), strict=True))
    with pytest.raises(UserError, match=r"0.001 hours are too short .* give --hours 0\.\d or a smaller --model"):
        chosen(small, CPU, 0.001)


def test_the_hours_that_it_asks_for_are_enough() -> None:
    with pytest.raises(UserError) as error:
        chosen(Model("middle", 1.5), CPU, 0.1)
    wanted = float(str(error.value).split("--hours ")[1].split()[0])
    assert chosen(Model("middle", 1.5), CPU, wanted).steps >= 16
