"""Questions about groups: a figure for each, those that have enough, the first of them.

Two shapes: the rows of a table that share a value ("the technique with the most artworks"), and the rows
below each row of another table ("the artist with the most artworks").
"""

from dataclasses import replace

from data.synthetic.filters import crowd
from data.synthetic.nouns import plural
from data.synthetic.phrases import Phrases
from data.synthetic.plan import Plan, Ref


def word_groups(phrases: Phrases, plan: Plan) -> str:
    """Figures of the rows that share a value of a column."""
    assert plan.group
    each, kinds = (phrases.column(plan, plan.group, many) for many in (False, True))
    things = phrases.things(plan)
    figures = [item for item in plan.select if item.aggregate]
    figure = phrases.figure(figures[0], things) if figures else ""
    if plan.limit:
        return _first_groups(phrases, plan, each, kinds, things)
    end = _sorted(phrases, plan)
    if plan.having:
        enough = _enough(phrases, plan, phrases.things(plan, many=plan.having.value != 1))
        if figure:
            return phrases.one_of(
                f"For each {each} that has {enough}, show the {each} and {figure}{end}.",
                f"List the {kinds} that have {enough}, each with {figure}{end}.",
            )
        return phrases.one_of(
            f"Which {kinds} have {enough}?", f"List the {kinds} that have {enough}.", f"Find the {kinds} with {enough}."
        )
    options = [
        f"For each {each}, {phrases.one_of('show', 'find', 'give')} {figure}{end}.",
        f"What is {figure} for each {each}{end}?",
        f"Show each {each} and {figure}{end}.",
        f"List the {kinds}, each with {figure}{end}.",
    ]
    if figures[0].ref is None:
        options.append(f"How many {things} are there for each {each}{end}?")
    return phrases.one_of(*options)


def _first_groups(phrases: Phrases, plan: Plan, each: str, kinds: str, things: str) -> str:
    assert plan.order and plan.limit
    item, down, one = plan.order.item, plan.order.descending, plan.limit == 1
    top = _most(phrases, plan, things)
    number, noun = ("", each) if one else (f"{plan.limit} ", kinds)
    ask = phrases.one_of(
        f"Which {number}{noun} {'has' if one else 'have'} {top}",
        f"What {'is' if one else 'are'} the {number}{noun} with {top}",
    )
    if len(plan.select) > 1:
        count = "how many are there" if one else "how many does each of them have"
        return f"{ask}, and {count if item.ref is None else 'what is that figure'}?"
    common = f"Which {each} is the {'most' if down else 'least'} common among {things}?"
    return phrases.one_of(
        f"{ask}?", f"Find the {number}{noun} with {top}.", *([common] if one and not item.ref else [])
    )


def _most(phrases: Phrases, plan: Plan, things: str) -> str:
    """Where the first group comes out on top: "the most artworks", "the lowest average price of bookings"."""
    assert plan.order
    item, down = plan.order.item, plan.order.descending
    if item.ref is None:
        return f"the {'most' if down else 'fewest'} {things}"
    return f"the {'highest' if down else 'lowest'} {phrases.aggregate(item)} of {things}"


def _enough(phrases: Phrases, plan: Plan, things: str) -> str:
    assert plan.having
    bounds = ("more than", "over") if plan.having.operator == ">" else ("at least", "no fewer than")
    return f"{phrases.one_of(*bounds)} {plan.having.value} {things}"


def _sorted(phrases: Phrases, plan: Plan) -> str:
    if not plan.order:
        return ""
    item, down = plan.order.item, plan.order.descending
    name, first = "number" if item.ref is None else "figure", "highest" if down else "lowest"
    if item.ref and item.ref.field.kind in ("year", "date"):
        name, first = item.ref.field.kind, "latest" if down else "earliest"
    way = "descending" if down else "ascending"
    return phrases.one_of(f", sorted by that {name} in {way} order", f", {first} {name} first")


def word_parents(phrases: Phrases, plan: Plan) -> str:
    """Figures of the rows below each row of the main table."""
    own = tuple(condition for condition in plan.where if not condition.ref.place)
    below = tuple(replace(one, ref=Ref(0, one.ref.field)) for one in plan.where if one.ref.place)
    parents, child = replace(plan, steps=plan.steps[:1], where=own), plan.steps[1]
    lower = replace(plan, steps=(replace(child, link=None),), where=below)

    def rows_below(many: bool) -> str:
        noun = plural(child.entity.noun) if many else child.entity.noun
        return f"{noun if below else crowd(child, many)} {phrases.filters.words(lower, many)}".rstrip()

    children = rows_below(many=True)
    labels = [item for item in plan.select if not item.aggregate]
    figures = [item for item in plan.select if item.aggregate]
    name, names = (phrases.columns(plan, labels, many) for many in (False, True))
    if plan.limit:
        return _first_parents(phrases, plan, parents, names if plan.limit > 1 else name, children)
    who = f"{'and ' if own else ''}{'who' if plan.entity.is_person else 'that'}"
    one, many = phrases.things(parents, many=False), phrases.things(parents)
    figure = phrases.figure(figures[0], children) if figures else ""
    end = _sorted(phrases, plan)
    if plan.having:
        enough = _enough(phrases, plan, rows_below(many=plan.having.value != 1))
        if figures:
            return f"For each {one} {who} has {enough}, show the {name} and {figure}{end}."
        return phrases.ask(f"the {names} of {phrases.one_of('', 'the ')}{many} {who} have {enough}", single=False)
    return phrases.one_of(
        f"For each {one} {who} has {children}, show the {name} and {figure}{end}.",
        f"Show the {name} of every {one} {who} has {children}, and {figure}{end}.",
    )


def _first_parents(phrases: Phrases, plan: Plan, parents: Plan, names: str, children: str) -> str:
    assert plan.order and plan.limit
    one, top = plan.limit == 1, _most(phrases, plan, children)
    number = "" if one else f"{plan.limit} "
    also = ""
    if any(item.aggregate for item in plan.select):
        also = ", and the number of them" if plan.order.item.ref is None else ", and that figure"
    single = one and len(plan.select) == 1
    if parents.where:
        ones = f"the one with {top}" if one else f"the {number}with {top}"
        asked = phrases.ask(f"the {names} of {ones}{also}", single)
        return f"Among the {phrases.things(parents)}, {asked[0].lower()}{asked[1:]}"
    noun = parents.entity.noun if one else plural(parents.entity.noun)
    return phrases.ask(f"the {names} of the {number}{noun} with {top}{also}", single)
