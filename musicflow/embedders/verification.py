"""Weights checked by what they make of a sound, beside what their own package makes of it.

The tone is that of OpenL3's tests (``tests/data/audio/chirp_44k.wav`` of marl/openl3), which is a
formula; its vectors are a part of that project's regression figures
(``tests/data/regression/chirp_44k_*.npz``: mel256, music, 6144 dims, hop 0.1 s; every 64th
dimension). The vectors for musicnn and its kin were made with musicnn 0.1.0. The packages of PANNs
and wav2vec2 are installed with ours: they run on the same file of weights.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from musicflow.embedders import load, openl3, panns, spec_of, wav2vec2_upstream
from musicflow.embedders.errors import WeightsError
from musicflow.embedders.spec import EmbedderSpec, windows_of
from musicflow.text import counted

ENOUGH = 0.999
"""The least cosine to upstream's vectors; resampling and rounding leave more than this."""

_SECONDS = 3.0

_FIGURES_FILE = Path(__file__).with_name("upstream_figures.npz")


@dataclass(frozen=True)
class Check:
    """One comparison.

    Parameters
    ----------
    compared
        The thing that was compared.
    reference
        The thing it was compared with.
    found
        The result.
    """

    compared: str
    reference: str
    found: str


def tone(sample_rate: int, seconds: float) -> np.ndarray:
    """Return a tone that rises from 440 Hz by 176 Hz a second, and fades.

    Returns
    -------
    numpy.ndarray
        Float32, shape ``(n,)``.
    """
    t = np.arange(round(sample_rate * seconds)) / sample_rate
    phase = 439.998 * t + 88 * t**2
    return ((0.8 - 0.14 * t) * np.sin(2 * np.pi * phase)).astype(np.float32)


def verify(spec: EmbedderSpec, cache: Path) -> list[Check]:
    """Check the weights in `cache`: their bytes, and what they make of the tone.

    Returns
    -------
    list of Check
        The comparisons that were made.

    Raises
    ------
    WeightsError
        If they are not there, are not what they should be, or give other vectors than upstream.
    """
    assert spec.weights is not None
    spec.weights.verify(cache)
    kind = spec.weights.identity.partition(":")[0]
    checks = [Check(f"bytes of {spec.weights.filename}", f"its published {kind}", "equal")]
    if (figures := _figures().get(spec.name)) is not None:
        return [*checks, _beside_figures(figures, cache)]
    if spec.name in _PACKAGES:
        return [*checks, _beside_package(spec, cache)]
    vector = load(spec, cache).embed(tone(spec.sample_rate, _SECONDS), spec.sample_rate)
    if not np.isfinite(vector).all() or not vector.any():
        raise WeightsError(f"{spec.weights.filename}: the test tone has no usable vector")
    return [*checks, Check("vector of a tone", "nothing: its package's is not known", "usable")]


@dataclass(frozen=True)
class _Figures:
    """Vectors of the tone that a package made: their key in the file, and how they were made."""

    key: str
    package: str
    spec: EmbedderSpec
    seconds: float = _SECONDS


def _figures() -> dict[str, _Figures]:
    """Return the figures that are known of the weights of each embedder."""
    measured = replace(openl3.variant("mel256", "music", 6144, hop_s=0.1), precision="fp32")
    of_openl3 = _Figures("openl3", "openl3 0.4", measured, 2.0)
    of_musicnn = {name: _Figures(name, "musicnn 0.1.0", spec_of(name)) for name in _MUSICNN}
    return of_musicnn | {"openl3-mel256": of_openl3, "openl3-mel256-6144": of_openl3}


_MUSICNN = ("musicnn", "musicnn-mtt", "musicnn-vgg", "musicnn-vgg-mtt")


def _beside_figures(figures: _Figures, cache: Path) -> Check:
    spec = figures.spec
    with np.load(_FIGURES_FILE) as known:
        dims, expected = known[f"{figures.key}/dims"], known[f"{figures.key}/vectors"]
    sound = tone(spec.sample_rate, figures.seconds)
    vectors = load(spec, cache).frames(sound, spec.sample_rate).vectors[:, dims]
    return _compared(spec, vectors, expected, f"figures that {figures.package} made")


_PACKAGES: dict[str, tuple[str, Callable[[Path, np.ndarray], np.ndarray]]] = {
    "panns": ("panns-inference", panns.upstream_vectors),
    "wav2vec2": ("transformers", wav2vec2_upstream.upstream_vectors),
}
"""Packages that run beside ours: from a file of weights and windows ``(B, n)`` to vectors."""


def _beside_package(spec: EmbedderSpec, cache: Path) -> Check:
    assert spec.weights is not None
    package, upstream = _PACKAGES[spec.name]
    sound = tone(spec.sample_rate, _SECONDS)
    windows = np.stack(list(windows_of([sound], spec)))
    vectors = load(spec, cache).infer(windows).vectors
    expected = upstream(spec.weights.fetch(cache), windows)
    return _compared(spec, vectors, expected, f"{package} {version(package)}, run here")


def _compared(
    spec: EmbedderSpec, vectors: np.ndarray, expected: np.ndarray, reference: str
) -> Check:
    lowest = _lowest_cosine(vectors, expected)
    if lowest < ENOUGH:
        assert spec.weights is not None
        raise WeightsError(
            f"{spec.weights.filename} has the right checksum, but its vectors of the test tone are "
            f"not those of its package: the lowest cosine is {lowest:.4f}. This is a fault of "
            "musicflow on this machine; please report it with the processor's name"
        )
    windows = counted(len(vectors), "window")
    return Check(f"vectors of {windows} of a tone", reference, f"lowest cosine {lowest:.5f}")


def _lowest_cosine(vectors: np.ndarray, expected: np.ndarray) -> float:
    if vectors.shape != expected.shape:
        return 0.0
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((vectors * expected).sum(axis=1) / norms).min())
