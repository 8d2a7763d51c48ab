"""Genre by classification, to compare with published accuracies.

Those come from a classifier trained on labelled tracks. There are two here: a vote of the nearest
neighbours, and logistic regression on the vectors (a linear probe).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

FOLDS = 5
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
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    alone = groups < 0
    groups = np.where(alone, groups.max(initial=-1) + 1 + np.arange(len(groups)), groups)
    enough = [g for g in np.unique(genres) if len(np.unique(groups[genres == g])) >= FOLDS]
    taken = np.isin(genres, enough)
    if len(enough) < 2:
        return None
    values, wanted, groups = vectors[taken].astype(np.float32), genres[taken], groups[taken]
    right = np.zeros(len(wanted))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    # The products are so small that threads would spend their time on waiting for each other.
    with threadpool_limits(1, "blas"):
        for train, test in folds.split(values, wanted, groups):
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
            model.fit(values[train], wanted[train])
            right[test] = model.predict(values[test]) == wanted[test]
    return right
