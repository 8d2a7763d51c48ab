"""Goals: how well a space fits judgements that it did not learn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from musicflow.evaluation import metrics, retrieval
from musicflow.evaluation.judgements import Judgements
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.protocol import Exclusion, Labels
from musicflow.evaluation.retrieval import Similarity

_METRICS = (metrics.get(MAIN),)


@dataclass(frozen=True)
class Fit:
    """How well spaces fit judgements.

    Parameters
    ----------
    rows
        The row number of the track that each judgement is of, shape ``(J,)``.
    values
        By space, a value in [0, 1] for each, shape ``(J,)``.
    """

    rows: np.ndarray
    values: dict[str, np.ndarray]


def judged(
    judgements: Judgements,
    spaces: Mapping[str, Similarity],
    exclusion: Exclusion,
    rows: np.ndarray,
    is_rough: bool = False,
) -> "Fit":
    """Return how well spaces fit the judgements of some tracks.

    ==========  ===========================================================
    classes     P@10 of a track as the query
    pairs       the share of all tracks that lie no nearer than the other
    triplets    1 if the nearer one is nearer, else 0
    ==========  ===========================================================

    Parameters
    ----------
    judgements
        Of all tracks.
    spaces
        By name.
    exclusion
        The tracks that are no candidates of a query.
    rows
        The row numbers of the tracks whose judgements are asked for, rising.
    is_rough
        Whether ties may go to any track, which saves whole rankings. A query without candidates
        of its classes then has 0; else it is left out.
    """
    if len(judgements.triplets):
        asked = judgements.triplets[np.isin(judgements.triplets[:, 0], rows)]
        values = {name: _nearer(space, asked) for name, space in spaces.items()}
        return Fit(asked[:, 0], values)
    if len(judgements.pairs):
        both = np.concatenate([judgements.pairs, judgements.pairs[:, ::-1]])
        asked = both[np.isin(both[:, 0], rows)]
        values = {name: _farther(space, asked) for name, space in spaces.items()}
        return Fit(asked[:, 0], values)
    labels = Labels(judgements.labels)
    if is_rough:
        precision = partial(_precision, labels, exclusion=exclusion, rows=rows)
        return Fit(rows, {name: precision(one) for name, one in spaces.items()})
    found = retrieval.rank(spaces, [labels], exclusion, _METRICS, queries=rows)
    scores = {name: ranked.scores[0] for name, ranked in found.items()}
    asked = next(iter(scores.values())).rows
    return Fit(asked, {name: own.values[MAIN] for name, own in scores.items()})


def _precision(
    labels: Labels, space: Similarity, exclusion: Exclusion, rows: np.ndarray
) -> np.ndarray:
    """Return P@10 of some tracks as queries."""
    cosines, excluded = space(rows), exclusion.of(rows)
    cosines[excluded] = -np.inf
    count = min(retrieval.NEAREST, cosines.shape[1])
    first = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    relevance = labels.ranked(rows, first)
    relevance[np.take_along_axis(excluded, first, axis=1)] = 0.0
    values: np.ndarray = relevance.mean(axis=1)
    return values


def _nearer(space: Similarity, triplets: np.ndarray) -> np.ndarray:
    own, place = np.unique(triplets[:, 0], return_inverse=True)
    cosines = space(own)
    return (cosines[place, triplets[:, 1]] > cosines[place, triplets[:, 2]]).astype(float)


def _farther(space: Similarity, pairs: np.ndarray) -> np.ndarray:
    own, place = np.unique(pairs[:, 0], return_inverse=True)
    cosines = space(own)
    cosines[np.arange(len(own)), own] = -np.inf
    found = cosines[place]
    nearer = (found > found[np.arange(len(pairs)), pairs[:, 1]][:, None]).sum(axis=1)
    return 1 - nearer / max(cosines.shape[1] - 2, 1)
