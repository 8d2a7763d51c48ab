"""Made-up music for the corpus: rich enough for musicnn, and the same each time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import soxr

_RATE = 48_000


@cache
def _music(seconds: float, seed: int) -> np.ndarray:
    """Chords, beats and noise, not the same in both channels: float32, shape ``(n, 2)``."""
    rng = np.random.default_rng(seed)
    size = int(seconds * _RATE)
    time = np.arange(_RATE // 2) / _RATE
    sound = np.zeros((size + _RATE, 2))
    for start in range(0, size, len(time)):
        root = 110 * 2 ** (rng.integers(0, 24) / 12)
        for interval in (0, 4, 7, 12):
            pitch = root * 2 ** (interval / 12)
            tone = sum(np.sin(2 * np.pi * pitch * k * time + rng.random()) / k for k in range(1, 9))
            pan = rng.random()
            note = 0.1 * tone * np.exp(-3 * time)
            sound[start : start + len(time)] += np.stack([pan * note, (1 - pan) * note], axis=1)
    for number, start in enumerate(range(0, size, len(time) // 2)):
        snare = 0.2 * rng.standard_normal(len(time)) * np.exp(-40 * time)
        kick = 0.4 * np.sin(2 * np.pi * 55 * time) * np.exp(-15 * time) * (number % 2 == 0)
        sound[start : start + len(time)] += np.stack([snare + kick, 0.6 * snare + kick], axis=1)
    sound += 0.003 * rng.standard_normal(sound.shape)
    return np.float32(0.6 * sound[:size] / np.abs(sound[:size]).max())


_CENTRE, _SIDE = np.sqrt(0.5), np.sqrt(0.5) / 2

_WEIGHTS = {
    "mono": [1.0],
    "stereo": [0.5, 0.5],
    "quad": [0.5, 0.5, _SIDE, _SIDE],
    "5.1": [0.5, 0.5, _CENTRE, 0.0, _SIDE, _SIDE],
    "7.1": [0.5, 0.5, _CENTRE, 0.0, _SIDE, _SIDE, _SIDE, _SIDE],
}
"""Shares of the channels in the mean of the left and the right that ITU-R BS.775 mixes."""


class Audio(NamedTuple):
    """Samples, float32, shape ``(n, channels)``, and their rate in hertz."""

    samples: np.ndarray
    rate: int


def _as_it_is(samples: np.ndarray) -> np.ndarray:
    return samples


@dataclass(frozen=True)
class Sound:
    """A piece of music, and what of it is heard.

    Parameters
    ----------
    rate
        In hertz.
    layout
        The channels.
    around
        Level of the channels beside the front two, if there are any.
    times
        How often the music is played.
    change
        What is done to the samples.
    heard
        Shares of the channels in the mono that is right; those of the layout if not given.
    """

    rate: int = 44_100
    layout: str = "stereo"
    around: float = 0.0
    seed: int = 0
    times: int = 1
    change: Callable[[np.ndarray], np.ndarray] = _as_it_is
    heard: tuple[float, ...] = ()

    def audio(self, seconds: float) -> Audio:
        front = soxr.resample(_music(seconds, self.seed), _RATE, self.rate)
        front = np.tile(front, (self.times, 1))
        count = len(_WEIGHTS[self.layout])
        if count == 1:
            return Audio(self.change(front.mean(axis=1, keepdims=True)), self.rate)
        # Each of the others plays something of its own, by playing at another time.
        others = [self.around * np.roll(front[:, i % 2], i * 5000) for i in range(2, count)]
        return Audio(self.change(np.stack([*front.T, *others], axis=1)), self.rate)

    def mono(self, seconds: float, rate: int) -> np.ndarray:
        """Return what a listener hears, in one channel at `rate`."""
        samples = self.audio(seconds).samples
        weights = self.heard or _WEIGHTS[self.layout]
        return soxr.resample(np.float32(samples @ np.float32(weights)), self.rate, rate)


STEREO = Sound()
MONO = Sound(layout="mono")

ONE_SIDE = 0.5
"""Share of a channel that plays alone: as in the mean of both, since the other is heard, too."""


def quiet_start(samples: np.ndarray) -> np.ndarray:
    gain = np.where(np.arange(len(samples)) < len(samples) / 3, 0.001, 1.0)
    return np.float32(samples * gain[:, None])


def quiet_end(samples: np.ndarray) -> np.ndarray:
    return quiet_start(samples[::-1])[::-1]


def with_value(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(samples: np.ndarray) -> np.ndarray:
        samples = samples.copy()
        samples[len(samples) // 2] = value
        return samples

    return change


def louder(decibels: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda samples: np.float32(samples * 10 ** (decibels / 20))


def first(count: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda samples: samples[:count]
