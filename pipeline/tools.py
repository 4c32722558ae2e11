"""The commands beside the line: your own data, scoring, comparing, making pairs and databases.

They take files, not recipes. As in `cli.py`, each parses and calls one verb.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.completing import run_names
from pipeline.options import example

tools = typer.Typer()


@tools.command(
    "import",
    epilog=example(
        "loraql import pairs.csv --db shop.sqlite --name my-shop\n"
        "  loraql import pairs.jsonl --db postgresql://me@localhost/shop --rows 1000 --name my-shop\n"
        "  loraql import bird/ --format bird --name bird"
    ),
)
def import_pairs(
    pairs: Annotated[
        list[str],
        typer.Argument(help="files or folders of pairs, or a published data set's folder", metavar="PAIRS"),
    ],
    name: Annotated[str, typer.Option(help="what the data set will be called")],
    database: Annotated[
        str | None,
        typer.Option("--db", help="SQLite, .sql, CSV or Parquet file, a folder of them, postgresql:// or mysql:// URL"),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--format", help="spider, bird, kaggledbqa or geoquery; told from the folder if not given"),
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--map", help="where a column is called otherwise, as question=Frage")
    ] = None,
    meanings: Annotated[
        Path | None, typer.Option("--columns", help="CSV or YAML: table, column, description, unit, values")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="rows of each table that are copied from a server")] = 0,
    schema: Annotated[
        str | None, typer.Option(help="which schema of a PostgreSQL server is copied; the user's own if not given")
    ] = None,
    dialect: Annotated[
        str | None,
        typer.Option(help="what the SQL is written in: sqlite, postgres or mysql; a server's own if not given"),
    ] = None,
    split: Annotated[
        str, typer.Option(help="shares of train, select and dev, where the pairs name no split")
    ] = "80/10/10",
    seed: Annotated[int, typer.Option(help="of the split")] = 0,
    base: Annotated[
        str | None, typer.Option(help="the base model, as model.base names it, whose tokens are counted")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="write the recipe anew though it is there")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="processes that run SQL; one for each core if not given")
    ] = None,
) -> None:
    """Make a data set of your own pairs and database, check it, write its recipe."""
    from pipeline import importing as verb
    from pipeline.base import EMBEDDED
    from pipeline.splits import parse_shares

    verb.import_data(
        verb.ImportOptions(
            pairs=tuple(pairs),
            name=name,
            database=database,
            layout=layout,
            columns=verb.parse_columns(columns or []),
            meanings=meanings,
            rows=rows,
            schema=schema,
            dialect=dialect,
            shares=parse_shares(split),
            seed=seed,
            base=base or EMBEDDED,
            force=force,
            workers=workers,
        )
    )


@tools.command(
    epilog=example(
        "loraql synth shop.sqlite\n  loraql synth postgresql://me@localhost/shop --rows 1000\n"
        "  loraql synth shop.sqlite --n 200 --mix easy=10,medium=30,hard=30,extra=30 --out hard.jsonl"
    )
)
def synth(
    database: Annotated[
        str,
        typer.Argument(
            help="SQLite, .sql, CSV or Parquet file, a folder of them, postgresql:// or mysql:// URL", metavar="DB"
        ),
    ],
    count: Annotated[int, typer.Option("--n", min=1, max=1_000_000, help="how many pairs")] = 500,
    mix: Annotated[
        str | None, typer.Option(help="shares of the hardness levels; those of Spider's training data if not given")
    ] = None,
    wordings: Annotated[int, typer.Option(min=1, max=20, help="questions for one query, at most")] = 1,
    reword: Annotated[
        str | None, typer.Option(help="a local instruct model that says the questions differently")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="rows of each table that are copied from a server")] = 0,
    schema: Annotated[
        str | None, typer.Option(help="which schema of a PostgreSQL server is copied; the user's own if not given")
    ] = None,
    seed: Annotated[int, typer.Option(help="another seed, other pairs")] = 0,
    out: Annotated[Path | None, typer.Option(help="where to write; NAME-synthetic.jsonl here if not given")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="processes that run SQL; one for each core if not given")
    ] = None,
) -> None:
    """Make question/SQL pairs for a database that has none."""
    from pipeline import synth as verb

    shares = verb.parse_mix(mix) if mix else None
    verb.synth(
        database,
        out,
        count=count,
        mix=shares,
        seed=seed,
        wordings=wordings,
        reword=reword,
        rows=rows,
        schema=schema,
        workers=workers,
    )


@tools.command(
    epilog=example(
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


@tools.command(
    epilog=example("loraql compare scores/first scores/second\n  loraql compare sample my-run --out scores/compared")
)
def compare(
    first: Annotated[
        str,
        typer.Argument(help="a folder of scores, a run, or a predictions.jsonl", metavar="A", autocompletion=run_names),
    ],
    second: Annotated[str, typer.Argument(help="the same, measured against A", metavar="B", autocompletion=run_names)],
    out: Annotated[Path | None, typer.Option(help="where compare.json and report.html go")] = None,
    runs: Annotated[Path, typer.Option(help="where runs are kept")] = Path("runs"),
) -> None:
    """Set two scored runs side by side: what was won, what was lost, is it more than luck."""
    from pipeline import compare as verb

    verb.compare_runs(first, second, runs, out)


@tools.command(
    epilog=example(
        "loraql suite sample\n  loraql suite spider --databases pets_1,world_1 --most 10\n  loraql suite spider --out suites/dev"
    )
)
def suite(
    dataset: Annotated[
        str, typer.Argument(help="a data set under data/raw, or a folder in Spider's layout", metavar="DATASET")
    ],
    databases: Annotated[str | None, typer.Option(help="only these, as pets_1,world_1")] = None,
    split: Annotated[str, typer.Option(help="train, select, dev or test")] = "dev",
    most: Annotated[int, typer.Option(min=1, help="databases in a suite, the original among them")] = 20,
    seed: Annotated[int, typer.Option(help="another seed, other rows")] = 0,
    out: Annotated[Path | None, typer.Option(help="where to write; the data set's suite/ if not given")] = None,
) -> None:
    """Make fuzzed databases that tell gold queries from near misses."""
    from pipeline.console import say
    from pipeline.suite import suite as make_suites

    names = [name.strip() for name in (databases or "").split(",") if name.strip()]
    say(f"suite: {make_suites(dataset, databases=names, split=split, most=most, seed=seed, out=out)}")
