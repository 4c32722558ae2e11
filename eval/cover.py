"""Which fuzzed databases are worth keeping: the fewest that kill what all of them kill.

Works on what is known of candidates; runs nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eval.verdict import normalize


@dataclass(frozen=True)
class Mutant:
    """A neighbour of a gold; `texts` are gold and neighbour as they are run.

    Scoring drops DISTINCT, so a neighbour that differs in nothing else is run with it.
    """

    gold: str
    kind: str
    sql: str

    @property
    def texts(self) -> tuple[str, str]:
        keep = self.kind == "distinct"
        return normalize(self.gold, keep), normalize(self.sql, keep)


@dataclass
class Candidate:
    """A fuzzed database: the mutants that it kills, the golds whose result hangs on the order of reading."""

    path: Path
    kills: set[Mutant]
    unsteady: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)  # golds without rows


def choose(pool: Sequence[Candidate], most: int) -> list[Candidate]:
    """A small part of the candidates that kills what all of them kill, greedily; at most `most`.

    A candidate counts for less the more golds it makes hang on the order of reading, where a right
    prediction may fail; unless that costs kills.
    """
    careful, blunt = _greedy(pool, most, 1.0), _greedy(pool, most, 0.0)
    return careful if len(killed(careful)) >= len(killed(blunt)) else blunt


def killed(candidates: Iterable[Candidate]) -> set[Mutant]:
    return {mutant for candidate in candidates for mutant in candidate.kills}


def _greedy(pool: Sequence[Candidate], most: int, price: float) -> list[Candidate]:
    """`price` is what each gold that hangs on the order of reading takes off."""
    kept: list[Candidate] = []
    left, unsteady = killed(pool), set[str]()
    while left and len(kept) < most:
        worth = [len(candidate.kills & left) / (1 + price * len(candidate.unsteady - unsteady)) for candidate in pool]
        best = pool[worth.index(max(worth))]
        kept.append(best)
        left = left - best.kills
        unsteady = unsteady | best.unsteady
    for candidate in list(kept):  # later ones may have made an earlier one needless
        if candidate.kills <= killed(other for other in kept if other is not candidate):
            kept.remove(candidate)
    return kept
