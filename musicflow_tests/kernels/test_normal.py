"""The normal distribution by table against scipy's."""

import numpy as np
from scipy.special import ndtr

from musicflow.kernels.normal import both_below


def test_the_table_is_right_to_more_digits_than_a_ranking_keeps() -> None:
    random = np.random.default_rng(0)
    values = random.uniform(-12, 12, (50, 400))
    rows = random.normal(size=50), random.uniform(0.5, 2, 50)
    columns = random.normal(size=400), random.uniform(0.5, 2, 400)
    own = ndtr((values - rows[0][:, None]) / rows[1][:, None])
    theirs = ndtr((values - columns[0]) / columns[1])
    assert np.abs(both_below(values, rows, columns) - own * theirs).max() < 1e-14
