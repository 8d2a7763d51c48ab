import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from musicflow.evaluation import space
from musicflow.evaluation.space import Neighbours, health, neighbours
from musicflow_tests.evaluation.made_up import unit


def names(count: int) -> list[str]:
    return [f"t{number}" for number in range(count)]


def one_by_one(vectors: np.ndarray) -> tuple[list[list[int]], list[list[float]]]:
    """The neighbours of each vector, and their cosines, by a plain loop."""
    rows, cosines = [], []
    for row, one in enumerate(vectors.tolist()):
        found = [
            (-round(math.fsum(a * b for a, b in zip(one, other, strict=True)), 12), number)
            for number, other in enumerate(vectors.tolist())
            if number != row
        ]
        nearest = sorted(found)[:10]
        rows.append([number for _, number in nearest])
        cosines.append([-cosine for cosine, _ in nearest])
    return rows, cosines


def assert_equal(near: Neighbours, vectors: np.ndarray) -> None:
    rows, cosines = one_by_one(vectors)
    assert near.rows.tolist() == rows
    # Another order of the sum may move a cosine over the edge of its rounding.
    np.testing.assert_allclose(near.cosines, cosines, rtol=0, atol=2e-12)


def made(count: int, seed: int, rough: bool) -> np.ndarray:
    """Vectors of length one; rough ones take few values, so that many tie."""
    vectors = unit(count, seed, dim=4)
    return (np.sign(vectors) / 2).astype(np.float32) if rough else vectors


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 60), st.integers(0, 60), st.integers(0, 1000), st.booleans(), st.data())
def test_neighbours_are_those_of_a_plain_loop_anew_and_by_difference(
    before: int, new: int, seed: int, rough: bool, data: st.DataObject
) -> None:
    """Some tracks go, some come in between, and the rest keeps its order."""
    vectors = made(before + new, seed, rough)
    known = neighbours(vectors[:before])
    assert_equal(known, vectors[:before])
    gone = data.draw(st.sets(st.integers(0, before - 1), max_size=max(before - 2, 0)))
    origin = [row for row in range(before) if row not in gone]
    for _ in range(new):
        origin.insert(data.draw(st.integers(0, len(origin))), -1)
    places = iter(range(before, before + new))
    now = vectors[[next(places) if row < 0 else row for row in origin]]
    found = neighbours(now, known=known, origin=np.array(origin))
    assert_equal(found, now)


def test_neighbours_over_several_blocks_are_those_of_scikit_learn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(space, "_TILE", 64)
    vectors = unit(600, 0)
    near = neighbours(vectors)
    distances, rows = NearestNeighbors(n_neighbors=10).fit(vectors.astype(np.float64)).kneighbors()
    assert near.cosines == pytest.approx(1 - distances**2 / 2, abs=1e-6)
    assert (near.rows == rows).mean() > 0.99
    origin = np.where(np.arange(600) % 7 == 3, -1, 0)
    origin[origin >= 0] = np.arange((origin >= 0).sum())
    known = neighbours(vectors[origin >= 0])
    found = neighbours(vectors, known=known, origin=origin)
    assert (found.rows == near.rows).all()
    assert (found.cosines == near.cosines).all()


def test_two_tracks_are_each_others_neighbour() -> None:
    near = neighbours(unit(2, 0))
    assert near.rows.tolist() == [[1], [0]]
    assert health(unit(2, 0), near, names(2)).intrinsic_dim is None


def test_a_hub_is_found_and_named() -> None:
    """Vectors of many directions, and one that lies amid them all."""
    random = np.random.default_rng(0)
    vectors = np.abs(np.eye(40) + 0.05 * random.standard_normal((40, 40))).astype(np.float32)
    vectors = np.vstack([vectors, vectors.mean(axis=0)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = health(vectors, neighbours(vectors), names(41))
    assert found.hubs[0] == ("t40", 40)
    assert found.hubness > 1
    even = unit(1000, 0, dim=3)
    assert abs(health(even, neighbours(even), names(1000)).hubness) < 1


def test_intrinsic_dim_sees_through_the_number_of_dims() -> None:
    """Points of a 4-dimensional sphere, turned into 32 dimensions."""
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((32, 5)))[0].T
    vectors = (unit(2000, 0, dim=5) @ turn).astype(np.float32)
    found = health(vectors, neighbours(vectors), names(2000))
    assert found.intrinsic_dim == pytest.approx(4, rel=0.15)
    assert found.collapsed_dims == 0


def test_a_cone_and_dims_that_never_change_are_told() -> None:
    vectors = unit(500, 0, dim=8)
    even = health(vectors, neighbours(vectors), names(500))
    assert even.anisotropy == pytest.approx(0.0, abs=0.02)
    cone = np.hstack([vectors + 1, np.zeros((500, 3), np.float32)])
    cone /= np.linalg.norm(cone, axis=1, keepdims=True)
    found = health(cone, neighbours(cone), names(500))
    cosines = cone @ cone.T
    expected = (cosines.sum() - 500) / (500 * 499)
    assert found.anisotropy == pytest.approx(expected, abs=1e-5)
    assert found.anisotropy > 0.5
    assert found.collapsed_dims == 3


def test_constant_vectors_are_sick_in_every_way() -> None:
    vectors = np.ones((30, 4), np.float32) / 2
    found = health(vectors, neighbours(vectors), names(30))
    assert found.anisotropy == pytest.approx(1.0)
    assert found.identical == 30
    assert found.collapsed_dims == 4
    assert found.intrinsic_dim is None
