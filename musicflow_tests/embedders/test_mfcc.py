from pathlib import Path

import librosa
import numpy as np

from musicflow.embedders import mfcc
from musicflow_tests.conftest import noise, tone


def test_statistics_are_those_of_librosas_coefficients() -> None:
    samples = (tone(440, 5.0) + noise(1, 5.0)).astype(np.float32)
    ours = mfcc.load(mfcc.SPEC, Path()).embed(samples, mfcc.SPEC.sample_rate)
    coefficients = librosa.feature.mfcc(y=samples, sr=22_050, n_mfcc=20)
    expected = np.concatenate(
        [coefficients.mean(1), coefficients.std(1), np.diff(coefficients, axis=1).std(1)]
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-2)


def test_a_quiet_window_is_not_cut_off_by_a_loud_neighbour() -> None:
    embedder = mfcc.load(mfcc.SPEC, Path())
    quiet, loud = 1e-4 * noise(1).astype(np.float32), noise(2).astype(np.float32)
    together = embedder.infer(np.stack([quiet, loud])).vectors[0]
    np.testing.assert_array_equal(together, embedder.infer(quiet[None]).vectors[0])
