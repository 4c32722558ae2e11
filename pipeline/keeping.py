"""The commands that look after runs and the machine: what there is, what can go, whether all is in order.

As in `cli.py`, each parses and calls one verb.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.completing import run_names
from pipeline.options import example

keeping = typer.Typer()
Runs = Annotated[Path, typer.Option(help="where runs are kept")]


@keeping.command(epilog=example("loraql runs\n  loraql runs --json"))
def runs(
    runs: Runs = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="all that is known, as JSON")] = False,
) -> None:
    """List runs: how far they came, their scores, what they cost."""
    from pipeline.runs import show_runs

    show_runs(runs, as_json)


@keeping.command(
    epilog=example(
        "loraql clean\n  loraql clean sample --what checkpoints,partial --yes\n  loraql clean sample-quick --all"
    )
)
def clean(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="runs; all of them, and the cache, if none is named", metavar="RUN", autocompletion=run_names
        ),
    ] = None,
    what: Annotated[
        str | None,
        typer.Option(
            help="checkpoints, partial, states, cache, models; the first three if not given, of a RUN the first two"
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--all", help="the whole folders of the runs that are named")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="delete without asking")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Free disk space: show what can go, ask, delete."""
    from pipeline.clean import clean as clean_up

    kinds = [kind.strip() for kind in what.split(",") if kind.strip()] if what is not None else None
    clean_up(runs, names or [], kinds, whole=whole, yes=yes)


@keeping.command(
    epilog=example(
        "loraql init\n  loraql init my-run --data sample --model smollm2-135m-instruct --gpu none --hours 1\n"
        "  loraql init big --data spider --model Qwen/Qwen2.5-Coder-7B-Instruct --gpu 24 --hours 12"
    )
)
def init(
    name: Annotated[str | None, typer.Argument(help="of the recipe, NAME.yaml, and of its run", metavar="NAME")] = None,
    data: Annotated[str | None, typer.Option(help="sample, spider, or the name of an import")] = None,
    model: Annotated[
        str | None, typer.Option(help="the base: smollm2-135m-instruct, a Hugging Face id, or a folder")
    ] = None,
    gpu: Annotated[
        str | None, typer.Option(help="none, auto (what is found here), or the memory in GB of one elsewhere")
    ] = None,
    hours: Annotated[float | None, typer.Option(help="how long training and scoring may take")] = None,
    force: Annotated[bool, typer.Option("--force", help="write over a recipe of this name")] = False,
) -> None:
    """Write a recipe fitted to your data, model, machine and time."""
    from pipeline.new_recipe import init as write_recipe

    write_recipe(name, data=data, model=model, gpu=gpu, hours=hours, force=force)


@keeping.command(epilog=example("loraql doctor\n  loraql doctor --json"))
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="the same as JSON")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Check machine and installation, and say what mends them."""
    from pipeline.doctor import doctor as examine

    if not examine(runs, as_json):
        raise typer.Exit(1)
