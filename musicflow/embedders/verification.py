"""Weights checked by what they make of a sound, beside what their own package makes of it.

The tone is that of OpenL3's tests (``tests/data/audio/chirp_44k.wav`` of marl/openl3), which is a
formula; its vectors are a part of that project's regression figures
(``tests/data/regression/chirp_44k_*.npz``: mel256, music, 6144 dims, hop 0.1 s; every 64th
dimension). The vectors for musicnn were made with musicnn 0.1.0.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from musicflow.embedders import load, openl3, spec_of
from musicflow.embedders.errors import WeightsError
from musicflow.embedders.spec import EmbedderSpec

ENOUGH = 0.999
"""The least cosine to upstream's vectors; resampling and rounding leave more than this."""

_FIGURES = Path(__file__).with_name("upstream_figures.npz")


def tone(sample_rate: int, seconds: float) -> np.ndarray:
    """A tone that starts at 440 Hz and rises by 176 Hz a second, getting softer.

    Returns
    -------
    numpy.ndarray
        Float32, shape ``(n,)``.
    """
    t = np.arange(round(sample_rate * seconds)) / sample_rate
    phase = 439.998 * t + 88 * t**2
    return ((0.8 - 0.14 * t) * np.sin(2 * np.pi * phase)).astype(np.float32)


def verify(spec: EmbedderSpec, cache: Path) -> str:
    """Check the weights in `cache`: their bytes, and what they make of the tone.

    Returns
    -------
    str
        What was found, for a person.

    Raises
    ------
    WeightsError
        If they are not there, are not what they should be, or give other vectors than upstream.
    """
    assert spec.weights is not None
    spec.weights.verify(cache)
    with np.load(_FIGURES) as figures:
        known = dict(figures)
    for name, measured in _measured().items():
        assert measured.weights is not None
        if measured.weights.identity == spec.weights.identity:
            return _compared(measured, known[f"{name}/dims"], known[f"{name}/vectors"], cache)
    vector = load(spec, cache).embed(tone(spec.sample_rate, 3.0), spec.sample_rate)
    if not np.isfinite(vector).all() or not vector.any():
        raise WeightsError(f"{spec.weights.filename}: the test tone has no usable vector")
    return "the checksum is right; its package has no vectors of the tone to compare with"


def _measured() -> dict[str, EmbedderSpec]:
    """What the figures were made with, by their names."""
    return {
        "openl3": replace(openl3.variant("mel256", "music", 6144, hop_s=0.1), precision="fp32"),
        "musicnn": spec_of("musicnn"),
    }


_SECONDS = {"openl3": 2.0, "musicnn": 3.0}


def _compared(spec: EmbedderSpec, dims: np.ndarray, expected: np.ndarray, cache: Path) -> str:
    assert spec.weights is not None
    sound = tone(spec.sample_rate, _SECONDS[spec.name.partition("-")[0]])
    vectors = load(spec, cache).frames(sound, spec.sample_rate).vectors[:, dims]
    lowest = _lowest_cosine(vectors, expected)
    if lowest < ENOUGH:
        raise WeightsError(
            f"{spec.weights.filename} has the right checksum, but its vectors of the test tone are "
            f"not those of its package: the lowest cosine is {lowest:.4f}. This is a fault of "
            "musicflow on this machine; please report it with the processor's name"
        )
    return f"as its package has it: {len(vectors)} windows of a tone, lowest cosine {lowest:.5f}"


def _lowest_cosine(vectors: np.ndarray, expected: np.ndarray) -> float:
    if vectors.shape != expected.shape:
        return 0.0
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((vectors * expected).sum(axis=1) / norms).min())
