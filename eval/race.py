"""Which candidates need not answer more questions: those that are behind the best by more than luck.

Works on verdicts alone. The test is the sign test on the questions that only one of two has right, one-sided, its level
shared out (Bonferroni) over all looks and candidates, so that the best is dropped with the stated chance at the most.
"""

from collections.abc import Mapping, Sequence
from math import comb


def still_in(right: Mapping[str, Sequence[bool]], confidence: float, looks: int) -> list[str]:
    """The names that stay, from verdicts on the same questions; `looks`: how often this is asked in all."""
    names = list(right)
    best = max(names, key=lambda name: (sum(right[name]), -names.index(name)))
    level = (1 - confidence) / (looks * max(len(names) - 1, 1))
    return [name for name in names if _chance(right[best], right[name]) >= level]


def _chance(best: Sequence[bool], other: Sequence[bool]) -> float:
    """How likely the best is this far ahead if both are as good."""
    won = sum(mine and not its for mine, its in zip(best, other, strict=True))
    lost = sum(its and not mine for mine, its in zip(best, other, strict=True))
    ways: int = sum(comb(won + lost, count) for count in range(won, won + lost + 1))
    return ways / (1 << (won + lost))  # integers, which no number of questions is too many for
