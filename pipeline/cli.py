"""The command line. It parses and calls one verb; `pipeline/exits.py` turns errors into exit codes.

The stages are imported inside the commands, so that help needs none of the heavy libraries.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import UsageError
from pipeline.completing import dataset_names, export_names
from pipeline.daily import daily
from pipeline.exits import guard
from pipeline.keeping import keeping
from pipeline.options import Force, Overrides, Quick, Recipe, Resume, Seed, example
from pipeline.panels import Panels
from pipeline.publishing import publishing
from pipeline.tools import tools

if TYPE_CHECKING:
    from pipeline.config import Config

app = typer.Typer(
    cls=Panels,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fine-tune a text-to-SQL model on question/SQL pairs, and prove how good it is by running the SQL.\n\n"
    "\b\nThe whole line on the embedded sample:\n  loraql run sample\n\n"
    "\b\nStage by stage, on Spider:\n  loraql download spider\n  loraql prepare spider-smollm2\n  loraql render spider-smollm2\n"
    "  loraql train spider-smollm2 train.learning_rate=1e-4\n  loraql evaluate spider-smollm2\n  loraql export spider-smollm2\n"
    '  loraql ask spider-smollm2 --db shop.sqlite "How many orders were late?"',
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"loraql {version('loraql')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    """Options before a command."""


@app.command(
    epilog=example("loraql download spider\n  loraql download spider --from spider_data.zip\n  loraql download sample")
)
def download(
    recipe: Annotated[
        str,
        typer.Argument(
            help="a data set (spider, sample), a recipe's name, or a YAML file",
            metavar="DATASET",
            autocompletion=dataset_names,
        ),
    ],
    overrides: Overrides = None,
    origin: Annotated[
        str | None, typer.Option("--from", help="a URL, a zip or a folder, instead of the published file")
    ] = None,
    force: Force = False,
    quick: Quick = False,
    seed: Seed = None,
    resume: Resume = True,
) -> None:
    """Fetch a data set and check it: counts, missing databases."""
    from pipeline.download import download_stage
    from pipeline.stage import run_stage

    config = _config(recipe, overrides, quick, seed, dataset=True)
    # What the user names is what the user wants, also where another archive is unpacked already.
    run_stage(download_stage(origin), config, force=force or origin is not None, resume=resume)


@app.command(epilog=example("loraql prepare sample\n  loraql prepare spider-smollm2 sandbox.seconds=10"))
def prepare(
    recipe: Recipe,
    overrides: Overrides = None,
    force: Force = False,
    quick: Quick = False,
    seed: Seed = None,
    resume: Resume = True,
) -> None:
    """Run every gold query and write question, schema, query as CSV."""
    _run_stage("prepare", recipe, overrides, force, quick, seed, resume)


@app.command(epilog=example("loraql render sample\n  loraql render spider-smollm2 prompt.shots=3 --show 2"))
def render(
    recipe: Recipe,
    overrides: Overrides = None,
    show: Annotated[int, typer.Option(min=0, help="print this many prompts")] = 0,
    report: Annotated[bool, typer.Option("--report", help="how well the linker finds what gold queries use")] = False,
    force: Force = False,
    quick: Quick = False,
    seed: Seed = None,
    resume: Resume = True,
) -> None:
    """Write prompts and completions, and count their tokens."""
    config = _run_stage("render", recipe, overrides, force, quick, seed, resume)
    if show:
        from pipeline.render import show_prompts

        show_prompts(config.run / "render", show)
    if report:
        from pipeline.linking import show_linking

        show_linking(config)


@app.command(
    epilog=example(
        "loraql train sample\n  loraql train sample train.learning_rate=5e-4 train.freeze_layers=20\n  loraql train sample --resume"
    )
)
def train(
    recipe: Recipe,
    overrides: Overrides = None,
    force: Force = False,
    quick: Quick = False,
    seed: Seed = None,
    resume: Resume = True,
    processes: Annotated[
        int | None, typer.Option("--num-processes", min=1, help="the same as train.processes=N")
    ] = None,
) -> None:
    """Fine-tune a quantized base with LoRA, keeping checkpoints."""
    shared = [f"train.processes={processes}"] if processes else []
    _run_stage("train", recipe, [*(overrides or []), *shared], force, quick, seed, resume)


@app.command(epilog=example("loraql evaluate sample\n  loraql evaluate sample generate.vote=5 generate.retry=1"))
def evaluate(
    recipe: Recipe,
    overrides: Overrides = None,
    force: Force = False,
    quick: Quick = False,
    seed: Seed = None,
    resume: Resume = True,
    processes: Annotated[
        int | None, typer.Option("--num-processes", min=1, help="the same as generate.processes=N")
    ] = None,
) -> None:
    """Execute the SQL of the base and every checkpoint, choose the best, write the report."""
    shared = [f"generate.processes={processes}"] if processes else []
    config = _run_stage("evaluate", recipe, [*(overrides or []), *shared], force, quick, seed, resume)
    from pipeline.console import say
    from pipeline.evaluate import show_scores

    show_scores(config.run / "evaluate")
    say(f"report: {config.run / 'evaluate' / 'report.html'}")


@app.command(
    epilog=example(
        'loraql ask sample --db shop.sqlite "How many orders were late?"\n  loraql ask runs/sample/export/merged --db shop.sqlite --json "Which product sells best?"'
    )
)
def ask(
    run_name: Annotated[
        str,
        typer.Argument(help="a run's name, or an exported model's folder", metavar="RUN", autocompletion=export_names),
    ],
    question: Annotated[str, typer.Argument(help="what you want to know")],
    database: Annotated[
        str,
        typer.Option("--db", help="SQLite, .sql, CSV or Parquet file, a folder of them, postgresql:// or mysql:// URL"),
    ],
    sql_only: Annotated[bool, typer.Option("--sql-only", help="print the SQL, do not run it")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print SQL, columns and rows as JSON")] = False,
    retry: Annotated[int, typer.Option(min=0, max=10, help="tries after a query that fails, with its error")] = 1,
    vote: Annotated[
        int, typer.Option(min=1, max=100, help="draw so many queries; the result that comes most often wins")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="of what is drawn")] = 0,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="a query's time limit")] = 5.0,
    rows: Annotated[
        int, typer.Option(min=0, help="rows of each table that are copied from a server, for prompts that show values")
    ] = 0,
    runs: Annotated[Path, typer.Option(help="where runs are kept")] = Path("runs"),
) -> None:
    """Put a question about a database to an exported model."""
    from eval.sandbox import Limits
    from pipeline.answerer import Options
    from pipeline.ask import answer_json, find_export, show_answer
    from pipeline.ask import ask as put

    folder = find_export(run_name, runs)
    options = Options(retry=retry, vote=vote, seed=seed, execute=not sql_only)
    answer = put(folder, database, question, options, limits=Limits(seconds=seconds, cpu_seconds=seconds), rows=rows)
    if as_json:
        typer.echo(answer_json(answer))
    elif sql_only:
        typer.echo(answer.sql)
    else:
        show_answer(answer)


@app.command(
    epilog=example("loraql run sample\n  loraql run sample --quick\n  loraql run spider-smollm2 data.limit=100")
)
def run(
    recipe: Recipe,
    overrides: Overrides = None,
    force: Force = False,
    quick: Quick = False,
    seed: Seed = None,
    resume: Resume = True,
) -> None:
    """Run the whole line, skipping what is up to date."""
    from pipeline.run import run as run_line

    run_line(_config(recipe, overrides, quick, seed), force=force, resume=resume)


@app.command(epilog=example("loraql plan sample\n  loraql plan sample train.quantization=nf4 --no-measure"))
def plan(
    recipe: Recipe,
    overrides: Overrides = None,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="time a few passes of the real model, or do without")
    ] = True,
    quick: Quick = False,
    seed: Seed = None,
) -> None:
    """Show what training would take: memory, disk, time, and what to change."""
    from pipeline.plan import plan as show_plan
    from pipeline.run import require_before
    from pipeline.train import TRAIN

    config = _config(recipe, overrides, quick, seed)
    require_before(TRAIN, config, recipe, "plan")
    show_plan(config, measure)


@app.command(epilog=example("loraql status sample"))
def status(recipe: Recipe, overrides: Overrides = None, quick: Quick = False, seed: Seed = None) -> None:
    """Show each stage: fresh, or stale and why."""
    from pipeline.run import status as show_status

    show_status(_config(recipe, overrides, quick, seed))


def _config(recipe: str, overrides: list[str] | None, quick: bool, seed: int | None, dataset: bool = False) -> "Config":
    from pipeline.config import dataset_config, load_config

    if dataset and (config := dataset_config(recipe, overrides or [])):
        if quick or seed is not None:
            raise UsageError(f"download {recipe}: --quick and --seed belong to recipes; a data set has neither")
        return config
    return load_config(recipe, overrides or [], quick=quick, seed=seed)


def _run_stage(
    stage: Any, recipe: str, overrides: list[str] | None, force: bool, quick: bool, seed: int | None, resume: bool
) -> "Config":
    """Runs one stage of the line, given by its name or itself."""
    from pipeline.run import LINE, run_one

    config = _config(recipe, overrides, quick, seed)
    chosen = next(own for own in LINE if own.name == stage) if isinstance(stage, str) else stage
    run_one(chosen, config, recipe, force=force, resume=resume)
    return config


app.add_typer(daily)
app.add_typer(tools)
app.add_typer(publishing)
app.add_typer(keeping)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    return guard(lambda: app(words or ["--help"], prog_name="loraql", standalone_mode=False))
