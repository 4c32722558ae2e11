"""evaluate: every checkpoint's SQL, executed -> `runs/NAME/evaluate/`.

Reads prompts, adapters and databases. The base model and each checkpoint answer the questions of
`select` greedily; the checkpoint with the most right results is chosen (ties: the earlier one); then
base and chosen answer `dev`. Where the data set has test suites (`loraql suite`), TS is scored too. Writes `MODEL/predictions.jsonl` and `scores.json`, `selection.json` and
`report.html`. What is already answered in a half-done folder is not asked again.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.digest import digest_file
from data.errors import UserError
from data.spider import database_file, database_path, find_tables, suite_files
from eval.comparison import common, compare, judgement
from eval.extract import extract_sql, is_complete
from eval.manifest import metric_manifest
from eval.pool import Sandbox
from eval.query import KnownNames
from eval.report import Checkpoints, Run, write_report
from eval.score import PROMPT_TOO_LONG, Case, Judge, Verdict
from eval.summary import METRICS, summarize
from pipeline.base import base_identity, fetch_base
from pipeline.config import Config
from pipeline.console import progress, say, table
from pipeline.generation import Generation, generate
from pipeline.model import encode_prompts, load_adapter, load_model, load_tokenizer, pick_dtype
from pipeline.stage import (
    BASE_MODEL,
    Stage,
    digest_files,
    read_json,
    read_jsonl,
    recorded_digests,
    write_json,
)

BASE = "base"
SUITE = "suite"  # beside the databases, where `loraql suite` writes


def _inputs(config: Config) -> dict[str, str]:
    adapters = [path / "adapter_model.safetensors" for path in _checkpoints(config)]
    render = config.run / "render"
    root = config.data.root
    suites = root / SUITE / "suite.json"
    return {
        **digest_files(render / "select.jsonl", render / "dev.jsonl", *(adapters or [config.run / "train"])),
        **{name: digest for name, digest in recorded_digests(root).items() if name.endswith(".sqlite")},
        **({str(suites): digest_file(suites)} if suites.is_file() else {}),
        BASE_MODEL: base_identity(config.model),
    }


EVALUATE = Stage(
    name="evaluate",
    version=3,
    folder=lambda config: config.run / "evaluate",
    settings=lambda config: {
        "evaluate": config.evaluate.model_dump(mode="json"),
        "selection": {"on": config.selection.on},
        "sandbox": config.sandbox.model_dump(mode="json", exclude={"workers"}),
        "train": {"compute": config.train.compute},
    },
    inputs=_inputs,
    work=lambda config, folder: evaluate(config, folder),
)


def evaluate(config: Config, folder: Path) -> None:
    """Scores the base and the checkpoints, chooses one, writes the report."""
    render = config.run / "render"
    questions = {split: read_jsonl(render / f"{split}.jsonl") for split in ("select", "dev")}
    checkpoints = _checkpoints(config)
    if not checkpoints:
        raise UserError(f"{config.run / 'train'}: holds no checkpoint; run `loraql train` first")
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    dtype = pick_dtype(config.train.compute)
    say(f"  full-precision base ({dtype}) with adapters, greedy, at most {config.evaluate.max_new_tokens} new tokens")
    model = load_model(base, dtype=dtype)
    with Sandbox(config.sandbox.limits, config.sandbox.workers) as sandbox:
        scorer = _Scorer(config, folder, tokenizer, sandbox)
        on = config.selection.on
        for split in dict.fromkeys([on, "dev"]):
            scorer.score(BASE, model, split, questions[split])
        results: dict[str, dict[str, Any]] = {}
        adapted: Any = None
        for path in checkpoints:
            if adapted is None:
                adapted = load_adapter(model, path, path.name)
            else:
                adapted.load_adapter(str(path), adapter_name=path.name)
            adapted.set_adapter(path.name)
            results[path.name] = scorer.score(path.name, adapted, on, questions[on])
        names = list(results)
        chosen = max(names, key=lambda name: (results[name]["ex"], -names.index(name)))
        adapted.set_adapter(chosen)
        scorer.score(chosen, adapted, "dev", questions["dev"])
    selection = _selection(config, folder, names, chosen)
    write_json(folder / "selection.json", selection)
    _write_report(config, folder, selection)


def _checkpoints(config: Config) -> list[Path]:
    """Checkpoints in the order of their steps."""
    return sorted((config.run / "train").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


class _Scorer:
    """Answers and judges one split with one model at a time, into that model's folder."""

    def __init__(self, config: Config, folder: Path, tokenizer: Any, sandbox: Sandbox) -> None:
        self._config, self._folder, self._tokenizer = config, folder, tokenizer
        self._root = config.data.root
        self._tables = find_tables(self._root)
        self._judge, self._names = Judge(sandbox), KnownNames(self._tables)

    def score(self, name: str, model: Any, split: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
        """The scores of one split, also kept in `scores.json`."""
        path = self._folder / name / "predictions.jsonl"
        path.parent.mkdir(exist_ok=True)
        done = _whole_lines(path)
        answered = {item["id"] for item in done if item["split"] == split}
        todo = [line for line in lines if line["id"] not in answered]
        start = time.perf_counter()
        with (
            path.open("a", encoding="utf-8") as file,
            progress(f"{name} on {split}", len(todo), "questions") as advance,
        ):

            def keep(batch: list[tuple[int, Generation]]) -> None:
                for record in self._records([(todo[place], generation) for place, generation in batch], split):
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
                advance(len(batch))

            settings = self._config.evaluate
            generate(
                model,
                self._tokenizer,
                encode_prompts(self._tokenizer, [line["prompt"] for line in todo]),
                max_new_tokens=settings.max_new_tokens,
                batch_size=settings.batch_size,
                is_complete=is_complete,
                on_batch=keep,
            )
        return self._summarize(name, path, split, lines, time.perf_counter() - start)

    def _records(self, batch: Sequence[tuple[dict[str, Any], Generation]], split: str) -> list[dict[str, Any]]:
        queries = [extract_sql(generation.text) for _, generation in batch]
        cases = [self._case(line, sql) for (line, _), sql in zip(batch, queries, strict=True)]
        verdicts = self._judge.verdicts(cases)
        return [
            {
                "id": line["id"],
                "split": split,
                "db_id": line["db_id"],
                "question": line["question"],
                "prompt_digest": line["prompt_digest"],
                "text": generation.text,
                "tokens": generation.tokens,
                "ended": generation.ended,
                "gold": line["completion"],
                "sql": sql,
                **_explained(verdict, generation).record(),
            }
            for (line, generation), sql, verdict in zip(batch, queries, verdicts, strict=True)
        ]

    def _case(self, line: dict[str, Any], sql: str) -> Case:
        database = self._database(line["db_id"])
        return Case(database, line["completion"], sql, self._names.get(database), suite_files(database))

    def _database(self, name: str) -> Path:
        """The database, in the folder of its test suite if it has one."""
        in_suite = database_file(self._root / SUITE, name)
        # select's databases are training databases: both splits keep them in the same folder.
        return in_suite if in_suite.is_file() else database_path(self._root, "dev", name)

    def _summarize(
        self, name: str, path: Path, split: str, lines: list[dict[str, Any]], seconds: float
    ) -> dict[str, Any]:
        # In the order of the questions, however they were batched.
        records = {(item["split"], item["id"]): item for item in read_jsonl(path)}
        place = {line["id"]: number for number, line in enumerate(lines)}
        ordered = sorted(records.values(), key=lambda item: (item["split"] == split, place.get(item["id"], 0)))
        sorted_file = path.with_suffix(".sorted")
        sorted_file.write_text(
            "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in ordered), encoding="utf-8"
        )
        sorted_file.replace(path)
        asked = [item for item in ordered if item["split"] == split]
        scores = summarize(asked)
        kept = path.with_name("scores.json")
        everything: dict[str, Any] = read_json(kept) if kept.is_file() else {"model": name, "splits": {}}
        spent = everything["splits"].get(split, {}).get("seconds", 0.0)
        manifest = metric_manifest(
            golds=((line["db_id"], line["completion"]) for line in lines),
            databases={line["db_id"]: self._database(line["db_id"]) for line in lines},
            limits=self._config.sandbox.limits,
            foreign_keys=digest_file(self._tables) if self._tables else "sqlite",
            decoding={"greedy": True, "max_new_tokens": self._config.evaluate.max_new_tokens},
        )
        everything["splits"][split] = scores | {"seconds": round(spent + seconds, 1), "manifest": manifest}
        write_json(kept, everything)
        if scores["gold_failed"]:
            say(f"  {scores['gold_failed']} gold queries of {split} failed and are not counted")
        for item in asked:
            for remark in item.get("remarks", ()):
                say(f"  note: {item['id']}: {remark}")
        return scores


def _explained(verdict: Verdict, generation: Generation) -> Verdict:
    """The verdict, under a category of its own where the question was never asked."""
    if not generation.too_long:
        return verdict
    return replace(verdict, category=PROMPT_TOO_LONG, message="the prompt does not fit into the model's window")


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """What was written so far; a last line that was cut by a kill is dropped, from the file too."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="ignore")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return read_jsonl(path)


def _selection(config: Config, folder: Path, names: list[str], chosen: str) -> dict[str, Any]:
    """What was chosen, on which split, and how far the chosen one is from the base on dev."""
    on = config.selection.on
    candidates = {name: read_json(folder / name / "scores.json")["splits"][on] for name in names}
    return {
        "chosen": chosen,
        "on": on,
        "candidates": {
            name: {key: scores[key] for key in ("n", "ex", "em", "intervals")} for name, scores in candidates.items()
        },
        "dev_gain": compare(common(_dev(folder, BASE), _dev(folder, chosen)), config.seed),
    }


def _dev(folder: Path, name: str) -> list[dict[str, Any]]:
    """A model's answers to the questions of dev."""
    return [item for item in read_jsonl(folder / name / "predictions.jsonl") if item["split"] == "dev"]


def _write_report(config: Config, folder: Path, selection: dict[str, Any]) -> None:
    chosen = selection["chosen"]
    scores = {name: read_json(folder / name / "scores.json")["splits"] for name in (BASE, *selection["candidates"])}
    write_report(
        folder / "report.html",
        title=f"{config.name}: evaluation",
        runs=[
            Run(label, _dev(folder, name), scores[name]["dev"])
            for name, label in ((BASE, "base model"), (chosen, chosen))
        ],
        comparison=selection["dev_gain"],
        checkpoints=Checkpoints(scores, chosen, selection["on"]),
        losses=read_jsonl(config.run / "train" / "metrics.jsonl"),
        config=config.dump(),
        manifest=scores[chosen]["dev"]["manifest"],
    )


def show_scores(folder: Path) -> None:
    """The table of all models: EX with its interval on the choosing split and on dev, TS if there is one, seconds."""
    selection = read_json(folder / "selection.json")
    suited = "ts" in read_json(folder / BASE / "scores.json")["splits"]["dev"]
    shown = [
        *((split, "ex") for split in dict.fromkeys([selection["on"], "dev"])),
        *([("dev", "ts")] if suited else []),
    ]
    rows = []
    for name in [BASE, *selection["candidates"]]:
        splits = read_json(folder / name / "scores.json")["splits"]
        cells = [_cell(splits.get(split), metric) for split, metric in shown]
        label = {BASE: "base model", selection["chosen"]: f"{name} (chosen)"}.get(name, name)
        rows.append([label, *cells, sum(scores["seconds"] for scores in splits.values())])
    titles = [f"{METRICS[metric]} % on {split} [95%]" for split, metric in shown]
    table("Execution accuracy", ["model", *titles, "seconds"], rows)
    gain = selection["dev_gain"]["ex"]
    say(
        f"  chosen against base on dev: {100 * gain['value']:+.1f} points [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}], "
        f"{gain['won']} won, {gain['lost']} lost, {judgement(gain)}"
    )


def _cell(scores: dict[str, Any] | None, metric: str) -> str:
    if scores is None:
        return "-"
    interval = scores["intervals"][metric]
    low, high = 100 * interval["low"], 100 * interval["high"]
    return f"{100 * interval['value']:.1f} [{low:.1f}, {high:.1f}]  {scores[metric]}/{scores['n']}"
