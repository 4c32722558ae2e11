"""Shares with their uncertainty. Reads counts and 0/1 verdicts, writes nothing."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959964
BOOTSTRAP_ROUNDS = 10_000


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval, all between -1 and 1."""

    value: float
    low: float
    high: float


def wilson(passed: int, total: int) -> Interval:
    """The share of `passed` in `total` with Wilson's score interval (Wilson, 1927)."""
    if total == 0:
        return Interval(0.0, 0.0, 1.0)
    share, square = passed / total, Z_95**2
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = Z_95 / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    return Interval(share, max(middle - half, 0.0), min(middle + half, 1.0))


def paired_difference(before: Sequence[bool], after: Sequence[bool], seed: int = 0) -> Interval:
    """Mean of after - before on the same examples, with a percentile bootstrap over examples (Efron, 1979)."""
    differences = [int(new) - int(old) for old, new in zip(before, after, strict=True)]
    if not differences:
        return Interval(0.0, -1.0, 1.0)
    draw, count = random.Random(seed), len(differences)
    means = sorted(
        sum(draw.choices(differences, k=count)) / count for _ in range(BOOTSTRAP_ROUNDS if count < 2000 else 1000)
    )
    cut = round(0.025 * len(means))
    return Interval(sum(differences) / count, means[cut], means[-cut - 1])


def mcnemar(won: int, lost: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947): could wins and losses be a fair coin's?"""
    total, fewer = won + lost, min(won, lost)
    tail: int = sum(math.comb(total, count) for count in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**total))
