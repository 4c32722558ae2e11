"""Shares with their uncertainty."""

import pytest

from eval.metrics import Interval, paired_difference, wilson


# From Wilson's formula worked out by hand, and Newcombe (1998), table I.
@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
        (1, 2, 0.0945, 0.9055),
        (500, 1000, 0.4691, 0.5309),
    ],
)
def test_wilson_s_interval_has_the_known_values(passed: int, total: int, low: float, high: float) -> None:
    interval = wilson(passed, total)
    assert interval.value == passed / total
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


def test_nothing_asked_says_nothing() -> None:
    assert wilson(0, 0) == Interval(0.0, 0.0, 1.0)
    assert paired_difference([], []) == Interval(0.0, -1.0, 1.0)


def test_a_gain_is_positive_and_a_loss_is_its_mirror() -> None:
    before, after = [False] * 60 + [True] * 40, [False] * 30 + [True] * 70
    gain, loss = paired_difference(before, after), paired_difference(after, before)
    assert gain.value == pytest.approx(0.3)
    assert 0 < gain.low < 0.3 < gain.high < 1
    assert loss.value == -gain.value
    assert loss.high < 0
    assert (loss.low, loss.high) == pytest.approx((-gain.high, -gain.low), abs=0.03)


def test_the_same_verdicts_differ_by_nothing() -> None:
    assert paired_difference([True, False, True], [True, False, True]) == Interval(0.0, 0.0, 0.0)


def test_pairs_count_and_not_just_totals() -> None:
    """Both gain 10 of 100; where wins and losses mix, the interval is wider."""
    steady = paired_difference([False] * 100, [True] * 10 + [False] * 90)
    mixed = paired_difference([True] * 40 + [False] * 60, [False] * 40 + [True] * 50 + [False] * 10)
    assert steady.value == mixed.value == pytest.approx(0.1)
    assert steady.low > 0 > mixed.low


def test_more_questions_make_it_narrower_as_the_root_of_their_number() -> None:
    few, many = (paired_difference([False] * (4 * n), [True, False, False, False] * n) for n in (25, 400))
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.15)
    # 1.96 standard errors of a share of a quarter in 100
    assert few.high - few.low == pytest.approx(2 * 1.96 * (0.25 * 0.75 / 100) ** 0.5, rel=0.1)


def test_the_same_seed_gives_the_same_interval() -> None:
    before, after = [False, True, False] * 30, [True, True, False] * 30
    assert paired_difference(before, after, 7) == paired_difference(before, after, 7)
    assert len({paired_difference(before, after, seed) for seed in range(6)}) > 1


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        paired_difference([True], [True, False])
