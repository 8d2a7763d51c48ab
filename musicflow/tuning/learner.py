"""The learner: directions in which alike tracks lie together and others lie apart.

One objective serves all judgements. Two scatters are taken: that of differences between alike
tracks, and that of differences between tracks that are not. The first is shrunk (Ledoit and Wolf,
2004) and whitened, and the directions are kept in which the second is largest beside it.

==========  =====================================  =====================================  =========
judgements  alike                                  apart                                  known as
==========  =====================================  =====================================  =========
classes     a track and the mean of its classes    the mean of a class and that of all    LDA
pairs       the two of a pair                      a track and the mean of all            RCA
triplets    a track and the nearer one             a track and the one farther off
==========  =====================================  =====================================  =========

LDA: linear discriminant analysis (Fisher, 1936; Rao, 1948). RCA: relevant component analysis
(Bar-Hillel et al., 2005), here with directions left out in which pairs are no nearer than others.
"""

from dataclasses import dataclass

import numpy as np
import scipy

from musicflow.evaluation.judgements import Judgements

MAX_DIRECTIONS = 64
"""Directions that are kept at most; the vectors of a tuned space are longer by so many."""

_FLOOR = 1e-6
"""The least variance of a direction, as a share of the mean: below, it is rounding."""


@dataclass(frozen=True)
class Scatters:
    """What judgements say of some vectors.

    Parameters
    ----------
    axes
        Directions of the scatter of alike tracks, one per column, shape ``(dim, dim)``.
    variances
        Along these, shape ``(dim,)``.
    shrinkage
        How far Ledoit and Wolf would shrink it, in [0, 1].
    apart
        Differences of tracks that are not alike, along the axes, shape ``(A, dim)``.
    center
        The mean of the vectors, shape ``(dim,)``.
    """

    axes: np.ndarray
    variances: np.ndarray
    shrinkage: float
    apart: np.ndarray
    center: np.ndarray

    def directions(self, shrinkage: float | None = None) -> np.ndarray:
        """Return the directions that tell tracks apart, best first, shape ``(dim, D)``.

        Along each, alike tracks have a variance of one.

        Parameters
        ----------
        shrinkage
            How far the scatter of alike tracks is shrunk towards a sphere; by Ledoit and Wolf if
            not given.
        """
        share = self.shrinkage if shrinkage is None else shrinkage
        mean = self.variances.mean()
        shrunk = (1 - share) * self.variances + share * mean
        scale = 1 / np.sqrt(np.maximum(shrunk, _FLOOR * mean))
        ratios, vectors = _principal(self.apart * scale)
        kept = ratios > _FLOOR * max(ratios.max(initial=0.0), 1e-12)
        best = vectors[:, kept][:, :MAX_DIRECTIONS]
        found: np.ndarray = self.axes @ (scale[:, None] * best)
        return found


def scatters(unit: np.ndarray, judgements: Judgements) -> Scatters:
    """Return the scatters of vectors of length one under judgements of them.

    Parameters
    ----------
    unit
        Shape ``(N, dim)``.
    judgements
        Of these N.
    """
    center = unit.mean(axis=0, dtype=np.float64).astype(np.float32)
    alike, apart = _differences(unit, judgements, center)
    scatter = (alike.T @ alike / max(len(alike), 1)).astype(np.float64)
    shrinkage = _shrinkage(scatter, np.einsum("nd,nd->n", alike, alike, dtype=np.float64))
    variances, axes = scipy.linalg.eigh(scatter, overwrite_a=True, check_finite=False, driver="evd")
    return Scatters(axes, variances.clip(0), shrinkage, apart @ axes, center)


def _shrinkage(scatter: np.ndarray, squares: np.ndarray) -> float:
    """Return how far Ledoit and Wolf would shrink a scatter towards a sphere, in [0, 1].

    It is scikit-learn's `ledoit_wolf_shrinkage`, which takes three products of all vectors and a
    copy of them. The sum of all products of squares is that of the squared lengths, squared.

    Parameters
    ----------
    scatter
        The mean product of some vectors, shape ``(dim, dim)``.
    squares
        Their squared lengths, shape ``(N,)``.
    """
    count, dim = max(len(squares), 1), len(scatter)
    whole = float(np.square(scatter).sum())
    apart = whole - float(np.trace(scatter)) ** 2 / dim
    error = (float(np.square(squares).sum()) / count - whole) / count
    return min(max(error / apart, 0.0), 1.0) if apart > 0 else 0.0


def _differences(
    unit: np.ndarray, judgements: Judgements, center: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the differences of alike tracks and of tracks that are not, one per row."""
    if len(judgements.triplets):
        own, near, far = judgements.triplets.T
        return unit[own] - unit[near], (unit[own] - unit[far]).astype(np.float64)
    if len(judgements.pairs):
        own, other = judgements.pairs.T
        # A pair differs twice as much as each from their mean.
        return (unit[own] - unit[other]) / np.sqrt(np.float32(2)), _root(unit - center)
    belongs, sizes = judgements.classes()
    means = (belongs.T @ unit) / sizes[:, None]
    rows = np.flatnonzero(np.diff(belongs.indptr))
    alike = unit[rows] - belongs[rows] @ means.astype(unit.dtype)
    return alike, np.sqrt(sizes / sizes.sum())[:, None] * (means - center)


def _root(values: np.ndarray) -> np.ndarray:
    """Return a few rows with the scatter of many, their mean product, shape ``(dim, dim)``."""
    variances, axes = scipy.linalg.eigh(values.T @ values / len(values), check_finite=False)
    return np.sqrt(variances.clip(0))[:, None] * axes.T


def _principal(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared lengths and the directions of the scatter of rows, largest first."""
    _, lengths, directions = scipy.linalg.svd(values, full_matrices=False, check_finite=False)
    return lengths**2, directions.T
