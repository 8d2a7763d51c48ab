from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.evaluation import protocol
from musicflow.evaluation.protocol import (
    Exclusion,
    Labels,
    Method,
    album_keys,
    artist_keys,
    groups,
    protocol_for,
)
from musicflow.library import UNKNOWN
from musicflow_tests.evaluation.made_up import track


def test_a_query_excludes_itself_its_artist_and_its_album() -> None:
    exclusion = Exclusion(4, [("artist",), ("artist", "album"), ("album",), ()])
    assert exclusion.of(np.arange(4)).tolist() == [
        [True, True, False, False],
        [True, True, True, False],
        [False, True, True, False],
        [False, False, False, True],
    ]


def test_tracks_that_share_any_artist_or_that_of_the_album_leave_each_other_out() -> None:
    tracks = [
        track(0, artists=("Anna Berg", "Otto Lind")),
        track(1, artists=("OTTO  LIND",)),
        track(2, artists=("Anna Berg",), album_artist="Various Artists"),
        track(3, artists=("Björk",), album_artist="Otto Lind"),
        track(4, artists=("Bjork",), album_artist="Otto Lind", compilation=True),
        track(5),
    ]
    shared = Exclusion(6, artist_keys(tracks)).of(np.arange(6))
    pairs = {(a, b) for a, b in np.argwhere(shared).tolist() if a < b}
    assert pairs == {(0, 1), (0, 2), (0, 3), (1, 3), (3, 4)}


def test_unknown_and_various_are_no_artist() -> None:
    names = ["A", UNKNOWN, "a ", "Various Artists", UNKNOWN, "B"]
    tracks = [track(number, artist=name) for number, name in enumerate(names)]
    assert artist_keys(tracks) == [("a",), (), ("a",), (), (), ("b",)]
    assert groups(artist_keys(tracks)).tolist() == [0, -1, 0, -1, -1, 1]


def test_a_group_is_all_that_hangs_together_by_its_keys() -> None:
    assert groups(["a", "bc", "", "b", "d", "ca"]).tolist() == [0, 0, -1, 0, 1, 0]  # type: ignore[list-item]


def test_an_album_is_a_name_in_one_folder() -> None:
    tracks = [
        replace(track(0), track_id=path, album=album)
        for path, album in [("a/1", "Hits"), ("a/2", "hits"), ("b/1", "Hits"), ("b/2", UNKNOWN)]
    ]
    assert groups(album_keys(tracks)).tolist() == [0, 0, 1, -1]


@given(
    st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=12),
)
def test_with_one_key_of_a_kind_each_the_rule_is_equality(keys: list[tuple[int, int]]) -> None:
    sets = [tuple((kind, key) for kind, key in enumerate(own) if key >= 0) for own in keys]
    rows = np.arange(len(keys))
    columns = np.array(keys).T
    wanted = rows[:, None] == rows
    for column in columns:
        wanted |= (column[:, None] == column) & (column >= 0)
    assert (Exclusion(len(keys), sets).of(rows) == wanted).all()


def test_artists_are_excluded_where_enough_queries_keep_a_relevant_candidate() -> None:
    tracks = [track(n, "ab"[n % 2], artist=f"artist {n // 2 % 5}") for n in range(20)]
    exclusion, followed = protocol_for(tracks, Method("artist"), duplicates=3)
    assert exclusion.of(np.arange(20)).sum() == 20 * 4
    assert (followed.exclude, followed.artists, followed.note) == ("artist", 5, "")
    assert str(followed) == (
        "each query excludes itself, its duplicates, its artist and its album "
        "(20 recordings, 3 duplicates, 5 known artists)"
    )


def test_in_a_library_of_one_artist_the_rule_gives_way_and_says_so() -> None:
    tracks = [track(n, "ab"[n % 2], artist="the only one") for n in range(20)]
    exclusion, followed = protocol_for(tracks, Method("artist"))
    assert exclusion.keys == ()
    assert followed.exclude == "duplicates"
    assert "only 0 of 20 queries" in followed.note


@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from("abc"), max_size=2), st.sets(st.integers(0, 4), max_size=2)
        ),
        min_size=1,
        max_size=12,
    )
)
def test_queries_with_a_relevant_candidate_are_counted_as_one_by_one(
    library: list[tuple[set[str], set[int]]],
) -> None:
    tracks = [
        track(n, min(labels), genres=tuple(labels)) if labels else track(n)
        for n, (labels, _) in enumerate(library)
    ]
    expected = sum(
        any(
            labels & others and not keys & other_keys and other != row
            for other, (others, other_keys) in enumerate(library)
        )
        for row, (labels, keys) in enumerate(library)
    )
    assert protocol._able(tracks, [tuple(keys) for _, keys in library]) == expected


def test_where_no_artist_is_known_the_protocol_says_so() -> None:
    exclusion, followed = protocol_for([track(n, "a") for n in range(6)], Method("artist"))
    assert exclusion.keys == ()
    assert (followed.exclude, followed.note) == ("duplicates", "no artist is known")


@pytest.mark.parametrize("wanted", ["duplicates", "none"])
def test_a_weaker_rule_is_followed_when_it_is_asked_for(wanted: str) -> None:
    tracks = [track(n, "a", artist=f"artist {n}") for n in range(6)]
    exclusion, followed = protocol_for(tracks, Method(wanted))  # type: ignore[arg-type]
    assert exclusion.keys == ()
    assert (followed.exclude, followed.note) == (wanted, "")


def test_relevance_is_the_share_of_common_labels() -> None:
    labels = Labels([["a", "b"], ["b"], ["b", "c"], [], []])
    relevance = labels.relevance(np.array([0, 3]))
    assert relevance[0] == pytest.approx([1.0, 1 / 2, 1 / 3, 0.0, 0.0])
    assert relevance[1].tolist() == [0.0] * 5
