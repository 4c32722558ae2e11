"""The commands for every day with a trained model: talking to it, and letting others. As in `cli.py`, each calls one verb."""

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


@daily.command(
    epilog=example(
        "loraql serve sample --db shop=shop.sqlite\n"
        "  loraql serve sample --db shop.sqlite --db museum=museum.sqlite --port 8080\n"
        "  loraql serve sample --db shop=shop.sqlite --host 0.0.0.0 --api-key-file key.txt"
    )
)
def serve(
    run_name: Annotated[str, typer.Argument(help="a run's name, or an exported model's folder", metavar="RUN")],
    databases: Annotated[
        list[str] | None,
        typer.Option("--db", help="a database as NAME=PATH or PATH, as often as there are any", metavar="NAME=PATH"),
    ] = None,
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 8000,
    key_file: Annotated[
        Path | None, typer.Option("--api-key-file", help="a file with the key that clients send; or LORAQL_API_KEY")
    ] = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="let other machines ask without a key")] = False,
    hosts: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="a name by which the server is asked, as behind a proxy", metavar="NAME"),
    ] = None,
    max_rows: Annotated[int, typer.Option(min=1, help="rows of an answer; more are cut off")] = 1000,
    queue: Annotated[int, typer.Option(min=0, help="questions that may wait; others are refused")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="questions that are answered at once")] = 8,
    rate: Annotated[int, typer.Option(min=0, help="requests a minute of one client address; 0: no limit")] = 120,
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds for one answer")] = 120.0,
    corrections: Annotated[Path, typer.Option(help="where corrections are kept that people send")] = Path(
        "corrections.jsonl"
    ),
    runs: Annotated[Path, typer.Option(help="where runs are kept")] = Path("runs"),
) -> None:
    """Answer over HTTP: a page, a JSON API, and OpenAI's API."""
    from pipeline.ask import find_export
    from pipeline.serve import Serving
    from pipeline.serve import serve as start

    serving = Serving(
        databases=databases or [],
        host=host,
        port=port,
        key_file=key_file,
        no_key=no_key,
        hosts=hosts or [],
        max_rows=max_rows,
        queue=queue,
        batch=batch,
        rate=rate,
        timeout=timeout,
        corrections=corrections,
    )
    start(find_export(run_name, runs), serving)
