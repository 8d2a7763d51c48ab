"""Audio in memory: arrays of any PCM type, to float32 mono at a wanted rate."""

import numpy as np
import soxr

from musicflow.audio.container import MAX_CHANNELS, RATES
from musicflow.audio.mixing import mix, peak, weights


def as_mono(samples: np.ndarray, sample_rate: float | None, target_rate: int) -> np.ndarray:
    """Return an array of audio as a model takes it, mixed by the rules for files.

    Parameters
    ----------
    samples
        Any float type at full scale 1, or any integer type of PCM, which is scaled. Its shape is
        ``(n,)``, or ``(channels, n)``, which is mixed as a file's channels are.
    sample_rate
        Their rate in hertz.
    target_rate
        The wanted rate in hertz.

    Returns
    -------
    numpy.ndarray
        Float32, shape ``(m,)``.

    Raises
    ------
    ValueError
        If the rate is missing or absurd, or if the array is empty, has another shape or type, or
        holds NaN or infinity.

    Examples
    --------
    >>> as_mono(np.full(4, 16_384, np.int16), 22_050, 22_050)
    array([0.5, 0.5, 0.5, 0.5], dtype=float32)
    """
    if sample_rate is None:
        raise ValueError("an array of audio needs its sample rate in hertz: give sample_rate")
    low, high = RATES
    if sample_rate != target_rate and not low <= sample_rate <= high:
        raise ValueError(f"sample_rate must be from {low} to {high} Hz, not {sample_rate}")
    given = np.asarray(samples)
    if given.ndim not in (1, 2):
        raise ValueError(f"audio must have the shape (n,) or (channels, n), not {given.shape}")
    channels = np.atleast_2d(_as_float(given))
    count, length = channels.shape[0], channels.shape[-1]
    if not channels.size:
        raise ValueError(f"the array of audio is empty: its shape is {given.shape}")
    if count > MAX_CHANNELS:
        raise ValueError(
            f"an array of shape {given.shape} has {count} channels: transpose it if the channels "
            "come last"
        )
    if not np.isfinite(channels).all():
        raise ValueError(
            f"{(~np.isfinite(channels)).sum()} samples are not numbers (NaN, infinity)"
        )
    shares, block = weights(f"{count} channels", count), round(sample_rate)
    parts = (channels[:, start : start + block] for start in range(0, length, block))
    mono = np.concatenate([mix(part, shares, peak(part))[0] for part in parts])
    if sample_rate == target_rate:
        return mono
    resampler = soxr.ResampleStream(sample_rate, target_rate, 1, dtype="float32")
    return np.asarray(resampler.resample_chunk(mono, last=True))


def _as_float(samples: np.ndarray) -> np.ndarray:
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind == "f":
        return samples.astype(np.float32)
    if kind not in "iu":
        raise ValueError(f"audio must be of a float or an integer type, not {samples.dtype}")
    half = 2.0 ** (bits - 1)
    centre = half if kind == "u" else 0.0
    return ((samples - centre) / half).astype(np.float32)
