"""The command line. It parses and calls one verb; `pipeline/exits.py` turns errors into exit codes.

The stages are imported inside the commands, so that help needs none of the heavy libraries.
"""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import UsageError
from pipeline.exits import guard
from pipeline.options import Force, Overrides, Quick, Recipe, Resume, Seed

if TYPE_CHECKING:
    from pipeline.config import Config

app = typer.Typer(
    add_completion=False,
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


def _example(text: str) -> str:
    return f"\b\nExamples:\n  {text}"


@app.command(
    epilog=_example("loraql download spider\n  loraql download spider --from spider_data.zip\n  loraql download sample")
)
def download(
    recipe: Annotated[
        str, typer.Argument(help="a data set (spider, sample), a recipe's name, or a YAML file", metavar="DATASET")
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


@app.command(epilog=_example("loraql prepare sample\n  loraql prepare spider-smollm2 sandbox.seconds=10"))
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


@app.command(epilog=_example("loraql render sample\n  loraql render spider-smollm2 prompt.shots=3 --show 2"))
def render(
    recipe: Recipe,
    overrides: Overrides = None,
    show: Annotated[int, typer.Option(min=0, help="print this many prompts")] = 0,
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


@app.command(
    epilog=_example(
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
) -> None:
    """Fine-tune a quantized base with LoRA, keeping checkpoints."""
    _run_stage("train", recipe, overrides, force, quick, seed, resume)


@app.command(epilog=_example("loraql evaluate sample\n  loraql evaluate sample evaluate.batch_size=32"))
def evaluate(
    recipe: Recipe,
    overrides: Overrides = None,
    force: Force = False,
    quick: Quick = False,
    seed: Seed = None,
    resume: Resume = True,
) -> None:
    """Execute the SQL of the base and every checkpoint, choose the best, write the report."""
    config = _run_stage("evaluate", recipe, overrides, force, quick, seed, resume)
    from pipeline.console import say
    from pipeline.evaluate import show_scores

    show_scores(config.run / "evaluate")
    say(f"report: {config.run / 'evaluate' / 'report.html'}")


@app.command(epilog=_example("loraql export sample\n  loraql export sample --allow-drift"))
def export(
    recipe: Recipe,
    overrides: Overrides = None,
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="accept a merged model that answers differently")
    ] = False,
    force: Force = False,
    quick: Quick = False,
    seed: Seed = None,
    resume: Resume = True,
) -> None:
    """Merge the chosen adapter into the base, and check the merge."""
    from pipeline import export as verb
    from pipeline.console import say

    stage = replace(verb.EXPORT, work=partial(verb.export, allow_drift=allow_drift))
    config = _run_stage(stage, recipe, overrides, force, quick, seed, resume)
    say(f"model: {config.run / 'export' / 'merged'}")


@app.command(
    epilog=_example(
        'loraql ask sample --db shop.sqlite "How many orders were late?"\n  loraql ask runs/sample/export/merged --db shop.sqlite --json "Which product sells best?"'
    )
)
def ask(
    run_name: Annotated[str, typer.Argument(help="a run's name, or an exported model's folder", metavar="RUN")],
    question: Annotated[str, typer.Argument(help="what you want to know")],
    database: Annotated[Path, typer.Option("--db", help="an SQLite file")],
    sql_only: Annotated[bool, typer.Option("--sql-only", help="print the SQL, do not run it")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print SQL, columns and rows as JSON")] = False,
    runs: Annotated[Path, typer.Option(help="where runs are kept")] = Path("runs"),
) -> None:
    """Put a question about a database to an exported model."""
    from pipeline import ask as verb

    folder = verb.find_export(run_name, runs)
    answer = verb.ask(folder, database, question, execute=not sql_only)
    if as_json:
        typer.echo(verb.answer_json(answer))
    elif sql_only:
        typer.echo(answer.sql)
    else:
        verb.warn_of_wal(database)
        verb.show_answer(answer)


@app.command(
    epilog=_example("loraql run sample\n  loraql run sample --quick\n  loraql run spider-smollm2 data.limit=100")
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


@app.command(
    epilog=_example(
        "loraql score --gold dev_gold.sql --pred predictions.sql --db database --out scores\n"
        "  loraql score --gold dev.json --pred predictions.jsonl --db database --tables tables.json --out scores --timings 10"
    )
)
def score(
    predictions: Annotated[Path, typer.Option("--pred", help="predictions, in the order of the gold or by id")],
    databases: Annotated[Path, typer.Option("--db", help="the folder that holds NAME/NAME.sqlite")],
    out: Annotated[Path, typer.Option(help="where scores.json, predictions.jsonl and report.html go")],
    gold: Annotated[
        Path | None,
        typer.Option(help="gold queries: query TAB database a line, JSON or JSONL; not needed if --pred carries them"),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option(help="Spider's tables.json, for the official foreign keys; found beside the databases"),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.01, max=3600, help="a query's time limit")] = 5.0,
    memory_mb: Annotated[int, typer.Option("--memory-mb", min=16, max=1_000_000, help="a query's memory limit")] = 512,
    rows: Annotated[int, typer.Option(min=1, max=100_000_000, help="a result's limit")] = 100_000,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="processes that run SQL; one for each core if not given")
    ] = None,
    plug_value: Annotated[
        bool, typer.Option("--plug-value", help="try the gold's values in the prediction's places")
    ] = False,
    timings: Annotated[
        int, typer.Option(min=0, help="run right predictions and golds this often for the efficiency score VES")
    ] = 0,
) -> None:
    """Score any system's predictions: EX, EM, test suites, and why each failed."""
    from eval.sandbox import Limits
    from pipeline import score as verb

    limits = Limits(seconds=seconds, cpu_seconds=seconds, memory_mb=memory_mb, rows=rows)
    verb.score(gold, predictions, databases, out, tables, verb.ScoreSettings(limits, workers, plug_value, timings))


@app.command(
    epilog=_example("loraql compare scores/first scores/second\n  loraql compare sample my-run --out scores/compared")
)
def compare(
    first: Annotated[str, typer.Argument(help="a folder of scores, a run, or a predictions.jsonl", metavar="A")],
    second: Annotated[str, typer.Argument(help="the same, measured against A", metavar="B")],
    out: Annotated[Path | None, typer.Option(help="where compare.json and report.html go")] = None,
    runs: Annotated[Path, typer.Option(help="where runs are kept")] = Path("runs"),
) -> None:
    """Set two scored runs side by side: what was won, what was lost, is it more than luck."""
    from pipeline import compare as verb

    verb.compare_runs(first, second, runs, out)


@app.command(
    epilog=_example(
        "loraql suite sample\n  loraql suite spider --databases pets_1,world_1 --most 10\n  loraql suite spider --out suites/dev"
    )
)
def suite(
    dataset: Annotated[
        str, typer.Argument(help="a data set under data/raw, or a folder in Spider's layout", metavar="DATASET")
    ],
    databases: Annotated[str | None, typer.Option(help="only these, as pets_1,world_1")] = None,
    split: Annotated[str, typer.Option(help="train, dev or test")] = "dev",
    most: Annotated[int, typer.Option(min=1, help="databases in a suite, the original among them")] = 20,
    seed: Annotated[int, typer.Option(help="another seed, other rows")] = 0,
    out: Annotated[Path | None, typer.Option(help="where to write; the data set's suite/ if not given")] = None,
) -> None:
    """Make fuzzed databases that tell gold queries from near misses."""
    from pipeline.console import say
    from pipeline.suite import suite as make_suites

    names = [name.strip() for name in (databases or "").split(",") if name.strip()]
    say(f"suite: {make_suites(dataset, databases=names, split=split, most=most, seed=seed, out=out)}")


@app.command(epilog=_example("loraql status sample"))
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


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    return guard(lambda: app(words or ["--help"], prog_name="loraql", standalone_mode=False))
