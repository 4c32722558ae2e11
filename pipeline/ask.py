"""ask: a question about any SQLite file, answered by an exported model.

Reads an exported folder (model, tokenizer, prompt) and the database's schema; prints SQL and rows. The
SQL runs in the sandbox, read-only. Writes nothing but what prompts need into the cache: values, embeddings.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.schema import read_sqlite
from eval.execution import json_rows, show_rows
from eval.extract import extract_sql, is_complete
from eval.pool import Sandbox
from eval.sandbox import Limits, Outcome
from pipeline.bundle import SETTINGS, read_bundle
from pipeline.choosing import Decoding, Request, chooser
from pipeline.console import say, table
from pipeline.constrain import Constraint, Vocabulary
from pipeline.generation import generate
from pipeline.model import (
    encode_prompts,
    load_model,
    load_tokenizer,
    pick_dtype,
    quiet_libraries,
    wrap_prompt,
)

SHOWN_ROWS = 50


@dataclass(frozen=True)
class Answer:
    """What came of one question; `outcome` is None if the SQL was not run."""

    question: str
    sql: str
    outcome: Outcome | None


def find_export(run: str, runs: Path) -> Path:
    """The merged model of a run's name, or of a folder given by path."""
    for folder in (Path(run), Path(run) / "merged", Path(run) / "export" / "merged", runs / run / "export" / "merged"):
        if (folder / SETTINGS).is_file():
            return folder
    raise UserError(
        f"{run}: neither an exported model's folder nor a run with one under {runs}; run `loraql export {run}` first"
    )


def ask(folder: Path, database: Path, question: str, *, execute: bool = True, limits: Limits | None = None) -> Answer:
    """One question to one model about one SQLite file. Raises UserError if either cannot be read."""
    if not question.strip():
        raise UserError("the question is empty")
    schema = read_sqlite(database)
    if not schema.tables:
        raise UserError(f"{database}: has no tables")
    quiet_libraries()
    bundle = read_bundle(folder)
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, dtype=pick_dtype("auto"))

    def encode(text: str) -> list[list[int]]:
        return encode_prompts(tokenizer, [wrap_prompt(tokenizer, text)])

    ids = encode(bundle.prompt(question.strip(), schema, database, lambda text: len(encode(text)[0])))
    constraint = Constraint(Vocabulary(tokenizer), schema) if bundle.constrain else None
    decoding = Decoding(bundle.max_new_tokens)
    (written,) = generate(
        model,
        tokenizer,
        ids,
        max_new_tokens=decoding.max_new_tokens,
        batch_size=1,
        is_complete=is_complete,
        choose=chooser(decoding, [Request(ids[0], constraint=constraint)]),
    )
    if written.too_long:
        raise UserError(f"{database}: its schema takes {len(ids[0])} tokens, more than the model's window holds")
    sql = extract_sql(written.text)
    if not execute or not sql:
        return Answer(question, sql, None)
    with Sandbox(limits, workers=1) as sandbox:
        return Answer(question, sql, sandbox.run(database, sql))


def warn_of_wal(database: Path) -> None:
    """Says so where a database has changes that are not yet in its file: they are not seen."""
    log = database.with_name(database.name + "-wal")
    if log.is_file() and log.stat().st_size:
        say(f"note: {log.name} holds changes that are not in {database.name} yet; answers do not see them")


def show_answer(answer: Answer) -> None:
    """The SQL and its rows as a table, or why there are none."""
    say(answer.sql or "(the model wrote no SQL)")
    if answer.outcome is None:
        return
    if answer.outcome.category != "ok":
        say(f"the query failed: {answer.outcome.message or answer.outcome.category.replace('_', ' ')}")
        return
    rows = show_rows(answer.outcome.rows[:SHOWN_ROWS])
    if not rows:
        say("no rows")
        return
    count, milliseconds = len(answer.outcome.rows), answer.outcome.milliseconds
    table(f"{count} row{'' if count == 1 else 's'}, {milliseconds:.0f} ms", list(answer.outcome.columns), rows)
    if count > SHOWN_ROWS:
        say(f"the first {SHOWN_ROWS} of {count} rows")


def answer_json(answer: Answer) -> str:
    outcome = answer.outcome
    content: dict[str, Any] = {"question": answer.question, "sql": answer.sql}
    if outcome is not None:
        content |= {
            "category": outcome.category,
            "message": outcome.message,
            "columns": list(outcome.columns),
            "rows": json_rows(outcome.rows),
            "milliseconds": round(outcome.milliseconds, 2),
        }
    return json.dumps(content, ensure_ascii=False, indent=2)
