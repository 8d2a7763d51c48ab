"""Duplicates: tracks of a collection that are one recording.

Where an evaluation compared the sound of two tracks, its verdict decides. Else two tracks are one
recording if their vectors lie near each other and they last equally long; see `NEAR`.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from musicflow.index import Collection, Hit, Manifest
from musicflow.index.fields import DURATION
from musicflow.library.recordings import Verdicts

NEAR = 0.02
"""The distance (one less the cosine) up to which vectors are those of one recording, as a share
of the mean distance of two tracks: embedders differ widely in that."""

SAME_LENGTH_S = 1.0
"""The difference up to which tracks last equally long."""

NO_VERDICTS = Verdicts()

_BLOCK = 1024


def duplicates(collection: Collection, verdicts: Verdicts = NO_VERDICTS) -> list[list[Hit]]:
    """Return groups of tracks that are one recording.

    Every pair is compared, exactly.

    Parameters
    ----------
    collection
        Where to look.
    verdicts
        Of an evaluation.

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
    contents = contents_of([track.payload for track in tracks])
    found = _judged(np.concatenate(pairs), contents, verdicts)
    edges = scipy.sparse.coo_array((np.ones(len(found)), found.T), shape=(len(tracks), len(tracks)))
    _, labels = scipy.sparse.csgraph.connected_components(edges, directed=False)
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
    """Return which cosines are those of one recording, by vectors alone."""
    # Rounding moves the cosine of a vector with itself by some 1e-7.
    near: np.ndarray = 1 - cosines <= NEAR * manifest.spread + 1e-6
    return near


def same_length(lengths: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which pairs of lengths in seconds are equal, shape ``(N, M)``."""
    return np.abs(lengths[:, None] - others[None, :]) <= SAME_LENGTH_S


def contents_of(payloads: Sequence[dict[str, Any]]) -> list[str]:
    """Return content hashes; empty for a collection published before it held them."""
    return [payload.get("content_hash", "") for payload in payloads]


def overrule(
    alike: np.ndarray, contents: Sequence[str], others: Sequence[str], verdicts: Verdicts
) -> None:
    """Put verdicts in the place of what vectors say.

    Parameters
    ----------
    alike
        Which pairs are one recording by their vectors, shape ``(N, M)``; changed.
    contents, others
        Content hashes of its rows and columns.
    """
    rows, columns = _places(contents), _places(others)
    for one, other, same in verdicts:
        for a, b in ((one, other), (other, one)):
            if a in rows and b in columns:
                alike[np.ix_(rows[a], columns[b])] = same


def _judged(pairs: np.ndarray, contents: Sequence[str], verdicts: Verdicts) -> np.ndarray:
    """Return pairs of rows, corrected by the sound of the recordings."""
    places = _places(contents)
    sounding: list[list[int]] = []
    different: set[tuple[int, int]] = set()
    for one, other, same in verdicts:
        together = [(a, b) for a in places.get(one, ()) for b in places.get(other, ())]
        if same:
            sounding += map(list, together)
        else:
            different.update(together, ((b, a) for a, b in together))
    kept = [pair for pair in map(tuple, pairs.tolist()) if pair not in different]
    return np.array([*kept, *sounding], int).reshape(-1, 2)


def _places(contents: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for row, content in enumerate(contents):
        if content:
            places[content].append(row)
    return dict(places)
