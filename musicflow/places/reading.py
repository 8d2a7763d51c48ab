"""Reading files elsewhere by range.

Bytes come in blocks that grow while a file is read on, and are kept for a while.
"""

import contextlib
import io
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from musicflow.places.asking import told
from musicflow.places.errors import CHANGED, CHANGED_WORDS, FileElsewhereError, PlaceError
from musicflow.places.listing import status_of
from musicflow.places.view import View

if TYPE_CHECKING:
    from musicflow.places.remote import Remote

BLOCK = 1 << 14
"""Bytes that are read at once, at least."""

_MOST_AHEAD = 512
"""Blocks that are read at once, at most: 8 MiB."""

_KEPT_BYTES = 32_000_000
"""Bytes of blocks that are kept, so that a file is fetched once for its sound and its tags."""


class RemoteFile(View):
    """A file elsewhere, read by range.

    Whoever reads it may take an error for its end, as decoders do: then it is raised when the file
    is closed.

    Parameters
    ----------
    where
        The file.
    """

    def __init__(self, where: "Remote") -> None:
        self._where = where
        self.status = where.stat()
        super().__init__(self.status.st_size)
        self.failure: FileElsewhereError | PlaceError | None = None
        self._next, self._ahead = -1, 1
        self._handle: Any = None
        self._key = (where.address, self.status.etag or str(self.status.st_mtime_ns))

    @property
    def name(self) -> str:
        """The address, by which readers of tags know the kind of file."""
        return self._where.address

    def read(self, size: int = -1) -> bytes:
        """Read from here on.

        Raises
        ------
        FileElsewhereError
            If the place does not answer, or the file is gone or another one by now.
        """
        there = max(0, self._size - self._place)
        wanted = there if size is None or size < 0 else min(size, there)
        end, parts = self._place + wanted, []
        while self._place < end:
            number, offset = divmod(self._place, BLOCK)
            part = self._block(number)[offset : offset + end - self._place]
            parts.append(part)
            self._place += len(part)
        return b"".join(parts)

    def readinto(self, target: Any) -> int:
        """Read as much as fits; see `read`."""
        content = self.read(len(target))
        target[: len(content)] = content
        return len(content)

    def will_read(self, start: int, end: int) -> None:
        """Fetch a range at once."""
        first, last = start // BLOCK, min(-(-end // BLOCK), self._blocks)
        while first < last and blocks.get((*self._key, first)) is not None:
            first += 1
        if first < last:
            self._fetch(first, last)

    def __exit__(self, *_: object) -> None:
        self.close()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Close it."""
        if self._handle is not None:
            with contextlib.suppress(Exception):
                self._handle.close()
        self._handle = None
        super().close()

    @property
    def _blocks(self) -> int:
        return -(-self._size // BLOCK)

    def _block(self, number: int) -> bytes:
        found = blocks.get((*self._key, number))
        if found is None:
            self._ahead = min(4 * self._ahead, _MOST_AHEAD) if number == self._next else 1
            last = min(number + self._ahead, self._blocks)
            known = (n for n in range(number + 1, last) if blocks.get((*self._key, n)))
            found = self._fetch(number, next(known, last))[:BLOCK]
        return found

    def _fetch(self, first: int, last: int) -> bytes:
        """Fetch some adjoining blocks at once, and keep them."""
        start, end = first * BLOCK, min(last * BLOCK, self._size)
        try:
            content = told(self._where.address, lambda: self._range(start, end), end - start)
        except (FileElsewhereError, PlaceError) as error:
            self.failure = error
            raise
        for number in range(first, last):
            offset = (number - first) * BLOCK
            blocks.keep((*self._key, number), content[offset : offset + BLOCK])
        self._next = last
        return content

    def _range(self, start: int, end: int) -> bytes:
        if self._handle is None:
            self._handle = self._where.take_handle()
            self._compare(self._where.known_by(self._handle))
        handle, self._handle = self._handle, None
        handle.seek(start)
        content = bytes(handle.read(end - start))
        # A handle that failed may stay broken, and is not taken again.
        self._handle = handle
        if len(content) != end - start:
            raise OSError(f"{len(content)} of {end - start} bytes came")
        return content

    def _compare(self, info: Mapping[str, Any]) -> None:
        if status_of(info).etag != self.status.etag:
            raise FileElsewhereError(CHANGED_WORDS, self._where.address, CHANGED)


class Source(View):
    """A part of a file elsewhere, for FFmpeg, which takes an error for the end of the file.

    See `settle`, which raises the error afterwards.

    Parameters
    ----------
    file
        The file.
    start, end
        Its first byte, and the byte behind its last; None for all of it.
    """

    def __init__(self, file: Any, start: int = 0, end: int | None = None) -> None:
        super().__init__((file.seek(0, io.SEEK_END) if end is None else end) - start)
        self._file, self._start = file, start
        self.failure: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        """Read from here on; nothing once it failed."""
        there = max(0, self._size - self._place)
        wanted = there if size < 0 else min(size, there)
        try:
            if self.failure is not None:
                return b""
            self._file.seek(self._start + self._place)
            content = bytes(self._file.read(wanted))
        except (FileElsewhereError, PlaceError) as error:
            self.failure = error
            return b""
        self._place += len(content)
        return content

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def settle(source: object) -> None:
    """Close what FFmpeg read from, if it is a `Source`.

    Raises
    ------
    FileElsewhereError
        If it could not be read to where FFmpeg wanted to read.
    PlaceError
        If the place did not answer for other files, either.
    """
    if isinstance(source, Source):
        source.close()
        if source.failure is not None:
            raise source.failure


class _Blocks:
    """The blocks that were read last."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._kept: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def get(self, key: tuple[str, str, int]) -> bytes | None:
        with self._lock:
            if (found := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
            return found

    def keep(self, key: tuple[str, str, int], block: bytes) -> None:
        with self._lock:
            self._bytes += len(block) - len(self._kept.pop(key, b""))
            self._kept[key] = block
            while self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1])


blocks = _Blocks(_KEPT_BYTES)
