"""The length that a file's header states."""

from typing import TYPE_CHECKING

import av
from mutagen.asf import ASF

from musicflow.audio import chunks, ogg
from musicflow.places import Place

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

    from musicflow.audio.container import Piece

# fmt: off
_STATES_IT = frozenset({
    "aiff", "ape", "au", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mpc", "mpc8", "tta",
    "wv",
})
"""Containers whose length FFmpeg reads from a header, and neither guesses nor reads off the end."""
# fmt: on

_OF_CHUNKS = frozenset({"caf", "dsf", "iff", "w64", "wav"})
"""Containers that FFmpeg reads as whole if they are cut off; their headers state sizes."""


def stated(
    piece: "Piece", container: "InputContainer", stream: "AudioStream", start: int | None
) -> float | None:
    """Return the length that a file's header states, in seconds; None where it states none.

    A length that is guessed from the file's size, or read off its last page, does not count: it
    would hide that a file was cut off. `start` is the place of the first packet in the file.
    """
    name = container.format.name
    if name == "mp3":
        return _of_mp3(piece.path, start or 0, stream.codec_context.sample_rate)
    if name == "asf":
        return _of_asf(piece.path)
    if name == "matroska,webm" and len(container.streams) > 1:
        return _seconds(stream.metadata.get("DURATION", ""))
    if stream.duration is not None and stream.time_base is not None:
        length = float(stream.duration * stream.time_base)
    else:
        length = container.duration / av.time_base if container.duration else 0.0
    if name in _OF_CHUNKS:
        samples = chunks.samples_of(piece.path)
        return length * samples.share_in(piece.end) if samples and length else None
    # The page that ends an Ogg stream states the samples before it.
    states = name in _STATES_IT or (name == "ogg" and ogg.ends_whole(piece.path, piece.end))
    return length or None if states else None


def _of_mp3(path: Place, start: int, rate: int) -> float | None:
    """Return the length by the Xing (Info) or VBRI header before the first frame."""
    with path.open("rb") as file:
        file.seek(max(0, start - _LARGEST_FRAME))
        header = file.read(min(start, _LARGEST_FRAME))
    samples, frame = 0, 1152 if rate >= 32_000 else 576
    if (place := max(header.rfind(b"Xing"), header.rfind(b"Info"))) >= 0:
        samples = _xing_samples(header[place:], frame)
    elif (place := header.rfind(b"VBRI")) >= 0:
        samples = int.from_bytes(header[place + 14 : place + 18]) * frame
    return samples / rate if samples > 0 and rate else None


def _xing_samples(header: bytes, frame: int) -> int:
    """Return the samples of all frames, less the encoder's padding by LAME's tag."""
    if len(header) < 12 or not header[7] & 1:
        return 0
    # Flags say which fields are there: frames, bytes, a table and the quality.
    lame = 8 + sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if header[7] & bit)
    before_and_behind = header[lame + 21 : lame + 24]
    if header[lame : lame + 1] != b"L" or len(before_and_behind) < 3:
        before_and_behind = bytes(3)
    padding = int.from_bytes(before_and_behind)
    return int.from_bytes(header[8:12]) * frame - (padding >> 12) - (padding & 0xFFF)


_LARGEST_FRAME = 2881
"""The most bytes in a frame of MP3."""


def _of_asf(path: Place) -> float | None:
    """Return the length by ASF's header; None for files written into a pipe."""
    with path.open("rb") as file:
        try:
            return float(ASF(file).info.length) or None  # type: ignore[attr-defined]
        except Exception:  # A header that cannot be read states no length.
            return None


def _seconds(clock: str) -> float | None:
    """Return Matroska's ``00:03:12.345000000`` in seconds."""
    try:
        hours, minutes, seconds = clock.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
