"""Genre by classification, to compare with published accuracies.

Those come from a classifier trained on labelled tracks. There are two here: a vote of the nearest
neighbours, and logistic regression on the vectors (a linear probe). The latter is also trained on
few tracks per genre, as a small library has them.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from musicflow.evaluation.protocol import numbered

FOLDS = 5

SHOTS, DRAWS = 8, 10
"""Tracks per genre that train the probe of few, and how often these are drawn."""

SEED = 0


def votes(genres: Sequence[str], rows: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Return whether the neighbours of each query vote for its genre.

    Of equals, the nearer wins.

    Parameters
    ----------
    genres
        Of all tracks, length N.
    rows
        Row numbers of the queries, shape ``(Q,)``.
    nearest
        Neighbours of all tracks, nearest first, -1 for none, shape ``(N, k)``.
    """
    right = np.zeros(len(rows))
    for number, row in enumerate(rows):
        # Counter keeps the order in which it met them, and most_common is stable.
        ballot = Counter(genres[other] for other in nearest[row] if other >= 0)
        right[number] = ballot.most_common(1)[0][0] == genres[row]
    return right


def probe(vectors: np.ndarray, genres: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """Return whether a linear classifier finds the genre of each track.

    It is trained on the other folds. Each dimension is standardised by the folds that train.
    Folds are stratified by genre and keep groups (artists) together.

    Parameters
    ----------
    vectors
        Shape ``(N, dim)``.
    genres
        Shape ``(N,)``.
    groups
        Numbers, shape ``(N,)``; -1 is a group of its own.

    Returns
    -------
    numpy.ndarray or None
        1 or 0 for each track of a genre that has at least `FOLDS` groups; None if fewer than
        two genres have.
    """
    # Imported here: it takes most of a second, which a search need not wait for.
    from sklearn.model_selection import StratifiedGroupKFold

    taken, groups = _taken(genres, groups, FOLDS)
    if taken is None:
        return None
    values, wanted, groups = vectors[taken].astype(np.float32), genres[taken], groups[taken]
    right = np.zeros(len(wanted))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    # The products are so small that threads would spend their time on waiting for each other.
    with threadpool_limits(1, "blas"):
        for train, test in folds.split(values, wanted, groups):
            right[test] = _predicted(values[train], wanted[train], values[test]) == wanted[test]
    return right


def few_shots(vectors: np.ndarray, genres: np.ndarray, groups: np.ndarray) -> np.ndarray | None:
    """Return the accuracy of a linear classifier trained on few tracks per genre, per draw.

    Each draw takes `SHOTS` tracks of each genre, and tests on all others that are of no group
    among them.

    Parameters
    ----------
    vectors, genres, groups
        See `probe`.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(DRAWS,)``, on the genres with more than `SHOTS` groups; None if fewer than two
        genres have.
    """
    taken, groups = _taken(genres, groups, SHOTS + 1)
    if taken is None:
        return None
    values, wanted, groups = vectors[taken].astype(np.float32), genres[taken], groups[taken]
    random, found = np.random.default_rng(SEED), np.empty(DRAWS)
    with threadpool_limits(1, "blas"):
        for draw in range(DRAWS):
            train = np.concatenate(
                [
                    random.choice(np.flatnonzero(wanted == genre), SHOTS, replace=False)
                    for genre in np.unique(wanted)
                ]
            )
            test = ~np.isin(groups, groups[train])
            told = _predicted(values[train], wanted[train], values[test])
            found[draw] = (told == wanted[test]).mean()
    return found


def _taken(
    genres: np.ndarray, groups: np.ndarray, least: int
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return which tracks are of a genre with enough groups, and groups with a number each.

    None if fewer than two genres have enough.
    """
    groups = numbered(groups)
    enough = [g for g in np.unique(genres) if len(np.unique(groups[genres == g])) >= least]
    return np.isin(genres, enough) if len(enough) > 1 else None, groups


def _predicted(train: np.ndarray, genres: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the genres that logistic regression tells for some vectors."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # The best weights lie in the span of the rows that train: where these are few, it has fewer
    # dimensions to search. All of its axes are kept, so nothing is lost.
    wide = train.shape[1] > 2 * len(train)
    turn = [PCA(svd_solver="full")] if wide else []
    model = make_pipeline(StandardScaler(), *turn, LogisticRegression(max_iter=200))
    told: np.ndarray = model.fit(train, genres).predict(test)
    return told
