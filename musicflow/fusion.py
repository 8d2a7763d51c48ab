"""Several embedders as one: their similarities added up, or their ranks.

A fusion has a name like an embedder: ``fusion:musicnn+mfcc`` adds weighted cosines,
``rrf:musicnn+mfcc`` adds reciprocal ranks (Cormack, Clarke and Büttcher, 2009), which needs no
weights.
"""

from collections.abc import Sequence

import numpy as np

WEIGHTED = "fusion:"
BY_RANK = "rrf:"

RANK_OFFSET = 60
"""The constant of reciprocal rank fusion, as its authors chose it."""


def members(label: str) -> tuple[str, ...]:
    """The embedders that a fusion's name tells; none if it is no fusion's name."""
    for prefix in (WEIGHTED, BY_RANK):
        if label.startswith(prefix):
            return tuple(label.removeprefix(prefix).split("+"))
    return ()


def by_rank(ranks: Sequence[np.ndarray]) -> np.ndarray:
    """Reciprocal rank fusion of ranks from 1 on, one array a member, all of one shape."""
    return np.sum([1.0 / (RANK_OFFSET + rank) for rank in ranks], axis=0)
