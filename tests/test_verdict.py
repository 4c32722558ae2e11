"""Whether two results are the same, by the rules of Spider's test-suite evaluator."""

import itertools
import random
import time
from collections.abc import Sequence

import pytest

from eval.sandbox import Row
from eval.verdict import is_ordered, normalize, same_result

NORMALIZED = """
SELECT a FROM t WHERE b > = 1                  -> SELECT a FROM t WHERE b >= 1
SELECT a FROM t WHERE b < = 1 OR b ! = 2       -> SELECT a FROM t WHERE b <= 1 OR b != 2
SELECT a FROM t WHERE b >  = 1                 -> SELECT a FROM t WHERE b > = 1
SELECT DISTINCT a FROM t                       -> SELECT a FROM t
select distinct a from t                       -> select a from t
SELECT count(DISTINCT a) FROM t                -> SELECT count( a) FROM t
SELECT count(DiStInCt(a)) FROM t               -> SELECT count((a)) FROM t
SELECT a FROM t WHERE b = 'DISTINCT'           -> SELECT a FROM t WHERE b = 'DISTINCT'
SELECT "distinct" FROM t                       -> SELECT "distinct" FROM t
SELECT `distinct`, [distinct] FROM t           -> SELECT `distinct`, [distinct] FROM t
SELECT a /* DISTINCT; */ FROM t                -> SELECT a /* DISTINCT; */ FROM t
SELECT a FROM t -- DISTINCT;                   -> SELECT a FROM t -- DISTINCT;
SELECT distinct_a, a_distinct FROM t           -> SELECT distinct_a, a_distinct FROM t
SELECT a FROM t; DROP TABLE t                  -> SELECT a FROM t
SELECT a FROM t;                               -> SELECT a FROM t
SELECT a FROM t WHERE b = 'x;y' ; SELECT 2     -> SELECT a FROM t WHERE b = 'x;y'
SELECT a FROM t WHERE b = 'it''s;' ; SELECT 2  -> SELECT a FROM t WHERE b = 'it''s;'
SELECT a FROM t WHERE b = "O'Brien; DISTINCT"  -> SELECT a FROM t WHERE b = "O'Brien; DISTINCT"
SELECT a FROM t WHERE b < YEAR(CURDATE())      -> SELECT a FROM t WHERE b < 2020
SELECT year ( curdate ( ) ) - 1                -> SELECT 2020- 1
;                                              ->
SELECT 'never closed DISTINCT ;                -> SELECT 'never closed DISTINCT ;
"""


def cases(text: str) -> list[list[str]]:
    return [[part.strip() for part in line.split("->")] for line in text.strip().splitlines()]


@pytest.mark.parametrize(("sql", "run"), cases(NORMALIZED))
def test_what_is_run_is_the_first_statement_without_distinct(sql: str, run: str) -> None:
    assert normalize(sql).split() == run.split()


@pytest.mark.parametrize("sql", ["SELECT DISTINCT a FROM t", "SELECT count(DISTINCT a) FROM t"])
def test_distinct_stays_where_it_is_to_be_kept(sql: str) -> None:
    assert normalize(f"{sql} ; SELECT 2", keep_distinct=True) == sql


@pytest.mark.parametrize(
    ("gold", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order by a", True),
        ("SELECT a FROM t WHERE b = 'order by'", True),  # as the official evaluator has it
        ("SELECT a FROM t ORDER  BY a", False),
        ("SELECT a FROM orders", False),
    ],
)
def test_order_counts_where_the_gold_says_order_by(gold: str, ordered: bool) -> None:
    assert is_ordered(gold) is ordered


@pytest.mark.parametrize(
    ("gold", "predicted", "as_lists", "as_multisets"),
    [
        ([], [], True, True),
        ([(1,)], [], False, False),
        ([], [(1,)], False, False),
        ([(1, "a"), (2, "b")], [(1, "a"), (2, "b")], True, True),
        ([(1, "a"), (2, "b")], [("a", 1), ("b", 2)], True, True),  # columns change places
        ([(1, "a"), (2, "b")], [(2, "b"), (1, "a")], False, True),  # rows do
        ([(1, "a"), (2, "b")], [("b", 2), ("a", 1)], False, True),  # both do
        ([(1, "a"), (2, "b")], [(1, "b"), (2, "a")], False, False),  # right columns, wrong rows
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)], False, False),  # how often each row comes counts
        ([(1,), (2,)], [(1,), (2,), (2,)], False, False),
        ([(1, 1)], [(1,)], False, False),
        ([(1,)], [(1, 1)], False, False),
        ([(1, 2), (2, 1)], [(1, 1), (2, 2)], False, False),  # the columns alone agree
        ([(1,)], [(1.0,)], True, True),
        ([(1, 10)], [(1.0, 10)], True, True),  # where the official quick reject mis-sorts
        ([(2, 10), (1, 3)], [(10, 2.0), (3.0, 1)], True, True),
        ([(1,)], [("1",)], False, False),
        ([(0.3,)], [(0.1 + 0.2,)], False, False),  # no tolerance
        ([("a",)], [(b"a",)], False, False),
        ([("a",)], [("A",)], False, False),
        ([(None,)], [(None,)], True, True),
        ([(None,)], [(0,)], False, False),
        ([(None,)], [("",)], False, False),
        ([(None, 1), (2, None)], [(1, None), (None, 2)], True, True),
        ([(1, 1, 2)], [(2, 1, 1)], True, True),  # equal columns
        ([(1, 1, 2)], [(1, 2, 2)], False, False),
        ([(10**30,), (float("inf"),)], [(float("inf"),), (10**30,)], False, True),
    ],
)
def test_results_are_compared_as_specified(
    gold: Sequence[Row], predicted: Sequence[Row], as_lists: bool, as_multisets: bool
) -> None:
    assert same_result(gold, predicted, ordered=True) is as_lists
    assert same_result(gold, predicted, ordered=False) is as_multisets
    assert same_result(predicted, gold, ordered=False) is as_multisets


def by_brute_force(gold: Sequence[Row], predicted: Sequence[Row]) -> bool:
    """The rule itself: some permutation of the columns gives the same rows."""
    return any(
        sorted(gold) == sorted(tuple(row[place] for place in places) for row in predicted)
        for places in itertools.permutations(range(len(gold[0])))
    )


def test_the_search_finds_what_trying_every_permutation_finds() -> None:
    draw = random.Random(0)
    found = []
    for _ in range(400):
        width, height = draw.randint(1, 4), draw.randint(1, 5)
        gold = [tuple(draw.randint(0, 1) for _ in range(width)) for _ in range(height)]
        places = draw.sample(range(width), width)
        predicted = [tuple(row[place] for place in places) for row in draw.sample(gold, height)]
        if draw.random() < 0.6:  # two cells of one column change places
            first, second, column = draw.randrange(height), draw.randrange(height), draw.randrange(width)
            rows = [list(row) for row in predicted]
            rows[first][column], rows[second][column] = rows[second][column], rows[first][column]
            predicted = [tuple(row) for row in rows]
        found.append(by_brute_force(gold, predicted))
        assert same_result(gold, predicted, ordered=False) is found[-1], (gold, predicted)
    assert 100 < sum(found) < 390


def parity(width: int, odd: int) -> list[Row]:
    """All rows of 0 and 1 with an even (or odd) sum: any width - 1 columns of the two look alike."""
    return [row for row in itertools.product([0, 1], repeat=width) if sum(row) % 2 == odd]


def shuffled(columns: int, broken: bool) -> tuple[list[Row], list[Row]]:
    """Columns that are permutations of one another, shuffled; broken: one swap makes them differ."""
    draw = random.Random(1)
    made = [draw.sample(range(60), 60) for _ in range(columns)]
    gold = list(zip(*made, strict=True))
    predicted = [list(row) for row in zip(*draw.sample(made, columns), strict=True)]
    if broken:
        predicted[0][0], predicted[1][0] = predicted[1][0], predicted[0][0]
    return gold, [tuple(row) for row in draw.sample(predicted, 60)]


def ring(*lengths: int) -> list[Row]:
    """Neighbours in rings: each row and each column holds two ones."""
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    pairs = [
        {start + place, start + (place + 1) % length}
        for start, length in zip(starts, lengths, strict=True)
        for place in range(length)
    ]
    return [tuple(int(column in pair) for column in range(sum(lengths))) for pair in pairs]


@pytest.mark.parametrize(
    ("gold", "predicted", "same"),
    [
        ([(row,) * 12 for row in range(200)], [(row,) * 12 for row in range(200)], True),
        ([(row,) * 12 for row in range(200)], [(row,) * 11 + (199 - row,) for row in range(200)], False),
        ([(None,) * 30] * 50, [(None,) * 30] * 50, True),
        (*shuffled(14, broken=False), True),
        (*shuffled(14, broken=True), False),
        (ring(12), ring(6, 6), False),
        (parity(8, 0), parity(8, 1), False),
    ],
    ids=["identical", "one reversed", "all NULL", "shuffled", "shuffled and broken", "rings", "parity"],
)
def test_columns_that_look_alike_are_compared_in_no_time(
    gold: Sequence[Row], predicted: Sequence[Row], same: bool
) -> None:
    start = time.perf_counter()
    assert same_result(gold, predicted, ordered=False) is same
    assert time.perf_counter() - start < 2
