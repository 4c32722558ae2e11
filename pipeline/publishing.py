"""The commands that take an exported model elsewhere: to a hub, into a database.

As in `cli.py`, each parses and calls one verb.
"""

from pathlib import Path
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


@publishing.command(
    epilog=example(
        "loraql push sample --to me/text-to-sql\n  loraql push sample --to me/text-to-sql --private --yes\n"
        "  loraql push sample --to me/text-to-sql-adapter --kind adapter"
    )
)
def push(
    run: Annotated[str, typer.Argument(help="a run's name, or an exported model's folder", metavar="RUN")],
    to: Annotated[str, typer.Option(help="the repository, which is made if it is not there", metavar="OWNER/NAME")],
    kind: Annotated[str, typer.Option(help="which of the run's exports")] = "merged",
    private: Annotated[bool, typer.Option("--private", help="make a repository that others cannot see")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="upload; without it you see what would be")] = False,
    runs: Annotated[Path, typer.Option(help="where runs are kept")] = Path("runs"),
) -> None:
    """Upload an exported model to a Hugging Face hub; without --yes a rehearsal."""
    import shlex

    from pipeline import push as verb

    options = [*(["--kind", kind] if kind != "merged" else []), *(["--private"] if private else [])]
    options += ["--runs", str(runs)] if runs != Path("runs") else []
    again = shlex.join(["loraql", "push", run, "--to", to, *options, "--yes"])
    verb.push(verb.find_kind(run, kind, runs), to, private=private, really=yes, again=again)
