"""Query plans sampled from what a database holds: the kinds of queries that Spider has, sensible uses only.

Reads a `Profile`, gives `Plan`s. The same seed gives the same plans. Nothing is run here: whether a query
returns something worth asking for is for the caller to find out.
"""

from dataclasses import replace
from random import Random

from data.synthetic.draws import Draws, shown
from data.synthetic.nesting import by_children, compared, set_operation
from data.synthetic.plan import Having, Item, Order, Plan, Ref
from data.synthetic.profile import Profile

# How often each kind of query is tried. Those that many draws fail at are tried more often.
KINDS = {
    "list": 26, "top": 9, "count": 12, "figures": 11, "groups": 16, "parents": 16, "children": 10, "compared": 8,
    "sets": 16,
}  # fmt: skip
LIMITS = (1, 1, 1, 1, 3, 3, 5, 2, 4, 10)
ENOUGH = (1, 2, 2, 3, 4, 5)
# How often groups are shown all, sorted, those with enough rows, the first of them.
GROUPS = {"all": 30, "sorted": 8, "having": 25, "having sorted": 5, "most": 32}
NAMED = 0.15  # share of joins with the tables' own names in place of T1, T2


def draw(profile: Profile, rng: Random) -> Plan | None:
    """One plan; None where what was drawn does not fit the database."""
    draws = Draws(profile, rng)
    makers = {
        "list": _list, "top": _top, "count": _count, "figures": _figures, "groups": _groups, "parents": _parents,
        "children": by_children, "compared": compared, "sets": set_operation,
    }  # fmt: skip
    plan = makers[draws.pick([*KINDS], KINDS.values())](draws)
    if plan is None or _says_what_it_asks(plan) or not _needs_its_joins(plan):
        return None
    return _with_names(plan) if draws.chance(NAMED) else plan


def _with_names(plan: Plan) -> Plan:
    """With the tables' own names where they are joined."""
    combine = plan.combine and (plan.combine[0], replace(plan.combine[1], aliases=False))
    return replace(plan, aliases=False, combine=combine)


def _needs_its_joins(plan: Plan) -> bool:
    """Whether the last table is asked about, and no row goes missing in a join unasked."""
    last = len(plan.steps) - 1
    if not last or plan.shape in ("groups", "parents"):
        return True
    if any(condition.ref.place == last for condition in plan.where):
        return True
    is_shown = any(item.ref and item.ref.place == last for item in plan.select)
    return is_shown and not any(step.link and step.link.column.nulls for step in plan.steps)


def _says_what_it_asks(plan: Plan) -> bool:
    """Whether a column is shown of which one value is allowed."""
    known = {one.ref for one in plan.where if one.operator in ("=", "is null")}
    return plan.connector == "and" and any(item.ref in known for item in (*plan.select, Item("", plan.group)))


def _list(draws: Draws) -> Plan | None:
    steps = draws.path("alone", "alone", "alone", "up", "up", "down", "up-up", "across")
    if steps is None:
        return None
    # A row of the main table comes once for each row below it.
    many = len(steps) > 1 and not steps[1].up
    items = draws.columns(steps, most=2 if many else 3)
    where, connector = draws.where(steps, 0.65)
    beyond = any(item.ref and item.ref.place for item in items)
    if not items or (len(steps) > 1 and not where and not beyond):
        return None
    countable = len(items) == 1 and not beyond and items[0].ref and items[0].ref.field.kind not in ("number", "code")
    distinct = many or (bool(countable) and draws.chance(0.3))
    entity = steps[0].entity
    fields = [field for field in entity.fields if (field.ordered or field in entity.label) and field.kind != "key"]
    fields = [field for field in fields if not field.nulls]
    order = None
    if fields and not distinct and draws.chance(0.25):
        order = Order(Item("", Ref(0, draws.rng.choice(fields))), draws.chance(0.5))
    return Plan("list", steps, items, distinct, where, connector, order=order)


def _top(draws: Draws) -> Plan | None:
    """The first few rows by a column."""
    steps = draws.path("alone", "alone", "up")
    if steps is None:
        return None
    fields = [field for field in steps[0].entity.fields if field.ordered and not field.nulls]
    items = draws.columns(steps, most=2)
    if not fields or not items:
        return None
    where, connector = draws.where(steps, 0.4, most=1)
    beyond = any(item.ref and item.ref.place for item in items)
    if len(steps) > 1 and not where and not beyond:
        return None
    order = Order(Item("", Ref(0, draws.rng.choice(fields))), draws.chance(0.6))
    return Plan("list", steps, items, False, where, connector, order=order, limit=draws.rng.choice(LIMITS))


def _count(draws: Draws) -> Plan | None:
    steps = draws.path("alone", "alone", "up", "up-up")
    if steps is None:
        return None
    where, connector = draws.where(steps, 0.7)
    if len(steps) > 1 and not where:
        return None
    item = Item("count", None)
    fields = [
        field for field in shown(steps[0].entity) if field.repeats and field.kind not in ("flag", "number", "code")
    ]
    if fields and draws.chance(0.25):
        item = Item("count", Ref(0, draws.rng.choice(fields)), distinct=True)
    return Plan("count", steps, (item,), where=where, connector=connector)


def _figures(draws: Draws) -> Plan | None:
    """Aggregates of one column, or of several."""
    steps = draws.path("alone", "alone", "up")
    if steps is None:
        return None
    first = draws.measure(steps, 0)
    where, connector = draws.where(steps, 0.5)
    if first is None or (len(steps) > 1 and not where):
        return None
    items = [first]
    for _ in range(draws.pick((0, 1, 2), (6, 2, 1))):
        same = [Item(kind, first.ref) for kind, field in draws.measures(steps, 0) if Ref(0, field) == first.ref]
        item = draws.rng.choice(same) if draws.chance(0.7) else draws.measure(steps, 0)
        if item and item not in items:
            items.append(item)
    return Plan("figures", steps, tuple(items), where=where, connector=connector)


def _groups(draws: Draws) -> Plan | None:
    """Figures of the rows that share a value of the main table, or of one that it points at."""
    steps = draws.path("alone", "alone", "alone", "up", "up-up")
    if steps is None:
        return None
    fields = [field for field in steps[-1].entity.fields if field.groups]
    if not fields:
        return None
    by = Ref(len(steps) - 1, draws.rng.choice(fields))
    plan = Plan("groups", steps, (Item("", by),), group=by)
    if draws.chance(0.3):
        where, connector = draws.conditions.draw(steps, [0], avoid=by.field)
        plan = replace(plan, where=where, connector=connector)
    plan = _grouped(draws, plan, figures_at=0)
    swapped = len(plan.select) == 2 and draws.chance(0.3)
    return replace(plan, select=plan.select[::-1]) if swapped else plan


def _parents(draws: Draws) -> Plan | None:
    """Figures of the rows below each row of the main table: how many, their average."""
    steps = draws.path("down")
    if steps is None or steps[0].entity.key is None or not steps[0].entity.label:
        return None
    shows = tuple(Item("", Ref(0, field)) for field in steps[0].entity.label)
    plan = Plan("parents", steps, shows, group=Ref(0, steps[0].entity.key))
    if draws.chance(0.3):
        where, connector = draws.conditions.draw(steps, [draws.rng.choice((0, 1, 1))])
        plan = replace(plan, where=where, connector=connector)
    return _grouped(draws, plan, figures_at=1)


def _grouped(draws: Draws, plan: Plan, figures_at: int) -> Plan:
    """Groups shown with a figure, or only those that have enough rows, or the first by a figure."""
    what = draws.pick([*GROUPS], GROUPS.values())
    kinds = ("avg", "sum") if what == "most" else ()  # "the highest maximum" is not asked for
    figure = draws.measure(plan.steps, figures_at, *kinds) if draws.chance(0.35) else None
    if figure is None or figure.ref == plan.group:  # what a group shares has no average in it
        figure = Item("count", None)
    with_figure = replace(plan, select=(*plan.select, figure))
    # Who has none does not come up in a join, so that "the fewest" would leave them out.
    only_down = plan.shape == "parents" and figure.aggregate in ("count", "sum")
    order = Order(figure, only_down or draws.chance(0.7))
    if "having" in what:
        having = Having(Item("count", None), draws.rng.choice((">", ">=")), draws.rng.choice(ENOUGH))
        if what == "having sorted":
            return replace(with_figure, having=having, order=order)
        return replace(with_figure if draws.chance(0.4) else plan, having=having)
    if what == "most":
        limit = draws.rng.choice((1, 1, 1, 1, 3, 2, 5))
        return replace(with_figure if draws.chance(0.35) else plan, order=order, limit=limit)
    return replace(with_figure, order=order if what == "sorted" else None)
