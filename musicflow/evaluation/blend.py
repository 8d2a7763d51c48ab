"""Fusions of embedders in an evaluation: similarities that need what others already measure.

The weights are not chosen on the queries they are judged by: queries are dealt into folds, and
each is answered with the weights that served the other folds best.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from musicflow import fusion
from musicflow.evaluation.protocol import Exclusion, Labels
from musicflow.evaluation.retrieval import Similarity, order, rank

FOLDS = 5
SEED = 0

STEPS = tuple(step / 10 for step in range(10))
"""The shares that are tried for each further embedder."""

MOST_QUERIES = 400
"""Queries that weights are chosen by, at most."""

Weights = tuple[float, ...]


def by_rank(spaces: Sequence[Similarity], exclusion: Exclusion) -> Similarity:
    """Reciprocal rank fusion of some spaces."""

    def similarity(rows: np.ndarray) -> np.ndarray:
        excluded = exclusion.of(rows)

        def ranks(space: Similarity) -> np.ndarray:
            ranking = order(space(rows), excluded)
            numbers = np.empty(ranking.shape)
            places = np.broadcast_to(np.arange(1.0, ranking.shape[1] + 1), ranking.shape)
            np.put_along_axis(numbers, ranking, places, axis=1)
            return numbers

        with ThreadPoolExecutor(len(spaces)) as pool:
            return fusion.by_rank(list(pool.map(ranks, spaces)))

    return similarity


def weighted(
    spaces: Sequence[Similarity], labels: Labels, exclusion: Exclusion
) -> tuple[Similarity, Weights]:
    """Weighted fusion of some spaces, the weights by cross-validation.

    Parameters
    ----------
    spaces
        Cosines of each embedder.
    labels
        What the weights are to serve, by mean average precision.
    exclusion
        Whom a query leaves out.

    Returns
    -------
    Similarity
        Each query under the weights that were chosen without it.
    tuple of float
        The weights chosen on all queries, for cosines; they add up to 1.
    """
    random = np.random.default_rng(SEED)
    sample = np.sort(random.permutation(exclusion.count)[:MOST_QUERIES])
    place = np.zeros(exclusion.count, int)
    place[sample] = np.arange(len(sample))
    known = np.stack([space(sample) for space in spaces])
    # Embedders spread their cosines differently; shares are of spreads, so that a tenth of one
    # is a tenth of what can move a ranking.
    scale = 1 / np.maximum(known.std(axis=2).mean(axis=1), 1e-12)
    fold = random.integers(0, FOLDS, exclusion.count)

    @cache
    def precision(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        """Who of the sample asked, and their average precision."""

        def similarity(rows: np.ndarray) -> np.ndarray:
            return np.tensordot(weights, known[:, place[rows]], axes=1)

        [scores] = rank(similarity, [labels], exclusion, sample).scores
        return scores.rows, scores.values["map"]

    def choose(without: int | None) -> Weights:
        def quality(weights: Weights) -> float:
            rows, values = precision(weights)
            return float(values[fold[rows] != without].sum())

        return _search(quality, scale)

    weights = np.array([choose(without) for without in range(FOLDS)])[fold]

    def similarity(rows: np.ndarray) -> np.ndarray:
        return sum(weights[rows, m][:, None] * space(rows) for m, space in enumerate(spaces))

    return similarity, choose(None)


def _search(quality: Callable[[Weights], float], scale: np.ndarray) -> Weights:
    """Start with the best space; give each other one, best first, the share that serves most."""
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
