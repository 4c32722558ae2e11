"""Several queries for one question: which of them to believe.

Works on what the sandbox returned. Queries vote by their results, those that fail have no vote.
"""

from collections.abc import Sequence

from eval.sandbox import Outcome
from eval.verdict import is_ordered, same_result


def commonest(queries: Sequence[str], outcomes: Sequence[Outcome]) -> int:
    """The place of the first query whose result most others share; of several such results, the one that came first.

    Results are the same by the rules of scoring, in order where both queries ask for one. 0 where all fail.
    """
    groups: list[list[int]] = []
    for place, (query, outcome) in enumerate(zip(queries, outcomes, strict=True)):
        if outcome.category != "ok":
            continue
        for group in groups:
            ordered = is_ordered(query) and is_ordered(queries[group[0]])
            if same_result(outcomes[group[0]].rows, outcome.rows, ordered):
                group.append(place)
                break
        else:
            groups.append([place])
    return max(groups, key=len)[0] if groups else 0
