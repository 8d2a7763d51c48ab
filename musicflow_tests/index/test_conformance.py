"""What every engine must do, held against each: the embedded one, qdrant-client in memory, and a
server where one is given to ``make test-server``."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicflow.index import (
    Collection,
    EmbeddedIndex,
    Filters,
    Hit,
    Manifest,
    NoCollectionError,
    Point,
    Revision,
    TrackIndex,
    VectorError,
    normalize,
)
from musicflow_tests.index.conftest import (
    DIM,
    MANIFEST,
    assert_holds,
    in_memory,
    points,
    round_of,
    update,
    vectors,
)


def test_answers_are_those_of_an_exact_search(index: TrackIndex, name: str) -> None:
    values = vectors(200)
    index.publish(name, MANIFEST, points(values))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    with index.open(name) as collection:
        for number, hits in enumerate(collection.query(values, 10)):
            scores = unit @ unit[number]
            best = np.argsort(-scores)[:10]
            assert [hit.track_id for hit in hits] == [f"t{i}" for i in best]
            np.testing.assert_allclose([hit.score for hit in hits], scores[best], atol=1e-5)


def test_a_track_left_out_is_no_answer_even_beside_a_copy(index: TrackIndex, name: str) -> None:
    values = vectors(5)
    values[3] = values[1]
    index.publish(name, MANIFEST, points(values))
    with index.open(name) as collection:
        [[first]] = collection.query(values[1:2], 1, without=["t1"])
        assert first.track_id == "t3"
        [hits] = collection.query(values[1:2], 10, without=["t1", "t0"])
        assert {hit.track_id for hit in hits} == {"t2", "t3", "t4"}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["genre=even"], {0, 2, 4, 6, 8}),
        (["genre!=even"], {1, 3, 5, 7, 9}),
        (["tag=tag 1", "tag=tag 2"], {1, 2, 5, 6, 9}),
        (["genre=even", "artist=artist 0"], {0, 6}),
        (["tag=loud", "tag!=tag 0"], {1, 2, 3, 5, 6, 7, 9}),
        (["duration_s>=30", "duration_s<60"], {3, 4, 5}),
        (["tag+=loud", "tag+=tag 1"], {1, 5, 9}),
        (["tag+=tag 1", "tag+=tag 2"], set()),
        (["genre=none such"], set()),
    ],
)
def test_filters_hold_for_every_answer(
    index: TrackIndex, name: str, texts: list[str], expected: set[int]
) -> None:
    index.publish(name, MANIFEST, points(vectors(10)))
    filters = Filters.parse(texts)
    with index.open(name) as collection:
        [hits] = collection.query(vectors(1, seed=9), 10, filters)
        assert {hit.track_id for hit in hits} == {f"t{i}" for i in expected}
        assert collection.count(filters) == len(expected)


def test_facets_count_values(index: TrackIndex, name: str) -> None:
    index.publish(name, MANIFEST, points(vectors(7)))
    with index.open(name) as collection:
        assert collection.facet("genre") == {"even": 4, "odd": 3}
        assert collection.facet("genre", Filters.parse(["duration_s<25"])) == {"even": 2, "odd": 1}


def test_a_track_of_several_artists_is_found_and_counted_by_each(
    index: TrackIndex, name: str
) -> None:
    tracks = points(vectors(3))
    for point, artists in zip(tracks, (["Anna", "Otto"], ["Otto"], ["Unknown"]), strict=True):
        point.payload["artist"] = artists
    index.publish(name, MANIFEST, tracks)
    with index.open(name) as collection:
        assert collection.facet("artist") == {"Otto": 2, "Anna": 1, "Unknown": 1}
        for text, count in (("artist=Otto", 2), ("artist!=Anna", 2), ("artist=Anna, Otto", 0)):
            assert collection.count(Filters.parse([text])) == count
        both = Filters.parse(["artist+=Otto", "artist+=Anna"])
        assert [track["track_id"] for track in collection.payloads(both)] == ["t0"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_never_reach_the_engine(
    index: TrackIndex, name: str, value: float
) -> None:
    values = vectors(3)
    values[1, 2] = value
    with pytest.raises(VectorError, match="t1"):
        index.publish(name, MANIFEST, points(values))
    assert name not in index.names()


def test_vectors_of_no_length_or_other_dims_are_refused(index: TrackIndex, name: str) -> None:
    values = vectors(3)
    values[2] = 0
    with pytest.raises(VectorError, match="t2"):
        index.publish(name, MANIFEST, points(values))
    with pytest.raises(VectorError, match="8 dimensions"):
        index.publish(name, MANIFEST, [Point("x", np.ones(DIM + 1, np.float32), {})])
    index.publish(name, MANIFEST, points(vectors(3)))
    with index.open(name) as collection:
        with pytest.raises(VectorError):
            collection.query(np.eye(1, DIM + 1), 3)
        with pytest.raises(VectorError):
            collection.query(np.full((1, DIM), np.nan), 3)


def test_writing_a_track_twice_keeps_the_last(index: TrackIndex, name: str) -> None:
    twice = [*points(vectors(3)), *points(vectors(3, seed=1))]
    assert index.publish(name, MANIFEST, twice) == 3
    with index.open(name) as collection:
        [hits] = collection.query(vectors(3, seed=1)[:1], 1)
        assert hits[0].score == pytest.approx(1.0)


def test_a_failed_build_changes_nothing(index: TrackIndex, name: str) -> None:
    index.publish(name, MANIFEST, points(vectors(5)))

    def breaking() -> Iterator[Point]:
        yield from points(vectors(2))
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        index.publish(name, MANIFEST, breaking())
    with index.open(name) as collection:
        assert collection.count() == 5
    index.publish(name, MANIFEST, points(vectors(6)))
    with index.open(name) as collection:
        assert collection.count() == 6


def test_a_name_never_published_is_answered_with_those_that_are(
    index: TrackIndex, name: str
) -> None:
    index.publish(name, MANIFEST, points(vectors(3)))
    with pytest.raises(NoCollectionError, match=f"'other'.*{name}"):
        index.open("other")
    assert index.manifest("other") is None


def test_standardised_collections_keep_what_they_are_standardised_with(
    index: TrackIndex, name: str
) -> None:
    values = 100 + vectors(20) * np.arange(1, DIM + 1)
    center, scale = tuple(values.mean(0).tolist()), tuple(values.std(0).tolist())
    manifest = Manifest("toy", "hash", DIM, "s", center=center, scale=scale)
    index.publish(name, manifest, points(normalize(values, manifest)))
    with index.open(name) as collection:
        assert collection.manifest.center == pytest.approx(center)
        standard = (values - center) / scale
        standard /= np.linalg.norm(standard, axis=1, keepdims=True)
        [hits] = collection.query(normalize(values[:1], collection.manifest), 2)
        assert hits[0].track_id == "t0"
        assert hits[1].score == pytest.approx(np.sort(standard @ standard[0])[-2], abs=1e-5)


def test_vectors_and_payloads_come_back_as_they_went_in(index: TrackIndex, name: str) -> None:
    values = vectors(1500)
    sent = points(values)
    index.publish(name, MANIFEST, sent)
    with index.open(name) as collection:
        ids = ["t3", "t1400", "t3"]
        np.testing.assert_allclose(collection.vectors(ids), values[[3, 1400, 3]], atol=1e-6)
        assert collection.payload("t7") == sent[7].payload
        found = {point.track_id: point for point in collection.scroll()}
        assert found.keys() == {point.track_id for point in sent}
        for point in sent:
            assert found[point.track_id].payload == point.payload
            np.testing.assert_allclose(found[point.track_id].vector, point.vector, atol=1e-6)
        even = {payload["track_id"] for payload in collection.payloads(Filters.parse(["id=t2"]))}
        assert even == {"t2"}
        with pytest.raises(KeyError, match="nope"):
            collection.vectors(["t1", "nope"])
        with pytest.raises(KeyError, match="nope"):
            collection.payload("nope")


def test_a_track_that_vanished_leaves_no_ghost(index: TrackIndex, name: str) -> None:
    index.publish(name, MANIFEST, points(vectors(5)))
    index.publish(name, MANIFEST, points(vectors(5))[:3])
    with index.open(name) as collection:
        [hits] = collection.query(vectors(1), 10)
        assert {hit.track_id for hit in hits} == {"t0", "t1", "t2"}
        assert collection.facet("track_id").keys() == {"t0", "t1", "t2"}
        assert collection.count() == collection.manifest.count == 3


def test_a_reader_stays_with_what_it_opened(index: TrackIndex, name: str) -> None:
    index.publish(name, MANIFEST, points(vectors(5)))
    with index.open(name) as before:
        index.publish(name, MANIFEST, points(vectors(6)))
        assert before.count() == 5
    with index.open(name) as after:
        assert after.count() == 6


def test_the_version_before_can_be_put_back(index: TrackIndex, name: str) -> None:
    with pytest.raises(NoCollectionError, match=name):
        index.rollback(name)
    index.publish(name, MANIFEST, points(vectors(5)))
    with pytest.raises(NoCollectionError, match="no earlier version"):
        index.rollback(name)
    index.publish(name, MANIFEST, points(vectors(6)))
    assert index.rollback(name).count == 5
    with index.open(name) as collection:
        assert collection.count() == 5
    assert index.rollback(name).count == 6
    index.publish(name, MANIFEST, points(vectors(7)))
    assert index.rollback(name).count == 6


def test_a_version_made_by_differences_is_as_one_made_from_nothing(
    index: TrackIndex, name: str
) -> None:
    first = points(vectors(200))
    held = {point.track_id: point for point in first}
    index.publish(name, MANIFEST, first)
    for number in range(4):
        update(index, name, held, *round_of(number))
        with index.open(name) as collection:
            assert_holds(collection, held)
    before = index.rollback(name)
    assert (before.count, before.state) == (200, "200")
    assert index.rollback(name).changes == 1
    with index.open(name) as collection:
        assert_holds(collection, held)


def test_an_update_that_fails_changes_nothing_and_costs_the_next_one_nothing(
    index: TrackIndex, name: str
) -> None:
    first = points(vectors(200))
    held = {point.track_id: point for point in first}
    index.publish(name, MANIFEST, first)
    for number in range(3):
        update(index, name, held, *round_of(number))

    def breaking() -> Iterator[Point]:
        yield points(vectors(1, seed=9))[0]
        raise RuntimeError("the disk is full")

    def revise(base: Collection) -> Revision:
        return Revision(replace(base.manifest, state="broken"), breaking(), ["t1"])

    with pytest.raises(RuntimeError):
        index.update(name, revise)
    assert index.update(name, lambda _base: None) is None
    with index.open(name) as collection:
        assert_holds(collection, held)
    assert index.rollback(name).state == "200"
    assert index.rollback(name).state == "200"
    update(index, name, held, *round_of(3))
    with index.open(name) as collection:
        assert_holds(collection, held)
    assert index.update("other", revise) is None


def test_a_quantised_collection_finds_nearly_the_same(index: TrackIndex, name: str) -> None:
    index.quantization = "int8"
    values = vectors(300)
    index.publish(name, MANIFEST, points(values))
    with index.open(name) as collection:
        assert collection.manifest.quantization == "int8"
        found = collection.query(values, 10)
        exact = collection.query(values, 10, exact=True)
    shared = [len(set(ids(a)) & set(ids(b))) for a, b in zip(found, exact, strict=True)]
    assert np.mean(shared) > 9.5


def ids(hits: list[Hit]) -> list[str]:
    return [hit.track_id for hit in hits]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_both_engines_give_the_same_answers(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 60), "count")
    values = vectors(count, data.draw(st.integers(0, 10_000), "seed"))
    # No track is both: that is refused before it gets here, and how such a tie ends is rounding.
    half = count // 2
    likes = data.draw(st.lists(st.integers(0, half - 1), min_size=1, max_size=4), "likes")
    dislikes = data.draw(st.lists(st.integers(half, count - 1), max_size=4), "dislikes")
    texts = data.draw(st.lists(st.sampled_from(TEXTS), max_size=3), "filters")
    k, strategy = data.draw(st.integers(1, 12)), data.draw(st.sampled_from(STRATEGIES))
    filters = Filters.parse(texts)
    without = [f"t{row}" for row in [*likes, *dislikes]]
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        for engine in (EmbeddedIndex(Path(folder)), in_memory()):
            engine.publish("toy", MANIFEST, points(values))
            with engine.open("toy") as collection:
                if strategy == "nearest":
                    [hits] = collection.query(values[likes[:1]], k, filters, without)
                else:
                    liked, disliked = values[likes], values[dislikes]
                    hits = collection.recommend(liked, disliked, strategy, k, filters, without)
                answers.append(hits)
                assert all(hit.track_id not in without for hit in hits)
    embedded, memory = answers
    np.testing.assert_allclose(
        [hit.score for hit in embedded], [hit.score for hit in memory], rtol=1e-4, atol=1e-5
    )
    assert clear(embedded) == clear(memory)


def clear(hits: list[Hit]) -> set[str]:
    """The answers that no tie with the last one can have brought in."""
    return {hit.track_id for hit in hits if hit.score > hits[-1].score + 1e-4}


STRATEGIES: list[Any] = ["nearest", "best-score", "sum-scores"]
TEXTS = ["genre=even", "genre!=even", "tag=tag 1", "tag+=tag 2", "artist=artist 0", "duration>=90"]
