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
    TrackIndex,
    VectorError,
)
from musicflow.index.fused import FusedCollection, Fusions, load_weights, members, save_weights
from musicflow.search.duplicates import duplicates
from musicflow.search.errors import QueryError
from musicflow.search.lookup import specs_for
from musicflow.search.path import path
from musicflow.search.query import similar_to_track
from musicflow.search.recommend import recommend
from musicflow.search.variety import Variety
from musicflow.settings import Settings
from musicflow_tests.evaluation.made_up import unit
from musicflow_tests.index.conftest import in_memory

COUNT = 60
A, B = unit(COUNT, 0), unit(COUNT, 1, dim=4)
HELD = COUNT - 1
"""The second does not hold the last track."""
ROWS = st.integers(0, HELD - 1)
STRATEGIES: list[Any] = ["average", "best-score", "sum-scores"]


def names(rows: Any) -> list[str]:
    return [f"t{row:02}" for row in rows]


def payload(row: int) -> dict[str, Any]:
    return {
        "track_id": f"t{row:02}",
        "artist": f"Artist {row % 7}",
        "name": f"Song {row}",
        "genre": "xy"[row % 2],
        "duration_s": 10.0 * row,
    }


def fill(index: TrackIndex) -> TrackIndex:
    """Two collections, of which the second knows tags."""
    one = [Point(f"t{row:02}", vector, payload(row)) for row, vector in enumerate(A)]
    two = [
        Point(f"t{row:02}", vector, payload(row) | {"tags": [f"tag {row % 3}"]})
        for row, vector in enumerate(B[:HELD])
    ]
    for name, points, vectors in (("a", one, A), ("b", two, B)):
        spread = float(1 - np.square(vectors.mean(axis=0)).sum())
        manifest = Manifest(name, f"hash {name}", vectors.shape[1], f"state {name}", len(points))
        index.publish(name, replace(manifest, spread=spread), points)
    return index


@pytest.fixture(scope="module", params=["embedded", "memory"])
def index(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrackIndex]:
    if request.param == "memory":
        yield fill(in_memory())
    else:
        yield fill(EmbeddedIndex(tmp_path_factory.mktemp("index")))


@pytest.fixture(scope="module")
def opened(index: TrackIndex) -> Iterator[list[Collection]]:
    with index.open("a") as a, index.open("b") as b:
        yield [a, b]


def weighted(collections: list[Collection], share: float) -> FusedCollection:
    return FusedCollection("fusion:a+b", collections, [share, 1 - share])


def by_rank(collections: list[Collection]) -> FusedCollection:
    return FusedCollection("rrf:a+b", collections, [0.5, 0.5])


def told(hits: list[Hit]) -> list[tuple[str, Any]]:
    return [(hit.track_id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]


@settings(max_examples=40, deadline=None)
@given(ROWS, st.floats(0, 1), st.integers(1, COUNT), st.booleans(), st.booleans())
def test_weighted_answers_are_those_of_the_weighted_cosines_of_all_tracks(
    opened: list[Collection], row: int, share: float, k: int, filtered: bool, exact: bool
) -> None:
    scores = share * A @ A[row] + (1 - share) * B @ B[row]
    possible = [r for r in range(HELD) if r != row and not (filtered and r % 2)]
    best = sorted(possible, key=lambda r: -scores[r])[:k]
    filters = Filters.parse(["genre=x"] if filtered else [])
    fused = weighted(opened, share)
    vectors = fused.vectors(names([row]))
    [hits] = fused.query(vectors, k, filters, names([row]), exact)
    assert [hit.score for hit in hits] == pytest.approx(scores[best].tolist(), abs=1e-5)
    assert [hit.score for hit in hits] == pytest.approx(
        [scores[int(hit.track_id[1:])] for hit in hits], abs=1e-5
    )


@settings(max_examples=20, deadline=None)
@given(ROWS, st.integers(1, COUNT), st.booleans())
def test_answers_by_rank_are_those_of_the_reciprocal_ranks_of_all_tracks(
    opened: list[Collection], row: int, k: int, exact: bool
) -> None:
    held = [r for r in range(HELD) if r != row]
    ranks = [np.argsort(np.argsort(-(v[held] @ v[row]))) + 1 for v in (A, B)]
    scores = 1 / (60 + ranks[0]) + 1 / (60 + ranks[1])
    fused = by_rank(opened)
    [hits] = fused.query(fused.vectors(names([row])), k, without=names([row]), exact=exact)
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores, reverse=True)[:k])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(ROWS, min_size=1, max_size=3, unique=True),
    st.lists(ROWS, max_size=3, unique=True),
    st.sampled_from(STRATEGIES),
    st.booleans(),
    st.none() | st.integers(1, 2),
)
def test_with_all_weight_on_one_a_fusion_answers_as_it_does(
    opened: list[Collection],
    likes: list[int],
    dislikes: list[int],
    strategy: Any,
    diverse: bool,
    cap: int | None,
) -> None:
    liked, disliked = names(likes), [name for name in names(dislikes) if name not in names(likes)]
    filters = Filters.parse([f"id!=t{HELD}"])
    fused = weighted(opened, 1)
    answers = [
        recommend(
            collection,
            liked,
            disliked,
            10,
            filters,
            strategy=strategy,
            diverse=diverse,
            variety=Variety(cap),
        )
        for collection in (fused, opened[0])
    ]
    ways = [
        path(collection, liked[0], "t58", 3, filters)
        for collection in (fused, opened[0])
        if liked[0] != "t58"
    ]
    assert told(answers[0]) == told(answers[1])
    assert ways == [] or told(ways[0]) == told(ways[1])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("label", ["fusion:a+b", "rrf:a+b"])
def test_whatever_the_engine_a_fusion_answers_alike(
    tmp_path: Path, label: str, strategy: Any
) -> None:
    answers = []
    for index in (fill(EmbeddedIndex(tmp_path)), fill(in_memory())):
        with Fusions(index, {"fusion:a+b": {"a": 0.3, "b": 0.7}}).open(label) as fused:
            hits = recommend(fused, ["t01", "t02"], ["t03"], strategy=strategy)
            answers.append([*told(hits), *told(path(fused, "t04", "t05", 4))])
    assert answers[0] == answers[1]


def test_scores_by_rank_are_of_each_members_own_scores(opened: list[Collection]) -> None:
    held = [row for row in range(HELD) if row not in (1, 2, 3)]
    ranks = []
    for vectors in (A, B):
        own = vectors[held] @ (vectors[1] + vectors[2] - vectors[3])
        ranks.append(np.argsort(np.argsort(-own)) + 1)
    scores = 1 / (60 + ranks[0]) + 1 / (60 + ranks[1])
    fused = by_rank(opened)
    likes, dislikes = fused.vectors(["t01", "t02"]), fused.vectors(["t03"])
    without = ["t01", "t02", "t03"]
    hits = fused.recommend(likes, dislikes, "sum-scores", 5, without=without)
    assert [hit.score for hit in hits] == pytest.approx(sorted(scores, reverse=True)[:5])


def test_a_fusion_by_rank_compares_tracks_with_equal_weights(opened: list[Collection]) -> None:
    fused = by_rank(opened)
    ids = [hit.track_id for hit in path(fused, "t04", "t05", 4)]
    rows = [int(track_id[1:]) for track_id in ids]
    likeness = (A[rows[0]] @ A[rows[1]] + B[rows[0]] @ B[rows[1]]) / 2
    [_, hit, *_] = path(fused, "t04", "t05", 4)
    assert hit.score == pytest.approx(float(likeness), abs=1e-5)
    diverse = recommend(fused, ["t01"], k=5, diverse=True)
    plain = recommend(fused, ["t01"], k=5)
    assert diverse[0].track_id == plain[0].track_id
    assert {hit.track_id for hit in diverse} != {hit.track_id for hit in plain}


def test_copies_are_near_in_all_members_together(tmp_path: Path) -> None:
    """One pair is a copy to both, another to the first alone."""
    index = EmbeddedIndex(tmp_path)
    for name, vectors, copied in (("a", A, [(0, 1), (2, 3)]), ("b", B, [(0, 1)])):
        values = vectors.copy()
        for one, other in copied:
            values[other] = values[one]
        points = [
            Point(f"t{row:02}", vector, payload(row) | {"duration_s": 10.0 * (row // 2)})
            for row, vector in enumerate(values)
        ]
        index.publish(name, Manifest(name, "hash", vectors.shape[1], "state", COUNT), points)
    fusions = Fusions(index, {"fusion:a+b": {"a": 0.5, "b": 0.5}})
    for label in ("fusion:a+b", "rrf:a+b"):
        fused = fusions.open(label)
        groups = duplicates(fused)
        assert [[hit.track_id for hit in group.hits] for group in groups] == [["t00", "t01"]]
        found = {hit.track_id: hit.duplicates for hit in recommend(fused, ["t00"])}
        assert "t01" not in found


def test_only_what_all_members_hold_is_in_a_fusion(opened: list[Collection]) -> None:
    fused = weighted(opened, 0.5)
    assert fused.manifest.count == fused.count() == HELD
    assert sorted(p["track_id"] for p in fused.payloads()) == names(range(HELD))
    assert fused.facet("genre") == {"x": 30, "y": 29}
    assert fused.facet("genre", Filters.parse(["genre=y"])) == {"y": 29}
    assert {point.track_id for point in fused.scroll()} == set(names(range(HELD)))
    assert fused.payload("t07")["name"] == "Song 7"
    for ask in (fused.payload, lambda track_id: fused.vectors([track_id])):
        with pytest.raises(KeyError):
            ask(f"t{HELD}")
    with pytest.raises(QueryError, match="no track has the id 't59'"):
        similar_to_track(fused, f"t{HELD}", 3)


def test_vectors_are_the_members_side_by_side_under_the_roots_of_their_weights(
    opened: list[Collection],
) -> None:
    fused = weighted(opened, 0.7)
    points = {point.track_id: point.vector for point in fused.scroll()}
    [vector] = fused.vectors(["t05"])
    expected = np.concatenate([np.sqrt(0.7) * A[5], np.sqrt(0.3) * B[5]])
    np.testing.assert_allclose(vector, expected, atol=1e-6)
    np.testing.assert_array_equal(points["t05"], vector)
    # As the embedders gave them, of any length.
    [made] = fused.normalize(np.concatenate([3 * A[5], 0.1 * B[5]])[None])
    np.testing.assert_allclose(made, expected, atol=1e-6)
    mean = np.stack([points[name] for name in names(range(HELD))]).mean(axis=0)
    assert fused.manifest.spread == pytest.approx(1 - float(mean @ mean), abs=0.02)
    with pytest.raises(VectorError):
        fused.normalize(np.ones((1, 11)))
    with pytest.raises(VectorError):
        fused.query(np.ones((1, 10), np.float32), 3)


def test_the_member_that_knows_tags_tells_and_filters_by_them(opened: list[Collection]) -> None:
    filters = Filters.parse(["tag=tag 1"])
    for fused in (weighted(opened, 0.5), by_rank(opened)):
        assert fused.facet("tags") == {"tag 0": 20, "tag 1": 20, "tag 2": 19}
        hits = similar_to_track(fused, "t05", 50, filters)
        assert {hit.track_id for hit in hits} == set(names(range(1, HELD, 3)))
        assert all(hit.payload["tags"] == ["tag 1"] for hit in hits)
        assert similar_to_track(fused, "t05", 5, Filters.parse(["tag=none"])) == []
        others = similar_to_track(fused, "t05", 50, Filters.parse(["tag!=tag 1"]))
        assert not {hit.track_id for hit in others} & {hit.track_id for hit in hits}


def spied(method: Any, asked: list[str]) -> Any:
    def spy(*arguments: Any) -> Any:
        asked.append(method.__name__)
        return method(*arguments)

    return spy


def test_members_are_asked_once_whatever_the_number_of_candidates(
    opened: list[Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    fused, kind = weighted(opened, 0.5), type(opened[0])
    for name in ("query", "vectors", "payload", "payloads", "facet"):
        monkeypatch.setattr(kind, name, spied(getattr(kind, name), asked))
    [hits] = fused.query(np.concatenate([A[5], B[5]])[None] * np.float32(np.sqrt(0.5)), 10)
    assert len(hits) == 10
    assert sorted(asked) == ["payloads", "query", "query", "vectors", "vectors"]


def test_fusions_stand_among_the_collections_once_their_members_do(index: TrackIndex) -> None:
    known = {"fusion:a+b": {"a": 0.4, "b": 0.6}, "rrf:a+b": {}, "rrf:a+c": {}}
    fusions = Fusions(index, known)
    assert fusions.names() == ["a", "b", "fusion:a+b", "rrf:a+b"]
    assert fusions.manifest("a") == index.manifest("a")
    manifest = fusions.manifest("fusion:a+b")
    assert manifest is not None
    assert (manifest.embedder, manifest.dim) == ("fusion:a+b", 10)
    assert manifest.spec_hash == "hash a+hash b"
    with fusions.open("fusion:a+b") as fused:
        assert replace(fused.manifest, count=HELD) == replace(manifest, count=HELD)
    other = Fusions(index, {"fusion:a+b": {"a": 0.5, "b": 0.5}}).manifest("fusion:a+b")
    assert other is not None
    assert other.state != manifest.state, "other weights are another space"
    assert fusions.manifest("rrf:a+c") is None
    with pytest.raises(NoCollectionError, match="no collection 'c'"):
        fusions.open("rrf:a+c")
    with fusions.open("rrf:b+a") as fused:
        assert fused.manifest.count == HELD


def test_a_fusion_without_weights_is_not_guessed(index: TrackIndex) -> None:
    with pytest.raises(NoCollectionError, match="no weights for fusion:a\\+b: run these"):
        Fusions(index, {}).open("fusion:a+b")
    known = Fusions(index, {"fusion:b+a": {"a": 0.5, "b": 0.5}, "rrf:a+b": {}})
    with pytest.raises(NoCollectionError, match="it has weights for fusion:b\\+a"):
        known.open("fusion:a+b")


def test_a_name_tells_the_members() -> None:
    assert members("fusion:musicnn+mfcc") == ("musicnn", "mfcc")
    assert members("rrf:a+b+c") == ("a", "b", "c")
    assert members("musicnn") == ()


def test_a_fusion_is_embedded_by_its_members() -> None:
    [one, other] = specs_for("rrf:musicnn+mfcc", Settings())
    assert (one.label, other.label) == ("musicnn", "mfcc")
    assert [spec.label for spec in specs_for("mfcc", Settings())] == ["mfcc"]


WEIGHTS = {"fusion:a+b": {"a": 0.4, "b": 0.6}, "rrf:a+b": {}}


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    save_weights(tmp_path / "fusions.json", WEIGHTS)
    assert load_weights(tmp_path / "fusions.json", tmp_path / "none.json") == WEIGHTS


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (None, {}),
        ("{", {}),
        ("[]", {}),
        ('{"rows": [{"embedder": "a", "fusion": {}}]}', {}),
        (
            '{"rows": [{"embedder": "fusion:a+b", "fusion": {"a": 0.4, "b": 0.6}},'
            ' {"embedder": "rrf:a+b", "fusion": {}}]}',
            WEIGHTS,
        ),
    ],
)
def test_weights_of_homes_before_the_file_are_in_the_comparison(
    tmp_path: Path, report: str | None, expected: dict[str, Any]
) -> None:
    if report is not None:
        (tmp_path / "comparison.json").write_text(report)
    assert load_weights(tmp_path / "fusions.json", tmp_path / "comparison.json") == expected
