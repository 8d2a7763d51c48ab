import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from musicflow.index import (
    EmbeddedIndex,
    Filters,
    Manifest,
    NoCollectionError,
    Point,
    VectorError,
)

DIM = 8
MANIFEST = Manifest("toy", "hash", DIM, "state")


@pytest.fixture
def index(tmp_path: Path) -> EmbeddedIndex:
    return EmbeddedIndex(tmp_path / "collections")


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def points(values: np.ndarray) -> list[Point]:
    return [
        Point(
            f"t{i}",
            vector,
            {
                "track_id": f"t{i}",
                "genre": "even" if i % 2 == 0 else "odd",
                "artist": f"artist {i % 3}",
                "tags": ["loud", f"tag {i % 4}"],
                "duration_s": 10.0 * i,
            },
        )
        for i, vector in enumerate(values)
    ]


def test_answers_are_those_of_an_exact_search(index: EmbeddedIndex) -> None:
    values = vectors(200)
    index.publish("toy", MANIFEST, points(values))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    with index.open("toy") as collection:
        for number, hits in enumerate(collection.query(values, 10)):
            scores = unit @ unit[number]
            best = np.argsort(-scores)[:10]
            assert [hit.track_id for hit in hits] == [f"t{i}" for i in best]
            np.testing.assert_allclose([hit.score for hit in hits], scores[best], atol=1e-5)


def test_a_track_is_never_its_own_answer_even_beside_a_copy(index: EmbeddedIndex) -> None:
    values = vectors(5)
    values[3] = values[1]
    index.publish("toy", MANIFEST, points(values))
    with index.open("toy") as collection:
        assert collection.similar("t1", 1)[0].track_id == "t3"
        assert {hit.track_id for hit in collection.similar("t1", 10)} == {"t0", "t2", "t3", "t4"}
        with pytest.raises(KeyError):
            collection.similar("nope", 3)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["genre=even"], {0, 2, 4, 6, 8}),
        (["genre!=even"], {1, 3, 5, 7, 9}),
        (["tag=tag 1", "tag=tag 2"], {1, 2, 5, 6, 9}),
        (["genre=even", "artist=artist 0"], {0, 6}),
        (["tag=loud", "tag!=tag 0"], {1, 2, 3, 5, 6, 7, 9}),
        (["duration_s>=30", "duration_s<60"], {3, 4, 5}),
        (["genre=none such"], set()),
    ],
)
def test_filters_hold_for_every_answer(
    index: EmbeddedIndex, texts: list[str], expected: set[int]
) -> None:
    index.publish("toy", MANIFEST, points(vectors(10)))
    filters = Filters.parse(texts)
    with index.open("toy") as collection:
        [hits] = collection.query(vectors(1, seed=9), 10, filters)
        assert {hit.track_id for hit in hits} == {f"t{i}" for i in expected}
        assert collection.count(filters) == len(expected)


def test_facets_count_values(index: EmbeddedIndex) -> None:
    index.publish("toy", MANIFEST, points(vectors(7)))
    with index.open("toy") as collection:
        assert collection.facet("genre") == {"even": 4, "odd": 3}
        assert collection.facet("genre", Filters.parse(["duration_s<25"])) == {"even": 2, "odd": 1}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_never_reach_the_engine(
    index: EmbeddedIndex, value: float
) -> None:
    values = vectors(3)
    values[1, 2] = value
    with pytest.raises(VectorError, match="t1"):
        index.publish("toy", MANIFEST, points(values))
    assert index.names() == []


def test_vectors_of_no_length_or_other_dims_are_refused(index: EmbeddedIndex) -> None:
    values = vectors(3)
    values[2] = 0
    with pytest.raises(VectorError, match="t2"):
        index.publish("toy", MANIFEST, points(values))
    with pytest.raises(VectorError, match="8 dimensions"):
        index.publish("toy", MANIFEST, [Point("x", np.ones(DIM + 1, np.float32), {})])
    index.publish("toy", MANIFEST, points(vectors(3)))
    with index.open("toy") as collection:
        with pytest.raises(VectorError):
            collection.query(np.ones((1, DIM + 1)), 3)
        with pytest.raises(VectorError):
            collection.query(np.full((1, DIM), np.nan), 3)


def test_writing_a_track_twice_keeps_the_last(index: EmbeddedIndex) -> None:
    twice = [*points(vectors(3)), *points(vectors(3, seed=1))]
    assert index.publish("toy", MANIFEST, twice) == 3
    with index.open("toy") as collection:
        [hits] = collection.query(vectors(3, seed=1)[:1], 1)
        assert hits[0].score == pytest.approx(1.0)


def test_a_failed_build_changes_nothing(index: EmbeddedIndex) -> None:
    index.publish("toy", MANIFEST, points(vectors(5)))

    def breaking() -> Iterator[Point]:
        yield from points(vectors(2))
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        index.publish("toy", MANIFEST, breaking())
    with index.open("toy") as collection:
        assert collection.count() == 5
    index.publish("toy", MANIFEST, points(vectors(6)))
    with index.open("toy") as collection:
        assert collection.count() == 6


def test_readers_share_a_version_and_outlive_it(index: EmbeddedIndex) -> None:
    index.publish("toy", MANIFEST, points(vectors(5)))
    with index.open("toy") as first, index.open("toy") as second:
        for count in (6, 7, 8):
            index.publish("toy", MANIFEST, points(vectors(count)))
        assert first.count() == second.count() == 5
        assert len(second.similar("t0", 10)) == 4
    with index.open("toy") as latest:
        assert latest.count() == 8


def test_reading_never_changes_what_is_published(index: EmbeddedIndex, tmp_path: Path) -> None:
    index.publish("toy", MANIFEST, points(vectors(50)))
    before = digest(tmp_path)
    with index.open("toy") as collection:
        collection.query(vectors(3), 5, Filters.parse(["genre=even"]))
        collection.facet("genre")
    assert digest(tmp_path) == before


def test_only_the_last_two_versions_are_kept(index: EmbeddedIndex) -> None:
    for count in range(2, 7):
        index.publish("toy", MANIFEST, points(vectors(count)))
    assert len(list((index.root / "toy" / "versions").iterdir())) == 2


def test_leftovers_of_a_kill_are_cleared(index: EmbeddedIndex) -> None:
    index.publish("toy", MANIFEST, points(vectors(3)))
    (index.root / "toy" / "building" / "segments").mkdir(parents=True)
    with index.open("toy") as collection:
        assert collection.count() == 3
    index.publish("toy", MANIFEST, points(vectors(4)))
    assert not (index.root / "toy" / "building").exists()


def test_a_collection_never_published_is_named_with_those_that_are(index: EmbeddedIndex) -> None:
    index.publish("toy", MANIFEST, points(vectors(3)))
    with pytest.raises(NoCollectionError, match=r"'other'.*toy"):
        index.open("other")
    assert index.manifest("other") is None


def test_standardised_collections_standardise_their_queries(index: EmbeddedIndex) -> None:
    values = 100 + vectors(20) * np.arange(1, DIM + 1)
    center, scale = values.mean(0), values.std(0)
    manifest = Manifest("toy", "hash", DIM, "s", 0, tuple(center.tolist()), tuple(scale.tolist()))
    index.publish("toy", manifest, points(values))
    with index.open("toy") as collection:
        assert collection.manifest.center == pytest.approx(center)
        standard = (values - center) / scale
        standard /= np.linalg.norm(standard, axis=1, keepdims=True)
        [hits] = collection.query(values[:1], 2)
        assert hits[0].track_id == "t0"
        assert hits[1].score == pytest.approx(np.sort(standard @ standard[0])[-2], abs=1e-5)


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
