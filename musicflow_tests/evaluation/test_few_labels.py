"""Few shots and clusters against slow versions of their definitions."""

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from musicflow.evaluation import clusters, probe, statistics
from musicflow_tests.evaluation.made_up import around, unit

GENRES = np.array([genre for genre in "abc" for _ in range(30)] + ["rare"] * 8)
ALONE = np.full(len(GENRES), -1)


def test_few_shots_train_on_eight_tracks_per_genre_and_test_on_all_others() -> None:
    vectors, random, wanted = around([*GENRES], 3, spread=1.5), np.random.default_rng(0), []
    rows = [np.flatnonzero(genre == GENRES) for genre in "abc"]
    for _ in range(10):
        train = [int(row) for own in rows for row in random.choice(own, 8, replace=False)]
        test = [row for own in rows for row in own.tolist() if row not in train]
        mean, deviation = vectors[train].mean(axis=0), vectors[train].std(axis=0)
        model = LogisticRegression(max_iter=200)
        model.fit((vectors[train] - mean) / deviation, GENRES[train])
        told = [model.predict([(vectors[row] - mean) / deviation])[0] for row in test]
        wanted.append(sum(map(str.__eq__, told, GENRES[test])) / len(test))
    found = probe.few_shots(vectors, GENRES, ALONE)
    assert found is not None
    assert found.tolist() == pytest.approx(wanted)
    score = statistics.over_draws(found)
    ends = stats.t.interval(0.95, 9, np.mean(wanted), stats.sem(wanted))
    assert (score.value, score.low, score.high) == pytest.approx((np.mean(wanted), *ends))


def test_more_dimensions_than_tracks_change_no_answer() -> None:
    genres = GENRES[:90]
    vectors = around([*genres], 3, spread=4, dim=400)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    told = cross_val_predict(model, vectors, genres, groups=np.arange(90), cv=folds)
    found = probe.probe(vectors, genres, ALONE[:90])
    assert found is not None
    assert found.tolist() == (told == genres).tolist()
    assert 0.4 < found.mean() < 1


def test_few_shots_never_know_an_artist_and_need_enough_of_them() -> None:
    """Vectors that tell artists apart and nothing else: their genres are found by chance alone."""
    groups = np.arange(90) // 2
    vectors = around([f"{group:02}" for group in groups], 0, spread=0.01, dim=64)
    found = probe.few_shots(vectors, GENRES[:90], groups)
    assert found is not None
    assert abs(found.mean() - 1 / 3) < 0.15
    known = probe.few_shots(vectors, GENRES[:90], ALONE[:90])
    assert known is not None
    assert known.mean() > 0.45
    assert probe.few_shots(vectors, GENRES[:90], np.arange(90) // 4) is None


def slow_v_measure(genres: list[str], found: list[int]) -> float:
    """The harmonic mean of homogeneity and completeness, by entropies."""

    def entropy(labels: list) -> float:
        return -sum(n / len(labels) * math.log(n / len(labels)) for n in Counter(labels).values())

    both = entropy([*zip(genres, found, strict=True)])
    homogeneity = 1 - (both - entropy(found)) / entropy(genres)
    completeness = 1 - (both - entropy(genres)) / entropy(found)
    return 2 * homogeneity * completeness / (homogeneity + completeness)


def test_v_measure_is_that_of_the_definition_high_where_genres_lie_apart() -> None:
    genres = GENRES[:90]
    apart, meaningless = around([*genres], 0, spread=0.05), unit(90, 0)
    found, floor = clusters.v_measures(apart, genres), clusters.v_measures(meaningless, genres)
    assert found is not None
    assert floor is not None
    assert found.max() == pytest.approx(1.0)
    assert floor.mean() < 0.15
    order = np.random.default_rng(4).permutation(90)
    told = KMeans(3, n_init=1, random_state=4).fit_predict(meaningless[order]).tolist()
    assert floor[4] == pytest.approx(slow_v_measure(genres[order].tolist(), told))
    assert clusters.v_measures(apart, genres[:1].repeat(90)) is None
