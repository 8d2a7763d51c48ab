"""ABX: triplets of tracks that two embedders order differently, for a person to decide.

Of a query A, one embedder has B near and C far, and the other C near and B far. The farther apart
the two are, in each embedder's own ranks, the more an answer tells.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from musicflow.evaluation import retrieval
from musicflow.evaluation.protocol import Method, protocol_for
from musicflow.library import Track

NEAREST = 10
"""B and C are among so many that an embedder has nearest: what a search would answer."""

QUERIES = 50
"""Queries that are drawn, of which the one that tells most is asked."""


@dataclass(frozen=True)
class Triplet:
    """A query, and a track that each of two embedders has nearer to it than the other.

    Parameters
    ----------
    query, first, second
        The ids of the query, of the track that the first embedder has nearer, and of that of the
        second.
    margin
        The share of all candidates that lie between the two tracks, for the embedder that has
        fewer.
    """

    query: str
    first: str
    second: str
    margin: float


def triplet(
    tracks: Sequence[Track],
    units: tuple[np.ndarray, np.ndarray],
    asked: Collection[str] = (),
    seed: int | None = None,
) -> Triplet | None:
    """Return the triplet that tells most of two embedders, among drawn queries.

    Tracks of the query's artist or album do not answer, as in an evaluation.

    Parameters
    ----------
    tracks
        The tracks.
    units
        Their vectors of length one in each of the two spaces, shape ``(N, dim)``.
    asked
        The ids of queries that were asked before.
    seed
        Of the draw; another each time if not given.

    Returns
    -------
    Triplet or None
        None if the two order all that was drawn alike.
    """
    fresh = [row for row, track in enumerate(tracks) if track.track_id not in asked]
    if len(tracks) < 3 or not fresh:
        return None
    rows = np.random.default_rng(seed).permutation(fresh)[:QUERIES]
    exclusion, _ = protocol_for(tracks, Method())
    excluded = exclusion.columns(rows)
    orders = [retrieval.order(retrieval.cosine(unit)(rows), excluded) for unit in units]
    counts = exclusion.count - np.diff(excluded[0])
    best: Triplet | None = None
    for row, count, *both in zip(rows.tolist(), counts.tolist(), *orders, strict=True):
        found = _widest(*(order[:count] for order in both))
        if found is not None and (best is None or found[2] > best.margin):
            query, first, second = (tracks[one].track_id for one in (row, *found[:2]))
            best = Triplet(query, first, second, found[2])
    return best


def _widest(one: np.ndarray, other: np.ndarray) -> tuple[int, int, float] | None:
    """Return the track of each order that lies far behind in the other, and the margin.

    Parameters
    ----------
    one, other
        The same row numbers, best first, shape ``(C,)``.
    """
    if len(one) < 2:
        return None
    ranks = np.empty((2, max(one.max(), other.max()) + 1), np.int64)
    for own, order in zip(ranks, (one, other), strict=True):
        own[order] = np.arange(len(order))
    first, second = one[:NEAREST, None], other[None, :NEAREST]
    margins = np.minimum(ranks[0][second] - ranks[0][first], ranks[1][first] - ranks[1][second])
    place = np.unravel_index(np.argmax(margins), margins.shape)
    margin = int(margins[place])
    if margin < 1:
        return None
    return int(one[place[0]]), int(other[place[1]]), margin / (len(one) - 1)
