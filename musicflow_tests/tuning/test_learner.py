"""What is learned: directions that were planted are found, and nothing is forgotten."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage

from musicflow.evaluation.judgements import Judgements
from musicflow.tuning.learner import _shrinkage, scatters
from musicflow.tuning.space import Choice, balanced, learn
from musicflow_tests.evaluation.made_up import unit

DIM = 12


def one_dimension(count: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of which one dimension, the least of all, tells two classes apart."""
    random = np.random.default_rng(seed)
    sides = random.integers(0, 2, count)
    values = random.standard_normal((count, DIM))
    values[:, 5] = 0.3 * (2 * sides - 1) + 0.05 * values[:, 5]
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32), sides


def judgements_of(kind: str, sides: np.ndarray) -> Judgements:
    random = np.random.default_rng(1)
    none: list[tuple[str, ...]] = [()] * len(sides)
    if kind == "classes":
        return Judgements([(str(side),) for side in sides])
    drawn = random.integers(0, len(sides), (4000, 3))
    near = sides[drawn[:, 0]] == sides[drawn[:, 1]]
    if kind == "pairs":
        return Judgements(none, pairs=drawn[near][:, :2])
    return Judgements(none, triplets=drawn[near & (sides[drawn[:, 0]] != sides[drawn[:, 2]])])


@pytest.mark.parametrize("kind", ["classes", "pairs", "triplets"])
def test_a_label_that_lies_in_one_dimension_is_found(kind: str) -> None:
    values, sides = one_dimension()
    directions = scatters(values, judgements_of(kind, sides)).directions()
    best = np.abs(directions[:, 0])
    assert np.argmax(best) == 5
    assert best[5] > 5 * np.delete(best, 5).max()


def test_the_shrinkage_is_that_of_scikit_learn() -> None:
    values = np.random.default_rng(0).standard_normal((40, DIM)) * np.arange(1, DIM + 1)
    scatter, squares = values.T @ values / len(values), np.square(values).sum(axis=1)
    theirs = ledoit_wolf_shrinkage(values, assume_centered=True)
    assert _shrinkage(scatter, squares) == pytest.approx(theirs)
    assert 0.1 < theirs < 0.9
    assert _shrinkage(np.eye(3), np.full(4, 3.0)) == 0.0


def test_a_track_in_several_classes_is_drawn_to_each() -> None:
    """Three classes in a row: who is in two of them lies between their means."""
    random = np.random.default_rng(0)
    places = np.repeat([0.0, 1.0, 2.0], 60)
    labels = [("low",)] * 60 + [("low", "high")] * 60 + [("high",)] * 60
    values = np.column_stack([places, np.ones(180)]) + 0.1 * random.standard_normal((180, 2))
    found = scatters(values.astype(np.float32), Judgements(labels))
    along = (values - found.center) @ found.directions()[:, 0]
    low, between, high = along[:60].mean(), along[60:120].mean(), along[120:].mean()
    assert min(low, high) < between < max(low, high)


def test_none_of_what_is_learned_is_the_space_as_it_is() -> None:
    values, sides = one_dimension()
    learned = learn(values, judgements_of("classes", sides), Choice(0.0, None))
    rows = np.arange(5)
    assert np.array_equal(learned.similarity(values)(rows), values[rows].astype(float) @ values.T)


def test_an_embedder_of_narrow_cosines_gets_the_larger_share() -> None:
    narrow = np.column_stack([np.full(50, 3.0), unit(50, 0)[:, :2]])
    narrow = (narrow / np.linalg.norm(narrow, axis=1, keepdims=True)).astype(np.float32)
    shares = balanced([narrow, unit(50, 1)])
    assert shares[0] > 0.8
    assert shares.sum() == pytest.approx(1)
