"""Frozen layers: that training goes on above them as if they ran, and that what is kept of them is never wrong."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.batches import Encoded, collate, completion_loss, make_sequence
from pipeline.frozen import Frozen
from pipeline.lora import decoder_stack
from pipeline.states import States, room_needed, states_key

PREFIX = list(range(10, 30))
EXAMPLES = [
    Encoded([*PREFIX, 40, 41, 50, 51, 52, 0], 4, "one"),
    Encoded([*PREFIX, 40, 53, 0], 2, "one"),
    Encoded([5, 6, 7, 8], 2, "two"),
    Encoded([*PREFIX, 40, 44, 45, 54, 55, 0], 3, "one"),
]
GROUPS = [[[0, 1, 3], [2]], [[3, 0], [1], [2]], [[0], [1], [2], [3]]]
WIDTH = 32
SIZES = {
    "vocab_size": 64,
    "hidden_size": WIDTH,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "bos_token_id": 1,
    "eos_token_id": 0,
}
GPT2 = {"vocab_size": 64, "n_embd": WIDTH, "n_layer": 4, "n_head": 4, "bos_token_id": 1, "eos_token_id": 0}


def half_frozen(kind: str) -> Any:
    """A random model of an architecture, its two lower layers frozen; Gemma 2 computes attention without SDPA."""
    import torch
    import transformers

    sizes = GPT2 if kind == "GPT2" else SIZES | ({"head_dim": 8} if kind == "Gemma2" else {})
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, f"{kind}Config")(**sizes)).eval()
    model.requires_grad_(False)
    for layer in decoder_stack(model)[1][2:]:
        layer.requires_grad_(True)
    return model


def batch(groups: list[list[int]]) -> dict[str, Any]:
    return collate([make_sequence([EXAMPLES[place] for place in places]) for places in groups], pad=0)


def fill(states: States, frozen: Frozen, places: Iterable[int]) -> int:
    """How many units were computed."""
    units = states.missing(places)
    for unit in units:
        states.write(unit, frozen.states(batch([unit]))[0])
    return len(units)


def step(model: Any, inputs: dict[str, Any]) -> tuple[float, list[Any]]:
    loss, _ = completion_loss(model, inputs)
    loss.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    return loss.item(), gradients


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "Mistral", "Gemma2", "GPT2"])
def test_loss_and_gradients_are_those_of_a_model_that_runs_as_a_whole(kind: str, tmp_path: Path) -> None:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    model = half_frozen(kind)
    frozen = Frozen(model, 2)
    states = States(tmp_path, EXAMPLES, WIDTH, "fp32")
    assert fill(states, frozen, range(4)) == 2
    for groups in GROUPS:
        inputs = batch(groups)
        frozen.run()
        whole, gradients = step(model, inputs)
        frozen.feed(pad_sequence([states.read(places) for places in groups], batch_first=True))
        fed, fed_gradients = step(model, inputs)
        assert fed == pytest.approx(whole, abs=1e-5)
        assert len(gradients) == len(fed_gradients) > 0
        for one, other in zip(gradients, fed_gradients, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)
    frozen.feed(torch.zeros(1, 4, WIDTH))
    assert step(model, batch([[2]]))[0] != pytest.approx(step_of(frozen, model)), "what is fed counts"


def step_of(frozen: Frozen, model: Any) -> float:
    frozen.run()
    return step(model, batch([[2]]))[0]


@pytest.mark.parametrize(("kind", "most"), [("fp32", 0.0), ("fp16", 1e-3), ("bf16", 1e-2)])
def test_states_are_kept_as_they_are_or_rounded(kind: str, most: float, tmp_path: Path) -> None:
    frozen = Frozen(half_frozen("Llama"), 2)
    states = States(tmp_path, EXAMPLES, WIDTH, kind)
    fill(states, frozen, range(4))
    exact = frozen.states(batch([[0, 1, 3]]))[0]
    read = States(tmp_path, EXAMPLES, WIDTH, kind).read([0, 1, 3]).float()
    assert float((read - exact).abs().max()) <= most
    assert room_needed(EXAMPLES, WIDTH, kind) * 1e9 == (tmp_path / "states.bin").stat().st_size


def test_only_what_is_asked_for_is_computed_and_has_the_same_bits_whenever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.states.UNIT_TOKENS", 30)
    frozen = Frozen(half_frozen("Llama"), 2)
    early = States(tmp_path / "a", EXAMPLES, WIDTH, "fp32")
    assert early.missing([2]) == [[2]]
    assert early.missing([3]) == [[0, 1], [3]], "the first of a context writes its prefix"
    assert fill(early, frozen, [3]) == 2
    assert fill(early, frozen, [3]) == 0
    assert fill(early, frozen, range(4)) == 1
    late = States(tmp_path / "b", EXAMPLES, WIDTH, "fp32")
    assert fill(late, frozen, range(4)) == 3
    assert (tmp_path / "a/states.bin").read_bytes() == (tmp_path / "b/states.bin").read_bytes()


@pytest.mark.parametrize("harm", ["spoilt", "half-written", "cut off", "lost checksums"])
def test_what_is_not_whole_is_computed_again(harm: str, tmp_path: Path) -> None:
    frozen = Frozen(half_frozen("Llama"), 2)
    fill(States(tmp_path, EXAMPLES, WIDTH, "fp32"), frozen, range(4))
    path, sums = tmp_path / "states.bin", tmp_path / "checksums.bin"
    whole = path.read_bytes()
    if harm == "spoilt":
        path.write_bytes(whole[:-8] + b"\xff" + whole[-7:])
    elif harm == "half-written":  # the rows of a piece, but not its checksum
        kept = np.fromfile(sums, np.uint32)
        kept[-1] = 0
        kept.tofile(sums)
    elif harm == "cut off":
        path.write_bytes(whole[:1000])
    else:
        sums.unlink()
    again = States(tmp_path, EXAMPLES, WIDTH, "fp32")
    assert fill(again, frozen, range(4)) == (1 if harm in ("spoilt", "half-written") else 2)
    assert path.read_bytes() == whole


def test_the_name_of_states_says_all_that_they_depend_on() -> None:
    def key(examples: list[Encoded] = EXAMPLES, **settings: object) -> str:
        return states_key(examples, **({"base": "a", "layers": 2} | settings))

    assert key() == key()
    others = [
        key(base="b"),
        key(layers=3),
        key(EXAMPLES[:3]),
        key([*EXAMPLES[:3], Encoded(EXAMPLES[3].ids, 2, "one")]),
        key([*EXAMPLES[:3], Encoded(EXAMPLES[3].ids, 3, "two")]),
    ]
    assert len({key(), *others}) == len(others) + 1


def test_a_run_with_the_cache_trains_what_one_without_does(
    loraql: Callable[..., str], recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.numpy import load_file

    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))
    settings = [
        "train.freeze_layers=2",
        "train.packing=2",
        "prompt.context=full",
        "data.limit=24",
        "train.max_steps=6",
    ]
    for stage in ("download", "prepare", "render"):
        loraql(stage, recipe, *settings)

    def train(*more: str) -> tuple[str, list[float], dict[str, Any]]:
        shown = loraql("train", recipe, *settings, "--force", *more)
        (path,) = Path("runs/tiny/train").glob("checkpoint-6/adapter_model.safetensors")
        lines = Path("runs/tiny/train/metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return shown, [json.loads(line)["loss"] for line in lines], load_file(path)

    without, losses, plain = train("cache.max_gb=0.000001")
    cold, cold_losses, first = train("cache.max_gb=1")
    warm, _, second = train("cache.max_gb=1")
    assert "and cache.max_gb is 1e-06" in without
    assert "states of 2 frozen layers" in cold
    assert "states of 2 frozen layers" in warm
    assert len(list((tmp_path / "cache/states").iterdir())) == 1
    assert cold_losses == pytest.approx(losses, abs=1e-5)
    for name, tensor in plain.items():
        np.testing.assert_allclose(first[name], tensor, atol=1e-3)  # Adam makes much of gradients near 0
        assert (first[name] == second[name]).all(), "from a warm cache the same to the last bit"


def test_a_run_that_was_killed_while_states_were_written_goes_on_without_a_wrong_one(
    loraql: Callable[..., str], recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pipeline.states.UNIT_TOKENS", 400)
    settings = ("data.limit=40", "train.max_steps=3", "cache.max_gb=1")

    def adapter() -> bytes:
        return Path("runs/tiny/train/checkpoint-3/adapter_model.safetensors").read_bytes()

    for stage in ("download", "prepare", "render", "train"):
        loraql(stage, recipe, *settings)
    whole = adapter()
    for folder in ("cache/states", "runs/tiny/train"):
        shutil.rmtree(folder)
    write, written = States.write, list[Any]()

    def be_killed(states: States, unit: Any, made: Any) -> None:
        if len(written) == 3:
            states._rows[-400:-200] = 7.0  # the disk has some of it, and the checksum of another
            raise KeyboardInterrupt
        written.append(unit)
        write(states, unit, made)

    monkeypatch.setattr(States, "write", be_killed)
    assert "interrupted" in loraql("train", recipe, *settings, code=130)
    again = list[Any]()
    monkeypatch.setattr(States, "write", lambda states, unit, made: (again.append(unit), write(states, unit, made)))
    loraql("train", recipe, *settings)
    assert again
    assert not [unit for unit in again if unit in written], "what was whole is not computed again"
    assert adapter() == whole


def test_layers_with_dropout_run_each_time() -> None:
    model = half_frozen("GPT2")
    assert Frozen(model, 2).has_dropout()
    assert not Frozen(half_frozen("Llama"), 2).has_dropout()
