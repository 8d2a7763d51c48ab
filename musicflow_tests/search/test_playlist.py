import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.search.errors import QueryError
from musicflow.search.playlist import Paths, PlaylistFormat, mapping, playlist, tracks_in

DUET = {
    "track_id": "d",
    "artist": ["Anna Berg", "Otto Lind"],
    "name": "Duet",
    "duration_s": 61.6,
    "path": "/music/d.mp3",
}


def written(form: PlaylistFormat, paths: Paths = Paths(), **changes: object) -> str:
    return playlist([DUET | changes], form, paths, lambda _: True).text


@pytest.mark.parametrize("artist", [["Anna Berg", "Otto Lind"], "Anna Berg, Otto Lind"])
def test_artists_stand_in_one_text_also_those_of_old_collections(artist: object) -> None:
    lines = written("m3u8", artist=artist).splitlines()
    assert lines == ["#EXTM3U", "#EXTINF:62,Anna Berg, Otto Lind - Duet", "/music/d.mp3"]
    [shown] = json.loads(written("json", artist=artist))
    assert shown == DUET | {"artist": [artist] if isinstance(artist, str) else artist}


XSPF = "{http://xspf.org/ns/0/}"
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(names, names)
def test_xspf_holds_any_name_of_a_file(name: str, title: str) -> None:
    root = ElementTree.fromstring(written("xspf", path=f"/music/{name}", name=title))
    [location] = root.iter(f"{XSPF}location")
    assert location.text is not None
    assert unquote(urlsplit(location.text).path) == f"/music/{name}"
    assert urlsplit(location.text).scheme == "file"


def test_bytes_that_are_no_text_survive_in_xspf() -> None:
    path = os.fsdecode(b"/music/\xff.mp3")
    assert "file:///music/%FF.mp3" in written("xspf", path=path)


@given(names)
def test_m3u8_holds_each_path_on_a_line_or_says_that_it_cannot(name: str) -> None:
    done = playlist([DUET | {"path": f"/{name}"}], "m3u8", is_there=lambda _: True)
    if done.left_out:
        assert [one.code for one in done.left_out] == ["name"]
        assert done.text == "#EXTM3U\n"
    else:
        assert done.text.splitlines()[2] == f"/{name}"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (Paths(relative_to=Path("/music")), "d.mp3"),
        (Paths(relative_to=Path("/lists/mine")), "../../music/d.mp3"),
        (Paths(mapped=("/music", "/data/music")), "/data/music/d.mp3"),
        (Paths(mapped=("/music/", "/data/")), "/data/d.mp3"),
        (Paths(mapped=("/mus", "/data")), "/music/d.mp3"),
        (Paths(Path("/data"), ("/music", "/data/a")), "a/d.mp3"),
    ],
)
def test_files_are_named_as_the_player_sees_them(paths: Paths, expected: str) -> None:
    assert written("m3u8", paths).splitlines()[2] == expected


def test_a_relative_path_is_never_a_comment() -> None:
    lines = written("m3u8", Paths(relative_to=Path("/music")), path="/music/#1.mp3").splitlines()
    assert lines[2] == "./#1.mp3"


@pytest.mark.parametrize("text", ["/music", "=/data", "/music=", ""])
def test_a_mapping_has_two_sides(text: str) -> None:
    with pytest.raises(QueryError, match="maps nothing: write /music=/data/music"):
        mapping(text)


def test_a_file_that_is_gone_is_told_and_the_rest_is_kept(write: Callable[..., Path]) -> None:
    there = DUET | {"track_id": "there", "path": str(write("a.wav", np.zeros(100)))}
    done = playlist([DUET, there], "m3u8")
    assert [str(one) for one in done.left_out] == ["'d' is left out: its file is gone"]
    assert done.text.splitlines()[2:] == [there["path"]]


ENTRIES = {
    "/music/tones/0.mp3": "t0",
    "tones/1.mp3": "t1",
    "D:\\Musik\\tones\\2.mp3": "t2",
    "file:///elsewhere/tones/3%20.mp3": "t3",
    "/other/noises/0.mp3": "n0",
    "0.mp3": None,
    "/other/nothing/0.mp3": None,
}
PATHS = {
    **{f"t{n}": f"/music/tones/{n}.mp3" for n in range(3)},
    "t3": "/music/tones/3 .mp3",
    "n0": "/music/noises/0.mp3",
}


class Held:
    """As much of a collection as a playlist asks for."""

    def payloads(self) -> list[dict[str, str]]:
        return [{"track_id": one, "path": path} for one, path in PATHS.items()]


def test_a_playlist_is_understood_also_from_another_machine() -> None:
    content = "\n".join(["#EXTM3U", "#EXTINF:2,Somebody", *ENTRIES, "http://radio/x"]).encode()
    held: Any = Held()
    found, unknown = tracks_in(content, held, Path("/music"))
    assert found == [one for one in ENTRIES.values() if one]
    assert unknown == [entry for entry, one in ENTRIES.items() if not one]
    with pytest.raises(QueryError, match="names no file"):
        tracks_in(b"#EXTM3U\n", held)


class Given:
    """A collection with one track."""

    def __init__(self, path: str) -> None:
        self.path = path

    def payloads(self) -> list[dict[str, str]]:
        return [{"track_id": "d", "path": self.path}]


@pytest.mark.parametrize("form", ["m3u8", "xspf", "json"])
@pytest.mark.parametrize(
    ("path", "paths", "folder"),
    [
        ("/music/ä %20#?.mp3", Paths(), Path("/lists")),
        ("/music/[1] <a>.mp3", Paths(relative_to=Path("/lists")), Path("/lists")),
        (os.fsdecode(b"/music/\xff.mp3"), Paths(), Path("/lists")),
        ("/music/a/d.mp3", Paths(mapped=("/music", "/data")), Path("/lists")),
        ("s3://bucket/a b%20.mp3", Paths(), None),
    ],
)
def test_what_is_written_is_read(
    form: PlaylistFormat, path: str, paths: Paths, folder: Path | None
) -> None:
    held: Any = Given(path)
    content = written(form, paths, path=path).encode("utf-8", "surrogateescape")
    if form == "m3u8" and not path.isprintable():
        return
    assert tracks_in(content, held, folder) == (["d"], [])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<playlist",
        b"<playlist/>",
        b"<a><trackList><track/></trackList></a>",
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"path": "a"}',
    ],
)
def test_a_playlist_without_a_file_is_refused_or_names_none(content: bytes) -> None:
    held: Any = Given("/music/d.mp3")
    with suppress(QueryError):
        assert tracks_in(content, held)[0] == []
