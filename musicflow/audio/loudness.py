"""Loudness by EBU R128 (ITU-R BS.1770), as FFmpeg measures it."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from musicflow.audio.filters import filtered

SILENT_LUFS = -70.0
"""What is not louder than this is silent, by the standard."""


def loudness_of(blocks: Iterable[np.ndarray], rate: int) -> float:
    """Return the integrated loudness of a stream, in LUFS.

    Parameters
    ----------
    blocks
        Float32 mono, each of shape ``(n,)``.
    rate
        Their sample rate in hertz.

    Returns
    -------
    float
        `SILENT_LUFS` for silence, and for less than 0.4 s.
    """
    loudness = SILENT_LUFS
    for frame in filtered(blocks, rate, "ebur128", "metadata=1"):
        # The last frames, shorter than the others, come without.
        loudness = float(frame.metadata.get("lavfi.r128.I", loudness))
    return loudness


def levelled(
    heard: Callable[[], Iterable[np.ndarray]], rate: int, target: float | None
) -> Iterator[np.ndarray]:
    """Yield a stream at a loudness. Silence stays as it is.

    Parameters
    ----------
    heard
        Returns the stream: float32 mono, each block of shape ``(n,)``. It is called twice, so
        that no more than a block is kept: once to measure, once to play.
    rate
        The sample rate in hertz.
    target
        The loudness in LUFS; None leaves the stream as it is.
    """
    if target is None:
        yield from heard()
        return
    loudness = loudness_of(heard(), rate)
    gain = 10 ** ((target - loudness) / 20) if loudness > SILENT_LUFS else 1.0
    for block in heard():
        yield block * np.float32(gain)
