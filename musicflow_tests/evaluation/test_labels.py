"""Labels of a library and of tables, and the rule that each leaves something to find under."""

from dataclasses import replace
from pathlib import Path

import pytest

from musicflow.evaluation.labels import LabelError, labels_of, mark, read, read_table, rule_for
from musicflow.library import Track
from musicflow_tests.evaluation.made_up import track

TRACKS = [track(n, "ab"[n % 2], artist=f"artist {n % 5}", subgenres=("x", "y")) for n in range(20)]


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "moods.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("label", "fields", "found"),
    [
        ("genre", {"genre": "b"}, ("b",)),
        ("subgenre", {"subgenres": ("x", "y")}, ("x", "y")),
        ("artist", {"artists": ("Otto Lind", "BJÖRK")}, ("otto lind", "bjork")),
        ("album", {"album": "Hits"}, ("./hits",)),
        ("decade", {"year": 1987}, ("1980s",)),
        ("playlist", {"extra": {"playlists": ("p", "q")}}, ("p", "q")),
        ("mood", {"extra": {"mood": "calm"}}, ("calm",)),
        ("tags", {"extra": {"tag": ("loud", "loud", "")}}, ("loud",)),
        ("decade", {}, ()),
        ("mood", {"extra": {"bpm": 120.0}}, ()),
    ],
)
def test_a_label_is_a_field_of_a_track_or_a_value_of_the_librarys_own(
    label: str, fields: dict, found: tuple[str, ...]
) -> None:
    assert labels_of(label, [track(0, **fields)]) == [found]


def test_a_table_holds_classes_sessions_pairs_or_triplets(tmp_path: Path) -> None:
    classes = table(tmp_path, "track,label", "0000,calm", "/0001,calm", "0000,slow", "gone,calm")
    assert read_table(classes, TRACKS).labels[:3] == [("calm", "slow"), ("calm",), ()]
    assert read(str(classes), TRACKS).are_named
    sessions = table(tmp_path, "session,track", "1,0000", "1,0001", "2,0000")
    found = read(str(sessions), TRACKS)
    assert (found.sets[:3], found.are_named) == ([("1", "2"), ("1",), ()], False)
    pairs = table(tmp_path, "track,alike", "0003,0001", "0001,0003", "0001,0001", "0004,0001")
    assert read_table(pairs, TRACKS).pairs.tolist() == [[1, 3], [1, 4]]
    found = read(str(pairs), TRACKS)
    assert found.sets[1:5] == [("0", "1"), (), ("0",), ("1",)]
    assert (found.name, found.are_named) == ("moods", False)
    triplets = table(tmp_path, "farther,track,nearer", "0009,0000,0001")
    assert read_table(triplets, TRACKS).triplets.tolist() == [[0, 1, 9]]
    with pytest.raises(LabelError, match="rank nothing"):
        read(str(triplets), TRACKS)


@pytest.mark.parametrize("lines", [["name,mood", "0000,calm"], ["track,label", "gone,calm"], [""]])
def test_a_table_that_tells_nothing_is_refused(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(LabelError) as refused:
        read(str(table(tmp_path, *lines)), TRACKS)
    assert refused.value.code == "bad-labels"


def test_tags_of_the_library_come_before_those_that_an_embedder_predicts() -> None:
    predicted = {"dumb": [()] * 2, "clever": [("loud", "fast"), ("slow",)]}
    found = read("tags", [track(0), track(1)], predicted)
    assert (found.embedder, found.sets) == ("clever", [("loud", "fast"), ("slow",)])
    found = read("tags", [track(0, extra={"tags": ("own",)}), track(1)], predicted)
    assert (found.embedder, found.sets) == ("", [("own",), ()])


def test_a_label_that_no_track_has_is_refused_by_its_code() -> None:
    with pytest.raises(LabelError) as refused:
        read("genr", TRACKS)
    assert refused.value.code == "no-label"


@pytest.mark.parametrize(
    ("label", "asked", "followed"),
    [
        ("genre", "artist", "artist"),
        ("playlist", "artist", "artist"),
        ("artist", "artist", "album"),
        ("album", "artist", "duplicates"),
        ("artist", "duplicates", "duplicates"),
        ("album", "none", "none"),
        ("/tables/artist.csv", "artist", "artist"),
    ],
)
def test_the_rule_follows_from_the_label(label: str, asked: str, followed: str) -> None:
    assert rule_for(label, asked) == followed  # type: ignore[arg-type]


def test_a_mark_changes_with_the_labels_alone(tmp_path: Path) -> None:
    def of(*playlists: str, **more: object) -> str:
        tracks: list[Track] = [track(0, extra={"playlists": playlists}, **more)]
        return mark("playlist", tracks)

    assert of("p") == of("p", genre="rock") != of("p", "q")
    before = mark(str(table(tmp_path, "track,label", "0000,calm")), ())
    assert before != mark(str(table(tmp_path, "track,label", "0000,loud")), ())
    assert mark(str(tmp_path / "gone.csv"), ()) == mark(str(tmp_path / "gone too.csv"), ())


def test_a_folder_of_playlists_says_which_tracks_belong_together(tmp_path: Path) -> None:
    music, lists = tmp_path / "music", tmp_path / "lists"
    lists.mkdir()
    (lists / "calm.m3u8").write_text(f"#EXTM3U\n../music/a.mp3\n{music}/b.mp3\ngone.mp3\n")
    (lists / "loud.m3u").write_text("#PLAYLIST:Very loud\n../music/b.mp3\n../music/b.mp3\n")
    tracks = [replace(track(n), path=f"{music}/{name}.mp3") for n, name in enumerate("abc")]
    found = read(str(lists), tracks)
    assert (found.name, found.sets) == ("lists", [("calm",), ("calm", "Very loud"), ()])
    with pytest.raises(LabelError, match="names no playlist"):
        read(str(music), tracks)
    with pytest.raises(LabelError, match="names no track"):
        read(str(lists), TRACKS)
