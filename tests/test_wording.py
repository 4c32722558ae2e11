"""Questions say what their SQL does: words for identifiers, and every part of a plan in its question."""

import re
from collections.abc import Iterator
from random import Random

import pytest

from data import embedded
from data.synthetic import nouns
from data.synthetic.conditions import Conditions
from data.synthetic.filters import called
from data.synthetic.grammar import draw
from data.synthetic.nouns import a, listed, plural, singular, words
from data.synthetic.plan import Condition, Item, Order, Plan, Ref, Step, literals, to_sql
from data.synthetic.profile import Profile, read_profile
from data.synthetic.wording import word, word_often

DRAWS = 400  # of each database
NAMES = ("museum", "clinic", "flights", "university", "shop")


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Profile]:
    folder = tmp_path_factory.mktemp("sample")
    embedded.build(folder)
    return {name: read_profile(folder / "database" / name / f"{name}.sqlite") for name in NAMES}


@pytest.fixture(scope="module")
def worded(profiles: dict[str, Profile]) -> list[tuple[Plan, str]]:
    """Plans of every kind with a question each."""
    found = []
    for name, profile in profiles.items():
        for number in range(DRAWS):
            rng = Random(f"{name} {number}")
            plan = draw(profile, rng)
            if plan:
                found.append((plan, word(plan, rng)))
    assert len(found) > DRAWS
    return found


def plans_in(plan: Plan) -> Iterator[Plan]:
    """A plan and those within it."""
    yield plan
    for condition in plan.where:
        if condition.nested:
            yield from plans_in(condition.nested)
    if plan.combine:
        yield from plans_in(plan.combine[1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Birth_Year", "birth year"),
        ("SurfaceArea", "surface area"),
        ("countrylanguage", "country language"),
        ("firstName", "first name"),
        ("GNP", "GNP"),
        ("LAST_NAME", "last name"),
        ("Singer_ID", "singer ID"),
        ("HTTPServer", "HTTP server"),
        ("address1", "address 1"),
        ('we"ird  name', "we ird name"),
        ("größe", "größe"),
        ("таблица_цен", "таблица цен"),
        ("!!!", "unnamed"),
    ],
)
def test_a_name_is_taken_apart_into_words(name: str, expected: str) -> None:
    assert words(name, {"country", "language"}) == expected


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("artist", "artists"),
        ("country", "countries"),
        ("day", "days"),
        ("address", "addresses"),
        ("status", "statuses"),
        ("size", "sizes"),
        ("box", "boxes"),
        ("branch", "branches"),
        ("course", "courses"),
        ("movie", "movies"),
        ("person", "people"),
        ("tour stop", "tour stops"),
        ("date of birth", "dates of birth"),
        ("date adopted", "dates adopted"),
        ("singer in concert", "singers in concert"),
        ("aircraft", "aircraft"),
        ("bus", "buses"),
        ("house", "houses"),
    ],
)
def test_plurals_come_and_go(one: str, many: str) -> None:
    assert plural(one) == many
    assert singular(many) == one
    assert plural(many) == many
    assert singular(one) == one


def test_small_words_fit() -> None:
    assert [a(word) for word in ("artist", "room", "hour", "user", "MPG", "university")] == [
        "an artist",
        "a room",
        "an hour",
        "a user",
        "an MPG",
        "a university",
    ]
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"], "or") == "a, b or c"


def test_every_value_number_and_limit_is_in_the_question(worded: list[tuple[Plan, str]]) -> None:
    for plan, text in worded:
        for value in literals(plan):
            assert re.search(rf"(?<!\w){re.escape(str(value))}", text), (text, to_sql(plan))


def test_a_question_is_one_sentence_of_plain_text(worded: list[tuple[Plan, str]]) -> None:
    for plan, text in worded:
        assert text[0].isupper() or not text[0].isalpha(), text
        assert text.endswith("?") == text.startswith(("What", "How", "Which", "For which")) or ", " in text, text
        assert text[-1] in "?.", text
        assert "  " not in text, (text, to_sql(plan))
        assert "None" not in text, text
        assert " ," not in text, text
        assert " ." not in text, text


def test_what_turns_the_meaning_is_said(worded: list[tuple[Plan, str]]) -> None:
    seen = set()
    for plan, text in worded:
        lower = f" {text.lower()}"
        for inner in plans_in(plan):
            for condition in inner.where:
                if condition.operator == "not in":
                    assert re.search(r" (no|not|without) ", lower), text
                if condition.operator == "!=":
                    assert re.search(r" (not|anything but|different from) ", lower), text
                if condition.operator == "like":
                    assert re.search(r"(contains|includes|starts with|begins with|ends with) ", lower), text
                seen.add(condition.operator)
            if inner.connector == "or" and len(inner.where) > 1:
                assert " or " in lower, text
                seen.add("or")
            for item in inner.select:
                kinds = {"avg": "average|mean", "sum": "total", "max": "max|highest|latest|recent|largest|figure"}
                kinds |= {"min": "min|lowest|earliest|smallest|figure", "count": "number|many|count|common|most|fewest"}
                if item.aggregate:
                    assert re.search(kinds[item.aggregate], lower), (text, to_sql(plan))
                if item.distinct:
                    assert re.search("different|distinct|unique", lower), text
        if plan.distinct:
            assert re.search("different|distinct|unique", lower), text
        if plan.combine:
            words_of = {
                "intersect": " (and|both|as well as) ",
                "union": "together with|also|plus",
                "except": "except|not|no ",
            }
            assert re.search(words_of[plan.combine[0]], lower), text
            seen.add(plan.combine[0])
        if plan.order and plan.order.item.aggregate and not plan.limit:
            assert re.search(
                "descending|highest|latest" if plan.order.descending else "ascending|lowest|earliest", lower
            )
    assert {"not in", "in", "like", "!=", "between", "or", "intersect", "union", "except", ">", "<"} <= seen


def test_the_direction_of_an_order_is_said(worded: list[tuple[Plan, str]]) -> None:
    up = "ascending|alphabetical|low to high|earliest|lowest|smallest|youngest|oldest|cheapest|lightest|shortest|fewest|least"
    down = "descending|high to low|latest|most|highest|largest|greatest|youngest|oldest|heaviest|tallest"
    seen = set()
    for plan, text in worded:
        if plan.order:
            seen.add((plan.order.descending, plan.limit is None))
            assert re.search(down if plan.order.descending else up, text), (text, to_sql(plan))
    assert len(seen) == 4


def test_keys_that_only_join_are_not_named(worded: list[tuple[Plan, str]]) -> None:
    for plan, text in worded:
        shown = {item.ref.field.phrase for item in plan.select if item.ref}
        if not any(phrase.endswith("ID") for phrase in shown):
            assert " ID" not in text, (text, to_sql(plan))


def test_who_is_older_was_born_earlier(profiles: dict[str, Profile]) -> None:
    artist = profiles["museum"].entities["artist"]
    born = next(field for field in artist.fields if field.name == "birth_year")
    for descending, right, wrong in ((False, "oldest", "youngest"), (True, "youngest", "oldest")):
        plan = Plan(
            "list",
            (Step(artist),),
            (Item("", Ref(0, artist.label[0])),),
            order=Order(Item("", Ref(0, born)), descending),
            limit=1,
        )
        texts = word_often(plan, Random(0), 30)
        assert any(right in text for text in texts)
        assert not any(wrong in text for text in texts)


def test_wordings_differ_and_are_repeatable(profiles: dict[str, Profile]) -> None:
    artist = profiles["museum"].entities["artist"]
    country = next(field for field in artist.fields if field.name == "country")
    where = (Condition(Ref(0, country), "=", ("Italy",)),)
    plan = Plan("count", (Step(artist),), (Item("count", None),), where=where)
    texts = word_often(plan, Random(1), 5)
    assert len(set(texts)) == 5
    assert texts == word_often(plan, Random(1), 5)
    assert all("Italy" in text and "artists" in text for text in texts)


def test_values_with_quotes_are_quoted_by_the_other_kind(profiles: dict[str, Profile]) -> None:
    artist = profiles["museum"].entities["artist"]
    for value in ("Queen's Park", 'the "big" one'):
        condition = Condition(Ref(0, artist.label[0]), "=", (value,))
        plan = Plan("count", (Step(artist),), (Item("count", None),), where=(condition,))
        for text in word_often(plan, Random(2), 6):
            mark = '"' if "'" in value else "'"
            assert f"{mark}{value}{mark}" in text


def test_plural_columns_of_whole_numbers_are_counted(profiles: dict[str, Profile]) -> None:
    tour = profiles["museum"].entities["tour"]
    visitors = next(field for field in tour.fields if field.name == "visitors")
    assert called(visitors) == "number of visitors"
    assert called(visitors, many=True) == "numbers of visitors"


def test_filters_hold_values_of_the_column(profiles: dict[str, Profile]) -> None:
    for profile in profiles.values():
        for entity in profile.entities.values():
            for number in range(30):
                conditions, _ = Conditions(Random(number)).draw((Step(entity),), [0, 0])
                for condition in conditions:
                    if condition.fragment_at:
                        assert any(str(condition.values[0]) in str(value) for value in condition.ref.field.values)
                    else:
                        assert set(condition.values) <= set(condition.ref.field.values)


def test_nouns_never_fail_on_odd_text() -> None:
    for text in ("", " ", "'", "_", "s", "es", "ies", "a b c", "of", "x" * 500, "日本語"):
        assert words(text)
        for change in (plural, singular, nouns.a):
            assert isinstance(change(words(text)), str)
