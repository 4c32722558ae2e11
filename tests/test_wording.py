"""Questions say what their SQL does: words for identifiers, and every part of a plan in its question."""

import re
import sqlite3
from collections.abc import Iterator
from random import Random

import pytest

from data import embedded
from data.synthetic import nouns
from data.synthetic.columns import as_noun, is_truth, role_of, truth_name, truth_verb, with_unit
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
        ("date first registered", "dates first registered"),
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


EVERYDAY = """
CREATE TABLE customer (customer_id INTEGER PRIMARY KEY, full_name TEXT, is_active BOOLEAN, newsletter BOOLEAN,
    has_discount INTEGER, height_cm INTEGER, stops INTEGER, born_on DATE);
CREATE TABLE product (sku TEXT PRIMARY KEY, title TEXT, category TEXT, price_eur REAL, discontinued INTEGER);
CREATE TABLE "order" (order_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer, ordered_at TEXT,
    shipped_on TEXT, seen_at INTEGER, status TEXT, created_by INTEGER REFERENCES clerk, packed_by INTEGER REFERENCES clerk);
CREATE TABLE order_item (order_id INTEGER REFERENCES "order", line_no INTEGER, sku TEXT REFERENCES product,
    discount_pct REAL, quantity INTEGER);
CREATE TABLE clerk (id INTEGER PRIMARY KEY, name TEXT);
"""


@pytest.fixture(scope="module")
def everyday(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """A shop whose columns are called as columns of shops are."""
    path = tmp_path_factory.mktemp("everyday") / "everyday.sqlite"
    rng = Random(0)
    connection = sqlite3.connect(path)
    connection.executescript(EVERYDAY)
    tables = {
        "clerk": [(n, f"Clerk {n}") for n in range(5)],
        "customer": [
            (n, f"Name {n}", n % 2, n // 2 % 2, n // 3 % 2, 150 + n, n % 3 % 2, f"19{60 + n}-01-0{1 + n % 9}")
            for n in range(40)
        ],
        "product": [
            (f"SKU-{n}", f"Title {n}", rng.choice(("Books", "Toys", "Garden")), n + 0.5, n % 2) for n in range(30)
        ],
        '"order"': [
            (
                n, rng.randrange(40), f"2024-0{1 + n % 9}-11 1{n % 9}:15:00", f"2024-0{1 + n % 9}-1{n % 7}", 1_700_000_000 + n,
                rng.choice(("open", "sent")), n % 5, n % 4,
            )
            for n in range(90)
        ],
        "order_item": [(rng.randrange(90), n % 3, f"SKU-{n % 30}", n % 7 * 5.5, n % 6) for n in range(200)],
    }  # fmt: skip
    for table, rows in tables.items():
        connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    connection.commit()
    connection.close()
    return read_profile(path)


@pytest.fixture(scope="module")
def everyday_texts(everyday: Profile) -> list[str]:
    texts = []
    for number in range(1500):
        rng = Random(number)
        plan = draw(everyday, rng)
        texts += [word(plan, rng)] if plan else []
    return texts


@pytest.mark.parametrize(
    ("wanted", "broken"),
    [
        (r"orders whose order time is (after|before|later than|earlier than) 2024-0\d-11 1\d:15:00", "ordered at"),
        ("order times", "order ordered"),
        ("latest shipping date", "shipped on"),
        (r"price in EUR", r"price eur"),
        ("prices in EUR", "in EURs"),
        ("the most expensive product", "price in eur"),
        ("discounts? in percent", r"\bpct\b|discount percent"),
        ("heights? in cm", "height cm"),
        ("whose product's category", "sku's|SKU's"),
        ("SKUs of products", r"\bskus?\b"),
        ("customers (who|that) are active", "is active (is|flag)"),
        ("customers (who|that) are not active", "active is"),
        ("whose customer is active", "active flag"),
        ("customers (who|that) (do not )?have a discount", "has discount"),
        ("whose newsletter status is true", "newsletter is"),
        ("whose newsletter status is false", "with the newsletter"),
        ("([Ff]or|[Ss]how) each newsletter status", "each newsletter(?! status)"),
        ("products that are not discontinued", "whose discontinued"),
        ("number of stops", "the stops (0|1)"),
        ("whose creator's name", "created by"),
        ("birth date", "born on"),
        ("youngest customer|youngest one", "packed by"),
    ],
)
def test_everyday_names_make_plain_questions(everyday_texts: list[str], wanted: str, broken: str) -> None:
    assert any(re.search(wanted, text) for text in everyday_texts)
    assert [text for text in everyday_texts if re.search(broken, text)] == []


def test_what_a_flag_says_is_in_the_question(everyday: Profile) -> None:
    customer = everyday.entities["customer"]
    expected = {
        "is_active": ("that are active", "that are not active"),
        "has_discount": ("that have a discount", "that do not have a discount"),
        "newsletter": ("whose newsletter status is true", "whose newsletter status is false"),
    }
    for field in customer.fields:
        for value, wanted in zip((1, 0), expected.get(field.name, ()), strict=False):
            condition = Condition(Ref(0, field), "=", (value,))
            plan = Plan("count", (Step(customer),), (Item("count", None),), where=(condition,))
            assert literals(plan) == []
            wanted = wanted.replace("that", "who") if customer.is_person else wanted
            assert all(f"customers {wanted}" in text for text in word_often(plan, Random(0), 9))


def test_times_in_seconds_are_not_asked_about(everyday: Profile) -> None:
    kinds = {field.name: field.kind for field in everyday.entities["order"].fields}
    assert kinds["seen_at"] == "other"
    assert as_noun("created at", "number", [1_700_000_000, 1_700_000_001], ()) == ("creation time", "other")
    assert as_noun("located at", "text", ["Rome"], ()) == ("located at", "text")
    assert as_noun("written by", "text", ["Ann"], ["written by"]) == ("writer", "text")
    assert as_noun("written by", "text", ["Ann"], ["written by", "writer"]) == ("written by", "text")
    assert as_noun("packed at", "date", ["2024-01-01 10:11:12"], ()) == ("date packed", "date")
    assert as_noun("ordered at", "date", ["2024-01-01"], ["order date"]) == ("date ordered", "date")
    assert as_noun("valid on", "date", ["2024-01-01 00:00:00"], ()) == ("valid date", "date")


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("price eur", "price in EUR"),
        ("net weight kg", "net weight in kg"),
        ("rate pct", "rate in percent"),
        ("duration min", "duration in minutes"),
        ("price min", "minimum price"),
        ("temp c", "temperature in °C"),
        ("vitamin c", "vitamin c"),
        ("eur", "eur"),
        ("price in eur", "price in eur"),
        ("doses per day", "doses per day"),
    ],
)
def test_units_follow_their_column(phrase: str, expected: str) -> None:
    assert with_unit(phrase) == expected


@pytest.mark.parametrize(
    ("phrase", "declared", "values", "expected"),
    [
        ("newsletter", "BOOLEAN", [0, 1], True),
        ("newsletter", "INTEGER", [0, 1], False),  # may be how many
        ("is active", "INTEGER", [0, 1], True),
        ("gift", "TEXT", ["no", "yes"], False),  # "whose gift is 'yes'"
        ("has gift", "TEXT", ["no", "yes"], True),
        ("paid", "INTEGER", [1, 0], True),
        ("active flag", "TEXT", ["0", "1"], True),
        ("active", "BOOLEAN", [1], False),
        ("gift", "TEXT", ["yes", "true"], False),
    ],
)
def test_what_says_yes_and_no(phrase: str, declared: str, values: list[int | str], expected: bool) -> None:
    assert is_truth(phrase, declared, values) is expected


def test_yes_and_no_are_said_by_verbs() -> None:
    assert truth_verb("was shipped", True, many=True) == "were shipped"
    assert truth_verb("can fly", False, many=False) == "cannot fly"
    assert truth_verb("has children", False, many=False) == "does not have children"
    assert truth_verb("has paid", False, many=True) == "have not paid"
    assert truth_verb("has parking", True, many=False) == "has parking"
    assert truth_verb("wifi", True, many=True) == ""
    assert [truth_name(phrase) for phrase in ("is active", "cancelled", "order status", "gift yn")] == [
        "active status",
        "cancellation status",
        "order status",
        "gift status",
    ]


@pytest.mark.parametrize(
    ("phrase", "parent", "noun", "plain", "expected"),
    [
        ("SKU", "SKU", "product", True, "product"),
        ("product SKU", "SKU", "product", True, "product"),
        ("substitute SKU", "SKU", "product", False, "substitute"),
        ("origin IATA", "IATA", "airport", False, "origin"),
        ("maker", "ID", "car maker", True, "car maker"),
        ("designer", "ID", "person", True, "designer"),
        ("family doctor ID", "ID", "doctor", True, "family doctor"),
        ("created by", "ID", "user", False, "creator"),
        ("packed by", "ID", "user", True, "user"),
        ("packed by", "ID", "user", False, ""),
    ],
)
def test_a_key_column_names_a_role_or_the_parent(
    phrase: str, parent: str, noun: str, plain: bool, expected: str
) -> None:
    assert role_of(phrase, parent, noun, plain) == expected
