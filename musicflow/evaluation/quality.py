"""All scores of some spaces over the same tracks, from nothing but arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from musicflow.evaluation import (
    blend,
    clusters,
    corrections,
    duplicates,
    labelled,
    probe,
    retrieval,
    space,
    statistics,
)
from musicflow.evaluation.corrections import Corrected
from musicflow.evaluation.labelled import ByLabel, Label
from musicflow.evaluation.labels import Labelling
from musicflow.evaluation.metrics import FEW_SHOTS, KNN, PROBE, V_MEASURE
from musicflow.evaluation.neighbours import KeptNeighbours
from musicflow.evaluation.protocol import (
    Keys,
    Labels,
    Method,
    Protocol,
    all_keys,
    artist_keys,
    blocks,
    drawn_rows,
    genre_labels,
    groups,
    protocol_for,
)
from musicflow.evaluation.space import Health, Neighbours
from musicflow.evaluation.statistics import Score
from musicflow.index import fused, normalize
from musicflow.index.hubness import Crowd, Kept, crowd_of, sample_of
from musicflow.library import UNKNOWN, Track
from musicflow.library.recordings import Verdicts

RANDOM = "random"
RANDOM_DIM = 128
SEED = 0

_BLOCK = 4096

MAX_QUERIES = 10_000
"""Of more tracks, so many queries are drawn: intervals are narrow by then, and each query is
compared with all tracks."""

MAX_CORRECTED = 2_500
"""Where queries are drawn, corrections of hubness are measured on so many of them: a change on the
same queries is surer than a score."""

MAX_TRACKS = 200_000
"""Of more tracks, fewer queries are drawn, and only their duplicates are looked for by vectors:
the cost of an evaluation grows no faster than the library."""

HEALTH_TRACKS = 50_000
"""Of more than `MAX_TRACKS`, the health of a space is that of so many, drawn."""

RANDOM_TRACKS = 10_000
"""Of more tracks, the health of the random baseline is that of so many: it has none to lose."""


@dataclass
class Figures:
    """The results of one space: fields of a `Row`."""

    n_queries: int
    chance: float | None = None
    scores: dict[str, Score] = field(default_factory=dict)
    by_genre: dict[str, float] = field(default_factory=dict)
    genre_intervals: dict[str, statistics.Interval] = field(default_factory=dict)
    confusion: dict[str, dict[str, float]] = field(default_factory=dict)
    space: Health | None = None
    corrected: tuple[Corrected, ...] = ()
    by_label: dict[str, ByLabel] = field(default_factory=dict)


@dataclass(frozen=True)
class Quality:
    """The results of all spaces.

    Parameters
    ----------
    protocol
        The rule that was followed.
    first
        The row number of the first track with the same recording, for each track; those that
        are not their own first took no part.
    figures
        By name of the space or fusion.
    members
        By name of a fusion, the names of its members.
    weights
        By name of a weighted fusion, the weight of each member's cosine.
    differences
        Between all spaces with meaningful scores.
    crowds
        By name of the space, what corrections of hubness need of all tracks; none of more than
        `MAX_TRACKS`. A duplicate has that of its recording's first track.
    labels
        The labels beside the genre that spaces were ranked by.
    """

    protocol: Protocol
    first: np.ndarray
    figures: dict[str, Figures] = field(default_factory=dict)
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    differences: list[statistics.Difference] = field(default_factory=list)
    crowds: dict[str, Kept] = field(default_factory=dict)
    labels: tuple[Label, ...] = ()


def measure(
    tracks: Sequence[Track],
    spaces: Mapping[str, np.ndarray],
    meaningful: Sequence[str],
    method: Method | None = None,
    same: Callable[[Track, Track], bool] | None = None,
    verdicts: Verdicts | None = None,
    kept_neighbours: KeptNeighbours | None = None,
    labellings: Sequence[Labelling] = (),
) -> Quality:
    """Measure some spaces side by side, their fusions, and the random baseline.

    Parameters
    ----------
    tracks
        In the order of their ids.
    spaces
        By name, vectors of length one as they are compared, float32, shape ``(N, dim)``.
    meaningful
        The names of those that were not made with seeded weights: only they find duplicates, are
        fused and have their differences tested.
    method
        The method to follow; the default one, if not given.
    same
        Compares the sound of two tracks; see `duplicates.recordings`.
    verdicts
        Of earlier comparisons by sound; see `duplicates.recordings`.
    kept_neighbours
        The neighbours that the last evaluation found.
    labellings
        Labels of the tracks to rank by beside their genres.
    """
    method = method or Method()
    first = np.arange(len(tracks))
    if len(tracks) < 2:
        return _nothing(first, method)
    names = [track.track_id for track in tracks]
    ids = np.array(names)
    near = _neighbours(spaces, names, kept_neighbours or KeptNeighbours())
    if method.exclude != "none":
        first = duplicates.recordings(tracks, [near[name] for name in meaningful], same, verdicts)
    shared = duplicates.cuts(tracks, first, verdicts)
    kept = np.flatnonzero(first == np.arange(len(tracks)))
    if len(kept) < 2:
        return _nothing(first, method)
    if len(tracks) > MAX_TRACKS:
        near.clear()
    if len(kept) < len(tracks):
        tracks = [tracks[row] for row in kept.tolist()]
        spaces = {name: unit[kept] for name, unit in spaces.items()}
        names = [names[row] for row in kept.tolist()]
        near = {
            name: space.neighbours(spaces[name], space.K, found, kept)
            for name, found in near.items()
        }
    crowds = {
        name: crowd_of(spaces[name], found.cosines.mean(axis=1)) for name, found in near.items()
    }
    spaces = {**spaces, RANDOM: _random(len(tracks))}
    judge = Judge(
        tracks, method, len(first) - len(kept), cuts=[shared[row] for row in kept.tolist()]
    )
    cosines = {name: retrieval.cosine(unit) for name, unit in spaces.items()}
    fusions, weights = _fusions({name: cosines[name] for name in meaningful}, judge)
    of_corrected = meaningful if method.hubness == "corrected" else ()
    judge.rank(cosines, fusions, {name: crowds[name] for name in of_corrected if name in crowds})
    for name, unit in spaces.items():
        judge.probe(name, unit)
        judge.cluster(name, unit)
        judge.figures[name].space = _health(name, unit, near.get(name), names)
    for name, chosen in weights.items():
        judge.probe(name, *(spaces[member] for member in chosen))
        # The cosines of these are the weighted sums.
        roots = {member: np.float32(np.sqrt(weight)) for member, weight in chosen.items()}
        judge.cluster(name, *(root * spaces[member] for member, root in roots.items()))
    judge.add_intervals()
    compared = [name for name in judge.ranked if name not in spaces.keys() - set(meaningful)]
    differences = judge.differences(compared)
    labels = []
    for one in labellings:
        given = one.of(kept), tracks, cosines, fusions, compared, method, judge.protocol.duplicates
        about, found = labelled.measure(*given, judge.queries, judge.cuts)
        told = labelled.disagreements(differences, about.differences, meaningful)
        labels.append(replace(about, disagreements=told))
        for name, by_label in found.items():
            judge.figures[name].by_label[about.name] = by_label
    recordings, sample = np.searchsorted(kept, first), sample_of(len(kept))
    return Quality(
        judge.protocol,
        first,
        judge.figures,
        {name: fusion.members for name, fusion in fusions.items()},
        weights,
        differences,
        {
            name: Kept(ids, crowd.of(recordings), spaces[name][sample])
            for name, crowd in crowds.items()
        },
        tuple(labels),
    )


def _neighbours(
    spaces: Mapping[str, np.ndarray], names: Sequence[str], kept: KeptNeighbours
) -> dict[str, Neighbours]:
    """Return the neighbours of each track by space; of too many tracks, those of the queries."""
    if len(names) > MAX_TRACKS:
        queries = _queries(len(names), SEED)
        return {name: space.neighbours(unit, of=queries) for name, unit in spaces.items()}
    return {name: kept.find(name, unit, names) for name, unit in spaces.items()}


def _fusions(
    members: Mapping[str, retrieval.Similarity], judge: "Judge"
) -> tuple[dict[str, retrieval.Fusion], dict[str, dict[str, float]]]:
    """Return the fusions of two spaces or more, and the weights of the weighted one."""
    if len(members) < 2:
        return {}, {}
    by_weight, weights = blend.weighted(members, judge.genres, judge.exclusion)
    label = "+".join(members)
    weighted, by_rank = fused.WEIGHTED + label, fused.BY_RANK + label
    return {weighted: by_weight, by_rank: blend.by_rank([*members])}, {weighted: weights}


def _health(
    name: str, unit: np.ndarray, near: Neighbours | None, track_ids: Sequence[str]
) -> Health:
    """Return the health of a space; of a drawn sample, where its neighbours are not known."""
    if near is not None:
        return space.health(unit, near, track_ids)
    some = drawn_rows(len(unit), RANDOM_TRACKS if name == RANDOM else HEALTH_TRACKS, SEED)
    drawn = unit[some]
    found = space.health(drawn, space.neighbours(drawn), [track_ids[row] for row in some.tolist()])
    return replace(found, drawn=len(some) if len(some) < len(unit) else 0)


def _nothing(first: np.ndarray, method: Method) -> Quality:
    """Return the results of fewer than two recordings."""
    corpus = len(np.unique(first))
    return Quality(Protocol(method.exclude, corpus, len(first) - corpus, 0, k=method.k), first)


class Judge:
    """Ranks spaces under one protocol and collects their scores.

    Parameters
    ----------
    tracks
        The corpus, in the order of their ids.
    method
        The method to follow.
    duplicates
        Tracks that were left out before.
    seed
        Of the queries that are drawn, and of the resamples behind intervals.
    cuts
        The keys that cuts of one recording share, per track; none where there are no cuts.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        method: Method,
        duplicates: int = 0,
        seed: int = SEED,
        cuts: Keys = (),
    ) -> None:
        self.queries = _queries(len(tracks), seed)
        drawn = len(self.queries) if len(self.queries) < len(tracks) else 0
        self.exclusion, self.protocol = protocol_for(tracks, method, duplicates, drawn, cuts)
        self.ids = [track.track_id for track in tracks]
        self.names = [track.genre for track in tracks]
        self.genres = genre_labels(tracks)
        self.subgenres = Labels([track.subgenres for track in tracks])
        by_artist = self.protocol.exclude == "artist"
        kin = [artist_keys(tracks)] if by_artist else []
        kin += [cuts] if self.protocol.cuts else []
        self.groups = groups(all_keys(*kin)) if kin else np.full(len(tracks), -1)
        self.metrics, self.seed, self.cuts = method.metrics, seed, cuts
        self.figures: dict[str, Figures] = {}
        self.ranked: dict[str, retrieval.Scores] = {}
        self._samples: dict[tuple[str, str], np.ndarray] = {}

    def rank(
        self,
        spaces: Mapping[str, retrieval.Similarity],
        fusions: Mapping[str, retrieval.Fusion] = {},
        crowds: Mapping[str, Crowd] = {},
    ) -> None:
        """Compute all scores that follow from rankings.

        Parameters
        ----------
        spaces
            By name.
        fusions
            By name.
        crowds
            By name of a space whose hubness is to be corrected, too.
        """
        kinds = [self.genres, self.subgenres]
        some = None
        if self.protocol.drawn:
            some = self.queries[drawn_rows(len(self.queries), MAX_CORRECTED, self.seed)]
        further = {**fusions, **corrections.rankings(crowds, self.metrics, some)}
        found = retrieval.rank(
            spaces, kinds, self.exclusion, self.metrics, further, self.queries, self.protocol.k
        )
        for name in (*spaces, *fusions):
            ranked = found[name]
            genre, subgenre = ranked.scores
            self.ranked[name] = genre
            self.figures[name] = Figures(
                len(genre.rows),
                float(genre.chance.mean()) if len(genre.rows) else None,
                by_genre=retrieval.by_genre(self.names, genre),
                confusion=retrieval.confusion(self.names, genre, ranked.nearest),
            )
            for metric in self.metrics:
                self._add(name, metric.name, genre.values[metric.name])
                if metric.subgenres:
                    self._add(name, f"subgenre_{metric.name}", subgenre.values[metric.name])
            votes = probe.votes(self.names, genre.rows, ranked.nearest)
            self._add(name, KNN.name, votes)
        for name, results in corrections.corrected(found, [*crowds], self.ids, self.seed).items():
            self.figures[name].corrected = results

    def probe(self, name: str, *units: np.ndarray) -> None:
        """Compute the accuracy of classifiers on the queries' vectors, side by side."""
        known, genres = self._known()
        vectors = np.concatenate([unit[known] for unit in units], axis=1)
        right = probe.probe(vectors, genres, self.groups[known])
        if right is not None:
            self._add(name, PROBE.name, right)
        few = probe.few_shots(vectors, genres, self.groups[known])
        if few is not None:
            self.figures[name].scores[FEW_SHOTS.name] = statistics.over_draws(few)

    def cluster(self, name: str, *units: np.ndarray) -> None:
        """Compute how clusters of the queries' vectors, side by side, agree with the genres."""
        known, genres = self._known()
        found = clusters.v_measures(np.concatenate([u[known] for u in units], axis=1), genres)
        if found is not None:
            self.figures[name].scores[V_MEASURE.name] = statistics.over_draws(found)

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the row numbers of the queries with a genre, and their genres."""
        genres = np.asarray(self.names)
        known = self.queries[genres[self.queries] != UNKNOWN]
        return known, genres[known]

    def add_intervals(self) -> None:
        """Bootstrap all scores; those of the same queries are resampled together."""
        by_count: dict[int, dict[tuple[str, str], np.ndarray]] = {}
        for key, values in self._samples.items():
            by_count.setdefault(len(values), {})[key] = values
        for samples in by_count.values():
            for (name, metric), score in statistics.scores_of(samples, self.seed).items():
                self.figures[name].scores[metric] = score
        for name, found in retrieval.genre_intervals(self.names, self.ranked, self.seed).items():
            self.figures[name].genre_intervals = found

    def differences(self, names: Sequence[str]) -> list[statistics.Difference]:
        """Compare all pairs of some spaces in the metrics that are compared."""
        return [
            difference
            for metric in self.metrics
            if metric.compared
            for difference in statistics.differences(
                metric.name, {name: self.ranked[name].values[metric.name] for name in names}
            )
        ]

    def _add(self, name: str, metric: str, values: np.ndarray) -> None:
        if len(values):
            self.figures[name].scores[metric] = Score(float(values.mean()))
            self._samples[name, metric] = values


def _queries(count: int, seed: int) -> np.ndarray:
    """Return the row numbers of all tracks, or of as many as are enough, drawn."""
    most = MAX_QUERIES if count <= MAX_TRACKS else MAX_QUERIES * MAX_TRACKS // count
    return drawn_rows(count, most, seed)


def _random(count: int) -> np.ndarray:
    """Return seeded vectors without any meaning: the baseline of every score."""
    # In blocks, which draw the same numbers: so many in float64 would be the most memory of all.
    noise = np.random.default_rng(SEED)
    unit = np.empty((count, RANDOM_DIM), np.float32)
    for rows in blocks(count, _BLOCK):
        unit[rows] = normalize(noise.standard_normal((len(rows), RANDOM_DIM)))
    return unit
