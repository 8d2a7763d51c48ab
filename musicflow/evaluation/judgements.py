"""Judgements of tracks that somebody made already: classes, pairs and triplets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy


@dataclass(frozen=True)
class Judgements:
    """What is known of some tracks, by their row numbers.

    Parameters
    ----------
    labels
        The classes of each track: any number of them. Two tracks of one class are alike.
    pairs
        Two tracks that are alike, shape ``(P, 2)``.
    triplets
        A track, one that is like it, and one that is less like it, shape ``(T, 3)``.
    are_named
        Whether a class says something by itself, as that of a session does not.
    """

    labels: Sequence[tuple[str, ...]]
    pairs: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), int))
    triplets: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), int))
    are_named: bool = True

    @property
    def kind(self) -> Literal["tracks", "pairs", "triplets"]:
        """Return what is judged."""
        if len(self.triplets):
            return "triplets"
        return "pairs" if len(self.pairs) else "tracks"

    @property
    def count(self) -> int:
        """Return how many tracks with a class, pairs or triplets there are."""
        return len(self.triplets) or len(self.pairs) or sum(map(bool, self.labels))

    def __bool__(self) -> bool:
        """Whether there is anything to learn from."""
        some = len({name for own in self.labels for name in own}) > 1
        return some or len(self.pairs) > 1 or len(self.triplets) > 1

    def of(self, rows: np.ndarray) -> "Judgements":
        """Return the judgements of some tracks alone, by their places in `rows`."""
        place = np.full(len(self.labels), -1)
        place[rows] = np.arange(len(rows))
        pairs, triplets = place[self.pairs], place[self.triplets]
        return Judgements(
            [self.labels[row] for row in rows.tolist()],
            pairs[(pairs >= 0).all(axis=1)],
            triplets[(triplets >= 0).all(axis=1)],
        )

    def classes(self) -> tuple["scipy.sparse.csr_array", np.ndarray]:
        """Return the share that each track has in each class, and the sums of these.

        The shares of a track that is in some class add up to 1. Shapes ``(N, C)``, ``(C,)``.
        """
        names = sorted({name for own in self.labels for name in own})
        numbers = {name: number for number, name in enumerate(names)}
        counts = [len(own) for own in self.labels]
        columns = [numbers[name] for own in self.labels for name in own]
        starts = np.concatenate([[0], np.cumsum(counts)])
        shares = np.repeat(1 / np.maximum(counts, 1), counts).astype(np.float32)
        belongs = scipy.sparse.csr_array((shares, columns, starts), (len(counts), len(names)))
        return belongs, np.asarray(belongs.sum(axis=0), np.float64)
