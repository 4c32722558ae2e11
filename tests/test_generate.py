"""Greedy generation: batches and shared prefixes change nothing."""

from pathlib import Path

import pytest

from pipeline.model import common_prefix, encode_prompts, generate, load_model, load_tokenizer, wrap_prompt

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
        on_batch=lambda batch: seen.extend(place for place, _ in batch),
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
