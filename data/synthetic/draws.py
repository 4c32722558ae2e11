"""What every kind of sampled query is made of: tables joined along keys, columns, filters, figures.

Reads a `Profile`; the kinds of queries themselves are in `data/synthetic/grammar.py` and `data/synthetic/nesting.py`.
"""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Literal, TypeVar

from data.synthetic.conditions import Conditions
from data.synthetic.plan import Aggregate, Condition, Item, Ref, Step
from data.synthetic.profile import Entity, Field, Link, Profile

Path = Literal["alone", "up", "up-up", "down", "across"]
Where = tuple[tuple[Condition, ...], Literal["and", "or"]]
T = TypeVar("T")

# How likely a column is shown, by its kind.
SHOWN = {"name": 6, "category": 4, "text": 4, "number": 3, "year": 3, "date": 3, "rank": 2, "code": 1, "flag": 0.2}
# Adding these up says nothing.
NOT_ADDED = {
    "accelerate", "acceleration", "age", "altitude", "average", "density", "depth", "discount", "elevation",
    "expectancy", "grade", "height", "maximum", "minimum", "MPG", "per", "percent", "percentage",
    "pressure", "rate", "rating", "ratio", "score", "speed", "temperature", "weight", "width",
}  # fmt: skip


class Draws:
    """Draws parts of queries over one database."""

    def __init__(self, profile: Profile, rng: Random) -> None:
        self.rng = rng
        self.conditions = Conditions(rng)
        self._profile = profile
        self._mains = [entity for entity in profile.entities.values() if shown(entity)]

    def pick(self, options: Sequence[T], weights: Iterable[float]) -> T:
        return self.rng.choices(options, [*weights])[0]

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def path(self, *kinds: Path) -> tuple[Step, ...] | None:
        """A main table, and those joined to it in one of these ways; None where its keys do not allow it."""
        if not self._mains:
            return None
        kind, main = self.rng.choice(kinds), self.rng.choice(self._mains)
        path: tuple[Step, ...] | None = (Step(main),)
        if kind == "alone":
            return path
        if kind in ("up", "up-up"):
            for _ in kind.split("-"):
                path = self._climb(path)
            return path
        downs = [link for link in self._profile.links if link.parent == main.table and link.plain]
        downs = [link for link in downs if link.column.repeats]  # several rows to one
        if not downs:
            return None
        link = self.rng.choice(downs)
        path = (Step(main), Step(self._profile.entities[link.child], link, up=False))
        return path if kind == "down" else self._climb(path, link)

    def _climb(self, path: tuple[Step, ...] | None, known: Link | None = None) -> tuple[Step, ...] | None:
        """One table more, that the last one points at; never back to one before it."""
        if path is None:
            return None
        seen, own = {step.entity.table for step in path[:-1]}, path[-1].entity.table
        ups = [link for link in self._profile.links if link.child == own and link != known and link.parent not in seen]
        if not ups:
            return None
        link = self.rng.choice(ups)
        return (*path, Step(self._profile.entities[link.parent], link))

    def columns(self, steps: Sequence[Step], most: int = 3) -> tuple[Item, ...]:
        """What is shown of the main table, now and then with a column of a table that it points at."""
        entity = steps[0].entity
        chosen = [*entity.label] if len(entity.label) <= most and self.chance(0.7) else []
        chosen += self._some(entity, self.pick((1, 2, 3), (6, 3, 1)[:3]) - len(chosen), chosen)
        items = [Item("", Ref(0, field)) for field in chosen[:most]]
        if len(steps) > 1 and steps[1].up and 0 < len(items) < most and self.chance(0.35):
            last = len(steps) - 1
            items += [Item("", Ref(last, field)) for field in self._some(steps[last].entity, 1, chosen)]
        return tuple(items)

    def _some(self, entity: Entity, number: int, but: Sequence[Field]) -> list[Field]:
        fields, chosen = [field for field in shown(entity) if field not in but], list[Field]()
        while fields and len(chosen) < number:
            chosen.append(self.pick(fields, [SHOWN[field.kind] for field in fields]))
            fields.remove(chosen[-1])
        return chosen

    def where(self, steps: Sequence[Step], chance: float, most: int = 2) -> Where:
        """Filters; always some on the last of several tables, which would not be needed otherwise."""
        last = len(steps) - 1
        if not last and not self.chance(chance):
            return (), "and"
        number = min(self.pick((1, 2), (3, 1)), most)
        return self.conditions.draw(steps, [last, *(self.rng.choice((0, last)) for _ in range(number - 1))])

    def measures(self, steps: Sequence[Step], place: int) -> list[tuple[Aggregate, Field]]:
        """The figures that mean something, of a table's columns."""
        found: list[tuple[Aggregate, Field]] = []
        for field in steps[place].entity.fields:
            if field.ordered and field.kind in ("number", "year", "date"):
                found += [("max", field), ("min", field)]
            if field.kind == "number" and field.distinct > 1:
                found += [("avg", field)] * 2
                if not set(field.phrase.split()) & NOT_ADDED:
                    found.append(("sum", field))
        return found

    def measure(self, steps: Sequence[Step], place: int, *kinds: Aggregate) -> Item | None:
        """One figure, of these kinds if any are given."""
        measures = [(kind, field) for kind, field in self.measures(steps, place) if not kinds or kind in kinds]
        if not measures:
            return None
        aggregate, field = self.rng.choice(measures)
        return Item(aggregate, Ref(place, field))


def shown(entity: Entity) -> list[Field]:
    """Columns worth showing."""
    return [field for field in entity.fields if field.kind in SHOWN and field.rows]
