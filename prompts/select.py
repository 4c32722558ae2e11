"""Choice of the n examples that an n-shot prompt shows.

Reads a pool of training examples; never gives one of the database asked about (unless told to), nor
the same question. The most alike comes last, next to the new question.
"""

import random
from collections.abc import Callable, Sequence
from typing import Literal

from data.examples import Example

Choice = Literal["random", "keyword"]
Chooser = Callable[[Example, int], list[Example]]


def make_chooser(choice: Choice, pool: Sequence[Example], seed: int, same_database: bool = False) -> Chooser:
    """A function from (example asked, n) to at most n examples of the pool."""
    rank = _random_order(pool, seed) if choice == "random" else _keyword_order(pool)

    def choose(asked: Example, count: int) -> list[Example]:
        chosen: list[Example] = []
        for place in rank(asked) if count else ():
            candidate = pool[place]
            same = _fold(candidate.question) == _fold(asked.question)
            if not same and (same_database or candidate.db_id != asked.db_id):
                chosen.append(candidate)
            if len(chosen) == count:
                break
        return chosen[::-1]

    return choose


def _fold(question: str) -> str:
    return " ".join(question.lower().split())


def _random_order(pool: Sequence[Example], seed: int) -> Callable[[Example], Sequence[int]]:
    # Seeded by the question asked, so that one example's shots do not depend on the others.
    return lambda asked: random.Random(f"{seed}:{asked.id}").sample(range(len(pool)), len(pool))


def _keyword_order(pool: Sequence[Example]) -> Callable[[Example], Sequence[int]]:
    """Best first by BM25 over the words of the questions."""
    import bm25s

    texts = [example.question for example in pool]
    words_of_pool = bm25s.tokenize(texts, return_ids=False, show_progress=False)
    if not any(words_of_pool):
        return lambda asked: range(len(pool))
    index = bm25s.BM25()
    index.index(words_of_pool, show_progress=False)

    def rank(asked: Example) -> Sequence[int]:
        (words,) = bm25s.tokenize([asked.question], return_ids=False, show_progress=False)
        if not words:
            return range(len(pool))
        scores = index.get_scores(words)
        order: list[int] = (-scores).argsort(kind="stable").tolist()
        return order

    return rank
