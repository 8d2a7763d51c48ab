from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from musicflow.evaluation import metrics, retrieval
from musicflow.evaluation.protocol import Exclusion, Labels
from musicflow.index import Hit
from musicflow_tests.evaluation.made_up import unit

K = 3
labels = st.lists(st.sampled_from("abc"), max_size=2, unique=True)
tracks = st.lists(st.tuples(labels, st.integers(-1, 3)), min_size=2, max_size=40)


def rank(sets: list[list[str]], vectors: np.ndarray, artists: list[int] | None = None) -> Any:
    keys = [() if artist < 0 else (artist,) for artist in artists or ()]
    exclusion = Exclusion(len(sets), keys)
    spaces = {"": retrieval.cosine(vectors)}
    ranked = retrieval.rank(spaces, [Labels(sets)], exclusion, metrics.table(), k=K)[""]
    return ranked.scores[0], ranked.nearest


@settings(deadline=None)
@given(tracks, st.integers(0, 1000), st.booleans())
def test_scores_equal_those_of_a_plain_loop_and_of_scikit_learn(
    library: list[tuple[list[str], int]], seed: int, rough: bool
) -> None:
    """Multi-label relevance, artists excluded, and ties (vectors of few values) included."""
    sets, artists = [list(labels) for labels, _ in library], [artist for _, artist in library]
    vectors = unit(len(library), seed)
    if rough:
        vectors = np.sign(vectors) / np.float32(np.sqrt(vectors.shape[1]))
    scores, nearest = rank(sets, vectors, artists)
    asked = []
    for query, (wanted, artist) in enumerate(library):
        others = [
            other
            for other in range(len(library))
            if other != query and not (artist >= 0 and artists[other] == artist)
        ]
        gains = [
            len(set(wanted) & set(sets[o])) / max(len(set(wanted) | set(sets[o])), 1)
            for o in others
        ]
        exact = vectors.astype(np.float64)
        cosine = [round(float(exact[query] @ exact[other]), 10) for other in others]
        ranking = sorted(range(len(others)), key=lambda i: (-cosine[i], i))
        assert [others[i] for i in ranking[:10]] == [n for n in nearest[query].tolist() if n >= 0]
        ranked = [gains[i] for i in ranking]
        right = [gain > 0 for gain in ranked]
        if not any(right):
            continue
        place = len(asked)
        asked.append(query)
        falling = np.arange(len(ranked), 0, -1)
        total, first = sum(right), right.index(True)
        expected = {
            **{f"precision_at_{k}": np.mean(right[:k]) for k in (1, 5, 10)},
            "precision_at_k": np.mean(right[:K]),
            "r_precision": np.mean(right[:total]),
            "map": average_precision_score(right, falling),
            "mrr": 1 / (1 + first),
            "hit_at_5": float(first < 5),
            "hit_at_10": float(first < 10),
        }
        # scikit-learn has no nDCG of one document, which can only be right.
        expected["ndcg_at_10"] = 1.0
        if len(ranked) > 1:
            expected["ndcg_at_10"] = ndcg_score([ranked], [falling], k=10)
        for name, value in expected.items():
            assert scores.values[name][place] == pytest.approx(value, abs=1e-9), name
        assert scores.values.keys() == expected.keys()
        assert scores.chance[place] == pytest.approx(np.mean(right), abs=1e-9)
    assert scores.rows.tolist() == asked


@settings(deadline=None)
@given(st.integers(2, 300), st.integers(0, 100))
def test_a_query_is_no_candidate_of_its_own(count: int, seed: int) -> None:
    _, nearest = rank([["a"]] * count, unit(count, seed))
    for row, answers in enumerate(nearest):
        found = [answer for answer in answers.tolist() if answer >= 0]
        assert row not in found
        assert len(set(found)) == min(10, count - 1)


def test_ties_go_to_the_first_by_id() -> None:
    """As with an embedder that gives every track the same vector."""
    _, nearest = rank([["a"]] * 4, np.ones((4, 1), np.float32))
    assert nearest[:, :3].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_constant_vectors_earn_what_the_order_of_ids_gives_and_no_more() -> None:
    sets = [["a"], ["b"]] * 50
    scores, _ = rank(sets, np.ones((100, 3), np.float32) / np.sqrt(np.float32(3)))
    assert scores.mean("precision_at_10") == pytest.approx(scores.chance.mean(), abs=0.02)


def test_tracks_without_a_relevant_candidate_are_no_queries() -> None:
    scores, _ = rank([["a"], ["a"], ["alone"], [], []], unit(5, 0))
    assert scores.rows.tolist() == [0, 1]


def test_without_labels_there_are_no_queries() -> None:
    scores, nearest = rank([[]] * 5, unit(5, 0))
    assert len(scores.rows) == 0
    assert scores.mean("map") == 0.0
    assert nearest.shape == (5, 10)


def test_a_small_library_is_scored_on_the_candidates_there_are() -> None:
    scores, _ = rank([["a"]] * 3, unit(3, 0))
    assert all(scores.mean(f"precision_at_{k}") == 1.0 for k in (1, 5, 10))


def test_confusion_is_the_genres_of_the_candidates_of_each_genre() -> None:
    genres = ["a", "a", "b", "b"]
    vectors = np.array([[1, 0], [0.9, 0.1], [0.8, 0.2], [0, 1]], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores, nearest = rank([[genre] for genre in genres], vectors)
    table = retrieval.confusion(genres, scores, nearest)
    assert table["a"] == pytest.approx({"b": 2 / 3, "a": 1 / 3})
    assert list(table["a"]) == ["b", "a"]
    assert retrieval.by_genre(genres, scores) == pytest.approx({"a": 1 / 3, "b": 1 / 3})
    ends = retrieval.genre_intervals(genres, {"space": scores}, seed=0)["space"]
    assert all(low <= 1 / 3 <= high for low, high in ends.values())
    assert list(ends) == ["a", "b"]


def collection(answers: dict[bytes, list[str]], count: int) -> Any:
    def query(vectors: np.ndarray, k: int) -> list[list[Hit]]:
        return [[Hit(name, 0.0, {}) for name in answers[v.tobytes()][:k]] for v in vectors]

    return SimpleNamespace(query=query, manifest=SimpleNamespace(count=count))


def test_agreement_is_the_share_of_answers_that_are_as_near_as_the_exact_ones() -> None:
    """Hits outside the evaluated tracks, and the query itself, do not count."""
    vectors = unit(14, 1)
    names = [f"t{row}" for row in range(14)]
    near = [np.argsort(-(vectors @ vector)).tolist() for vector in vectors]
    exact = {
        vector.tobytes(): ["gone", *(names[i] for i in order)]
        for vector, order in zip(vectors, near, strict=True)
    }
    assert retrieval.agreement(collection(exact, 15), vectors, names).agreement_at_10 == 1.0
    half = {
        vector.tobytes(): [names[i] for i in (*order[1:6], *order[11:], order[0])]
        for vector, order in zip(vectors, near, strict=True)
    }
    assert retrieval.agreement(collection(half, 14), vectors, names).agreement_at_10 == 0.5


def test_a_collection_behind_its_vectors_is_not_measured() -> None:
    behind = collection({}, 13)
    found = retrieval.agreement(behind, unit(14, 1), [f"t{row}" for row in range(14)])
    assert found == retrieval.Agreement(None, None)


def test_of_tracks_equally_near_an_index_may_give_any() -> None:
    vectors = np.ones((12, 1), np.float32)
    names = [f"t{row}" for row in range(12)]
    last_first = {vectors[0].tobytes(): names[::-1]}
    found = retrieval.agreement(collection(last_first, 12), vectors, names)
    assert found.agreement_at_10 > 0.9
