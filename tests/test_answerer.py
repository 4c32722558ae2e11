"""Answers of an exported model: alone and many at a time, with another try, by vote, in conversation, from Python."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from data import embedded
from data.errors import UserError
from eval.pool import Sandbox
from pipeline.answerer import Answerer, Options
from pipeline.ask import answer_content
from pipeline.batcher import Batcher, Cancelled
from pipeline.bundle import write_bundle
from pipeline.choosing import Decoding, Request, chooser
from pipeline.config import Config, load_config
from pipeline.databases import Database, open_database
from pipeline.generation import Generation, generate
from pipeline.model import load_model, load_tokenizer
from pipeline.openings import REMEMBERED, Openings


@pytest.fixture(scope="module")
def bundle(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as an export leaves one."""
    import shutil

    folder = tmp_path_factory.mktemp("exported") / "merged"
    shutil.copytree(tiny_model, folder)
    config: Config = load_config("sample", ["name=tiny", "evaluate.max_new_tokens=8", f"model.base={tiny_model}"])
    write_bundle(config, folder)
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    root = tmp_path_factory.mktemp("sample")
    embedded.build(root)
    with Sandbox(workers=1) as sandbox:
        yield open_database(str(root / "database" / "shop" / "shop.sqlite"), sandbox)


@pytest.fixture(scope="module")
def answerer(bundle: Path) -> Iterator[Answerer]:
    with Answerer(bundle, batch_size=3) as made:
        yield made


class Script:
    """Writes what it was told to, instead of the model; keeps the prompts."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.prompts = list(texts), list[str]()

    def __call__(self, _database: Any, prompts: Sequence[str], *_: Any) -> list[Generation]:
        self.prompts += prompts
        return [Generation(self.texts.pop(0), 5, ended=True) for _ in prompts]


def scripted(answerer: Answerer, monkeypatch: pytest.MonkeyPatch, *texts: str) -> Script:
    script = Script(*texts)
    monkeypatch.setattr(answerer, "_write", script)
    return script


def test_an_answer_has_rows_tables_and_no_warning(
    answerer: Answerer, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(answerer, monkeypatch, "```sql\nSELECT count(*) FROM CUSTOMER;\n```")
    answer = answerer.answer(shop, "How many customers are there?")
    assert answer.sql == "SELECT count(*) FROM CUSTOMER"
    assert (answer.columns, len(answer.rows), answer.tables, answer.warnings) == (("count(*)",), 1, ("customer",), ())
    assert answer.frame().to_dict("list") == {"count(*)": [answer.rows[0][0]]}
    assert answer_content(answer)["category"] == "ok"


def test_a_query_that_fails_is_asked_for_again_with_its_error(
    answerer: Answerer, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripted(answerer, monkeypatch, "SELECT nme FROM customer", "SELECT name FROM customer")
    answer = answerer.answer(shop, "Who buys?")
    assert (answer.sql, answer.tokens) == ("SELECT name FROM customer", 10)
    assert answer.warnings == ("the first query failed (no such column: nme); this is another try",)
    assert answer.prompt_tokens == sum(len(answerer.tokenizer(prompt)["input_ids"]) for prompt in script.prompts)
    assert script.prompts[1].startswith(script.prompts[0]), "the conversation goes on"
    assert "SELECT nme FROM customer" in script.prompts[1]
    assert "no such column: nme" in script.prompts[1]


def test_of_tries_that_all_fail_the_first_is_shown_with_what_it_lacks(
    answerer: Answerer, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(answerer, monkeypatch, "SELECT nme FROM customer", "SELECT x FROM customer")
    answer = answerer.answer(shop, "Who buys?")
    assert answer.sql == "SELECT nme FROM customer"
    assert answer.outcome and answer.outcome.category == "no_such_column"
    assert answer.warnings == (
        "asked again with the error, the model failed again: SELECT x FROM customer",
        "the database has no column nme; is it name?",
    )
    script = scripted(answerer, monkeypatch, "SELECT nme FROM customer")
    answerer.answer(shop, "Who buys?", Options(retry=0))
    assert len(script.prompts) == 1


def test_a_vote_takes_the_result_that_comes_most_often(
    answerer: Answerer, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(answerer, monkeypatch, "SELECT 1", "SELECT nothing", "SELECT 2", "SELECT 1 + 1")
    answer = answerer.answer(shop, "How many?", Options(vote=4))
    assert (answer.sql, answer.tokens) == ("SELECT 2", 20)


def test_an_answer_knows_whether_it_was_cut_off(answerer: Answerer, shop: Database) -> None:
    answer = answerer.answer(shop, "Who?", Options(retry=0, max_new_tokens=2))
    assert not answer.ended
    assert "the answer was cut off after 2 tokens" in answer.warnings


def test_sql_is_not_run_where_it_is_not_wanted(
    answerer: Answerer, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(answerer, monkeypatch, "SELECT nme FROM customer")
    answer = answerer.answer(shop, "Who?", Options(execute=False))
    assert answer.outcome is None
    assert answer.rows == ()


def test_what_a_person_writes_is_judged_alike(answerer: Answerer, shop: Database) -> None:
    answer = answerer.judge(shop, "Who?", "SELECT name FROM customer WHERE name = 'nobody';")
    assert answer.sql == "SELECT name FROM customer WHERE name = 'nobody'"
    assert answer.warnings == ("the query returns no rows",)
    assert answerer.judge(shop, "", "").outcome is None
    refused = answerer.judge(shop, "", "DELETE FROM customer").outcome
    assert refused and refused.category == "refused"


def test_a_question_that_follows_on_another_goes_on_with_its_conversation(answerer: Answerer, shop: Database) -> None:
    first = answerer.prompt(shop, "Who buys?")
    later = answerer.prompt(shop, "And where?", ("Who buys?", "SELECT name FROM customer"))
    assert later.startswith(first)
    assert later.removeprefix(first).startswith("SELECT name FROM customer")
    assert "And where?" in later


def test_a_question_that_is_empty_or_too_long_is_told(answerer: Answerer, shop: Database) -> None:
    with pytest.raises(UserError, match="the question is empty"):
        answerer.answer(shop, "  ")
    with pytest.raises(UserError, match="more than the 4096 of the model's window"):
        answerer.answer(shop, "why " * 6000)
    with pytest.raises(UserError, match="more than the 4096 of the model's window"):
        answerer.complete([{"role": "user", "content": "x"}], Decoding(5000))


def test_the_real_loop_answers_and_is_the_same_again(answerer: Answerer, shop: Database) -> None:
    seen: list[str] = []
    first = answerer.answer(shop, "Who buys?", on_text=seen.append)
    again = answerer.answer(shop, "Who buys?")
    assert (first.sql, first.tokens) == (again.sql, again.tokens)
    assert seen, "it is seen as it grows"
    drawn = Options(temperature=2.0, top_k=40, top_p=0.95, repetition_penalty=1.1, seed=3, retry=0)
    assert answerer.answer(shop, "Who?", drawn).sql == answerer.answer(shop, "Who?", drawn).sql


def test_an_answer_that_nobody_wants_any_more_is_stopped(answerer: Answerer, shop: Database) -> None:
    stop = threading.Event()
    with pytest.raises(Cancelled):
        answerer.answer(shop, "Who?", Options(max_new_tokens=3000), on_text=lambda _: stop.set(), stop=stop)
    assert answerer.answer(shop, "Who?", Options(retry=0)).tokens > 0


@pytest.mark.parametrize(
    ("decoding", "tokens"),
    [
        (Decoding(9), {2}),
        (Decoding(9, repetition_penalty=2.0), {1}),
        (Decoding(9, temperature=1.0, top_k=2), {1, 2}),
        (Decoding(9, temperature=1.0, top_p=0.6), {2}),
        (Decoding(9, temperature=50.0), {0, 1, 2, 3}),
    ],
)
def test_tokens_are_chosen_as_decoding_says(decoding: Decoding, tokens: set[int]) -> None:
    import torch

    logits = torch.tensor([[0.0, 2.0, 3.0, -1.0]])
    rule = chooser(decoding, [Request([2], seed=1)])
    assert {rule(logits, [(0, [])])[0] for _ in range(60)} == tokens


def test_prompts_are_grouped_by_what_they_begin_with_whatever_comes_between() -> None:
    first, second = list(range(100)), list(range(200, 300))
    openings = Openings()
    prompts = [[*first, 1], [*second, 1], [*first, 2], [*second, 2], [*first, 3], [*second, 3], [7] * 20]
    groups = [openings.group_of(place, prompt) for place, prompt in enumerate(prompts)]
    assert [group.shared for group in groups[:2]] == [(), ()], "nothing is known yet"
    assert groups[2] is groups[4]
    assert groups[3] is groups[5]
    assert (groups[4].shared, groups[5].shared) == (tuple(first), tuple(second))
    assert groups[6].shared == ()
    for place in range(REMEMBERED):  # others come in between
        for end in (1, 2):
            openings.group_of(100 + 2 * place + end, [*range(1000 * place + 1000, 1000 * place + 1050), end])
    assert openings.group_of(200, [*first, 4]).shared == ()


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> tuple[Any, Any]:
    return load_model(tiny_model), load_tokenizer(tiny_model)


def test_prompts_that_join_at_any_time_get_what_they_would_get_alone(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    shops = [
        "CREATE TABLE customer (id INTEGER, name TEXT, city TEXT); " * 3,
        "CREATE TABLE tour (day DATE, guide TEXT); " * 4,
    ]
    texts = [f"{shop}{end}" for end in ("Who?", "Where?", "How many?", "When was it?") for shop in shops]
    texts.append("Something else")
    prompts = [tokenizer(text)["input_ids"] for text in texts]
    alone = [generate(model, tokenizer, [ids], max_new_tokens=12, batch_size=1)[0] for ids in prompts]
    batcher = Batcher(model, tokenizer, batch_size=2)
    pendings = [batcher.submit(Request(ids), Decoding(12)) for ids in prompts]
    assert [pending.result(60) for pending in pendings] == alone
    assert [batcher.submit(Request(ids), Decoding(12)).result(60) for ids in prompts] == alone
    batcher.close()
    with pytest.raises(Cancelled):
        batcher.submit(Request(prompts[0]), Decoding(12))


def test_what_waits_is_done_before_the_end(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    batcher = Batcher(model, tokenizer, batch_size=1)
    ids = tokenizer("Who?")["input_ids"]
    asked = [batcher.submit(Request(ids), Decoding(300)) for _ in range(3)]
    assert batcher.waiting == 3
    asked[2].cancel()
    batcher.close(drain=True)
    assert [pending.result(0).tokens > 0 for pending in asked[:2]] == [True, True]
    with pytest.raises(Cancelled):
        asked[2].result(0)


@pytest.mark.parametrize(
    ("temperature", "seed"), [(1e-45, 0), (1e-310, 0), (1.0, 2**63 - 1), (1.0, 1000 * (2**63 - 1)), (1.0, -(2**63))]
)
def test_no_temperature_and_no_seed_ends_the_model_for_all(
    tiny: tuple[Any, Any], temperature: float, seed: int
) -> None:
    model, tokenizer = tiny
    batcher = Batcher(model, tokenizer, batch_size=1)
    asked = batcher.submit(Request(tokenizer("Who?")["input_ids"], seed), Decoding(3, temperature))
    assert asked.result(60).tokens == 3
    assert not batcher.failed
    batcher.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_foresaw_is_told_to_all_that_wait_and_to_all_after(
    tiny: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.pack import Pack

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(Pack, "read", fail)
    model, tokenizer = tiny
    batcher = Batcher(model, tokenizer, batch_size=1)
    ids = tokenizer("Who?")["input_ids"]
    with pytest.raises(KeyError, match="a fault of ours"):
        batcher.submit(Request(ids), Decoding(5)).result(60)
    assert batcher.failed
    with pytest.raises(RuntimeError, match="the model has failed"):
        batcher.submit(Request(ids), Decoding(5))
    batcher.close()
    assert batcher.failed


def test_a_model_that_nobody_holds_any_more_takes_its_thread_with_it(bundle: Path) -> None:
    made = Answerer(bundle)
    thread = made.batcher._thread
    del made
    thread.join(30)
    assert not thread.is_alive()


def test_an_older_export_is_called_by_its_run(bundle: Path, tmp_path: Path) -> None:
    import json
    import shutil

    for place, name in (("shop/export/merged", "shop"), ("mine", "mine")):
        folder = tmp_path / place
        shutil.copytree(bundle, folder)
        settings = folder / "loraql.json"
        content = json.loads(settings.read_text(encoding="utf-8"))
        settings.write_text(json.dumps({**content, "name": None}), encoding="utf-8")
        with Answerer(folder) as made:
            assert made.name == name


def test_memory_that_runs_out_fails_what_was_asked_and_not_what_comes_after(
    tiny: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pipeline.pack import Pack

    def fail(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("no memory left")

    model, tokenizer = tiny
    batcher = Batcher(model, tokenizer, batch_size=1)
    ids = tokenizer("Who?")["input_ids"]
    with monkeypatch.context() as patched:
        patched.setattr(Pack, "read", fail)
        with pytest.raises(MemoryError, match="no memory left"):
            batcher.submit(Request(ids), Decoding(5)).result(60)
    assert batcher.submit(Request(ids), Decoding(5)).result(60).tokens == 5
    batcher.close()


def test_python_asks_by_the_same_words_whatever_was_imported_before(
    bundle: Path, shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipeline.evaluate  # noqa: F401 (the module, which the package has under the same name)
    from pipeline import ask, evaluate

    monkeypatch.chdir(tmp_path)
    answer = ask(bundle, shop.path, "Who buys?", retry=0, max_new_tokens=6)
    assert answer.tokens <= 6
    with pytest.raises(UserError, match="evaluate needs download"):
        evaluate("sample", "name=nothing-yet")
