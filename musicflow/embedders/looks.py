"""Looks at an embedder from outside before its vectors are trusted.

A model may draw at random, may let the windows of a batch see one another, or may be a broken
conversion whose vectors are all alike. What is found does not stop it: a problem says it, and the
row of the comparison carries its code.
"""

from dataclasses import dataclass

import numpy as np

from musicflow import address
from musicflow.embedders import REGISTRY, UNTRAINED
from musicflow.embedders.adapters.vectors import Given
from musicflow.embedders.spec import Embedder, EmbedderSpec, infer

NOT_REPEATABLE = "not-repeatable"
BATCH_DEPENDENT = "batch-dependent"
ALL_ALIKE = "all-alike"
REMOTE_CODE = "remote-code"
"""Codes of faults."""

SAME = 0.9999
"""The least cosine of two vectors that should be the same."""

ALIKE = 0.99
"""The mean cosine of different sounds above which their vectors are all alike."""

_FEWEST = 3
"""Fewer tracks than this may well be alike."""


@dataclass(frozen=True)
class Fault:
    """Something to know of an embedder before its vectors are trusted.

    Parameters
    ----------
    code
        The kind of fault.
    reason
        What was found, for people.
    """

    code: str
    reason: str


def is_from_outside(spec: EmbedderSpec) -> bool:
    """Return whether an embedder is none of those that ship."""
    base, _ = address.without_layer(spec.reference.removesuffix(UNTRAINED))
    return base not in REGISTRY.shipped


def look(embedder: Embedder) -> list[Fault]:
    """Embed the same windows twice, and alone; return what is wrong.

    Raises
    ------
    EmbedderError
        If the embedder fails, or what it returns is not what its spec says.
    """
    if isinstance(embedder, Given):
        return []
    windows = sounds(embedder.spec)
    once, again = (infer(embedder, windows).vectors for _ in range(2))
    alone = infer(embedder, windows[:1]).vectors
    faults = []
    if (lowest := _cosines(once, again).min()) < SAME:
        what = f"the same windows give other vectors the second time: cosine {lowest:.4f}"
        faults.append(Fault(NOT_REPEATABLE, what))
    # A model that draws at random gives other vectors either way.
    elif (lowest := _cosines(once[:1], alone).min()) < SAME:
        what = f"a window gives another vector alone than in a batch: cosine {lowest:.4f}"
        faults.append(Fault(BATCH_DEPENDENT, what))
    return faults


def look_at_spread(spread: float, count: int) -> list[Fault]:
    """Return the fault of vectors that are all alike.

    Parameters
    ----------
    spread
        1 minus the mean cosine of all pairs, each with itself among them.
    count
        The number of vectors.
    """
    if count < _FEWEST:
        return []
    mean = 1 - spread * count / (count - 1)
    if mean <= ALIKE:
        return []
    return [Fault(ALL_ALIKE, f"vectors of different tracks are all alike: mean cosine {mean:.4f}")]


def look_at_sounds(embedder: Embedder) -> list[Fault]:
    """Return the fault of vectors of made-up sounds that are all alike."""
    if isinstance(embedder, Given):
        return []
    vectors = infer(embedder, sounds(embedder.spec)).vectors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return look_at_spread(1 - float(np.square(vectors.mean(axis=0)).sum()), len(vectors))


def look_at_code(spec: EmbedderSpec) -> list[Fault]:
    """Return that code of a repository may run, if a person allowed it."""
    found = address.parse(spec.address) if spec.address else None
    if found is None or not found.trust_remote_code:
        return []
    return [Fault(REMOTE_CODE, f"code of {found.place} ran, as the settings allow it")]


def sounds(spec: EmbedderSpec) -> np.ndarray:
    """Return windows of different made-up sounds: noise, a rising tone, a chord, clicks.

    Returns
    -------
    numpy.ndarray
        Float32, shape ``(4, spec.window_samples)``.
    """
    samples, rate = spec.window_samples, spec.sample_rate
    time = np.arange(samples) / rate
    top = min(4000.0, rate / 4)
    noise = np.random.default_rng(0).standard_normal(samples)
    rising = np.sin(2 * np.pi * (100 * time + (top - 100) / 2 / spec.window_s * time**2))
    chord = np.sin(2 * np.pi * np.outer((220.0, 277.2, 329.6), time)).sum(axis=0)
    clicks = np.zeros(samples)
    clicks[:: max(1, rate // 8)] = 1.0
    made = (0.1 * noise, 0.5 * rising, 0.2 * chord, 0.9 * clicks)
    return np.stack(made).astype(np.float32)


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # Vectors without a length, and those that are not numbers, are told track by track.
    safe = np.where(lengths > 0, lengths, 1.0)
    cosines = np.where(lengths > 0, (a * b).sum(axis=1) / safe, 1.0)
    return np.nan_to_num(cosines, nan=1.0)
