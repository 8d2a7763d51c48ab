"""What models that were trained with Keras have in common: names and normalization."""

import numpy as np

_EPSILON = 1e-3
"""Keras's default for batch normalization, which neither OpenL3 nor musicnn changes."""


def scale_and_shift(
    gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a trained batch normalization as a scale and a shift.

    All four, and both results, have shape ``(channels,)``.
    """
    scale = gamma / np.sqrt(variance + _EPSILON)
    return scale, beta - mean * scale


def numbered(name: str, i: int) -> str:
    """Return the name Keras gives the i-th layer of a kind, from zero."""
    return f"{name}_{i}" if i else name
