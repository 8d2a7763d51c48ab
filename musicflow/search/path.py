"""Paths from one track to another through tracks in between."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from musicflow.index import Collection, Filters, Hit
from musicflow.search.errors import QueryError
from musicflow.search.query import between, vectors_of
from musicflow.search.variety import Variety, artists

MOST_STEPS = 1000
"""The most tracks in between that can be asked for."""

_CANDIDATES = 100
"""Per point between two tracks."""


def path(
    collection: Collection,
    start: str,
    end: str,
    steps: int,
    filters: Filters = Filters(),
    variety: Variety = Variety(),
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
    variety
        What the path may hold, its ends included: where no track may stand at a step, the path is
        shorter.

    Returns
    -------
    list of Hit
        From the first to the last, each once; a score is the likeness to the track before.

    Raises
    ------
    QueryError
        If a track is not in the collection, both are the same, or `steps` is no positive number.
    """
    if not 1 <= steps <= MOST_STEPS:
        bound = "at least 1" if steps < 1 else f"at most {MOST_STEPS:,}"
        raise QueryError(f"steps must be {bound}, not {steps}")
    if start == end:
        raise QueryError(
            f"a path cannot lead from {start!r} to itself", "give two different tracks"
        )
    first, last = vectors_of(collection, [start, end])
    shares = np.linspace(0, 1, steps + 2)[1:-1]
    mixtures = np.stack([(1 - share) * first + share * last for share in shares])
    found = collection.query(between(mixtures), _CANDIDATES, filters, without=[start, end])
    candidates = sorted({hit.track_id for hits in found for hit in hits})
    ids = [start, *_between(collection, candidates, first, last, (start, end), steps, variety), end]
    vectors = collection.vectors(ids)
    scores = [1.0, *(float(a @ b) for a, b in itertools.pairwise(vectors))]
    return [
        Hit(track_id, score, collection.payload(track_id))
        for track_id, score in zip(ids, scores, strict=True)
    ]


def _between(
    collection: Collection,
    candidates: Sequence[str],
    first: np.ndarray,
    last: np.ndarray,
    ends: tuple[str, str],
    steps: int,
    variety: Variety,
) -> list[str]:
    """Return the tracks of the smoothest way that may stand in one list with its ends."""
    vectors = collection.vectors(candidates)
    if variety.asks_nothing:
        rows = _smoothest(vectors, first, last, steps)
        return [candidates[row] for row in rows]
    tracks = [collection.payload(track_id) for track_id in candidates]
    bounds = [collection.payload(track_id) for track_id in ends]
    left = list(range(len(candidates)))
    while True:
        some = [tracks[row] for row in left]
        barred = _barred(bounds, some) if variety.apart else None
        way = [left[row] for row in _smoothest(vectors[left], first, last, steps, barred)]
        surplus = variety.surplus([tracks[row] for row in way], bounds)
        if surplus is None:
            return [candidates[row] for row in way]
        left.remove(way[surplus])


def _barred(ends: Sequence[dict[str, Any]], tracks: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return which tracks may not follow which, bool, shape ``(N + 2, N + 2)``.

    The last two rows and columns are those of the ends.
    """
    names = [artists(track) for track in (*tracks, *ends)]
    return np.array([[not a.isdisjoint(b) for b in names] for a in names], bool)


def _smoothest(
    vectors: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    steps: int,
    barred: np.ndarray | None = None,
) -> list[int]:
    """Return the tracks of the smoothest way, by row number.

    Steps that no candidate belongs to, or at which none may stand, are left out.

    Parameters
    ----------
    vectors
        Of the candidates, shape ``(N, dim)``.
    first, last
        Of the ends, shape ``(dim,)``.
    steps
        How many tracks at most.
    barred
        See `_barred`; None if any track may follow any.
    """
    count = len(vectors)
    if barred is None:
        barred = np.zeros((count + 2, count + 2), bool)
    start, end = count, count + 1
    way = last - first
    gone = (vectors - first) @ way / max(float(way @ way), 1e-9)
    step = np.clip(np.rint(gone * (steps + 1)), 1, steps)
    # The way to each track of a step: what it costs, and the tracks on it.
    ways: list[tuple[float, list[int]]] = [(0.0, [])]
    before, names = first[None], [start]
    for rows in (np.flatnonzero(step == number) for number in range(1, steps + 1)):
        costs = np.array([cost for cost, _ in ways])[:, None] + _leaps(before, vectors[rows])
        costs[barred[np.array(names)[:, None], rows]] = np.inf
        rows = rows[np.isfinite(costs).any(axis=0)]
        if not len(rows):
            continue
        costs = costs[:, np.isfinite(costs).any(axis=0)]
        best = costs.argmin(axis=0)
        ways = [
            (costs[origin, place], [*ways[origin][1], int(row)])
            for place, (origin, row) in enumerate(zip(best, rows, strict=True))
        ]
        before, names = vectors[rows], rows.tolist()
    costs = np.array([cost for cost, _ in ways]) + _leaps(before, last[None])[:, 0]
    costs[barred[names, end]] = np.inf
    found = ways[int(costs.argmin())][1]
    # Where none of the last step may come before the end, that step is left out.
    while found and barred[found[-1], end]:
        found = found[:-1]
    return found


def _leaps(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    leaps: np.ndarray = np.square(1 - vectors @ others.T)
    return leaps
