import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow import worker
from musicflow.library import (
    UNKNOWN,
    Extra,
    Library,
    LibraryError,
    Problem,
    Track,
    demo,
    files,
    join,
    read_library,
    scan,
)
from musicflow.library.layouts.ludwig import _strings
from musicflow.library.tags import Tags
from musicflow.settings import Home, Settings
from musicflow_tests.conftest import noise, tone

Write = Callable[..., Path]

SAID = Tags(
    artists=("Nina", "Otto"),
    title="Sinnerman",
    album="Pastel Blues",
    album_artist="Nina",
    genres=("Soul", "Jazz"),
    year=1965,
    track_number=9,
    disc_number=1,
    compilation=True,
    replaygain_db=-3.5,
    bpm=93.0,
    key="Am",
)


@pytest.fixture
def ludwig(tmp_path: Path, write: Write) -> Path:
    write("mp3/rock/1.mp3", noise(1))
    write("mp3/jazz/2.wav", noise(2))
    write("mp3/jazz/3.wav", noise(3))
    labels: dict[str, Any] = {
        "1": {
            "artist": {"S": "  Celia Cruz "},
            "name": {"S": "Cuando Salí De Cuba"},
            "genre": {"S": "latin"},
            "subgenres": {"L": [{"S": "latin---salsa "}, {"S": ""}, {"L": [{"S": "son"}]}]},
            "otherSubgenres": {"L": [{"S": "latin---salsa"}, {"S": "pop---ballad"}]},
        },
        "2": {"genre": {"S": " "}, "artist": {"NULL": True}},
        "4": {"genre": {"S": "rock"}},
    }
    (tmp_path / "music" / "labels.json").write_text(json.dumps({"tracks": labels}))
    return tmp_path / "music"


def read(root: Path, known: Path, layout: Any = "auto") -> Library:
    return join(root, scan(root, known), layout)


def test_ludwig_labels_are_trimmed_flattened_and_joined(ludwig: Path, tmp_path: Path) -> None:
    library = read(ludwig, tmp_path / "known")
    assert library.format == "ludwig"
    first, second, third = library.tracks
    assert (first.track_id, first.artist, first.genre) == ("1", "Celia Cruz", "latin")
    assert first.subgenres == ("latin---salsa", "son", "pop---ballad")
    assert (second.artist, second.name, second.genre) == (UNKNOWN, UNKNOWN, "jazz")
    assert second.subgenres == ()
    assert third.genre == "jazz"


def test_a_genre_of_ludwigs_folders_is_spelled_as_its_labels_have_it(
    ludwig: Path, tmp_path: Path
) -> None:
    labels = {"1": {"genre": {"S": "Rock"}}, "2": {"genre": {"S": "JAZZ"}}}
    (ludwig / "labels.json").write_text(json.dumps({"tracks": labels}))
    genres = {track.track_id: track.genre for track in read(ludwig, tmp_path / "known").tracks}
    assert genres == {"1": "Rock", "2": "JAZZ", "3": "JAZZ"}


def test_ludwig_reports_what_has_no_partner(ludwig: Path, tmp_path: Path) -> None:
    found = read(ludwig, tmp_path / "known").problems
    problems = {p.subject: p for p in found if p.severity != "note"}
    assert problems.keys() == {"4", "mp3/jazz/3.wav"}
    assert "without audio" in problems["4"].reason
    assert "no labels" in problems["mp3/jazz/3.wav"].reason


def test_an_id_of_two_files_is_reported_once_and_kept_once(
    ludwig: Path, tmp_path: Path, write: Write
) -> None:
    write("mp3/soul/1.wav", noise(9))
    library = read(ludwig, tmp_path / "known")
    assert [track.track_id for track in library.tracks] == ["1", "2", "3"]
    assert any("id 1 already" in problem.reason for problem in library.problems)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "not valid JSON"), ("[]", "no object"), ('{"tracks": 3}', "no object")],
)
def test_broken_labels_say_where(ludwig: Path, tmp_path: Path, content: str, reason: str) -> None:
    (ludwig / "labels.json").write_text(content)
    with pytest.raises(LibraryError, match=reason):
        read(ludwig, tmp_path / "known")


values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("SLMN"), inner),
    max_leaves=12,
)


@given(values)
def test_any_label_gives_trimmed_texts_and_no_error(value: Any) -> None:
    for text in _strings(value):
        assert text
        assert text == text.strip()


def test_folders_name_the_genre_and_tags_the_rest(music: Path, tmp_path: Path) -> None:
    library = read(music, tmp_path / "known")
    assert library.format == "folders"
    assert len(library.tracks) == 12
    assert {track.genre for track in library.tracks} == {"tones", "noises"}
    first = library.tracks[0]
    assert (first.track_id, first.name, first.artist) == ("noises/0.wav", "0", UNKNOWN)
    assert first.duration_s == pytest.approx(2.0)


def test_a_second_scan_opens_nothing(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scan(music, tmp_path / "known")
    monkeypatch.setattr(worker, "each", lambda _function, items, **_: dict.fromkeys(items).items())
    assert scan(music, tmp_path / "known") == before


def test_a_changed_file_is_read_again_and_a_moved_one_keeps_its_content(
    music: Path, tmp_path: Path, write: Write
) -> None:
    before = {file.path: file for file in scan(music, tmp_path / "known")}
    write("tones/0.wav", noise(77))
    (music / "tones" / "1.wav").rename(music / "noises" / "moved.wav")
    after = {file.path: file for file in scan(music, tmp_path / "known")}
    assert after["tones/0.wav"].content_hash != before["tones/0.wav"].content_hash
    assert after["noises/moved.wav"].content_hash == before["tones/1.wav"].content_hash
    assert "tones/1.wav" not in after


def test_files_of_no_use_are_reported_and_the_rest_kept(music: Path, tmp_path: Path) -> None:
    (music / "tones" / "text.mp3").write_text("not music " * 500)
    (music / "tones" / "zero.wav").touch()
    (music / "tones" / "dangling.wav").symlink_to(music / "nowhere.wav")
    library = read(music, tmp_path / "known")
    assert len(library.tracks) == 12
    assert {problem.subject for problem in library.problems} == {
        "tones/text.mp3", "tones/zero.wav", "tones/dangling.wav",
    }  # fmt: skip
    assert all(problem.severity == "error" for problem in library.problems)


def test_a_name_that_is_no_utf8_is_reported(music: Path, tmp_path: Path) -> None:
    source = os.fsencode(music / "tones" / "0.wav")
    os.rename(source, source.replace(b"0.wav", b"caf\xe9.wav"))  # noqa: PTH104
    library = read(music, tmp_path / "known")
    library.save(tmp_path / "known")
    assert Library.load(tmp_path / "known") == library
    assert any("UTF-8" in problem.reason for problem in library.problems)


def test_folders_without_music_are_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="there is no folder"):
        scan(tmp_path / "missing", tmp_path / "known")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LibraryError, match="no audio files"):
        scan(tmp_path / "empty", tmp_path / "known")


def test_hidden_files_are_not_music(music: Path, tmp_path: Path) -> None:
    (music / "tones" / "._0.wav").write_bytes(b"resource fork")
    assert len(scan(music, tmp_path / "known")) == 12


def test_a_library_is_read_back_as_it_was(ludwig: Path, tmp_path: Path) -> None:
    library = read(ludwig, tmp_path / "known")
    library.save(tmp_path / "known")
    assert Library.load(tmp_path / "known") == library


def test_the_fingerprint_follows_what_an_evaluation_sees(music: Path, tmp_path: Path) -> None:
    before = read(music, tmp_path / "known").fingerprint
    moved = music.rename(tmp_path / "elsewhere")
    assert read(moved, tmp_path / "known").fingerprint == before
    (moved / "tones").rename(moved / "sines")
    assert read(moved, tmp_path / "known").fingerprint != before


def test_the_demo_goes_through_the_same_door(tmp_path: Path) -> None:
    root = demo.lay_out(tmp_path / "demo")
    library = read(root, tmp_path / "known")
    assert library.format == "ludwig"
    assert library.problems == ()
    assert {track.genre for track in library.tracks} == {"acoustic", "electronic"}
    assert all(track.subgenres[0].startswith(f"{track.genre}---") for track in library.tracks)
    assert len(library.tracks) == 28
    assert read(demo.lay_out(root), tmp_path / "known") == library


def test_problems_survive_being_saved(tmp_path: Path) -> None:
    problem = Problem("a|b", "library", "warning", "says “hello”\n")
    library = Library("x", "/x", "folders", (), (problem,))
    library.save(tmp_path)
    assert Library.load(tmp_path).problems == (problem,)


def test_tags_reach_the_track_and_the_layout_says_its_genre(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("jazz/a.wav", tone(440))
    monkeypatch.setattr(files, "read_tags", lambda _path: SAID)
    [track] = read(tmp_path / "music", tmp_path / "known").tracks
    assert (track.artist, track.name, track.genre) == ("Nina, Otto", "Sinnerman", "jazz")
    assert track.genres == ("jazz",)
    assert track.extra == {"bpm": 93.0, "key": "Am"}
    kept = vars(SAID).keys() - {"title", "genres", "bpm", "key"}
    assert all(getattr(track, name) == getattr(SAID, name) for name in kept)


def test_labels_win_over_tags_where_they_say_something(
    ludwig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "read_tags", lambda _path: SAID)
    first, second, _ = read(ludwig, tmp_path / "known").tracks
    assert (first.artists, first.name) == (("Celia Cruz",), "Cuando Salí De Cuba")
    assert (first.album, first.year) == ("Pastel Blues", 1965)
    assert (second.artists, second.name) == (("Nina", "Otto"), "Sinnerman")
    assert second.genre == "jazz"


def test_names_of_files_and_folders_are_composed_and_ids_stay(write: Write, tmp_path: Path) -> None:
    write("Cafe\u0301/Be\u0301la.wav", tone(440))
    [track] = read(tmp_path / "music", tmp_path / "known").tracks
    assert (track.genre, track.name) == ("Café", "Béla")
    assert track.track_id == "Cafe\u0301/Be\u0301la.wav"


# --- homes of the version before -----------------------------------------------------------------

BEFORE = {"content_hash": "hash", "duration_s": 2.0, "album": "Pastel Blues"}


def test_files_of_the_version_before_are_known_by_their_former_hash(
    write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """But for those that it decoded at another rate: they are told."""
    for name in "ab":
        write(f"jazz/{name}.wav", tone(440))
    found = files.find(tmp_path / "music")
    rows = [
        {"path": file.path, "size": file.size, "mtime_ns": file.mtime_ns, "title": "Sinnerman"}
        | BEFORE
        | {"artist": artist, "error": "", "sample_rate": rate}
        for file, artist, rate in zip(found, ["Nina", ""], [22_050, 8000], strict=True)
    ]
    [partition] = files.split(found)
    (tmp_path / "known" / "files").mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(rows), tmp_path / "known" / "files" / f"{partition}.parquet"
    )
    known = files.load_files(tmp_path / "known")
    assert [file.artists for file in known] == [("Nina",), ()]
    assert [(file.title, file.year, file.compilation) for file in known] == [
        ("Sinnerman", None, False)
    ] * 2
    scanned = files.scan(tmp_path / "music", tmp_path / "known")
    assert [file.former_hash for file in scanned] == ["hash", ""]
    assert all(len(file.content_hash) == 64 for file in scanned)
    assert "embedded again: 1 (jazz/b.wav)" in caplog.text


def test_extra_values_of_a_track_are_saved_with_their_kinds(tmp_path: Path) -> None:
    extra: Extra = {"mood": ("calm", "warm"), "bpm": 120.5, "takes": 3, "label": "Blue Note"}
    library = Library("a", "/a", "x", (Track("a", "", "", 1.0, 8000, extra=extra),), ())
    library.save(tmp_path)
    assert Library.load(tmp_path) == library


def test_a_library_that_the_version_before_saved_is_read(tmp_path: Path) -> None:
    rows = [
        {"track_id": name, "path": f"/{name}", "artist": artist, "name": name, "genre": "jazz"}
        | BEFORE
        | {"sample_rate": 8000, "subgenres": ["jazz---vocal"]}
        for name, artist in (("a", "Nina"), ("b", UNKNOWN))
    ]
    about = {"name": "x", "root": "/x", "format": "folders", "labels": "", "problems": "[]"}
    table = pa.Table.from_pylist(rows).replace_schema_metadata(about)
    pq.write_table(table, tmp_path / "tracks.parquet")
    library = Library.load(tmp_path)
    first, second = library.tracks
    assert (first.artists, first.artist, first.album_artist) == (("Nina",), "Nina", "")
    assert (second.artists, second.artist) == ((), UNKNOWN)
    assert first.subgenres == ("jazz---vocal",)
    assert library.fingerprint == "08bd06b95e26ff91"


@pytest.mark.parametrize("inner", ["lab [1]", ".", "a/b"])
def test_folders_of_a_home_that_lies_in_the_library_are_left_out_with_a_word(
    music: Path, inner: str, caplog: pytest.LogCaptureFixture
) -> None:
    home = Home(music / inner)
    for folder in (home.demo, home.tuned, home.root / "songs"):
        folder.mkdir(parents=True)
        shutil.copy(music / "tones" / "1.wav", folder / "copy.wav")
    settings = Settings(home=home.root, library=music)
    tracks = {track.track_id for track in read_library(settings).tracks}
    songs = (home.root / "songs" / "copy.wav").relative_to(music).as_posix()
    assert len(tracks) == 13
    assert songs in tracks
    assert f"The home {home.root} lies in the library {music}" in caplog.text
    caplog.clear()
    assert len(read_library(Settings(library=music)).tracks) == 15
    assert caplog.text == ""


def test_a_library_among_the_results_of_a_home_is_refused(music: Path, home: Home) -> None:
    inner = home.collections / "music"
    shutil.copytree(music, inner)
    for root in (inner, home.collections):
        with pytest.raises(LibraryError, match="where the home keeps results: move the music"):
            read_library(Settings(library=root))
    for root in (home.demo, home.root / "songs"):
        shutil.copytree(music, root)
        assert len(read_library(Settings(library=root)).tracks) == 12
