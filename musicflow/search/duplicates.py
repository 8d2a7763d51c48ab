"""Duplicates: tracks of a collection that are one recording, or have a stretch of one in common.

Where an evaluation compared the sound of two tracks, its verdict decides. Else two tracks are one
recording if their vectors lie near each other and they last equally long; see `NEAR`.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from musicflow.index import Collection, Hit, Manifest
from musicflow.index.fields import DURATION
from musicflow.library.recordings import SAME_LENGTH_S, Cut, Verdicts

NEAR = 0.02
"""The distance (one less the cosine) up to which vectors are those of one recording, as a share
of the mean distance of two tracks: embedders differ widely in that."""

NO_VERDICTS = Verdicts()

_BLOCK = 1024


@dataclass(frozen=True)
class Shared:
    """What a track has in common with a longer one.

    Parameters
    ----------
    track_id, of
        The two tracks.
    cut
        The stretch, in the first and in the second.
    """

    track_id: str
    of: str
    cut: Cut

    def __str__(self) -> str:
        return f"{self.track_id} and {self.of}: {self.cut}"


@dataclass(frozen=True)
class Group:
    """Tracks that are connected by a recording.

    Parameters
    ----------
    hits
        Two and more; a score is the likeness to the first.
    cuts
        What those have in common that do not hold the same from beginning to end.
    """

    hits: list[Hit]
    cuts: list[Shared]


def duplicates(collection: Collection, verdicts: Verdicts = NO_VERDICTS) -> list[Group]:
    """Return groups of tracks that are one recording, or have a stretch of one in common.

    Every pair of tracks that last equally long is compared, exactly.

    Parameters
    ----------
    collection
        Where to look.
    verdicts
        Of an evaluation.

    Returns
    -------
    list of Group
        The most alike first.
    """
    ids, vectors, lengths, contents = _held(collection)
    pairs = _judged(_alike(vectors, lengths, collection.manifest), contents, verdicts)
    groups = _groups(pairs, len(ids))
    wanted = {ids[row] for rows in groups for row in rows}
    # Read once more, as the payloads of a large collection take more memory than its vectors.
    payloads = {p["track_id"]: p for p in collection.payloads() if p["track_id"] in wanted}
    hits = [
        [Hit(ids[row], float(vectors[row] @ vectors[rows[0]]), payloads[ids[row]]) for row in rows]
        for rows in groups
    ]
    hits.sort(key=lambda group: -min(hit.score for hit in group))
    return [Group(group, _shared(group, verdicts)) for group in hits]


def _shared(group: Sequence[Hit], verdicts: Verdicts) -> list[Shared]:
    """Return what tracks of a group have in common, by where it lies in the longer one."""
    found = []
    for one, other in itertools.permutations(group, 2):
        (a, b), lengths = contents_of([one.payload, other.payload]), _lengths([one, other])
        cut = verdicts.cut(a, b)
        is_shorter = (lengths[0], one.track_id) < (lengths[1], other.track_id)
        if cut is not None and is_shorter and not cut.is_all(*lengths):
            found.append(Shared(one.track_id, other.track_id, cut))
    return sorted(found, key=lambda shared: (shared.of, shared.cut.b_s))


def _lengths(hits: Sequence[Hit]) -> list[float]:
    return [hit.payload.get(DURATION, 0.0) for hit in hits]


def _held(collection: Collection) -> tuple[list[str], np.ndarray, np.ndarray, list[str]]:
    """Return ids, vectors, lengths and content hashes of all tracks, sorted by id."""
    ids, contents = list[str](), list[str]()
    vectors = np.empty((collection.manifest.count, collection.manifest.dim), np.float32)
    lengths = np.empty(len(vectors))
    for row, point in enumerate(collection.scroll()):
        ids.append(point.track_id)
        contents += contents_of([point.payload])
        vectors[row], lengths[row] = point.vector, point.payload.get(DURATION, 0.0)
    rows = np.array(sorted(range(len(ids)), key=ids.__getitem__), int)
    in_order = [[values[row] for row in rows] for values in (ids, contents)]
    return in_order[0], vectors[rows], lengths[rows], in_order[1]


def _alike(vectors: np.ndarray, lengths: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Return the pairs of rows that are one recording by vector and length, shape ``(P, 2)``."""
    # In the order of length, so that a block meets those alone that may last equally long.
    order = np.argsort(lengths, kind="stable")
    last = np.searchsorted(lengths[order], lengths[order] + SAME_LENGTH_S, side="right")
    pairs = [np.empty((0, 2), int)]
    for top in range(0, len(order), _BLOCK):
        rows = order[top : top + _BLOCK]
        end = int(last[top : top + _BLOCK].max())
        for left in range(top, end, _BLOCK):
            others = order[left : min(left + _BLOCK, end)]
            alike = near(vectors[rows] @ vectors[others].T, manifest)
            # On two axes, `np.nonzero` takes half as long as the product.
            one, other = np.unravel_index(np.flatnonzero(alike), alike.shape)
            pairs.append(np.stack([rows[one], others[other]], axis=1))
    found = np.concatenate(pairs)
    # Few are near, so their lengths are compared only then.
    apart = np.abs(lengths[found[:, 0]] - lengths[found[:, 1]]) > SAME_LENGTH_S
    return found[~apart & (found[:, 0] != found[:, 1])]


def _groups(pairs: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the rows that pairs connect, in groups of two and more."""
    edges = scipy.sparse.coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    _, labels = scipy.sparse.csgraph.connected_components(edges, directed=False)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return [rows for rows in groups if len(rows) > 1]


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
