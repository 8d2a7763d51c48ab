"""The health of a space of vectors, whatever the labels say.

A space can be sick in ways that one figure of quality does not show: a few tracks turn up in
every answer, all vectors point the same way, or dimensions carry nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicflow.evaluation.protocol import blocks

K = 10
"""How many neighbours are looked at."""

TOP_HUBS = 5

_SAME = 1e-6
"""Vectors of length one that lie closer than this cannot be told apart in float32."""


@dataclass(frozen=True)
class Neighbours:
    """The nearest to each track, itself left out.

    Parameters
    ----------
    rows
        Row numbers, nearest first, shape ``(N, k)``.
    cosines
        How near, shape ``(N, k)``.
    mean_cosine
        That of two tracks on average.
    """

    rows: np.ndarray
    cosines: np.ndarray
    mean_cosine: float = 0.0


@dataclass(frozen=True)
class Health:
    """Figures about a space.

    Parameters
    ----------
    hubness
        Skewness of how often a track is among the ten nearest of others (Radovanović et al.,
        2010): near 0 is even, above about 1 some tracks turn up everywhere.
    hubs
        The tracks that turn up most often, and how often.
    orphans
        The share of tracks that are among nobody's ten nearest.
    anisotropy
        The mean cosine of two tracks: 0 fills the sphere, near 1 is a narrow cone.
    intrinsic_dim
        How many dimensions the vectors really spread over (TwoNN, Facco et al., 2017); None if
        there are too few that differ.
    collapsed_dims
        Dimensions that are the same for all tracks.
    identical
        Tracks whose vector some other recording has too.
    """

    hubness: float
    hubs: tuple[tuple[str, int], ...]
    orphans: float
    anisotropy: float
    intrinsic_dim: float | None
    collapsed_dims: int
    identical: int


def neighbours(unit: np.ndarray, k: int = K) -> Neighbours:
    """Find the k nearest to each of some vectors of length one, shape ``(N, dim)``, N from 2."""
    k = min(k, len(unit) - 1)
    rows = np.empty((len(unit), k), np.int32)
    cosines = np.empty((len(unit), k), np.float32)
    for asking in blocks(len(unit)):
        scores = unit[asking] @ unit.T
        scores[np.arange(len(asking)), asking] = -np.inf
        found = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(scores, found, axis=1)
        best = np.argsort(-near, axis=1, kind="stable")
        rows[asking] = np.take_along_axis(found, best, axis=1)
        cosines[asking] = np.take_along_axis(near, best, axis=1)
    total, count = unit.sum(axis=0, dtype=np.float64), len(unit)
    mean = float((total @ total - count) / (count * (count - 1)))
    return Neighbours(rows, cosines, mean)


def health(unit: np.ndarray, near: Neighbours, track_ids: Sequence[str]) -> Health:
    """Look a space over.

    Parameters
    ----------
    unit
        Vectors of length one, shape ``(N, dim)``, N at least 2.
    near
        Their neighbours.
    track_ids
        Their names.
    """
    count = len(unit)
    occurrence = np.bincount(near.rows.ravel(), minlength=count)
    apart, spread = occurrence - occurrence.mean(), occurrence.std()
    hubs = np.argsort(-occurrence, kind="stable")[:TOP_HUBS]
    distances = _distances(unit, near.rows[:, :2])
    return Health(
        hubness=float((apart**3).mean() / spread**3) if spread else 0.0,
        hubs=tuple((track_ids[row], int(occurrence[row])) for row in hubs),
        orphans=float((occurrence == 0).mean()),
        anisotropy=near.mean_cosine,
        intrinsic_dim=_intrinsic_dim(distances),
        collapsed_dims=int((np.ptp(unit, axis=0) < _SAME).sum()),
        identical=int((distances[:, 0] < _SAME).sum()),
    )


def _distances(unit: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Euclidean distances to some neighbours, shape ``(N, k)``."""
    values = unit.astype(np.float64)
    return np.stack([np.linalg.norm(values - values[row], axis=1) for row in rows.T], axis=1)


def _intrinsic_dim(distances: np.ndarray) -> float | None:
    """TwoNN by maximum likelihood, from the distances to the nearest and the second nearest."""
    if distances.shape[1] < 2:
        return None
    apart = distances[distances[:, 0] > _SAME]
    ratios = np.log(apart[:, 1] / apart[:, 0])
    total = float(ratios.sum())
    return len(ratios) / total if total > 0 else None
