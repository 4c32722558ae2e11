"""A query plan as an English question, with varied wording.

Reads a `Plan`, writes one question; another draw of `rng` may word it differently. Faithful before
elegant: every value, limit, direction and DISTINCT of the SQL is in the question, and what is joined is
said by the names of things, never by keys.
"""

from random import Random

from data.synthetic.filters import called
from data.synthetic.group_wording import word_groups, word_parents
from data.synthetic.nouns import listed, plural
from data.synthetic.phrases import Phrases
from data.synthetic.plan import Plan

# The two ends of what some columns say, the higher first.
ENDS = {
    "age": ("oldest", "youngest"), "price": ("most expensive", "cheapest"), "cost": ("most expensive", "cheapest"),
    "height": ("tallest", "shortest"), "weight": ("heaviest", "lightest"), "birth year": ("youngest", "oldest"),
    "birthday": ("youngest", "oldest"), "date of birth": ("youngest", "oldest"), "birth date": ("youngest", "oldest"),
}  # fmt: skip
TRIES = 8  # draws for each wording that is asked for


def word(plan: Plan, rng: Random) -> str:
    """One question for a plan."""
    phrases = Phrases(rng)
    if plan.combine:
        text = _combined(phrases, plan, *plan.combine)
    elif plan.limit and plan.shape == "list":
        text = _top(phrases, plan)
    else:
        shapes = {"list": _list, "count": _count, "figures": _figures, "groups": word_groups, "parents": word_parents}
        text = shapes[plan.shape](phrases, plan)
    # Not by `split`: a value may hold two spaces.
    return text[0].upper() + text[1:]


def word_often(plan: Plan, rng: Random, most: int) -> list[str]:
    """Up to `most` different questions for a plan."""
    return list(dict.fromkeys(word(plan, rng) for _ in range(TRIES * most)))[:most]


def _list(phrases: Phrases, plan: Plan) -> str:
    items = phrases.columns(plan, plan.select, many=True)
    if plan.distinct:
        items = f"{phrases.different()} {items}"
    the = phrases.one_of("", "", "the ", *(() if plan.where or plan.distinct else ("all ",)))
    things, end = phrases.things(plan), _sorted(phrases, plan)
    is_short = len(plan.steps) == len(plan.where) == 1 and not plan.where[0].nested
    if is_short and not end and phrases.one_of("of", "of", "of", "do") == "do":
        return f"Which {items} do {the}{things} have?"
    return phrases.ask(f"the {items} of {the}{things}{end}", single=False)


def _sorted(phrases: Phrases, plan: Plan) -> str:
    if not plan.order or not plan.order.item.ref:
        return ""
    field, down = plan.order.item.ref.field, plan.order.descending
    name, way = called(field), "descending" if down else "ascending"
    options = [f"sorted by {name} in {way} order", f"in {way} order of {name}", f"ordered by {name} ({way})"]
    if field.kind in ("number", "rank"):
        options.append(f"sorted by {name} from {'high to low' if down else 'low to high'}")
    elif field.kind in ("year", "date"):
        options.append(f"sorted by {name} from {'latest to earliest' if down else 'earliest to latest'}")
    elif not down:
        options.append(f"in alphabetical order of {name}")
    return f", {phrases.one_of(*options)}"


def _top(phrases: Phrases, plan: Plan) -> str:
    """The first few rows by a column: "the three oldest"."""
    assert plan.order and plan.order.item.ref and plan.limit
    one, field, down = plan.limit == 1, plan.order.item.ref.field, plan.order.descending
    items = phrases.columns(plan, plan.select, many=not one)
    single = one and len(plan.select) == 1
    number, noun = ("", plan.entity.noun) if one else (f"{plan.limit} ", plural(plan.entity.noun))
    high = f"with the {phrases.extreme(field, down)} {called(field, many=not one)}"
    end = ENDS.get(field.phrase.partition(" in ")[0], ("", ""))[0 if down else 1]
    if end and phrases.one_of("end", "high") == "end":
        top = f"{number}{end} {noun}"
        ones = f"{number}{end} one{'' if one else 's'}"
    else:
        top = f"{number}{noun} {high}"
        ones = f"one {high}" if one else f"{number}{high}"
    if not plan.where:
        return phrases.ask(f"the {items} of the {top}", single)
    things = phrases.things(plan)
    asked = phrases.ask(f"the {items} of the {ones}", single)
    return phrases.one_of(
        f"Among the {things}, {asked[0].lower()}{asked[1:]}",
        phrases.ask(f"the {items} of the {top} among the {things}", single),
    )


def _count(phrases: Phrases, plan: Plan) -> str:
    (item,) = plan.select
    things = phrases.things(plan)
    if item.ref is None:
        return phrases.one_of(
            f"How many {things} are there?",
            f"What is the number of {things}?",
            f"Count the {things}.",
            f"Find the number of {things}.",
            f"What is the total number of {things}?",
        )
    names, different = called(item.ref.field, many=True), phrases.different()
    return phrases.one_of(
        f"How many {different} {names} are there among the {things}?",
        f"What is the number of {different} {names} of {things}?",
        f"Count the {different} {names} of {things}.",
        f"How many {different} {names} do the {things} have?",
    )


def _figures(phrases: Phrases, plan: Plan) -> str:
    things = phrases.one_of("", "the ", *(() if plan.where else ("all ",))) + phrases.things(plan)
    first, single = plan.select[0].ref, len(plan.select) == 1
    if not single and first and all(item.ref == first for item in plan.select):
        kinds = listed([phrases.aggregate(item, bare=True) for item in plan.select])
        figures = f"the {kinds} {called(first.field)}"
    else:
        figures = listed([f"the {phrases.aggregate(item)}" for item in plan.select])
    return phrases.ask(f"{figures} of {things}", single)


def _combined(phrases: Phrases, plan: Plan, operation: str, other: Plan) -> str:
    (item,) = plan.select
    assert item.ref
    names, noun = called(item.ref.field, many=True), plural(plan.entity.noun)
    right = phrases.filters.words(other, many=True)
    if operation == "union":
        left = phrases.filters.words(plan, many=True)
        return phrases.one_of(
            f"What are the {names} of the {noun} {left}, together with those of the {noun} {right}?",
            f"List the {names} of {noun} {left}, and also those of {noun} {right}.",
            f"Find the {names} of {noun} {left} plus the {names} of {noun} {right}.",
        )
    if operation == "except" and len(other.steps) == 1:
        return phrases.one_of(
            f"Which {names} have {noun}, but no {noun} {right}?",
            f"Find the {names} that have {noun} but do not have any {noun} {right}.",
        )
    if operation == "except":
        return phrases.one_of(
            f"What are the {names} of the {noun}, except those {right}?",
            f"List the {names} of all {noun} but not of those {right}.",
        )
    if len(other.steps) == 1:
        return phrases.one_of(
            f"Which {names} have both {phrases.things(plan)} and {noun} {right}?",
            f"Find the {names} that have {phrases.things(plan)} as well as {noun} {right}.",
            f"Which {names} are shared by {phrases.things(plan)} and {noun} {right}?",
        )
    left, also = phrases.filters.words(plan, many=True), right.replace(" have ", " also have ", 1)
    return phrases.ask(f"the {names} of {phrases.one_of('', 'the ')}{noun} {left} and {also}", single=False)
