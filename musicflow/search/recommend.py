"""Recommendation from likes and dislikes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from musicflow.index import Collection, Filters, Hit, Manifest
from musicflow.index.fields import DURATION
from musicflow.library.recordings import Verdicts
from musicflow.search.duplicates import (
    NO_VERDICTS,
    contents_of,
    near,
    overrule,
    same_length,
)
from musicflow.search.errors import QueryError
from musicflow.search.query import Example, between, check_k, vectors_of
from musicflow.search.variety import Variety, until_enough

Strategy = Literal["average", "best-score", "sum-scores"]
"""How examples become a score; see `recommend`."""

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
"""All of them, the default first."""

_DIVERSITY = 0.3


def recommend(
    collection: Collection,
    likes: Sequence[Example],
    dislikes: Sequence[Example] = (),
    k: int = 10,
    filters: Filters = Filters(),
    *,
    strategy: Strategy = "average",
    diverse: bool = False,
    variety: Variety = Variety(),
    verdicts: Verdicts = NO_VERDICTS,
) -> list[Hit]:
    """Return the k tracks that suit someone's likes and dislikes, best first.

    The examples never come back, nor do copies of them; of several copies of a recording the
    best answers, and names the others as its `duplicates`.

    Parameters
    ----------
    collection
        Where to look.
    likes, dislikes
        The examples.
    k
        How many answers at most.
    filters
        What every answer must fulfil.
    strategy
        ``average``: near the mean of the likes, and as far beyond it as it is from the mean of
        the dislikes: ``2 mean(likes) - mean(dislikes)``, as Qdrant has it. ``best-score``: the
        nearest example decides. ``sum-scores``: all examples count. Scores of different
        strategies cannot be compared.
    diverse
        Trade likeness to the examples against likeness to the answers before (maximal marginal
        relevance, Carbonell and Goldstein 1998, seven parts to three, over the first `4 k`
        candidates; scores are brought to the range of their likenesses to the nearest like).
    variety
        What the answers may hold.
    verdicts
        Of an evaluation, on recordings; see `musicflow.search.duplicates`.

    Raises
    ------
    QueryError
        If there is nothing to go by, a track is not in the collection or both liked and
        disliked, or a number is not positive.
    """
    check_k(k)
    if not likes and (strategy == "average" or not dislikes):
        raise QueryError("there is no example", "give at least one track that is liked")
    liked = [example for example in likes if isinstance(example, str)]
    disliked = [example for example in dislikes if isinstance(example, str)]
    if both := sorted(set(liked) & set(disliked)):
        raise QueryError(f"{both[0]!r} is both liked and disliked", "choose one of the two")
    examples = [*liked, *disliked]
    wanted, unwanted = vectors_of(collection, likes), vectors_of(collection, dislikes)

    def ask(limit: int) -> list[Hit]:
        if strategy != "average":
            return collection.recommend(wanted, unwanted, strategy, limit, filters, examples)
        [hits] = collection.query(_average(wanted, unwanted), limit, filters, examples)
        return hits

    contents = [_content(collection, example) for example in likes]

    def choose(hits: list[Hit]) -> list[Hit]:
        vectors = collection.vectors([hit.track_id for hit in hits])
        hits_left, vectors = _fold(hits, vectors, wanted, contents, collection.manifest, verdicts)
        return variety.choose(_order(hits_left, vectors, wanted, diverse), k)

    return until_enough(ask, choose, k)


def _average(likes: np.ndarray, dislikes: np.ndarray) -> np.ndarray:
    mean = likes.mean(axis=0)
    target = 2 * mean - dislikes.mean(axis=0) if len(dislikes) else mean
    return between(target[None])


def _content(collection: Collection, example: Example) -> str:
    """Return the content hash of an example; empty for a vector from outside."""
    if not isinstance(example, str):
        return ""
    [content] = contents_of([collection.payload(example)])
    return content


def _order(
    hits: list[Hit], vectors: np.ndarray, examples: np.ndarray, diverse: bool
) -> Iterable[Hit]:
    if not diverse:
        return hits
    rows = _spread([hit.score for hit in hits], vectors, examples)
    return (hits[row] for row in rows)


def _fold(
    hits: Sequence[Hit],
    vectors: np.ndarray,
    examples: np.ndarray,
    contents_of_examples: Sequence[str],
    manifest: Manifest,
    verdicts: Verdicts,
) -> tuple[list[Hit], np.ndarray]:
    """Leave out duplicates of the examples, and fold those among the hits."""
    contents = contents_of([hit.payload for hit in hits])
    lengths = np.array([hit.payload.get(DURATION, 0.0) for hit in hits])
    copies = near(vectors @ vectors.T, manifest) & same_length(lengths, lengths)
    overrule(copies, contents, contents, verdicts)
    liked = near(vectors @ examples.T, manifest)
    overrule(liked, contents, contents_of_examples, verdicts)
    free: np.ndarray = ~np.any(liked, axis=1)
    rows: list[int] = []
    folded: list[Hit] = []
    for row, hit in enumerate(hits):
        if not free[row]:
            continue
        same = np.flatnonzero(copies[row] & free)
        free[same] = False
        others = tuple(hits[other].track_id for other in same.tolist() if other != row)
        folded.append(replace(hit, duplicates=others))
        rows.append(row)
    return folded, vectors[rows]


def _spread(scores: Sequence[float], vectors: np.ndarray, examples: np.ndarray) -> Iterable[int]:
    """Yield rows by maximal marginal relevance, the best first."""
    alike = vectors @ vectors.T
    # Only likenesses can be set off against likenesses; scores are of other ranges.
    nearness = (vectors @ examples.T if len(examples) else alike).max(axis=1, initial=-1.0)
    span = max(scores, default=0.0) - min(scores, default=0.0)
    share = (np.array(scores) - min(scores, default=0.0)) / (span or 1.0)
    relevance = np.min(nearness, initial=1.0) * (1 - share) + np.max(nearness, initial=-1.0) * share
    left = list(range(len(scores)))
    nearest = np.full(len(scores), -1.0)
    while left:
        values = (1 - _DIVERSITY) * relevance[left] - _DIVERSITY * nearest[left]
        best = left.pop(int(np.argmax(values)))
        nearest = np.maximum(nearest, alike[best])
        yield best
