"""Arrays in, scores out: the same scores as the pipeline's, and one sentence for bad input."""

import doctest
import unicodedata
from typing import Any

import numpy as np
import pandas as pd
import pytest

from musicflow.evaluation import arrays
from musicflow.evaluation.arrays import evaluate
from musicflow.evaluation.quality import measure
from musicflow_tests.evaluation.made_up import around, track

GENRES = [genre for genre in "abc" for _ in range(20)]
ARTISTS = [f"artist {number // 2}" for number in range(60)]
VECTORS = around(GENRES, 0, spread=0.8)


def test_scores_are_those_of_the_pipeline() -> None:
    tracks = [track(n, g, a) for n, (g, a) in enumerate(zip(GENRES, ARTISTS, strict=True))]
    whole = measure(tracks, {"x": VECTORS}, ["x"], same=lambda _a, _b: False)
    expected = whole.figures["x"]
    found = evaluate(VECTORS, GENRES, artists=ARTISTS)
    assert found.protocol == whole.protocol
    assert found.protocol.exclude == "artist"
    assert (found.n_queries, found.chance) == (expected.n_queries, expected.chance)
    of_labels = {"probe_accuracy", "few_shot_accuracy", "v_measure"}
    assert found.scores.keys() == expected.scores.keys() - of_labels
    for name, score in found.scores.items():
        assert score.value == expected.scores[name].value
        assert (score.low, score.high) == pytest.approx(
            (expected.scores[name].low, expected.scores[name].high), abs=1e-12
        )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_any_float_type_and_any_length_will_do(dtype: Any, scale: float) -> None:
    plain = evaluate(VECTORS.astype(np.float16), GENRES).scores["map"].value
    given = (VECTORS.astype(np.float16) * 1024).astype(dtype) * dtype(scale)
    assert evaluate(given, GENRES).scores["map"].value == pytest.approx(plain, abs=0.01)


def test_values_near_the_ends_of_float64_are_taken() -> None:
    plain = evaluate(VECTORS, GENRES).scores["map"].value
    for scale in (1e300, 1e-300):
        found = evaluate(VECTORS.astype(np.float64) * scale, GENRES).scores["map"].value
        assert found == pytest.approx(plain, abs=1e-6)


def test_lists_series_and_numbers_are_labels_as_well() -> None:
    numbers = np.array([ord(genre) for genre in GENRES])
    expected = evaluate(VECTORS, GENRES).scores
    assert evaluate(VECTORS.tolist(), numbers).scores == expected
    assert evaluate(VECTORS, pd.Series(GENRES)).scores == expected
    accents = {genre: f"{genre}\u00e9" for genre in set(GENRES)}
    mixed = [unicodedata.normalize(("NFC", "NFD")[n % 2], accents[g]) for n, g in enumerate(GENRES)]
    assert evaluate(VECTORS, mixed).scores == expected


@pytest.mark.parametrize(
    "missing", [None, "", float("nan"), np.float32("nan"), "Unknown", pd.NA, pd.NaT, np.ma.masked]
)
def test_what_has_no_label_is_no_query(missing: Any) -> None:
    found = evaluate(VECTORS, [missing, missing, *GENRES[2:]])
    assert found.n_queries == 58


def test_without_artists_only_the_query_is_excluded() -> None:
    plain = evaluate(VECTORS, GENRES)
    assert plain.protocol.exclude == "none"
    albums = evaluate(VECTORS, GENRES, albums=["one", "one", *[None] * 58])
    assert albums.protocol.exclude == "artist"
    assert albums.chance < plain.chance


def test_a_vector_may_have_several_artists() -> None:
    alone = evaluate(VECTORS, GENRES, artists=["a", "b", *[None] * 58])
    both = evaluate(VECTORS, GENRES, artists=[["a", "b"], ("b",), *[None] * 58])
    assert both.protocol.artists == alone.protocol.artists == 2
    assert both.chance < alone.chance


def test_the_rule_gives_way_where_it_leaves_too_few_queries_and_says_so() -> None:
    found = evaluate(VECTORS, GENRES, artists=["the only one"] * 60)
    assert found.protocol.exclude == "duplicates"
    assert "only 0 of 60 queries" in repr(found)


def test_k_is_the_depth_of_one_more_precision() -> None:
    found = evaluate(VECTORS, GENRES, k=3)
    assert "P@3 " in repr(found)
    assert found.scores["precision_at_k"] != found.scores["precision_at_10"]


def test_the_seed_moves_intervals_and_no_value() -> None:
    one, other = evaluate(VECTORS, GENRES), evaluate(VECTORS, GENRES, seed=1)
    assert one.scores["map"].value == other.scores["map"].value
    assert one.scores["map"].low != other.scores["map"].low


def test_a_table_of_scores() -> None:
    found = evaluate(VECTORS, GENRES)
    table = found.to_dataframe()
    assert table.columns.tolist() == ["title", "value", "low", "high"]
    assert table.loc["map"].tolist() == ["mAP", *vars(found.scores["map"]).values()]
    lines = repr(found).splitlines()
    assert lines[0].startswith("60 queries, chance 0.3")
    assert any(line.startswith("mAP ") for line in lines)


ONE_NAN = np.where(np.arange(60)[:, None] == 7, np.nan, VECTORS)
MANY_INF = np.where(np.arange(60)[:, None] >= 50, np.inf, VECTORS)


@pytest.mark.parametrize(
    ("vectors", "labels", "more", "said"),
    [
        (VECTORS[0], GENRES, {}, "vectors must have the shape (N, dim), not (8,)"),
        (VECTORS[None], GENRES, {}, "vectors must have the shape (N, dim), not (1, 60, 8)"),
        (VECTORS[:, :0], GENRES, {}, "vectors must have the shape (N, dim), not (60, 0)"),
        (VECTORS.astype(complex), GENRES, {}, "floating-point numbers, not complex128"),
        (VECTORS.astype(str), GENRES, {}, "floating-point numbers, not <U"),
        (ONE_NAN, GENRES, {}, "rows 7 of vectors hold a value that is not finite"),
        (MANY_INF, GENRES, {}, "rows 50, 51, 52, 53, 54 and 5 more of vectors hold a value"),
        (VECTORS * (np.arange(60) != 3)[:, None], GENRES, {}, "rows 3 of vectors are zero"),
        (VECTORS, GENRES[1:], {}, "labels must have one entry per vector: 60, not 59"),
        (VECTORS, GENRES, {"artists": ["x"]}, "artists must have one entry per vector: 60, not 1"),
        (VECTORS, GENRES, {"albums": []}, "albums must have one entry per vector: 60, not 0"),
        (VECTORS, "rock", {}, "one entry per vector, not 'rock'"),
        (VECTORS, [{"a": 1}] * 60, {}, "texts or numbers, but entry 0 is a dict"),
        (VECTORS, ["a"] * 60, {}, "labels must hold at least two different labels, not 1"),
        (VECTORS[:0], [], {}, "labels must hold at least two different labels, not 0"),
        (VECTORS, list(range(60)), {}, "no label of 60 occurs twice"),
        (VECTORS, GENRES, {"k": 2.5}, "k must be a whole number from 1, not 2.5"),
        (VECTORS, GENRES, {"k": 0}, "k must be a whole number from 1, not 0"),
    ],
)
def test_bad_input_is_one_sentence(vectors: Any, labels: Any, more: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        evaluate(vectors, labels, **more)
    assert said in str(caught.value)


def test_the_example_of_the_documentation_runs() -> None:
    assert doctest.testmod(arrays).failed == 0


def test_a_hit_shares_one_of_several_labels() -> None:
    several = [["a", "b"], ["b"], "a", ["c", None], ["c"], []]
    found = evaluate(np.eye(6) + 0.1, several)
    assert found.n_queries == 5
    assert found.chance == pytest.approx((2 + 1 + 1 + 1 + 1) / 5 / 5)
