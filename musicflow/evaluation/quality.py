"""All figures of quality of some spaces over the same tracks, from nothing but arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from musicflow.evaluation import blend, duplicates, probe, retrieval, space, statistics
from musicflow.evaluation.protocol import (
    Exclusion,
    Labels,
    Protocol,
    artist_keys,
    genre_labels,
    groups,
    settle,
)
from musicflow.index import fused, normalize
from musicflow.library import UNKNOWN, Track
from musicflow.library.recordings import Verdicts
from musicflow.settings import Exclude

RANDOM = "random"
RANDOM_DIM = 128
SEED = 0

MOST_ASKING = 10_000
"""Of more tracks, so many are drawn to ask: intervals are narrow by then, and each asks all."""

COMPARED = ("precision_at_10", "map")
"""The figures whose differences are tested."""

SUBGENRE_METRICS = ("precision_at_10", "map", "ndcg_at_10")


@dataclass(frozen=True)
class Quality:
    """What was measured.

    Parameters
    ----------
    protocol
        What was left out.
    first
        The row number of the first track with the same recording, for each track; those that
        are not their own first took no part.
    figures
        By name of the space, the fields of a `Row`.
    weights
        By name of a weighted fusion, the weight of each member's cosine.
    differences
        Between all spaces that mean something.
    """

    protocol: Protocol
    first: np.ndarray
    figures: dict[str, dict[str, Any]]
    weights: dict[str, dict[str, float]]
    differences: list[statistics.Difference]


def measure(
    tracks: Sequence[Track],
    spaces: Mapping[str, np.ndarray],
    meaningful: Sequence[str],
    exclude: Exclude = "artist",
    same: Callable[[Track, Track], bool] | None = None,
    k: int = retrieval.NEAREST,
    verdicts: Verdicts | None = None,
) -> Quality:
    """Measure some spaces side by side, and their fusions, and one without meaning.

    Parameters
    ----------
    tracks
        In the order of their ids.
    spaces
        By name, vectors of length one as they are compared, float32, shape ``(N, dim)``.
    meaningful
        The names of those that were not made with seeded weights: only they tell copies, are
        fused and have their differences tested.
    exclude
        What is left out beside the query.
    same
        Listens to two tracks; see `duplicates.recordings`.
    k
        That of ``precision_at_k``.
    verdicts
        See `duplicates.recordings`.
    """
    first = np.arange(len(tracks))
    if len(tracks) < 2:
        return _nothing(first, exclude)
    near = {name: space.neighbours(unit) for name, unit in spaces.items()}
    if exclude != "none":
        first = duplicates.recordings(tracks, [near[name] for name in meaningful], same, verdicts)
    kept = np.flatnonzero(first == np.arange(len(tracks)))
    if len(kept) < 2:
        return _nothing(first, exclude)
    if len(kept) < len(tracks):
        tracks = [tracks[row] for row in kept.tolist()]
        spaces = {name: unit[kept] for name, unit in spaces.items()}
        near = {name: space.neighbours(unit) for name, unit in spaces.items()}
    spaces = {**spaces, RANDOM: _random(len(tracks))}
    near[RANDOM] = space.neighbours(spaces[RANDOM])
    exclusion, protocol = settle(tracks, exclude, copies=len(first) - len(kept))
    asking = _asking(len(tracks))
    drawn = len(asking) if len(asking) < len(tracks) else 0
    protocol = replace(protocol, k=k, drawn=drawn)
    judge = _Judge(tracks, exclusion, protocol, asking)
    cosines = {name: retrieval.cosine(unit) for name, unit in spaces.items()}
    fusions, weights = {}, {}
    if len(meaningful) > 1:
        label = "+".join(meaningful)
        members = {name: cosines[name] for name in meaningful}
        by_weight, chosen = blend.weighted(members, judge.genres, exclusion)
        fusions = {
            fused.WEIGHTED + label: by_weight,
            fused.BY_RANK + label: blend.by_rank(meaningful),
        }
        weights = {fused.WEIGHTED + label: chosen}
    judge.rank(cosines, fusions)
    names = [track.track_id for track in tracks]
    for name, unit in spaces.items():
        judge.probe(name, unit)
        judge.figures[name]["space"] = space.health(unit, near[name], names)
    for name, chosen in weights.items():
        judge.probe(name, np.concatenate([spaces[member] for member in chosen], axis=1))
    judge.add_intervals()
    without = spaces.keys() - set(meaningful)
    apart = judge.differences([name for name in judge.scores if name not in without])
    return Quality(protocol, first, judge.figures, weights, apart)


def _nothing(first: np.ndarray, exclude: Exclude) -> Quality:
    """What there is to say of fewer than two recordings."""
    gallery = len(np.unique(first))
    return Quality(Protocol(exclude, gallery, len(first) - gallery, 0), first, {}, {}, [])


class _Judge:
    """Ranks spaces under one protocol and collects their figures."""

    def __init__(
        self,
        tracks: Sequence[Track],
        exclusion: Exclusion,
        protocol: Protocol,
        asking: np.ndarray,
    ) -> None:
        self.names = [track.genre for track in tracks]
        self.genres = genre_labels(tracks)
        self.subgenres = Labels([track.subgenres for track in tracks])
        self.exclusion = exclusion
        by_artist = protocol.exclude == "artist"
        self.groups = groups(artist_keys(tracks)) if by_artist else np.full(len(tracks), -1)
        self.k, self.asking = protocol.k, asking
        self.figures: dict[str, dict[str, Any]] = {}
        self.scores: dict[str, retrieval.Scores] = {}
        self._samples: list[tuple[str, str, np.ndarray]] = []

    def rank(
        self,
        spaces: Mapping[str, retrieval.Similarity],
        fusions: Mapping[str, retrieval.Fusion],
    ) -> None:
        """All figures that follow from rankings."""
        kinds = [self.genres, self.subgenres]
        found = retrieval.rank(spaces, kinds, self.exclusion, fusions, self.asking, self.k)
        for name, ranked in found.items():
            genre, subgenre = ranked.scores
            self.scores[name] = genre
            self.figures[name] = {
                "n_queries": len(genre.rows),
                "by_genre": retrieval.by_genre(self.names, genre),
                "confusion": retrieval.confusion(self.names, genre, ranked.nearest),
            }
            for metric in retrieval.METRICS:
                self._add(name, metric, genre.values[metric])
            for metric in SUBGENRE_METRICS:
                self._add(name, f"subgenre_{metric}", subgenre.values[metric])
            votes = probe.votes(self.names, genre.rows, ranked.nearest)
            self._add(name, "knn_accuracy", votes)

    def probe(self, name: str, unit: np.ndarray) -> None:
        """What a classifier on the vectors of those that ask comes to."""
        genres = np.asarray(self.names)
        known = self.asking[genres[self.asking] != UNKNOWN]
        right = probe.probe(unit[known], genres[known], self.groups[known])
        if right is not None:
            self._add(name, "probe_accuracy", right)

    def add_intervals(self) -> None:
        """Bootstrap all figures; those of the same queries are resampled together."""
        for figures in self.figures.values():
            figures["intervals"] = {}
        by_count: dict[int, list[tuple[str, str, np.ndarray]]] = {}
        for sample in self._samples:
            by_count.setdefault(len(sample[2]), []).append(sample)
        for samples in by_count.values():
            ends = statistics.intervals(np.stack([values for _, _, values in samples], axis=1))
            for (name, metric, _), (low, high) in zip(samples, ends, strict=True):
                if metric != "chance":
                    self.figures[name]["intervals"][metric] = (float(low), float(high))

    def differences(self, names: Sequence[str]) -> list[statistics.Difference]:
        """Of all pairs of some spaces."""
        return [
            difference
            for metric in COMPARED
            for difference in statistics.differences(
                metric, {name: self.scores[name].values[metric] for name in names}
            )
        ]

    def _add(self, name: str, metric: str, values: np.ndarray) -> None:
        if len(values):
            self.figures[name][metric] = float(values.mean())
            self._samples.append((name, metric, values))


def _asking(count: int) -> np.ndarray:
    """The row numbers of those that ask: all, or as many as tell enough, drawn and seeded."""
    drawn = np.random.default_rng(SEED).permutation(count)[:MOST_ASKING]
    return np.sort(drawn)


def _random(count: int) -> np.ndarray:
    """Vectors without any meaning, seeded: the floor under every figure."""
    noise = np.random.default_rng(SEED).standard_normal((count, RANDOM_DIM))
    return normalize(noise)
