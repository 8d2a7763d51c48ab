"""Containers: opening a file, what its audio is, and how long it says that is."""

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import av
import av.logging
from av.stream import Discard
from mutagen.asf import ASF

from musicflow import worker
from musicflow.audio.errors import AudioError, reason_of

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

# fmt: off
AUDIO_SUFFIXES = frozenset({
    ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".alac", ".ape", ".au", ".caf", ".dff",
    ".dsf", ".dts", ".eac3", ".flac", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2",
    ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".spx", ".tta", ".w64",
    ".wav", ".webm", ".wma", ".wv",
})
"""Kinds of files that are read."""

_FORMATS = (
    "aac,ac3,aiff,ape,asf,au,caf,dsf,dts,dtshd,eac3,flac,iff,m4a,matroska,mov,mp3,mp4,mpc,mpc8,"
    "ogg,tta,w64,wav,webm,wv"
)
"""What FFmpeg may take a file for, whatever its name. A playlist would lead to other files."""

_STATES_ITS_LENGTH = frozenset({
    "aiff", "ape", "au", "caf", "dsf", "flac", "iff", "matroska,webm",
    "mov,mp4,m4a,3gp,3g2,mj2", "mpc", "mpc8", "tta", "wv",
})
"""Containers whose length FFmpeg reads from a header. Of others it guesses, or looks at the end."""
BARE = frozenset({"aac", "ac3", "dts", "dtshd", "eac3", "flac", "mp3"})
"""Containers that are none: packets stand side by side in the file."""
# fmt: on

RATES = (1_000, 768_000)
"""Sample rates outside of this range, in hertz, are no rates of music."""

MAX_CHANNELS = 64

_LOST_PACKETS = 64
"""A file none of whose first packets can be decoded is not decoded any further."""


@dataclass(frozen=True)
class AudioInfo:
    """What a file is, without decoding all of it.

    Parameters
    ----------
    duration_s
        In seconds: as its header states, or as its packets add up to; 0 where neither tells.
    sample_rate
        Of what its decoder gives, in hertz.
    channels
        Of what its decoder gives.
    codec
        FFmpeg's name of its decoder.
    audio_hash
        SHA-256 of its packets of audio and of what a decoder must know: 64 hexadecimal digits.
        Tags and pictures play no part.
    """

    duration_s: float
    sample_rate: int
    channels: int
    codec: str
    audio_hash: str


@contextmanager
def opened(path: Path) -> Iterator[tuple["InputContainer", "AudioStream", "AudioCodecContext"]]:
    """Open the stream of audio that a player would play.

    Raises
    ------
    AudioError
        If the file is empty, cannot be opened, holds no audio, or audio that no decoder knows.
    OSError
        If the system does not give the file.
    """
    if worker.is_logged():
        _let_ffmpeg_speak()
    if path.stat().st_size == 0:
        raise AudioError("the file is empty (0 bytes)", code="empty")
    with path.open("rb"):
        pass  # So that the system's own errors come as such.
    options = {"format_whitelist": _FORMATS}
    try:
        with av.open(str(path), metadata_errors="replace", options=options) as container:
            stream = container.streams.best("audio")
            if stream is None:
                raise AudioError("the file holds no stream of audio", code="not-audio")
            codec = stream.codec_context
            if codec is None:
                raise AudioError("no decoder knows the codec of its audio", code="no-decoder")
            for other in container.streams:
                if other is not stream:
                    other.discard = Discard.all
            yield container, cast("AudioStream", stream), cast("AudioCodecContext", codec)
    except av.FFmpegError as error:
        reason = f"not a readable audio file ({reason_of(error)})"
        raise AudioError(reason, code="not-audio") from error


@cache
def _let_ffmpeg_speak() -> None:
    """Let FFmpeg write what it finds wrong to standard error; PyAV keeps it quiet."""
    av.logging.set_libav_level(av.logging.ERROR)
    av.logging.restore_default_callback()


def check_format(frame: "AudioFrame") -> None:
    """Refuse samples that cannot be music.

    Raises
    ------
    AudioError
        If the rate or the number of channels is absurd.
    """
    low, high = RATES
    if not low <= frame.sample_rate <= high:
        raise AudioError(
            f"a sample rate of {frame.sample_rate} Hz: rates from {low} to {high} Hz are read",
            code="bad-header",
        )
    channels = frame.layout.nb_channels
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{channels} channels: 1 to {MAX_CHANNELS} are read", code="bad-header")


def examine(path: Path) -> AudioInfo:
    """Read all packets of a file, and decode the first.

    Raises
    ------
    AudioError
        If the file is empty, is no audio, or its beginning cannot be decoded.
    OSError
        If the system does not give the file.
    """
    with opened(path) as (container, stream, codec):
        digest = hashlib.sha256(_decoder_facts(codec))
        frame = start = None
        ticks = count = 0
        for packet in _packets(container, stream):
            digest.update(packet)
            ticks += packet.duration or 0
            start = packet.pos if start is None else start
            if frame is None and count < _LOST_PACKETS:
                frame = _first_frame(codec, packet)
            count += 1
        if not count:
            raise AudioError("the file holds no audio", code="no-samples")
        if frame is None:
            raise AudioError(
                f"none of its first {min(count, _LOST_PACKETS)} packets can be decoded",
                code="damaged",
            )
        # Packets of WavPack in a pipe do not say how long they are.
        length = float(ticks * (stream.time_base or 0)) or count * frame.samples / frame.sample_rate
        seconds = stated_length(path, container, stream, start) or length
        # Of pieces that were joined, a header states the first one's length.
        if length > 1.01 * seconds + 0.1:
            seconds = length
        return AudioInfo(
            seconds,
            frame.sample_rate,
            frame.layout.nb_channels,
            codec.name,
            digest.hexdigest(),
        )


def _packets(container: "InputContainer", stream: "AudioStream") -> Iterator["Packet"]:
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.FFmpegError:
        # The container breaks off; decoding will tell how much is missing.
        return


def _first_frame(codec: "AudioCodecContext", packet: "Packet") -> "AudioFrame | None":
    try:
        for frame in codec.decode(packet):
            check_format(frame)
            return frame
    except av.FFmpegError:
        pass
    return None


def _decoder_facts(codec: "AudioCodecContext") -> bytes:
    """What decides, beside the packets, how they sound."""
    extra = bytes(codec.extradata or b"")
    if codec.name == "vorbis":
        extra = _without_comments(extra)
    return f"{codec.name} {codec.sample_rate} {codec.layout.name} ".encode() + extra


def _without_comments(headers: bytes) -> bytes:
    """Vorbis' three headers in Xiph's lacing, without the second, which holds the tags."""
    if headers[:1] != b"\x02":
        return headers
    sizes, place = [], 1
    for _ in range(2):
        size = 0
        while place < len(headers):
            size += headers[place]
            place += 1
            if headers[place - 1] != 255:
                break
        sizes.append(size)
    first = place + sizes[0]
    return headers[place:first] + headers[first + sizes[1] :]


# --- how long a file says it is ------------------------------------------------------------------


def stated_length(
    path: Path, container: "InputContainer", stream: "AudioStream", start: int | None
) -> float | None:
    """Return the length that a file's header states, in seconds; None where it states none.

    A length that is guessed from the size of the file, or read off its last page, is none: a file
    that was cut off is as long as that says. `start` is the place of the first packet in the file.
    """
    name = container.format.name
    if name == "mp3":
        return _mp3_length(path, start or 0, stream.codec_context.sample_rate)
    if name in ("wav", "w64"):
        return _wave_length(path, stream)
    if name == "asf":
        return _asf_length(path)
    if name == "ogg" and ends_whole(path) and stream.duration and stream.time_base:
        # The last page counts the samples before it.
        return float(stream.duration * stream.time_base)
    if name not in _STATES_ITS_LENGTH:
        return None
    if name == "matroska,webm" and len(container.streams) > 1:
        return _seconds(stream.metadata.get("DURATION", ""))
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def ends_whole(path: Path) -> bool:
    """Return whether the last page of an Ogg file is marked as the last."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LARGEST_PAGE))
        tail = file.read()
    start = tail.rfind(b"OggS")
    # A page's sixth byte holds its flags (RFC 3533); 4 marks the end of a stream.
    return start < 0 or len(tail) < start + 6 or bool(tail[start + 5] & 4)


_LARGEST_PAGE = 65_307


def is_tag(path: Path, place: int) -> bool:
    """Return whether a tag (ID3, APE) stands at a place in a file."""
    with path.open("rb") as file:
        file.seek(place)
        return file.read(8).startswith((b"ID3", b"TAG", b"APETAGEX"))


def _mp3_length(path: Path, start: int, rate: int) -> float | None:
    """By the number of frames in a Xing, Info or VBRI header, which FFmpeg passes over."""
    with path.open("rb") as file:
        file.seek(max(0, start - _LARGEST_FRAME))
        header = file.read(min(start, _LARGEST_FRAME))
    frames = None
    for name, place in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        found = header.rfind(name)
        if found >= 0 and len(field := header[found + place : found + place + 4]) == 4:
            # Xing says by its flags whether it counts frames.
            counts = name == b"VBRI" or header[found + 7] & 1
            frames = int.from_bytes(field) if counts else None
    samples = 1152 if rate >= 32_000 else 576
    return frames * samples / rate if frames and rate else None


_LARGEST_FRAME = 2881
"""Bytes in a frame of MP3 at most."""


def _asf_length(path: Path) -> float | None:
    """As FFmpeg has it, but for files written into a pipe, of which FFmpeg makes a guess."""
    try:
        return float(ASF(path).info.length) or None  # type: ignore[attr-defined]
    except Exception:  # Whatever it stumbles over, it then states no length.
        return None


def _wave_length(path: Path, stream: "AudioStream") -> float | None:
    """By the size that the header of the samples states, which the file may not have."""
    with path.open("rb") as file:
        stated = _wave_data_bytes(file)
    bytes_per_s = (stream.codec_context.bit_rate or 0) / 8
    return stated / bytes_per_s if stated and bytes_per_s else None


def _wave_data_bytes(file: BinaryIO) -> int | None:
    """The size that the header of the samples states, in RIFF, RF64 or Sony's W64."""
    head = file.read(12)
    wide = head[:4] == b"riff"
    if wide:
        file.seek(40)
    long_size = None
    while header := _chunk(file, wide):
        name, size = header
        if name == b"data":
            if head[:4] == b"RF64" and size >= _UNKNOWN_SIZE:
                return long_size
            # Written into a pipe, a header states 0, or the largest size there is.
            return size if 0 < size < (1 << 62 if wide else _UNKNOWN_SIZE) else None
        if name == b"ds64":
            long_size = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
            size -= 16
        if size < 0:
            return None
        file.seek(size + (-size % 8 if wide else size % 2), 1)
    return None


def _chunk(file: BinaryIO, wide: bool) -> tuple[bytes, int] | None:
    """Name and size of the next chunk. W64 has names of 16 bytes, and sizes that count them."""
    header = file.read(24 if wide else 8)
    if len(header) < (24 if wide else 8):
        return None
    if wide:
        return header[:4], struct.unpack("<q", header[16:])[0] - 24
    return header[:4], struct.unpack("<I", header[4:])[0]


_UNKNOWN_SIZE = 0x7FFF0000


def _seconds(clock: str) -> float | None:
    """Matroska's ``00:03:12.345000000`` in seconds."""
    try:
        hours, minutes, seconds = clock.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
