"""Makers of audio files: by encoders, by libraries, or byte by byte."""

import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import mutagen.apev2
import mutagen.flac
import mutagen.id3
import numpy as np
import soundfile

from musicflow_tests.audio.music import Audio


class ToolMissingError(Exception):
    """An encoder that is not installed."""


Maker = Callable[..., None]
"""Takes a path to write to and one or more pieces of `Audio`."""


def _run(command: Sequence[str | Path], **options: object) -> None:
    if shutil.which(str(command[0])) is None:
        raise ToolMissingError(f"{command[0]} is not installed")
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr[-500:]!r}")


def _source(folder: Path, audio: Audio, subtype: str = "FLOAT") -> Path:
    path = folder / "source.wav"
    soundfile.write(path, audio.samples, audio.rate, subtype=subtype)
    return path


def tool(*command: str, subtype: str = "FLOAT") -> Maker:
    """Encode with a command: ``IN`` and ``OUT`` stand for the files; no ``OUT``, a pipe."""

    def make(path: Path, audio: Audio) -> None:
        with tempfile.TemporaryDirectory() as folder:
            names = {"IN": _source(Path(folder), audio, subtype), "OUT": path}
            filled = [names.get(part, part) for part in command]
            if "OUT" in command:
                _run(filled, stdout=subprocess.DEVNULL)
            else:
                with path.open("wb") as file:
                    _run(filled, stdout=file)

    return make


def ffmpeg(*options: str) -> Maker:
    fixed = ("ffmpeg", "-v", "error", "-y", "-bitexact", "-i", "IN")
    if "lavfi" in options:  # a picture to go with the sound
        fixed = ("ffmpeg", "-v", "error", "-y", *options[:4], "-i", "IN", "-shortest")
        options = options[4:]
    return tool(*fixed, *options, "-strict", "-2", "OUT")


def to_pipe(*options: str) -> Maker:
    return tool("ffmpeg", "-v", "error", "-i", "IN", *options, "-")


def lame(*options: str) -> Maker:
    return tool("lame", "--quiet", *options, "IN", "OUT", subtype="PCM_16")


def written(**how: str) -> Maker:
    """Write with libsndfile."""
    return lambda path, audio: soundfile.write(path, audio.samples, audio.rate, **how)


def of_bytes(content: bytes) -> Maker:
    return lambda path, _audio: path.write_bytes(content)  # type: ignore[return-value]


def then(make: Maker, *changes: Callable[[bytes], bytes]) -> Maker:
    """Change the bytes of the file that `make` made."""

    def changed(path: Path, *pieces: Audio) -> None:
        make(path, *pieces)
        content = path.read_bytes()
        for change in changes:
            content = change(content)
        path.write_bytes(content)

    return changed


def joined(make: Maker) -> Maker:
    """Write the files of several pieces one behind the other into one file."""

    def make_all(path: Path, *pieces: Audio) -> None:
        content = b""
        for piece in pieces:
            make(path, piece)
            content += path.read_bytes()
        path.write_bytes(content)

    return make_all


def tagged(make: Maker, tag: Callable[[Path], None]) -> Maker:
    def make_and_tag(path: Path, audio: Audio) -> None:
        make(path, audio)
        tag(path)

    return make_and_tag


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        if old not in content:
            raise ValueError(f"{old!r} is not in the file")
        return content.replace(old, new, 1)

    return change


def overwritten(at: float, with_: bytes) -> Callable[[bytes], bytes]:
    """Write other bytes over those at a share of the file's length."""

    def change(content: bytes) -> bytes:
        start = int(at * len(content))
        return content[:start] + with_ + content[start + len(with_) :]

    return change


def patched(at: int, layout: str, *values: int | float) -> Callable[[bytes], bytes]:
    """Write packed values over those at a place of a header."""

    def change(content: bytes) -> bytes:
        packed = struct.pack(layout, *values)
        return content[:at] + packed + content[at + len(packed) :]

    return change


def behind(junk: bytes) -> Callable[[bytes], bytes]:
    return lambda content: junk + content


def random_bytes(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def with_cover(size: int) -> Callable[[Path], None]:
    """ID3 with a title and a cover of so many bytes."""

    def tag(path: Path) -> None:
        tags = mutagen.id3.ID3()
        tags.add(mutagen.id3.TIT2(encoding=3, text="A title"))
        tags.add(mutagen.id3.APIC(mime="image/jpeg", type=3, data=b"\xff\xd8" + random_bytes(size)))
        tags.save(path)

    return tag


def with_flac_cover(path: Path) -> None:
    picture = mutagen.flac.Picture()
    picture.mime, picture.type, picture.data = "image/jpeg", 3, b"\xff\xd8" + random_bytes(50_000)
    file = mutagen.flac.FLAC(path)
    file.add_picture(picture)
    file.save()


def with_ape_tag(path: Path) -> None:
    tags = mutagen.apev2.APEv2()
    tags["Title"] = "A title " * 100
    tags.save(path)


def wav(
    *,
    tag: int = 1,
    channels: int | None = None,
    rate: int | None = None,
    stated: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
    bits: int = 16,
) -> Maker:
    """Write a WAV by hand, 16 or 8 bits a sample, whose header may lie.

    Parameters
    ----------
    stated
        The size in bytes that the header gives to the samples.
    before, after
        Chunks before and behind the samples.
    """

    def make(path: Path, audio: Audio) -> None:
        samples = audio.samples.astype(np.float64)
        data = (
            np.int16(samples * 32767).tobytes()
            if bits == 16
            else np.uint8(samples * 127 + 128).tobytes()
        )
        count = audio.samples.shape[1] if channels is None else channels
        hertz = audio.rate if rate is None else rate
        frame = count * bits // 8
        layout = struct.pack(
            "<HHIIHH", tag, count, hertz, hertz * frame & 0xFFFFFFFF, frame & 0xFFFF, bits
        )
        size = len(data) if stated is None else stated
        body = (
            b"WAVE"
            + (b"fmt " + struct.pack("<I", len(layout)) + layout)
            + before
            + (b"data" + struct.pack("<I", size) + data)
            + after
        )
        path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)

    return make


def _bits(samples: np.ndarray, ratio: int = 64) -> np.ndarray:
    """One channel as the bits of DSD, by sigma-delta modulation of the first order."""
    steps = np.repeat(samples.astype(np.float64) * 0.5 + 0.5, ratio)
    return np.diff(np.floor(np.cumsum(steps)), prepend=0).astype(np.uint8)


def dsf(path: Path, audio: Audio) -> None:
    """Write DSD as Sony's DSF: blocks of 4096 bytes per channel, the first bit lowest."""
    bits = [_bits(channel) for channel in audio.samples.T]
    count = len(bits[0])
    packed = [np.packbits(channel, bitorder="little").tobytes() for channel in bits]
    size = 4096
    blocks = [
        channel[start : start + size].ljust(size, b"\0")
        for start in range(0, len(packed[0]), size)
        for channel in packed
    ]
    data = b"".join(blocks)
    header = struct.pack("<4sQQQ", b"DSD ", 28, 28 + 52 + 12 + len(data), 0)
    layout = (1, 0, 2, len(bits), audio.rate * 64, 1, count, size, 0)
    header += struct.pack("<4sQIIIIIIQII", b"fmt ", 52, *layout)
    path.write_bytes(header + struct.pack("<4sQ", b"data", 12 + len(data)) + data)


def dff(path: Path, audio: Audio) -> None:
    """Write DSD as Philips' DSDIFF: bytes of the channels by turns, the first bit highest."""
    packed = [np.packbits(_bits(channel)) for channel in audio.samples.T]
    data = np.stack(packed, axis=1).tobytes()

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack(">Q", len(content)) + content + b"\0" * (len(content) % 2)

    properties = (
        b"SND "
        + chunk(b"FS  ", struct.pack(">I", audio.rate * 64))
        + chunk(b"CHNL", struct.pack(">H", len(packed)) + b"SLFTSRGT")
        + chunk(b"CMPR", b"DSD \x0enot compressed\0")
    )
    body = (
        b"DSD "
        + chunk(b"FVER", b"\x01\x05\x00\x00")
        + chunk(b"PROP", properties)
        + chunk(b"DSD ", data)
    )
    path.write_bytes(b"FRM8" + struct.pack(">Q", len(body)) + body)


def flac_total(samples: int) -> Callable[[bytes], bytes]:
    """Write another total of samples into the header of a FLAC: 36 bits at byte 21."""

    def change(content: bytes) -> bytes:
        first = content[21] & 0xF0 | samples >> 32
        return content[:21] + struct.pack(">BI", first, samples & 0xFFFFFFFF) + content[26:]

    return change


def flac_rate(hertz: int) -> Callable[[bytes], bytes]:
    """Write another rate into the header of a FLAC: 20 bits at byte 18."""

    def change(content: bytes) -> bytes:
        packed = hertz << 4 | content[20] & 0x0F
        return content[:18] + packed.to_bytes(3, "big") + content[21:]

    return change


def xing_times(times: float) -> Callable[[bytes], bytes]:
    """Multiply the number of frames and bytes in the first header of Xing or LAME."""

    def change(content: bytes) -> bytes:
        at = max(content.find(b"Xing"), content.find(b"Info"))
        frames, size = struct.unpack_from(">II", content, at + 8)
        return patched(at + 8, ">II", int(frames * times), int(size * times))(content)

    return change


def adts_reserved_rate(content: bytes) -> bytes:
    """Name a rate in every header of ADTS that the standard reserves."""
    changed = bytearray(content)
    at = 0
    while at + 7 < len(content):
        changed[at + 2] = changed[at + 2] & 0xC3 | 13 << 2
        at += (content[at + 3] & 3) << 11 | content[at + 4] << 3 | content[at + 5] >> 5
    return bytes(changed)


def png() -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    rows = b"".join(b"\0" + random_bytes(3 * 64, row) for row in range(64))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def make_fifo(path: Path, _audio: Audio) -> None:
    os.mkfifo(path)
