"""Schema linking on Spider's development questions: recall, and how much shorter the prompts get.

    python benchmarks/linker.py spider_data
    pip install scikit-learn && python benchmarks/linker.py spider_data --fit

Reads Spider in its published layout, unpacked. Development questions whose database is missing are left
out. Tokens are those of the embedded model's tokenizer (or `--tokenizer FOLDER`), over the whole prompt as the
model gets it, and over the context alone; `values` prompts also show mentioned values and two samples of each
text column. Figures go to `benchmarks/results/linker.json`.

`--fit` first fits the two ensembles on the training questions, whose databases are others than dev's, and
writes `prompts/linker.json`; it also tells the recall on held-out training databases (five folds).
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from data.schema import Schema
from data.spider import Question, Schemas, database_path, read_split
from pipeline.base import fetch_base
from pipeline.model import encode_prompts, load_tokenizer, quiet_libraries, wrap_prompt
from pipeline.settings import ModelSettings
from prompts.clues import COLUMN_CLUES, TABLE_CLUES
from prompts.context import used_columns
from prompts.link import Linker, Model, Trees
from prompts.recall import Recall
from prompts.render import preset_style
from prompts.show import add_values
from prompts.values import Mention, ValueIndex, index_apart, open_index

RESULT = Path(__file__).parent / "results" / "linker.json"
MODEL = Path(__file__).parent.parent / "prompts" / "linker.json"
TABLE_CUT = COLUMN_CUT = 0.04
TREES = {"tables": {"max_iter": 60, "max_depth": 4}, "columns": {"max_iter": 80, "max_depth": 4}}
LEARNING_RATE, SMALLEST_LEAF, FOLDS = 0.15, 50, 5


class Cases:
    """The questions of a split that can be linked, with all that linking needs."""

    def __init__(self, root: Path, split: str, cache: Path) -> None:
        self.schemas: dict[str, Schema] = {}
        self.indexes: dict[str, ValueIndex] = {}
        self.questions: list[Question] = []
        self.golds: list[dict[str, set[str]]] = []
        self.missing: set[str] = set()
        known = Schemas(root)
        for question in read_split(root, split):
            path = database_path(root, split, question.db_id)
            if not path.is_file():
                self.missing.add(question.db_id)
                continue
            if question.db_id not in self.schemas:
                self.schemas[question.db_id] = known.get(split, question.db_id)
                self.indexes[question.db_id] = open_index(path, self.schemas[question.db_id], index_apart(path, cache))
            if gold := used_columns(self.schemas[question.db_id], question.query, stars=False):
                self.questions.append(question)
                self.golds.append(gold)

    def mentions(self, question: Question) -> list[Mention]:
        return self.indexes[question.db_id].mentions(question.question)

    def recall(self, linkers: dict[str, Linker]) -> Recall:
        """Over all questions; `linkers` by database."""
        recall = Recall()
        for question, gold in zip(self.questions, self.golds, strict=True):
            linker = linkers[question.db_id]
            ranking = linker.rank(question.question, self.mentions(question))
            recall.add(gold, ranking, linker.pick(ranking))
        return recall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spider", type=Path, help="the folder that holds dev.json and database/")
    parser.add_argument("--fit", action="store_true", help="fit the ensembles first")
    parser.add_argument("--tokenizer", type=Path, help="a model folder, instead of the embedded model")
    parser.add_argument("--repeats", type=int, default=5, help="measurements that the medians are of")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as cache:
        fitted = fit(Cases(arguments.spider, "train", Path(cache))) if arguments.fit else kept(arguments.out)
        cases = Cases(arguments.spider, "dev", Path(cache))
        linkers = {name: Linker(schema) for name, schema in cases.schemas.items()}
        result = {
            "held_out_training_databases": fitted,
            "dev": cases.recall(linkers).summary() | {"missing_databases": sorted(cases.missing)},
            "dev_without_synonyms": without_synonyms(cases),
            "tokens": tokens(cases, linkers, arguments.tokenizer or fetch_base(ModelSettings())),
            "milliseconds_a_question": milliseconds(cases, linkers, arguments.repeats),
            "machine": f"{platform.platform()}, {os.cpu_count()} cores",
            "versions": {"python": platform.python_version(), "numpy": version("numpy"), "sqlglot": version("sqlglot")},
        }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def without_synonyms(cases: Cases) -> dict[str, Any]:
    """The recall of the same trees where no word stands for another."""
    with patch("prompts.clues.synonyms", dict):
        return cases.recall({name: Linker(schema) for name, schema in cases.schemas.items()}).summary()


def kept(path: Path) -> Any:
    """The figures of the last fit."""
    return json.loads(path.read_text(encoding="utf-8"))["held_out_training_databases"] if path.is_file() else None


def tokens(cases: Cases, linkers: dict[str, Linker], folder: Path) -> dict[str, Any]:
    """Mean tokens of prompts with full and with linked schemas, and by how much the latter are shorter in all."""
    tokenizer, style = load_tokenizer(folder), preset_style("corrected", "schema-first")
    shown: dict[str, list[tuple[str, str]]] = {"full": [], "linked": [], "full, values": [], "linked, values": []}
    for question in cases.questions:
        linker, mentions = linkers[question.db_id], cases.mentions(question)
        picked = linker.pick(linker.rank(question.question, mentions))
        for kind, schema in (("full", linker.schema), ("linked", linker.schema.subset(picked))):
            shown[kind].append((question.question, style.context(schema)))
            schema = add_values(schema, cases.indexes[question.db_id], mentions, samples=2)
            shown[f"{kind}, values"].append((question.question, style.context(schema)))
    lengths: dict[str, dict[str, float]] = {}
    for kind, prompts in shown.items():
        contexts = encode_prompts(tokenizer, [context for _, context in prompts])
        whole = encode_prompts(tokenizer, [wrap_prompt(tokenizer, style.text(*prompt)) for prompt in prompts])
        lengths[kind] = {
            "context": statistics.mean(map(len, contexts)),
            "prompt": statistics.mean(map(len, whole)),
        }
    return {
        kind: {part: round(length, 1) for part, length in parts.items()}
        | {f"{part}_shorter_than_full": round(1 - parts[part] / lengths["full"][part], 4) for part in parts}
        for kind, parts in lengths.items()
    }


def milliseconds(cases: Cases, linkers: dict[str, Linker], repeats: int) -> dict[str, float]:
    """Medians over all questions, of finding mentions and of ranking and picking."""
    finding, ranking = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        found = [cases.mentions(question) for question in cases.questions]
        middle = time.perf_counter()
        for question, mentions in zip(cases.questions, found, strict=True):
            linker = linkers[question.db_id]
            linker.pick(linker.rank(question.question, mentions))
        finding.append(middle - start)
        ranking.append(time.perf_counter() - middle)
    scale = 1000 / len(cases.questions)
    return {
        "values": round(statistics.median(finding) * scale, 3),
        "linking": round(statistics.median(ranking) * scale, 3),
    }


def fit(cases: Cases) -> dict[str, Any]:
    """Fits on all training questions and writes the model; the recall on training databases left out of a fit."""
    blank = Trees(_empty())
    unfitted = {name: Linker(schema, Model(blank, blank, 0, 0)) for name, schema in cases.schemas.items()}
    clues = [
        unfitted[question.db_id].clues(question.question, cases.mentions(question)) for question in cases.questions
    ]
    targets = [
        _targets(cases.schemas[question.db_id], gold)
        for question, gold in zip(cases.questions, cases.golds, strict=True)
    ]
    names = sorted(cases.schemas)
    folds = [set(names[place::FOLDS]) for place in range(FOLDS)]
    held_out: dict[str, Linker] = {}
    for fold in folds:
        rows = [place for place, question in enumerate(cases.questions) if question.db_id not in fold]
        model = _model(_content(clues, targets, rows))
        held_out |= {name: Linker(cases.schemas[name], model) for name in fold}
    content = _content(clues, targets, range(len(clues)))
    MODEL.write_text(json.dumps(content, separators=(",", ":")).replace("],[", "],\n[") + "\n", encoding="utf-8")
    return cases.recall(held_out).summary()


def _targets(schema: Schema, gold: dict[str, set[str]]) -> tuple[list[bool], list[bool]]:
    columns = [column.name in gold.get(table.name, ()) for table in schema.tables for column in table.columns]
    return [table.name in gold for table in schema.tables], columns


def _model(content: dict[str, Any]) -> Model:
    return Model(Trees(content["tables"]), Trees(content["columns"]), TABLE_CUT, COLUMN_CUT)


def _content(clues: Sequence[Any], targets: Sequence[Any], rows: Sequence[int]) -> dict[str, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    content: dict[str, Any] = {"table_cut": TABLE_CUT, "column_cut": COLUMN_CUT}
    content["table_clues"], content["column_clues"] = list(TABLE_CLUES), list(COLUMN_CLUES)
    for place, kind in enumerate(("tables", "columns")):
        known = np.vstack([clues[row][place] for row in rows])
        used = np.concatenate([targets[row][place] for row in rows])
        ensemble = HistGradientBoostingClassifier(
            **TREES[kind],
            learning_rate=LEARNING_RATE,
            min_samples_leaf=SMALLEST_LEAF,
            early_stopping=False,
            random_state=0,
        ).fit(known, used)
        content[kind] = _plain(ensemble)
        own, its = Trees(content[kind]).predict(known[:1000]), ensemble.predict_proba(known[:1000])[:, 1]
        if not np.allclose(own, its, atol=1e-3):
            raise SystemExit(f"the trees of {kind} were not written as they were fitted")
    return content


def _plain(ensemble: Any) -> dict[str, Any]:
    """The fitted trees as lists, padded to equal length. scikit-learn has no public way to get at them."""
    trees = [predictors[0].nodes for predictors in ensemble._predictors]
    size = max(map(len, trees))

    def children(name: str) -> list[list[int]]:
        return [
            [place if node["is_leaf"] else int(node[name]) for place, node in enumerate(tree)]
            + [0] * (size - len(tree))
            for tree in trees
        ]

    features = [[0 if node["is_leaf"] else int(node["feature_idx"]) for node in tree] for tree in trees]
    return {
        "base": round(float(ensemble._baseline_prediction[0, 0]), 5),
        "depth": max(int(tree["depth"].max()) for tree in trees),
        "feature": [row + [0] * (size - len(row)) for row in features],
        # Whole: a threshold may be a clue's very value, and rounding would send it the other way.
        "threshold": [list(map(float, tree["num_threshold"])) + [0.0] * (size - len(tree)) for tree in trees],
        "left": children("left"),
        "right": children("right"),
        "value": [
            [round(float(node["value"]), 5) if node["is_leaf"] else 0 for node in tree] + [0] * (size - len(tree))
            for tree in trees
        ],
    }


def _empty() -> dict[str, Any]:
    return {"base": 0, "depth": 0} | {name: [[0]] for name in ("feature", "threshold", "left", "right", "value")}


if __name__ == "__main__":
    main()
