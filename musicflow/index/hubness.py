"""Corrections of hubness: scores under which no track is near to everything.

====================  ==============================================================================
``csls``              twice the cosine, less the mean cosine of the candidate to its nearest ten
                      (cross-domain similarity local scaling: Conneau et al., 2018; the query's own
                      mean would not change its ranking)
``mutual-proximity``  the chance that a track is less like the query than the candidate is, times
                      the chance that it is less like the candidate than the query is (Schnitzer,
                      Flexer, Schedl and Widmer, 2012; normal and independent)
====================  ==============================================================================

A `Crowd` holds what both need of each track. Means and deviations are those of the cosines to a
sample of the tracks, drawn once, so that a query from outside is judged alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from musicflow.atomic import read_arrays, write_arrays

Correction = Literal["csls", "mutual-proximity"]

CORRECTIONS: tuple[Correction, ...] = get_args(Correction)

NEAREST = 10
"""The nearest tracks of `Crowd.near`."""

SAMPLE = 1000
"""The tracks of the sample, at most."""

SEED = 0

_BLOCK = 1024

_FEW = 8
"""Fewer vectors than this are a search."""

_SEARCH = 1 << 16
"""More scores than this are an evaluation, which may wait for a compiler."""

_SAME = 1 - 1e-6


@dataclass(frozen=True)
class Crowd:
    """How alike some tracks are to others.

    Parameters
    ----------
    near
        The mean cosine to the nearest tracks, float64, shape ``(N,)``.
    mean, deviation
        Of the cosines to the sample, without the track itself. Float64, shape ``(N,)``.
    """

    near: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def of(self, rows: np.ndarray) -> "Crowd":
        """Return that of some of the tracks, by row number."""
        return Crowd(self.near[rows], self.mean[rows], self.deviation[rows])


def sample_of(count: int) -> np.ndarray:
    """Return the row numbers of the sample of so many tracks, rising."""
    return np.sort(np.random.default_rng(SEED).permutation(count)[:SAMPLE])


def crowd_of(unit: np.ndarray, near: np.ndarray) -> Crowd:
    """Return the crowd of all tracks of a space.

    Parameters
    ----------
    unit
        Vectors of length one, float32, shape ``(N, dim)``, N from 2.
    near
        The mean cosine of each to its nearest, shape ``(N,)``.
    """
    some = sample_of(len(unit))
    mean, deviation = spread(unit, unit[some], some)
    return Crowd(near, mean, deviation)


def spread(
    unit: np.ndarray, sample: np.ndarray, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each vector's cosines to a sample, shapes ``(N,)``.

    Parameters
    ----------
    unit
        Vectors of length one, shape ``(N, dim)``.
    sample
        Those of the sample, shape ``(S, dim)``.
    own
        The row number in `unit` of each vector of the sample: none is compared with itself. If
        not given, equal vectors are taken for one track.
    """
    means, deviations = np.empty(len(unit)), np.empty(len(unit))
    numbers, columns = np.arange(len(sample)), np.full(len(unit), -1)
    if own is not None:
        columns[own] = np.arange(len(own))
    for start in range(0, len(unit), _BLOCK):
        rows = slice(start, start + _BLOCK)
        if len(unit) < _FEW:
            # A product would wait for threads longer than it takes.
            cosines = np.einsum("qd,sd->qs", unit, sample).astype(np.float64)
        else:
            cosines = (unit[rows] @ sample.T).astype(np.float64)
        itself = cosines > _SAME if own is None else numbers == columns[rows, None]
        others = np.maximum(len(sample) - itself.sum(axis=1), 1)
        means[rows] = np.where(itself, 0.0, cosines).sum(axis=1) / others
        apart = np.where(itself, 0.0, cosines - means[rows, None])
        deviations[rows] = np.sqrt(np.square(apart).sum(axis=1) / others)
    return means, np.maximum(deviations, 1e-12)


def csls(cosines: np.ndarray, candidates: Crowd) -> np.ndarray:
    """Return the scores by CSLS of candidates, shape ``(Q, N)``."""
    return 2 * cosines - candidates.near


def mutual_proximity(cosines: np.ndarray, queries: Crowd, candidates: Crowd) -> np.ndarray:
    """Return the scores by mutual proximity of candidates, shape ``(Q, N)``."""
    if cosines.size > _SEARCH:
        from musicflow.kernels import normal

        spreads = (queries.mean, queries.deviation), (candidates.mean, candidates.deviation)
        return normal.both_below(cosines, *spreads)
    # Imported here: a search without correction need not wait for it.
    from scipy.special import ndtr

    own = (cosines - queries.mean[:, None]) / queries.deviation[:, None]
    theirs = (cosines - candidates.mean) / candidates.deviation
    return ndtr(own, out=own) * ndtr(theirs, out=theirs)


@dataclass(frozen=True)
class Kept:
    """The crowd of a collection's tracks, as the last evaluation found it.

    Parameters
    ----------
    ids
        The tracks, shape ``(N,)``.
    crowd
        Their crowd.
    sample
        The vectors of the sample, shape ``(S, dim)``.
    spec_hash
        The hash of the embedder's spec.
    """

    ids: np.ndarray
    crowd: Crowd
    sample: np.ndarray
    spec_hash: str = ""

    def save(self, folder: Path, name: str) -> None:
        """Keep it in a folder, by the name of the space."""
        ids, sample, spec_hash = self.ids, self.sample, self.spec_hash
        path = _file(folder, name)
        write_arrays(path, ids=ids, sample=sample, spec_hash=spec_hash, **vars(self.crowd))

    @classmethod
    def load(cls, folder: Path, name: str) -> "Kept | None":
        """Return what is kept of a space; None if nothing is, or it cannot be read."""
        names = "near", "mean", "deviation", "ids", "sample", "spec_hash"
        if (kept := read_arrays(_file(folder, name), *names)) is None:
            return None
        *crowd, ids, sample, spec_hash = kept
        return cls(ids, Crowd(*crowd), sample, str(spec_hash))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {track_id: row for row, track_id in enumerate(self.ids.tolist())}

    def rows(self, track_ids: Sequence[str]) -> np.ndarray:
        """Return the row number of each of some tracks, -1 where it is not known."""
        return np.array([self._places.get(track_id, -1) for track_id in track_ids], int)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.crowd.npz"
