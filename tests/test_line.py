"""The whole line with a tiny model: every stage real, every file where the design says."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.asking import Keep
from pipeline.choosing import Decoding, Request

Loraql = Callable[..., str]


def test_the_line_runs_to_the_end_and_then_has_nothing_to_do(loraql: Loraql, recipe: Path) -> None:
    shown = loraql("run", recipe)
    assert "Execution accuracy" in shown
    assert "runs/tiny/evaluate/report.html" in shown
    assert "$ loraql ask tiny --db" in shown
    for name in (
        "data/raw/sample/processed/train.csv",
        "data/raw/sample/processed/stats.json",
        "runs/tiny/config.yaml",
        "runs/tiny/render/select.jsonl",
        "runs/tiny/train/checkpoint-2/adapter_model.safetensors",
        "runs/tiny/train/checkpoint-4/adapter_model.safetensors",
        "runs/tiny/evaluate/base/predictions.jsonl",
        "runs/tiny/evaluate/checkpoint-2/scores.json",
        "runs/tiny/evaluate/report.html",
        "runs/tiny/export/merged/model.safetensors",
        "runs/tiny/export/merged/README.md",
        "runs/tiny/export/merged/prompt.jinja",
    ):
        assert Path(name).is_file(), name
    assert not list(Path().rglob("*.partial*"))

    header = Path("data/raw/sample/processed/train.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("question,schema,query,")
    databases = {
        name: {line["db_id"] for line in lines(f"runs/tiny/render/{name}.jsonl")} for name in ("train", "select", "dev")
    }
    assert databases["select"] == {"library"}
    assert databases["train"].isdisjoint(databases["select"] | databases["dev"])
    prediction = lines("runs/tiny/evaluate/base/predictions.jsonl")[0]
    assert {
        "prompt_digest",
        "text",
        "sql",
        "ex",
        "em",
        "category",
        "gold_result",
        "predicted_result",
        "ms",
    } <= set(prediction)
    chosen = json.loads(Path("runs/tiny/evaluate/selection.json").read_text(encoding="utf-8"))["chosen"]
    assert {line["split"] for line in lines(f"runs/tiny/evaluate/{chosen}/predictions.jsonl")} == {"select", "dev"}

    again = loraql("run", recipe)
    assert "nothing to do" in again
    assert again.count("up to date (") == 6

    assert loraql("status", recipe).count("fresh") == 6
    changed = loraql("status", recipe, "train.learning_rate=0.02")
    assert changed.count("fresh") == 3
    assert "train.learning_rate: 0.01 -> 0.02" in changed
    error = loraql("evaluate", recipe, "train.learning_rate=0.02", code=1)
    assert "evaluate needs train, which is not up to date (train.learning_rate: 0.01 -> 0.02)" in error

    rerun = loraql("run", recipe, "train.learning_rate=0.02")
    assert [
        name
        for name in ("download", "prepare", "render", "train", "evaluate", "export")
        if f"{name}: up to date" in rerun
    ] == [
        "download",
        "prepare",
        "render",
    ]


def test_the_same_seed_gives_the_same_files(loraql: Loraql, recipe: Path, finished_line: Path) -> None:
    written = []
    loraql("run", recipe, "name=second")
    for run in (finished_line / "runs/tiny", Path("runs/second")):
        written.append(
            {
                file: (run / file).read_bytes()
                for file in (
                    "render/train.jsonl",
                    "train/checkpoint-4/adapter_model.safetensors",
                    "train/metrics.jsonl",
                    "evaluate/selection.json",
                )
            }
        )
    assert written[0] == written[1]


def test_a_broken_evaluation_goes_on_where_it_was(
    loraql: Loraql, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loraql("evaluate", trained, "evaluate.batch_size=4")
    before = lines("runs/tiny/evaluate/base/predictions.jsonl")
    from pipeline.engine import Local

    write, asked = Local.write, []

    def stop_after_two(engine: Local, requests: Sequence[Request], decoding: Decoding, on_done: Keep) -> None:
        asked.append(len(requests))
        if len(asked) == 3:
            raise KeyboardInterrupt
        write(engine, requests, decoding, on_done)

    monkeypatch.setattr(Local, "write", stop_after_two)
    assert "interrupted" in loraql("evaluate", trained, "evaluate.batch_size=4", "--force", code=130)
    assert Path("runs/tiny/evaluate/report.html").is_file(), "the old result stands until the new one is whole"
    monkeypatch.setattr(Local, "write", write)
    with Path("runs/tiny/evaluate.partial/base/predictions.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "cut in the mid')
    (Path("runs/tiny/evaluate/manifest.json")).unlink()
    loraql("evaluate", trained, "evaluate.batch_size=4")
    assert [item["text"] for item in lines("runs/tiny/evaluate/base/predictions.jsonl")] == [
        item["text"] for item in before
    ]


def test_a_test_suite_is_scored_where_there_is_one(loraql: Loraql, finished: Path) -> None:
    assert "TS" not in loraql("compare", "tiny", "tiny")
    loraql("suite", "sample", "--databases", "museum", "--most", "3")
    assert "data/raw/sample/suite/suite.json" in loraql("status", finished)
    loraql("evaluate", finished)
    records = [item for item in lines("runs/tiny/evaluate/base/predictions.jsonl") if item["split"] == "dev"]
    assert {item["db_id"]: "ts" in item for item in records} == {"museum": True, "car_rental": False}
    scores = json.loads(Path("runs/tiny/evaluate/base/scores.json").read_text(encoding="utf-8"))["splits"]["dev"]
    assert 0 <= scores["ts"] <= scores["ex"]
    assert scores["manifest"]["decoding"]["greedy"] is True


def test_shots_reach_the_exported_model(loraql: Loraql, recipe: Path) -> None:
    settings = ("prompt.shots=2", "train.max_steps=2", "prompt.max_length=4000", "evaluate.max_new_tokens=2")
    loraql("run", recipe, *settings)
    assert len(lines("runs/tiny/export/merged/shots.jsonl")) > 100
    database = "data/raw/sample/database/shop/shop.sqlite"
    answer = json.loads(loraql("ask", "tiny", "--db", database, "--json", "How many customers are there?"))
    assert set(answer) >= {"question", "sql"}


def lines(path: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
