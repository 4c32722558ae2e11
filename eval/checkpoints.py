"""How a checkpoint was chosen, as a report tells it. Works on scores, writes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eval.charts import step_chart

Scores = Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoints:
    """How the checkpoint was chosen: model -> split -> scores with their "seconds"; the base is "base".

    A name with a plus is a checkpoint asked in another way. `dropped`: how many questions were asked of those that a
    race dropped.
    """

    scores: Mapping[str, Mapping[str, Scores]]
    chosen: str
    on: str
    dropped: Mapping[str, int] = field(default_factory=dict)

    def label(self, name: str) -> str:
        """A model as people are told of it."""
        if name == "base":
            return "base model"
        if name in self.dropped:
            return f"{name} (dropped after {self.dropped[name]} questions)"
        checkpoint, _, way = name.partition("+")
        kind, count = way.rstrip("0123456789"), way.lstrip("abcdefghijklmnopqrstuvwxyz")
        told = {"vote": f", vote of {count}", "retry": f", {count} more tr{'y' if count == '1' else 'ies'}"}.get(
            kind, ""
        )
        return checkpoint + told + (" (chosen)" if name == self.chosen else "")


def checkpoint_chart(checkpoints: Checkpoints) -> str:
    """EX on the choosing split; the base stands at step 0."""
    asked = {
        (0 if model == "base" else int(model.split("-")[1])): splits[checkpoints.on]["intervals"]["ex"]
        for model, splits in checkpoints.scores.items()
        if checkpoints.on in splits and "+" not in model
    }
    chosen = 0 if checkpoints.chosen == "base" else int(checkpoints.chosen.split("-")[1])
    return step_chart(asked, chosen, f"EX on {checkpoints.on}")
