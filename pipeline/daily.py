"""The commands that use an exported model day by day. As in `cli.py`, each parses and calls one verb."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.options import example

daily = typer.Typer()


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
