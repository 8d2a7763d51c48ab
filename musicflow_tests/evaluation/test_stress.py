"""Deformed queries against slow versions of the figures, and a deformation planted on purpose."""

import numpy as np
import pytest

from musicflow.evaluation.protocol import Method, genre_labels, protocol_for
from musicflow.evaluation.stress import PLAIN, Stressed, measure, rows_of
from musicflow_tests.evaluation.made_up import around, track

GENRES = [genre for genre in "abc" for _ in range(12)]
TRACKS = [track(n, genre, artist=f"artist {n // 2}") for n, genre in enumerate(GENRES)]
UNIT = around(GENRES, 0)
QUERIES = np.arange(1, 36, 2)


def near(vectors: np.ndarray, seed: int, amount: float) -> np.ndarray:
    moved = vectors + amount * np.random.default_rng(seed).standard_normal(vectors.shape)
    return (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)


DEFORMED = {
    PLAIN: near(UNIT[QUERIES], 1, 0.01),
    "harmless": near(UNIT[QUERIES], 2, 0.01),
    # Each query becomes one of another genre.
    "other": near(UNIT[(QUERIES + 12) % 36], 3, 0.01),
}


def slow(vectors: np.ndarray) -> tuple[list[float], list[set[int]], list[bool]]:
    precisions, nearest, first = [], [], []
    for query, row in zip(vectors.tolist(), QUERIES.tolist(), strict=True):
        cosine = [sum(a * b for a, b in zip(query, one, strict=True)) for one in UNIT.tolist()]
        order = sorted(range(36), key=lambda j, cosine=cosine: (-round(cosine[j], 12), j))
        ten = [j for j in order if j // 2 != row // 2][:10]
        precisions.append(sum(GENRES[j] == GENRES[row] for j in ten) / 10)
        nearest.append(set(ten))
        first.append(order[0] == row)
    return precisions, nearest, first


@pytest.fixture(scope="module")
def found() -> dict[str, Stressed]:
    exclusion, protocol = protocol_for(TRACKS, Method())
    assert protocol.exclude == "artist"
    spaces, labels = {"space": UNIT}, genre_labels(TRACKS)
    results = measure(spaces, {"space": DEFORMED}, QUERIES, exclusion, labels)
    return {one.deformation: one for one in results["space"]}


@pytest.mark.parametrize("name", ["harmless", "other"])
def test_each_figure_is_that_of_a_slow_version(found: dict[str, Stressed], name: str) -> None:
    one = found[name]
    (before, plain, _), (after, deformed, first) = slow(DEFORMED[PLAIN]), slow(DEFORMED[name])
    assert one.queries == len(QUERIES)
    assert one.before.value == pytest.approx(np.mean(before))
    assert one.after.value == pytest.approx(np.mean(after))
    assert one.change.change == pytest.approx(np.mean(after) - np.mean(before))
    shared = [len(a & b) / 10 for a, b in zip(plain, deformed, strict=True)]
    assert one.kept == pytest.approx(np.mean(shared))
    assert one.first == pytest.approx(np.mean(first))


def test_a_deformation_that_makes_it_another_genre_is_surely_worse(
    found: dict[str, Stressed],
) -> None:
    harmless, other = found["harmless"], found["other"]
    assert other.change.interval[1] < 0
    assert other.change.p < 0.05
    assert other.first < 0.1
    assert harmless.change.interval[0] <= 0 <= harmless.change.interval[1]
    assert harmless.change.p > 0.05
    assert harmless.kept > 0.8


def test_queries_without_a_relevant_candidate_do_not_count() -> None:
    tracks = [*TRACKS, track(36, "alone", artist="nobody else")]
    unit = np.concatenate([UNIT, UNIT[:1]])
    deformed = {name: np.concatenate([v, UNIT[:1]]) for name, v in DEFORMED.items()}
    exclusion, _ = protocol_for(tracks, Method())
    given = exclusion, genre_labels(tracks)
    [one, _] = measure({"s": unit}, {"s": deformed}, np.append(QUERIES, 36), *given)["s"]
    assert one.queries == len(QUERIES)
    alone = {name: v[:1] for name, v in deformed.items()}
    assert measure({"s": unit}, {"s": alone}, np.array([36]), *given) == {}


def test_rows_are_found_by_id() -> None:
    assert rows_of(["a", "b", "c"], ["c", "x", "a"]).tolist() == [2, -1, 0]
