"""Noun phrases of a query plan: the rows asked about, their columns, figures of them.

Reads parts of a `Plan`, gives English that `data/synthetic/wording.py` puts into questions.
"""

from collections.abc import Sequence
from random import Random

from data.synthetic.filters import Filters, called
from data.synthetic.nouns import listed, plural
from data.synthetic.plan import Item, Plan, Ref
from data.synthetic.profile import Field

AGGREGATES = {
    "avg": ("average", "average", "mean"),
    "sum": ("total",),
    "max": ("maximum", "highest"),
    "min": ("minimum", "lowest"),
}
TIMES = {"max": ("latest", "most recent"), "min": ("earliest",)}
DIFFERENT = ("different", "distinct", "different", "unique")
ASK_MANY = ("What are", "List", "Show", "Give me", "Find", "Tell me", "Return", "Please list", "Get", "I want to know")
ASK_ONE = ("What is", "What is", "Show", "Give me", "Find", "Tell me", "Return")


class Phrases:
    """Noun phrases, choosing among phrasings by `rng`."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.filters = Filters(rng, self._nested)

    def one_of(self, *options: str) -> str:
        return self._rng.choice(options)

    def ask(self, what: str, single: bool) -> str:
        """A request for something: a question if it begins with "What"."""
        start = self._rng.choice(ASK_ONE if single else ASK_MANY)
        return f"{start} {what}{'?' if start.startswith('What') else '.'}"

    def things(self, plan: Plan, many: bool = True) -> str:
        """The rows asked about, with their filters: "artists whose country is Italy"."""
        noun = plural(plan.entity.noun) if many else plan.entity.noun
        return f"{noun} {self.filters.words(plan, many)}".rstrip()

    def column(self, plan: Plan, ref: Ref, many: bool) -> str:
        """A column's name, with that of what it belongs to where this is another table."""
        name, step = called(ref.field, many), plan.steps[ref.place]
        if not ref.place or not step.up:
            return name
        assert step.link
        # A column that is called like its table needs no owner: the continent's continent, the order's order time.
        is_called_so = f"{ref.field.phrase} ".startswith(f"{step.link.role} ")
        return name if is_called_so else f"{step.link.role} {name}"

    def columns(self, plan: Plan, items: Sequence[Item], many: bool) -> str:
        return listed([self.column(plan, item.ref, many) for item in items if item.ref])

    def different(self) -> str:
        return self._rng.choice(DIFFERENT)

    def aggregate(self, item: Item, bare: bool = False) -> str:
        """What an aggregate is called, without its column if `bare`."""
        assert item.ref
        field = item.ref.field
        options = TIMES if field.kind in ("year", "date") else AGGREGATES
        kind = self._rng.choice(options[item.aggregate])
        return kind if bare else f"{kind} {called(field)}"

    def figure(self, item: Item, things: str) -> str:
        """An aggregate of things: "the average price of products"."""
        name = "number" if item.ref is None else self.aggregate(item)
        return f"the {name} of {things}"

    def extreme(self, field: Field, high: bool) -> str:
        """The word for one end of a column's values."""
        if field.kind in ("year", "date"):
            return self._rng.choice(TIMES["max" if high else "min"])
        return self.one_of("highest", "largest", "greatest") if high else self.one_of("lowest", "smallest")

    def _nested(self, plan: Plan) -> str:
        """The figure of a nested query; of a named row where nothing is aggregated."""
        (item,) = plan.select
        if item.aggregate and plan.where:
            return self.figure(item, self.things(plan))
        if item.aggregate:  # of the column that is compared with it
            of_all = self.one_of("", f" of all {self.things(plan)}", f" of {self.things(plan)}")
            return f"the {self.aggregate(item, bare=self.one_of('bare', 'full') == 'bare')}{of_all}"
        return f"that of the {self.things(plan, many=False)}"
