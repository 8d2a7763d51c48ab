"""Containers: opening a file, its stream of audio and its facts."""

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, cast

import av
import av.logging
from av.stream import Discard

from musicflow import places, worker
from musicflow.audio import chunks, lengths, ogg
from musicflow.audio.errors import AudioError, reason_of
from musicflow.audio.marks import Marking
from musicflow.places import Place, Remote, Source

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
"""The kinds of files that are read, by suffix."""

_FORMATS = (
    "aac,ac3,aiff,ape,asf,au,caf,dsf,dts,dtshd,eac3,flac,iff,m4a,matroska,mov,mp3,mp4,mpc,mpc8,"
    "ogg,tta,w64,wav,webm,wv"
)
"""The formats that FFmpeg may detect. A playlist is none, as it would lead to other files."""

BARE = frozenset({"aac", "ac3", "dts", "dtshd", "eac3", "flac", "mp3"})
"""Formats without a container: their packets adjoin in the file."""
# fmt: on

RATES = (1_000, 768_000)
"""The least and the highest sample rate that are read, in hertz."""

MAX_CHANNELS = 64

_BRIEF_BYTES = 1 << 18
"""Smaller files are searched for another codec in their first packet only.

FFmpeg looks through 14 packets of a 16-bit WAV file for hidden DTS, as on a CD. That takes ten
times as long as opening the file, and no piece of a second and a half is one.
"""

_LOST_PACKETS = 64
"""The number of first packets of which one must be decodable."""


@dataclass(frozen=True)
class AudioInfo:
    """The facts of a file that need no full decoding.

    Parameters
    ----------
    duration_s
        Seconds, by its header or the sum of its packets; 0 if neither is known.
    sample_rate
        The decoder's, in hertz.
    channels
        The decoder's.
    codec
        FFmpeg's name of the decoder.
    audio_hash
        SHA-256 of the packets of audio and the decoder's parameters: 64 hexadecimal digits. It
        does not depend on tags and pictures.
    marks
        Where its packets lie, see `Marks`; another tag may move them. Empty where a part of it
        cannot be read alone.
    """

    duration_s: float
    sample_rate: int
    channels: int
    codec: str
    audio_hash: str
    marks: str = ""


@dataclass(frozen=True)
class Piece:
    """The bytes of a file that FFmpeg opens at once: nearly always all of it.

    Parameters
    ----------
    path
        The file.
    start, end
        Its first byte, and the byte behind its last.
    pads
        Places before which a pad byte is missing; see `chunks.missing_pads`.
    """

    path: Place
    start: int
    end: int
    pads: tuple[int, ...] = ()

    def opened(self) -> "str | chunks.Padded | Source":
        """Return the address or the file object for PyAV."""
        # FFmpeg may take the beginning of a relative path for a protocol.
        path = self.path.absolute()
        if isinstance(path, Remote):
            if self.pads:
                return Source(chunks.Padded(path, list(self.pads)))
            return Source(path.open("rb"), self.start, self.end)
        if self.pads:
            return chunks.Padded(path, list(self.pads))
        if (self.start, self.end) == (0, path.stat().st_size):
            return str(path)
        return f"subfile,,start,{self.start},end,{self.end},,:{path}"


def pieces(path: Place) -> list[Piece]:
    """Split a file into pieces that FFmpeg can open at once.

    Raises
    ------
    AudioError
        If it is empty, or no file.
    OSError
        If it cannot be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise AudioError("not a regular file", code="not-a-file")
    if status.st_size == 0:
        raise AudioError("the file is empty (0 bytes)", code="empty")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == ogg.MAGIC:
        return [Piece(path, start, end) for start, end in ogg.links(path)]
    return [whole(path)]


def whole(path: Place) -> Piece:
    """Return a file as one piece."""
    return Piece(path, 0, path.stat().st_size, tuple(chunks.missing_pads(path)))


@contextmanager
def opened(
    piece: Piece,
) -> Iterator[tuple["InputContainer", "AudioStream", "AudioCodecContext"]]:
    """Open the stream of audio that a player would play.

    Raises
    ------
    AudioError
        If it cannot be opened, holds no audio, or audio that no decoder knows.
    """
    if worker.log() is not None:
        _let_ffmpeg_speak()
    options = {"format_whitelist": _FORMATS}
    if piece.end - piece.start < _BRIEF_BYTES:
        options["max_probe_packets"] = "1"
    source = piece.opened()
    try:
        with av.open(source, metadata_errors="replace", options=options) as container:
            stream = container.streams.best("audio")
            if stream is None:
                raise AudioError("the file holds no stream of audio", code="not-audio")
            codec = stream.codec_context
            if codec is None:
                raise AudioError("no decoder knows the codec of its audio", code="no-decoder")
            for other in container.streams:
                if other is not stream:
                    other.discard = Discard.all
            found = container, stream, codec
            yield cast("tuple[InputContainer, AudioStream, AudioCodecContext]", found)
    except av.FFmpegError as error:
        reason = f"not a readable audio file ({reason_of(error)})"
        raise AudioError(reason, code="not-audio") from error
    finally:
        places.settle(source)


@cache
def _let_ffmpeg_speak() -> None:
    """Let FFmpeg write its messages to standard error, which PyAV turns off."""
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


def examine(path: Place) -> AudioInfo:
    """Read all packets of a file, and decode the first.

    Raises
    ------
    AudioError
        If the file is empty, is no audio, or its beginning cannot be decoded.
    OSError
        If the system does not give the file.
    """
    digest = hashlib.sha256()
    found = [_examine(piece, digest) for piece in pieces(path)]
    return replace(
        found[0],
        duration_s=sum(info.duration_s for info in found),
        audio_hash=digest.hexdigest(),
        # The pieces of a chain have times of their own.
        marks=found[0].marks if len(found) == 1 else "",
    )


def _examine(piece: Piece, digest: "hashlib._Hash") -> AudioInfo:
    with opened(piece) as (container, stream, codec):
        digest.update(_decoder_facts(codec))
        frame = start = None
        ticks = count = 0
        marking = Marking(float(stream.time_base or 1), container.format.name in BARE)
        for packet in _packets(container, stream):
            digest.update(packet)
            ticks += packet.duration or 0
            marking.add(packet)
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
        # Packets of WavPack from a pipe do not state their length.
        length = float(ticks * (stream.time_base or 0)) or count * frame.samples / frame.sample_rate
        seconds = lengths.stated(piece, container, stream, start) or length
        # The header of joined pieces states the length of the first one.
        if length > 1.01 * seconds + 0.1:
            seconds = length
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        return AudioInfo(seconds, rate, channels, codec.name, "", marking.stored)


def _packets(container: "InputContainer", stream: "AudioStream") -> Iterator["Packet"]:
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.FFmpegError:
        # The container breaks off. Decoding finds out how much is missing.
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
    """Return the facts, beside the packets, that decide how they sound."""
    extra = bytes(codec.extradata or b"")
    if codec.name == "vorbis":
        extra = _without_comments(extra)
    return f"{codec.name} {codec.sample_rate} {codec.layout.name} ".encode() + extra


def _without_comments(headers: bytes) -> bytes:
    """Return Vorbis' three headers, in Xiph's lacing, without the one with tags."""
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


def is_tag(path: Place, place: int) -> bool:
    """Return whether a tag (ID3, APE) stands at a place in a file."""
    with path.open("rb") as file:
        file.seek(place)
        return file.read(8).startswith((b"ID3", b"TAG", b"APETAGEX"))
