"""Neighbours by difference: those of the last evaluation, brought up to date.

A file per space holds the neighbours of each track, with a mark of the track's id and vector. What
the file knows of other vectors is not used: where an embedder's vectors are standardized anew, all
neighbours are found as a whole.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from musicflow.atomic import read_arrays, write_arrays
from musicflow.evaluation import space
from musicflow.evaluation.space import Neighbours
from musicflow.index.hubness import Kept

_MARK = 16
"""Bytes of a mark."""


class KeptNeighbours:
    """The neighbours that the last evaluation found, in a folder of the home.

    Parameters
    ----------
    folder
        The folder; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def find(self, name: str, unit: np.ndarray, ids: Sequence[str]) -> Neighbours:
        """Return the neighbours of each track in a space, and keep them.

        Parameters
        ----------
        name
            The name of the space.
        unit
            Vectors of length one, float32, shape ``(N, dim)``, N from 2.
        ids
            The tracks' ids, rising.
        """
        if self._folder is None:
            return space.neighbours(unit)
        path = self._folder / f"{name}.npz"
        marks = _marks(unit, ids)
        found = space.neighbours(unit, space.K, *_known(path, marks))
        write_arrays(path, marks=marks, rows=found.rows, cosines=found.cosines)
        return found

    def keep(self, name: str, crowd: Kept) -> None:
        """Keep what corrections of hubness need of a space's tracks."""
        if self._folder is not None:
            crowd.save(self._folder, name)


def _marks(unit: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """Return a mark of each track's id and vector, shape ``(N,)``."""
    digests = (
        hashlib.blake2b(track_id.encode() + b"\0" + vector.tobytes(), digest_size=_MARK).digest()
        for track_id, vector in zip(ids, unit, strict=True)
    )
    return np.frombuffer(b"".join(digests), f"V{_MARK}")


def _known(path: Path, marks: np.ndarray) -> tuple[Neighbours | None, np.ndarray | None]:
    """Return what a file knows, and the row there of each track; -1 where it has none."""
    if (kept := read_arrays(path, "marks", "rows", "cosines")) is None:
        return None, None
    before, rows, cosines = kept
    place = {mark: row for row, mark in enumerate(before.tolist())}
    origin = np.array([place.get(mark, -1) for mark in marks.tolist()])
    # Ties go to the first: what is kept must be in the order of before.
    if (np.diff(origin[origin >= 0]) <= 0).any():
        return None, None
    return Neighbours(rows, cosines), origin
