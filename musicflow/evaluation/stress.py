"""Stress: queries that are deformed, in a library that is not.

Each query is heard as it is and deformed (`audio.deformations`), and both are ranked under the
protocol of the comparison.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from musicflow.evaluation import statistics
from musicflow.evaluation.protocol import Exclusion, Labels, blocks
from musicflow.evaluation.retrieval import cosine, order
from musicflow.evaluation.statistics import Change, Score

PLAIN = "plain"
"""The name of the query as it is, among its deformations."""

K = 10

_BLOCK = 16


@dataclass(frozen=True)
class Deformed:
    """Vectors of some tracks, as they are and deformed.

    Parameters
    ----------
    track_ids
        The tracks.
    vectors
        By `PLAIN` and the names of deformations, shape ``(len(track_ids), dim)``.
    """

    track_ids: tuple[str, ...]
    vectors: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Stressed:
    """The results of one space under one deformation of the query.

    Parameters
    ----------
    deformation
        Its name in `audio.deformations.DEFORMATIONS`.
    queries
        Queries with a relevant candidate.
    before, after
        P@10 of the queries as they are and deformed.
    change
        Of P@10. The p is corrected for all spaces and deformations.
    kept
        The share of the first ten candidates that stay the same (overlap@10).
    first
        The share of the queries to which their own track, as it is, lies nearest of all.
    """

    deformation: str
    queries: int
    before: Score
    after: Score
    change: Change
    kept: float
    first: float


def measure(
    spaces: Mapping[str, np.ndarray],
    deformed: Mapping[str, Mapping[str, np.ndarray]],
    rows: np.ndarray,
    exclusion: Exclusion,
    labels: Labels,
) -> dict[str, tuple[Stressed, ...]]:
    """Measure spaces under deformations of the query.

    Parameters
    ----------
    spaces
        By name, vectors of length one, shape ``(N, dim)``.
    deformed
        By space, those of the queries: by `PLAIN` and the names of deformations, shape
        ``(Q, dim)``.
    rows
        Row numbers of the queries' tracks, shape ``(Q,)``.
    exclusion
        The tracks that are no candidates of a query.
    labels
        The labels that make a candidate relevant.

    Returns
    -------
    dict
        By space; empty if no query has a relevant candidate.
    """
    able = np.flatnonzero(_has_relevant(rows, exclusion, labels))
    if not len(able):
        return {}
    rows = rows[able]
    found = {
        (space, name): _ranked(spaces[space], vectors[able], rows, exclusion, labels)
        for space, by_name in deformed.items()
        for name, vectors in by_name.items()
    }
    pairs = [(space, name) for space, name in found if name != PLAIN]
    both = [(found[space, PLAIN][0], found[space, name][0]) for space, name in pairs]
    changes = statistics.changes(both)
    scores = statistics.scores_of({key: one[0] for key, one in found.items()})
    results: dict[str, tuple[Stressed, ...]] = {}
    for (space, name), change in zip(pairs, changes, strict=True):
        nearest = zip(found[space, PLAIN][1], found[space, name][1], strict=True)
        kept = float(np.mean([_overlap(*pair) for pair in nearest]))
        first = float(found[space, name][2].mean())
        before, after = scores[space, PLAIN], scores[space, name]
        one = Stressed(name, len(rows), before, after, change, kept, first)
        results[space] = (*results.get(space, ()), one)
    return results


def rows_of(ids: Sequence[str], some: Sequence[str]) -> np.ndarray:
    """Return the row number of each of some tracks among all; -1 where it is not there."""
    places = {track_id: row for row, track_id in enumerate(ids)}
    return np.array([places.get(track_id, -1) for track_id in some], int)


def _has_relevant(rows: np.ndarray, exclusion: Exclusion, labels: Labels) -> np.ndarray:
    able = np.zeros(len(rows), bool)
    for some in blocks(len(rows), _BLOCK):
        relevant = labels.relevance(rows[some]) > 0
        able[some] = (relevant & ~exclusion.of(rows[some])).any(axis=1)
    return able


def _ranked(
    unit: np.ndarray, queries: np.ndarray, rows: np.ndarray, exclusion: Exclusion, labels: Labels
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Return P@10, the first candidates, and whether the own track is nearest, per query."""
    precisions, nearest, first = np.empty(len(rows)), [], np.empty(len(rows), bool)
    for some in blocks(len(rows), _BLOCK):
        # Behind the library's vectors, so that one product serves.
        cosines = cosine(np.concatenate([unit, queries[some]]))(len(unit) + np.arange(len(some)))
        cosines = np.ascontiguousarray(cosines[:, : len(unit)])
        excluded = exclusion.columns(rows[some])
        candidates = np.minimum(K, exclusion.count - np.diff(excluded[0]))
        ranking = order(cosines, excluded)[:, :K]
        hits = (labels.ranked(rows[some], ranking) > 0) & (np.arange(K) < candidates[:, None])
        precisions[some] = hits.sum(axis=1) / candidates
        nearest += [ranked[:count] for ranked, count in zip(ranking, candidates, strict=True)]
        first[some] = cosines.argmax(axis=1) == rows[some]
    return precisions, nearest, first


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return len(np.intersect1d(one, other)) / max(len(one), 1)
