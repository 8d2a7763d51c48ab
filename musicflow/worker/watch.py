"""What a worker notes of its work, for its parent to see, and what it says to standard error."""

import contextlib
import mmap
import os
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

_LOG_BYTES = 5_000_000
"""A log that is larger than this becomes the old one, and a new one is begun."""

GRACE_S = 10.0
"""The time that a generator has to end when it is no longer wanted."""

_WORDS = 10_000
"""The most bytes that are logged for one item."""

_Cells: TypeAlias = "array[float] | memoryview[float]"


class Watch:
    """The number of the item that a thread of a process works on, and since when: two cells."""

    def __init__(self, cells: _Cells) -> None:
        self._cells = cells
        self._thread: int | None = None

    def begin(self, number: int) -> None:
        """Note the item that this thread works on from now on."""
        self._thread = threading.get_ident()
        # In this order: nobody must see the new item with the time of the old one.
        self._cells[1] = 0.0
        self._cells[0] = number
        self._cells[1] = time.monotonic()

    def pause(self) -> float | None:
        """Stop the clock, until `resume` or `begin`; return what it shows, None if it stood."""
        since = self._cells[1]
        self._cells[1] = 0.0
        return time.monotonic() - since if since else None

    def resume(self, worked_s: float | None) -> None:
        """Let the clock go on from what `pause` returned."""
        if worked_s is not None:
            self._cells[1] = time.monotonic() - worked_s

    @property
    def is_mine(self) -> bool:
        """Whether the thread that asks is the one that works on items."""
        return self._thread == threading.get_ident()

    @property
    def number(self) -> int | None:
        """The item that was worked on last; None before the first."""
        return int(self._cells[0]) if self._cells[0] >= 0 else None

    @property
    def worked_s(self) -> float:
        """Seconds of work on the item so far; 0 while it waits."""
        since = self._cells[1]
        return time.monotonic() - since if since else 0.0


NOTHING = (-1.0, 0.0)


@contextlib.contextmanager
def shared_watch() -> Iterator[tuple[Watch, Path]]:
    """Yield a watch, and the file by which another process shares it."""
    handle, name = tempfile.mkstemp(prefix="musicflow-watch-")
    try:
        with os.fdopen(handle, "r+b") as file:
            file.write(array("d", NOTHING).tobytes())
            file.flush()
            shared = mmap.mmap(file.fileno(), 0)
        with shared, memoryview(shared).cast("d") as cells:
            yield Watch(cells), Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


class Words:
    """What a worker writes to standard error, kept in a file of its own until it is logged.

    Parameters
    ----------
    file
        The file's descriptor.
    log
        The log.
    names
        The names of the items.
    """

    def __init__(self, file: int, log: Path, names: Sequence[str]) -> None:
        self._file = file
        self.log = log
        self._names = names
        self._lock = threading.Lock()

    def collect(self, number: int | None) -> None:
        """Log what was written since the last call, under the name of the item at work."""
        with self._lock:
            if not os.fstat(self._file).st_size:
                return
            os.lseek(self._file, 0, os.SEEK_SET)
            text = os.read(self._file, _WORDS)
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
        name = name_of(number, self._names) or "(no file)"
        # That nothing can be logged is no reason to stop.
        with contextlib.suppress(OSError):
            _append(self.log, name, text)


def name_of(number: int | None, names: Sequence[str]) -> str | None:
    """Return the name of an item; None if it has none."""
    return names[number] if number is not None and number < len(names) else None


def _append(log: Path, name: str, text: bytes) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
    head = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(name.split())}\n"
    lines = b"".join(b"    " + line + b"\n" for line in text.splitlines() if line.strip())
    # All at once, so that the lines of two workers do not mix.
    with log.open("ab", buffering=0) as file:
        file.write(head.encode("utf-8", "backslashreplace") + lines)
