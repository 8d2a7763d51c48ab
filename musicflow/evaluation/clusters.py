"""Clusters: how well groups found without labels agree with the genres."""

import warnings

import numpy as np
from threadpoolctl import threadpool_limits

RUNS = 10
MOST = 1000
"""Tracks of one run, at most: of more, each run draws its own."""

SEED = 0


def v_measures(vectors: np.ndarray, genres: np.ndarray) -> np.ndarray | None:
    """Return the V-measure of k-means against genres, per run.

    V-measure is the harmonic mean of homogeneity and completeness (Rosenberg and Hirschberg,
    2007). There are as many clusters as genres.

    Parameters
    ----------
    vectors
        Of length one, shape ``(N, dim)``.
    genres
        Shape ``(N,)``.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(RUNS,)``; None if there are fewer than two genres.
    """
    # Imported here: it takes most of a second, which a search need not wait for.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import v_measure_score

    if len(np.unique(genres)) < 2:
        return None
    found = np.empty(RUNS)
    with threadpool_limits(1), warnings.catch_warnings():
        # Of vectors that are alike there are fewer clusters, which the measure tells.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for run in range(RUNS):
            some = np.random.default_rng(SEED + run).permutation(len(genres))[:MOST]
            drawn, wanted = vectors[some].astype(np.float32), genres[some]
            model = KMeans(len(np.unique(wanted)), n_init=1, random_state=SEED + run)
            found[run] = v_measure_score(wanted, model.fit_predict(drawn))
    return found
