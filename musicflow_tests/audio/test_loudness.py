"""Loudness against a slow version of ITU-R BS.1770, and levels that are brought to it."""

import numpy as np
import pytest
from scipy import signal

from musicflow.audio.loudness import SILENT_LUFS, levelled, loudness_of

RATE = 48_000

# The two filters of the standard, which states them for 48 kHz alone.
SHELF = (
    [1.53512485958697, -2.69169618940638, 1.19839281085285],
    [1.0, -1.69065929318241, 0.73248077421585],
)
HIGH_PASS = ([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621])


def slow_loudness(sound: np.ndarray) -> float:
    weighted = signal.lfilter(*HIGH_PASS, signal.lfilter(*SHELF, sound.astype(float)))
    length, step = round(0.4 * RATE), round(0.1 * RATE)
    powers = np.array(
        [
            np.mean(weighted[start : start + length] ** 2)
            for start in range(0, len(weighted) - length + 1, step)
        ]
    )

    def lufs(power: np.ndarray) -> np.ndarray:
        return -0.691 + 10 * np.log10(power + 1e-20)

    loud = powers[lufs(powers) > -70]
    return float(lufs(loud[lufs(loud) > lufs(loud.mean()) - 10].mean()))


@pytest.fixture
def sound() -> np.ndarray:
    """Noise that is loud, then quiet enough to be gated, then middling."""
    random = np.random.default_rng(0)
    levels = np.repeat([0.2, 0.002, 0.05], 2 * RATE)
    return (levels * random.standard_normal(len(levels))).astype(np.float32)


@pytest.mark.parametrize("size", [1000, 70_000, 288_000])
def test_loudness_is_that_of_the_standard_however_the_stream_is_cut(
    sound: np.ndarray, size: int
) -> None:
    blocks = [sound[start : start + size] for start in range(0, len(sound), size)]
    assert loudness_of(blocks, RATE) == pytest.approx(slow_loudness(sound), abs=0.1)


def test_a_stream_is_brought_to_a_loudness_and_only_scaled(sound: np.ndarray) -> None:
    [found] = levelled(lambda: [sound], RATE, -14.0)
    assert loudness_of([found], RATE) == pytest.approx(-14.0, abs=0.01)
    np.testing.assert_allclose(found / found[0], sound / sound[0], rtol=1e-4, atol=1e-6)
    [quieter] = levelled(lambda: [sound / 4], RATE, -14.0)
    np.testing.assert_allclose(quieter, found, atol=1e-3)


@pytest.mark.parametrize("sound", [np.zeros(RATE, np.float32), np.full(4000, 0.5, np.float32)])
def test_silence_and_less_than_one_block_stay_as_they_are(sound: np.ndarray) -> None:
    assert loudness_of([sound], RATE) == SILENT_LUFS
    [found] = levelled(lambda: [sound], RATE, -14.0)
    assert np.array_equal(found, sound)


def test_nothing_is_measured_where_no_loudness_is_asked_for(sound: np.ndarray) -> None:
    calls = []
    [found] = levelled(lambda: calls.append(1) or [sound], RATE, None)
    assert found is sound
    assert len(calls) == 1
