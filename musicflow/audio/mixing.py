"""Channels to mono, as a listener with one loudspeaker hears them.

ITU-R BS.775 mixes surround sound to stereo: it lowers the centre and the surround channels by
3 dB, and leaves out the low-frequency channel. The mean of that stereo is the mono. So a stereo
piece sounds the same in two channels and in six.
"""

import math
from collections.abc import Sequence
from functools import cache

import av
import numpy as np

_FRONT = 0.5
_CENTRE = math.sqrt(0.5)
_SURROUND = _FRONT * math.sqrt(0.5)

_WEIGHTS = {
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "DL", "DR", "BC"), _FRONT),
    "FC": _CENTRE,
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
}
"""The share of a channel, by FFmpeg's name; any other is a surround channel. The back centre goes
3 dB down into both surround channels, and so with a front channel's share into mono."""

_BY_COUNT = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""FFmpeg's default layout per number of channels, for channels without names."""

CANCELLED = 0.03
"""Channels cancel where their mix peaks at less than this share (-30 dB) of the loudest one."""


@cache
def weights(layout: str, channels: int) -> np.ndarray:
    """Return the share of each channel in mono.

    Parameters
    ----------
    layout
        FFmpeg's name of the channel layout, such as ``5.1(side)``.
    channels
        The number of channels.

    Returns
    -------
    numpy.ndarray
        Float32, shape ``(channels,)``.
    """
    if channels == 1:
        return np.ones(1, np.float32)
    names = _names(layout)
    if "FL" not in names and "FC" not in names:
        names = _names(_BY_COUNT.get(channels, ""))
    if not names:
        return np.full(channels, 1 / channels, np.float32)
    shares = np.array([_WEIGHTS.get(name, _SURROUND) for name in names], np.float32)
    if "FL" not in names:
        shares /= shares.sum()
    return shares


def _names(layout: str) -> Sequence[str]:
    try:
        return [channel.name for channel in av.AudioLayout(layout).channels]
    except ValueError:
        return []


def mix(channels: np.ndarray, shares: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, bool]:
    """Mix a block to mono.

    Parameters
    ----------
    channels
        Float32, shape ``(C, n)``.
    shares
        See `weights`.
    peaks
        The peak of each channel, shape ``(C,)``.

    Returns
    -------
    mono : numpy.ndarray
        Float32, shape ``(n,)``.
    cancelled : bool
        Whether the channels cancel each other, so that the loudest one stands for all.
    """
    if len(channels) == 1:
        return channels[0].copy(), False
    # Not a matrix product: its threads would wait busily for the next block.
    if (shares == shares[0]).all():
        mono = channels.sum(axis=0)
        mono *= shares[0]
    else:
        mono = channels[0] * shares[0]
        for channel, share in zip(channels[1:], shares[1:], strict=True):
            mono += channel * share
    loudest = int((peaks * (shares > 0)).argmax())
    least = CANCELLED * peaks[loudest]
    # A few samples nearly always tell that they do not.
    if peak(mono[::16]) < least and peak(mono) < least:
        return channels[loudest].copy(), True
    return mono, False


def peak(samples: np.ndarray) -> np.ndarray:
    """Return the largest magnitude along the last axis."""
    return np.maximum(samples.max(axis=-1), -samples.min(axis=-1))
