"""Filters sampled from the values of columns: what `data/synthetic/grammar.py` puts into WHERE.

Reads the fields of a `Profile`, gives `Condition`s with values that the database holds.
"""

import re
from collections.abc import Sequence
from random import Random
from typing import Literal

from data.synthetic.kinds import Value
from data.synthetic.plan import Condition, Ref, Step
from data.synthetic.profile import Entity, Field

# How often each comparison is drawn, by the kind of the column.
OPERATORS: dict[str, dict[str, float]] = {
    "name": {"=": 4, "like": 4, "!=": 0.3},
    "category": {"=": 12, "!=": 2, "like": 1, "in": 0.7},
    "text": {"=": 6, "like": 4, "!=": 1, "in": 0.3},
    "number": {">": 5, "<": 4, ">=": 2, "<=": 2, "between": 3, "=": 2},
    "rank": {"=": 4, ">": 2, "<": 2, ">=": 0.5, "between": 0.5},
    "year": {">": 4, "<": 4, ">=": 1, "<=": 1, "between": 3, "=": 3, "!=": 0.3},
    "date": {">": 4, "<": 4, "between": 2, ">=": 1},
    "flag": {"=": 1},
    "code": {"=": 1},
}
# How often a column is drawn, by its kind.
WEIGHTS = {
    "name": 1.5, "category": 6, "text": 2.5, "number": 4, "rank": 2, "year": 3, "date": 2, "flag": 1, "code": 0.2,
}  # fmt: skip
MISSING = 0.06  # share of filters on a column with gaps that ask for them
SHORTEST_WORD = 3


class Conditions:
    """Draws filters."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def draw(
        self, steps: Sequence[Step], places: Sequence[int], avoid: Field | None = None
    ) -> tuple[tuple[Condition, ...], Literal["and", "or"]]:
        """One filter on a column of each place, and what connects them. Fewer where columns are lacking."""
        chosen: list[Condition] = []
        connector: Literal["and", "or"] = "and"
        for place in places:
            taken = [avoid, *(condition.ref.field for condition in chosen)]
            first = chosen[-1] if chosen else None
            if first and first.operator == "=" and first.ref.place == place and self._rng.random() < 0.3:
                again = self._another(first)
                if again:
                    return (first, again), "or"
            field = self._field(steps[place].entity, taken)
            condition = field and self._on(Ref(place, field))
            if condition:
                chosen.append(condition)
        if len({condition.ref.place for condition in chosen}) == 1 and len(chosen) > 1 and self._rng.random() < 0.25:
            connector = "or"
        return tuple(sorted(chosen, key=lambda condition: condition.ref.place)), connector

    def pair(self, entity: Entity, place: int, avoid: Field | None) -> tuple[Condition, Condition] | None:
        """Two filters on one column that no row passes both."""
        fields = [field for field in _usable(entity, [avoid]) if field.kind in ("category", "number", "year", "date")]
        if not fields:
            return None
        ref = Ref(place, self._rng.choice(fields))
        if ref.field.kind == "category":
            values = [*ref.field.values[:10]]
            if len(values) < 2:
                return None
            one, two = self._rng.sample(values, 2)
            return Condition(ref, "=", (one,)), Condition(ref, "=", (two,))
        low, high = self._range(ref.field)
        return Condition(ref, ">", (high,)), Condition(ref, "<", (low,))

    def named(self, entity: Entity) -> Condition | None:
        """The row of one name, where names are unique."""
        fields = [field for field in entity.label if field.kind in ("name", "text") and not field.repeats]
        if len(entity.label) != 1 or not fields or not fields[0].values:
            return None
        return Condition(Ref(0, fields[0]), "=", (self._rng.choice(fields[0].values),))

    def _field(self, entity: Entity, taken: Sequence[Field | None]) -> Field | None:
        fields = _usable(entity, taken)
        return self._rng.choices(fields, [WEIGHTS[field.kind] for field in fields])[0] if fields else None

    def _another(self, first: Condition) -> Condition | None:
        if first.ref.field.distinct <= 2:  # either of two values is any
            return None
        values = [value for value in first.ref.field.values[:20] if value not in first.values]
        return Condition(first.ref, "=", (self._rng.choice(values),)) if values else None

    def _on(self, ref: Ref) -> Condition | None:
        field = ref.field
        if field.nulls and self._rng.random() < MISSING:
            return Condition(ref, self._rng.choice(("is null", "is not null")))
        weights = OPERATORS[field.kind]
        operator = self._rng.choices([*weights], [*weights.values()])[0]
        if operator == "like":
            return self._like(ref)
        if operator == "between":
            low, high = self._range(field)
            return Condition(ref, operator, (low, high)) if low != high else None
        if operator in (">", "<", ">=", "<="):
            return Condition(ref, operator, (self._rng.choice(self._range(field)),))
        # Values that rows share are asked for more often than those of one row.
        values = field.values if self._rng.random() < 0.5 else field.values[:12]
        if operator == "in":
            number = self._rng.choice((2, 2, 3))
            return Condition(ref, operator, tuple(self._rng.sample(values, number))) if len(values) > number else None
        return Condition(ref, operator, (self._rng.choice(values),))

    def _range(self, field: Field) -> tuple[Value, Value]:
        """Two values of the column away from its ends, the smaller first."""
        values = sorted(field.values)
        inner = values[len(values) // 8 : len(values) - len(values) // 8] or values
        low, high = sorted(self._rng.choices(inner, k=2))
        return low, high

    def _like(self, ref: Ref) -> Condition | None:
        """A word of a value, or the letters that it begins or ends with."""
        value = str(self._rng.choice(ref.field.values))
        found = [word for word in re.findall(r"[^\W_]+", value) if len(word) >= SHORTEST_WORD and not word.isdigit()]
        if not found:
            return None
        kind = self._rng.choice(("inside", "inside", "start", "start", "end"))
        if kind == "inside":
            return Condition(ref, "like", (self._rng.choice(found),), fragment_at="inside")
        if kind == "start" and value.startswith(found[0]):
            return Condition(ref, "like", (found[0][: self._rng.choice((1, 1, 2, 20))],), fragment_at="start")
        if kind == "end" and value.endswith(found[-1]):
            return Condition(ref, "like", (found[-1][-self._rng.choice((1, 2, 3)) :],), fragment_at="end")
        return None


def _usable(entity: Entity, taken: Sequence[Field | None]) -> list[Field]:
    return [
        field
        for field in entity.fields
        if field.kind in WEIGHTS and field.values and field.distinct > 1 and field not in taken
    ]
