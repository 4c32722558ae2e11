"""Sampled queries that hold others: NOT IN, comparison with a figure, set operations.

Gives `Plan`s of parts from `data/synthetic/draws.py`.
"""

from data.synthetic.draws import Draws
from data.synthetic.plan import Aggregate, Condition, Item, Plan, Ref, Step
from data.synthetic.profile import Entity, Field


def by_children(draws: Draws) -> Plan | None:
    """Rows whose key is among those of another table, or is not."""
    steps = draws.path("down")
    if steps is None or steps[1].link is None:
        return None
    operator = draws.pick(("not in", "in"), (7, 3))
    link, main, child = steps[1].link, steps[:1], (Step(steps[1].entity),)
    where: tuple[Condition, ...] = ()
    if operator == "in" or draws.chance(0.4):
        where, _ = draws.conditions.draw(child, [0])
        if not where:
            return None
    nested = Plan("list", child, (Item("", Ref(0, link.column)),), where=where)
    conditions: tuple[Condition, ...] = (Condition(Ref(0, link.parent_column), operator, nested=nested),)
    if draws.chance(0.2):
        conditions = (*draws.conditions.draw(main, [0])[0], *conditions)
    return _rows_or_number(draws, main, conditions, 0.3)


def _rows_or_number(draws: Draws, steps: tuple[Step, ...], where: tuple[Condition, ...], number: float) -> Plan | None:
    if draws.chance(number):
        return Plan("count", steps, (Item("count", None),), where=where)
    items = draws.columns(steps, most=2)
    return Plan("list", steps, items, where=where) if items else None


def compared(draws: Draws) -> Plan | None:
    """Rows above the average, at the extreme, beyond all of a kind, or beyond a named one."""
    steps = draws.path("alone")
    if steps is None:
        return None
    entity = steps[0].entity
    fields = [field for field in entity.fields if field.ordered and field.kind in ("number", "year", "date")]
    if not fields:
        return None
    field = draws.rng.choice(fields)
    kinds = {"average": 4 if field.kind == "number" else 0, "extreme": 2, "beyond": 2, "named": 2}
    kind = draws.pick([*kinds], kinds.values())
    aggregate: Aggregate = draws.rng.choice(("max", "min"))
    operator, inner = "=", tuple[Condition, ...]()
    if kind == "average":
        aggregate, operator = "avg", draws.rng.choice("><")
    elif kind == "beyond":
        operator = ">" if aggregate == "max" else "<"
        inner, _ = draws.conditions.draw(steps, [0], avoid=field)
    elif kind == "named":
        aggregate, operator = "", draws.rng.choice("><")
        name = draws.conditions.named(entity)
        inner = (name,) if name else ()
    if kind in ("beyond", "named") and not inner:
        return None
    ref = Ref(0, field)
    nested = Plan("figures" if aggregate else "list", steps, (Item(aggregate, ref),), where=inner)
    where: tuple[Condition, ...] = (Condition(ref, operator, nested=nested),)
    if kind == "average" and draws.chance(0.2):
        where = (*draws.conditions.draw(steps, [0], avoid=field)[0], *where)
    return _rows_or_number(draws, steps, where, 0.0 if operator == "=" else 0.25)


def set_operation(draws: Draws) -> Plan | None:
    """Values of a column, or names of rows, by what holds on two sides."""
    operation = draws.pick(("intersect", "except", "union"), (7, 5, 4))
    steps = draws.path("alone", "down")
    if steps is None:
        return None
    if operation == "union":
        return _union(draws, steps)
    last = len(steps) - 1
    if last:
        by, avoid = _unique_name(steps[0].entity), None
    else:
        fields = [field for field in steps[0].entity.fields if field.groups and field.kind != "flag"]
        by = avoid = draws.rng.choice(fields) if fields else None
    if by is None:
        return None
    items = (Item("", Ref(0, by)),)
    if operation == "except":
        where, _ = draws.conditions.draw(steps, [last], avoid=avoid)
        return (
            Plan("list", steps[:1], items, combine=("except", Plan("list", steps, items, where=where)))
            if where
            else None
        )
    pair = draws.conditions.pair(steps[last].entity, last, avoid=avoid)
    if pair is None:
        return None
    left, right = (Plan("list", steps, items, where=(condition,)) for condition in pair)
    return Plan("list", steps, items, where=left.where, combine=("intersect", right))


def _union(draws: Draws, steps: tuple[Step, ...]) -> Plan | None:
    named = _unique_name(steps[0].entity)
    if named is None:
        return None
    left, _ = draws.conditions.draw(steps[:1], [0], avoid=named)
    right, _ = draws.conditions.draw(steps, [len(steps) - 1], avoid=named)
    if not left or not right or left[0].ref == right[0].ref:
        return None
    items = (Item("", Ref(0, named)),)
    return Plan("list", steps[:1], items, where=left, combine=("union", Plan("list", steps, items, where=right)))


def _unique_name(entity: Entity) -> Field | None:
    """The column that names each row, and no other row."""
    if len(entity.label) != 1 or entity.label[0].kind == "key":
        return None
    (field,) = entity.label
    return None if field.repeats or field.nulls else field
