"""Ogg's pages (RFC 3533): the ends of streams, and whether the last one is there.

FFmpeg reads a chain of streams only while rate and channels stay the same. So each stream is
opened alone.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager

from musicflow.places import Place, Remote

MAGIC = b"OggS"

_HEADER = 27
"""Bytes of a page before its table of segments."""

_BEGINS, _ENDS = 2, 4
"""Flags of the first page and of the last page of a stream."""


def links(path: Place) -> list[tuple[int, int]]:
    """Return first and last byte of each link of a chain of streams; at least one."""
    size = path.stat().st_size
    starts, before = [0], _BEGINS
    for place, flags in _pages(path):
        # Parallel streams begin on adjoining pages.
        if flags & _BEGINS and not before & _BEGINS:
            starts.append(place)
        before = flags
    return list(zip(starts, [*starts[1:], size], strict=True))


def ends_whole(path: Place, end: int) -> bool:
    """Return whether the last page before `end` is marked as the last of its stream."""
    flags = _ENDS
    with path.open("rb") as file:
        file.seek(max(0, end - _LARGEST_PAGE))
        tail = file.read(min(end, _LARGEST_PAGE))
    place = tail.rfind(MAGIC)
    if place >= 0 and len(tail) >= place + _HEADER:
        flags = tail[place + 5]
    return bool(flags & _ENDS)


_LARGEST_PAGE = 65_307


def _pages(path: Place) -> Iterator[tuple[int, int]]:
    """Yield place and flags of each page, passing over damaged ones."""
    with _content(path) as content:
        place = content.find(MAGIC)
        while place >= 0 and place + _HEADER <= len(content):
            yield place, content[place + 5]
            segments = content[place + _HEADER - 1]
            table = content[place + _HEADER : place + _HEADER + segments]
            place = content.find(MAGIC, place + _HEADER + segments + sum(table))


@contextmanager
def _content(path: Place) -> "Iterator[bytes | mmap.mmap]":
    with path.open("rb") as file:
        if isinstance(path, Remote):
            yield file.read()
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content
