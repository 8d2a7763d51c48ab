"""Decoding: any audio file to float32 mono at a wanted rate, in blocks.

`soundfile` decodes what libsndfile knows, but for Opus; PyAV (FFmpeg) decodes the rest. This is
the only place where channels are mixed down and rates are changed. Memory stays flat whatever a
file's length.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

# fmt: off
AUDIO_SUFFIXES = frozenset({
    ".aac", ".aif", ".aiff", ".alac", ".ape", ".au", ".caf", ".flac", ".m4a", ".mka", ".mp3",
    ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".wav", ".webm", ".wma", ".wv",
})

_FORMATS = "aac,ac3,aiff,ape,asf,au,caf,flac,m4a,matroska,mov,mp3,mp4,mpc,mpc8,ogg,w64,wav,webm,wv"
"""What FFmpeg may take a file for, whatever its name. A playlist would lead to other files."""
# fmt: on

BLOCK_S = 10.0

SILENCE = 1e-4
"""A file whose samples all stay below this (-80 dBFS) counts as silent."""

_MISSING = 0.05
"""A file that ends this share before its announced length is taken to be cut off. Announced
lengths of variable-rate MP3s are estimates, so a smaller gap says nothing. Ogg announces none:
an Ogg file cut between two pages is a shorter file."""


class AudioError(Exception):
    """A file that cannot be turned into audio; the message is a reason for a person to read."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says: length in seconds, native rate in hertz."""

    duration_s: float
    sample_rate: int


def probe(path: Path) -> AudioInfo:
    """Read a file's header without decoding it.

    Raises
    ------
    AudioError
        If the file is empty or neither decoder can open it.
    """
    if path.stat().st_size == 0:
        raise AudioError("the file is empty (0 bytes)")
    try:
        info = soundfile.info(str(path))
        return AudioInfo(info.frames / info.samplerate, info.samplerate)
    except soundfile.LibsndfileError:
        pass
    try:
        with _opened(path) as container:
            stream = _audio_stream(container)
            return AudioInfo(_announced_s(container, stream), stream.codec_context.sample_rate)
    except av.FFmpegError as error:
        raise AudioError(f"not a readable audio file ({_reason(error)})") from error


def stream(path: Path, sample_rate: int) -> Iterator[np.ndarray]:
    """Decode a file block by block.

    Parameters
    ----------
    path
        The file.
    sample_rate
        The rate of the output in hertz. Resampling is soxr's high quality, streamed: the
        result does not depend on the size of the blocks.

    Yields
    ------
    numpy.ndarray
        Float32 mono, shape ``(n,)``, nominally in [-1, 1]; n varies.

    Raises
    ------
    AudioError
        If the file is empty, cannot be opened, breaks off before its announced end, or holds
        samples that are not numbers.
    """
    info = probe(path)
    resampler = None
    if info.sample_rate != sample_rate:
        resampler = soxr.ResampleStream(info.sample_rate, sample_rate, 1, dtype="float32")
    decoded = 0
    for block in _mono_blocks(path):
        decoded += len(block)
        if not np.isfinite(block).all():
            raise AudioError("the samples hold values that are not numbers")
        yield block if resampler is None else resampler.resample_chunk(block)
    if decoded == 0:
        raise AudioError("the file holds no audio")
    decoded_s = decoded / info.sample_rate
    if decoded_s < (1 - _MISSING) * info.duration_s:
        raise AudioError(
            f"cut off or damaged: {decoded_s:.1f} s of {info.duration_s:.1f} s could be decoded"
        )
    if resampler is not None:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def decode(path: Path, sample_rate: int) -> np.ndarray:
    """Decode a whole file at once: float32 mono, shape ``(n,)``. See `stream`."""
    return np.concatenate(list(stream(path, sample_rate)))


def is_silent(audio: np.ndarray) -> bool:
    """Tell whether no sample rises above `SILENCE`."""
    return audio.size == 0 or float(np.abs(audio).max()) < SILENCE


def _mono_blocks(path: Path) -> Iterator[np.ndarray]:
    """Blocks at the native rate. The decoder is chosen once, by the file's kind: one that
    fails half-way is an error, since another would leave an analysis in two halves."""
    try:
        file = soundfile.SoundFile(str(path))
    except soundfile.LibsndfileError:
        yield from _pyav_blocks(path)
        return
    with file:
        if file.subtype == "OPUS":
            # FFmpeg decodes it in less than half the time.
            yield from _pyav_blocks(path)
            return
        size = int(BLOCK_S * file.samplerate)
        try:
            while len(block := file.read(size, dtype="float32", always_2d=True)):
                yield _mixed(block.T)
        except soundfile.LibsndfileError as error:
            position = file.tell() / file.samplerate
            raise AudioError(
                f"cut off or damaged near {position:.1f} s ({_reason(error)})"
            ) from error


def _pyav_blocks(path: Path) -> Iterator[np.ndarray]:
    with _opened(path) as container:
        source = _audio_stream(container)
        rate = source.codec_context.sample_rate
        # Planar float without touching rate or layout: the mean of the channels is taken here,
        # as for soundfile, since FFmpeg's own mixing weighs them otherwise.
        convert = av.AudioResampler(format="fltp", rate=rate)
        parts: list[np.ndarray] = []
        size = 0
        try:
            for frame in itertools.chain(container.decode(source), [None]):
                for part in convert.resample(frame):
                    parts.append(part.to_ndarray())
                    size += part.samples
                if size >= BLOCK_S * rate:
                    yield _mixed(np.concatenate(parts, axis=1))
                    parts, size = [], 0
        except av.FFmpegError as error:
            raise AudioError(f"cut off or damaged ({_reason(error)})") from error
        if parts:
            yield _mixed(np.concatenate(parts, axis=1))


def _mixed(channels: np.ndarray) -> np.ndarray:
    """The mean of ``(channels, n)``: numpy's own takes ten times as long where n comes first in
    memory, and rounds the same."""
    return np.asarray(sum(channels)) / np.float32(len(channels))


def _opened(path: Path) -> "av.container.InputContainer":
    return av.open(str(path), metadata_errors="replace", options={"format_whitelist": _FORMATS})


def _audio_stream(container: "av.container.InputContainer") -> "av.AudioStream":
    if not container.streams.audio:
        raise AudioError("the file holds no audio stream")
    return container.streams.audio[0]


def _announced_s(container: "av.container.InputContainer", stream: "av.AudioStream") -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None else 0.0


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).strip().rstrip(".")
