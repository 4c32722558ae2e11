"""evaluate: every checkpoint's SQL, executed -> `runs/NAME/evaluate/`.

Reads prompts, adapters and databases. The base model and each checkpoint answer the questions of
`select` greedily; the checkpoint with the most right results is chosen (ties: the earlier one); then
base and chosen answer `dev`. Where the data set has test suites (`loraql suite`), TS is scored too. Writes
`MODEL/predictions.jsonl` and `scores.json`, `selection.json` and `report.html`. What is already answered in a half-done
folder is not asked again.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data.digest import digest_file
from data.errors import UserError
from eval.checkpoints import Checkpoints
from eval.comparison import Record, common, compare, judgement
from eval.execution import GOLD_FAILED
from eval.pool import Sandbox
from eval.race import still_in
from eval.report import Run, write_report
from eval.summary import METRICS
from pipeline import processes
from pipeline.asking import Asking, Line
from pipeline.base import base_identity, fetch_base
from pipeline.cleaned import cleaned_adapters
from pipeline.config import Config
from pipeline.console import say, table
from pipeline.engine import start_engine
from pipeline.model import load_tokenizer, pick_dtype
from pipeline.scorer import SUITE, Scorer
from pipeline.stage import (
    BASE_MODEL,
    Stage,
    digest_files,
    read_json,
    read_jsonl,
    recorded_digests,
    write_json,
)

BASE = "base"
HEATS = 5  # of a race


def _inputs(config: Config) -> dict[str, str]:
    adapters = [path / "adapter_model.safetensors" for path in checkpoints_of(config)]
    render = config.run / "render"
    root = config.data.root
    suites = root / SUITE / "suite.json"
    return {
        **digest_files(render / "select.jsonl", render / "dev.jsonl", *(adapters or [config.run / "train"])),
        **cleaned_adapters(config.run / "train"),
        **{name: digest for name, digest in recorded_digests(root).items() if name.endswith(".sqlite")},
        **({str(suites): digest_file(suites)} if suites.is_file() else {}),
        BASE_MODEL: base_identity(config.model),
    }


EVALUATE = Stage(
    name="evaluate",
    version=5,
    folder=lambda config: config.run / "evaluate",
    settings=lambda config: {
        "evaluate": config.evaluate.model_dump(mode="json"),
        "generate": config.generate.model_dump(mode="json", exclude={"processes"}),
        "selection": {"on": config.selection.on, "race": config.selection.race},
        "sandbox": config.sandbox.model_dump(mode="json", exclude={"workers"}),
        "train": {"compute": config.train.compute},
    },
    inputs=_inputs,
    work=lambda config, folder: evaluate(config, folder),
)


def evaluate(config: Config, folder: Path) -> None:
    """Scores the base and the checkpoints, chooses one, writes the report; in as many processes as asked."""
    if not checkpoints_of(config):
        raise UserError(f"{config.run / 'train'}: holds no checkpoint; run `loraql train` first")
    cleaned = [Path(name).parent.name for name in cleaned_adapters(config.run / "train")]
    if cleaned:
        say(
            f"  note: {', '.join(cleaned)} cannot be chosen: `loraql clean` deleted them; `loraql train --force` makes them"
        )
    if config.generate.processes > 1 and config.generate.engine != "vllm":
        fetch_base(config.model)  # once, before all of them do
        processes.spread("evaluate", config.generate.processes, config, str(folder))
    else:
        choose(config, folder)
    _write_report(config, folder, read_json(folder / "selection.json"))


def choose(config: Config, folder: Path) -> None:
    """Scores all and chooses one -> `selection.json`; as the only process, or as one of several (`pipeline/worker.py`)."""
    render = config.run / "render"
    questions = {split: read_jsonl(render / f"{split}.jsonl") for split in ("select", "dev")}
    on, dev = config.selection.on, questions["dev"]
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    say(
        f"  full-precision base ({pick_dtype(config.train.compute)}) with adapters, greedy, at most "
        f"{config.evaluate.max_new_tokens} new tokens{', names of the schema only' if config.generate.constrain else ''}"
    )
    engine = start_engine(config, base, tokenizer)
    with Sandbox(config.sandbox.limits, config.sandbox.workers) as sandbox:
        scorer = Scorer(config, folder, sandbox)
        asking = Asking(config, engine, tokenizer, sandbox, scorer.database)
        decoding = _decoding(config)
        asking.use(None)
        for split in dict.fromkeys([on, "dev"]):
            scorer.score(BASE, split, questions[split], asking.greedy, decoding)
        checkpoints = {path.name: path for path in checkpoints_of(config)}

        def heat(name: str, lines: Sequence[Line]) -> dict[str, Any]:
            asking.use(checkpoints[name])
            return scorer.score(name, on, lines, asking.greedy, decoding)

        names, dropped = _race(config, scorer, list(checkpoints), questions[on], heat)
        results = {name: heat(name, questions[on]) for name in names}
        chosen = max(names, key=lambda name: (results[name]["ex"], -names.index(name)))
        asking.use(checkpoints[chosen])
        scorer.score(chosen, "dev", dev, asking.greedy, decoding)
        ways = []
        if config.generate.vote > 1:
            ways.append(f"{chosen}+vote{config.generate.vote}")
            drawn = {"greedy": False, "vote": config.generate.vote, "temperature": config.generate.temperature}
            scorer.score(ways[-1], "dev", dev, asking.vote, decoding | drawn)
        if config.generate.retry:
            ways.append(f"{chosen}+retry{config.generate.retry}")
            scorer.score(ways[-1], "dev", dev, asking.retry, decoding | {"retry": config.generate.retry})
    if processes.number() == 0:
        write_json(folder / "selection.json", _selection(config, folder, list(checkpoints), chosen, dropped, ways))


def checkpoints_of(config: Config) -> list[Path]:
    """Checkpoints in the order of their steps."""
    return sorted((config.run / "train").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))


def _decoding(config: Config) -> dict[str, Any]:
    greedy = {"greedy": True, "max_new_tokens": config.evaluate.max_new_tokens}
    return greedy | ({"constrained": True} if config.generate.constrain else {})


def _race(
    config: Config,
    scorer: Scorer,
    names: list[str],
    lines: Sequence[Line],
    heat: Callable[[str, Sequence[Line]], Any],
) -> tuple[list[str], dict[str, int]]:
    """The checkpoints that are to answer all questions; and those that are not, with how many they answered."""
    confidence = config.selection.race
    if confidence is None or len(names) == 1:
        return names, {}
    drawn = random.Random(config.seed).sample(lines, len(lines))
    dropped: dict[str, int] = {}
    for number in range(1, HEATS):
        chosen = {line["id"] for line in drawn[: len(drawn) * number // HEATS]}
        asked = [line for line in lines if line["id"] in chosen]
        for name in names:
            heat(name, asked)
        staying: list[str] = processes.from_first(
            still_in(_right(scorer, names, config.selection.on, chosen), confidence, HEATS - 1)
            if processes.number() == 0
            else None
        )
        dropped |= {name: len(asked) for name in names if name not in staying}
        names = staying
    return names, dropped


def _right(scorer: Scorer, names: Sequence[str], split: str, asked: set[str]) -> dict[str, list[bool]]:
    """Each one's verdicts on those of these questions whose gold ran for all; a run that was broken off may have more."""
    verdicts = {
        name: {item["id"]: bool(item["ex"]) for item in scorer.records(name, split) if item["category"] != GOLD_FAILED}
        for name in names
    }
    counted = sorted(asked.intersection(*verdicts.values()))
    return {name: [known[one] for one in counted] for name, known in verdicts.items()}


def _selection(
    config: Config, folder: Path, names: list[str], chosen: str, dropped: dict[str, int], ways: list[str]
) -> dict[str, Any]:
    """What was chosen, on which split, how far the chosen one is from the base on dev, and what other ways of asking give."""
    on = config.selection.on
    candidates = {name: read_json(folder / name / "scores.json")["splits"][on] for name in names}
    greedy = _dev(folder, chosen)
    return {
        "chosen": chosen,
        "on": on,
        "candidates": {
            name: {key: scores[key] for key in ("n", "ex", "em", "intervals")} for name, scores in candidates.items()
        },
        "dropped": dropped,
        "dev_gain": compare(common(_dev(folder, BASE), greedy), config.seed),
        "ways": {
            way: {
                "gain": compare(common(greedy, _dev(folder, way)), config.seed)["ex"],
                "tokens": round(_tokens(_dev(folder, way)) / max(_tokens(greedy), 1), 2),
            }
            for way in ways
        },
    }


def _dev(folder: Path, name: str) -> list[dict[str, Any]]:
    """A model's answers to the questions of dev."""
    return [item for item in read_jsonl(folder / name / "predictions.jsonl") if item["split"] == "dev"]


def _tokens(records: Sequence[Record]) -> int:
    return sum(item["tokens"] for item in records)


def _checkpoint_scores(folder: Path, selection: dict[str, Any]) -> Checkpoints:
    names = (BASE, *selection["candidates"], *selection["ways"])
    scores = {name: read_json(folder / name / "scores.json")["splits"] for name in names}
    return Checkpoints(scores, selection["chosen"], selection["on"], selection["dropped"])


def _write_report(config: Config, folder: Path, selection: dict[str, Any]) -> None:
    chosen = selection["chosen"]
    checkpoints = _checkpoint_scores(folder, selection)
    write_report(
        folder / "report.html",
        title=f"{config.name}: evaluation",
        runs=[
            Run(label, _dev(folder, name), checkpoints.scores[name]["dev"])
            for name, label in ((BASE, "base model"), (chosen, chosen))
        ],
        comparison=selection["dev_gain"],
        checkpoints=checkpoints,
        losses=read_jsonl(config.run / "train" / "metrics.jsonl"),
        config=config.dump(),
        manifest=checkpoints.scores[chosen]["dev"]["manifest"],
    )


def show_scores(folder: Path) -> None:
    """The table of all models: EX with its interval on the choosing split and on dev, TS if there is one, seconds."""
    selection = read_json(folder / "selection.json")
    checkpoints = _checkpoint_scores(folder, selection)
    suited = "ts" in checkpoints.scores[BASE]["dev"]
    shown = [
        *((split, "ex") for split in dict.fromkeys([selection["on"], "dev"])),
        *([("dev", "ts")] if suited else []),
    ]
    rows = []
    for name, splits in checkpoints.scores.items():
        cells = [_cell(splits.get(split), metric) for split, metric in shown]
        rows.append([checkpoints.label(name), *cells, sum(scores["seconds"] for scores in splits.values())])
    titles = [f"{METRICS[metric]} % on {split} [95%]" for split, metric in shown]
    table("Execution accuracy", ["model", *titles, "seconds"], rows)
    say(f"  chosen against base on dev: {_gain(selection['dev_gain']['ex'])}")
    for way, figures in selection["ways"].items():
        say(
            f"  {checkpoints.label(way)} against greedy: {_gain(figures['gain'])}, {figures['tokens']:g} times the tokens"
        )
    if selection["dropped"]:
        asked = sum(scores["n"] for scores in selection["candidates"].values())
        most = max(scores["n"] for scores in selection["candidates"].values()) * len(selection["candidates"])
        say(
            f"  the race spared {most - asked} of {most} answers; the scores of those that it dropped are of fewer questions"
        )


def _gain(gain: Mapping[str, Any]) -> str:
    value, low, high = (100 * gain[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}], {gain['won']} won, {gain['lost']} lost, {judgement(gain)}"


def _cell(scores: Mapping[str, Any] | None, metric: str) -> str:
    if scores is None:
        return "-"
    interval = scores["intervals"][metric]
    low, high = 100 * interval["low"], 100 * interval["high"]
    return f"{100 * interval['value']:.1f} [{low:.1f}, {high:.1f}]  {scores[metric]}/{scores['n']}"
