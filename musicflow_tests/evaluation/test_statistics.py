import numpy as np
import pytest
from scipy import stats

from musicflow.evaluation.statistics import differences, intervals

RANDOM = np.random.default_rng(0)


def test_intervals_are_those_of_scipy() -> None:
    values = RANDOM.beta(2, 5, (300, 2))
    for column, (low, high) in enumerate(intervals(values)):
        expected = stats.bootstrap(
            (values[:, column],), np.mean, method="percentile", n_resamples=5000, rng=1
        ).confidence_interval
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.003)


def test_the_same_values_give_the_same_interval() -> None:
    values = RANDOM.random((50, 1))
    assert intervals(values).tolist() == intervals(values).tolist()
    assert intervals(np.ones((5, 1))).tolist() == [[1.0, 1.0]]


def test_p_is_that_of_scipys_permutation_test() -> None:
    a = RANDOM.random(80)
    b = a - 0.03 + 0.15 * RANDOM.standard_normal(80)
    expected = stats.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    [found] = differences("map", {"a": a, "b": b})
    assert (found.better, found.worse) == ("a", "b")
    assert found.difference == pytest.approx((a - b).mean())
    assert found.p == pytest.approx(expected, abs=0.02)
    assert found.interval[0] < found.difference < found.interval[1]


def test_the_same_embedder_twice_does_not_differ() -> None:
    a = RANDOM.random(40)
    [found] = differences("map", {"a": a, "b": a.copy()})
    assert (found.difference, found.p) == (0.0, 1.0)


def test_p_is_corrected_for_the_number_of_pairs() -> None:
    base = RANDOM.random(60)
    shifted = {name: base + shift for name, shift in (("a", 0.0), ("b", 0.1), ("c", 0.2))}
    least = 1 / 10_001
    assert [found.p for found in differences("map", shifted)] == pytest.approx([3 * least] * 3)


def test_where_nobody_asked_nothing_differs() -> None:
    assert differences("map", {"a": np.zeros(0), "b": np.zeros(0)}) == []
    assert differences("map", {"a": np.ones(3)}) == []
