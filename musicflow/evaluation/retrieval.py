"""How well a space brings tracks together that share a label.

Every track asks for the others, as far as its `Exclusion` lets them answer. Ties go to the track
that comes first by id, so figures do not depend on chance. Rankings are made some queries at a
time and scored at once, so memory stays flat however many tracks there are.

Terms are those of information retrieval: Manning, Raghavan and Schütze, *Introduction to
Information Retrieval*, chapter 8; nDCG as in Järvelin and Kekäläinen (2002), with linear gains.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from musicflow.evaluation.protocol import Exclusion, Labels, blocks
from musicflow.index import Collection

DEPTHS = (1, 5, 10)
"""The k of precision@k."""

NEAREST = 10
"""How many answers are kept of each ranking."""

METRICS = (
    "precision_at_1",
    "precision_at_5",
    "precision_at_10",
    "precision_at_k",
    "r_precision",
    "map",
    "mrr",
    "ndcg_at_10",
    "hit_at_5",
    "hit_at_10",
    "chance",
)

Similarity = Callable[[np.ndarray], np.ndarray]
"""How alike some tracks (their row numbers) and all tracks are: float64, ``(len(rows), N)``."""

_BLOCK = 256
"""Queries whose similarities are computed at once: matrix products like to be large."""

_PART = 64
"""Queries that are ranked at once: sorting likes what fits into a cache."""

_WORKERS = min(4, os.cpu_count() or 1)
"""Parts that are ranked side by side; more would cost memory."""

_DECIMALS = 12
"""Similarities are rounded to this, so that equal vectors tie whatever the order of a sum."""


@dataclass(frozen=True)
class Fusion:
    """A ranking that follows from others.

    Parameters
    ----------
    members
        Names of spaces.
    combine
        Given row numbers of queries, and the similarities and the rankings of each member, says
        how alike the queries and all tracks are. Shapes ``(Q,)``, ``(Q, N)``.
    """

    members: tuple[str, ...]
    combine: Callable[[np.ndarray, list[np.ndarray], list[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Scores:
    """The figures of each query.

    Parameters
    ----------
    rows
        Who asked: tracks with something to find. Shape ``(Q,)``.
    values
        By the names in `METRICS`, each of shape ``(Q,)``:

        - ``precision_at_k``: the share of the first k answers that share a label with the query;
          of the answers there are, where there are fewer.
        - ``r_precision``: the same for the first R, R being how many there are to find.
        - ``map``: average precision over the whole ranking.
        - ``mrr``: one over the rank of the first right answer.
        - ``ndcg_at_10``: discounted gain of the first ten over the best there could be.
        - ``hit_at_k``: whether there is a right answer among the first k.
        - ``chance``: the precision that a random ranking has on average.
    """

    rows: np.ndarray
    values: dict[str, np.ndarray]

    def mean(self, name: str) -> float:
        """A figure over all queries; 0 if nobody asked."""
        return float(self.values[name].mean()) if len(self.rows) else 0.0


@dataclass(frozen=True)
class Ranked:
    """What one pass over all queries found.

    Parameters
    ----------
    scores
        One for each kind of labels.
    nearest
        The first `NEAREST` answers to each track that asked, -1 where there are fewer. Shape
        ``(N, NEAREST)``.
    """

    scores: list[Scores]
    nearest: np.ndarray


def cosine(vectors: np.ndarray) -> Similarity:
    """Similarity of vectors of length one, shape ``(N, dim)``."""
    values = vectors.astype(np.float64)
    return lambda rows: values[rows] @ values.T


def order(similarities: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Row numbers, best first, those left out last. Shapes ``(Q, N)``."""
    keys = -np.round(similarities, _DECIMALS)
    keys[excluded] = np.inf
    ranking = np.argsort(keys, axis=1)
    # The quick sort leaves ties in any order; the few rows that have some are sorted again.
    ranked = np.take_along_axis(keys, ranking, axis=1)
    tied = ((ranked[:, 1:] == ranked[:, :-1]) & np.isfinite(ranked[:, 1:])).any(axis=1)
    ranking[tied] = np.argsort(keys[tied], axis=1, kind="stable")
    return ranking


def rank(
    spaces: Mapping[str, Similarity],
    labels: Sequence[Labels],
    exclusion: Exclusion,
    fusions: Mapping[str, Fusion] = {},
    queries: np.ndarray | None = None,
    k: int = NEAREST,
) -> dict[str, Ranked]:
    """Let tracks ask, and score the answers.

    Parameters
    ----------
    spaces
        By name.
    labels
        Each makes scores of its own.
    exclusion
        Whom a query leaves out.
    fusions
        By name: rankings that follow from those of some spaces.
    queries
        Row numbers of those that ask; all, if not given.
    k
        That of ``precision_at_k``.
    """
    asking = np.arange(exclusion.count) if queries is None else queries
    done: list[dict[str, Ranked]] = []

    def score(rows: np.ndarray, *similarities: np.ndarray) -> dict[str, Ranked]:
        excluded = exclusion.of(rows)
        answers = (~excluded).sum(axis=1)
        gains = [np.where(excluded, 0.0, kind.gains(rows)) for kind in labels]
        known = dict(zip(spaces, similarities, strict=True))
        rankings = {name: order(values, excluded) for name, values in known.items()}
        for name, fusion in fusions.items():
            values = fusion.combine(
                rows, [known[m] for m in fusion.members], [rankings[m] for m in fusion.members]
            )
            rankings[name] = order(values, excluded)
        return {name: _scored(rows, r, gains, answers, k) for name, r in rankings.items()}

    with ThreadPoolExecutor(_WORKERS) as pool:
        for places in blocks(len(asking), _BLOCK):
            rows = asking[places]
            wholes = [rows, *(similarity(rows) for similarity in spaces.values())]
            parts = max(1, len(rows) // _PART)
            done += pool.map(score, *(np.array_split(whole, parts) for whole in wholes))
    return {
        name: _joined([part[name] for part in done], asking, exclusion.count)
        for name in (*spaces, *fusions)
    }


def _scored(
    rows: np.ndarray,
    ranking: np.ndarray,
    gains: Sequence[np.ndarray],
    answers: np.ndarray,
    k: int,
) -> Ranked:
    nearest = np.full((len(rows), NEAREST), -1, np.int32)
    first = ranking[:, :NEAREST]
    kept = np.arange(first.shape[1]) < answers[:, None]
    nearest[:, : first.shape[1]] = np.where(kept, first, -1)
    scores = []
    for values in gains:
        asks = values.any(axis=1)
        ranked = np.take_along_axis(values[asks], ranking[asks], axis=1)
        scores.append(Scores(rows[asks], _figures(ranked, answers[asks], k)))
    return Ranked(scores, nearest)


def _figures(gains: np.ndarray, answers: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """All figures of some queries.

    Parameters
    ----------
    gains
        Of each answer, best ranked first; 0 is wrong. Every query has a right one. Shape
        ``(Q, N)``.
    answers
        How many answers there are; what comes behind them in `gains` is 0. Shape ``(Q,)``.
    k
        That of ``precision_at_k``.
    """
    right = gains > 0
    query, place = np.nonzero(right)
    total = right.sum(axis=1)
    start = np.cumsum(total) - total
    number = np.arange(len(query)) - start[query] + 1
    precision = number / (place + 1)
    hits = {depth: right[:, :depth].sum(axis=1) for depth in (*DEPTHS, k)}
    discounts = 1 / np.log2(np.arange(NEAREST) + 2)
    depth = min(NEAREST, gains.shape[1])
    best = -np.partition(-gains, depth - 1, axis=1)[:, :depth]
    ideal = -np.sort(-best, axis=1) @ discounts[:depth]
    return {
        **{f"precision_at_{n}": hits[n] / np.minimum(n, answers) for n in DEPTHS},
        "precision_at_k": hits[k] / np.minimum(k, answers),
        "r_precision": np.bincount(query[place < total[query]], minlength=len(gains)) / total,
        "map": np.bincount(query, precision, minlength=len(gains)) / total,
        "mrr": precision[start],
        "ndcg_at_10": gains[:, :depth].astype(np.float64) @ discounts[:depth] / ideal,
        "hit_at_5": (hits[5] > 0).astype(np.float64),
        "hit_at_10": (hits[10] > 0).astype(np.float64),
        "chance": total / answers,
    }


def _joined(parts: Sequence[Ranked], asking: np.ndarray, count: int) -> Ranked:
    kinds = zip(*(part.scores for part in parts), strict=True)
    scores = [
        Scores(
            np.concatenate([part.rows for part in kind]),
            {name: np.concatenate([part.values[name] for part in kind]) for name in METRICS},
        )
        for kind in kinds
    ]
    nearest = np.full((count, NEAREST), -1, np.int32)
    nearest[asking] = np.concatenate([part.nearest for part in parts])
    return Ranked(scores, nearest)


def confusion(genres: Sequence[str], scores: Scores, nearest: np.ndarray) -> dict[str, dict]:
    """What the first ten answers to each genre are: shares by genre, largest first."""
    values = np.asarray(genres)
    table: dict[str, dict] = {}
    asked = values[scores.rows]
    for genre in np.unique(asked):
        answers = nearest[scores.rows[asked == genre]]
        answers = answers[answers >= 0]
        names, counts = np.unique(values[answers], return_counts=True)
        best = np.argsort(-counts, kind="stable")
        table[str(genre)] = {str(names[i]): float(counts[i] / len(answers)) for i in best}
    return table


def by_genre(genres: Sequence[str], scores: Scores) -> dict[str, float]:
    """Precision at ten, by the genre of the query."""
    asked, values = np.asarray(genres)[scores.rows], scores.values["precision_at_10"]
    return {str(genre): float(values[asked == genre].mean()) for genre in np.unique(asked)}


@dataclass(frozen=True)
class Answers:
    """How a published collection answers beside exact search.

    Parameters
    ----------
    agreement_at_10
        The share of its first ten that are as near as the exact first ten.
    query_ms
        The median time of one query, in milliseconds.
    """

    agreement_at_10: float
    query_ms: float


MOST_QUERIES = 500
"""Tracks that ask a collection at most; spread over all."""


def ask(collection: Collection, vectors: np.ndarray, track_ids: Sequence[str]) -> Answers:
    """Ask a collection for the ten nearest to some tracks, one at a time.

    Parameters
    ----------
    collection
        The published collection.
    vectors
        Of length one, shape ``(N, dim)``.
    track_ids
        Their ids; answers outside them (copies, and tracks another embedder has no vector for)
        are left out, as is the query itself.
    """
    rows = {track_id: row for row, track_id in enumerate(track_ids)}
    beyond = collection.manifest.count - len(track_ids)
    count = min(NEAREST, len(rows) - 1)
    asking = np.unique(np.linspace(0, len(rows) - 1, MOST_QUERIES).astype(int))
    times, shares = [], []
    for row in asking:
        start = time.perf_counter()
        [hits] = collection.query(vectors[row : row + 1], count + 1 + beyond)
        times.append(time.perf_counter() - start)
        found = [rows[hit.track_id] for hit in hits if hit.track_id in rows]
        found = [other for other in found if other != row][:count]
        exact = vectors @ vectors[row]
        exact[row] = -np.inf
        # Of tracks that are equally near, either will do.
        worst = np.partition(exact, -count)[-count] - _TOLERANCE
        shares.append((exact[found] >= worst).sum() / count)
    return Answers(float(np.mean(shares)), 1000 * float(np.median(times)))


_TOLERANCE = 1e-5
"""What an engine's float32 may differ by."""
