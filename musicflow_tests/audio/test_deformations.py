"""Each deformation does to a tone and to noise what it says."""

from collections.abc import Callable

import numpy as np
import pytest

from musicflow.audio.deformations import DEFORMATIONS, RATE

SECONDS = 3
SEMITONE = 2 ** (1 / 12)


def deformed(name: str, sound: np.ndarray) -> np.ndarray:
    found = DEFORMATIONS[name][1](sound)
    assert found.dtype == np.float32
    return found


def tone(hertz: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(SECONDS * RATE) / RATE)).astype(np.float32)


def pitch_of(sound: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(power.argmax() * RATE / len(sound))


def level_db(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-12))


@pytest.mark.parametrize(
    ("name", "times_pitch", "times_length"),
    [
        ("faster", 1.02, 1 / 1.02),
        ("slower", 0.98, 1 / 0.98),
        ("higher", SEMITONE, 1.0),
        ("lower", 1 / SEMITONE, 1.0),
        ("third", 1.0, 1 / 3),
        ("mp3-64", 1.0, 1.0),
        ("8-khz", 1.0, 1.0),
    ],
)
def test_pitch_and_length_change_as_they_should(
    name: str, times_pitch: float, times_length: float
) -> None:
    found = deformed(name, tone(440))
    assert pitch_of(found) == pytest.approx(440 * times_pitch, abs=1.5)
    assert len(found) == pytest.approx(SECONDS * RATE * times_length, rel=0.01)


@pytest.mark.parametrize(("name", "snr_db"), [("noise-15", 15.0), ("noise-0", 0.0)])
def test_noise_lies_so_far_below_the_sound(name: str, snr_db: float) -> None:
    sound = tone(440)
    added = deformed(name, sound) - sound
    assert level_db(sound) - level_db(added) == pytest.approx(snr_db, abs=0.1)


def test_a_gain_changes_the_level_alone() -> None:
    sound = tone(440)
    np.testing.assert_allclose(deformed("gain-12", sound), sound * 10 ** (-12 / 20), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "hertz", "at_least", "at_most"),
    [
        ("low-pass", 200.0, -0.1, 0.1),
        ("low-pass", 4000.0, -90.0, -40.0),
        ("8-khz", 3000.0, -0.1, 0.1),
        ("8-khz", 6000.0, -200.0, -60.0),
    ],
)
def test_what_lies_too_high_goes(name: str, hertz: float, at_least: float, at_most: float) -> None:
    sound, middle = tone(hertz), slice(RATE, 2 * RATE)
    change = level_db(deformed(name, sound)[middle]) - level_db(sound[middle])
    assert at_least <= change <= at_most


def test_reverberation_dies_away_within_a_second() -> None:
    click = np.zeros(2 * RATE, np.float32)
    click[0] = 1.0
    found = deformed("reverb", click)
    tail = found[1:]
    assert float(np.square(tail, dtype=float).sum()) == pytest.approx(1.0, abs=0.05)
    early, late = tail[: RATE // 10], tail[RATE // 2 : RATE // 2 + RATE // 10]
    assert level_db(early) - level_db(late) == pytest.approx(30, abs=1.5)
    assert level_db(tail[RATE + 10 :]) < -100


@pytest.mark.parametrize("make", [lambda: np.zeros(RATE, np.float32), lambda: tone(100)[:700]])
def test_silence_and_a_few_samples_are_deformed_too(make: Callable[[], np.ndarray]) -> None:
    for name in DEFORMATIONS:
        found = deformed(name, make())
        assert len(found)
        assert np.isfinite(found).all()
