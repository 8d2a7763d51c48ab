"""Duplicates by vectors, and by the verdicts of an evaluation where there are any."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from musicflow.index import Collection, EmbeddedIndex, Point
from musicflow.library.recordings import Cut, Verdicts
from musicflow.search.duplicates import Shared, duplicates
from musicflow.search.recommend import recommend
from musicflow_tests.search.conftest import VECTORS, opened, track

CLOSE = {"t0", "t1"}
"""Near enough to be one recording by their vectors."""
FAR = {"t2", "t3"}
"""Not."""


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    vectors = VECTORS[[0, 0, 1, 2, 3, 4, 5, 6]]
    points = [
        Point(f"t{row}", vector, track(row, duration_s=100.0, content_hash=f"hash {row}"))
        for row, vector in enumerate(vectors)
    ]
    with opened(EmbeddedIndex(tmp_path), points) as collection:
        yield collection


def groups(collection: Collection, verdicts: Verdicts) -> list[set[str]]:
    return [{hit.track_id for hit in group.hits} for group in duplicates(collection, verdicts)]


def test_without_a_verdict_vectors_decide(collection: Collection) -> None:
    assert groups(collection, Verdicts()) == [CLOSE]


def test_tracks_that_sound_different_are_no_duplicates(collection: Collection) -> None:
    verdicts = Verdicts({("hash 0", "hash 1"): False})
    assert groups(collection, verdicts) == []
    answers = [hit.track_id for hit in recommend(collection, ["t0"], verdicts=verdicts)]
    assert "t1" in answers
    assert not any(hit.duplicates for hit in recommend(collection, ["t5"], verdicts=verdicts))


def test_tracks_that_sound_the_same_are_duplicates(collection: Collection) -> None:
    verdicts = Verdicts({("hash 2", "hash 3"): True, ("hash 9", "hash 3"): True})
    assert groups(collection, verdicts) == [CLOSE, FAR]
    found = {
        hit.track_id: hit.duplicates for hit in recommend(collection, ["t5"], verdicts=verdicts)
    }
    [(best, others)] = [(one, others) for one, others in found.items() if one in FAR]
    assert {best, *others} == FAR
    answers = {hit.track_id for hit in recommend(collection, ["t2"], verdicts=verdicts)}
    assert not answers & FAR


def test_pairs_are_those_of_all_tracks_of_equal_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musicflow.search.duplicates._BLOCK", 4)
    random = np.random.default_rng(0)
    which, lengths = random.integers(0, 4, 40), random.uniform(100.0, 104.0, 40)
    points = [
        Point(f"t{row}", VECTORS[which[row]], track(row, duration_s=lengths[row]))
        for row in range(40)
    ]
    alike = (which[:, None] == which) & (np.abs(lengths[:, None] - lengths) <= 1.0)
    for _ in range(40):
        alike = alike @ alike
    expected = {frozenset(f"t{row}" for row in np.flatnonzero(rows)) for rows in alike}
    with opened(EmbeddedIndex(tmp_path), points) as collection:
        found = duplicates(collection)
    assert {frozenset(hit.track_id for hit in group.hits) for group in found} == {
        group for group in expected if len(group) > 1
    }


def test_a_collection_without_contents_goes_by_vectors(tmp_path: Path) -> None:
    points = [Point(f"t{row}", VECTORS[0], track(row, duration_s=float(np.pi))) for row in range(2)]
    with opened(EmbeddedIndex(tmp_path), points) as collection:
        assert groups(collection, Verdicts({("", "hash 1"): False})) == [CLOSE]


def test_a_cut_stands_with_the_longer_track_and_says_where_it_lies(tmp_path: Path) -> None:
    lengths = (100.0, 8.0, 100.0)
    points = [
        Point(f"t{row}", VECTORS[row], track(row, duration_s=seconds, content_hash=f"hash {row}"))
        for row, seconds in enumerate(lengths)
    ]
    verdicts = Verdicts()
    verdicts.add_cut("hash 0", "hash 1", Cut(71.0, 0.0, 8.0))
    with opened(EmbeddedIndex(tmp_path), points) as collection:
        [group] = duplicates(collection, verdicts)
        answers = [hit.track_id for hit in recommend(collection, ["t1"], verdicts=verdicts)]
    assert group.cuts == [Shared("t1", "t0", Cut(0.0, 71.0, 8.0))]
    assert str(group.cuts[0]) == "t1 and t0: 0:00–0:08 is 1:11–1:19"
    assert answers == ["t2"]
