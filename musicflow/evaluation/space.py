"""The health of a space of vectors, whatever the labels are.

A space can be sick in ways that no score shows: a few tracks are hits of every query, all
vectors point the same way, or dimensions carry nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicflow.evaluation.protocol import blocks

K = 10
"""Neighbours per track."""

TOP_HUBS = 5

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
        Their cosines, shape ``(N, k)``.
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
    """

    hubness: float
    hubs: tuple[tuple[str, int], ...]
    orphans: float
    anisotropy: float
    intrinsic_dim: float | None
    collapsed_dims: int
    identical: int


def neighbours(unit: np.ndarray, k: int = K) -> Neighbours:
    """Find the k nearest of each vector of length one. Shape ``(N, dim)``, N from 2."""
    k = min(k, len(unit) - 1)
    rows = np.empty((len(unit), k), np.int32)
    cosines = np.empty((len(unit), k), np.float32)
    for queries in blocks(len(unit)):
        scores = unit[queries] @ unit.T
        scores[np.arange(len(queries)), queries] = -np.inf
        found = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(scores, found, axis=1)
        best = np.argsort(-near, axis=1, kind="stable")
        rows[queries] = np.take_along_axis(found, best, axis=1)
        cosines[queries] = np.take_along_axis(near, best, axis=1)
    total, count = unit.sum(axis=0, dtype=np.float64), len(unit)
    mean = float((total @ total - count) / (count * (count - 1)))
    return Neighbours(rows, cosines, mean)


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
    """Return the Euclidean distances to some neighbours, shape ``(N, k)``."""
    values = unit.astype(np.float64)
    return np.stack([np.linalg.norm(values - values[row], axis=1) for row in rows.T], axis=1)


def _intrinsic_dim(distances: np.ndarray) -> float | None:
    """Estimate the dimension (TwoNN) from the distances to the nearest two."""
    if distances.shape[1] < 2:
        return None
    apart = distances[distances[:, 0] > _SAME]
    ratios = np.log(apart[:, 1] / apart[:, 0])
    total = float(ratios.sum())
    return len(ratios) / total if total > 0 else None
