"""MFCC statistics: the classic baseline of music retrieval, without any learnt weights.

Twenty cepstral coefficients, described by their mean, their deviation and the deviation of their
first difference over time: Mandel and Ellis, "Song-level features and support vector machines
for music classification" (ISMIR 2005), with diagonal statistics. The coefficients follow
librosa's defaults (``librosa.feature.mfcc``).
"""

from pathlib import Path

import numpy as np

from musicflow.embedders import compute
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred

N_MFCC = 20
N_FFT = 2048
HOP = 512
N_MELS = 128

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
    """MFCC statistics; see the module's docstring."""

    def __init__(self, spec: EmbedderSpec) -> None:
        from torchaudio.transforms import MFCC

        self.spec = spec
        mel = {
            "n_fft": N_FFT,
            "hop_length": HOP,
            "n_mels": N_MELS,
            "norm": "slaney",
            "mel_scale": "slaney",
            "pad_mode": "constant",
        }
        self._mfcc = MFCC(spec.sample_rate, n_mfcc=N_MFCC, melkwargs=mel)

    def infer(self, windows: np.ndarray) -> Inferred:
        """Statistics of the coefficients, ``(B, 60)``; see `Embedder.infer`."""
        # A window at a time: the floor of 80 dB below the loudest must not see its neighbours, and
        # the processor's cache holds no more. Threads would wait for each other most of the time.
        with compute.one_thread():
            return Inferred(np.stack([self._statistics(window) for window in windows]))

    def _statistics(self, window: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            coefficients = self._mfcc(torch.from_numpy(np.ascontiguousarray(window))).numpy()
        changes = np.diff(coefficients, axis=1)
        parts = [coefficients.mean(axis=1), coefficients.std(axis=1), changes.std(axis=1)]
        return np.concatenate(parts).astype(np.float32)


ENTRY = EmbedderEntry(SPEC, load)
