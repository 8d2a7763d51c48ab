"""The normal distribution, for many values at once.

Compiled when first used, as in `ranking`.
"""

from functools import cache

import numba
import numpy as np

from musicflow.kernels.compiling import cached_on_disk

_END, _STEPS = 9, 1024
"""The table reaches from -9 to 9, where the distribution is 0 and 1, in so many steps per unit.
Between two steps a cubic is right to 3e-15."""


@cache
def _table() -> np.ndarray:
    """Return the distribution and its slope, per step, at each step."""
    from scipy.special import ndtr

    at = np.arange(-_END * _STEPS, _END * _STEPS + 1) / _STEPS
    return np.stack([ndtr(at), np.exp(-at * at / 2) / np.sqrt(2 * np.pi) / _STEPS], axis=1)


@numba.njit(nogil=True, inline="always")
def _distribution(value: float, table: np.ndarray) -> float:
    at = min(max((value + _END) * _STEPS, 0.0), 2.0 * _END * _STEPS - 1)
    step = int(at)
    past = at - step
    low, rise, high, end = table[step, 0], table[step, 1], table[step + 1, 0], table[step + 1, 1]
    up = high - low
    return low + past * (rise + past * ((3 * up - 2 * rise - end) + past * (rise + end - 2 * up)))


@cached_on_disk
@numba.njit(nogil=True)
def _both(
    values: np.ndarray,
    means: np.ndarray,
    deviations: np.ndarray,
    other_means: np.ndarray,
    other_deviations: np.ndarray,
    table: np.ndarray,
    found: np.ndarray,
) -> None:
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            own = (value - means[row]) / deviations[row]
            theirs = (value - other_means[column]) / other_deviations[column]
            found[row, column] = _distribution(own, table) * _distribution(theirs, table)


def both_below(
    values: np.ndarray, rows: tuple[np.ndarray, np.ndarray], columns: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the chance that two independent normal variables are both below a value.

    Parameters
    ----------
    values
        Float64, shape ``(R, C)``.
    rows, columns
        Means and deviations of the one and of the other, shapes ``(R,)`` and ``(C,)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(R, C)``; the error is below 1e-14.
    """
    found = np.empty(values.shape)
    _both(values, *rows, *columns, _table(), found)
    return found
