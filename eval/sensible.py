"""Whether a sampled query is worth asking: it returns something, and each of its parts does something.

Runs a `Plan` and the queries beside it in the sandbox; writes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from data.synthetic.plan import Check, Plan, checks, to_sql
from eval.pool import Sandbox
from eval.sandbox import Outcome, Row

MOST_GAPS = 0.2  # share of NULL among the values of a result
# Why a query is not kept, in words for the user.
DIFFERS: dict[Check, str] = {
    "filter": "a filter that changes nothing",
    "inner": "a filter that changes nothing",
    "having": "a filter that changes nothing",
    "distinct": "a DISTINCT that changes nothing",
    "left": "a set operation that changes nothing",
}
TIED, EMPTY, NOTHING, GAPS = "a tie at LIMIT", "no rows", "a count of zero or a single group", "NULLs"


def refusals(sandbox: Sandbox, database: Path, plans: Sequence[Plan]) -> Iterator[str | None]:
    """For each plan, in order, why it is not worth asking; None where it is."""
    beside = [[(None, plan), *checks(plan)] for plan in plans]
    jobs = [(database, to_sql(plan)) for some in beside for _, plan in some]
    outcomes = sandbox.map(jobs)
    for plan, some in zip(plans, beside, strict=True):
        first, *others = islice(outcomes, len(some))
        named = [(check, outcome) for (check, _), outcome in zip(some[1:], others, strict=True) if check]
        yield _refusal(plan, first, named)


def _refusal(plan: Plan, outcome: Outcome, others: Iterable[tuple[Check, Outcome]]) -> str | None:
    if outcome.category != "ok":
        return f"did not run: {outcome.category}"
    rows = outcome.rows
    if reason := _emptiness(plan, rows):
        return reason
    for check, other in others:
        if check == "cut":
            if _is_tied(other.rows, plan.limit or 0):
                return TIED
            continue
        same = other.category == "ok" and Counter(other.rows) == Counter(rows)
        if same and (check != "right" or (plan.combine and plan.combine[0] != "except")):
            return DIFFERS.get(check, DIFFERS["left"])
    return None


def _emptiness(plan: Plan, rows: Sequence[Row]) -> str | None:
    if not rows:
        return EMPTY
    cells = [cell for row in rows for cell in row]
    if not all(map(_says, rows)) or cells.count(None) > MOST_GAPS * len(cells):
        return GAPS
    if plan.shape == "count" and not any(cells):
        return NOTHING
    if plan.shape in ("groups", "parents") and not plan.limit and not plan.having and len(rows) < 2:
        return NOTHING
    places = [place for place, item in enumerate(plan.select) if plan.shape == "groups" and not item.aggregate]
    return GAPS if any(row[place] is None for row in rows for place in places) else None


def _says(row: Row) -> bool:
    return any(cell is not None for cell in row)


def _is_tied(rows: Sequence[Row], limit: int) -> bool:
    """Whether LIMIT cuts nothing off, or leaves open which rows come first. The last cell is the sort key."""
    keys = [row[-1] for row in rows]
    return len(rows) <= limit or None in keys or len(set(keys)) < len(keys)
