"""Who may answer whom: what is left out of a ranking, so that nobody scores by finding himself.

Three rules, each with all that the one before leaves out:

- ``none``: the query itself.
- ``duplicates``: copies. Each recording takes part once, by its first track.
- ``artist``: for each query, the tracks of its own artist and of its own album. A model may
  know a voice or a mastering, and that is not the genre. `UNKNOWN` is no artist and no album.

The rule that made a figure stands beside it, in a `Protocol`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from musicflow.library import UNKNOWN, Track
from musicflow.settings import Exclude

_NOBODY = frozenset({"", UNKNOWN.casefold(), "unknown artist", "various artists", "various"})
"""What tags say where they do not name an artist."""

ENOUGH = 0.5
"""The artist rule holds only where this share of the queries keeps something to find."""

_BLOCK = 256


@dataclass(frozen=True)
class Protocol:
    """What an evaluation left out.

    Parameters
    ----------
    exclude
        The rule that was followed.
    gallery
        Recordings that took part.
    copies
        Tracks left out because a recording takes part once.
    artists
        Known artists among those that took part.
    note
        Why another rule was followed than the one asked for; empty if none was.
    k
        That of ``precision_at_k``.
    drawn
        Tracks that ask, drawn at random, where not all do; else 0.
    """

    exclude: Exclude
    gallery: int
    copies: int
    artists: int
    note: str = ""
    k: int = 10
    drawn: int = 0

    def __str__(self) -> str:
        left_out = {
            "none": "the query left out",
            "duplicates": "the query and copies of recordings left out",
            "artist": "the query, copies of recordings, and the query's artist and album left out",
        }[self.exclude]
        drawn = f"{self.drawn} of them ask, drawn at random, " if self.drawn else ""
        return (
            f"{left_out} ({self.gallery} recordings, {drawn}{self.copies} copies, "
            f"{self.artists} known artists)"
        )


class Labels:
    """What makes an answer right: tracks that share a label; some have several, some none.

    Parameters
    ----------
    sets
        The labels of each track.
    """

    def __init__(self, sets: Sequence[Sequence[str]]) -> None:
        names = sorted({name for labels in sets for name in labels})
        column = {name: number for number, name in enumerate(names)}
        self._matrix = np.zeros((len(sets), len(names)), np.float32)
        for row, labels in enumerate(sets):
            self._matrix[row, [column[name] for name in labels]] = 1.0
        self._sizes = self._matrix.sum(axis=1)

    def gains(self, rows: np.ndarray) -> np.ndarray:
        """How much each track has in common with each of some: shared labels over all labels of
        the two (Jaccard), so 0 or 1 where each has one. Float64, shape ``(len(rows), N)``."""
        shared = self._matrix[rows] @ self._matrix.T
        union = self._sizes[rows][:, None] + self._sizes - shared
        return np.divide(shared, np.maximum(union, 1.0), dtype=np.float64)


def genre_labels(tracks: Sequence[Track]) -> Labels:
    """The genre of each track as its one label; `UNKNOWN` is none."""
    return Labels([[] if track.genre == UNKNOWN else [track.genre] for track in tracks])


class Exclusion:
    """Which tracks may not answer which.

    Parameters
    ----------
    count
        How many tracks there are.
    keys
        Numbers, each of shape ``(count,)``: tracks of the same number do not answer each other;
        -1 stands for not known, and is the same as nothing.
    """

    def __init__(self, count: int, keys: Sequence[np.ndarray] = ()) -> None:
        self.count = count
        self.keys = tuple(keys)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Whom some tracks leave out: bool, shape ``(len(rows), count)``."""
        mask = rows[:, None] == np.arange(self.count)
        for key in self.keys:
            mask |= (key[rows][:, None] == key) & (key[rows] >= 0)[:, None]
        return mask


def artist_keys(tracks: Sequence[Track]) -> np.ndarray:
    """A number for each known artist, -1 where there is none. Shape ``(N,)``."""
    names = [track.artist.strip().casefold() for track in tracks]
    return _numbered([None if name in _NOBODY else name for name in names])


def album_keys(tracks: Sequence[Track]) -> np.ndarray:
    """A number for each known album, -1 where there is none. Shape ``(N,)``.

    An album is a name in one folder: many are called "Greatest Hits".
    """
    names = [track.album.strip().casefold() for track in tracks]
    folders = [PurePosixPath(track.track_id).parent for track in tracks]
    return _numbered(
        [
            None if name in _NOBODY else (folder, name)
            for folder, name in zip(folders, names, strict=True)
        ]
    )


def settle(tracks: Sequence[Track], wanted: Exclude, copies: int = 0) -> tuple[Exclusion, Protocol]:
    """Decide what is left out.

    Parameters
    ----------
    tracks
        Those that take part: each recording once, unless the rule is ``none``.
    wanted
        The rule asked for. ``artist`` gives way to ``duplicates`` where it would leave less than
        `ENOUGH` of the queries anything to find, as in a library of one artist, and where no
        artist is known; the protocol says so.
    copies
        Tracks that were left out before.
    """
    plain = Exclusion(len(tracks))
    artists = artist_keys(tracks)
    known = int(artists.max(initial=-1)) + 1
    if wanted != "artist":
        return plain, Protocol(wanted, len(tracks), copies, known)
    albums = album_keys(tracks)
    if not known and albums.max(initial=-1) < 0:
        return plain, Protocol("duplicates", len(tracks), copies, 0, "no artist is known")
    strict = Exclusion(len(tracks), [artists, albums])
    labels = genre_labels(tracks)
    before, after = (_askable(labels, rule) for rule in (plain, strict))
    if after < ENOUGH * before:
        note = (
            f"with a query's artist and album left out, only {after} of {before} queries would "
            "find anything, so they stay in"
        )
        return plain, Protocol("duplicates", len(tracks), copies, known, note)
    return strict, Protocol("artist", len(tracks), copies, known)


def _askable(labels: Labels, exclusion: Exclusion) -> int:
    """How many tracks have something to find."""
    return sum(
        int(((labels.gains(rows) > 0) & ~exclusion.of(rows)).any(axis=1).sum())
        for rows in blocks(exclusion.count)
    )


def blocks(count: int, size: int = _BLOCK) -> list[np.ndarray]:
    """The numbers from 0 to `count`, some at a time."""
    return [np.arange(start, min(start + size, count)) for start in range(0, count, size)]


def _numbered(names: Sequence[object]) -> np.ndarray:
    numbers: dict[object, int] = {}
    return np.array(
        [-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names], int
    )
