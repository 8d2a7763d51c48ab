"""Search with hubness corrected: a collection whose answers are scored by `index.hubness`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from musicflow.index import Collection, Filters, Hit
from musicflow.index.hubness import (
    CORRECTIONS,
    NEAREST,
    Correction,
    Crowd,
    Kept,
    csls,
    mutual_proximity,
    spread,
)
from musicflow.search.errors import QueryError
from musicflow.settings import Settings

DEPTH = 50
"""The candidates by cosine that are scored, at least."""

_TIMES = 4
"""The candidates per answer that are scored, at least."""

NO_CROWD = "no-crowd"
"""The code of the error that the home keeps nothing to correct a collection by."""

BY_COSINE = "by-cosine"
"""The code of the error that a strategy cannot be corrected."""


def corrected(collection: Collection, correction: Correction, settings: Settings) -> Collection:
    """Return a collection with its hubness corrected.

    Parameters
    ----------
    collection
        The collection; open as long as the other is used.
    correction
        The correction. Its scores are no cosines.
    settings
        Those of the home, whose last evaluation kept what the correction needs.

    Raises
    ------
    QueryError
        If there is no such correction; or if nothing is kept of the collection, as of a fusion, or
        of another version of its embedder: its code is `NO_CROWD`.
    """
    if correction not in CORRECTIONS:
        advice = f"take {' or '.join(CORRECTIONS)}"
        raise QueryError(f"{correction!r} is no correction", advice)
    name = collection.manifest.embedder
    kept = Kept.load(settings.paths.neighbours, name)
    if kept is None or kept.spec_hash != collection.manifest.spec_hash:
        raise QueryError(
            f"the hubness of {name} cannot be corrected: no evaluation measured it",
            "name a single embedder, and run `musicflow run` first",
            NO_CROWD,
        )
    return cast(Collection, _Corrected(collection, correction, kept))


class _Corrected:
    """A collection with other scores; all else is that of the collection."""

    def __init__(self, collection: Collection, correction: Correction, kept: Kept) -> None:
        self._collection, self._correction, self._kept = collection, correction, kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def query(
        self,
        vectors: np.ndarray,
        k: int,
        filters: Filters = Filters(),
        without: Sequence[str] = (),
        exact: bool = False,
    ) -> list[list[Hit]]:
        """Return the best k of the nearest by cosine; see `Collection.query`."""
        depth = max(DEPTH, _TIMES * k)
        found = self._collection.query(vectors, depth, filters, without, exact)
        return [
            self._scored(vector[None], hits, k) for vector, hits in zip(vectors, found, strict=True)
        ]

    def recommend(self, *_: object) -> list[Hit]:
        """Refuse: the engine scores by several cosines at once."""
        raise QueryError(
            "hubness is corrected for the strategy average alone", "leave out one", BY_COSINE
        )

    def _scored(self, vector: np.ndarray, hits: Sequence[Hit], k: int) -> list[Hit]:
        """Return the best k answers by corrected scores; of equals, as by cosine."""
        cosines = np.array([[hit.score for hit in hits]])
        candidates = self._crowd([hit.track_id for hit in hits])
        if self._correction == "csls":
            [scores] = csls(cosines, candidates)
        else:
            query = Crowd(np.zeros(1), *spread(vector, self._kept.sample))
            [scores] = mutual_proximity(cosines, query, candidates)
        best = np.argsort(-scores, kind="stable")[:k].tolist()
        return [replace(hits[row], score=float(scores[row])) for row in best]

    def _crowd(self, track_ids: Sequence[str]) -> Crowd:
        """Return the crowd of tracks; that of new ones is found now."""
        rows = self._kept.rows(track_ids)
        found = self._kept.crowd.of(rows)
        new = np.flatnonzero(rows < 0)
        if len(new):
            names = [track_ids[row] for row in new.tolist()]
            vectors = self._collection.vectors(names)
            found.mean[new], found.deviation[new] = spread(vectors, self._kept.sample)
            answers = self._collection.query(vectors, NEAREST + 1)
            for row, name, hits in zip(new, names, answers, strict=True):
                others = [hit.score for hit in hits if hit.track_id != name][:NEAREST]
                found.near[row] = np.mean(others) if others else 0.0
        return found
