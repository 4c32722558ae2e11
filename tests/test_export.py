"""The kinds of export: each is checked against the model it was made of, and its card's lines run."""

import io
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import tiny_settings
from gguf import GGUFWriter

from data.errors import UserError
from pipeline.card import base_license, write_card
from pipeline.cli import main
from pipeline.config import Config, load_config
from pipeline.drift import answers, drawn_prompts
from pipeline.gguf_file import write_gguf
from pipeline.gguf_tokenizer import PATTERNS, add_tokenizer, split_name
from pipeline.model import load_model, load_tokenizer
from pipeline.modelfile import read_dialogue
from pipeline.run import LINE
from pipeline.settings import ModelSettings

Loraql = Callable[..., str]
QUESTION = [{"role": "user", "content": "How many?"}]
DIALOGUE = [*QUESTION, {"role": "assistant", "content": "SELECT 1"}, {"role": "user", "content": "And which?"}]
SYSTEM = [{"role": "system", "content": "Be brief."}, *DIALOGUE]


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which the whole line ran once, with every kind that can be made."""
    folder = tmp_path_factory.mktemp("finished")
    before = Path.cwd()
    os.chdir(folder)
    try:
        recipe = {"name": "tiny"} | tiny_settings(tiny_model)
        Path("tiny.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        assert main(["run", "tiny.yaml"]) == 0
        assert main(["export", "tiny.yaml", "--kind", "adapter", "--kind", "gguf"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The exports of a copy of it to change, which is the working folder."""
    shutil.copytree(finished, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return Path("runs/tiny/export")


@pytest.fixture
def trained(tiny_model: Path) -> Callable[[dict[str, Any]], Path]:
    """Makes a copy of the tiny model with another config.json."""

    def make(changes: dict[str, Any]) -> Path:
        folder = Path("changed")
        shutil.copytree(tiny_model, folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
        return folder

    return make


def test_kinds_are_stages_that_have_nothing_to_do_twice(run: Path, loraql: Loraql) -> None:
    assert "export gguf: up to date" in loraql("export", "tiny.yaml", "--kind", "gguf")
    assert "fresh" in next(line for line in loraql("status", "tiny.yaml").splitlines() if "export gguf" in line)
    # Merging again keeps what was made of the same model.
    loraql("export", "tiny.yaml", "--force")
    assert (run / "gguf" / "tiny-F16.gguf").is_file()
    assert "export gguf: up to date" in loraql("export", "tiny.yaml", "--kind", "gguf")
    (run / "gguf" / "Modelfile").unlink()
    assert "stale" in next(line for line in loraql("status", "tiny.yaml").splitlines() if "export gguf" in line)
    # What only the card says reaches every kind.
    assert "export gguf: " in loraql("export", "tiny.yaml", "export.license=mit", "--kind", "gguf")
    assert 'LICENSE """MIT' in (run / "gguf" / "Modelfile").read_text(encoding="utf-8")
    assert "\nlicense: mit\n" in (run / "merged" / "README.md").read_text(encoding="utf-8")


def test_a_kind_that_there_is_not_is_refused(run: Path, loraql: Loraql) -> None:
    assert "--kind tflite: no such kind; there are merged, adapter, gguf" in loraql(
        "export", "tiny.yaml", "--kind", "tflite", code=2
    )


def test_onnx_says_what_it_would_need(run: Path, loraql: Loraql) -> None:
    shutil.rmtree(run)  # nothing is merged in vain
    shown = loraql("export", "tiny.yaml", "--kind", "onnx", code=1)
    assert "wants transformers<4.58" in shown
    assert "--kind gguf" in shown
    assert len(shown.splitlines()) == 1
    assert not run.exists()


def test_the_adapter_names_its_base_and_no_folder_of_this_machine(run: Path, tiny_model: Path) -> None:
    settings = json.loads((run / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == "tiny"
    assert {"adapter_model.safetensors", "tokenizer.json", "prompt.jinja", "loraql.json", "README.md"} <= {
        path.name for path in (run / "adapter").iterdir()
    }
    for path in [path for kind in ("merged", "adapter", "gguf") for path in (run / kind).glob("*.[jm]*")]:
        if path.name != "manifest.json":  # which is not uploaded
            assert str(tiny_model) not in path.read_text(encoding="utf-8"), path


def test_an_adapter_that_answers_differently_is_refused(
    run: Path, loraql: Loraql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import export_adapter

    def damage(source: Path, target: Path) -> None:
        from safetensors.torch import load_file, save_file

        save_file({name: 50 * weights + 1 for name, weights in load_file(source).items()}, target)

    monkeypatch.setattr(export_adapter.shutil, "copyfile", damage)
    shown = loraql("export", "tiny.yaml", "--kind", "adapter", "--force", code=1)
    assert "answers differ between the exported adapter and the checkpoint" in shown
    assert "between the exported adapter" in loraql(
        "export", "tiny.yaml", "--kind", "adapter", "--force", "--allow-drift"
    )


def test_a_gguf_file_holds_the_model_as_llama_cpp_wants_it(run: Path, tiny_model: Path) -> None:
    import gguf

    reader = gguf.GGUFReader(run / "gguf" / "tiny-F16.gguf")
    tokenizer = load_tokenizer(tiny_model)

    def value(key: str) -> Any:
        return reader.fields[key].contents()

    assert value("general.architecture") == "llama"
    assert value("llama.attention.head_count_kv") == 2
    assert value("llama.rope.dimension_count") == 16
    assert value("tokenizer.ggml.pre") == "gpt-2"
    assert value("tokenizer.ggml.eos_token_id") == tokenizer.eos_token_id
    assert value("tokenizer.ggml.add_bos_token") is False
    assert value("tokenizer.chat_template") == tokenizer.chat_template
    assert value("tokenizer.ggml.tokens") == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert value("tokenizer.ggml.token_type")[:3] == [3, 3, 1]  # two special tokens, then plain ones
    forms = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert forms["blk.0.attn_norm.weight"] == "F32"
    assert forms["token_embd.weight"] == "F16"
    assert "output.weight" in forms


def test_eight_bits_keep_each_weight_to_a_200th_of_its_block(tiny_model: Path, tmp_path: Path) -> None:
    import gguf
    import numpy as np

    held = {}
    for weights in ("f16", "q8_0"):
        write_gguf(tiny_model, tmp_path / weights, weights, "tiny", "unknown")
        held[weights] = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / weights).tensors}
    assert held["q8_0"]["blk.0.attn_q.weight"].tensor_type.name == "Q8_0"
    for name, tensor in held["q8_0"].items():
        plain = held["f16"][name]
        values = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(-1, 32)
        expected = gguf.dequantize(plain.data, plain.tensor_type).reshape(-1, 32)
        assert np.all(abs(values - expected) <= abs(expected).max(axis=1, keepdims=True) / 200)


@pytest.mark.parametrize("tied", [True, False])
def test_qwen2_keeps_its_biases_and_tied_embeddings(tiny_model: Path, tmp_path: Path, tied: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

    folder, out = tmp_path / "qwen", tmp_path / "out"
    out.mkdir()
    tokenizer = load_tokenizer(tiny_model)
    sizes = Qwen2Config(
        vocab_size=640,  # more than the tokenizer has, as Qwen's own
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(sizes)
    for name, weights in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weights)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_gguf(folder, out / "qwen.gguf", "f16", "qwen", "apache-2.0")
    again = AutoModelForCausalLM.from_pretrained(out, gguf_file="qwen.gguf", dtype=torch.float32)
    ids = torch.arange(40)[None]
    with torch.inference_mode():
        torch.testing.assert_close(again(ids).logits, load_model(folder)(ids).logits, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["Gemma2ForCausalLM"]}, "Gemma2ForCausalLM are not written; supported are Llama and Qwen2"),
        (
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
            "rope_type linear are not written",
        ),
    ],
)
def test_gguf_of_other_models_is_refused_in_one_line(
    trained: Callable[[dict[str, Any]], Path], run: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        write_gguf(trained(changes), Path("out.gguf"), "f16", "x", "unknown")
    assert "\n" not in str(refused.value)
    assert not Path("out.gguf").exists()


def test_a_tokenizer_with_more_tokens_than_embeddings_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    with pytest.raises(UserError, match=f"its tokenizer has {len(tokenizer)} tokens, but there are 5 embeddings"):
        add_tokenizer(GGUFWriter(tmp_path / "x", "llama"), tiny_model, 5)


def test_the_way_to_split_text_is_known_by_name_or_refused() -> None:
    model = {"type": "BPE", "vocab": {}, "merges": []}
    whole = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}

    def name(splitter: Any, **more: Any) -> str:
        parts = {"model": model, "normalizer": None, "pre_tokenizer": splitter} | more
        return split_name(Path("folder"), parts)

    assert name(whole) == "gpt-2"
    assert name({"type": "Sequence", "pretokenizers": [digits, whole]}) == "smollm"
    (llama3,) = [pattern for pattern, called in PATTERNS.items() if called == "llama-bpe"]
    split = {"type": "Split", "pattern": {"Regex": llama3}, "behavior": "Isolated", "invert": False}
    splits = {"type": "Sequence", "pretokenizers": [split, whole | {"use_regex": False}]}
    assert name(splits, model=model | {"ignore_merges": True}) == "llama-bpe"
    for splitter, more in (
        (splits, {}),
        (whole, {"model": model | {"ignore_merges": True}}),
        ({"type": "Metaspace"}, {}),
        (whole | {"add_prefix_space": True}, {}),
        (whole, {"normalizer": {"type": "Lowercase"}}),
        (whole, {"model": model | {"byte_fallback": True}}),
        (whole, {"model": {"type": "Unigram"}}),
        ({"type": "Sequence", "pretokenizers": [digits, digits, whole]}, {}),
    ):
        with pytest.raises(UserError, match="supported are byte-level BPE"):
            name(splitter, **more)


def test_qwen2_is_known_by_its_pattern() -> None:
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    assert PATTERNS[PRETOKENIZE_REGEX] == "qwen2"


def test_q4_k_m_without_llama_cpp_says_how_to_get_it(
    run: Path, loraql: Loraql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import export_gguf

    monkeypatch.setattr(export_gguf, "LLAMA_CPP", "no_such_module")
    shutil.rmtree(run)
    shown = loraql("export", "tiny.yaml", "--kind", "gguf", "export.gguf=[q4_k_m]", code=1)
    assert "pip install 'loraql[gguf]'" in shown
    assert len(shown.splitlines()) == 1


def test_a_gguf_file_that_answers_differently_is_refused(
    run: Path, loraql: Loraql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import gguf_file

    # Without the order of rows that llama.cpp rotates.
    monkeypatch.setattr(gguf_file, "_heads", lambda *_: 0)
    shown = loraql("export", "tiny.yaml", "--kind", "gguf", "--force", code=1)
    assert "answers differ between tiny-F16.gguf, read by transformers, and the merged model" in shown
    assert "accept it with --allow-drift" in shown


def test_what_eight_bits_change_in_llama_cpp_is_told_and_refuses_nothing(
    run: Path, loraql: Loraql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline import export_gguf

    monkeypatch.setattr(export_gguf, "LLAMA_CPP", "json")  # as if it were installed
    monkeypatch.setattr(export_gguf, "read_with_llama_cpp", lambda *given: ["SELECT 'another'"] * len(given[-1]))
    monkeypatch.setattr(export_gguf, "read_with_transformers", lambda *_: read_as_merged())

    def read_as_merged() -> list[str]:
        config = load_config("tiny.yaml", [])
        merged = load_model(run / "merged")
        return answers(config, merged, load_tokenizer(run / "merged"), drawn_prompts(config), "merged")

    shown = loraql("export", "tiny.yaml", "--kind", "gguf", "export.gguf=q8_0")
    assert "4 of 4 answers differ between tiny-Q8_0.gguf, read by llama.cpp" in shown
    assert "Q8_0 read by llama.cpp: 0 of 4" in (run / "gguf" / "README.md").read_text(encoding="utf-8")
    assert "read by llama.cpp" in loraql("export", "tiny.yaml", "--kind", "gguf", "export.gguf=f16", code=1)


TEMPLATES = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "a system message of its own": "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\n"
    'Say "SQL".<|im_end|>\n{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}'
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "instructions, no system": "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}"
    "{% elif m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}</s>{% endif %}{% endfor %}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_modelfile_writes_dialogues_as_the_chat_template_does(name: str, tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = TEMPLATES[name]
    dialogue = read_dialogue(tokenizer)
    for messages in (QUESTION, DIALOGUE, SYSTEM) if "no system" not in name else (QUESTION, DIALOGUE):
        written = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert dialogue.text(messages) == written
    assert json.dumps(dialogue.asked) in dialogue.template


def test_a_template_that_words_earlier_turns_differently_takes_one_question(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = "{{ messages | length }}: {{ messages[-1].content }}."
    assert read_dialogue(tokenizer).template == '{{ "1: " }}{{ .Prompt }}{{ "." }}'
    tokenizer.chat_template = None
    assert read_dialogue(tokenizer).template == '{{ .Prompt }}{{ "\\n" }}'


@pytest.mark.parametrize("kind", ["merged", "adapter", "gguf"])
def test_the_python_lines_of_a_card_answer_as_the_model_does(kind: str, run: Path, tiny_model: Path) -> None:
    card = (run / kind / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    code = code.replace('"BASE"', repr(str(tiny_model))).replace("FOLDER", str(run / kind))
    shown = io.StringIO()
    with redirect_stdout(shown):
        exec(compile(code, f"{kind}/README.md", "exec"), {})
    (prompt,) = re.findall(r"````\n(.*?)\n````", card, re.DOTALL)
    model, tokenizer = load_model(run / "merged"), load_tokenizer(run / "merged")
    from pipeline.generation import generate
    from pipeline.model import encode_prompts, wrap_prompt

    ids = encode_prompts(tokenizer, [wrap_prompt(tokenizer, prompt)])
    (expected,) = generate(model, tokenizer, ids, max_new_tokens=8, batch_size=1)
    assert shown.getvalue() == expected.text + "\n"


def test_a_card_says_what_it_was_trained_on_and_under_which_licence(run: Path) -> None:
    card = (run / "merged" / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["pipeline_tag"] == "text-generation"
    assert "license" not in front  # that of the base is unknown
    assert "| select | 12 | 1: library |" in card
    assert "| training data, sample | apache-2.0 |" in card
    assert "| base, tiny | unknown |" in card
    assert "Table singer contains columns such as singer_id: integer" in card
    assert re.search(r"\| this model \| \d+\.\d% \[", card)
    assert "0 of 4 answers differed" in card
    front = yaml.safe_load((run / "gguf" / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert (front["library_name"], front["base_model_relation"]) == ("gguf", "quantized")


def test_a_card_tells_of_synthetic_questions_and_constrained_answers(run: Path) -> None:
    path = run.parent / "render" / "train.jsonl"
    first, *others = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(
        "".join([json.dumps(json.loads(first) | {"origin": "synthetic"}) + "\n", *others]), encoding="utf-8"
    )
    for constrain in (False, True):
        write_card(load_config("tiny.yaml", [f"generate.constrain={constrain}"]), run / "merged", "merged", "Checked.")
        card = (run / "merged" / "README.md").read_text(encoding="utf-8")
        assert f"| train | {len(others) + 1}, 1 of them synthetic |" in card
        assert ("constrained by loraql" in card) == ("greedy, constrained" in card) == constrain


def test_the_licence_of_a_base_is_read_from_its_own_card(trained: Callable[[dict[str, Any]], Path], run: Path) -> None:
    folder = trained({})
    config = load_config("tiny.yaml", []).model_copy(update={"model": ModelSettings(base=str(folder))})
    for text, found in (
        ("---\nlicense: mit\ntags: [a]\n---\n# A model\n", "mit"),
        ("# A model\n\n---\nlicense: mit\n---\n", "unknown"),
        ("---\nlicense: [\n---\n", "unknown"),
        ("---\nlicense:\n- mit\n---\n", "unknown"),
    ):
        (folder / "README.md").write_text(text, encoding="utf-8")
        assert base_license(config) == found
    assert base_license(Config(name="x")) == "apache-2.0"


def test_merging_is_the_last_stage_of_the_line() -> None:
    assert LINE[-1].name == "export"
