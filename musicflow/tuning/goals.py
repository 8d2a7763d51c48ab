"""Goals: how well a space fits judgements that it did not learn from."""

from collections.abc import Mapping

import numpy as np

from musicflow.evaluation import metrics, retrieval
from musicflow.evaluation.metrics import MAIN
from musicflow.evaluation.protocol import Exclusion, Labels
from musicflow.evaluation.retrieval import Similarity
from musicflow.tuning.judgements import Judgements

_METRICS = (metrics.get(MAIN),)


def judged(
    judgements: Judgements,
    spaces: Mapping[str, Similarity],
    exclusion: Exclusion,
    rows: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return how well spaces fit the judgements of some tracks, one value in [0, 1] per judgement.

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
    """
    if len(judgements.triplets):
        asked = judgements.triplets[np.isin(judgements.triplets[:, 0], rows)]
        return {name: _nearer(space, asked) for name, space in spaces.items()}
    if len(judgements.pairs):
        both = np.concatenate([judgements.pairs, judgements.pairs[:, ::-1]])
        asked = both[np.isin(both[:, 0], rows)]
        return {name: _farther(space, asked) for name, space in spaces.items()}
    labels = [Labels(judgements.labels)]
    found = retrieval.rank(spaces, labels, exclusion, _METRICS, queries=rows)
    return {name: ranked.scores[0].values[MAIN] for name, ranked in found.items()}


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
