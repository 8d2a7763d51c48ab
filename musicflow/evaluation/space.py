"""The health of a space of vectors, whatever the labels are.

A space can be sick in ways that no score shows: a few tracks are hits of every query, all
vectors point the same way, or dimensions carry nothing.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from musicflow.evaluation.protocol import blocks

K = 10
"""Neighbours per track."""

TOP_HUBS = 5

WORKERS = min(4, os.cpu_count() or 1)

_TILE = 2048
"""Rows that are compared with as many at once: the product stays in the processor's cache."""

_SPARE = 10
"""Candidates per row beyond its neighbours."""

_ERROR = 1.2e-7
"""The error of a product in float32, as a share of the root of its dims."""

_SAME = 1e-6
"""Vectors of length one that lie closer than this cannot be told apart in float32."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest neighbours of each track, without itself.

    Parameters
    ----------
    rows
        Row numbers, nearest first, shape ``(N, k)``.
    cosines
        Their cosines, float64, rounded to 12 decimals. Shape ``(N, k)``.
    mean_cosine
        The mean cosine of two tracks.
    """

    rows: np.ndarray
    cosines: np.ndarray
    mean_cosine: float = 0.0


@dataclass(frozen=True)
class Health:
    """The health of one space.

    Parameters
    ----------
    hubness
        Skewness of how often a track is among the ten nearest of others (Radovanović et al.,
        2010): near 0 is even, above about 1 some tracks are everywhere.
    hubs
        The tracks that are most often a neighbour, and how often.
    orphans
        The share of tracks that are never among the ten nearest.
    anisotropy
        The mean cosine of two tracks: 0 fills the sphere, near 1 is a narrow cone.
    intrinsic_dim
        Dimensions that the vectors really spread over (TwoNN, Facco et al., 2017); None if too
        few vectors differ.
    collapsed_dims
        Dimensions with one value for all tracks.
    identical
        Tracks with the vector of another recording.
    drawn
        Tracks that it was measured on, where a sample was drawn; else 0.
    """

    hubness: float
    hubs: tuple[tuple[str, int], ...]
    orphans: float
    anisotropy: float
    intrinsic_dim: float | None
    collapsed_dims: int
    identical: int
    drawn: int = 0


def neighbours(
    unit: np.ndarray,
    k: int = K,
    known: Neighbours | None = None,
    origin: np.ndarray | None = None,
    of: np.ndarray | None = None,
) -> Neighbours:
    """Find the k nearest of each vector of length one; of equals, the first.

    Neighbours that were found before are brought up to date: rows that are new or lost a
    neighbour are compared with all, the others with new rows alone. The result is that of
    finding all anew.

    Parameters
    ----------
    unit
        Float32, shape ``(N, dim)``, N from 2.
    k
        Neighbours per row.
    known
        Neighbours that were found before.
    origin
        The row number of each vector in `known`, rising; -1 for a new vector. Shape ``(N,)``.
    of
        The rows to find neighbours of, among all; all if not given. The others have -1.
    """
    k = min(k, len(unit) - 1)
    if known is None or origin is None or known.rows.shape[1] != k:
        known = Neighbours(np.empty((0, k), np.int32), np.empty((0, k)))
        origin = np.full(len(unit), -1)
    search = _Search(np.ascontiguousarray(unit, np.float32), known, origin, k)
    search.compare(of)
    search.settle()
    total, count = unit.sum(axis=0, dtype=np.float64), len(unit)
    mean = float((total @ total - count) / (count * (count - 1)))
    return Neighbours(search.rows, search.cosines, mean)


class _Search:
    """A search for neighbours: candidates by quick products, then exact cosines of these.

    A product in float32 depends on how it is cut into blocks. So each row keeps more candidates
    than it needs; where one that was not kept might be among the nearest, the row is compared
    with all others exactly.
    """

    def __init__(self, unit: np.ndarray, known: Neighbours, origin: np.ndarray, k: int) -> None:
        self.unit, self.k = unit, k
        self.rows = np.full((len(unit), k), -1, np.int32)
        self.cosines = np.full((len(unit), k), -np.inf)
        old = np.flatnonzero(origin >= 0)
        now = np.full(len(known.rows), -1, np.int32)
        now[origin[old]] = old
        moved = now[known.rows[origin[old]]]
        whole = (moved >= 0).all(axis=1)
        self._new = np.flatnonzero(origin < 0)
        self._lost, self._kept = old[~whole], old[whole]
        self.rows[self._kept] = moved[whole]
        self.cosines[self._kept] = known.cosines[origin[self._kept]]
        self._error = _ERROR * np.sqrt(unit.shape[1])
        self._found = np.full((len(unit), k + _SPARE), -1, np.int32)
        floor = np.maximum(self.cosines[:, -1:] - self._error, -2.0).astype(np.float32)
        self._values = np.repeat(floor, k + _SPARE, axis=1)

    def compare(self, of: np.ndarray | None = None) -> None:
        """Collect the candidates of each row, or of some rows."""
        groups = self._new, self._lost, self._kept
        if of is not None:
            groups = of[:0], of, np.setdiff1d(np.arange(len(self.unit)), of)
        new, lost, kept = (_cut(rows, _TILE) for rows in groups)
        # A worker multiplies on its own: threads of a product would wait for each other.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(WORKERS) as pool:
            for place, block in enumerate(new):
                self._offer(pool, block, block, both=False)
                for other in (*new[place + 1 :], *lost, *kept):
                    self._offer(pool, block, other, both=True)
            # By now these have met the new rows.
            for place, block in enumerate(lost):
                for other in lost[place + 1 :]:
                    self._offer(pool, block, other, both=True)
                for other in (block, *kept):
                    self._offer(pool, block, other, both=False)

    def _offer(self, pool: Executor, rows: np.ndarray, columns: np.ndarray, both: bool) -> None:
        """Offer two blocks to each other, or the second to the first alone."""
        from musicflow.kernels import ranking

        others, tile = self.unit[columns].T, np.empty((len(rows), len(columns)), np.float32)
        lists = self._found, self._values

        def to_rows(part: slice) -> None:
            np.matmul(self.unit[rows[part]], others, out=tile[part])
            ranking.offer_to_rows(tile[part], rows[part], columns, *lists)

        def to_columns(part: slice) -> None:
            ranking.offer_to_columns(tile[:, part], rows, columns[part], *lists)

        list(pool.map(to_rows, _shares(len(rows))))
        if both:
            list(pool.map(to_columns, _shares(len(columns))))

    def settle(self) -> None:
        """Put the candidates of each row into the order of their exact cosines."""
        touched = np.flatnonzero(self._found[:, 0] >= 0)
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(self._merge, _cut(touched, _TILE)))
            # Where many lie equally near, such as copies of one vector.
            list(pool.map(self._search_all, touched[self._is_unsure(touched)].tolist()))

    def _merge(self, rows: np.ndarray) -> None:
        """Merge the candidates of rows with the neighbours that these have."""
        from musicflow.kernels import ranking

        candidates = self._found[rows]
        cosines = np.empty(candidates.shape)
        ranking.exact(self.unit, rows, candidates, cosines)
        candidates = np.hstack([self.rows[rows], candidates])
        cosines = np.hstack([self.cosines[rows], cosines])
        best = np.lexsort((candidates, -cosines), axis=1)[:, : self.k]
        self.rows[rows] = np.take_along_axis(candidates, best, axis=1)
        self.cosines[rows] = np.take_along_axis(cosines, best, axis=1)

    def _is_unsure(self, rows: np.ndarray) -> np.ndarray:
        """Return whether a candidate that was not kept might be among the nearest."""
        might = self._values[rows, -1] + self._error >= self.cosines[rows, -1]
        full: np.ndarray = self._found[rows, -1] >= 0
        return full & might

    def _search_all(self, row: int) -> None:
        """Find the neighbours of a row among all others by exact cosines."""
        from musicflow.kernels import ranking

        others = np.arange(len(self.unit), dtype=np.int32)[None]
        cosines = np.empty(others.shape)
        ranking.exact(self.unit, np.array([row]), others, cosines)
        cosines[0, row] = -np.inf
        worst = np.partition(cosines[0], -self.k)[-self.k]
        nearer, equal = np.flatnonzero(cosines[0] > worst), np.flatnonzero(cosines[0] == worst)
        best = np.concatenate([nearer, equal])[: self.k]
        best = best[np.lexsort((best, -cosines[0, best]))]
        self.rows[row], self.cosines[row] = best, cosines[0, best]


def _cut(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _shares(count: int) -> list[slice]:
    """Return a part of a block per worker."""
    ends = np.linspace(0, count, WORKERS + 1).astype(int)
    return [slice(start, end) for start, end in pairwise(ends.tolist())]


def health(unit: np.ndarray, near: Neighbours, track_ids: Sequence[str]) -> Health:
    """Measure the health of a space.

    Parameters
    ----------
    unit
        Vectors of length one, shape ``(N, dim)``, N at least 2.
    near
        Their neighbours.
    track_ids
        Their ids.
    """
    count = len(unit)
    occurrence = np.bincount(near.rows.ravel(), minlength=count)
    hubs = np.argsort(-occurrence, kind="stable")[:TOP_HUBS]
    distances = _distances(unit, near.rows[:, :2])
    return Health(
        hubness=skewness(occurrence),
        hubs=tuple((track_ids[row], int(occurrence[row])) for row in hubs),
        orphans=float((occurrence == 0).mean()),
        anisotropy=near.mean_cosine,
        intrinsic_dim=_intrinsic_dim(distances),
        collapsed_dims=int((np.ptp(unit, axis=0) < _SAME).sum()),
        identical=int((distances[:, 0] < _SAME).sum()),
    )


def skewness(occurrence: np.ndarray) -> float:
    """Return the skewness of how often tracks are among the nearest of others; 0 if all are equal.

    Parameters
    ----------
    occurrence
        Counts, shape ``(N,)``.
    """
    apart, spread = occurrence - occurrence.mean(), occurrence.std()
    return float((apart**3).mean() / spread**3) if spread else 0.0


def _distances(unit: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances to some neighbours, shape ``(N, k)``."""
    found = np.empty(rows.shape)
    for block in blocks(len(unit)):
        values = unit[block].astype(np.float64)[:, None]
        found[block] = np.linalg.norm(values - unit[rows[block]], axis=2)
    return found


def _intrinsic_dim(distances: np.ndarray) -> float | None:
    """Estimate the dimension (TwoNN) from the distances to the nearest two."""
    if distances.shape[1] < 2:
        return None
    apart = distances[distances[:, 0] > _SAME]
    ratios = np.log(apart[:, 1] / apart[:, 0])
    total = float(ratios.sum())
    return len(ratios) / total if total > 0 else None
