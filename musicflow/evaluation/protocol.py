"""The protocol: the labels that make a hit, and the tracks that a query excludes.

Each rule excludes what the one above it does:

==============  ====================================================================
``none``        the query itself
``duplicates``  its duplicates: each recording takes part once, by its first track; and its cuts,
                which are tracks that have a stretch of sound in common with it
``album``       the tracks of its album
``artist``      the tracks that share an artist with it, or its album
==============  ====================================================================

A model may know a voice or a mastering, and that is not the genre. `UNKNOWN` is no artist and no
album. The rule behind a score stands beside it, in a `Protocol`.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np
import scipy

from musicflow.evaluation.metrics import Metric, table
from musicflow.library import Track, known_artists
from musicflow.settings import Exclude, Hubness, Settings

ENOUGH = 0.5
"""The artist rule holds only where this share of the queries keeps a relevant candidate."""

_BLOCK = 256


@dataclass(frozen=True)
class Method:
    """The method of an evaluation, as it is asked for.

    Parameters
    ----------
    exclude
        The tracks that a query excludes.
    k
        The depth of metrics that leave it open.
    metrics
        The metrics to compute.
    hubness
        Whether each embedder is measured with its hubness corrected, too.
    labels
        Sources of labels to measure by beside the genre; see `labels.read`.
    stress
        Tracks that are deformed to query with.
    """

    exclude: Exclude = "artist"
    k: int = 10
    metrics: tuple[Metric, ...] = field(default_factory=table)
    hubness: Hubness = "corrected"
    labels: tuple[str, ...] = ()
    stress: int = 0

    @classmethod
    def of(cls, settings: Settings) -> "Method":
        """Return the method that settings name.

        Raises
        ------
        MetricError
            If the settings name something that is no metric.
        """
        metrics = table(settings.metrics)
        asked = settings.exclude, settings.k, metrics, settings.hubness
        return cls(*asked, labels=settings.labels, stress=settings.stress)


@dataclass(frozen=True)
class Protocol:
    """The rule that an evaluation followed, and what took part.

    Parameters
    ----------
    exclude
        The rule that was followed.
    corpus
        Recordings that took part.
    duplicates
        Tracks left out because a recording takes part once.
    artists
        Known artists among those that took part.
    note
        Why another rule was followed than the one asked for; empty if none was.
    k
        The depth of metrics that leave it open.
    drawn
        Queries drawn at random where not every track is one; else 0.
    cuts
        Tracks that have a stretch of sound in common with another that took part.
    relevance
        What a query and its hits share: "genres from the tags". Empty where that is not known.
    """

    exclude: Exclude
    corpus: int
    duplicates: int
    artists: int
    note: str = ""
    k: int = 10
    drawn: int = 0
    cuts: int = 0
    relevance: str = ""

    @property
    def terms(self) -> str:
        """What two evaluations must share for their scores to be compared, on one line."""
        drawn = f"{self.drawn} queries drawn" if self.drawn else ""
        return ", ".join(filter(None, (f"exclude {self.exclude}", drawn, self.relevance)))

    def __str__(self) -> str:
        excluded = {
            "none": "itself",
            "duplicates": "itself and its duplicates",
            "album": "itself, its duplicates and its album",
            "artist": "itself, its duplicates, its artist and its album",
        }[self.exclude]
        drawn = f"{self.drawn} queries drawn at random, " if self.drawn else ""
        cuts = f"{self.cuts} cuts of one another, " if self.cuts else ""
        return (
            f"each query excludes {excluded} ({self.corpus} recordings, {drawn}"
            f"{self.duplicates} duplicates, {cuts}{self.artists} known artists)"
        )


class Labels:
    """The labels that make a candidate relevant; a track has any number of them.

    Parameters
    ----------
    sets
        The labels of each track.
    """

    def __init__(self, sets: Sequence[Sequence[str]]) -> None:
        # Many tracks have the same labels: what one of each kind shares is computed once.
        kinds: dict[frozenset[str], int] = {}
        numbers = [kinds.setdefault(frozenset(labels), len(kinds)) for labels in sets]
        self._kind = np.array(numbers, np.int32)
        self._counts = np.bincount(self._kind, minlength=len(kinds))
        self._kinds = [tuple(kind) for kind in kinds]
        self._matrix = _incidence(self._kinds).astype(np.float32)
        self._sizes = self._matrix.sum(axis=1)

    def relevance(self, rows: np.ndarray) -> np.ndarray:
        """Return the relevance of each track to some queries.

        Shared labels over all labels of the two (Jaccard), so 0 or 1 where each has one. Float64,
        shape ``(len(rows), N)``.
        """
        return self._of_kinds(rows)[:, self._kind]

    def ranked(self, rows: np.ndarray, ranking: np.ndarray) -> np.ndarray:
        """Return the relevance of ranked tracks to some queries, shape of `ranking`."""
        found = np.empty(ranking.shape)
        for values, kinds, order in zip(found, self._of_kinds(rows), ranking, strict=True):
            np.take(kinds, self._kind[order], out=values)
        return found

    def hits(
        self, rows: np.ndarray, ranking: np.ndarray, candidates: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the hits in whole rankings, one query's after the other's.

        Parameters
        ----------
        rows
            Row numbers of the queries, shape ``(Q,)``.
        ranking
            Row numbers, best first, shape ``(Q, N)``.
        candidates
            Candidates per query, the first ones of its ranking. Shape ``(Q,)``.

        Returns
        -------
        counts
            Hits per query, shape ``(Q,)``.
        places, gains
            The place of each in its ranking, and its relevance. Shapes ``(H,)``.
        """
        from musicflow.kernels import ranking as kernels

        relevance = self._of_kinds(rows)
        most = int(((relevance > 0) @ self._counts).sum())
        counts = np.zeros(len(rows), np.int64)
        places, gains = np.empty(most, np.int64), np.empty(most)
        total = kernels.hits(ranking, candidates, self._kind, relevance, counts, places, gains)
        return counts, places[:total], gains[:total]

    def _of_kinds(self, rows: np.ndarray) -> np.ndarray:
        """Return the relevance of each kind of labels to some queries, ``(len(rows), kinds)``."""
        own, each = np.unique(self._kind[rows], return_inverse=True)
        shared = (self._matrix[own] @ self._matrix.T).toarray()
        union = self._sizes[own][:, None] + self._sizes - shared
        return np.divide(shared, np.maximum(union, 1.0), dtype=np.float64)[each]


class OneOf(Labels):
    """One label of each query alone: a hit has that label, whatever else it has.

    Parameters
    ----------
    sets
        The labels of each track.
    asked
        By row number, the label of a query.
    """

    def __init__(self, sets: Sequence[Sequence[str]], asked: Mapping[int, str]) -> None:
        super().__init__(sets)
        self._asked = asked
        self._holders: dict[str, np.ndarray] = {}
        for name in set(asked.values()):
            self._holders[name] = np.array([name in kind for kind in self._kinds], np.float64)

    def _of_kinds(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([self._holders[self._asked[row]] for row in rows.tolist()])


def genre_labels(tracks: Sequence[Track]) -> Labels:
    """Return the genres of each track as its labels: two that share one are relevant."""
    return Labels([track.labels for track in tracks])


Keys = Sequence[tuple[Hashable, ...]]
"""What each track has that others may have too: several keys, one or none."""


class Exclusion:
    """The tracks that are no candidates of a query.

    Parameters
    ----------
    count
        How many tracks there are.
    keys
        The keys of each track: tracks that share one do not answer each other. Without keys,
        only a query itself is left out.
    """

    def __init__(self, count: int, keys: Keys = ()) -> None:
        self.count = count
        self.keys = keys
        self._holds = (
            _incidence(keys) if keys else scipy.sparse.csr_array((count, 0), dtype=np.int32)
        )
        self._held = self._holds.T.tocsr()

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Return the tracks that some queries exclude: bool, shape ``(len(rows), count)``."""
        starts, columns = self.columns(rows)
        mask = np.zeros((len(rows), self.count), bool)
        mask[np.repeat(np.arange(len(rows)), np.diff(starts)), columns] = True
        return mask

    def columns(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the tracks that some queries exclude, one query's after the other's.

        Returns
        -------
        starts
            Where those of each query start, and the end. Shape ``(len(rows) + 1,)``.
        columns
            Row numbers of tracks.
        """
        shape = (len(rows), self.count)
        itself = scipy.sparse.csr_array(
            (np.ones(len(rows), np.int32), rows, np.arange(len(rows) + 1)), shape
        )
        shared = self._holds[rows] @ self._held + itself
        return shared.indptr, shared.indices


def artist_keys(tracks: Sequence[Track]) -> Keys:
    """Return the known artists of each track.

    The album's artist is one of them, unless the album is a compilation.
    """
    return [
        known_artists((*track.artists, *([] if track.compilation else [track.album_artist])))
        for track in tracks
    ]


def album_keys(tracks: Sequence[Track]) -> Keys:
    """Return the known album of each track.

    An album is a name in one folder: many are called "Greatest Hits".
    """
    folders = [PurePosixPath(track.track_id).parent for track in tracks]
    return [
        tuple((folder, name) for name in known_artists([track.album]))
        for folder, track in zip(folders, tracks, strict=True)
    ]


def all_keys(*kinds: Keys) -> Keys:
    """Return keys of several kinds as one; those of different kinds are never equal."""
    named = [[tuple((n, key) for key in own) for own in kind] for n, kind in enumerate(kinds)]
    return [sum(own, ()) for own in zip(*named, strict=True)]


def numbered(groups: np.ndarray) -> np.ndarray:
    """Return groups, with a number of its own for each track that is in none (-1)."""
    own: np.ndarray = np.where(
        groups < 0, groups.max(initial=-1) + 1 + np.arange(len(groups)), groups
    )
    return own


def groups(keys: Keys) -> np.ndarray:
    """Return the group of each track; tracks that share a key are of one group.

    Returns
    -------
    numpy.ndarray
        From 0, in the order of their first tracks; -1 for a track without keys. Shape ``(N,)``.
    """
    holds = _incidence(keys)
    # A graph of tracks and keys: one of tracks alone would have the square of an artist's.
    graph = scipy.sparse.block_array([[None, holds], [holds.T, None]])
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    labels = labels[: len(keys)]
    numbers: dict[int, int] = {}
    return np.array(
        [
            numbers.setdefault(label, len(numbers)) if own else -1
            for label, own in zip(labels.tolist(), keys, strict=True)
        ],
        int,
    )


def _incidence(keys: Keys) -> "scipy.sparse.csr_array":
    """Return which track holds which key, shape ``(N, keys)``."""
    numbers: dict[Hashable, int] = {}
    columns = [numbers.setdefault(key, len(numbers)) for own in keys for key in own]
    rows = np.repeat(np.arange(len(keys)), [len(own) for own in keys])
    ones = np.ones(len(columns), np.int32)
    return scipy.sparse.csr_array((ones, (rows, columns)), shape=(len(keys), len(numbers)))


def protocol_for(
    tracks: Sequence[Track],
    method: Method,
    duplicates: int = 0,
    drawn: int = 0,
    cuts: Keys = (),
) -> tuple[Exclusion, Protocol]:
    """Decide what each query excludes.

    Parameters
    ----------
    tracks
        The corpus: each recording once, unless the rule is ``none``.
    method
        The method asked for. Its rule ``artist`` or ``album`` gives way to ``duplicates`` where it
        would leave less than `ENOUGH` of the queries a relevant candidate, as in a library of one
        artist, and where none is known; the protocol says so.
    duplicates
        Tracks that were left out before.
    drawn
        Queries that are drawn; 0 if all are taken.
    cuts
        The keys that cuts of one recording share, per track; none where there are no cuts.
    """
    artists = artist_keys(tracks)
    known = len(set().union(*artists))
    cuts = cuts if any(cuts) and method.exclude != "none" else ()
    plain = Exclusion(len(tracks), cuts)
    protocol = Protocol(
        method.exclude,
        len(tracks),
        duplicates,
        known,
        k=method.k,
        drawn=drawn,
        cuts=sum(map(bool, cuts)),
    )
    if method.exclude not in ("album", "artist"):
        return plain, protocol
    protocol = replace(protocol, exclude="duplicates")
    albums, by_artist = album_keys(tracks), method.exclude == "artist"
    if not any(albums) and not (known and by_artist):
        return plain, replace(protocol, note=f"no {method.exclude} is known")
    none: Keys = [()] * len(tracks)
    both = all_keys(artists if by_artist else none, albums, cuts or none)
    strict = Exclusion(len(tracks), both)
    before, after = (_able(tracks, keys) for keys in (cuts or none, both))
    if after < ENOUGH * before:
        what = "artist and album" if by_artist else "album"
        note = (
            f"without the query's {what}, only {after} of {before} queries have a "
            "relevant candidate, so these stay in"
        )
        return plain, replace(protocol, note=note)
    return strict, replace(protocol, exclude=method.exclude)


def _able(tracks: Sequence[Track], keys: Keys) -> int:
    """Count the tracks that have a relevant candidate, where shared keys exclude.

    Tracks of the same labels and keys are counted together. A track has a relevant candidate
    where not all tracks of one of its labels are excluded.
    """
    alike = Counter(
        (frozenset(track.labels), frozenset(own)) for track, own in zip(tracks, keys, strict=True)
    )
    counts = np.array(list(alike.values()))
    labels = _incidence([tuple(names) for names, _ in alike])
    holds = _incidence([tuple(own) for _, own in alike])
    alone = np.array([not own for _, own in alike])
    totals, able = labels.T @ counts, 0
    for rows in blocks(len(alike)):
        shared = (holds[rows] @ holds.T).astype(bool).astype(np.int64)
        excluded = (shared * counts) @ labels + labels[rows] * alone[rows, None]
        left = labels[rows] * totals - labels[rows] * excluded
        able += int(counts[rows][(left > 0).sum(axis=1) > 0].sum())
    return able


def drawn_rows(count: int, most: int, seed: int) -> np.ndarray:
    """Return row numbers of so many tracks, rising: all, or `most` of them, drawn."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])


def blocks(count: int, size: int = _BLOCK) -> list[np.ndarray]:
    """Return the numbers from 0 to `count` in blocks."""
    return [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
