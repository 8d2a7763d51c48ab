import json

import pytest

from musicflow.search.playlist import playlist

DUET = {"artist": ["Anna Berg", "Otto Lind"], "name": "Duet", "duration_s": 61.6, "path": "/d.mp3"}


@pytest.mark.parametrize("artist", [["Anna Berg", "Otto Lind"], "Anna Berg, Otto Lind"])
def test_artists_stand_in_one_text_also_those_of_old_collections(artist: object) -> None:
    track = DUET | {"artist": artist}
    lines = playlist([track], "m3u8").splitlines()
    assert lines == ["#EXTM3U", "#EXTINF:62,Anna Berg, Otto Lind - Duet", "/d.mp3"]
    [shown] = json.loads(playlist([track], "json"))
    assert shown == track | {"artist": "Anna Berg, Otto Lind"}
