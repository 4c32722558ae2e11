"""One model's answers to a split, judged -> `predictions.jsonl` and `scores.json` in that model's folder.

What is already answered there is not asked again. Queries are judged while the next ones are written.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.digest import digest_file
from data.spider import database_file, database_path, find_tables, suite_files
from eval.execution import GOLD_FAILED
from eval.extract import extract_sql
from eval.manifest import metric_manifest
from eval.pool import Sandbox
from eval.query import KnownNames
from eval.score import PROMPT_TOO_LONG, Case, Judge, Verdict
from eval.summary import summarize
from pipeline import processes
from pipeline.asking import Keep, Line
from pipeline.config import Config
from pipeline.console import progress, say
from pipeline.generation import Generation
from pipeline.stage import read_json, read_jsonl, write_json

SUITE = "suite"  # beside the databases, where `loraql suite` writes
JUDGED_AT_ONCE = 8

Ask = Callable[[Sequence[Line], Keep], None]
Answer = tuple[Line, Generation]


class Scorer:
    """Asks, judges and keeps. Of several processes that ask, the first one judges."""

    def __init__(self, config: Config, folder: Path, sandbox: Sandbox) -> None:
        self._config, self._folder = config, folder
        self._tables = find_tables(config.data.root)
        self._judge, self._names = Judge(sandbox), KnownNames(self._tables)

    def database(self, name: str) -> Path:
        """The database, in the folder of its test suite if it has one."""
        in_suite = database_file(self._config.data.root / SUITE, name)
        # select's databases are training databases: both splits keep them in the same folder.
        return in_suite if in_suite.is_file() else database_path(self._config.data.root, "dev", name)

    def score(
        self, name: str, split: str, lines: Sequence[Line], ask: Ask, decoding: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The scores of these questions, also kept in `scores.json`."""
        folder = self._folder / name
        path = folder / "predictions.jsonl"
        done = processes.from_first(_whole_lines(path) if processes.number() == 0 else None)
        answered = {item["id"] for item in done if item["split"] == split}
        todo = [line for line in lines if line["id"] not in answered]
        start = time.perf_counter()
        if processes.number() == 0:
            folder.mkdir(exist_ok=True)
            self._ask(path, f"{name} on {split}", split, todo, ask)
            scores = self._summarize(name, split, lines, decoding, time.perf_counter() - start)
            self._remark(name, split, {line["id"] for line in todo})
        else:
            ask(todo, lambda _place, _generation: None)
            scores = {}
        told: dict[str, Any] = processes.from_first(scores)
        return told

    def records(self, name: str, split: str) -> list[dict[str, Any]]:
        """What a model answered to the questions of a split. In the first process alone."""
        records = read_jsonl(self._folder / name / "predictions.jsonl")
        return [item for item in records if item["split"] == split]

    def _ask(self, path: Path, label: str, split: str, todo: Sequence[Line], ask: Ask) -> None:
        """Adds the answers to the file, judged in a thread of its own while others are written."""
        waiting: list[Answer] = []
        judged: deque[Future[None]] = deque()
        with (
            path.open("a", encoding="utf-8") as file,
            progress(label, len(todo), "questions") as advance,
            ThreadPoolExecutor(1) as judge,
        ):

            def write(answers: Sequence[Answer]) -> None:
                for record in self._records(answers, split):
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
                advance(len(answers))

            def hand_over() -> None:
                judged.append(judge.submit(write, list(waiting)))
                waiting.clear()

            def keep(place: int, generation: Generation) -> None:
                waiting.append((todo[place], generation))
                if len(waiting) == JUDGED_AT_ONCE:
                    hand_over()
                while judged and judged[0].done():
                    judged.popleft().result()  # its error, if it had one

            ask(todo, keep)
            if waiting:
                hand_over()
            for future in judged:
                future.result()

    def _records(self, answers: Sequence[Answer], split: str) -> Iterable[dict[str, Any]]:
        queries = [extract_sql(generation.text) for _, generation in answers]
        cases = [self._case(line, sql) for (line, _), sql in zip(answers, queries, strict=True)]
        for (line, generation), sql, verdict in zip(answers, queries, self._judge.verdicts(cases), strict=True):
            yield {
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

    def _case(self, line: Line, sql: str) -> Case:
        database = self.database(line["db_id"])
        return Case(database, line["completion"], sql, self._names.get(database), suite_files(database))

    def _summarize(
        self, name: str, split: str, lines: Sequence[Line], decoding: Mapping[str, Any], seconds: float
    ) -> dict[str, Any]:
        path = self._folder / name / "predictions.jsonl"
        asked = _sort(path, split, lines)
        scores = summarize(asked)
        kept = path.with_name("scores.json")
        everything: dict[str, Any] = read_json(kept) if kept.is_file() else {"model": name, "splits": {}}
        spent = everything["splits"].get(split, {}).get("seconds", 0.0)
        manifest = metric_manifest(
            golds=((line["db_id"], line["completion"]) for line in lines),
            databases={line["db_id"]: self.database(line["db_id"]) for line in lines},
            limits=self._config.sandbox.limits,
            foreign_keys=digest_file(self._tables) if self._tables else "sqlite",
            decoding=decoding,
        )
        everything["splits"][split] = scores | {"seconds": round(spent + seconds, 1), "manifest": manifest}
        write_json(kept, everything)
        return scores

    def _remark(self, name: str, split: str, new: set[str]) -> None:
        """Says what is to be known of the golds of these questions."""
        asked = [item for item in self.records(name, split) if item["id"] in new]
        failed = sum(item["category"] == GOLD_FAILED for item in asked)
        if failed:
            say(f"  {failed} gold queries of {split} failed and are not counted")
        for item in asked:
            for remark in item.get("remarks", ()):
                say(f"  note: {item['id']}: {remark}")


def _sort(path: Path, split: str, lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The answers to these questions, in their order; the file holds its answers so, however they came."""
    records = {(item["split"], item["id"]): item for item in read_jsonl(path)}
    place = {line["id"]: number for number, line in enumerate(lines)}
    ordered = sorted(records.values(), key=lambda item: (item["split"] == split, place.get(item["id"], 0)))
    sorted_file = path.with_suffix(".sorted")
    text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in ordered)
    sorted_file.write_text(text, encoding="utf-8")
    sorted_file.replace(path)
    return [item for item in ordered if item["split"] == split]


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
