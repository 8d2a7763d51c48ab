"""Spaces ranked by other labels than the genre, and where the two orders of embedders disagree.

A track may have several labels. A hit shares one or more with the query, as is usual of several
labels (Zhang, Zou, Lin, Chen and Wang, 2020), and mAP is the mean over queries. A label's own mAP
has that label alone for relevance. Macro mAP is the mean over labels (Manning, Raghavan and
Schütze, chapter 13), so that no frequent one outweighs the rest.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

import numpy as np

from musicflow.evaluation import metrics, retrieval, statistics
from musicflow.evaluation.labels import Labelling, relabelled, rule_for
from musicflow.evaluation.metrics import MAIN, MAP, Measure
from musicflow.evaluation.protocol import (
    Exclusion,
    Keys,
    Labels,
    Method,
    OneOf,
    Protocol,
    protocol_for,
)
from musicflow.evaluation.retrieval import Fusion, Scores, Similarity
from musicflow.evaluation.statistics import SURE, Difference, Score
from musicflow.library import Track

MANY = 300
"""Of more labels, none is told of alone."""

MACRO = Measure("macro_map", "macro mAP", "Mean of each label's mAP.", "report")


@dataclass(frozen=True)
class ByLabel:
    """The scores of one space by one label.

    Parameters
    ----------
    scores
        By the names of metrics, and `MACRO`.
    n_queries, chance
        Queries with a relevant candidate, and the mean precision of a random ranking.
    by_value
        The mAP of each label alone; empty where there are more than `MANY`.
    """

    scores: dict[str, Score] = field(default_factory=dict)
    n_queries: int = 0
    chance: float | None = None
    by_value: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Disagreement:
    """Two embedders whose order by a label is not their order by genre.

    Parameters
    ----------
    code
        ``reversed`` where both differences are sure, else ``unsure``.
    by_genre, by_label
        The differences in P@10.
    """

    code: Literal["reversed", "unsure"]
    by_genre: Difference
    by_label: Difference


@dataclass(frozen=True)
class Label:
    """A label that embedders were ranked by, beside the genre.

    Parameters
    ----------
    name
        Its name.
    embedder
        The one that predicted it; empty if none did.
    tracks, values
        The tracks that have one, and the different ones.
    protocol
        The rule that was followed; None where there are no scores.
    differences
        Between all rows with meaningful scores.
    disagreements
        Where the order of embedders is not that by genre.
    error, advice, code
        Why there are no scores, what to do about it, and the kind of error; empty if there are.
    """

    name: str
    embedder: str = ""
    tracks: int = 0
    values: int = 0
    protocol: Protocol | None = None
    differences: tuple[Difference, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    error: str = ""
    advice: str = ""
    code: str = ""


def measure(
    labelling: Labelling,
    tracks: Sequence[Track],
    spaces: Mapping[str, Similarity],
    fusions: Mapping[str, Fusion],
    compared: Sequence[str],
    method: Method,
    duplicates: int,
    queries: np.ndarray,
    cuts: Keys = (),
) -> tuple[Label, dict[str, ByLabel]]:
    """Rank spaces by other labels.

    Parameters
    ----------
    labelling
        The labels.
    tracks
        The corpus, in the order of their ids.
    spaces, fusions
        By name.
    compared
        The names of those whose differences are tested.
    method
        The method that was asked for. Its rule gives way where the label takes it.
    duplicates
        Tracks that were left out before.
    queries
        Row numbers of the queries.
    cuts
        The keys that cuts of one recording share, per track; none where there are no cuts.
    """
    sets = labelling.sets
    method = replace(method, exclude=rule_for(labelling.source, method.exclude))
    drawn = len(queries) if len(queries) < len(tracks) else 0
    own = relabelled(tracks, sets)
    exclusion, protocol = protocol_for(own, method, duplicates, drawn, cuts)
    given = exclusion, method.metrics, fusions, queries, method.k
    ranked = retrieval.rank(spaces, [Labels(sets)], *given)
    scores = {name: one.scores[0] for name, one in ranked.items()}
    counts = Counter(name for several in sets for name in several)
    by_value: dict[str, dict[str, float]] = {}
    if labelling.are_named and len(counts) <= MANY:
        by_value = map_by_value(sets, scores, spaces, exclusion, fusions, queries)
    found = {name: _by_label(one, by_value.get(name, {})) for name, one in scores.items()}
    differences = [
        one
        for metric in method.metrics
        if metric.compared
        for one in statistics.differences(
            metric.name, {name: scores[name].values[metric.name] for name in compared}
        )
    ]
    known = sum(map(bool, sets))
    about = labelling.name, labelling.embedder, known, len(counts), protocol
    return Label(*about, tuple(differences)), found


def _by_label(scores: Scores, by_value: dict[str, float]) -> ByLabel:
    count = len(scores.rows)
    if not count:
        return ByLabel()
    found = statistics.scores_of(scores.values)
    if len(by_value) > 1:
        found |= statistics.scores_of({MACRO.name: np.array(list(by_value.values()))})
    return ByLabel(found, count, float(scores.chance.mean()), by_value)


def map_by_value(
    sets: Sequence[tuple[str, ...]],
    scores: Mapping[str, Scores],
    spaces: Mapping[str, Similarity],
    exclusion: Exclusion,
    fusions: Mapping[str, Fusion],
    queries: np.ndarray,
) -> dict[str, dict[str, float]]:
    """Return the mAP of each label alone, by space and label.

    Parameters
    ----------
    sets
        The labels of each track.
    scores
        By space, those where any shared label is a hit. They are a track's own where it has one.
    spaces, exclusion, fusions, queries
        See `retrieval.rank`.
    """
    values: dict[str, defaultdict[str, list[float]]] = {name: defaultdict(list) for name in scores}
    for name, one in scores.items():
        for row, value in zip(one.rows.tolist(), one.values[MAP].tolist(), strict=True):
            if len(sets[row]) == 1:
                values[name][sets[row][0]].append(value)
    several = [row for row in queries.tolist() if len(sets[row]) > 1]
    for place in range(max((len(sets[row]) for row in several), default=0)):
        asked = {row: sets[row][place] for row in several if len(sets[row]) > place}
        rows = np.array([*asked])
        held, metric = [OneOf(sets, asked)], [metrics.get(MAP)]
        ranked = retrieval.rank(spaces, held, exclusion, metric, fusions, rows)
        for name, by_value in ranked.items():
            found = by_value.scores[0]
            for row, value in zip(found.rows.tolist(), found.values[MAP].tolist(), strict=True):
                values[name][asked[row]].append(value)
    return {
        name: {label: float(np.mean(own[label])) for label in sorted(own)}
        for name, own in values.items()
    }


def disagreements(
    by_genre: Sequence[Difference], by_label: Sequence[Difference], names: Sequence[str]
) -> tuple[Disagreement, ...]:
    """Return the pairs of embedders whose order by a label is not that by genre.

    Parameters
    ----------
    by_genre, by_label
        Differences between spaces.
    names
        The embedders.
    """
    both = [
        {frozenset((d.better, d.worse)): d for d in some if d.metric == MAIN}
        for some in (by_genre, by_label)
    ]
    found = []
    for pair in map(frozenset, combinations(names, 2)):
        genre, label = (one.get(pair) for one in both)
        if genre is None or label is None or genre.better == label.better:
            continue
        if genre.difference and label.difference:
            are_sure = genre.p < SURE and label.p < SURE
            found.append(Disagreement("reversed" if are_sure else "unsure", genre, label))
    return tuple(found)
