"""The commands that take a model out: export in its kinds, push to a hub.

As in `cli.py`, each parses and calls one verb.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.options import Force, Overrides, Quick, Recipe, Resume, Seed, example

publishing = typer.Typer()


@publishing.command(
    epilog=example(
        "loraql export sample\n  loraql export sample --kind gguf --kind adapter\n  loraql export sample --allow-drift"
    )
)
def export(
    recipe: Recipe,
    overrides: Overrides = None,
    kind: Annotated[list[str] | None, typer.Option(help="merged (the default), adapter, gguf, pgllm")] = None,
    database: Annotated[
        str | None, typer.Option("--db", help="of --kind pgllm: a postgresql:// URL, whose tables are filled, too")
    ] = None,
    truncate: Annotated[bool, typer.Option("--truncate", help="of --kind pgllm: empty those tables first")] = False,
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="accept an exported model that answers differently")
    ] = False,
    force: Force = False,
    quick: Quick = False,
    seed: Seed = None,
    resume: Resume = True,
) -> None:
    """Merge the chosen adapter into the base, check the merge, and make other kinds of it."""
    from pipeline.config import load_config
    from pipeline.run import export as run_export

    config = load_config(recipe, overrides or [], quick=quick, seed=seed)
    run_export(
        config,
        recipe,
        kind or ["merged"],
        allow_drift=allow_drift,
        force=force,
        resume=resume,
        database=database,
        truncate=truncate,
    )


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
