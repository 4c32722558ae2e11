"""Splits: nothing leaks, everything is in one place, and the same seed gives the same."""

from collections import Counter

import pytest

from data.errors import UsageError, UserError
from data.imports.pairs import Pair
from pipeline.splits import parse_shares, question_groups, question_key, split_pairs, sql_key
from prompts.skeleton import sql_skeleton

COLUMNS = ("name", "town", "age", "price", "size", "colour")
FORMS = (
    "SELECT {c} FROM t",
    "SELECT count(*) FROM t WHERE {c} = 'x'",
    "SELECT {c} FROM t ORDER BY {c} DESC",
    "SELECT {c}, count(*) FROM t GROUP BY {c}",
    "SELECT max({c}) FROM t",
    "SELECT {c} FROM t WHERE {c} > 3 AND {c} < 9",
    "SELECT DISTINCT {c} FROM t",
    "SELECT {c} FROM t WHERE {c} LIKE 'a%'",
)


def pair(
    question: str, query: str, db_id: str = "shop", split: str | None = None, synthetic: bool = False, row: int = 0
) -> Pair:
    return Pair(question, query, db_id, split, f"pairs.csv, row {row}", synthetic)


def many(db_id: str = "shop", split: str | None = None) -> list[Pair]:
    """48 pairs of 8 skeletons."""
    return [pair(f"{form} of {column}?", form.format(c=column), db_id, split) for form in FORMS for column in COLUMNS]


def test_within_one_database_no_skeleton_and_no_question_is_in_two_splits() -> None:
    pairs = [*many(), pair(f"{FORMS[0]} of name", "SELECT 1"), pair("One?", "SELECT 1")]
    splits = split_pairs(pairs).splits
    for key in (lambda item: sql_skeleton(item.query), lambda item: question_key(item.question)):
        seen = [{key(item) for item in chosen} for chosen in splits.values()]
        assert sum(map(len, seen)) == len(set.union(*seen))


def test_every_pair_is_in_one_split_in_the_order_of_the_source() -> None:
    pairs = many()
    splits = split_pairs(pairs).splits
    assert list(splits) == ["train", "select", "dev"]
    assert Counter(item for chosen in splits.values() for item in chosen) == Counter(pairs)
    assert all(chosen == sorted(chosen, key=pairs.index) for chosen in splits.values())


def test_many_databases_part_whole() -> None:
    pairs = [item for number in range(10) for item in many(f"db{number}")]
    division = split_pairs(pairs)
    databases = [{item.db_id for item in chosen} for chosen in division.splits.values()]
    assert [len(names) for names in databases] == [8, 1, 1]
    assert len(set.union(*databases)) == 10
    assert division.by.startswith("by database")


def test_few_databases_part_by_question_group() -> None:
    pairs = [item for number in range(5) for item in many(f"db{number}")]
    division = split_pairs(pairs)
    assert division.by.startswith("by question group")
    assert {split: len(chosen) for split, chosen in division.splits.items()} == {"train": 192, "select": 24, "dev": 24}


def test_the_same_seed_gives_the_same_splits_and_another_gives_others() -> None:
    pairs = [item for number in range(5) for item in many(f"db{number}")]
    assert split_pairs(pairs, seed=3) == split_pairs(pairs, seed=3)
    assert split_pairs(pairs, seed=3).splits != split_pairs(pairs, seed=4).splits


def test_shares_are_as_near_as_groups_allow() -> None:
    splits = split_pairs([item for number in range(5) for item in many(f"db{number}")], shares=(50, 20, 30)).splits
    assert {split: len(chosen) for split, chosen in splits.items()} == {"train": 120, "select": 48, "dev": 72}


def test_a_large_group_stays_whole_and_the_note_says_that_shares_are_off() -> None:
    pairs = [pair(f"Is there {number}?", f"SELECT a FROM t WHERE b = {number}") for number in range(90)]
    pairs += [pair("All?", "SELECT * FROM t"), pair("How many?", "SELECT count(*) FROM t")]
    division = split_pairs(pairs)
    assert [len(chosen) for chosen in division.splits.values()] == [90, 1, 1]
    assert any("dev holds 1 pairs, not 9" in note for note in division.notes)


def test_three_groups_are_enough_and_two_are_an_error() -> None:
    three = [pair("A?", "SELECT a FROM t"), pair("B?", "SELECT count(*) FROM t"), pair("C?", "SELECT max(a) FROM t")]
    assert [len(chosen) for chosen in split_pairs(three).splits.values()] == [1, 1, 1]
    with pytest.raises(UserError, match="2 pairs are too few or too alike"):
        split_pairs(three[:2])


def test_splits_of_the_source_are_kept_and_select_comes_from_train() -> None:
    given = [*many(split="train"), pair("Late?", "SELECT late FROM t", split="dev")]
    division = split_pairs(given)
    assert division.by.startswith("as the source has them; select is taken from train")
    assert [item.question for item in division.splits["dev"]] == ["Late?"]
    assert {item.split for item in division.splits["select"]} == {"train"}
    assert len(division.splits["train"]) + len(division.splits["select"]) == 48


def test_a_select_split_of_the_source_is_kept_too() -> None:
    given = [*many(split="train"), pair("S?", "SELECT 1", split="select"), pair("D?", "SELECT 2", split="dev")]
    division = split_pairs(given)
    assert division.by == "as the source has them"
    assert [len(chosen) for chosen in division.splits.values()] == [48, 1, 1]


def test_test_questions_are_dev_where_there_is_no_dev() -> None:
    division = split_pairs([*many(split="train"), pair("T?", "SELECT 1", split="test")])
    assert [item.question for item in division.splits["dev"]] == ["T?"]
    assert "test" not in division.splits
    assert any("its test questions are dev" in note for note in division.notes)


def test_a_source_of_dev_alone_is_split_anew_and_a_note_says_so() -> None:
    division = split_pairs(many(split="dev"))
    assert len(division.splits["train"]) == 36
    assert any("only dev" in note for note in division.notes)


def test_a_source_of_train_alone_is_split_without_a_word() -> None:
    assert split_pairs(many(split="train")).notes == split_pairs(many()).notes


def test_pairs_without_a_split_among_others_are_train() -> None:
    division = split_pairs([*many(split="train"), pair("N?", "SELECT n FROM t"), pair("D?", "SELECT 2", split="dev")])
    assert any("1 pairs name no split" in note for note in division.notes)
    assert not any(item.question == "N?" for item in division.splits["dev"])


def test_synthetic_pairs_only_train_and_do_not_tell_what_is_scored() -> None:
    written = many()
    dev = split_pairs(written).splits["dev"]
    told = pair("Other words", dev[0].query.lower() + " ;", synthetic=True)
    asked = pair(dev[0].question.upper(), "SELECT 17", synthetic=True)
    near = pair("Near", dev[0].query.replace(dev[0].query.split()[-1], "weight"), synthetic=True)
    division = split_pairs([*written, told, asked, near])
    assert division.splits["dev"] == dev
    assert [item for chosen in division.splits.values() for item in chosen if item.synthetic] == [near]
    assert division.splits["train"][-1] == near
    assert [(item, reason) for item, reason in division.left_out] == [
        (told, "synthetic, with the SQL of a scored pair"),
        (asked, "synthetic, with the question of a scored pair"),
    ]


def test_synthetic_pairs_of_a_scored_database_are_left_out() -> None:
    written = [item for number in range(6) for item in many(f"db{number}")]
    made = [pair("Made?", f"SELECT {number} FROM t", f"db{number}", synthetic=True) for number in range(6)]
    division = split_pairs([*written, *made])
    scored = {item.db_id for split in ("select", "dev") for item in division.splits[split]}
    assert {item.db_id for item, _ in division.left_out} == scored
    assert sum(item.synthetic for item in division.splits["train"]) == 4


def test_training_pairs_of_missing_databases_alone_are_an_error() -> None:
    given = [*many("gone", split="train"), pair("D?", "SELECT 2", db_id="here", split="dev")]
    with pytest.raises(UserError, match="no pair to train on is about a database that is there: gone is missing"):
        split_pairs(given, missing={"gone"})


def test_pairs_of_a_missing_database_only_train() -> None:
    pairs = [item for number in range(7) for item in many(f"db{number}")]
    gone = {"db1", "db2", "db3", "db4"}
    for given in (pairs, [*(item for item in many("db0", "dev")), *(item for item in many("db9", "train")), *pairs]):
        splits = split_pairs(given, missing=gone).splits
        assert gone <= {item.db_id for item in splits["train"]}
        assert not gone & {item.db_id for split in ("select", "dev") for item in splits[split]}


def test_synthetic_pairs_alone_are_an_error() -> None:
    with pytest.raises(UserError, match="all 2 pairs are synthetic"):
        split_pairs([pair("A?", "SELECT 1", synthetic=True), pair("B?", "SELECT a FROM t", synthetic=True)])


def test_groups_join_through_questions_and_skeletons_but_not_across_databases() -> None:
    chain = [
        pair("A?", "SELECT a FROM t"),
        pair("B?", "SELECT b FROM u"),
        pair(" b ", "SELECT count(*) FROM t"),
        pair("C?", "SELECT c FROM t", "other"),
    ]
    assert question_groups(chain) == [chain[:3], chain[3:]]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT  a\nFROM t;", "select A from T", True),
        ("SELECT a FROM t WHERE b='X'", "SELECT a FROM t WHERE b = 'X' ; ", True),
        ("SELECT a FROM t WHERE b='X'", "SELECT a FROM t WHERE b='x'", False),
        ("SELECT count( * ) FROM t", "SELECT count(*) FROM t", True),
        ("SELECT a FROM t", "SELECT a FROM t LIMIT 1", False),
        ("SELECT 'a  b'", "SELECT 'a b'", False),
    ],
)
def test_queries_are_the_same_but_for_blanks_and_case(one: str, other: str, same: bool) -> None:
    assert (sql_key(one) == sql_key(other)) is same


def test_questions_are_the_same_but_for_blanks_case_and_ends() -> None:
    assert question_key("  How many\tORDERS? ") == question_key("how many orders")
    assert question_key("How many orders?") != question_key("How many order?")


@pytest.mark.parametrize("text", ["80/20", "80/20/0", "a/b/c", "80/10/10/0", "", "-1/1/1"])
def test_shares_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--split"):
        parse_shares(text)
    assert parse_shares("70/15/15") == (70, 15, 15)
