"""run: the whole line, stage after stage; and status: what is fresh, what is stale and why.

This is the one place that knows the order of the stages. They meet only through files.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from data.errors import UsageError, UserError
from data.spider import database_path
from pipeline.config import Config
from pipeline.console import say, table
from pipeline.download import download_stage
from pipeline.evaluate import EVALUATE, show_scores
from pipeline.export import EXPORT
from pipeline.kinds import KINDS, MERGED, kind_stage, kind_stages
from pipeline.pgllm import load_pgllm
from pipeline.prepare import PREPARE
from pipeline.render import RENDER
from pipeline.stage import Stage, read_jsonl, run_stage, why_stale
from pipeline.train import TRAIN

LINE: tuple[Stage, ...] = (download_stage(), PREPARE, RENDER, TRAIN, EVALUATE, EXPORT)


def run_one(stage: Stage, config: Config, recipe: str, *, force: bool = False, resume: bool = True) -> bool:
    """Runs one stage after making sure that those before it are up to date under the same configuration."""
    require_before(stage, config, recipe, stage.name)
    return run_stage(stage, config, force=force, resume=resume)


def export(
    config: Config,
    recipe: str,
    kinds: list[str],
    *,
    allow_drift: bool = False,
    force: bool = False,
    resume: bool = True,
    database: str | None = None,
    truncate: bool = False,
) -> None:
    """Makes the merged model, if it is not up to date, and of it the other kinds; `force` is for the kinds named.

    With `database`, a URL, what pg_llm needs goes into its tables, too.
    """
    wanted = kind_stages(kinds, config)
    if (database or truncate) and not (database and "pgllm" in kinds):
        raise UsageError("--db and --truncate: belong to --kind pgllm, which writes into the server at --db")
    for stage in dict.fromkeys([EXPORT, *wanted]):
        tolerant = replace(stage, work=partial(_tolerate, stage)) if allow_drift else stage
        if stage is EXPORT:
            run_one(tolerant, config, recipe, force=force and stage in wanted, resume=resume)
        else:
            run_stage(tolerant, config, force=force, resume=resume)
    for kind in dict.fromkeys(kinds):
        say(f"{'model' if kind == MERGED else kind}: {config.run / 'export' / kind}")
    if database:
        load_pgllm(config, database, truncate)


def _tolerate(stage: Stage, config: Config, folder: Path) -> None:
    """The stage's work, whatever the exported model answers; what the stage depends on stays the same."""
    any_drift = config.export.model_copy(update={"max_drift": config.export.questions})
    stage.work(config.model_copy(update={"export": any_drift}), folder)


def require_before(stage: Stage, config: Config, recipe: str, command: str) -> None:
    """Raises UserError for `command`, saying what to run, unless all stages before this one are up to date."""
    for earlier in LINE[: [own.name for own in LINE].index(stage.name)]:
        reason = why_stale(earlier, config)
        if reason:
            raise UserError(
                f"{command} needs {earlier.name}, which is not up to date ({reason}): "
                f"run `loraql {earlier.name} {recipe}` with the same settings, or `loraql run {recipe}`"
            )


def run(config: Config, *, force: bool = False, resume: bool = True) -> None:
    """Runs every stage that is not up to date, then shows what came of it."""
    ran = [run_stage(stage, config, force=force, resume=resume) for stage in LINE]
    show_scores(config.run / "evaluate")
    say(f"report: {config.run / 'evaluate' / 'report.html'}")
    say(f"model:  {config.run / 'export' / 'merged'}")
    if any(ran):
        _ask_one(config)
    else:
        say("nothing to do: every stage is up to date")


def _ask_one(config: Config) -> None:
    """One question of dev, the first, put to the exported model."""
    from pipeline.ask import ask, show_answer

    first = read_jsonl(config.run / "render" / "dev.jsonl")[0]
    database = database_path(config.data.root, "dev", first["db_id"])
    say(f'$ loraql ask {config.name} --db {database} "{first["question"]}"')
    show_answer(ask(config.run / "export" / "merged", str(database), first["question"]))


def status(config: Config) -> None:
    """A table of the stages: fresh, or stale and why."""
    rows, first_stale = [], None
    made = [kind_stage(kind) for kind in KINDS if (config.run / "export" / kind).is_dir()]
    for stage in [*LINE, *made]:
        reason = why_stale(stage, config)
        if reason is None and first_stale:
            state, reason = "waits", f"for {first_stale}; runs again only if that writes something else"
        else:
            state = "stale" if reason else "fresh"
        first_stale = first_stale or (stage.name if reason else None)
        rows.append([stage.name, state, reason or "", str(stage.folder(config))])
    table(f"Run {config.name}", ["stage", "state", "why", "folder"], rows)
