"""The command that takes an exported model elsewhere. As in `cli.py`, it parses and calls one verb."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.options import example

publishing = typer.Typer()


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
