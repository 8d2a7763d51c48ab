"""Fusions in an evaluation: rankings that follow from those of their members.

Weights are not chosen on the queries they are judged by: queries are dealt into folds, and each
is ranked with the weights that were best for the other folds.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from musicflow.evaluation import metrics
from musicflow.evaluation.protocol import Exclusion, Labels
from musicflow.evaluation.retrieval import Fusion, Scores, Similarity, rank
from musicflow.index import fused

FOLDS = 5
SEED = 0

STEPS = tuple(step / 10 for step in range(10))
"""The shares to try for each further embedder."""

MAX_QUERIES = 300
"""Queries to choose weights by, at most."""

_VALUES = 1 << 26
"""Similarities per embedder that weights are chosen by, at most: half a gigabyte."""

CHOSEN_BY = metrics.get("map")
"""The metric that the weights are to raise."""

Weights = tuple[float, ...]


def by_rank(members: Sequence[str]) -> Fusion:
    """Return the reciprocal rank fusion of some spaces."""

    def combine(
        _rows: np.ndarray, _similarities: list[np.ndarray], rankings: list[np.ndarray]
    ) -> np.ndarray:
        places = np.broadcast_to(np.arange(1.0, rankings[0].shape[1] + 1), rankings[0].shape)
        ranks = [np.empty_like(places) for _ in rankings]
        for values, ranking in zip(ranks, rankings, strict=True):
            np.put_along_axis(values, ranking, places, axis=1)
        return fused.by_rank(ranks)

    return Fusion(tuple(members), combine)


def weighted(
    spaces: Mapping[str, Similarity], labels: Labels, exclusion: Exclusion
) -> tuple[Fusion, dict[str, float]]:
    """Return the weighted fusion of some spaces, its weights by cross-validation.

    Parameters
    ----------
    spaces
        Cosines of each embedder, by name.
    labels
        The labels that make a candidate relevant.
    exclusion
        The tracks that are no candidates of a query.

    Returns
    -------
    Fusion
        Each query under the weights that were chosen without it.
    dict
        The weights chosen on all queries, for cosines, by name; they add up to 1.
    """
    random = np.random.default_rng(SEED)
    most = min(MAX_QUERIES, max(_VALUES // exclusion.count, 1))
    sample = np.sort(random.permutation(exclusion.count)[:most])
    place = np.zeros(exclusion.count, int)
    place[sample] = np.arange(len(sample))
    known = np.stack([space(sample) for space in spaces.values()])
    # Embedders spread their cosines differently; shares are of spreads, so that a tenth of one
    # is a tenth of what can move a ranking.
    scale = 1 / np.maximum(known.std(axis=2).mean(axis=1), 1e-12)
    fold = random.integers(0, FOLDS, exclusion.count)

    @cache
    def precision(weights: Weights) -> Scores:
        def similarity(rows: np.ndarray) -> np.ndarray:
            return np.tensordot(weights, known[:, place[rows]], axes=1)

        found = rank({"": similarity}, [labels], exclusion, [CHOSEN_BY], queries=sample)
        return found[""].scores[0]

    def choose(without: int | None) -> Weights:
        def quality(weights: Weights) -> float:
            scores = precision(weights)
            return float(scores.values[CHOSEN_BY.name][fold[scores.rows] != without].sum())

        return _search(quality, scale)

    by_query = np.array([choose(without) for without in range(FOLDS)])[fold]

    def combine(
        rows: np.ndarray, similarities: list[np.ndarray], _rankings: list[np.ndarray]
    ) -> np.ndarray:
        weights = by_query[rows].T[:, :, None]
        return np.sum([w * s for w, s in zip(weights, similarities, strict=True)], axis=0)

    chosen = dict(zip(spaces, choose(None), strict=True))
    return Fusion(tuple(spaces), combine), chosen


def _search(quality: Callable[[Weights], float], scale: np.ndarray) -> Weights:
    """Start with the best space; give each other one its best share, best first."""
    alone = np.eye(len(scale))

    def weights(shares: np.ndarray) -> Weights:
        scaled = shares * scale
        return tuple((scaled / scaled.sum()).tolist())

    best_first = sorted(range(len(scale)), key=lambda m: -quality(weights(alone[m])))
    shares = alone[best_first[0]]
    for other in best_first[1:]:
        tried = [(1 - step) * shares + step * alone[other] for step in STEPS]
        shares = max(tried, key=lambda candidate: quality(weights(candidate)))
    return weights(shares)
