"""What the rendered lines of each split come to: how long they are, what was dropped, what was left out.

`render` counts every line here while it writes them, keeps the figures in `stats.json` and shows them.
"""

from collections import Counter
from typing import Any

import numpy as np

from data.errors import UserError
from pipeline.config import Config
from pipeline.console import say, table
from prompts.compose import DROPS


class Figures:
    """What the lines of one split come to. Only training leaves long ones out: scoring shows them whole."""

    def __init__(self, split: str, max_length: int) -> None:
        self._split, self._max_length = split, max_length
        self._lengths: list[int] = []
        self._long: list[dict[str, Any]] = []
        self._dropped: Counter[str] = Counter()
        self._shortened = self._kept = self._alone = 0

    def take(self, line: dict[str, Any]) -> bool:
        """Counts a line; whether it is kept."""
        training = self._split == "train"
        length = line["prompt_tokens"] + line["completion_tokens"]
        long = (length if training else line["prompt_tokens"]) > self._max_length
        self._lengths.append(length)
        self._dropped.update(line["dropped"])
        self._shortened += bool(line["dropped"])
        self._alone += not line["shots"] and not line["dropped"].get("examples")
        if long:
            self._long.append({"id": line["id"], "db_id": line["db_id"], "tokens": length})
        self._kept += not (long and training)
        return not (long and training)

    def summary(self) -> dict[str, Any]:
        lengths = self._lengths
        if self._split == "train" and not self._kept:
            raise UserError(
                f"prompt.max_length: {self._max_length} tokens leave no training example (the shortest has {min(lengths)})"
            )
        median, p95 = (int(part) for part in np.quantile(lengths or [0], [0.5, 0.95], method="inverted_cdf"))
        return {
            "questions": len(lengths),
            "kept": self._kept,
            "tokens": {
                "mean": round(sum(lengths) / max(len(lengths), 1), 1),
                "median": median,
                "p95": p95,
                "longest": max(lengths, default=0),
            },
            "shortened": self._shortened,
            "dropped": {kind: self._dropped[kind] for kind in DROPS if self._dropped[kind]},
            "without_examples": self._alone,  # though none was dropped
            "over_max_length": self._long,
        }


def show_stats(stats: dict[str, Any]) -> None:
    """The table of splits, and what was dropped, left out and held out; `stats` as in stats.json."""
    rows = []
    for split, figures in stats["splits"].items():
        tokens = figures["tokens"]
        rows.append(
            [
                split,
                figures["kept"],
                tokens["mean"],
                tokens["median"],
                tokens["p95"],
                tokens["longest"],
                figures["shortened"],
                len(figures["over_max_length"]),
            ]
        )
    long = f"over {stats['max_length']}"
    table("Rendered", ["split", "prompts", "mean tokens", "median", "95%", "longest", "shortened", long], rows)
    for split, figures in stats["splits"].items():
        if figures["dropped"]:
            what = ", ".join(f"{count} {kind}" for kind, count in figures["dropped"].items())
            say(f"  {split}: dropped from the {figures['shortened']} over {stats['max_length']} tokens: {what}")
        if figures["over_max_length"]:
            names = Counter(item["db_id"] for item in figures["over_max_length"])
            what = "left out of training" if split == "train" else "kept for scoring"
            say(
                f"  {split}: {sum(names.values())} still over prompt.max_length, {what}: "
                + ", ".join(f"{name} ({count})" for name, count in names.most_common(6))
            )
    if stats["left_out_for_gold"]:
        reasons = Counter(item["gold"] for item in stats["left_out_for_gold"])
        say(
            f"  left out because their gold did not run: {sum(reasons.values())} ("
            + ", ".join(f"{name} {count}" for name, count in reasons.most_common())
            + ")"
        )
    say(f"  held out for choosing checkpoints: {', '.join(stats['held_out_databases']) or 'none'}")


def note_examples(config: Config, stats: dict[str, Any]) -> None:
    """Where worked examples were asked for, and there are none to choose from."""
    alone = {split: figures["without_examples"] for split, figures in stats["splits"].items()}
    if config.prompt.shots and any(alone.values()):
        counts = ", ".join(f"{split} {count}" for split, count in alone.items() if count)
        say(
            f"  note: prompts without a worked example: {counts}; there is none about another database"
            + ("" if config.prompt.same_database else " (prompt.same_database=true takes those of the same)")
        )
