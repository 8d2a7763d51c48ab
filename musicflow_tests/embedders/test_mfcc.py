import subprocess
import sys
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
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-3)


def test_filters_are_those_of_librosa() -> None:
    expected = librosa.filters.mel(sr=22_050, n_fft=mfcc.N_FFT)
    np.testing.assert_allclose(mfcc.mel_filters(22_050), expected, atol=1e-7)


def test_its_process_does_not_wait_for_torch() -> None:
    program = (
        "import sys, numpy; from pathlib import Path; from musicflow.embedders import mfcc;"
        "mfcc.load(mfcc.SPEC, Path()).embed(numpy.ones(22050, 'f'), 22050);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_quiet_window_is_not_cut_off_by_a_loud_neighbour() -> None:
    embedder = mfcc.load(mfcc.SPEC, Path())
    quiet, loud = 1e-4 * noise(1).astype(np.float32), noise(2).astype(np.float32)
    together = embedder.infer(np.stack([quiet, loud])).vectors[0]
    np.testing.assert_array_equal(together, embedder.infer(quiet[None]).vectors[0])
