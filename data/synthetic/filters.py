"""The filters of a query plan as English: "whose country is Italy", "that have a booking in business".

Reads the conditions of a `Plan`, gives phrases that follow a noun. Each value of the query is in its phrase
as the query has it; columns of other tables are reached through what their keys call them.
"""

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from random import Random

from data.synthetic.columns import is_true, truth_name, truth_verb
from data.synthetic.kinds import Value
from data.synthetic.nouns import DONE, a, is_plural, listed, plural
from data.synthetic.plan import Condition, Plan, Step
from data.synthetic.profile import Entity, Field

COMPARED: dict[str, dict[str, tuple[str, ...]]] = {
    "number": {
        ">": ("greater than", "more than", "above", "over", "higher than"),
        "<": ("less than", "below", "under", "lower than"),
        ">=": ("at least", "greater than or equal to", "no less than"),
        "<=": ("at most", "less than or equal to", "no more than"),
    },
    "year": {
        ">": ("after", "later than"),
        "<": ("before", "earlier than"),
        ">=": ("no earlier than", "in or after"),
        "<=": ("no later than", "in or before"),
    },
    "date": {
        ">": ("after", "later than"),
        "<": ("before", "earlier than"),
        ">=": ("on or after", "no earlier than"),
        "<=": ("on or before", "no later than"),
    },
}
FRAGMENTS = {"start": ("starts with", "begins with"), "end": ("ends with",), "inside": ("contains", "includes")}
# Reads as a name without quotes.
BARE = re.compile(r"[A-Z][\w’-]*( [A-Z][\w’-]*){0,3}")

Figure = Callable[[Plan], str]


def called(field: Field, many: bool = False) -> str:
    """What a column is called: whole numbers of plural things are counted, "number of visitors"."""
    phrase = truth_name(field.phrase) if field.truth else field.phrase
    if field.kind == "number" and field.whole and DONE.fullmatch(phrase):
        phrase = f"number {phrase}"
    elif field.kind in ("number", "flag") and field.whole and not field.truth and is_plural(phrase):
        phrase = f"number of {phrase}"
    return plural(phrase) if many else phrase


def owned(role: str, name: str) -> str:
    """ "the customer's city", and not "the order's order time"."""
    return f"{role}'s {name.removeprefix(f'{role} ')}"


def crowd(step: Step, many: bool = True) -> str:
    """What a row above has of the rows of this table; where the table only links two, the other end."""
    noun = step.entity.noun
    if step.link and not step.up:
        noun = dict(step.entity.ends).get(step.link.parent, noun)
    return plural(noun) if many else noun


class Filters:
    """Words filters, choosing among phrasings by `rng`; `figure` words a nested figure as a noun phrase."""

    def __init__(self, rng: Random, figure: Figure) -> None:
        self._rng = rng
        self._figure = figure

    def words(self, plan: Plan, many: bool) -> str:
        """The phrases of every filter of a plan, to stand after its main noun; "" without any.

        Without filters, a table joined below the main one is said to have rows.
        """
        steps = plan.steps
        if plan.connector == "or" and (same := _merged(plan.where)):
            plan = Plan(plan.shape, steps, plan.select, where=(same,))
        phrases = []
        for place, group in groupby(plan.where, key=lambda condition: condition.ref.place):
            if place:
                phrases.append(self._far(steps[: place + 1], [*group], plan.connector, many))
            else:
                phrases += [
                    self._own(steps[0].entity, condition, many, alone=len(plan.where) == 1) for condition in group
                ]
        if not plan.where and len(steps) > 1 and not steps[1].up:
            phrases.append(f"{_that(steps[0].entity)} {_have(many)} at least one {crowd(steps[1], many=False)}")
        return f" {plan.connector} ".join(phrases)

    def _far(self, steps: Sequence[Step], conditions: Sequence[Condition], connector: str, many: bool) -> str:
        """Filters on columns of the last of several tables."""
        last, before = steps[-1], steps[-2]
        that = f"{_that(steps[0].entity)} {_have(many)}"

        def own(owner: str = "") -> str:
            return f" {connector} ".join(self._own(last.entity, condition, False, owner) for condition in conditions)

        if not last.up:
            some = self._rng.choice(("", "", "at least one ", "some "))
            noun = last.entity.noun
            return f"{that} {some + noun if some else a(noun)} {own()}"
        assert last.link
        if len(steps) == 2:
            return own(last.link.role)
        if before.up:
            assert before.link
            return f"whose {before.link.role} has {a(last.link.role)} {own()}"
        if before.entity.ends:
            linked = self._rng.choice(("linked to", "connected to", "associated with"))
            return f"{_that(steps[0].entity)} {_are(many)} {linked} {a(last.entity.noun)} {own()}"
        return f"{that} {a(before.entity.noun)} {own(last.link.role)}"

    def _own(self, entity: Entity, condition: Condition, many: bool, owner: str = "", alone: bool = True) -> str:
        """A filter on a column of the noun itself, or of its `owner`, as its key calls it; `alone` of its kind."""
        field, operator, name = condition.ref.field, condition.operator, called(condition.ref.field)
        if condition.nested and operator in ("in", "not in"):
            return self._children(entity, condition, many)
        verb = truth_verb(field.phrase, is_true(condition.values[0]), many and not owner) if _is_said(condition) else ""
        if verb:
            return f"whose {owner} {verb}" if owner else f"{_that(entity)} {verb}"
        belongs = owned(owner, name) if owner else name
        if operator in ("is null", "is not null"):
            if owner or field.truth:
                return f"whose {belongs} is {'missing' if operator == 'is null' else 'known'}"
            given = "no" if operator == "is null" else self._rng.choice(("a known", "a recorded"))
            return f"{_that(entity)} {_have(many)} {given} {name}"
        value = self._value(condition)
        simple = not owner and not condition.nested and field.kind != "flag"
        if operator == "=" and simple and field in entity.label and field.phrase in ("name", "title"):
            named = "titled" if field.phrase == "title" else self._rng.choice(("named", "called"))
            return f"{'' if alone else f'{_that(entity)} {_are(many)} '}{named} {value}"
        if operator in ("<", ">") and field.phrase == "age" and simple:
            return f"{_that(entity)} {_are(many)} {'older' if operator == '>' else 'younger'} than {value}"
        if operator == "=" and simple and self._rng.random() < 0.35:
            return f"with the {name} {value}"
        if operator in COMPARED["number"] and simple and field.kind == "number" and self._rng.random() < 0.4:
            return f"with {name if is_plural(name) else a(name)} {self._compared(field, operator)} {value}"
        relation = self._relation(condition)
        if is_plural(name):
            verb, _, rest = relation.partition(" ")
            relation = f"{'are' if verb == 'is' else verb.removesuffix('s')} {rest}".rstrip()
        return f"whose {belongs} {relation} {value}"

    def _relation(self, condition: Condition) -> str:
        """The verb between column and value."""
        field, operator = condition.ref.field, condition.operator
        options: Sequence[str]
        if condition.fragment_at:
            options = FRAGMENTS[condition.fragment_at]
        elif operator == "=":
            options = ("is", "is", "equals") if field.kind in ("number", "rank") else ("is",)
        elif operator == "!=":
            options = ("is not", "is anything but", "is different from")
        elif operator == "in":
            options = ("is", "is either" if len(condition.values) == 2 else "is one of")
        elif operator == "between":
            options = ("is",)
        else:
            return f"is {self._compared(field, operator)}"
        return self._rng.choice(options)

    def _compared(self, field: Field, operator: str) -> str:
        kind = field.kind if field.kind in COMPARED else "number"
        return self._rng.choice(COMPARED[kind][operator])

    def _value(self, condition: Condition) -> str:
        if condition.nested:
            return self._figure(condition.nested)
        values = [self._shown(value, condition) for value in condition.values]
        return f"between {values[0]} and {values[1]}" if condition.operator == "between" else listed(values, "or")

    def _shown(self, value: Value, condition: Condition) -> str:
        """As it is; in quotes unless it reads as a number, a date or a name. What says yes and no is true or false."""
        if condition.ref.field.truth:
            return str(is_true(value)).lower()
        if not isinstance(value, str):
            return repr(value)
        kind = condition.ref.field.kind
        named = not condition.fragment_at and kind != "flag" and BARE.fullmatch(value)
        if kind in ("date", "year") or (named and self._rng.random() < 0.6):
            return value
        mark = self._rng.choice([mark for mark in ("'", '"') if mark not in value] or ['"'])
        return f"{mark}{value}{mark}"

    def _children(self, entity: Entity, condition: Condition, many: bool) -> str:
        """Whether there are rows below: "that have no artworks whose year is after 1900"."""
        assert condition.nested
        child = condition.nested.entity
        noun = dict(child.ends).get(entity.table, child.noun) if not condition.nested.where else child.noun
        that = _that(entity)
        if condition.operator == "in":
            text = f"{that} {_have(many)} at least one {noun}"
        else:
            text = self._rng.choice(
                (
                    f"{that} {_have(many)} no {plural(noun)}",
                    f"{that} {'do' if many else 'does'} not have any {plural(noun)}",
                    f"without any {plural(noun)}",
                )
            )
        filters = self.words(condition.nested, many=condition.operator == "not in")
        return f"{text} {filters}".rstrip()


def _merged(where: Sequence[Condition]) -> Condition | None:
    """One column with one of several values: "whose country is France or Italy"."""
    first = where[0]
    if any(condition.ref != first.ref or condition.operator != "=" for condition in where):
        return None
    return Condition(first.ref, "in", tuple(value for condition in where for value in condition.values))


def _is_said(condition: Condition) -> bool:
    """Whether a verb may say it: "that are active"."""
    return condition.ref.field.truth and condition.operator == "="


def _that(entity: Entity) -> str:
    return "who" if entity.is_person else "that"


def _have(many: bool) -> str:
    return "have" if many else "has"


def _are(many: bool) -> str:
    return "are" if many else "is"
