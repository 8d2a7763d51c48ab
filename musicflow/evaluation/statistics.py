"""Statistics of scores: intervals of means over queries, and tests of differences.

Intervals are percentile bootstraps over queries. Differences are paired, because all embedders
are given the same queries (Smucker, Allan and Carterette, 2007). All draws are seeded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np

T = TypeVar("T")

RESAMPLES = 1000
PERMUTATIONS = 10_000
COVERAGE = 0.95
SURE = 0.05
"""The p-value below which a difference is called sure."""

SEED = 0

_CHUNK = 250

Interval = tuple[float, float]


@dataclass(frozen=True)
class Score:
    """A mean over queries, with the ends of its 95 % interval.

    Parameters
    ----------
    value : float
        The mean.
    low, high : float or None
        The interval of bootstrap resamples over the queries.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Difference:
    """The difference of two embedders in one metric, on the same queries.

    Parameters
    ----------
    better, worse
        Their names.
    metric
        The metric's name.
    difference
        Of the means; 0 or more.
    interval
        95 % of bootstrap resamples.
    p
        Of a paired permutation test, two-sided, corrected for the number of pairs (Holm).
    """

    better: str
    worse: str
    metric: str
    difference: float
    interval: Interval
    p: float


@dataclass(frozen=True)
class Change:
    """The change of a mean score, on the same queries.

    Parameters
    ----------
    change
        Of the means, after less before.
    interval
        95 % of bootstrap resamples.
    p
        Of a paired permutation test, two-sided, corrected for the number of changes (Holm).
    """

    change: float
    interval: Interval
    p: float


def intervals(values: np.ndarray, seed: int = SEED) -> np.ndarray:
    """Return 95 % bootstrap intervals of means.

    Parameters
    ----------
    values
        A column per metric, a row per query, shape ``(Q, M)``; columns are resampled together.
    seed
        Of the resamples.

    Returns
    -------
    numpy.ndarray
        Lower and upper ends, shape ``(M, 2)``.
    """
    count = len(values)
    random = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, values.shape[1]))
    for start in range(0, RESAMPLES, _CHUNK):
        size = min(_CHUNK, RESAMPLES - start)
        drawn = random.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        means[start : start + size] = weights @ values / count
    tail = 100 * (1 - COVERAGE) / 2
    return np.percentile(means, [tail, 100 - tail], axis=0).T


def scores_of(values: Mapping[T, np.ndarray], seed: int = SEED) -> dict[T, Score]:
    """Return means with their intervals, by the keys of `values`.

    Parameters
    ----------
    values
        The values of the same queries, each of shape ``(Q,)``; they are resampled together.
    seed
        Of the resamples.
    """
    ends = intervals(np.stack(list(values.values()), axis=1), seed)
    return {
        key: Score(float(own.mean()), float(low), float(high))
        for (key, own), (low, high) in zip(values.items(), ends, strict=True)
    }


def over_draws(values: np.ndarray) -> Score:
    """Return the mean over some draws, with its 95 % interval (Student's t)."""
    # Imported here: a search need not wait for it.
    from scipy.special import stdtrit

    mean, count = float(values.mean()), len(values)
    half = stdtrit(count - 1, (1 + COVERAGE) / 2) * values.std(ddof=1) / np.sqrt(count)
    return Score(mean, mean - float(half), mean + float(half))


def differences(metric: str, values: Mapping[str, np.ndarray]) -> list[Difference]:
    """Compare all pairs of embedders.

    Parameters
    ----------
    metric
        The metric's name.
    values
        By embedder, the score of each query, all of shape ``(Q,)``.
    """
    if not all(map(len, values.values())):
        return []
    pairs = [
        (a, b) if values[a].mean() >= values[b].mean() else (b, a)
        for a, b in combinations(values, 2)
    ]
    if not pairs:
        return []
    found = changes([(values[b], values[a]) for a, b in pairs])
    return [
        Difference(a, b, metric, one.change, one.interval, one.p)
        for (a, b), one in zip(pairs, found, strict=True)
    ]


def changes(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Change]:
    """Test the changes of some scores together.

    Parameters
    ----------
    pairs
        The score of each query before and after, all of shape ``(Q,)``, Q from 1.
    """
    apart = np.stack([after - before for before, after in pairs], axis=1)
    return [
        Change(float(mean), (float(low), float(high)), float(p))
        for mean, (low, high), p in zip(
            apart.mean(axis=0), intervals(apart), _holm(_p_values(apart)), strict=True
        )
    ]


def _p_values(apart: np.ndarray) -> np.ndarray:
    """Return the two-sided p of each column's mean being 0, by flipping signs.

    Shapes ``(Q, P)``, ``(P,)``.
    """
    observed = np.abs(apart.sum(axis=0))
    random = np.random.default_rng(SEED)
    beyond = np.zeros(apart.shape[1])
    for start in range(0, PERMUTATIONS, _CHUNK):
        size = min(_CHUNK, PERMUTATIONS - start)
        signs = 2.0 * random.integers(0, 2, (size, len(apart)), np.int8) - 1.0
        # A flip that gives the observed sum again must count, whatever a sum rounds to.
        beyond += (np.abs(signs @ apart) >= observed - 1e-9).sum(axis=0)
    return (1 + beyond) / (1 + PERMUTATIONS)


def _holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for the number of tests (Holm, 1979)."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1.0)
