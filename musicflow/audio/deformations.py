"""Deformations: ways in which a recording is heard that should not change what it is.

A listener still knows the piece. Noise and gain are those of mir_ref (Plachouras, Alonso-Jiménez
and Bogdanov, 2023); low-pass and reverberation are after Deng, Wang, Richard and McFee (2025).
"""

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import soxr

from musicflow.audio.filters import filtered

RATE = 44_100
"""The sample rate of what is deformed, in hertz."""

SEED = 0

_LOW_PASS_HZ = 1000
_REVERB_S = 1.0
"""The time in which the reverberation falls by 60 dB."""

_SEMITONE = 2 ** (1 / 12)

Deformation = Callable[[np.ndarray], np.ndarray]
"""From float32 mono at `RATE` to the same, of any length."""


def encoded(codec: str, container: str, rate: int, bits: int) -> Deformation:
    """Return a deformation through an encoder and back.

    Parameters
    ----------
    codec, container
        FFmpeg's names of them.
    rate
        The sample rate of the encoding.
    bits
        Bits per second.
    """

    def deform(sound: np.ndarray) -> np.ndarray:
        import av
        from av.container import InputContainer

        file = io.BytesIO()
        source = soxr.resample(sound, RATE, rate).astype(np.float32)
        with av.open(file, "w", format=container) as writer:
            stream = writer.add_stream(codec, rate=rate, layout="mono")
            assert isinstance(stream, av.AudioStream)
            stream.bit_rate = bits
            frame = av.AudioFrame.from_ndarray(source[None], "fltp", "mono")
            frame.sample_rate = rate
            for part in (frame, None):
                writer.mux(stream.encode(part))
        file.seek(0)
        with av.open(file) as reader:
            assert isinstance(reader, InputContainer)
            flat = av.AudioResampler(format="fltp", layout="mono", rate=rate)
            parts = [p.to_ndarray()[0] for f in reader.decode(audio=0) for p in flat.resample(f)]
        return _resampled(np.concatenate(parts), rate, RATE)

    return deform


def noise(snr_db: float) -> Deformation:
    """Return a deformation by white noise, so many decibels below the sound."""

    def deform(sound: np.ndarray) -> np.ndarray:
        level = np.sqrt(np.mean(np.square(sound, dtype=np.float64))) * 10 ** (-snr_db / 20)
        drawn = np.random.default_rng(SEED).standard_normal(len(sound), np.float32)
        return sound + np.float32(level) * drawn

    return deform


def gain(db: float) -> Deformation:
    """Return a deformation by a gain in decibels."""
    return lambda sound: sound * np.float32(10 ** (db / 20))


def speed(times: float) -> Deformation:
    """Return a deformation that plays faster or slower, so higher or lower."""
    return lambda sound: _resampled(sound, RATE, RATE / times)


def pitch(times: float) -> Deformation:
    """Return a deformation that is higher or lower, at the same tempo."""
    return lambda sound: _stretched(_resampled(sound, RATE, RATE / times), 1 / times)


def telephone(sound: np.ndarray) -> np.ndarray:
    """Keep what a sample rate of 8 kHz carries."""
    return _resampled(_resampled(sound, RATE, 8000), 8000, RATE)


def low_pass(sound: np.ndarray) -> np.ndarray:
    """Take away what lies above 1 kHz (Butterworth, fourth order), as a wall does."""
    from scipy import signal

    sections = signal.butter(4, _LOW_PASS_HZ, fs=RATE, output="sos")
    return np.asarray(signal.sosfilt(sections, sound), np.float32)


def reverberation(sound: np.ndarray) -> np.ndarray:
    """Add as much reverberation of a hall as there is sound: noise that dies away."""
    from scipy import signal

    count = round(_REVERB_S * RATE)
    fall = 10 ** (-3 * np.arange(count) / count)
    tail = np.random.default_rng(SEED).standard_normal(count) * fall
    wet = signal.fftconvolve(sound, tail / np.linalg.norm(tail))[: len(sound)]
    return (sound + wet).astype(np.float32)


def first_third(sound: np.ndarray) -> np.ndarray:
    """Keep the first third."""
    return sound[: max(1, len(sound) // 3)]


def _resampled(sound: np.ndarray, source: float, target: float) -> np.ndarray:
    return np.asarray(soxr.resample(sound, source, target), np.float32)


def _stretched(sound: np.ndarray, tempo: float) -> np.ndarray:
    """Return sound at another tempo and the same pitch; a few milliseconds stay as they are."""
    frames = filtered([sound], RATE, "atempo", f"{tempo:.9f}")
    return np.concatenate([frame.to_ndarray()[0] for frame in frames] or [sound])


DEFORMATIONS: Mapping[str, tuple[str, Deformation]] = MappingProxyType(
    {
        "mp3-64": ("MP3, 64 kbit/s", encoded("libmp3lame", "mp3", RATE, 64_000)),
        "8-khz": ("8 kHz", telephone),
        "noise-15": ("noise, 15 dB below", noise(15)),
        "noise-0": ("noise, as loud", noise(0)),
        "gain-12": ("12 dB quieter", gain(-12)),
        "faster": ("2 % faster", speed(1.02)),
        "slower": ("2 % slower", speed(0.98)),
        "higher": ("a semitone higher", pitch(_SEMITONE)),
        "lower": ("a semitone lower", pitch(1 / _SEMITONE)),
        "low-pass": ("low-pass, 1 kHz", low_pass),
        "reverb": ("reverberation, 1 s", reverberation),
        "third": ("first third", first_third),
    }
)
"""By name, what people call it, and the function."""
