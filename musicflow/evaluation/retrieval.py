"""How well a collection brings tracks of a genre together.

Every track asks for the others. The query itself is left out by its id, wherever it ranks.
Ties go to the track that comes first by id, so figures do not depend on chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicflow.index import Collection
from musicflow.library import UNKNOWN

DEPTHS = (1, 5, 10)
"""The k of precision@k."""

_BLOCK = 256


@dataclass(frozen=True)
class Scores:
    """Quality over all queries.

    Parameters
    ----------
    precision_at
        By k: the share of the first k answers that have the query's genre; of the answers
        there are, where a library holds fewer.
    map
        Mean average precision over the whole ranking.
    n_queries
        Tracks that asked: those whose genre is known and holds another track.
    by_genre
        Precision at the greatest k, by genre.
    """

    precision_at: dict[int, float]
    map: float
    n_queries: int
    by_genre: dict[str, float]


def askable(genres: Sequence[str]) -> np.ndarray:
    """Which tracks can ask: the genre is known and another track has it. Shape ``(N,)``."""
    values, counts = np.unique(np.asarray(genres), return_counts=True)
    shared = values[(counts > 1) & (values != UNKNOWN)]
    return np.isin(genres, shared)


def chance_level(genres: Sequence[str]) -> float:
    """The precision that a random ranking has on average, over the tracks that can ask."""
    _, inverse, counts = np.unique(np.asarray(genres), return_inverse=True, return_counts=True)
    others = (counts[inverse] - 1) / max(len(inverse) - 1, 1)
    asking = askable(genres)
    return float(others[asking].mean()) if asking.any() else 0.0


def exact_rankings(vectors: np.ndarray) -> np.ndarray:
    """Rank all other tracks for each track, by cosine.

    Parameters
    ----------
    vectors
        Of length one, shape ``(N, dim)``, in the order of their track ids.

    Returns
    -------
    numpy.ndarray
        Row numbers, best first, shape ``(N, N - 1)``: each row leaves out itself.
    """
    count = len(vectors)
    rankings = np.empty((count, count - 1), np.int32)
    for start in range(0, count, _BLOCK):
        scores = vectors[start : start + _BLOCK] @ vectors.T
        for row, values in enumerate(scores, start):
            values[row] = -np.inf
            rankings[row] = np.argsort(-values, kind="stable")[:-1]
    return rankings


def index_rankings(
    collection: Collection, vectors: np.ndarray, track_ids: Sequence[str], k: int
) -> list[list[int]]:
    """Ask a collection for the k nearest to each track, itself left out.

    Parameters
    ----------
    collection
        The published collection.
    vectors
        Of length one, shape ``(N, dim)``.
    track_ids
        Their ids; answers outside them (tracks another embedder has no vector for) are left out.
    k
        How many answers.

    Returns
    -------
    list of list of int
        Row numbers, best first, at most k each.
    """
    rows = {track_id: row for row, track_id in enumerate(track_ids)}
    beyond = collection.manifest.count - len(track_ids)
    answers: list[list[int]] = []
    for start in range(0, len(vectors), _BLOCK):
        for hits in collection.query(vectors[start : start + _BLOCK], k + 1 + beyond):
            row = len(answers)
            found = [rows[hit.track_id] for hit in hits if hit.track_id in rows]
            answers.append([other for other in found if other != row][:k])
    return answers


def score(
    genres: Sequence[str], rankings: np.ndarray, answers: Sequence[Sequence[int]] | None = None
) -> Scores:
    """Score rankings by genre.

    Parameters
    ----------
    genres
        Of each track, length N.
    rankings
        Exact and complete, as of `exact_rankings`: what average precision is computed on.
    answers
        The first answers as an index gave them: what precision is computed on. Where there is
        no index, the exact ones.
    """
    values = np.asarray(genres)
    asking = np.flatnonzero(askable(genres)).tolist()
    if answers is None:
        answers = rankings[:, : max(DEPTHS)].tolist()
    precision = {
        k: np.array([_precision(values, row, answers[row][:k]) for row in asking]) for k in DEPTHS
    }
    average = [_average_precision(values[rankings[row]] == values[row]) for row in asking]
    asked = values[asking]
    deepest = precision[max(DEPTHS)]
    return Scores(
        precision_at={k: _mean(values) for k, values in precision.items()},
        map=_mean(np.array(average)),
        n_queries=len(asking),
        by_genre={str(genre): _mean(deepest[asked == genre]) for genre in np.unique(asked)},
    )


def agreement(answers: Sequence[Sequence[int]], rankings: np.ndarray, k: int) -> float:
    """The share of the exact first k that an index's first k hold, on average."""
    shared = [
        len(set(found[:k]) & set(exact[:k].tolist())) / max(len(exact[:k]), 1)
        for found, exact in zip(answers, rankings, strict=True)
    ]
    return float(np.mean(shared))


def _precision(genres: np.ndarray, row: int, answers: Sequence[int]) -> float:
    return float((genres[list(answers)] == genres[row]).mean()) if len(answers) else 0.0


def _average_precision(relevant: np.ndarray) -> float:
    ranks = np.flatnonzero(relevant) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
