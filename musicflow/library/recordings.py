"""Verdicts on which contents sound the same. Evaluation writes, searches read them.

Near vectors suggest that two tracks are one recording; only their sound can prove it. An
evaluation compares the sound, and saves each verdict. Searches, which must be quick, use the
verdicts, and the vectors where there is none.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from musicflow.library.track import Track
from musicflow.settings import write_atomically

_VERSION = 1
"""Raised when the comparison of sounds changes."""

Pair = tuple[str, str]
"""Two content hashes, the lesser first."""


class Verdicts:
    """Pairs of contents that were compared, and whether they sound the same.

    Parameters
    ----------
    pairs
        Verdicts to start with.
    """

    def __init__(self, pairs: dict[Pair, bool] | None = None) -> None:
        self._pairs = dict(pairs or {})

    @classmethod
    def load(cls, path: Path) -> "Verdicts":
        """Read saved verdicts; none if there is no file, or one of another version."""
        try:
            stored = json.loads(path.read_bytes())
            if stored["version"] == _VERSION:
                return cls({_pair(a, b): same for a, b, same in stored["pairs"]})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        return cls()

    def save(self, path: Path) -> None:
        """Write the verdicts."""
        pairs = [[a, b, same] for (a, b), same in sorted(self._pairs.items())]
        write_atomically(path, json.dumps({"version": _VERSION, "pairs": pairs}).encode())

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str, bool]]:
        for (a, b), same in self._pairs.items():
            yield a, b, same

    def get(self, a: str, b: str) -> bool | None:
        """Return the verdict on two content hashes; None if they were never compared."""
        return True if a == b else self._pairs.get(_pair(a, b))

    def same(self, a: Track, b: Track) -> bool:
        """Return whether two tracks are known to sound the same."""
        return self.get(a.content_hash, b.content_hash) is True

    def add(self, a: str, b: str, same: bool) -> None:
        """Keep the verdict on two content hashes."""
        self._pairs[_pair(a, b)] = same


def _pair(a: str, b: str) -> Pair:
    return (a, b) if a < b else (b, a)
