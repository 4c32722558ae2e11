"""How models are asked: from the cache, by vote, again after an error, by vLLM, in several processes."""

import json
import os
import shutil
import sys
import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserError
from eval.pool import Sandbox
from eval.race import still_in
from eval.sandbox import Outcome
from eval.vote import commonest
from pipeline.answers import Answers
from pipeline.asking import Asking
from pipeline.choosing import Decoding, Request
from pipeline.config import load_config
from pipeline.engine import Local
from pipeline.generation import Generation
from pipeline.model import load_tokenizer, wrap_correction, wrap_prompt

evaluate = import_module("pipeline.evaluate")  # not the function of that name, which the package has

Loraql = Callable[..., str]


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def trained(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path / "cache"))
    return trained


def test_a_known_answer_is_not_asked_for_again(loraql: Loraql, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loraql("evaluate", trained, "cache.answers=true")
    before = Path("runs/tiny/evaluate/checkpoint-4/predictions.jsonl").read_text(encoding="utf-8")
    asked: list[int] = []
    write = Local.write

    def count(engine: Local, requests: Any, *rest: Any) -> None:
        asked.append(len(requests))
        write(engine, requests, *rest)

    monkeypatch.setattr(Local, "write", count)
    loraql("evaluate", trained, "cache.answers=true", "--force")
    assert sum(asked) == 0
    after = Path("runs/tiny/evaluate/checkpoint-4/predictions.jsonl").read_text(encoding="utf-8")
    assert [without_time(line) for line in after.splitlines()] == [without_time(line) for line in before.splitlines()]
    loraql("evaluate", trained, "cache.answers=true", "evaluate.max_new_tokens=7", "--force")
    assert sum(asked) > 0, "another way of decoding writes something else"


def without_time(line: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(line).items() if name != "ms"}


def test_answers_survive_a_line_that_was_cut_and_depend_on_the_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LORAQL_CACHE", str(tmp_path))
    first, second = Generation("SELECT 1", 3, ended=True), Generation("SELECT é", 4, ended=False)
    answers = Answers(base="a", adapter="x")
    answers.keep("one", first)
    (file,) = tmp_path.rglob("*.jsonl")
    file.write_text(file.read_text(encoding="utf-8") + '{"prompt": "cut in th', encoding="utf-8")
    again = Answers(base="a", adapter="x")
    again.keep("two", second)
    known = Answers(base="a", adapter="x")
    assert (known.get("one"), known.get("two"), known.get("cut in th")) == (first, second, None)
    assert Answers(base="a", adapter="y").get("one") is None


def test_two_processes_write_what_one_does(loraql: Loraql, finished: Path) -> None:
    def texts() -> list[str]:
        return [item["text"] for item in lines("runs/tiny/evaluate/checkpoint-4/predictions.jsonl")]

    alone = texts()
    loraql("evaluate", finished, "--force", "--num-processes", "2")
    assert texts() == alone


def test_two_processes_agree_on_votes_tries_a_race_and_what_is_known(loraql: Loraql, trained: Path) -> None:
    settings = ("generate.vote=2", "generate.retry=1", "selection.race=0.9", "cache.answers=true")

    def answers() -> dict[str, list[Any]]:
        return {
            path.parent.name: [(item["id"], item["text"], item["tokens"]) for item in lines(str(path))]
            for path in Path("runs/tiny/evaluate").glob("*/predictions.jsonl")
        }

    loraql("evaluate", trained, *settings, "--num-processes", "2")
    shared = answers()
    cached = sum(len(lines(str(path))) for path in Path("cache/answers").glob("*.jsonl"))
    shutil.rmtree("cache/answers")
    loraql("evaluate", trained, *settings, "--force")
    assert answers() == shared
    assert len(shared) == 5
    assert sum(len(lines(str(path))) for path in Path("cache/answers").glob("*.jsonl")) == cached
    loraql("evaluate", trained, *settings, "--num-processes", "2", "--force")
    assert answers() == shared


def test_what_a_process_did_not_expect_is_told(
    loraql: Loraql, trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    double = tmp_path / "double"
    double.mkdir()
    (double / "sitecustomize.py").write_text(
        "import os\nif 'LORAQL_SPREAD' in os.environ and os.environ.get('RANK') == '1':\n"
        "    import pipeline.engine\n    pipeline.engine.Local.use = lambda *_: 1 / 0\n",
        encoding="utf-8",
    )
    root = Path(evaluate.__file__).resolve().parent.parent
    monkeypatch.setenv("PYTHONPATH", f"{double}{os.pathsep}{root}")
    shown = loraql("evaluate", trained, "--num-processes", "2", code=1)
    assert shown.splitlines() == ["loraql: process 1: ZeroDivisionError: division by zero"]


def test_other_ways_of_asking_are_scored_beside_greedy(loraql: Loraql, trained: Path) -> None:
    settings = ("generate.vote=3", "generate.retry=1", "generate.temperature=0.9")
    shown = loraql("evaluate", trained, *settings)
    chosen = json.loads(Path("runs/tiny/evaluate/selection.json").read_text(encoding="utf-8"))["chosen"]
    assert f"{chosen}, vote of 3" in shown
    assert f"{chosen}, 1 more try against greedy" in shown
    voted = lines(f"runs/tiny/evaluate/{chosen}+vote3/predictions.jsonl")
    greedy = [item for item in lines(f"runs/tiny/evaluate/{chosen}/predictions.jsonl") if item["split"] == "dev"]
    assert [item["id"] for item in voted] == [item["id"] for item in greedy]
    assert sum(item["tokens"] for item in voted) > 2 * sum(item["tokens"] for item in greedy)
    assert "vote of 3" in Path("runs/tiny/evaluate/report.html").read_text(encoding="utf-8")
    before = Path(f"runs/tiny/evaluate/{chosen}+vote3/predictions.jsonl").read_text(encoding="utf-8")
    loraql("evaluate", trained, *settings, "--force")
    again = Path(f"runs/tiny/evaluate/{chosen}+vote3/predictions.jsonl").read_text(encoding="utf-8")
    assert [without_time(line) for line in again.splitlines()] == [without_time(line) for line in before.splitlines()]


def test_a_constrained_model_names_only_what_the_schema_has(loraql: Loraql, trained: Path) -> None:
    shown = loraql("evaluate", trained, "generate.constrain=true", "evaluate.max_new_tokens=24")
    assert "names of the schema only" in shown
    asked = lines("runs/tiny/evaluate/base/predictions.jsonl")
    assert len(asked) > 12
    whole = [item for item in asked if item["ended"]]  # the others may be cut in the middle of a name
    assert not [item for item in whole if item["category"] in ("no_such_table", "no_sql")]
    assert all(item["text"].strip().lower().startswith(("select", "with", "values")) for item in asked)


def test_the_commonest_result_wins_and_failures_have_no_vote() -> None:
    def rows(*values: object) -> Outcome:
        return Outcome("ok", rows=tuple((value,) for value in values))  # type: ignore[arg-type]

    failed = Outcome("syntax", message="near x")
    assert commonest(["a", "b", "c", "d"], [failed, rows(1), rows(2), rows(2)]) == 2
    assert commonest(["a", "b", "c"], [rows(1, 2), rows(3), rows(2, 1)]) == 0, "in any order"
    ordered = ["x ORDER BY y", "x ORDER BY y DESC", "x ORDER BY y DESC"]
    assert commonest(ordered, [rows(1, 2), rows(2, 1), rows(2, 1)]) == 1
    assert commonest(["a", "b"], [rows(1), rows(2)]) == 0
    assert commonest(["a", "b"], [failed, failed]) == 0


class Scripted:
    """An engine that says what it is told to; what it was asked is kept."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.asked = list(texts), list[list[int]]()

    def use(self, adapter: Path | None) -> None:
        pass

    def write(self, requests: Any, decoding: Decoding, on_done: Callable[[int, Generation], None]) -> None:
        for place, request in enumerate(requests):
            self.asked.append(request.ids)
            on_done(place, Generation(self.texts.pop(0), 5, ended=True))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    import sqlite3

    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE item (name TEXT)")
    connection.close()
    return path


@pytest.mark.parametrize(("retry", "expected"), [(1, "SELECT nam FROM item"), (2, "SELECT name FROM item")])
def test_a_query_that_fails_is_asked_for_again_with_its_error(
    recipe: Path, tiny_model: Path, shop: Path, retry: int, expected: str
) -> None:
    config = load_config(str(recipe), [f"generate.retry={retry}"])
    tokenizer = load_tokenizer(tiny_model)
    engine = Scripted(
        "SELECT name FROM item", "SELECT names FROM item", "SELECT nam FROM item", "SELECT name FROM item"
    )
    asked = [
        {"prompt": wrap_prompt(tokenizer, text), "prompt_digest": text, "db_id": "shop"} for text in ("first", "second")
    ]
    kept: dict[int, Generation] = {}
    with Sandbox(workers=1) as sandbox:
        Asking(config, engine, tokenizer, sandbox, lambda _: shop).retry(asked, kept.__setitem__)
    assert kept[0] == Generation("SELECT name FROM item", 5, ended=True)
    assert (kept[1].text, kept[1].tokens) == (expected, 5 * (retry + 1))
    told = tokenizer.decode(engine.asked[2])
    assert told.startswith(asked[1]["prompt"])
    assert "SELECT names FROM item" in told
    assert "no such column: names" in told


def test_a_correction_is_the_next_turn_and_cannot_forge_marks(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    prompt = wrap_prompt(tokenizer, "question")
    text = wrap_correction(tokenizer, prompt, "SELECT '<|end|>'", "no such table: <|start|>")
    assert text.startswith(f"{prompt}SELECT '< |end|>'<|end|>\n<|start|>user\nThis query failed.")
    assert text.endswith("no such table: < |start|><|end|>\n<|start|>assistant\n")
    tokenizer.chat_template = None
    plain = wrap_correction(tokenizer, "question\n", "SELECT 1", "broken")
    assert (
        plain
        == "question\nSELECT 1\n\nThis query failed. Write the corrected query, and nothing else. The error: broken\n"
    )


def test_drawn_tokens_come_from_each_prompts_own_seed(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    engine = Local(tiny_model, tokenizer, "float32", batch_size=4)
    prompts = [list(range(20, 60)), list(range(20, 62)), list(range(30, 40))]

    def write(*requests: Request) -> list[str]:
        texts: dict[int, str] = {}
        engine.write(requests, Decoding(8, 1.0), lambda place, answer: texts.__setitem__(place, answer.text))
        return [texts[place] for place in range(len(requests))]

    together = write(*(Request(ids, seed) for seed, ids in enumerate(prompts)))
    assert write(*(Request(ids, seed) for seed, ids in reversed(list(enumerate(prompts)))))[::-1] == together
    assert write(Request(prompts[0], 7)) != together[:1]


def test_a_race_drops_what_is_behind_by_more_than_luck() -> None:
    best, even, behind = [True] * 30, [True, False] * 15, [False] * 30
    assert still_in({"a": best, "b": behind}, 0.95, 4) == ["a"]
    assert still_in({"a": [True, False], "b": [False, False]}, 0.95, 4) == ["a", "b"]
    assert still_in({"a": even, "b": even[::-1]}, 0.95, 4) == ["a", "b"]
    assert still_in({"a": behind, "b": best, "c": best}, 0.95, 4) == ["b", "c"]
    assert still_in({"a": best}, 0.95, 4) == ["a"]
    # Seven of seven is a chance of 1 in 128: enough at 95% for one look at two, not for four looks at four.
    ahead = {"a": [True] * 7, "b": [False] * 7}
    assert still_in(ahead, 0.95, 1) == ["a"]
    assert still_in({**ahead, "c": [True] * 7, "d": [True] * 7}, 0.95, 4) == ["a", "b", "c", "d"]


def test_a_race_says_what_it_spared(loraql: Loraql, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "still_in", lambda right, *_: sorted(right)[-1:])
    shown = loraql("evaluate", trained, "selection.race=0.9")
    assert "the race spared" in shown
    assert "checkpoint-2 (dropped after" in shown
    selection = json.loads(Path("runs/tiny/evaluate/selection.json").read_text(encoding="utf-8"))
    assert selection["chosen"] == "checkpoint-4"
    asked = [len(lines(f"runs/tiny/evaluate/checkpoint-{step}/predictions.jsonl")) for step in (2, 4)]
    assert selection["dropped"] == {"checkpoint-2": asked[0]}
    assert asked[0] < asked[1]
    assert "dropped after" in Path("runs/tiny/evaluate/report.html").read_text(encoding="utf-8")


def test_a_race_that_was_broken_off_goes_on(loraql: Loraql, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loraql("evaluate", trained, "selection.race=0.9")
    whole = json.loads(Path("runs/tiny/evaluate/selection.json").read_text(encoding="utf-8"))
    with monkeypatch.context() as broken:
        broken.setattr(evaluate, "_selection", interrupt)
        loraql("evaluate", trained, "selection.race=0.9", "--force", code=130)
    first = Path("runs/tiny/evaluate.partial/checkpoint-2/predictions.jsonl")
    answers = first.read_text(encoding="utf-8").splitlines(keepends=True)
    first.write_text("".join(answers[: len(answers) // 2]), encoding="utf-8")  # behind the others
    Path("runs/tiny/evaluate/manifest.json").unlink()
    loraql("evaluate", trained, "selection.race=0.9")
    again = json.loads(Path("runs/tiny/evaluate/selection.json").read_text(encoding="utf-8"))
    assert again == whole


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_many_questions_are_no_trouble_to_a_race() -> None:
    assert still_in({"a": [True] * 3000, "b": [False] * 3000}, 0.95, 4) == ["a"]


def test_vllm_gets_token_ids_and_adapters_as_lora_requests(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[Any] = []

    class LLM:
        def __init__(self, **settings: Any) -> None:
            self.settings = settings
            config = types.SimpleNamespace(max_model_len=50)
            self.llm_engine = types.SimpleNamespace(model_config=config)
            calls.append(settings)

        def generate(self, prompts: Any, ways: Any, *, lora_request: Any, use_tqdm: bool) -> list[Any]:
            calls.append((prompts, ways, lora_request))
            return [
                types.SimpleNamespace(
                    outputs=[types.SimpleNamespace(text=f"SELECT {place}", token_ids=(1, 2), finish_reason=reason)]
                )
                for place, (_, reason) in enumerate(zip(prompts, ("stop", "length"), strict=False))
            ]

    module = types.ModuleType("vllm")
    module.LLM = LLM  # type: ignore[attr-defined]
    module.SamplingParams = lambda **settings: settings  # type: ignore[attr-defined]
    request = types.ModuleType("vllm.lora.request")
    request.LoRARequest = lambda name, number, path: (name, number, path)  # type: ignore[attr-defined]
    for name, double in (
        ("vllm", module),
        ("vllm.lora", types.ModuleType("vllm.lora")),
        ("vllm.lora.request", request),
    ):
        monkeypatch.setitem(sys.modules, name, double)
    from pipeline.vllm import Vllm

    config = load_config(str(recipe), ["generate.engine=vllm", "generate.processes=2", "train.lora.rank=12"])
    engine = Vllm(Path("base"), config)
    settings = calls.pop()
    assert (settings["max_lora_rank"], settings["tensor_parallel_size"]) == (16, 2)
    assert settings["trust_remote_code"] is False
    assert settings["enable_prefix_caching"] is True
    done: dict[int, Generation] = {}
    asked = [Request([1] * 10, 3), Request([1] * 45, 4), Request([2] * 10, 5)]
    engine.use(tmp_path / "checkpoint-2")
    engine.write(asked, Decoding(10), done.__setitem__)
    prompts, ways, adapter = calls.pop()
    assert prompts == [{"prompt_token_ids": [1] * 10}, {"prompt_token_ids": [2] * 10}]
    assert ways == [{"temperature": 0.0, "max_tokens": 10, "seed": None}] * 2
    assert adapter == ("checkpoint-2", 1, str(tmp_path / "checkpoint-2"))
    assert done == {
        0: Generation("SELECT 0", 2, ended=True),
        1: Generation("", 0, ended=False, too_long=True),
        2: Generation("SELECT 1", 2, ended=False),
    }
    engine.use(None)
    engine.write(asked[:1], Decoding(10, 0.5), done.__setitem__)
    _, ways, adapter = calls.pop()
    assert adapter is None
    assert ways == [{"temperature": 0.5, "max_tokens": 10, "seed": 3}]


def test_vllm_that_is_not_there_is_told_in_one_line(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    from pipeline.vllm import Vllm

    with pytest.raises(UserError, match=r"generate.engine: vllm is not installed; `pip install"):
        Vllm(Path("base"), load_config(str(recipe), ["generate.engine=vllm"]))
