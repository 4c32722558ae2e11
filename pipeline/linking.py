"""How well the linker does on the questions that a run scores: recall at k, and how much shorter prompts get.

Reads what `render` wrote, the examples and the databases. Looks at gold queries, to measure; prompts never
do. Writes nothing.
"""

from collections.abc import Mapping
from typing import Any

from data.examples import Example, read_csv
from pipeline.base import fetch_base
from pipeline.config import Config
from pipeline.console import progress, say, table
from pipeline.model import encode_prompts, load_tokenizer
from pipeline.prompter import Prompter
from pipeline.stage import read_jsonl
from prompts.context import used_columns
from prompts.recall import Recall

SCORED = ("select", "dev")
FEW_QUESTIONS = 100


def show_linking(config: Config) -> None:
    """Prints recall of the gold's tables and columns, for the linker alone, over the run's scored questions."""
    asked = {line["id"] for split in SCORED for line in read_jsonl(config.run / "render" / f"{split}.jsonl")}
    processed = config.data.root / "processed"
    files = [path for path in (processed / f"{split}.csv" for split in ("train", *SCORED)) if path.is_file()]
    examples = [example for path in files for example in read_csv(path) if example.id in asked]
    tokenizer = load_tokenizer(fetch_base(config.model))
    plain = config.model_copy(update={"prompt": config.prompt.model_copy(update={"shots": 0, "linking": False})})
    linked = config.model_copy(update={"prompt": plain.prompt.model_copy(update={"linking": True})})
    prompters = [Prompter(chosen, [], examples, tokenizer) for chosen in (plain, linked)]
    recall, unread, lengths = Recall(), 0, [0, 0]
    with progress("linking", len(examples)) as advance:
        for example in examples:
            unread += not _count(recall, prompters[1], example)
            for place, prompter in enumerate(prompters):
                (ids,) = encode_prompts(tokenizer, [prompter.prompt(example, training=False).prompt])
                lengths[place] += len(ids)
            advance(1)
    _show(recall.summary())
    if len(examples) < FEW_QUESTIONS:
        say(f"  {len(examples)} questions say little about the linker")
    if unread:
        say(f"  {unread} gold queries could not be read and are not counted")
    if examples:
        full, short = (length / len(examples) for length in lengths)
        say(f"  a prompt has {short:.0f} tokens instead of {full:.0f} on average, {1 - short / full:.0%} fewer")


def _count(recall: Recall, prompter: Prompter, example: Example) -> bool:
    """Whether the gold could be read."""
    database = prompter.database(example)
    gold = used_columns(database.schema, example.query, stars=False)
    if gold:
        ranking = database.rank(example.question)
        recall.add(gold, ranking, prompter.pick(example))
    return bool(gold)


def _show(summary: Mapping[str, Any]) -> None:
    rows = []
    for kind in ("tables", "columns"):
        for step, figures in summary[kind]["at"].items():
            shown = f"as shown ({summary[kind]['share_shown']:.0%} of the schema)" if step == "shown" else f"at {step}"
            rows.append([kind, shown, f"{figures['recall']:.1%}", f"{figures['all']:.1%}"])
    table(
        f"Schema linking, {summary['questions']} questions",
        ["gold's", "ranked", "recall", "questions with all of them"],
        rows,
    )
