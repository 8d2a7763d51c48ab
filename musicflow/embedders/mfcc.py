"""MFCC statistics: the classic baseline of music retrieval, without any learnt weights.

Twenty cepstral coefficients, described by their mean, their deviation and the deviation of their
first difference over time: Mandel and Ellis, "Song-level features and support vector machines
for music classification" (ISMIR 2005), with diagonal statistics. The coefficients follow
librosa's defaults (``librosa.feature.mfcc``).
"""

from pathlib import Path

import numpy as np
import scipy
from numpy.lib.stride_tricks import sliding_window_view

from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred

N_MFCC = 20
N_FFT = 2048
HOP = 512
N_MELS = 128

_QUIETEST = 1e-10
_RANGE_DB = 80

_FRAMES = 64
"""Frames that are transformed at once: as many as the processor's cache holds."""

SPEC = EmbedderSpec(
    name="mfcc",
    version="1",
    sample_rate=22_050,
    dim=3 * N_MFCC,
    window_s=30.0,
    hop_s=30.0,
    tail="keep",
    min_s=0.5,
    layer="mean, deviation, deviation of the first difference",
    standardize=True,
    summary="statistics of 20 cepstral coefficients, no learning",
)


def load(spec: EmbedderSpec, _cache: Path) -> "Mfcc":
    """Build the embedder; there is nothing to fetch."""
    return Mfcc(spec)


class Mfcc(Embedder):
    """MFCC statistics; see the module's docstring.

    By NumPy and SciPy alone: torch takes longer to import than a hundred songs to embed.
    """

    def __init__(self, spec: EmbedderSpec) -> None:
        from threadpoolctl import ThreadpoolController

        self.spec = spec
        hann = (1 - np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)) / 2
        self._hann = hann.astype(np.float32)
        self._mel = mel_filters(spec.sample_rate).T
        self._dct = scipy.fft.dct(np.eye(N_MELS), norm="ortho")[:, :N_MFCC].astype(np.float32)
        self._threads = ThreadpoolController()

    def infer(self, windows: np.ndarray) -> Inferred:
        """Statistics of the coefficients, ``(B, 60)``; see `Embedder.infer`."""
        # A window at a time: the floor of 80 dB below the loudest must not see its neighbours.
        # Threads would wait for each other most of the time.
        with self._threads.limit(limits=1):
            return Inferred(np.stack([self._statistics(window) for window in windows]))

    def _statistics(self, window: np.ndarray) -> np.ndarray:
        decibels = 10 * np.log10(np.maximum(self._power(window) @ self._mel, _QUIETEST))
        coefficients = np.maximum(decibels, decibels.max() - _RANGE_DB) @ self._dct
        changes = np.diff(coefficients, axis=0)
        parts = [coefficients.mean(axis=0), coefficients.std(axis=0), changes.std(axis=0)]
        return np.concatenate(parts).astype(np.float32)

    def _power(self, window: np.ndarray) -> np.ndarray:
        """Return the power spectra of a window's frames, ``(T, 1 + N_FFT / 2)``."""
        padded = np.pad(np.asarray(window, np.float32), N_FFT // 2)
        frames = sliding_window_view(padded, N_FFT)[::HOP]
        power = np.empty((len(frames), N_FFT // 2 + 1), np.float32)
        for start in range(0, len(frames), _FRAMES):
            some = slice(start, start + _FRAMES)
            spectra = scipy.fft.rfft(frames[some] * self._hann)
            np.add(spectra.real**2, spectra.imag**2, out=power[some])
        return power


def mel_filters(sample_rate: int) -> np.ndarray:
    """Return the triangles that sum a power spectrum up to bands of equal width in mels.

    Slaney's mels, linear to 1,000 Hz, and triangles of equal area: M. Slaney, "Auditory Toolbox",
    Interval Research 1998-010.

    Parameters
    ----------
    sample_rate
        Hertz.

    Returns
    -------
    numpy.ndarray
        Shape ``(N_MELS, 1 + N_FFT / 2)``, float32.
    """
    linear, log_step = 200 / 3, np.log(6.4) / 27
    top = 15 + np.log(sample_rate / 2 / 1000) / log_step
    mels = np.linspace(0, top, N_MELS + 2)
    hertz = np.where(mels < 15, linear * mels, 1000 * np.exp(log_step * (mels - 15)))
    frequencies = np.linspace(0, sample_rate / 2, N_FFT // 2 + 1)
    below, peak, above = (hertz[start : start + N_MELS, None] for start in range(3))
    rising, falling = (frequencies - below) / (peak - below), (above - frequencies) / (above - peak)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (2 / (above - below) * triangles).astype(np.float32)


ENTRY = EmbedderEntry(SPEC, load)
