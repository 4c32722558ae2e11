"""ask: a question about a database, answered by an exported model.

Reads an exported folder (model, tokenizer, prompt) and the database's schema; prints SQL and rows. The SQL is run
read-only and limited. Writes nothing but what prompts need into the cache: values, embeddings, imported tables.
"""

import json
from pathlib import Path
from typing import Any

from data.errors import UserError
from eval.execution import plain_rows, show_rows
from eval.pool import Sandbox
from eval.sandbox import Limits
from pipeline.answerer import Answer, Answerer, Options
from pipeline.bundle import SETTINGS
from pipeline.console import say, sql_lines, table
from pipeline.databases import open_database

SHOWN_ROWS = 50


def find_export(run: str, runs: Path) -> Path:
    """The merged model of a run's name, or of a folder given by path."""
    for folder in (Path(run), Path(run) / "merged", Path(run) / "export" / "merged", runs / run / "export" / "merged"):
        if (folder / SETTINGS).is_file():
            return folder
    raise UserError(
        f"{run}: neither an exported model's folder nor a run with one under {runs}; run `loraql export {run}` first"
    )


def ask(
    folder: Path,
    address: str,
    question: str,
    options: Options | None = None,
    *,
    limits: Limits | None = None,
    rows: int = 0,
) -> Answer:
    """One question to one model about the database at a path or URL. Raises UserError if either cannot be read."""
    if not question.strip():
        raise UserError("the question is empty")
    with Sandbox(limits, workers=1) as sandbox:
        database = open_database(address, sandbox, rows=rows)
        try:
            for note in database.notes:
                say(f"note: {note}", error=True)
            with Answerer(folder, batch_size=options.vote if options else 1) as answerer:
                return answerer.answer(database, question, options)
        finally:
            database.close()


def show_answer(answer: Answer, dialect: str = "sqlite") -> None:
    """The SQL, the tables that it reads, what to be wary of, and its rows as a table or why there are none."""
    if answer.sql:
        sql_lines(answer.sql, dialect)
    else:
        say("(the model wrote no SQL)")
    if answer.tables:
        say(f"reads {', '.join(answer.tables)}", style="dim")
    for warning in answer.warnings:
        say(f"note: {warning}", style="yellow")
    outcome = answer.outcome
    if outcome is None:
        return
    if outcome.category != "ok":
        say(f"the query failed: {outcome.message or outcome.category.replace('_', ' ')}", style="red")
        return
    rows, count = show_rows(outcome.rows[:SHOWN_ROWS]), len(outcome.rows)
    if rows:
        table(f"{count:,} row{'' if count == 1 else 's'}, {outcome.milliseconds:.0f} ms", list(outcome.columns), rows)
    if count > SHOWN_ROWS:
        say(f"the first {SHOWN_ROWS} of {count:,} rows")


def answer_content(answer: Answer, most_rows: int | None = None) -> dict[str, Any]:
    """An answer as JSON has it, with so many of its rows."""
    content: dict[str, Any] = {
        "question": answer.question,
        "sql": answer.sql,
        "tables": list(answer.tables),
        "warnings": list(answer.warnings),
    }
    outcome = answer.outcome
    if outcome is not None:
        content |= {
            "category": outcome.category,
            "message": outcome.message,
            "columns": list(outcome.columns),
            "rows": plain_rows(outcome.rows[:most_rows]),
            "milliseconds": round(outcome.milliseconds, 2),
        }
    return content


def answer_json(answer: Answer) -> str:
    return json.dumps(answer_content(answer), ensure_ascii=False, indent=2)
