"""Arrays of audio: any PCM type and shape, or one sentence about what is wrong with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicflow import audio
from musicflow.audio.samples import as_mono
from musicflow_tests.conftest import noise, tone

SOUND = 0.5 * tone(440, seconds=1.3)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2"])
def test_every_type_of_pcm_has_the_same_full_scale(kind: str) -> None:
    dtype = np.dtype(kind)
    half = 2.0 ** (8 * dtype.itemsize - 1)
    stored = {"f": SOUND, "i": SOUND * half, "u": SOUND * half + half}[dtype.kind].astype(dtype)
    np.testing.assert_allclose(as_mono(stored, 22_050, 22_050), SOUND, atol=0.02)


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
def test_an_array_becomes_what_a_file_of_it_becomes(write: Callable[..., Path], rate: int) -> None:
    stereo = np.stack([noise(1, 2.5), noise(2, 2.5)])
    path = write("a.wav", stereo.T, subtype="FLOAT")
    expected = audio.decode(path, rate)
    np.testing.assert_allclose(as_mono(stereo, 22_050, rate), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("samples", "rate", "words"),
    [
        (SOUND, None, "sample rate"),
        (SOUND, 0, "not 0"),
        (SOUND, -44_100, "not -44100"),
        (SOUND, float("nan"), "not nan"),
        (np.zeros(0), 22_050, "empty"),
        (np.zeros((2, 0)), 22_050, "empty"),
        (np.zeros((44_100, 2)), 22_050, "transpose"),
        (np.zeros((2, 3, 4)), 22_050, r"\(2, 3, 4\)"),
        (np.float32(1.0), 22_050, r"shape"),
        (np.array([0.0, np.nan, np.inf]), 22_050, "2 samples"),
        (np.array(["a"]), 22_050, "type"),
        (np.zeros(4, complex), 22_050, "complex"),
        (np.zeros(4, bool), 22_050, "bool"),
    ],
)
def test_what_is_wrong_with_an_array_is_one_sentence(samples: Any, rate: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        as_mono(samples, rate, 16_000)
    assert "\n" not in str(refused.value)
