"""The arguments and options that several commands share."""

from typing import Annotated

import typer

from pipeline.completing import recipe_names

Recipe = Annotated[
    str, typer.Argument(help="a recipe's name, or a YAML file", metavar="RECIPE", autocompletion=recipe_names)
]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="settings, as train.learning_rate=1e-4", metavar="KEY=VALUE")
]
Force = Annotated[bool, typer.Option("--force", help="run again though it is up to date")]
Quick = Annotated[bool, typer.Option("--quick", help="the recipe's few-steps variant, as a run of its own")]
Seed = Annotated[int | None, typer.Option(help="the same as seed=N")]
Resume = Annotated[bool, typer.Option("--resume/--no-resume", help="go on from a half-done stage, or start it afresh")]


def example(text: str) -> str:
    """The end of a command's help."""
    return f"\b\nExamples:\n  {text}"
