"""Marks: where in a file some of its packets lie, about one a second.

They are taken when all of a file is read, and let it be read in part later: a decoder goes on at a
mark as if it had read up to there.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.packet import Packet

_EVERY_S = 1.0


class Marking:
    """Takes the marks of a file while its packets go by.

    Parameters
    ----------
    tick_s
        The unit of the packets' times in seconds.
    is_bare
        Whether packets adjoin in the file.
    """

    def __init__(self, tick_s: float, is_bare: bool) -> None:
        self._every = _EVERY_S / tick_s
        self._is_bare = is_bare
        self._marks: list[tuple[int, int]] = []
        self._is_sound = True
        self._before = -1
        self._end: int | None = None

    def add(self, packet: "Packet") -> None:
        """Take in the next packet."""
        time, place = packet.pts, packet.pos
        if time is None or place is None or not packet.duration:
            self._is_sound = False
            return
        if self._is_bare and self._end not in (None, place):
            self._is_sound = False
        self._end = place + packet.size
        # Of the packets of a page of Ogg, which share a place, the first.
        is_first, self._before = place > self._before, max(place, self._before)
        if is_first and (not self._marks or time - self._marks[-1][0] >= self._every):
            self._marks.append((time, place))

    @property
    def stored(self) -> str:
        """The marks as a text; empty if a file with them could not be read from within."""
        if not self._is_sound or len(self._marks) < 2:
            return ""
        steps = np.diff(np.array(self._marks, np.int64), axis=0, prepend=0)
        return zlib.compress(steps.astype("<i8").tobytes(), 9).hex()


class Marks(Sequence[tuple[int, int]]):
    """The time (in ticks) and the place (in bytes) of some packets, ascending.

    Parameters
    ----------
    stored
        As `Marking.stored` has them.
    """

    def __init__(self, stored: str) -> None:
        steps = np.frombuffer(zlib.decompress(bytes.fromhex(stored)), "<i8").reshape(-1, 2)
        self._times, self._places = np.cumsum(steps, axis=0).T

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        """Return time and place of a mark."""
        return int(self._times[number]), int(self._places[number])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return (self[number] for number in range(len(self)))

    def before(self, time: float) -> tuple[int, int]:
        """Return the last mark that is not later than a time; the first if all are."""
        return self[max(0, int(np.searchsorted(self._times, time, "right")) - 1)]

    def behind(self, time: float) -> int | None:
        """Return the place of the first mark that is later than a time; None if none is."""
        number = int(np.searchsorted(self._times, time, "right"))
        return int(self._places[number]) if number < len(self) else None
