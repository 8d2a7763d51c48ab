"""Paths from one track to another through tracks in between."""

import itertools
from collections.abc import Sequence

import numpy as np

from musicflow.index import Collection, Filters, Hit
from musicflow.search.errors import QueryError
from musicflow.search.query import between, vectors_of

_CANDIDATES = 100
"""Per point between two tracks."""


def path(
    collection: Collection, start: str, end: str, steps: int, filters: Filters = Filters()
) -> list[Hit]:
    """Return a path from one track to another, ever more like the second.

    Candidates are the tracks around the straight line between the two. Each belongs to the step
    whose share of the way it has gone, and of all ways with one track a step the smoothest is
    taken: that with the least sum of squared leaps, a leap being one less the cosine.

    Parameters
    ----------
    collection
        Where to walk.
    start, end
        The ids of the first and the last track.
    steps
        How many tracks lie between them at most.
    filters
        What the tracks between must fulfil.

    Returns
    -------
    list of Hit
        From the first to the last, each once; a score is the likeness to the track before.

    Raises
    ------
    QueryError
        If a track is not in the collection, both are the same, or `steps` is no positive number.
    """
    if steps < 1:
        raise QueryError(f"steps must be at least 1, not {steps}")
    if start == end:
        raise QueryError(
            f"a path cannot lead from {start!r} to itself", "give two different tracks"
        )
    first, last = vectors_of(collection, [start, end])
    shares = np.linspace(0, 1, steps + 2)[1:-1]
    mixtures = np.stack([(1 - share) * first + share * last for share in shares])
    found = collection.query(between(mixtures), _CANDIDATES, filters, without=[start, end])
    candidates = sorted({hit.track_id for hits in found for hit in hits})
    ids = [start, *_smoothest(candidates, collection.vectors(candidates), first, last, steps), end]
    vectors = collection.vectors(ids)
    scores = [1.0, *(float(a @ b) for a, b in itertools.pairwise(vectors))]
    return [
        Hit(track_id, score, collection.payload(track_id))
        for track_id, score in zip(ids, scores, strict=True)
    ]


def _smoothest(
    ids: Sequence[str], vectors: np.ndarray, first: np.ndarray, last: np.ndarray, steps: int
) -> list[str]:
    """Return the tracks of the smoothest way.

    Steps that no candidate belongs to are left out.
    """
    way = last - first
    gone = (vectors - first) @ way / max(float(way @ way), 1e-9)
    step = np.clip(np.rint(gone * (steps + 1)), 1, steps)
    # The way to each track of a step: what it costs, and the tracks on it.
    ways: list[tuple[float, list[int]]] = [(0.0, [])]
    before = first[None]
    for rows in (np.flatnonzero(step == number) for number in range(1, steps + 1)):
        if len(rows):
            costs = np.array([cost for cost, _ in ways])[:, None] + _leaps(before, vectors[rows])
            best = costs.argmin(axis=0)
            ways = [
                (costs[origin, place], [*ways[origin][1], int(row)])
                for place, (origin, row) in enumerate(zip(best, rows, strict=True))
            ]
            before = vectors[rows]
    ends = np.array([cost for cost, _ in ways]) + _leaps(before, last[None])[:, 0]
    return [ids[row] for row in ways[int(ends.argmin())][1]]


def _leaps(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    leaps: np.ndarray = np.square(1 - vectors @ others.T)
    return leaps
