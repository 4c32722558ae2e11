"""Greedy generation: batches and shared prefixes change nothing."""

import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.generation import Generation, generate, groups_of
from pipeline.lora import decoder_stack
from pipeline.model import common_prefix, encode_prompts, load_model, load_tokenizer, wrap_prompt
from pipeline.prefill import Prefill

QUESTIONS = [
    "How many orders are there?",
    "List the names of all customers who live in a town by the sea, in alphabetical order.",
    "Average price?",
    "Which product has never been ordered?",
    "Show the three oldest members.",
]
SCHEMA = "There are tables such as customer, orders\n" * 4


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("batch_size", [2, 5])
def test_a_batch_writes_what_one_at_a_time_writes(tiny_model: Path, shared: bool, batch_size: int) -> None:
    model, tokenizer = load_model(tiny_model), load_tokenizer(tiny_model)
    texts = [f"{SCHEMA}{question}" if shared else f"{question}\n{SCHEMA}" for question in QUESTIONS]
    prompts = encode_prompts(tokenizer, [wrap_prompt(tokenizer, text) for text in texts])
    together = generate(model, tokenizer, prompts, max_new_tokens=12, batch_size=batch_size)
    alone = [generate(model, tokenizer, [prompt], max_new_tokens=12, batch_size=1)[0] for prompt in prompts]
    assert together == alone
    assert len({generation.text for generation in alone}) > 1


def plainly(model: Any, tokenizer: Any, prompt: list[int], most: int) -> list[int]:
    """The new tokens of one prompt, as the library's own greedy decoding writes them."""
    import torch

    ids = torch.tensor([prompt])
    written = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=most,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return list(written[0, len(prompt) :].tolist())


def small(tokenizer: Any, kind: str, sliding: int | None) -> Any:
    """A random model of three layers and twelve tokens."""
    import torch
    import transformers

    torch.manual_seed(1)
    sizes = {"vocab_size": 12, "bos_token_id": 1, "eos_token_id": tokenizer.eos_token_id, "initializer_range": 0.5}
    wide = {"n_embd": 32, "n_layer": 3, "n_head": 4} if kind == "GPT2" else {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48,
        **({"sliding_window": sliding} if sliding else {}), **({"head_dim": 8} if kind == "Gemma2" else {}),
    }  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(**sizes, **wide)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize(
    ("kind", "sliding"), [("Llama", None), ("Mistral", 16), ("Mistral", 150), ("Gemma2", 400), ("GPT2", None)]
)
@pytest.mark.parametrize("shared", [40, 5])
def test_it_writes_what_the_library_writes_with_rows_that_end_early(
    tiny_model: Path, kind: str, sliding: int | None, shared: int
) -> None:
    tokenizer = load_tokenizer(tiny_model)
    model = small(tokenizer, kind, sliding)
    draw = random.Random(0)
    starts = [[draw.randrange(2, 12) for _ in range(shared)] for _ in range(2)]
    prompts = [draw.choice(starts) + [draw.randrange(2, 12) for _ in range(draw.randrange(1, 9))] for _ in range(14)]
    expected = [plainly(model, tokenizer, prompt, 20) for prompt in prompts]
    written = generate(model, tokenizer, prompts, max_new_tokens=20, batch_size=6)
    assert [one.tokens for one in written] == list(map(len, expected))
    assert [one.text for one in written] == [tokenizer.decode(ids, skip_special_tokens=True) for ids in expected]
    assert kind == "Gemma2" or len({one.tokens for one in written}) > 2, "rows end at different steps"


@pytest.mark.parametrize(("kind", "sliding"), [("Llama", None), ("Mistral", 16), ("Gemma2", 400), ("GPT2", None)])
def test_what_frozen_layers_made_of_a_prompt_is_not_made_again(
    tiny_model: Path, kind: str, sliding: int | None
) -> None:
    tokenizer = load_tokenizer(tiny_model)
    model = small(tokenizer, kind, sliding)
    draw = random.Random(0)
    start = [draw.randrange(2, 12) for _ in range(40)]
    prompts = [start + [draw.randrange(2, 12) for _ in range(draw.randrange(1, 9))] for _ in range(5)]
    prompts += [[draw.randrange(2, 12) for _ in range(20)] for _ in range(3)]
    expected = generate(model, tokenizer, prompts, max_new_tokens=20, batch_size=4)
    prefill, ran = Prefill(model, 2), list[int]()
    norm = next(module for module in decoder_stack(model)[1][0].modules() if "Norm" in type(module).__name__)
    norm.register_forward_hook(lambda _norm, inputs, _output: ran.append(inputs[0].shape[1]))

    def write() -> tuple[list[Generation], int]:
        ran.clear()
        written = generate(model, tokenizer, prompts, max_new_tokens=20, batch_size=4, prefill=prefill)
        return written, sum(length > 4 for length in ran)

    (first, read), (again, read_again) = write(), write()
    assert first == again == expected
    assert read > 0
    if sliding == 16:  # a row that is not seen to its start is read whole
        assert read_again == read
    else:
        assert read_again == 0


def test_prompts_that_share_most_of_what_they_hold_are_a_group() -> None:
    one, other = list(range(40)), list(range(100, 150))
    prompts = [[*one, 1], [*other, 1], [*other, 2], [*other, 3], [*one, 200, 2], [7], [8, 9], [6, 1]]
    found = [(group.places, len(group.shared)) for group in groups_of(dict(enumerate(prompts)))]
    assert found == [((0, 4), 40), ((7,), 0), ((5,), 0), ((6,), 0), ((1, 2, 3), 50)]
    assert [group.places for group in groups_of({place: prompts[place] for place in (4, 2, 6)})] == [(4,), (6,), (2,)]
    assert [len(group.shared) for group in groups_of({0: one, 1: one})] == [39], "each has a token of its own"
    assert list(groups_of({})) == []


def test_a_text_that_is_complete_is_not_written_on(tiny_model: Path) -> None:
    model, tokenizer = load_model(tiny_model), load_tokenizer(tiny_model)
    prompts = encode_prompts(tokenizer, [wrap_prompt(tokenizer, f"{SCHEMA}{question}") for question in QUESTIONS])
    whole = generate(model, tokenizer, prompts, max_new_tokens=12, batch_size=5)
    short = generate(model, tokenizer, prompts, max_new_tokens=12, batch_size=5, is_complete=lambda text: len(text) > 9)
    for long, cut in zip(whole, short, strict=True):
        assert long.text.startswith(cut.text)
        assert cut.ended
        assert len(cut.text) > 9
    assert sum(cut.tokens for cut in short) < sum(long.tokens for long in whole)


def test_the_common_prefix_leaves_each_prompt_a_token() -> None:
    assert common_prefix([[1, 2, 3], [1, 2, 4, 5]]) == [1, 2]
    assert common_prefix([[1, 2], [1, 2]]) == [1]
    assert common_prefix([[1, 2], [3, 2]]) == []


def test_a_prompt_beyond_the_window_is_not_asked_and_not_cut(tiny_model: Path) -> None:
    model, tokenizer = load_model(tiny_model), load_tokenizer(tiny_model)
    seen: list[int] = []
    written = generate(
        model,
        tokenizer,
        [[5] * 4090, [5, 6, 7]],
        max_new_tokens=12,
        batch_size=2,
        on_done=lambda place, _: seen.append(place),
    )
    assert [generation.too_long for generation in written] == [True, False]
    assert written[0].text == ""
    assert written[1].text
    assert sorted(seen) == [0, 1]


def test_a_plain_base_model_gets_the_plain_text_and_its_start_token(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = None
    assert wrap_prompt(tokenizer, "### Response:") == "### Response:\n"
    (ids,) = encode_prompts(tokenizer, ["### Response:\n"])
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == "### Response:\n"


def test_added_tokens_are_broken_where_a_text_holds_them_though_no_name_is_given_to_them(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.add_tokens(["<repo>", "   ", "word"], special_tokens=False)
    tokenizer.add_tokens(["<|role|>"], special_tokens=True)
    text = wrap_prompt(tokenizer, "a <repo> of a   word <|role|><|start|>")
    assert "a < repo> of a   word < |role|>< |start|>" in text
