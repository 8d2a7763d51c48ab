"""Verdicts on which contents sound the same. Evaluation writes, searches read them.

Near vectors or shared landmarks suggest that two tracks are one recording; only their sound can
prove it. An evaluation compares the sound, and saves each verdict. Searches, which must be quick,
use the verdicts, and the vectors where there is none.
"""

import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from musicflow.atomic import write_atomically
from musicflow.library.track import Track
from musicflow.text import clock

_VERSION = 1
"""Raised when the comparison of sounds changes."""

SAME_LENGTH_S = 1.0
"""The difference up to which two tracks last equally long."""

_TOLD = 0.001
"""A difference of speed from which on it is told."""

Pair = tuple[str, str]
"""Two content hashes, the lesser first."""


@dataclass(frozen=True)
class Cut:
    """A stretch that two sounds have in common.

    Parameters
    ----------
    a_s, b_s
        Where it begins in each, in seconds.
    seconds
        Its length in the first.
    speed
        Seconds of the second per second of the first.
    """

    a_s: float
    b_s: float
    seconds: float
    speed: float = 1.0

    def __str__(self) -> str:
        """Say what they have in common."""
        other = self.b_s + self.seconds * self.speed
        faster = f", {self.speed - 1:+.1%} in length" if abs(self.speed - 1) >= _TOLD else ""
        return (
            f"{clock(self.a_s)}–{clock(self.a_s + self.seconds)} is "
            f"{clock(self.b_s)}–{clock(other)}{faster}"
        )

    @property
    def as_json(self) -> dict[str, float]:
        """Return it as JSON values: in the first ``from_s`` on, in the other ``of_s`` on."""
        return {
            "from_s": round(self.a_s, 2),
            "of_s": round(self.b_s, 2),
            "seconds": round(self.seconds, 2),
            "speed": round(self.speed, 4),
        }

    def is_all(self, seconds: float, other_seconds: float) -> bool:
        """Return whether sounds of some lengths hold the same from beginning to end."""
        ends = abs(seconds - other_seconds), abs(self.a_s - self.b_s)
        return max(ends) <= SAME_LENGTH_S

    @property
    def turned(self) -> "Cut":
        """The same stretch with the sounds in the other order."""
        return Cut(self.b_s, self.a_s, self.seconds * self.speed, 1 / self.speed)


class Verdicts:
    """Pairs of contents that were compared, and whether they sound the same.

    Parameters
    ----------
    pairs
        Verdicts to start with.
    cuts
        What pairs that sound the same have in common, where landmarks told it.
    """

    def __init__(
        self, pairs: dict[Pair, bool] | None = None, cuts: dict[Pair, Cut] | None = None
    ) -> None:
        self._pairs = dict(pairs or {})
        self.cuts = dict(cuts or {})

    @classmethod
    def load(cls, path: Path) -> "Verdicts":
        """Read saved verdicts; none if there is no file, or one of another version."""
        try:
            stored = json.loads(path.read_bytes())
            if stored["version"] == _VERSION:
                cuts = {(a, b): Cut(*values) for a, b, *values in stored.get("cuts", ())}
                return cls({_pair(a, b): same for a, b, same in stored["pairs"]}, cuts)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        return cls()

    def save(self, path: Path) -> None:
        """Write the verdicts."""
        pairs = [[a, b, same] for (a, b), same in sorted(self._pairs.items())]
        cuts = [[a, b, *astuple(cut)] for (a, b), cut in sorted(self.cuts.items())]
        written = {"version": _VERSION, "pairs": pairs, "cuts": cuts}
        write_atomically(path, json.dumps(written).encode())

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str, bool]]:
        for (a, b), same in self._pairs.items():
            yield a, b, same

    def get(self, a: str, b: str) -> bool | None:
        """Return the verdict on two content hashes; None if they were never compared."""
        return True if a == b else self._pairs.get(_pair(a, b))

    def cut(self, a: str, b: str) -> Cut | None:
        """Return what two content hashes have in common; None if no stretch is known."""
        cut = self.cuts.get(_pair(a, b))
        return cut if cut is None or a < b else cut.turned

    def same(self, a: Track, b: Track) -> bool:
        """Return whether two tracks are known to sound the same."""
        return self.get(a.content_hash, b.content_hash) is True

    def add(self, a: str, b: str, same: bool) -> None:
        """Keep the verdict on two content hashes."""
        self._pairs[_pair(a, b)] = same

    def add_cut(self, a: str, b: str, cut: Cut) -> None:
        """Keep what two content hashes have in common; so they sound the same."""
        self.add(a, b, same=True)
        self.cuts[_pair(a, b)] = cut if a < b else cut.turned


def _pair(a: str, b: str) -> Pair:
    return (a, b) if a < b else (b, a)
