"""Landmarks: what of a sound stays when it is cut, encoded again, or played a little faster.

A landmark is three peaks of the spectrogram that follow one another. Its key holds their pitches,
to a quarter tone, and the times between them; neither depends on where a recording was cut, nor on
its gain. Two recordings that share several landmarks at one distance in time are likely to share a
sound, which is for their samples to prove. After A. Wang, "An industrial-strength audio search
algorithm", ISMIR 2003, who takes pairs of peaks; pitch on a logarithmic scale bears other speeds,
after R. Sonnleitner and G. Widmer, "Robust quad-based audio fingerprinting", IEEE/ACM TASLP 24(3),
2016.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy

RATE = 4000
"""Hertz. What a narrow encoding or a small speaker leaves lies below half of it."""

_WINDOW = 512
_HOP = 64

FRAME_S = _HOP / RATE
"""Seconds from one frame of the spectrogram to the next."""

_NEAR = (14, 10)
"""A peak is the most within so many frames, and bins, on each side."""

_LOWEST = 12
"""The lowest bin of a peak: below it, bins are wider than the pitches that keys tell apart."""

_FAINT = 1e-4
"""Peaks of tones below this (-80 dBFS) are left out."""

_FAN = 3
"""A landmark's peaks are the first and two of the next so many."""

_STEPS = 24
"""Steps of pitch per octave."""

_TICK = 2
"""Frames per step of time."""

_FAR = 64
"""The most steps of pitch, up or down, and of time, between peaks of a landmark."""

_REPEATS = 64
"""A key is kept so many times per sound: of a loop that goes on for hours, more tell nothing."""

_BLOCK = 4096
"""Frames that are transformed at once: about a minute."""

_PRIMES = np.array([2654435761, 2246822519, 3266489917, 668265263, 374761393], np.uint32)


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of a sound, in the order of their times.

    Parameters
    ----------
    keys
        uint32, shape ``(n,)``.
    frames
        The time of each landmark's first peak, in frames of `FRAME_S`; uint32, shape ``(n,)``.
    """

    keys: np.ndarray
    frames: np.ndarray


def landmarks(blocks: Iterable[np.ndarray]) -> Landmarks:
    """Return the landmarks of a sound.

    Parameters
    ----------
    blocks
        The sound in pieces of any length, float32 mono at `RATE`.
    """
    return of_peaks(np.concatenate([np.empty((0, 2)), *peaks(blocks)]))


def of_peaks(found: np.ndarray) -> Landmarks:
    """Return the landmarks that peaks make.

    Parameters
    ----------
    found
        The frame and the bin of each, in the order of their frames; float64, shape ``(n, 2)``.
    """
    frames, bins = found.T
    steps = _STEPS * np.log2(np.maximum(bins, 1.0) / _LOWEST)
    keys, firsts = [np.empty(0, np.uint32)], [np.empty(0)]
    for second, third in itertools.combinations(range(1, _FAN + 1), 2):
        count = max(0, len(frames) - third)
        rows = np.arange(count)
        values = np.stack(
            [
                np.floor(steps[rows] / 2),
                np.round(steps[rows + second] - steps[rows]),
                np.round(steps[rows + third] - steps[rows]),
                np.round((frames[rows + second] - frames[rows]) / _TICK),
                np.round((frames[rows + third] - frames[rows + second]) / _TICK),
            ]
        ).astype(np.int32)
        near = (np.abs(values[1:]) < _FAR).all(axis=0) & (values[3:].sum(axis=0) > 0)
        keys.append(_hashed(values[:, near]))
        firsts.append(frames[rows[near]])
    first = np.concatenate(firsts)
    order = np.argsort(first, kind="stable")
    key, frame = np.concatenate(keys)[order], np.round(first[order]).clip(min=0).astype(np.uint32)
    few = np.flatnonzero(_times_before(key) < _REPEATS)
    return Landmarks(key[few], frame[few])


def _times_before(keys: np.ndarray) -> np.ndarray:
    """Return how many of the keys before each are the same."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order][:1]))
    lengths = np.diff(starts, append=len(keys))
    before = np.empty(len(keys), int)
    before[order] = np.arange(len(keys)) - np.repeat(starts, lengths)
    return before


def _hashed(values: np.ndarray) -> np.ndarray:
    """Return a number of 32 bits for each column of small integers."""
    mixed = np.zeros(values.shape[1], np.uint32)
    for row, prime in zip(values.astype(np.uint32), _PRIMES, strict=True):
        mixed = (mixed ^ row) * prime
        mixed ^= mixed >> np.uint32(15)
    return mixed


def peaks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the peaks of a sound's spectrogram, part by part; see `landmarks` and `of_peaks`."""
    reach = _NEAR[0]
    first = 0
    for levels in _spectrograms(blocks):
        most = scipy.ndimage.maximum_filter(
            levels, [2 * side + 1 for side in _NEAR], mode="constant", cval=np.inf
        )
        frames, bins = np.nonzero((levels == most) & (levels > np.log(_FAINT * _WINDOW / 4)))
        inside = (bins >= _LOWEST) & (bins < levels.shape[1] - 1)
        # At the edges of the sound, nobody knows what stood beside a peak.
        inside &= (frames >= reach) & (frames < len(levels) - reach)
        frames, bins = frames[inside], bins[inside]
        at = levels[frames, bins]
        later = _top(levels[frames - 1, bins], at, levels[frames + 1, bins])
        higher = _top(levels[frames, bins - 1], at, levels[frames, bins + 1])
        sharp = np.isfinite(later) & np.isfinite(higher)
        yield np.stack([first + frames + later, bins + higher], axis=1)[sharp]
        first += len(levels) - 2 * reach


def _top(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return where the parabola through three levels is highest; not a number if they are flat."""
    bend = 2 * at - before - after
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bend > _FLAT, (after - before) / (2 * bend), np.nan)


_FLAT = 1e-2
"""A bend of levels below this is a steady sound, whose peak may be anywhere."""


def _spectrograms(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the logarithm of the spectrogram in pieces that overlap by twice a peak's reach."""
    shape = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    again = 2 * _NEAR[0]
    for samples in _pieces(blocks, (_BLOCK - 1) * _HOP + _WINDOW, (_BLOCK - again) * _HOP):
        frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
        spectra = np.abs(scipy.fft.rfft(frames * shape, axis=1))
        yield np.log(np.maximum(spectra, np.float32(1e-10)))


def _pieces(blocks: Iterable[np.ndarray], size: int, step: int) -> Iterator[np.ndarray]:
    """Yield pieces of a size, each so many samples after the one before; the last is shorter."""
    held = np.empty(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= size:
            yield held[:size]
            held = held[step:]
    if len(held) >= _WINDOW:
        yield held
