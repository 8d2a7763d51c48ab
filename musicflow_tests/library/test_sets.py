"""The data sets and libraries of other programs, each in its own shape."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.library import (
    UNKNOWN,
    Library,
    LibraryError,
    grouped,
    join,
    labels_state,
    layouts,
    note_lines,
    scan,
)
from musicflow.library.layouts.table import typed
from musicflow_tests.conftest import noise, tone
from musicflow_tests.library.shapes import FMA_GENRES, add_items, fma_table, manifest

Write = Callable[..., Path]


def read(root: Path, layout: str = "auto") -> Library:
    return join(root, scan(root, root.parent / "known"), layout)


def genres(library: Library) -> dict[str, str]:
    return {track.track_id: track.genre for track in library.tracks}


def reason(root: Path, layout: str) -> str:
    found = layouts.detection(layouts.layout_of(root, layout), root)
    return found.reason if found else ""


def codes(library: Library) -> dict[str, str]:
    return {problem.subject: problem.code for problem in library.problems}


# --- ludwig --------------------------------------------------------------------------------------


def ludwig(root: Path, write: Write, base: str, audio: str, **labels: Any) -> None:
    """Lay out two tracks of blues and rock, with their labels, in a folder below the library."""
    for seed, track_id in enumerate(("blues/1a", "rock/2b")):
        write(f"{base}/{audio}/{track_id}.wav", noise(seed))
    said = {"1a": {"genre": {"S": "blues"}}, "2b": {"genre": {"S": "rock"}}} | labels
    (root / base / "labels.json").write_text(json.dumps({"tracks": said}))


@pytest.mark.parametrize("base", [".", "archive"])
@pytest.mark.parametrize("audio", ["mp3", "mp3/mp3", "audio"])
@pytest.mark.parametrize("whole", [True, False])
def test_ludwig_is_found_as_it_is_packed_and_unpacked(
    base: str, audio: str, whole: bool, tmp_path: Path, write: Write
) -> None:
    root = tmp_path / "music"
    ludwig(root, write, base, audio)
    if whole:
        for name in ("mfccs/mfccs/blues/1a.npy", "spectogram/spectogram/blues/1a.png"):
            (root / base / name).parent.mkdir(parents=True)
            (root / base / name).touch()
        (root / base / "subgeneres.json").write_text("{}")
    library = read(root)
    assert (library.format, genres(library)) == ("ludwig", {"1a": "blues", "2b": "rock"})
    assert library.problems == ()
    below = "" if base == "." else f"{base}/"
    assert reason(root, "ludwig") == f"{below}labels.json lies beside {audio}/"
    before = labels_state(root)
    (root / base / "labels.json").write_text('{"tracks": {}}')
    assert labels_state(root) != before


def test_a_ludwig_label_without_a_genre_takes_that_of_the_folder_and_is_counted(
    tmp_path: Path, write: Write
) -> None:
    root = tmp_path / "music"
    ludwig(root, write, "archive", "mp3/mp3", **{"1a": {"name": {"S": "Alone"}}})
    library = read(root)
    assert genres(library) == {"1a": "blues", "2b": "rock"}
    assert note_lines(library.problems) == [
        "1 track has labels without a genre; the folder names it"
    ]


def test_labels_that_are_not_used_are_told(write: Write) -> None:
    root = write("songs/rock/1.wav", tone(440)).parents[2]
    (root / "labels.json").write_text('{"tracks": {}}')
    library = read(root, "folders")
    assert codes(library) == {"labels.json": "labels-not-used"}
    [problem] = library.problems
    assert problem.severity == "warning"
    assert "not used, because the library is read as folders" in problem.reason


# --- gtzan ---------------------------------------------------------------------------------------

GTZAN = ("blues/blues.00000", "blues/blues.00001", "jazz/jazz.00054", "jazz/jazz.00055")


@pytest.mark.parametrize(
    ("music", "suffix"),
    [("genres", "au"), ("genres_original", "wav"), ("Data/genres_original", "wav")],
)
def test_gtzan_is_found_as_it_was_published_and_as_kaggle_has_it(
    music: str, suffix: str, tmp_path: Path, write: Write
) -> None:
    root = tmp_path / "music"
    for seed, clip in enumerate(GTZAN):
        write(f"{music}/{clip}.{suffix}", noise(seed))
    (root / "Data" / "images_original" / "blues").mkdir(parents=True)
    (root / "Data" / "features_30_sec.csv").touch()
    library = read(root)
    assert (library.format, library.problems) == ("gtzan", ())
    assert genres(library) == {f"{music}/{c}.{suffix}": c.partition("/")[0] for c in GTZAN}
    assert reason(root, "gtzan") == f"{music}/ holds GTZAN's clips"
    assert read(root / music).format == "gtzan"


def test_folders_that_hold_other_files_are_not_gtzan(tmp_path: Path, write: Write) -> None:
    write("genres/blues/Robert Johnson.wav", tone(220))
    write("genres/jazz/blues.00001.wav", tone(330))
    assert reason(tmp_path / "music", "gtzan") == ""


def test_the_broken_clip_of_gtzan_is_named(tmp_path: Path, write: Write) -> None:
    root = tmp_path / "music"
    for seed, clip in enumerate(GTZAN):
        write(f"genres_original/{clip}.wav", noise(seed))
    (root / "genres_original/jazz/jazz.00054.wav").write_bytes(b"\0" * 1000)
    library = read(root)
    assert len(library.tracks) == 3
    about = [p for p in library.problems if p.subject == "genres_original/jazz/jazz.00054.wav"]
    assert {problem.code for problem in about} == {"not-audio", "known-fault"}


def test_lists_of_gtzans_artists_name_artists_and_faults(tmp_path: Path, write: Write) -> None:
    root = tmp_path / "music"
    for seed, clip in enumerate(GTZAN):
        write(f"Data/genres_original/{clip}.wav", noise(seed))
    before = labels_state(root)
    (root / "Data" / "gtzan_artists").mkdir()
    lists = {"f1": "./blues_00000.wav\t1\n./blues_00001.wav\t1\n", "f2": "./jazz_00055.wav\t229\n"}
    for name, text in lists.items():
        (root / "Data" / "gtzan_artists" / f"{name}_evaluate_groups.txt").write_text(text)
    library = read(root)
    assert [track.artist for track in library.tracks] == [
        "GTZAN artist 1", "GTZAN artist 1", "Unknown", "GTZAN artist 229",
    ]  # fmt: skip
    assert codes(library) == {"Data/genres_original/jazz/jazz.00054.wav": "known-fault"}
    assert labels_state(root) != before


def test_lists_of_gtzans_split_name_its_part_of_each_clip(tmp_path: Path, write: Write) -> None:
    root = tmp_path / "music"
    for seed, clip in enumerate(GTZAN):
        write(f"Data/genres_original/{clip}.wav", noise(seed))
    before = labels_state(root)
    split = root / "Data" / "gtzan_split"
    split.mkdir()
    (split / "train_filtered.txt").write_text("blues/blues.00000.wav\nblues/blues.00001.wav\n")
    (split / "valid_filtered.txt").write_text("jazz/jazz.00055.wav\n")
    library = read(root)
    parts = [track.extra.get("split") for track in library.tracks]
    assert parts == ["training", "training", None, "validation"]
    assert labels_state(root) != before


# --- fma -----------------------------------------------------------------------------------------

FMA = fma_table(
    {
        2: {
            ("track", "title"): "Food",
            ("track", "genre_top"): "Hip-Hop",
            ("track", "genres"): "[21]",
            ("track", "genres_all"): "[21]",
            ("track", "number"): 3,
            ("artist", "name"): "AWOL",
            ("artist", "bio"): '<p>Two lines,\nand a "quote"</p>',
            ("album", "title"): "AWOL - A Way Of Life",
            ("album", "date_released"): "2009-01-05 00:00:00",
            ("set", "split"): "training",
            ("set", "subset"): "small",
        },
        10: {
            ("track", "title"): "Freeway",
            ("track", "genres"): "[10, 1235]",
            ("track", "genres_all"): "[1235, 10]",
            ("set", "split"): "test",
        },
        98565: {("track", "genre_top"): "Hip-Hop", ("set", "split"): "training"},
        140: {("track", "genre_top"): "Folk"},
    }
)


@pytest.mark.parametrize("audio", ["fma_small", "fma_large/fma_large", "FMA/fma_medium"])
def test_fma_is_read_with_its_table(audio: str, tmp_path: Path, write: Write) -> None:
    root = tmp_path / "music"
    for number in (2, 10, 98565, 999999):
        write(f"{audio}/{number // 1000:03d}/{number:06d}.mp3", noise(number))
    metadata = root / ("FMA/fma_metadata" if audio.startswith("FMA") else "fma_metadata")
    metadata.mkdir()
    (metadata / "tracks.csv").write_text(FMA)
    (metadata / "genres.csv").write_text(FMA_GENRES)
    library = read(root)
    assert library.format == "fma"
    food, freeway, short, unknown = library.tracks
    assert (food.track_id, food.artist, food.name) == ("000/000002.mp3", "AWOL", "Food")
    assert (food.album, food.year, food.track_number) == ("AWOL - A Way Of Life", 2009, 3)
    assert (food.genre, food.genres, food.subgenres) == ("Hip-Hop", ("Hip-Hop",), ())
    assert (freeway.genre, freeway.genres) == ("Instrumental", ("Instrumental", "Pop"))
    assert freeway.subgenres == ("Pop",)
    assert (food.extra, freeway.extra) == (
        {"split": "training", "subset": "small"},
        {"split": "test"},
    )
    assert short.genre == "Hip-Hop"
    assert unknown.genre == UNKNOWN
    assert codes(library) == {
        f"{audio}/098/098565.mp3": "known-fault",
        f"{audio}/999/999999.mp3": "audio-without-labels",
    }
    before = labels_state(root)
    (metadata / "genres.csv").write_text(FMA_GENRES + "\n")
    assert labels_state(root) != before


def test_of_fmas_sizes_the_largest_is_read_and_the_others_are_told(
    tmp_path: Path, write: Write
) -> None:
    root = tmp_path / "music"
    for size in ("fma_small", "fma_medium"):
        write(f"{size}/000/000002.mp3", noise(2))
    (root / "tracks.csv").write_text(FMA)
    library = read(root)
    assert [track.path for track in library.tracks] == [str(root / "fma_medium/000/000002.mp3")]
    assert codes(library) == {"fma_small/": "other-copy"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("track_id,title\n2,Food\n", "header of three lines"),
        ("track_id,title\n2,Food\n3,Gone\n", 'line 3: the first column must be "track_id"'),
        (",track\n,title\ntrack_id,\n2,Food\n", "has no column track/genre_top"),
        (fma_table({2: {}}) + "three," * 53, "cannot be read"),
    ],
)
def test_a_table_that_is_not_fmas_says_why(
    text: str, sentence: str, tmp_path: Path, write: Write
) -> None:
    write("fma_small/000/000002.mp3", noise(2))
    (tmp_path / "music" / "tracks.csv").write_text(text)
    with pytest.raises(LibraryError, match=sentence):
        read(tmp_path / "music")


# --- manifest ------------------------------------------------------------------------------------

ROWS: list[dict[str, Any]] = [
    {
        "path": "audio/a.wav",
        "title": "Alone",
        "artist": "Nina; Otto",
        "genre": "Soul;Jazz",
        "year": "1965",
        "mood": "sad",
        "bpm": "88",
        "swing": "0.5",
        "live": "true",
    },
    {"path": "audio/b.wav", "genre": "Rock", "mood": "angry", "bpm": "120", "swing": "1"},
]


@pytest.fixture
def listed(tmp_path: Path, write: Write) -> Path:
    for seed, name in enumerate("abc"):
        write(f"audio/{name}.wav", noise(seed))
    return tmp_path / "music"


@pytest.mark.parametrize("name", ["manifest.csv", "metadata.jsonl", "manifest.parquet"])
def test_a_manifest_says_what_it_knows_of_its_tracks(name: str, listed: Path) -> None:
    manifest(listed / name, ROWS)
    library = read(listed)
    assert library.format == "manifest"
    alone, second = library.tracks
    assert (alone.track_id, alone.name) == ("audio/a.wav", "Alone")
    assert (alone.artists, alone.year) == (("Nina", "Otto"), 1965)
    assert (alone.genre, alone.genres) == ("Soul", ("Soul", "Jazz"))
    assert (second.name, second.genre, second.year) == ("b", "Rock", None)
    assert alone.extra == {"mood": "sad", "bpm": 88, "swing": 0.5, "live": "true"}
    assert second.extra == {"mood": "angry", "bpm": 120, "swing": 1.0}
    assert codes(library) == {"audio/c.wav": "not-listed"}
    assert reason(listed, "manifest") == f"{name} lists the tracks"
    before = labels_state(listed)
    manifest(listed / name, ROWS[:1])
    assert labels_state(listed) != before
    assert len(read(listed).tracks) == 1


def test_a_manifest_takes_absolute_paths_and_those_of_audio_folders(
    listed: Path, tmp_path: Path
) -> None:
    manifest(listed / "manifest.csv", [{"path": str(listed / "audio" / "a.wav"), "genre": "Soul"}])
    assert genres(read(listed)) == {"audio/a.wav": "Soul"}
    (listed / "manifest.csv").unlink()
    manifest(listed / "audio" / "metadata.csv", [{"file_name": "b.wav", "label": "Rock"}])
    assert genres(read(listed)) == {"audio/b.wav": "Rock"}
    assert reason(listed, "manifest") == "audio/metadata.csv lists the tracks"
    listed.rename(tmp_path / "moved")
    (tmp_path / "music").symlink_to(tmp_path / "moved")
    manifest(
        listed / "manifest.csv",
        [{"path": str(tmp_path / "moved" / "audio" / "c.wav"), "genre": "Folk"}],
    )
    assert genres(read(listed)) == {"audio/c.wav": "Folk"}


def test_a_table_without_paths_is_no_manifest_unless_it_is_called_one(listed: Path) -> None:
    manifest(listed / "metadata.csv", [{"title": "x"}])
    assert read(listed).format == "folders"
    manifest(listed / "manifest.csv", [{"title": "x"}])
    with pytest.raises(LibraryError, match=r"manifest.csv, line 1: no column path, but name"):
        read(listed)


def test_the_only_table_of_a_folder_is_the_manifest_that_was_asked_for(listed: Path) -> None:
    manifest(listed / "my songs.csv", ROWS)
    assert read(listed).format == "folders"
    assert len(read(listed, "manifest").tracks) == 2
    manifest(listed / "other.jsonl", ROWS)
    with pytest.raises(LibraryError, match=r"several tables \(my songs.csv, other.jsonl\)"):
        read(listed, "manifest")


def test_what_is_wrong_in_a_manifest_is_told_with_its_line_and_column(listed: Path) -> None:
    (listed / "manifest.csv").write_text(
        "path,year,compilation,genre\n"
        "audio/a.wav,MCMLXV,maybe,Soul\n"
        "audio/gone.wav,1965,no,Soul\n"
        "../../b.wav,1965,no,Soul\n"
        "audio/a.wav,1965,yes,Rock\n"
        ",1965,no,Soul\n"
        "audio/b.wav,1,2,3,4\n"
    )
    library = read(listed)
    assert [(track.genre, track.year) for track in library.tracks] == [("Soul", None)]
    told = [(problem.subject, problem.reason) for problem in library.problems]
    assert told[:3] == [
        (
            "manifest.csv, line 4",
            "a row whose file lies outside the library: column path, ../../b.wav",
        ),
        ("manifest.csv, line 6", "a row that names no file: column path"),
        ("manifest.csv, line 7", "a row with too many values: 5 for 4 columns"),
    ]
    assert ("audio/a.wav", "listed twice: manifest.csv, line 5") in told
    assert ("audio/gone.wav", "no such audio file: manifest.csv, line 3") in told
    year = "a value that is no year: 'MCMLXV' in manifest.csv, line 2, column year"
    assert ("audio/a.wav", year) in told
    truth = "a value that is neither true nor false: 'maybe' in manifest.csv, line 2, column"
    assert ("audio/a.wav", f"{truth} compilation") in told


def test_many_faults_of_a_manifest_are_counted_by_their_kind(listed: Path) -> None:
    lines = ["path,year", "audio/a.wav,old", *[",1"] * 4, *["audio/b.wav,1,2"] * 5]
    lines += ["/elsewhere/c.wav,1"] * 4
    (listed / "manifest.csv").write_text("\n".join(lines))
    assert [(one.reason, one.subject.split(",")[0]) for one in grouped(read(listed).problems)] == [
        ("a row that names no file", "4"),
        ("a row with too many values", "5"),
        ("a row whose file lies outside the library", "4"),
        ("a value that is no year: 'old' in manifest.csv, line 2, column year", "audio/a.wav"),
    ]


def test_a_line_that_is_no_json_is_told_with_its_column(listed: Path) -> None:
    lines = ['{"path": "audio/a.wav", "genre": ["Soul", "Jazz"]}', "{oops}", "[1]", ""]
    (listed / "manifest.jsonl").write_text("\n".join(lines))
    library = read(listed)
    assert [track.genres for track in library.tracks] == [("Soul", "Jazz")]
    second, third = (problem for problem in library.problems if problem.severity == "warning")
    assert second.subject == "manifest.jsonl, line 2"
    assert second.reason.startswith("a row that is not valid JSON: column 2, Expecting")
    assert (third.subject, third.reason) == (
        "manifest.jsonl, line 3",
        "a row that is no object of JSON",
    )


def test_a_composed_name_in_a_manifest_finds_its_decomposed_file(
    write: Write, tmp_path: Path
) -> None:
    write("Be\u0301la.wav", tone(440))
    manifest(tmp_path / "music" / "manifest.csv", [{"path": "Béla.wav", "genre": "Folk"}])
    assert genres(read(tmp_path / "music")) == {"Be\u0301la.wav": "Folk"}


@given(st.lists(st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.text(max_size=5))))
def test_values_of_a_column_are_of_one_type(values: list[Any]) -> None:
    found = typed([str(value) for value in values])
    assert len({type(value) for value in found}) <= 1
    if values and all(isinstance(value, int) for value in values):
        assert found == values


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.5"], [1.0, 2.5]),
        (["007", "8"], ["007", "8"]),
        (["true", "no"], ["true", "false"]),
        (["0", "1"], [0, 1]),
        (["1", "x"], ["1", "x"]),
        ([1.0, 2.5], [1.0, 2.5]),
        ([["a", "b "], "c;d"], [("a", "b"), ("c", "d")]),
    ],
)
def test_a_type_is_that_of_all_values(texts: list[Any], values: list[Any]) -> None:
    found = typed(texts)
    assert (found, list(map(type, found))) == (values, list(map(type, values)))


# --- beets ---------------------------------------------------------------------------------------


@pytest.fixture
def beets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Beets itself, with a home of its own."""
    monkeypatch.setenv("BEETSDIR", str(tmp_path / "beetsdir"))
    return pytest.importorskip("beets.library")


ALONE = {
    "title": "Alone",
    "artist": "Nina feat. Otto",
    "artists": ["Nina", "Otto"],
    "album": "Blues",
    "albumartist": "Nina",
    "genres": ["Soul", "Cool Jazz"],
    "year": 1965,
    "track": 9,
    "disc": 1,
    "comp": True,
    "rg_track_gain": -3.5,
    "bpm": 88,
    "mood": "sad",
}


@pytest.mark.parametrize("database", ["library.db", "beets/musiclibrary.db"])
def test_a_library_of_beets_is_read_and_not_written(
    database: str, listed: Path, beets: Any
) -> None:
    path = listed / database
    add_items(beets, path, listed / "audio", a=ALONE, b={"artist": "AC;DC"}, gone={"title": "x"})
    before = path.read_bytes()
    library = read(listed)
    assert library.format == "beets"
    alone, second = library.tracks
    assert (alone.name, alone.artists, alone.album) == ("Alone", ("Nina", "Otto"), "Blues")
    assert (alone.genre, alone.genres) == ("Soul", ("Soul", "Cool Jazz"))
    assert (alone.album_artist, alone.year, alone.compilation) == ("Nina", 1965, True)
    assert (alone.track_number, alone.disc_number, alone.replaygain_db) == (9, 1, -3.5)
    assert alone.extra == {"bpm": 88, "mood": "sad"}
    assert (second.artists, second.genre, second.year) == (("AC;DC",), UNKNOWN, None)
    assert codes(library)["audio/c.wav"] == "not-listed"
    assert sorted(codes(library).values()) == ["labels-without-audio", "not-listed"]
    assert reason(listed, "beets") == f"{database} is a library of beets"
    assert path.read_bytes() == before
    state = labels_state(listed)
    add_items(beets, path, listed / "audio", c={"title": "New"})
    assert labels_state(listed) != state
    assert len(read(listed).tracks) == 3


def test_older_libraries_of_beets_have_absolute_paths_and_one_genre(listed: Path) -> None:
    """The columns are those of beets 1.6, of which it made the table itself."""
    with sqlite3.connect(listed / "library.db") as database:
        database.execute(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, path BLOB, album_id INTEGER, title TEXT, "
            "artist TEXT, albumartist TEXT, genre TEXT, year INTEGER, comp INTEGER, "
            "rg_track_gain REAL)"
        )
        database.execute(
            "CREATE TABLE item_attributes (id INTEGER PRIMARY KEY, entity_id INTEGER, key TEXT, "
            "value TEXT, UNIQUE(entity_id, key) ON CONFLICT REPLACE)"
        )
        row = (1, bytes(listed / "audio" / "a.wav"), None, "Alone", "Nina", "", "Soul, Jazz")
        database.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, NULL)", row)
    database.close()
    [track] = read(listed).tracks
    assert (track.genre, track.genres, track.year) == ("Soul", ("Soul", "Jazz"), None)
    assert track.replaygain_db is None


def test_beets_own_place_is_looked_at_if_beets_is_asked_for(
    listed: Path, tmp_path: Path, beets: Any
) -> None:
    with pytest.raises(LibraryError, match="no library of beets"):
        read(listed, "beets")
    add_items(beets, tmp_path / "beetsdir" / "library.db", listed / "audio", a=ALONE)
    assert read(listed).format == "folders"
    [track] = read(listed, "beets").tracks
    assert track.genre == "Soul"


def test_another_database_is_no_library_of_beets(listed: Path) -> None:
    (listed / "library.db").write_text("no database")
    assert reason(listed, "beets") == ""


# --- playlists -----------------------------------------------------------------------------------


def test_playlists_are_labels_and_a_track_may_have_several(listed: Path) -> None:
    absolute = (listed / "audio" / "b.wav").as_uri()
    (listed / "run.m3u8").write_text(f"#EXTM3U\n#EXTINF:2,A\naudio/a.wav\n{absolute}\n")
    text = "#EXTM3U\n#PLAYLIST:Très calme\naudio\\b.wav\ngone.wav\nhttp://example.org/x\n"
    (listed / "calm.m3u").write_bytes(text.encode("cp1252"))
    library = read(listed)
    assert library.format == "playlists"
    assert {track.track_id: track.genres for track in library.tracks} == {
        "audio/a.wav": ("run",),
        "audio/b.wav": ("Très calme", "run"),
        "audio/c.wav": (),
    }
    assert [track.genre for track in library.tracks] == ["run", "Très calme", UNKNOWN]
    assert library.tracks[1].extra == {"playlists": ("Très calme", "run")}
    [problem] = library.problems
    assert (problem.code, problem.reason) == (
        "labels-without-audio",
        "no such file: calm.m3u, line 4: gone.wav",
    )
    before = labels_state(listed)
    (listed / "run.m3u8").write_text("audio/c.wav")
    assert labels_state(listed) != before


def test_playlists_beside_many_folders_are_read_if_asked_for(listed: Path, write: Write) -> None:
    write("Other/d.wav", noise(9))
    for name in ("one", "two"):
        (listed / f"{name}.m3u8").write_text("Other/d.wav")
    assert read(listed).format == "folders"
    assert genres(read(listed, "playlists"))["Other/d.wav"] == "one"
