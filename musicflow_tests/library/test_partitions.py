from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow import audio, worker
from musicflow.library import (
    LibraryError,
    Rules,
    changes,
    find,
    forget_partitions,
    known_partitions,
    load_files,
    scan,
    scan_partitions,
    split,
)
from musicflow.library.partitions import MANY_FOLDERS, chooser, may_hold, partition_keys, slug
from musicflow.library.walk import music_folder
from musicflow_tests.conftest import tone

names = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=20
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@given(names)
def test_a_slug_can_be_a_key_and_the_name_of_a_file(name: str) -> None:
    text = slug(name)
    assert text
    assert not set(text) & set("./|,* \n")
    assert slug(text) == text or text == "all-"
    assert len(text) <= 60


def test_slugs_keep_the_letters_of_all_languages() -> None:
    assert slug("Hip Hop / R&B") == "hip-hop-r-b"
    assert slug("Motörhead") == slug("Moto\u0308rhead") == "motörhead"
    assert slug("日本の音楽") == "日本の音楽"
    assert slug("!!!") == slug("") == "root"
    assert slug("all") == "all-"


@given(st.data(), st.sets(paths, max_size=60), st.integers(1, 20))
def test_each_file_is_in_one_partition_and_the_key_tells_which(
    data: st.DataObject, found: set[str], size: int
) -> None:
    folders = [folder for path in found for folder in (path.rpartition("/")[0], path)]
    music = data.draw(st.sampled_from(["", "no such", *sorted(folders)]))
    keys = partition_keys(found, size, music)
    assert keys.keys() == found
    choose = chooser(set(keys.values()), music)
    for path, key in keys.items():
        assert choose(path) == key
        assert chooser([key], music)(path) == key
        folder = path.rpartition("/")[0]
        while folder:
            assert may_hold([key], folder, music)
            folder = folder.rpartition("/")[0]


@given(st.integers(1, 3000), st.integers(1, 500))
def test_a_flat_folder_is_split_by_hash_into_partitions_of_about_the_size(
    count: int, size: int
) -> None:
    keys = partition_keys([f"{number}.mp3" for number in range(count)], size)
    sizes = Counter(keys.values())
    assert (set(sizes) == {"root"}) == (count <= size)
    # A hash deals unevenly: six standard deviations above the mean is all that is allowed.
    assert max(sizes.values()) <= size + 6 * size**0.5


def test_the_folders_in_that_of_the_music_are_partitions() -> None:
    found = ["mp3/rock/1.mp3", "mp3/Free Jazz/2.mp3", "rock/a/b/3.flac", "loose.wav", "mp3/x.mp3"]
    assert partition_keys(found, music="mp3") == dict(
        zip(found, ["rock", "free-jazz", "rock", "root", "mp3"], strict=True)
    )
    assert set(partition_keys(found).values()) == {"mp3", "rock", "root"}


@pytest.mark.parametrize(
    ("names", "music"),
    [
        (["rock/1.wav", "jazz/2.wav"], ""),
        (
            ["Data/genres_original/rock/1.wav", "Data/genres_original/jazz/2.wav"],
            "Data/genres_original",
        ),
        (["Data/cover.jpg", "Data/rock/1.wav", "Data/jazz/2.wav"], "Data"),
        (["Data/intro.wav", "Data/rock/1.wav"], "Data"),
        (["intro.wav", "Data/rock/1.wav"], ""),
        (["books/1.wav", "Data/rock/1.wav", "Data/jazz/2.wav"], "Data"),
        (
            ["__MACOSX/rock/1.wav", "Data/.hidden/1.wav", "Data/rock/1.wav", "Data/jazz/1.wav"],
            "Data",
        ),
    ],
)
def test_the_music_begins_where_the_only_folder_of_each_level_leads(
    names: list[str], music: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert music_folder(tmp_path, ["books"]) == music


def test_a_link_to_its_own_folder_is_no_endless_way_down(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path)
    assert music_folder(tmp_path) == ""


@pytest.mark.parametrize("above", ["Data/genres_original", "fma_small"])
def test_a_library_below_other_folders_has_the_partitions_of_its_own(
    above: str, music: Path, tmp_path: Path
) -> None:
    nested = tmp_path / "nested" / above
    nested.parent.mkdir(parents=True)
    music.rename(nested)
    scan(tmp_path / "nested", tmp_path / "known")
    assert known_partitions(tmp_path / "known") == {"noises", "tones"}
    found = scan_partitions(tmp_path / "nested", tmp_path / "apart", ["tones"])
    assert len(found["tones"]) == 6
    assert changes(tmp_path / "nested", tmp_path / "known").changed == []


def test_a_library_of_very_many_folders_is_split_by_hash_alone() -> None:
    found = [f"artist {number}/{song}.mp3" for number in range(MANY_FOLDERS + 1) for song in "ab"]
    assert set(partition_keys(found, 1000).values()) == {"all"}
    assert set(partition_keys(found, 101).values()) == {"all.0of2", "all.1of2"}


def test_partitions_read_one_by_one_are_the_library(
    music: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    write("loose.wav", tone(440))
    whole = scan(music, tmp_path / "whole", rules=Rules(part_size=3))
    keys = sorted(split(find(music), 3))
    assert len(keys) > 3
    for key in keys:
        scan_partitions(music, tmp_path / "apart", [key])
    assert load_files(tmp_path / "apart") == whole
    assert known_partitions(tmp_path / "apart") == set(keys)


def test_a_partition_whose_folder_is_gone_is_an_error_and_stays_known(
    music: Path, tmp_path: Path
) -> None:
    scan(music, tmp_path / "known")
    (music / "tones").rename(tmp_path / "away")
    with pytest.raises(LibraryError, match="no audio files of tones"):
        scan_partitions(music, tmp_path / "known", ["tones"])
    assert [*scan_partitions(music, tmp_path / "known", ["noises", "tones"])] == ["noises"]
    assert known_partitions(tmp_path / "known") == {"noises", "tones"}
    assert changes(music, tmp_path / "known").gone == ["tones"]
    forget_partitions(tmp_path / "known", ["tones"])
    assert len(load_files(tmp_path / "known")) == 6


def test_a_folder_that_is_split_again_is_not_hashed_again(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scan(music, tmp_path / "known")
    monkeypatch.setattr(worker, "each", lambda _function, items, **_: dict.fromkeys(items).items())
    assert scan(music, tmp_path / "known", rules=Rules(part_size=3)) == before
    assert len(known_partitions(tmp_path / "known")) > 2


def test_changes_are_told_per_partition(
    music: Path, tmp_path: Path, write: Callable[..., Path]
) -> None:
    scan(music, tmp_path / "known")
    assert changes(music, tmp_path / "known").changed == []
    write("tones/new.wav", tone(500))
    write("tones/0.wav", tone(501, 1.0))
    (music / "tones" / "1.wav").unlink()
    seen = changes(music, tmp_path / "known")
    assert seen.changed == ["tones"]
    assert seen.describe("tones") == "1 added, 1 changed, 1 deleted"


def test_a_file_that_could_not_be_read_is_read_at_the_next_scan(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(audio, "examine", unreadable)
        files = scan(music, tmp_path / "known")
    assert {file.error for file in files} == {"cannot be read: Permission denied"}
    assert changes(music, tmp_path / "known").changed == [], "it is not asked for again and again"
    assert not any(file.error for file in scan(music, tmp_path / "known"))
