"""Verdict records become scores, in all and by group; two runs become a comparison."""

from typing import Any

import pytest

from eval.comparison import common, compare, judgement
from eval.exact_match import COMPONENTS, Component, component_scores
from eval.metrics import mcnemar, wilson
from eval.summary import summarize

NOTHING = {name: [1, 0, 0] for name in COMPONENTS}


def record(category: str, hardness: str = "easy", db_id: str = "pets", **more: Any) -> dict[str, Any]:
    right = int(category == "correct")
    return {
        "id": "1",
        "category": category,
        "hardness": hardness,
        "db_id": db_id,
        "ex": right,
        "ex_keep_distinct": right,
        "em": 0,
        "em_semantic": right,
        "features": [],
        "tables": 1,
        "components": NOTHING,
    } | more


def test_scores_count_what_is_right_in_all_and_by_group() -> None:
    scores = summarize(
        [
            record("correct"),
            record("correct", "hard", em=1),
            record("syntax", "hard", "shop", features=["join", "order"], tables=2),
            record("no_sql", "extra", "shop", features=["join"], tables=5),
        ]
    )
    assert [scores[key] for key in ("n", "ex", "ex_keep_distinct", "em", "em_semantic", "gold_failed")] == [
        4,
        2,
        2,
        1,
        2,
        0,
    ]
    interval = wilson(2, 4)
    assert scores["intervals"]["ex"] == {"value": 0.5, "low": interval.low, "high": interval.high}
    assert {level: (share["n"], share["ex"], share["em"]) for level, share in scores["by_hardness"].items()} == {
        "easy": (1, 1, 0),
        "hard": (2, 1, 1),
        "extra": (1, 0, 0),
    }
    assert {name: share["ex"] for name, share in scores["by_database"].items()} == {"pets": 2, "shop": 0}
    assert {name: share["n"] for name, share in scores["by_feature"].items()} == {"join": 2, "order": 1}
    assert {name: share["n"] for name, share in scores["by_tables"].items()} == {"1": 2, "2": 1, "4+": 1}
    assert scores["categories"] == {"correct": 2, "syntax": 1, "no_sql": 1}
    assert "ts" not in scores
    assert "by_length" not in scores
    assert "ves" not in scores


def test_hardness_goes_from_easy_to_unknown() -> None:
    levels = ["unknown", "extra", "easy", "hard", "medium"]
    order = list(summarize([record("syntax", level) for level in levels])["by_hardness"])
    assert order == ["easy", "medium", "hard", "extra", "unknown"]


def test_a_failed_gold_is_named_and_left_out_of_the_denominator() -> None:
    scores = summarize([record("correct"), record("gold_failed"), record("gold_failed", "hard", "shop")])
    assert (scores["n"], scores["intervals"]["ex"]["value"], scores["gold_failed"]) == (1, 1.0, 2)
    assert list(scores["by_database"]) == ["pets"]
    assert scores["categories"]["gold_failed"] == 2


def test_nothing_to_score_is_no_crash() -> None:
    assert summarize([])["n"] == summarize([record("gold_failed")])["n"] == 0


def test_questions_are_grouped_by_their_length() -> None:
    asked = [record("correct", question=" ".join(["word"] * count)) for count in (1, 8, 9, 20, 21, 60)]
    groups = summarize(asked)["by_length"]
    assert {name: share["n"] for name, share in groups.items()} == {
        "1-8 words": 2,
        "9-12 words": 1,
        "17-20 words": 1,
        "21 words or more": 2,
    }


def test_a_test_suite_and_timings_have_figures_of_their_own() -> None:
    scores = summarize(
        [record("correct", ts=1, time_ratio=4.0), record("correct", ts=0, time_ratio=1.0), record("empty", ts=0)]
    )
    assert scores["ts"] == 1
    assert scores["by_hardness"]["easy"]["ts"] == 1
    # A database without a suite asks no more than EX.
    mixed = summarize([record("correct", ts=0), record("correct", "hard", "shop"), record("empty", "hard", "shop")])
    assert (mixed["ts"], mixed["by_hardness"]["hard"]["ts"]) == (1, 1)
    assert scores["ves"] == pytest.approx(100 * (2 + 1 + 0) / 3)


def test_component_scores_are_over_those_that_have_the_component() -> None:
    def parts(where: Component) -> dict[str, Component]:
        return {name: Component(True, False, False) for name in COMPONENTS} | {"where": where}

    scores = component_scores(
        [
            parts(Component(True, True, True)),
            parts(Component(False, True, True)),
            parts(Component(False, True, False)),
            parts(Component(True, False, False)),
        ]
    )
    assert scores["where"] == pytest.approx({"acc": 1 / 3, "rec": 1 / 2, "f1": 0.4})
    assert scores["order"] == {"acc": 0.0, "rec": 0.0, "f1": 1.0}  # the official tool's way


@pytest.mark.parametrize(
    ("won", "lost", "p"), [(0, 0, 1.0), (5, 5, 1.0), (1, 0, 1.0), (6, 0, 0.03125), (0, 6, 0.03125), (1, 9, 0.021484375)]
)
def test_mcnemar_is_a_coin_tossed_for_each_change(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p)


def test_a_comparison_pairs_by_question() -> None:
    first = [record("correct", id=str(place)) for place in range(20)] + [record("correct", id="only here")]
    second = [record("empty" if place < 8 else "correct", id=str(place)) for place in range(20)][::-1]
    second.append(record("gold_failed", id="only here"))
    pairs = common(first, second)
    assert [(old["id"], new["id"]) for old, new in pairs] == [(str(place), str(place)) for place in range(20)]
    figures = compare(pairs)
    assert {key: figures["ex"][key] for key in ("both", "won", "lost", "neither", "value")} == {
        "both": 12,
        "won": 0,
        "lost": 8,
        "neither": 0,
        "value": -0.4,
    }
    assert judgement(figures["ex"]) == "more than luck"
    assert judgement(figures["em"]) == "the same on every question"
    assert judgement(compare(pairs[:10])["ex"] | {"mcnemar_p": 0.2}) == "within what luck could do"
    assert "ts" not in figures
    assert compare(pairs) == figures
