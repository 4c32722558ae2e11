"""A tiny random model made on the spot, and recipes that use it: the whole line in seconds."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from data import embedded
from pipeline import config as config_module
from pipeline.cli import main

CHAT_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A four-layer random Llama with a small vocabulary, pad and end token the same, as a model folder."""
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def make_tiny_model(folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = [path.read_text(encoding="utf-8") for path in sorted(Path(embedded.__file__).parent.glob("sample/*.json"))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|start|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>", bos_token="<|start|>"
    )
    fast.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    sizes = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        initializer_range=0.2,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.eos_token_id,
    )
    LlamaForCausalLM(sizes).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def tiny_settings(tiny_model: Path) -> dict[str, object]:
    return {
        "data": {"source": "sample", "limit": 12},
        "selection": {"databases": ["library"]},
        "prompt": {"order": "schema-first", "max_length": 4000},
        "model": {"base": str(tiny_model)},
        "train": {
            "quantization": "none",
            "freeze_layers": 2,
            "max_steps": 4,
            "batch_size": 4,
            "checkpoints": 2,
            "learning_rate": 1e-2,
        },
        "cache": {"max_gb": 0, "answers": False},  # of the user, whose tests are not to fill it
        "evaluate": {"batch_size": 8, "max_new_tokens": 8},
        "sandbox": {"workers": 2},
        "export": {"questions": 4, "gguf": ["f16"]},  # 8 bits change what a model of random weights writes
    }


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of the sample data and the tiny model, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({"name": "tiny"} | tiny_settings(tiny_model)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished_line(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the recipe below has run to the end, once for all tests. Not to be changed: they copy from it."""
    folder = tmp_path_factory.mktemp("line")
    (folder / "tiny.yaml").write_text(yaml.safe_dump({"name": "tiny"} | tiny_settings(tiny_model)), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "tiny.yaml"]) == 0
    return folder


@pytest.fixture
def prepared(recipe: Path, finished_line: Path) -> Path:
    """The recipe, with its data prepared."""
    return up_to(recipe, finished_line)


@pytest.fixture
def rendered(recipe: Path, finished_line: Path) -> Path:
    """The recipe, run up to its prompts."""
    return up_to(recipe, finished_line, "render")


@pytest.fixture
def trained(recipe: Path, finished_line: Path) -> Path:
    """The recipe, run up to its checkpoints."""
    return up_to(recipe, finished_line, "render", "train")


@pytest.fixture
def finished(recipe: Path, finished_line: Path) -> Path:
    """The recipe, run to the end."""
    return up_to(recipe, finished_line, "render", "train", "evaluate", "export")


def up_to(recipe: Path, finished_line: Path, *stages: str) -> Path:
    for name in ("data", *(f"runs/tiny/{stage}" for stage in stages)):
        shutil.copytree(finished_line / name, recipe.parent / name)
    if stages:
        shutil.copyfile(finished_line / "runs/tiny/config.yaml", recipe.parent / "runs/tiny/config.yaml")
    return recipe


@pytest.fixture
def tiny_recipes(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped recipes' names, with the tiny model and few steps behind them."""
    monkeypatch.setattr(config_module, "RECIPES", make_tiny_recipes(tmp_path / "recipes", tiny_model))


def make_tiny_recipes(folder: Path, tiny_model: Path) -> Path:
    folder.mkdir()
    for path in config_module.RECIPES.iterdir():
        name = path.name.removesuffix(".yaml")
        values = {"name": name} | tiny_settings(tiny_model)
        if name.startswith("spider"):
            values["data"] = {"source": "spider"}
            values["selection"] = {"databases": 1}
        (folder / path.name).write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder


@pytest.fixture
def loraql(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command line in this process; its output. Fails if the exit code is not the one expected."""

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        got = main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        assert got == code, f"exit {got} from {arguments}: {shown.err or shown.out}"
        return shown.err if code else shown.out

    return run


def small_spider(folder: Path) -> Path:
    """The sample in Spider's layout and file names, one database missing, as a zip would hold it."""
    root = folder / "spider_data"
    embedded.build(root)
    (root / "train.json").rename(root / "train_spider.json")
    (root / "train_others.json").write_text("[]", encoding="utf-8")
    (root / "tables.json").write_text(json.dumps([coffee_entry()]), encoding="utf-8")
    questions = json.loads((root / "train_spider.json").read_text(encoding="utf-8"))
    questions.append({"db_id": "coffee", "question": "How many beans are there?", "query": "SELECT count(*) FROM bean"})
    questions.append({"db_id": "shop", "question": "Which ghosts are there?", "query": "SELECT name FROM ghost"})
    (root / "train_spider.json").write_text(json.dumps(questions), encoding="utf-8")
    return root


def coffee_entry() -> dict[str, object]:
    return {
        "db_id": "coffee",
        "table_names_original": ["bean"],
        "column_names_original": [[-1, "*"], [0, "bean_id"], [0, "name"]],
        "column_types": ["text", "number", "text"],
        "primary_keys": [1],
        "foreign_keys": [],
    }


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # each has a core of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")
