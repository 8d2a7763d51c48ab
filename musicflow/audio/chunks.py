"""Chunks of RIFF and its kin: where a header says that the samples lie.

FFmpeg takes a file that is shorter than its header states for a whole one. It also finds no
samples behind a chunk of odd size whose pad byte is missing.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from musicflow.places import Place, View

_UNKNOWN = 0x7FFF0000
"""Larger sizes are placeholders, of headers that were written into a pipe."""


_MAX_CHUNKS = 1000
"""The most chunks to read. A file of zeros would consist of empty chunks."""


@dataclass(frozen=True)
class Samples:
    """The place of a file's samples: their first byte, and their size by the header."""

    start: int
    size: int

    def share_in(self, file_size: int) -> float:
        """Return the stated size over the size that is there; 1 if all is there."""
        there = min(self.size, file_size - self.start)
        return self.size / there if there > 0 else 1.0


def samples_of(path: Place) -> Samples | None:
    """Return the place of the samples; None if the header does not state their size."""
    with path.open("rb") as file:
        form = file.read(4)
        if form not in _FORMS:
            return None
        return _FORMS[form](file)


def _riff(file: BinaryIO) -> Samples | None:
    file.seek(12)
    long_size = None
    for name, size, start in _chunks(file, "<4sI"):
        if name == b"ds64":
            long_size = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
        if name == b"data":
            size = long_size if size >= _UNKNOWN and long_size else size
            return Samples(start, size) if size > 0 and (long_size or size < _UNKNOWN) else None
    return None


def _w64(file: BinaryIO) -> Samples | None:
    # Names of 16 bytes, and sizes that count their header.
    file.seek(40)
    for name, size, start in _chunks(file, "<4s12xq", align=8, counted=24):
        if name == b"data":
            return Samples(start, size) if 0 < size < 1 << 62 else None
    return None


def _caf(file: BinaryIO) -> Samples | None:
    file.seek(8)
    for name, size, start in _chunks(file, ">4sq", align=1):
        if name == b"data":
            return Samples(start, size) if size > 0 else None
    return None


def _dsf(file: BinaryIO) -> Samples | None:
    total = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
    return Samples(28, total - 28) if total > 28 else None


def _dff(file: BinaryIO) -> Samples | None:
    size = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0]
    return Samples(12, size) if 0 < size < 1 << 62 else None


_FORMS = {
    b"RIFF": _riff, b"RF64": _riff, b"riff": _w64, b"caff": _caf, b"DSD ": _dsf, b"FRM8": _dff
}  # fmt: skip


def _chunks(
    file: BinaryIO, form: str, align: int = 2, counted: int = 0
) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, size and first byte of each chunk from here on."""
    length = struct.calcsize(form)
    for _ in range(_MAX_CHUNKS):
        header = file.read(length)
        if len(header) < length:
            return
        name, size = struct.unpack(form, header)
        start = file.tell()
        yield name, size - counted, start
        if size - counted < 0:
            return
        file.seek(start + size - counted + -(size - counted) % align)


# --- pad bytes that are missing ------------------------------------------------------------------


def missing_pads(path: Place) -> list[int]:
    """Return the places in a WAV file before which a pad byte is missing."""
    places: list[int] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return places
        file.seek(12)
        for _ in range(_MAX_CHUNKS):
            header = file.read(8)
            if len(header) < 8 or header[:4] == b"data":
                break
            end = file.tell() + struct.unpack("<I", header[4:])[0]
            if end % 2:
                # Chunks begin at even places, unless an earlier pad is missing.
                there = tuple(_is_chunk(file, place, size) for place in (end + 1, end))
                if there == (False, True):
                    places.append(end)
                    end -= 1
                end += 1
            file.seek(end)
    return places


def _is_chunk(file: BinaryIO, place: int, file_size: int) -> bool:
    file.seek(place)
    header = file.read(8)
    if len(header) < 8:
        return False
    name, size = struct.unpack("<4sI", header)
    named = name.isascii() and name.decode("ascii").isprintable()
    return named and (name == b"data" or place + 8 + size <= file_size)


class Padded(View):
    """A file with a zero byte inserted before each of some places.

    Parameters
    ----------
    path
        The file.
    places
        Places in the file, ascending.
    """

    def __init__(self, path: Place, places: list[int]) -> None:
        super().__init__(path.stat().st_size + len(places))
        self._file = path.open("rb")
        self._places = [place + number for number, place in enumerate(places)]

    def read(self, size: int = -1) -> bytes:
        """Read from here on, up to the next pad at most."""
        if self._place in self._places:
            self._place += 1
            return b"\0"
        before = sum(place < self._place for place in self._places)
        end = next((place for place in self._places if place > self._place), self._size)
        there = max(0, end - self._place)
        wanted = there if size < 0 else min(size, there)
        self._file.seek(self._place - before)
        content = self._file.read(wanted)
        self._place += len(content)
        return content

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
