"""What the texts of pairs tell by themselves: the same twice, two answers to one question, leaks between splits.

Reads nothing and writes nothing; `check.py` collects what it finds. Costs grow with the number of
pairs alone: pairs meet in dictionaries, not each with each.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from pipeline.checkup.facts import Finding, Item
from pipeline.splits import DEV, SELECT, TEST, TRAIN

IN_ORDER = {name: number for number, name in enumerate((TRAIN, SELECT, DEV, TEST))}
# Words that a question can have or lack without asking for something else.
_FILLERS = """a all an any are can could display do does find for get give has have i is it its list me of please return
show tell that the their them there these they this those to us was we were what whats which whose would you your"""
FILLERS = frozenset(_FILLERS.split())


def duplicates(items: Sequence[Item]) -> Iterator[Finding]:
    """Pairs whose question and SQL were there before, in the same database and split."""
    for group in _groups(items, lambda item: (item.pair.db_id, item.split, item.question, item.query)):
        for item in group[1:]:
            yield Finding(item, f"the same as {group[0].pair.place}")


def contradictions(items: Sequence[Item], results: Mapping[Item, str]) -> Iterator[tuple[Finding, bool]]:
    """Pairs that ask the same as an earlier one and answer with other SQL, and whether it returns the same.

    `results` are digests of what queries return.
    """
    for group in _groups(items, lambda item: (item.pair.db_id, item.question)):
        yield from _other_sql(group, "answers the same question with", results)


def near_duplicates(items: Sequence[Item], results: Mapping[Item, str]) -> Iterator[tuple[Finding, bool]]:
    """Pairs whose question has the same words as an earlier one, in any order, with other SQL; as `contradictions`."""
    for group in _groups(items, lambda item: (item.pair.db_id, _words(item.question))):
        first = group[0].question
        rest = [item for item in group[1:] if item.question != first]
        yield from _other_sql([group[0], *rest], "asks in the same words, answered with", results)


def _other_sql(group: Sequence[Item], words: str, results: Mapping[Item, str]) -> Iterator[tuple[Finding, bool]]:
    first, seen = group[0], {group[0].query}
    for item in group[1:]:
        if item.query not in seen:
            seen.add(item.query)
            same = first in results and results[first] == results.get(item)
            end = " (both return the same here)" if same else ""
            yield Finding(item, f"{first.pair.place} {words}: {' '.join(first.pair.query.split())}{end}"), same


def leaks(items: Sequence[Item]) -> Iterator[Finding]:
    """Pairs whose question or SQL, in the same database, is in an earlier split too: train, select, dev, test."""
    ordered = sorted(items, key=lambda item: IN_ORDER[item.split])
    questions: dict[Hashable, Item] = {}
    queries: dict[Hashable, Item] = {}
    for item in ordered:
        question = questions.setdefault((item.pair.db_id, item.question), item)
        query = queries.setdefault((item.pair.db_id, item.query), item)
        if question.split != item.split:
            both = " and SQL" if question.query == item.query else ""
            yield Finding(item, f"the question{both} of {question.pair.place}, which is in {question.split}")
        elif query.split != item.split:
            yield Finding(item, f"the SQL of {query.pair.place}, which is in {query.split}: {query.pair.question}")


def _groups(items: Sequence[Item], key: Callable[[Item], Hashable]) -> Iterator[list[Item]]:
    """The items that share a key, where there are several."""
    groups: dict[Hashable, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return (group for group in groups.values() if len(group) > 1)


def _words(question: str) -> tuple[str, ...]:
    """Words in alphabetical order, without fillers and the endings of plurals."""
    words = re.findall(r"\w+", question.replace("'s", ""))
    telling = [word for word in words if word not in FILLERS] or words
    return tuple(sorted(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in telling))
