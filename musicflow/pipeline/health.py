"""The health of vectors: not finite, zero, all alike, or with dead dimensions."""

from dataclasses import dataclass

import numpy as np

from musicflow.index import normalize

_BLOCK = 1024


@dataclass(frozen=True)
class Health:
    """The number of vectors, and of those and the dimensions that are faulty."""

    vectors: int
    dim: int
    not_finite: int
    without_length: int
    dead_dims: int
    """Dimensions with one value for all vectors."""
    spread: float
    """The largest cosine distance of a vector to the mean direction."""

    @property
    def all_alike(self) -> bool:
        """Return whether all vectors point the same way, as a broken model's do."""
        return self.vectors > 1 and self.spread < 1e-6


def health_of(vectors: np.ndarray) -> Health:
    """Count faults in vectors of different tracks, shape ``(N, dim)``."""
    finite = np.isfinite(vectors).all(axis=1)
    lengths = np.linalg.norm(vectors, axis=1)
    good = np.flatnonzero(finite & (lengths > 0))
    spread, dead = 0.0, 0
    if len(good) > 1:
        # Block by block, so that memory does not grow with the number of vectors.
        blocks = [good[start : start + _BLOCK] for start in range(0, len(good), _BLOCK)]
        mean = sum(
            normalize(vectors[block]).sum(axis=0, dtype=np.float64) for block in blocks
        ) / len(good)
        length = float(np.linalg.norm(mean))
        nearest = min(float((normalize(vectors[block]) @ mean).min()) for block in blocks)
        spread = 1 - nearest / length if length else 2.0
        low = np.min([vectors[block].min(axis=0) for block in blocks], axis=0)
        high = np.max([vectors[block].max(axis=0) for block in blocks], axis=0)
        dead = int((low == high).sum())
    return Health(
        len(vectors), vectors.shape[1], int((~finite).sum()), int((lengths[finite] == 0).sum()),
        dead, spread,
    )  # fmt: skip
