"""How much of what gold queries use the linker finds, alone and at each k.

Reads rankings, picks, and the gold's tables and columns; the gold is looked at here only, to measure.
A `*` names no column. Writes nothing.
"""

from collections.abc import Collection, Mapping
from typing import Any

from prompts.link import Ranking

TABLES = (1, 2, 3, 4, 6)
COLUMNS = (5, 10, 15, 20, 30)


class Recall:
    """Counts over questions: gold elements found, and questions of which all are found."""

    def __init__(self) -> None:
        self.questions = 0
        self._gold = {"tables": 0, "columns": 0}
        self._found: dict[tuple[str, str], int] = {}
        self._whole: dict[tuple[str, str], int] = {}
        self._share = {"tables": 0.0, "columns": 0.0}

    def add(self, gold: Mapping[str, set[str]], ranking: Ranking, picked: Mapping[str, Collection[str]]) -> None:
        """One question: what its gold uses, how the linker ranks, what it shows."""
        self.questions += 1
        pairs = {(table, column) for table, columns in gold.items() for column in columns}
        shown = {(table, column) for table, columns in picked.items() for column in columns}
        self._count("tables", set(gold), list(ranking.tables), set(picked), TABLES)
        self._count("columns", pairs, list(ranking.columns), shown, COLUMNS)

    def _count(
        self, kind: str, gold: Collection[Any], ranked: list[Any], shown: Collection[Any], steps: tuple[int, ...]
    ) -> None:
        self._gold[kind] += len(gold)
        self._share[kind] += len(shown) / max(len(ranked), 1)
        for step, part in [*((str(k), ranked[:k]) for k in steps), ("shown", shown)]:
            found = len(set(gold) & set(part))
            self._found[kind, step] = self._found.get((kind, step), 0) + found
            self._whole[kind, step] = self._whole.get((kind, step), 0) + (found == len(gold))

    def summary(self) -> dict[str, Any]:
        """By `tables` and `columns`: the share of the schema shown, and at each k, and as shown, the share
        of the gold's elements found (`recall`) and of the questions of which all are found (`all`)."""
        summary: dict[str, Any] = {"questions": self.questions}
        for kind, steps in (("tables", TABLES), ("columns", COLUMNS)):
            summary[kind] = {
                "share_shown": round(self._share[kind] / max(self.questions, 1), 4),
                "at": {
                    step: {
                        "recall": round(self._found.get((kind, step), 0) / max(self._gold[kind], 1), 4),
                        "all": round(self._whole.get((kind, step), 0) / max(self.questions, 1), 4),
                    }
                    for step in (*map(str, steps), "shown")
                },
            }
        return summary
