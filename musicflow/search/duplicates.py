"""Duplicates: tracks of a collection that are one recording."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from musicflow.index import Collection, Hit, Manifest
from musicflow.index.fields import DURATION

COPY = 0.02
"""Tracks are copies of one recording if they are this much nearer than two tracks are on average
(one less the cosine, relative to the collection's spread: embedders differ widely in that) …"""

COPY_LENGTH_S = 1.0
"""… and of the same length, give or take this."""

_BLOCK = 1024


def duplicates(collection: Collection) -> list[list[Hit]]:
    """Return groups of tracks that are one recording, as far as an embedder can tell; see `COPY`.

    Every pair is compared, exactly.

    Returns
    -------
    list of list of Hit
        Groups of two and more, the most alike first; a score is the likeness to the group's
        first track.
    """
    tracks = sorted(collection.scroll(), key=lambda point: point.track_id)
    if not tracks:
        return []
    vectors = np.stack([track.vector for track in tracks])
    lengths = np.array([track.payload.get(DURATION, 0.0) for track in tracks])
    pairs: list[np.ndarray] = []
    for top in range(0, len(tracks), _BLOCK):
        for left in range(top, len(tracks), _BLOCK):
            cosines = vectors[top : top + _BLOCK] @ vectors[left : left + _BLOCK].T
            alike = near(cosines, collection.manifest)
            alike &= same_length(lengths[top : top + _BLOCK], lengths[left : left + _BLOCK])
            pairs.append(np.argwhere(alike) + np.array([top, left]))
    found = np.concatenate(pairs)
    edges = coo_array((np.ones(len(found)), found.T), shape=(len(tracks), len(tracks)))
    _, labels = connected_components(edges, directed=False)
    groups = [np.flatnonzero(labels == label) for label in np.flatnonzero(np.bincount(labels) > 1)]
    hits = [
        [
            Hit(tracks[row].track_id, float(vectors[row] @ vectors[rows[0]]), tracks[row].payload)
            for row in rows
        ]
        for rows in groups
    ]
    return sorted(hits, key=lambda group: -min(hit.score for hit in group))


def near(cosines: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Return which cosines are those of copies."""
    # Rounding moves the cosine of a vector with itself by some 1e-7.
    near: np.ndarray = 1 - cosines <= COPY * manifest.spread + 1e-6
    return near


def same_length(lengths: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which pairs of lengths in seconds are equal, shape ``(N, M)``."""
    return np.abs(lengths[:, None] - others[None, :]) <= COPY_LENGTH_S
