"""Where genres come from, by the names of files and their tags alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from musicflow.library import UNKNOWN, AudioFile, Library, LibraryError, Rule, join, labels_state
from musicflow.library.labels import MANY, from_folders
from musicflow.settings import Settings


def file(path: str, **tags: Any) -> AudioFile:
    return AudioFile(path, 1, 1, content_hash=path, duration_s=3.0, sample_rate=8000, **tags)


def read(root: Path, files: Sequence[AudioFile], layout: str = "auto", **rule: Any) -> Library:
    return join(root, list(files), layout, Rule(**rule))


def genres(library: Library) -> list[tuple[str, ...]]:
    return [track.genres for track in library.tracks]


ARTISTS = [
    file(
        f"{artist}/Album {album}/{song}.mp3",
        artists=(artist,),
        album=f"Album {album}",
        genres=(("Jazz", "Rock")[number % 2],),
    )
    for number, artist in enumerate(("Anna", "Björk", "Otto", "Nina"))
    for album in (1, 2)
    for song in (1, 2)
]
FLAT = [file(f"{n}.mp3", genres=(("Jazz", "Rock")[n % 2],)) for n in range(8)]
GENRES = [file(f"{genre}/{n}.mp3") for genre in ("jazz", "rock") for n in range(4)]


@pytest.mark.parametrize(
    ("files", "layout", "reading"),
    [
        (
            GENRES,
            "folders",
            "from the folders of level 1, 2 genres for 8 tracks of 8",
        ),
        (
            ARTISTS,
            "tagged",
            "from the tags, 2 genres for 16 tracks of 16; the folders are called after artists or "
            "albums",
        ),
        (FLAT, "tagged", "from the tags, 2 genres for 8 tracks of 8"),
        (
            [file(f"Data/genres_original/{one.path}") for one in GENRES],
            "folders",
            "from the folders of level 3, 2 genres for 8 tracks of 8",
        ),
        (
            [file(f"{n}.mp3") for n in range(4)],
            "folders",
            "from the folders of level 1, 0 genres for 0 tracks of 4",
        ),
    ],
)
def test_the_source_that_tells_most_is_taken_and_told(
    files: list[AudioFile], layout: str, reading: str, tmp_path: Path
) -> None:
    library = read(tmp_path, files)
    assert library.format == layout
    assert library.reading == f"read as {layout} (it is a folder like any other); genres: {reading}"
    assert {name for several in genres(library) for name in several} == (
        set()
        if "0 genres" in reading
        else {"jazz", "rock"}
        if layout == "folders"
        else {"Jazz", "Rock"}
    )


def test_folders_of_genres_win_over_tags_that_tell_no_more(tmp_path: Path) -> None:
    files = [file(one.path, genres=("Old", "New")) for one in GENRES]
    assert read(tmp_path, files).genre_source == "folder"
    loose = [file(f"{n}.mp3", genres=("Old",)) for n in range(4)]
    assert read(tmp_path, files + loose).genre_source == "tag"


def test_tags_win_over_deeper_folders_that_tell_no_more(tmp_path: Path) -> None:
    discs = [
        file(f"Band {band}/CD {disc}/{song}.mp3", genres=(("Jazz", "Rock")[band % 2],))
        for band in range(MANY + 1)
        for disc in (1, 2)
        for song in (1, 2)
    ]
    assert read(tmp_path, discs).genre_source == "tag"


def test_a_person_decides_where_genres_come_from(tmp_path: Path) -> None:
    assert {t.genre for t in read(tmp_path, ARTISTS, source="folder").tracks} == {
        "Anna", "Björk", "Otto", "Nina",
    }  # fmt: skip
    assert {t.genre for t in read(tmp_path, ARTISTS, source="folder", level=2).tracks} == {
        "Album 1", "Album 2",
    }  # fmt: skip
    assert read(tmp_path, ARTISTS, "folders").genre_source == "folder"
    assert read(tmp_path, GENRES, source="tag").tracks[0].genre == UNKNOWN
    assert read(tmp_path, GENRES, "tagged").genre_source == "folder", "the tags tell nothing"
    tagged = [file(one.path, genres=("Old", "New")) for one in GENRES]
    assert read(tmp_path, tagged, "tagged").genre_source == "tag"


def test_a_library_names_the_place_that_its_genres_come_from(tmp_path: Path) -> None:
    read(tmp_path, ARTISTS, source="folder", level=2).save(tmp_path / "kept")
    assert Library.load(tmp_path / "kept").genre_origin == "the folders of level 2"
    assert read(tmp_path, ARTISTS, source="folder").genre_origin == "the folders of level 1"
    assert read(tmp_path, GENRES, source="tag").genre_origin == "the tags"


def test_several_genres_are_several_labels_under_one_spelling(tmp_path: Path) -> None:
    files = [
        file("a.mp3", genres=("Hip-Hop; Jazz",)),
        file("b.mp3", genres=("hip hop", "R&B/Soul")),
        file("c.mp3", genres=("Jazz/hip hop",)),
        file("d.mp3", genres=("Other",)),
    ]
    library = read(tmp_path, files)
    assert genres(library) == [
        ("hip hop", "Jazz"), ("hip hop", "R&B/Soul"), ("Jazz", "hip hop"), (),
    ]  # fmt: skip
    assert [track.genre for track in library.tracks] == ["hip hop", "hip hop", "Jazz", UNKNOWN]
    named = read(tmp_path, files, names={"hiphop": "Rap"})
    assert genres(named)[0] == ("Rap", "Jazz")
    assert named.fingerprint != library.fingerprint
    assert named.labels != library.labels


def test_the_level_of_genres_is_the_first_with_few_names_that_repeat() -> None:
    artists = [
        f"{n}/{('jazz', 'rock')[n % 2]}/{song}.mp3" for n in range(MANY + 1) for song in "ab"
    ]
    assert from_folders(artists)[1] == 2
    assert from_folders(artists[: 2 * MANY])[1] == 1
    assert from_folders([f"a/{n}/{n}.mp3" for n in range(9)])[1] == 1, "no name repeats: the first"
    assert from_folders(["a.mp3", "b.mp3"]) == ([(), ()], 1)
    assert from_folders(["rock/1.mp3", "rock/b/2.mp3", "3.mp3"], 2)[0] == [(), ("b",), ()]


def test_a_table_names_tracks_in_any_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "labels.csv"
    table.write_text(
        "﻿Artist,Path,Label\n"
        f"x,jazz/0.mp3,Bop;Cool\nx,{tmp_path}/jazz/1.mp3,bop\nx,rock/0.mp3,Hard\nx,rock/0.mp3,Bop\n"
        "x,nowhere.mp3,Bop\nshort\n",
        "utf-8",
    )
    library = read(tmp_path, GENRES, source=str(table))
    assert (library.format, library.genre_source) == ("folders", "table")
    assert caplog.messages == [f"{table}: 1 of 4 names are no track of the library: nowhere.mp3"]
    known = {track.track_id: track.genres for track in library.tracks if track.genres}
    assert known == {
        "jazz/0.mp3": ("Bop", "Cool"),
        "jazz/1.mp3": ("Bop",),
        "rock/0.mp3": ("Hard", "Bop"),
    }
    before = labels_state(tmp_path, "auto", Rule(str(table)))
    table.write_text("path,genre\njazz/0.mp3,Bop\n")
    assert labels_state(tmp_path, "auto", Rule(str(table))) != before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("path,mood\na,b\n", "needs a column path and a column genre; it has path, mood"),
        ("", "needs a column path and a column genre; it has none"),
        ("path,genre\nelse.mp3,Jazz\n", "names no track of the library: .* such as jazz/0.mp3"),
        ("path,genre\n\x00,\xff\n", "is no CSV in UTF-8"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(content, "latin-1")
    with pytest.raises(LibraryError, match=reason):
        read(tmp_path, GENRES, source=str(tmp_path / "x.csv"))


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="cannot be read: No such file"):
        read(tmp_path, GENRES, source=str(tmp_path / "x.csv"))


def test_settings_take_the_sources_of_genres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(genre="tag").genre == "tag"
    assert Settings(genre="mine.csv").genre == str(tmp_path / "mine.csv")
    with pytest.raises(ValidationError, match="none of auto, tag, folder"):
        Settings(genre="tags")
    assert Rule.of(Settings(genre_level=2, genre_names={"a": "b"})) == Rule("auto", 2, {"a": "b"})
    assert Rule.of(Settings()).state == ""
