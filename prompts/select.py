"""Choice of the n examples that an n-shot prompt shows.

Reads a pool of training examples; never gives one of the database asked about (unless told to), nor
the same question. The most alike comes last, next to the new question.
"""

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data.examples import Example
from prompts.embed import Embed
from prompts.skeleton import likeness, question_skeleton, schema_names, sql_skeleton

Choice = Literal["random", "keyword", "vector", "skeleton"]
Chooser = Callable[[Example, int], list[Example]]
Scores = NDArray[np.floating[Any]]
# Places in the pool, best first: of those allowed, at most so many.
_Ranking = Callable[[Example, NDArray[np.bool_], int], Sequence[int]]

NEAREST = 32  # by their questions; these vote on the form of the answer, and are ranked by it
SHARPNESS = 5.0  # a neighbour whose question is 0.2 less alike has a vote that is e times smaller
BLOCK = 256  # questions whose likeness to the whole pool is computed at once


def make_chooser(
    choice: Choice,
    pool: Sequence[Example],
    seed: int,
    same_database: bool = False,
    embed: Embed | None = None,
    ahead: Sequence[Example] = (),
) -> Chooser:
    """A function from (example asked, n) to at most n examples of the pool. It never looks at the query asked for.

    `vector` needs `embed`; `skeleton` uses it in place of shared words where it is given. Both are quick for those
    known `ahead`, asked about in that order: they are embedded and compared with the pool many at a time.
    """
    rank = _ranking(choice, pool, seed, embed, ahead)
    names = {name: number for number, name in enumerate(dict.fromkeys(example.db_id for example in pool))}
    databases = np.array([names[example.db_id] for example in pool], dtype=np.int64)
    questions: dict[str, list[int]] = defaultdict(list)
    for place, example in enumerate(pool):
        questions[_fold(example.question)].append(place)

    def choose(asked: Example, count: int) -> list[Example]:
        allowed = np.ones(len(pool), dtype=np.bool_)
        if not same_database:
            allowed = databases != names.get(asked.db_id, -1)
        allowed[questions.get(_fold(asked.question), [])] = False
        count = min(count, int(allowed.sum()))
        return [pool[place] for place in rank(asked, allowed, count)][::-1] if count > 0 else []

    return choose


def _fold(question: str) -> str:
    return " ".join(question.lower().split())


def _ranking(
    choice: Choice, pool: Sequence[Example], seed: int, embed: Embed | None, ahead: Sequence[Example]
) -> _Ranking:
    if choice == "random":
        return _random_ranking(len(pool), seed)
    if choice == "vector" and embed is None:
        raise ValueError("the choice 'vector' needs an embed function")
    if choice == "skeleton":
        return _skeleton_ranking(pool, embed, ahead)
    texts = [example.question for example in pool]
    if embed is None or choice == "keyword":
        score = _word_scores(texts, _content_words)
    else:
        score = _vector_scores(texts, [example.question for example in ahead], embed)
    return lambda asked, allowed, count: _best(score(asked.question), allowed, count)


def _masked(example: Example) -> str:
    return question_skeleton(example.question, schema_names(example.schema))


def _best(scores: Scores, allowed: NDArray[np.bool_], count: int) -> list[int]:
    """The places of the highest scores, best first; the earlier place where scores are equal."""
    costs = np.where(allowed, -scores, np.inf)
    # All that tie with the last one to be given are sorted, so that their order depends on nothing else.
    places = np.flatnonzero(costs <= np.partition(costs, count - 1)[count - 1])
    best: list[int] = places[np.argsort(costs[places], kind="stable")][:count].tolist()
    return best


def _random_ranking(size: int, seed: int) -> _Ranking:
    def shuffled(asked: Example) -> Iterator[int]:
        # Seeded by the question asked, so that one example's shots do not depend on the others.
        draw = random.Random(f"{seed}:{_fold(asked.question)}")
        moved: dict[int, int] = {}  # a shuffle that stops where no more is wanted
        for left in range(size, 0, -1):
            place = draw.randrange(left)
            yield moved.get(place, place)
            moved[place] = moved.get(left - 1, left - 1)

    return lambda asked, allowed, count: list(islice((place for place in shuffled(asked) if allowed[place]), count))


def _word_scores(texts: list[str], split: Callable[[list[str]], list[list[str]]]) -> Callable[[str], Scores]:
    """BM25 with each text of the pool."""
    import bm25s

    words_of_pool = split(texts)
    index = bm25s.BM25()
    if any(words_of_pool):
        index.index(words_of_pool, show_progress=False)

    def score(text: str) -> Scores:
        (words,) = split([text])
        if not words or not any(words_of_pool):
            return np.zeros(len(texts))
        scores: Scores = index.get_scores(words)
        return scores

    return score


def _content_words(texts: list[str]) -> list[list[str]]:
    """Without the most frequent words of English."""
    import bm25s

    words: list[list[str]] = bm25s.tokenize(texts, return_ids=False, show_progress=False)
    return words


def _all_words(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts]


def _vector_scores(texts: list[str], ahead: list[str], embed: Embed) -> Callable[[str], Scores]:
    """Cosines with each text of the pool."""
    if not texts:
        return lambda text: np.zeros(0)
    vectors = embed([*texts, *ahead]).astype(np.float64)
    of_pool, of_ahead = vectors[: len(texts)].T, vectors[len(texts) :]
    places: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(ahead):
        places[text].append(place)
    start, rows = 0, dict[str, Scores]()

    def score(text: str) -> Scores:
        nonlocal start, rows
        # In double precision, and rounded: the last digits depend on how many are computed at once, and must not decide.
        if text not in places:
            scores: Scores = (embed([text])[0] @ of_pool).round(5)
            return scores
        if text not in rows:
            start = next((place for place in places[text] if place >= start), places[text][0])
            block = (of_ahead[start : start + BLOCK] @ of_pool).round(5)
            rows = dict(zip(ahead[start : start + BLOCK], block, strict=True))
        return rows[text]

    return score


def _skeleton_ranking(pool: Sequence[Example], embed: Embed | None, ahead: Sequence[Example]) -> _Ranking:
    """By the likeness of masked questions, and of the SQL skeleton to the one that the answer may have.

    The nearest by their masked questions vote on that skeleton: one counts by its mean likeness to all of theirs,
    which is kinder than the most frequent one alone where they differ. On Spider words and vectors together choose
    better than either.
    """
    skeletons = [sql_skeleton(example.query) for example in pool]
    texts = [_masked(example) for example in pool]
    by_words = _word_scores(texts, _all_words)
    by_vector = _vector_scores(texts, [_masked(example) for example in ahead], embed) if embed else None

    def rank(asked: Example, allowed: NDArray[np.bool_], count: int) -> list[int]:
        text = _masked(asked)
        words = by_words(text)
        scores = words / (words.max() or 1.0)  # a share of the best, to be added to cosines
        if by_vector:
            scores = (scores + by_vector(text)) / 2
        near = _best(scores, allowed, min(max(NEAREST, count), int(allowed.sum())))
        voting, rest = near[:NEAREST], near[NEAREST:]
        votes: dict[str, float] = defaultdict(float)
        for place in voting:
            votes[skeletons[place]] += math.exp(SHARPNESS * float(scores[place]))
        voted = sum(votes.values())
        total = {skeleton: vote / voted for skeleton, vote in votes.items()}
        for one, other in combinations(sorted(votes), 2):
            alike = likeness(one, other) / voted
            total[one] += alike * votes[other]
            total[other] += alike * votes[one]
        voting.sort(key=lambda place: -float(scores[place]) - total[skeletons[place]])
        return (voting + rest)[:count]

    return rank
