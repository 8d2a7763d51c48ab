"""Several embedders as one: their similarities added up, or their ranks.

A fusion has a name like an embedder: ``fusion:musicnn+mfcc`` adds weighted cosines,
``rrf:musicnn+mfcc`` adds reciprocal ranks (Cormack, Clarke and Büttcher, 2009), which needs no
weights.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from musicflow.index import Collection, Filters, Hit

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


def short(label: str) -> str:
    """A name as far as there is room: a fusion's without its members."""
    return label.partition(":")[0] if members(label) else label


def by_rank(ranks: Sequence[np.ndarray]) -> np.ndarray:
    """Reciprocal rank fusion of ranks from 1 on, one array a member, all of one shape."""
    return np.sum([1.0 / (RANK_OFFSET + rank) for rank in ranks], axis=0)


_DEPTH = 10
"""Candidates from each member, for each answer wanted."""

_FEWEST = 100


def search(
    collections: Mapping[str, Collection],
    queries: Mapping[str, np.ndarray],
    k: int,
    weights: Mapping[str, float] | None = None,
    filters: Filters = Filters(),
    without: Sequence[str] = (),
) -> list[Hit]:
    """The k tracks that several collections together find nearest, best first.

    Each member names candidates; all members then score all of them. A track that one of the
    collections does not hold is no answer.

    Parameters
    ----------
    collections
        Of the members, by name.
    queries
        The query as each collection compares it: of length one, shape ``(dim,)``.
    k
        How many answers at most.
    weights
        Of each member's cosine; by rank, if not given.
    filters, without
        As for `Collection.query`.
    """
    depth = max(_DEPTH * k, _FEWEST)
    found: dict[str, Hit] = {}
    for name, collection in collections.items():
        [hits] = collection.query(queries[name][None], depth, filters, without)
        found |= {hit.track_id: hit for hit in hits}
    ids = [track_id for track_id in sorted(found) if _in_all(collections, track_id)]
    if not ids:
        return []
    cosines = {name: c.vectors(ids) @ queries[name] for name, c in collections.items()}
    if weights is None:
        scores = by_rank([_ranks(values) for values in cosines.values()])
    else:
        scores = np.sum([weights[name] * values for name, values in cosines.items()], axis=0)
    best = np.argsort(-scores, kind="stable")[:k]
    return [Hit(ids[row], float(scores[row]), found[ids[row]].payload) for row in best.tolist()]


def _ranks(cosines: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(cosines))
    ranks[np.argsort(-cosines, kind="stable")] = np.arange(1, len(cosines) + 1)
    return ranks


def _in_all(collections: Mapping[str, Collection], track_id: str) -> bool:
    try:
        for collection in collections.values():
            collection.payload(track_id)
    except KeyError:
        return False
    return True
