"""How well a space brings tracks together that share a label.

Each track is a query; its candidates are the tracks that its `Exclusion` leaves. Ties go to the
track that comes first by id, so scores do not depend on chance. Queries are ranked in blocks and
scored at once, so memory stays flat however many tracks there are.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from musicflow.evaluation import statistics
from musicflow.evaluation.metrics import MAIN, Metric, RankedRelevance
from musicflow.evaluation.protocol import Exclusion, Labels, blocks
from musicflow.index import Collection

NEAREST = 10
"""Candidates that are kept of each ranking."""

Similarity = Callable[[np.ndarray], np.ndarray]
"""Similarities of some tracks (their row numbers) to all tracks: float64, ``(len(rows), N)``."""

_QUERIES = 32, 256
"""The fewest and the most queries whose similarities a worker computes at once."""

_VALUES = 1 << 24
"""Similarities that a worker holds; matrix products like to be large."""

_PART = 64, 1 << 20
"""The most queries, and similarities, that are ranked at once: sorting likes what fits into a
cache."""

_COLUMNS = 8192
"""Vectors that are made float64 at once."""

_WORKERS = min(4, os.cpu_count() or 1)
"""Parts that are ranked side by side; more would cost memory."""


@dataclass(frozen=True)
class Fusion:
    """A ranking that follows from others.

    Parameters
    ----------
    members
        Names of spaces.
    combine
        Given row numbers of queries, and the similarities and the rankings of each member,
        returns similarities to all tracks. Shapes ``(Q,)``, ``(Q, N)``.
    metrics
        The scores to compute, by the first kind of labels alone; if not given, all.
    queries
        Row numbers, rising, of the queries to rank for; if not given, all.
    """

    members: tuple[str, ...]
    combine: Callable[[np.ndarray, list[np.ndarray], list[np.ndarray]], np.ndarray]
    metrics: tuple[Metric, ...] | None = None
    queries: np.ndarray | None = None


@dataclass(frozen=True)
class Scores:
    """The scores of each query.

    Parameters
    ----------
    rows
        Row numbers of the queries that have a relevant candidate. Shape ``(Q,)``.
    values
        By the names of metrics, each of shape ``(Q,)``.
    chance
        The mean precision of a random ranking, shape ``(Q,)``.
    """

    rows: np.ndarray
    values: dict[str, np.ndarray]
    chance: np.ndarray

    def mean(self, name: str) -> float:
        """Return the mean of a score over all queries; 0 without queries."""
        return float(self.values[name].mean()) if len(self.rows) else 0.0


@dataclass(frozen=True)
class Ranked:
    """The scores of one pass over some queries.

    Parameters
    ----------
    queries
        Their row numbers, shape ``(Q,)``.
    scores
        One for each kind of labels.
    nearest
        The first `NEAREST` candidates of each query, -1 where there are fewer. Shape
        ``(N, NEAREST)``.
    """

    queries: np.ndarray
    scores: list[Scores]
    nearest: np.ndarray


def cosine(vectors: np.ndarray) -> Similarity:
    """Return the similarity of vectors of length one, shape ``(N, dim)``."""

    def similarity(rows: np.ndarray) -> np.ndarray:
        queries, found = vectors[rows].astype(np.float64), np.empty((len(rows), len(vectors)))
        for start in range(0, len(vectors), _COLUMNS):
            some = vectors[start : start + _COLUMNS].astype(np.float64)
            np.matmul(queries, some.T, out=found[:, start : start + len(some)])
        return found

    return similarity


def rank(
    spaces: Mapping[str, Similarity],
    labels: Sequence[Labels],
    exclusion: Exclusion,
    metrics: Sequence[Metric],
    fusions: Mapping[str, Fusion] = {},
    queries: np.ndarray | None = None,
    k: int = NEAREST,
) -> dict[str, Ranked]:
    """Rank the candidates of each query, and score the rankings.

    Parameters
    ----------
    spaces
        By name.
    labels
        Each makes scores of its own.
    exclusion
        The tracks that are no candidates of a query.
    metrics
        The scores to compute.
    fusions
        By name: rankings that follow from those of some spaces.
    queries
        Row numbers; all, if not given.
    k
        The depth of metrics that leave it open.
    """
    if queries is None:
        queries = np.arange(exclusion.count)

    found: dict[str, Ranked] = {}
    for names in _together(spaces, fusions):
        some = {name: spaces[name] for name in names}
        own = {name: one for name, one in fusions.items() if set(one.members) <= some.keys()}
        found |= _rank(some, labels, exclusion, metrics, own, queries, k)
    return {name: found[name] for name in (*spaces, *fusions)}


def _together(
    spaces: Mapping[str, Similarity], fusions: Mapping[str, Fusion]
) -> list[tuple[str, ...]]:
    """Return the names of spaces in groups; those of fusions of several are needed at once."""
    several = [one.members for one in fusions.values() if len(one.members) > 1]
    joined = tuple(name for name in spaces if any(name in members for members in several))
    groups = [joined, *((name,) for name in spaces if name not in joined)]
    return [names for names in groups if names]


def _rank(
    spaces: Mapping[str, Similarity],
    labels: Sequence[Labels],
    exclusion: Exclusion,
    metrics: Sequence[Metric],
    fusions: Mapping[str, Fusion],
    queries: np.ndarray,
    k: int,
) -> dict[str, Ranked]:
    """Rank spaces and their fusions in one pass; see `rank`."""

    def score(rows: np.ndarray, *similarities: np.ndarray) -> dict[str, Ranked]:
        excluded = exclusion.columns(rows)
        known = dict(zip(spaces, similarities, strict=True))
        rankings = {name: order(values, excluded) for name, values in known.items()}
        candidates = exclusion.count - np.diff(excluded[0])
        found = {
            name: _scored(rows, ranking, labels, candidates, metrics, k)
            for name, ranking in rankings.items()
        }
        for name, fusion in fusions.items():
            some: slice | np.ndarray = slice(None)
            out = excluded
            if fusion.queries is not None:
                some = np.isin(rows, fusion.queries)
                out = exclusion.columns(rows[some])
            values = fusion.combine(
                rows[some],
                [known[member][some] for member in fusion.members],
                [rankings[member][some] for member in fusion.members],
            )
            kinds = labels if fusion.metrics is None else labels[:1]
            given = metrics if fusion.metrics is None else fusion.metrics
            ranking = order(values, out)
            found[name] = _scored(rows[some], ranking, kinds, candidates[some], given, k)
        return found

    size = int(np.clip(_VALUES // (exclusion.count * len(spaces)), *_QUERIES))

    def score_in_parts(places: np.ndarray) -> list[dict[str, Ranked]]:
        rows = queries[places]
        wholes = [rows, *(similarity(rows) for similarity in spaces.values())]
        parts = max(1, len(rows) // _PART[0], len(rows) * exclusion.count // _PART[1])
        parts = min(parts, len(rows))
        return list(map(score, *(np.array_split(whole, parts) for whole in wholes)))

    # A worker multiplies on its own: threads of a product would wait for each other.
    with _blas().limit(limits=1), ThreadPoolExecutor(_WORKERS) as pool:
        scored = pool.map(score_in_parts, blocks(len(queries), size))
        done = [part for parts in scored for part in parts]
    return {
        name: _joined([part[name] for part in done], exclusion.count)
        for name in (*spaces, *fusions)
    }


@cache
def _blas() -> ThreadpoolController:
    """Return what sets the threads of NumPy's products; to look for it takes some milliseconds."""
    return ThreadpoolController().select(user_api="blas")


def order(
    similarities: np.ndarray, excluded: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Return row numbers, best first, excluded ones last. Shapes ``(Q, N)``.

    Parameters
    ----------
    similarities
        Float64.
    excluded
        As `Exclusion.columns` returns them; none if not given.
    """
    from musicflow.kernels import ranking

    if excluded is None:
        excluded = np.zeros(len(similarities) + 1, np.int32), np.zeros(0, np.int32)
    found = np.empty(similarities.shape, np.int32)
    ranking.order(similarities, *excluded, found)
    return found


def _scored(
    rows: np.ndarray,
    ranking: np.ndarray,
    labels: Sequence[Labels],
    candidates: np.ndarray,
    metrics: Sequence[Metric],
    k: int,
) -> Ranked:
    nearest = np.full((len(rows), NEAREST), -1, np.int32)
    first = ranking[:, :NEAREST]
    kept = np.arange(first.shape[1]) < candidates[:, None]
    nearest[:, : first.shape[1]] = np.where(kept, first, -1)
    scores = []
    for kind in labels:
        counts, places, gains = kind.hits(rows, ranking, candidates)
        able = counts > 0
        of_able = counts[able], places, gains, candidates[able]
        ranked = RankedRelevance.of_hits(*of_able, ranking.shape[1], k)
        found = {metric.name: metric.scores(ranked) for metric in metrics}
        scores.append(Scores(rows[able], found, ranked.relevant / ranked.candidates))
    return Ranked(rows, scores, nearest)


def _joined(parts: Sequence[Ranked], count: int) -> Ranked:
    kinds = zip(*(part.scores for part in parts), strict=True)
    scores = [
        Scores(
            np.concatenate([part.rows for part in kind]),
            {name: np.concatenate([part.values[name] for part in kind]) for name in kind[0].values},
            np.concatenate([part.chance for part in kind]),
        )
        for kind in kinds
    ]
    queries = np.concatenate([part.queries for part in parts])
    nearest = np.full((count, NEAREST), -1, np.int32)
    nearest[queries] = np.concatenate([part.nearest for part in parts])
    return Ranked(queries, scores, nearest)


def confusion(genres: Sequence[str], scores: Scores, nearest: np.ndarray) -> dict[str, dict]:
    """Return the genres of the first ten candidates, per genre: shares, largest first."""
    values = np.asarray(genres)
    table: dict[str, dict] = {}
    asked = values[scores.rows]
    for genre in np.unique(asked):
        found = nearest[scores.rows[asked == genre]]
        found = found[found >= 0]
        names, counts = np.unique(values[found], return_counts=True)
        best = np.argsort(-counts, kind="stable")
        table[str(genre)] = {str(names[i]): float(counts[i] / len(found)) for i in best}
    return table


def by_genre(genres: Sequence[str], scores: Scores) -> dict[str, float]:
    """Return the mean main score of the queries of each genre."""
    asked, values = np.asarray(genres)[scores.rows], scores.values[MAIN]
    return {str(genre): float(values[asked == genre].mean()) for genre in np.unique(asked)}


def genre_intervals(
    genres: Sequence[str], scores: Mapping[str, Scores], seed: int
) -> dict[str, dict[str, statistics.Interval]]:
    """Return, by space and by genre, the 95 % interval of the mean main score of its queries.

    Parameters
    ----------
    genres
        Of all tracks.
    scores
        By space; all of the same queries.
    seed
        Of the resamples.
    """
    found: dict[str, dict[str, statistics.Interval]] = {name: {} for name in scores}
    if not scores:
        return found
    asked = np.asarray(genres)[next(iter(scores.values())).rows]
    values = np.stack([one.values[MAIN] for one in scores.values()], axis=1)
    for genre in np.unique(asked):
        ends = statistics.intervals(values[asked == genre], seed)
        for name, (low, high) in zip(scores, ends, strict=True):
            found[name][str(genre)] = float(low), float(high)
    return found


@dataclass(frozen=True)
class Agreement:
    """How a published collection answers beside exact search.

    Parameters
    ----------
    agreement_at_10
        The share of its first ten that are as near as exact search's first ones, of as many; None
        if it lacks some of the tracks, or finds none of them.
    query_ms
        The median time of one query, in milliseconds; None if it lacks some of the tracks.
    """

    agreement_at_10: float | None
    query_ms: float | None


MAX_LOOKUPS = 500
"""Queries that a collection is measured by, at most; spread over all tracks."""


def agreement(collection: Collection, vectors: np.ndarray, track_ids: Sequence[str]) -> Agreement:
    """Query a collection for the ten nearest to some tracks, one at a time.

    Parameters
    ----------
    collection
        The published collection.
    vectors
        Of length one, shape ``(N, dim)``.
    track_ids
        Their ids. Hits outside them (duplicates, and tracks without a vector of another
        embedder) do not count, nor does the query itself.
    """
    rows = {track_id: row for row, track_id in enumerate(track_ids)}
    if collection.manifest.count < len(track_ids):
        # An embedder that failed midway has vectors that were never published.
        return Agreement(None, None)
    count = min(NEAREST, len(rows) - 1)
    queries = np.unique(np.linspace(0, len(rows) - 1, MAX_LOOKUPS).astype(int))
    times, shares = [], []
    for row in queries:
        start = time.perf_counter()
        [hits] = collection.query(vectors[row : row + 1], count + 1)
        times.append(time.perf_counter() - start)
        inside = [rows[hit.track_id] for hit in hits if hit.track_id in rows]
        # Of those that are no candidates here, each takes the place of one that is.
        if (due := count - (len(hits) - len(inside))) < 1:
            continue
        found = [other for other in inside if other != row][:due]
        exact = vectors @ vectors[row]
        exact[row] = -np.inf
        # Of tracks that are equally near, either will do.
        worst = np.partition(exact, -due)[-due] - _TOLERANCE
        shares.append((exact[found] >= worst).sum() / due)
    agreed = float(np.mean(shares)) if shares else None
    return Agreement(agreed, 1000 * float(np.median(times)))


_TOLERANCE = 1e-5
"""The difference that an engine's float32 may make."""
