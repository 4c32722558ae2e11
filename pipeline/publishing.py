"""The commands that take an exported model elsewhere: a hub, a database.

As in `cli.py`, each parses and calls one verb.
"""

from typing import Annotated

import typer

from pipeline.options import Overrides, Quick, Recipe, Seed, example

publishing = typer.Typer()


@publishing.command(
    epilog=example(
        "loraql pgllm my-gpt2.yaml\n  loraql pgllm my-gpt2.yaml --db postgresql://me@localhost/llm\n"
        "  loraql pgllm my-gpt2.yaml --db postgresql://me@localhost/llm --truncate"
    )
)
def pgllm(
    recipe: Recipe,
    overrides: Overrides = None,
    database: Annotated[
        str | None, typer.Option("--db", help="write the rows into this server, too: a postgresql:// URL")
    ] = None,
    truncate: Annotated[bool, typer.Option("--truncate", help="empty the server's tables first")] = False,
    block: Annotated[
        int | None, typer.Option(min=1, help="tokens of a block of training text; the model's positions if not given")
    ] = None,
    quick: Quick = False,
    seed: Seed = None,
) -> None:
    """Write an exported GPT-2 for PostgreSQL's pg_llm: weights, tokenizer, training text, SQL."""
    from pipeline.config import load_config
    from pipeline.console import say
    from pipeline.pgllm import export_pgllm
    from pipeline.run import require_export

    config = load_config(recipe, overrides or [], quick=quick, seed=seed)
    require_export(config, recipe, "pgllm")
    folder = config.run / "export" / "pgllm"
    export_pgllm(config, folder, database, truncate, block)
    say(f"pg_llm: {folder}")
