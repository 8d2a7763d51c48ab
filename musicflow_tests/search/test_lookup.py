from pathlib import Path

import pytest

from musicflow.index import Collection, EmbeddedIndex, Point
from musicflow.search.errors import QueryError
from musicflow.search.lookup import find_track
from musicflow_tests.search.conftest import TRACKS, opened


@pytest.mark.parametrize("text", ["t7", "Song 7", "song 7", "ARTIST 3 – Söng  7"])
def test_a_track_is_found_by_id_or_name(embedded: Collection, text: str) -> None:
    assert find_track(embedded, text) == "t7"


@pytest.mark.parametrize("artist", ["Artist 1", "guest", "Artist 1, Guest"])
def test_a_track_is_found_by_any_of_its_artists(embedded: Collection, artist: str) -> None:
    assert find_track(embedded, f"{artist} - Song 5") == "t5"


def test_an_unknown_name_is_answered_with_the_nearest(embedded: Collection) -> None:
    with pytest.raises(QueryError, match=r"'Sonng 7'.*nearest are 't7' .Artist 3 - Song 7"):
        find_track(embedded, "Sonng 7")
    with pytest.raises(QueryError, match=r"'artist 3'.*nearest are '.*Artist 3 - Song"):
        find_track(embedded, "artist 3")
    with pytest.raises(QueryError, match=r"no track has the id or name '\?\?\?'$"):
        find_track(embedded, "???")


def test_a_name_that_several_tracks_have_is_not_guessed(tmp_path: Path) -> None:
    same = [Point(p.track_id, p.vector, {**p.payload, "name": "Intro"}) for p in TRACKS[:8]]
    with opened(EmbeddedIndex(tmp_path), same) as collection:
        with pytest.raises(QueryError, match=r"8 tracks .*'t0' .*'t4' .*and 3 more"):
            find_track(collection, "intro")
        with pytest.raises(QueryError, match="2 tracks are called"):
            find_track(collection, "Artist 1 - intro")
