from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from musicflow.evaluation import retrieval
from musicflow.index import Hit
from musicflow.library import UNKNOWN

libraries = st.integers(2, 40).flatmap(
    lambda count: st.tuples(
        st.lists(st.sampled_from(["a", "b", "c", UNKNOWN]), min_size=count, max_size=count),
        st.integers(0, 1000),
    )
)


def unit(count: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, 6))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@given(libraries)
def test_scores_equal_those_of_a_plain_loop_and_of_scikit_learn(
    library: tuple[list[str], int],
) -> None:
    genres, seed = library
    vectors = unit(len(genres), seed)
    scores = retrieval.score(genres, retrieval.exact_rankings(vectors))
    averages, precision = [], {k: [] for k in retrieval.DEPTHS}
    for query, genre in enumerate(genres):
        others = [i for i in range(len(genres)) if i != query]
        relevant = [genres[i] == genre for i in others]
        if genre == UNKNOWN or not any(relevant):
            continue
        similarity = (vectors @ vectors[query])[others]
        averages.append(average_precision_score(relevant, similarity))
        ranked = [relevant[i] for i in np.argsort(-similarity, kind="stable")]
        for k in precision:
            precision[k].append(np.mean(ranked[:k]))
    assert scores.n_queries == len(averages)
    if averages:
        assert scores.map == pytest.approx(np.mean(averages), abs=1e-9)
        for k in precision:
            assert scores.precision_at[k] == pytest.approx(np.mean(precision[k]), abs=1e-9)


@given(libraries)
def test_chance_is_what_random_rankings_come_to(library: tuple[list[str], int]) -> None:
    genres, _ = library
    expected = [
        np.mean([genres[i] == genre for i in range(len(genres)) if i != query])
        for query, genre in enumerate(genres)
        if genre != UNKNOWN and genres.count(genre) > 1
    ]
    assert retrieval.chance_level(genres) == pytest.approx(np.mean(expected) if expected else 0.0)


@given(st.integers(2, 300), st.integers(0, 100))
def test_every_ranking_holds_all_others_and_not_itself(count: int, seed: int) -> None:
    rankings = retrieval.exact_rankings(unit(count, seed))
    for row, ranking in enumerate(rankings):
        assert sorted([*ranking.tolist(), row]) == list(range(count))


def test_a_copy_does_not_push_the_query_into_its_own_answers() -> None:
    vectors = unit(5, 0)
    vectors[4] = vectors[0]
    rankings = retrieval.exact_rankings(vectors)
    assert rankings[0][0] == 4
    assert rankings[4][0] == 0


def test_ties_go_to_the_first_by_id() -> None:
    rankings = retrieval.exact_rankings(np.ones((4, 1), np.float32))
    assert rankings.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_tracks_that_can_find_nothing_do_not_ask() -> None:
    genres = ["a", "a", "alone", UNKNOWN, UNKNOWN]
    assert retrieval.askable(genres).tolist() == [True, True, False, False, False]
    assert retrieval.score(genres, retrieval.exact_rankings(unit(5, 0))).n_queries == 2


def test_a_small_library_is_scored_on_the_answers_there_are() -> None:
    scores = retrieval.score(["a"] * 3, retrieval.exact_rankings(unit(3, 0)))
    assert scores.precision_at == {1: 1.0, 5: 1.0, 10: 1.0}
    assert scores.map == 1.0


def test_precision_is_computed_on_what_the_index_answers() -> None:
    genres = ["a", "a", "b", "b"]
    rankings = retrieval.exact_rankings(unit(4, 0))
    perfect = retrieval.score(genres, rankings, [[1], [0], [3], [2]])
    worthless = retrieval.score(genres, rankings, [[2], [3], [0], [1]])
    assert (perfect.precision_at[1], worthless.precision_at[1]) == (1.0, 0.0)
    assert perfect.map == worthless.map


def test_agreement_is_the_share_of_exact_answers_found() -> None:
    rankings = np.array([[1, 2, 3], [0, 2, 3]])
    assert retrieval.agreement([[1, 2], [0, 3]], rankings, 2) == pytest.approx(0.75)


def test_the_index_is_asked_for_others_whatever_it_puts_first() -> None:
    """The query is left out by its id, not as whatever ranks first."""
    answers = [["t1", "t0", "gone", "t2"], ["t1", "t0", "t2", "gone"], ["t0", "gone", "t2", "t1"]]

    def query(_vectors: np.ndarray, k: int) -> list[list[Hit]]:
        return [[Hit(name, 0.0, {}) for name in names[:k]] for names in answers]

    collection: Any = SimpleNamespace(query=query, manifest=SimpleNamespace(count=4))
    found = retrieval.index_rankings(collection, np.zeros((3, 2)), ["t0", "t1", "t2"], 2)
    assert found == [[1, 2], [0, 2], [0, 1]]
