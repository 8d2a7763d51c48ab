import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.index import Collection, EmbeddedIndex, Hit, Point
from musicflow.search.errors import QueryError
from musicflow.search.path import path
from musicflow.search.query import similar_to_track
from musicflow.search.variety import Variety, varied
from musicflow_tests.search.conftest import VECTORS, opened, track

hits = st.lists(
    st.tuples(st.sampled_from("ABC?"), st.sampled_from(["x", "y", "Unknown"])), max_size=12
).map(
    lambda drawn: [
        Hit(f"t{row}", 1 - row / 100, {"artist": ["Unknown" if a == "?" else a], "album": album})
        for row, (a, album) in enumerate(drawn)
    ]
)
varieties = st.builds(
    Variety,
    st.none() | st.integers(1, 3),
    st.none() | st.integers(1, 3),
    st.booleans(),
)


@given(hits, varieties, st.integers(1, 12))
def test_a_list_holds_no_more_than_it_may_and_the_best_comes_first(
    found: list[Hit], variety: Variety, k: int
) -> None:
    chosen = varied(lambda limit: found[:limit], k, variety)
    known = [a for hit in chosen for a in hit.payload["artist"] if a != "Unknown"]
    albums = [hit.payload["album"] for hit in chosen if hit.payload["album"] != "Unknown"]
    for names, most in ((known, variety.max_per_artist), (albums, variety.max_per_album)):
        assert most is None or max(Counter(names).values(), default=0) <= most
    if variety.apart:
        rows = [hit.payload["artist"][0] for hit in chosen]
        assert not [a for a, b in itertools.pairwise(rows) if a == b != "Unknown"]
    else:
        scores = [hit.score for hit in chosen]
        assert scores == sorted(scores, reverse=True)
    assert chosen[:1] == found[:1]
    if variety.asks_nothing:
        assert chosen == found[:k]


@pytest.mark.parametrize("what", ["artist", "album"])
def test_a_number_below_one_is_refused(what: str) -> None:
    with pytest.raises(QueryError, match=f"the answers per {what} must be at least 1, not 0"):
        Variety(**{f"max_per_{what}": 0})


@pytest.fixture
def by_few(tmp_path: object) -> object:
    """All tracks, in turn by three artists, of one album each."""
    points = [
        Point(f"t{row}", vector, track(row, artist=[f"A{row % 3}"], album=f"album {row % 3}"))
        for row, vector in enumerate(VECTORS)
    ]
    with opened(EmbeddedIndex(tmp_path), points) as collection:
        yield collection


def test_a_search_goes_on_until_enough_may_answer(by_few: Collection) -> None:
    found = similar_to_track(by_few, "t0", 6, variety=Variety(max_per_artist=2))
    assert Counter(hit.payload["artist"][0] for hit in found) == {"A0": 2, "A1": 2, "A2": 2}
    found = similar_to_track(by_few, "t0", 6, variety=Variety(max_per_album=1))
    assert len(found) == 3


def test_a_path_keeps_artists_apart_and_within_their_number(by_few: Collection) -> None:
    found = path(by_few, "t1", "t2", 5, variety=Variety(apart=True))
    names = [hit.payload["artist"][0] for hit in found]
    assert len(names) > 4
    assert all(a != b for a, b in itertools.pairwise(names))
    found = path(by_few, "t1", "t2", 8, variety=Variety(max_per_artist=2))
    assert max(Counter(hit.payload["artist"][0] for hit in found).values()) == 2
    # The ends are given, whatever may stand between them.
    found = path(by_few, "t1", "t4", 3, variety=Variety(max_per_artist=1, apart=True))
    assert [hit.track_id for hit in found][:: len(found) - 1] == ["t1", "t4"]
    assert "A1" not in [hit.payload["artist"][0] for hit in found[1:-1]]
