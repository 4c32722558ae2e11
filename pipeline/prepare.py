"""prepare: every gold query run -> `data/raw/SOURCE/processed/{train,dev,test}.csv` and `stats.json`.

Reads the data set that `download` laid out. A gold query that fails is kept in the CSV, marked, and
left out of training and scoring by the stages after; `stats.json` lists each with its reason.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.examples import GIVEN, SYNTHETIC, UNVERIFIED_GOLD, USABLE_GOLD, Example, write_csv
from data.imports.pairs import read_pairs
from data.spider import FILES, Question, Schemas, database_path, read_split
from eval.hardness import HARDNESS
from eval.pool import Sandbox
from eval.query import KnownNames, Names
from eval.reading import hardness
from eval.sandbox import Outcome
from eval.verdict import normalize
from pipeline.config import Config
from pipeline.console import progress, say, table
from pipeline.stage import Stage, digest_files, recorded_digests, write_json
from prompts.describe import describe

SHOWN_REASONS = 8


def _inputs(config: Config) -> dict[str, str]:
    """The digests that `download` recorded: the databases are many, and it is their only writer."""
    recorded = recorded_digests(config.data.root)
    own = {name: digest for name, digest in recorded.items() if not name.startswith("processed/")}
    return own | digest_files(*config.data.synthetic)


PREPARE = Stage(
    name="prepare",
    version=3,
    folder=lambda config: config.data.root / "processed",
    settings=lambda config: {"sandbox": config.sandbox.model_dump(mode="json", exclude={"workers"})},
    inputs=_inputs,
    work=lambda config, folder: prepare(config, folder),
)


def prepare(config: Config, folder: Path) -> None:
    """Writes one CSV a split and the statistics."""
    root = config.data.root
    schemas = Schemas(root)
    names = KnownNames(None)
    examples: list[Example] = []
    broken: list[dict[str, str]] = []
    questions = [question for split in FILES for question in read_split(root, split)]
    if not questions:
        raise UserError(f"{root}: holds no questions; run `loraql download {config.data.source}`")
    questions += _synthetic(config, root)
    with (
        Sandbox(config.sandbox.limits, config.sandbox.workers) as sandbox,
        progress("running gold queries", len(questions)) as advance,
    ):
        runnable = [question for question in questions if _database(root, question).is_file()]
        outcomes = sandbox.map((_database(root, question), normalize(question.query)) for question in runnable)
        for question in questions:
            outcome = next(outcomes) if _database(root, question).is_file() else None
            status = _status(outcome)
            examples.append(_example(question, status, schemas, names.get(_database(root, question))))
            if status not in USABLE_GOLD:
                broken.append(_listed(question, status, outcome))
            advance()
    for split in FILES:
        chosen = [example for example in examples if example.split == split]
        if chosen:
            write_csv(chosen, folder / f"{split}.csv")
    stats = _statistics(examples, broken)
    write_json(folder / "stats.json", stats)
    _show(stats)


def _synthetic(config: Config, root: Path) -> list[Question]:
    """The pairs of `data.synthetic`, for training. Raises UserError for one about a database that is not here."""
    questions: list[Question] = []
    for path in config.data.synthetic:
        for pair in read_pairs(path):
            if not pair.db_id:
                raise UserError(f"{pair.place}: names no database; add a column db_id, as `loraql synth` writes it")
            if not database_path(root, "train", pair.db_id).is_file():
                raise UserError(f"{pair.place}: its database, {pair.db_id}, is not in {root / 'database'}")
            identifier = f"synthetic-{len(questions)}"
            questions.append(Question(identifier, "train", pair.question, pair.query, pair.db_id, synthetic=True))
    asked = {question.db_id for question in read_split(root, "dev")} & {question.db_id for question in questions}
    if asked:
        say(f"  note: synthetic pairs are about {', '.join(sorted(asked))}, which dev asks about: no longer unseen")
    return questions


def _database(root: Path, question: Question) -> Path:
    return database_path(root, question.split, question.db_id)


def _status(outcome: Outcome | None) -> str:
    if outcome is None:
        return UNVERIFIED_GOLD
    if outcome.category == "ok":
        return "ok" if outcome.rows else "empty"
    return outcome.category


def _example(question: Question, status: str, schemas: Schemas, names: Names | None) -> Example:
    schema = describe(schemas.get(question.split, question.db_id))
    return Example(
        question=question.question,
        schema=schema,
        query=question.query,
        db_id=question.db_id,
        split=question.split,
        hardness=hardness(question.query, names),
        gold=status,
        id=question.id,
        origin=SYNTHETIC if question.synthetic else GIVEN,
    )


def _listed(question: Question, status: str, outcome: Outcome | None) -> dict[str, str]:
    reason = outcome.message if outcome else "the database is missing"
    return {"id": question.id, "db_id": question.db_id, "gold": status, "reason": reason, "query": question.query}


def _statistics(examples: list[Example], broken: list[dict[str, str]]) -> dict[str, Any]:
    splits = {}
    for split in FILES:
        chosen = [example for example in examples if example.split == split]
        if chosen:
            splits[split] = {
                "questions": len(chosen),
                "databases": len({example.db_id for example in chosen}),
                "hardness": {level: sum(example.hardness == level for example in chosen) for level in HARDNESS},
                "gold": dict(Counter(example.gold for example in chosen)),
                "synthetic": sum(example.origin == SYNTHETIC for example in chosen),
            }
    return {"splits": splits, "broken_gold": broken}


def _show(stats: dict[str, Any]) -> None:
    rows = []
    for split, figures in stats["splits"].items():
        gold = figures["gold"]
        failing = figures["questions"] - sum(gold.get(status, 0) for status in (*USABLE_GOLD, UNVERIFIED_GOLD))
        mix = " / ".join(str(figures["hardness"][level]) for level in HARDNESS)
        rows.append(
            [
                split,
                figures["questions"],
                figures["databases"],
                mix,
                gold.get("ok", 0),
                gold.get("empty", 0),
                failing,
                gold.get(UNVERIFIED_GOLD, 0),
            ]
        )
    columns = [
        "split",
        "questions",
        "databases",
        " / ".join(HARDNESS),
        "gold runs",
        "no rows",
        "gold fails",
        "no database",
    ]
    table("Prepared", columns, rows)
    reasons = Counter((item["db_id"], item["gold"], item["reason"]) for item in stats["broken_gold"])
    for (db_id, status, reason), count in reasons.most_common(SHOWN_REASONS):
        say(f"  {count} in {db_id}: {status}: {reason}")
    if len(reasons) > SHOWN_REASONS:
        say(f"  and {len(reasons) - SHOWN_REASONS} more reasons; stats.json lists every query")
