"""The commands for every day with a trained model: talking to it.

They take an exported model and a database. As in `cli.py`, each parses and calls one verb.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.options import example

daily = typer.Typer()


@daily.command(
    epilog=example(
        "loraql chat sample --db shop.sqlite\n  loraql chat sample --db postgresql://me@localhost/shop --vote 5\n"
        "  loraql chat sample --db shop.sqlite < questions.txt"
    )
)
def chat(
    run_name: Annotated[str, typer.Argument(help="a run's name, or an exported model's folder", metavar="RUN")],
    database: Annotated[
        str,
        typer.Option("--db", help="SQLite, .sql, CSV or Parquet file, a folder of them, postgresql:// or mysql:// URL"),
    ],
    corrections: Annotated[Path, typer.Option(help="where /good and /fix keep what you say")] = Path(
        "corrections.jsonl"
    ),
    name: Annotated[str | None, typer.Option(help="what the database is called; its file's name if not given")] = None,
    rows: Annotated[int, typer.Option(min=0, help="rows of each table that are copied from a server")] = 0,
    retry: Annotated[int, typer.Option(min=0, max=10, help="tries again where a query fails, with its error")] = 1,
    vote: Annotated[int, typer.Option(min=1, max=100, help="answers drawn, of which the commonest result counts")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="of what is drawn")] = 0,
    runs: Annotated[Path, typer.Option(help="where runs are kept")] = Path("runs"),
) -> None:
    """Talk with an exported model about a database."""
    from pipeline import chat as verb
    from pipeline.answerer import Options
    from pipeline.ask import find_export, show_answer

    options = Options(retry=retry, vote=vote, seed=seed)
    folder = find_export(run_name, runs)
    verb.chat(folder, database, corrections, options, show_answer, name=name, rows=rows)
