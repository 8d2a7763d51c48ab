import os
import shutil
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicflow.library import (
    Library,
    LibraryChangingError,
    LibraryError,
    Rules,
    changes,
    find,
    join,
    load_files,
    scan,
    scan_partitions,
    skipped_line,
    split,
)
from musicflow.library.audio_file import AudioFile
from musicflow.library.files import _save
from musicflow.library.partitions import chooser, top_folder
from musicflow_tests.conftest import noise, tone

Write = Callable[..., Path]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root: Path, *ignore: str, music: str = "") -> list[str]:
    return [file.path for file in find(root, ignore=ignore, music=music)]


def codes(files: list[AudioFile]) -> dict[str, str]:
    return {file.path: file.code for file in files if file.code}


def failing(folder: Path, error: OSError) -> Callable[..., Any]:
    def scandir(path: Any) -> Any:
        if Path(path) == folder:
            raise error
        return real(path)

    real = os.scandir
    return scandir


def test_what_is_no_regular_file_is_a_row_and_is_never_opened(music: Path, tmp_path: Path) -> None:
    os.mkfifo(music / "tones" / "pipe.wav")
    (music / "tones" / "device.wav").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(music / "tones" / "s.wav"))
        files = scan(music, tmp_path / "known")
    assert codes(files) == dict.fromkeys(
        ["tones/device.wav", "tones/pipe.wav", "tones/s.wav"], "not-a-file"
    )
    problems = join(music, files).problems
    assert {(p.severity, p.code) for p in problems} == {("error", "not-a-file")}


def test_a_link_to_a_file_is_followed_and_one_to_nothing_is_unreadable(
    music: Path, tmp_path: Path
) -> None:
    (music / "tones" / "link.wav").symlink_to(music / "tones" / "0.wav")
    (music / "tones" / "nowhere.wav").symlink_to(music / "nothing.wav")
    (music / "tones" / "itself.wav").symlink_to(music / "tones" / "itself.wav")
    files = scan(music, tmp_path / "known")
    unreadable = dict.fromkeys(["tones/itself.wav", "tones/nowhere.wav"], "unreadable")
    assert codes(files) == unreadable
    by_path = {file.path: file for file in files}
    assert by_path["tones/link.wav"].content_hash == by_path["tones/0.wav"].content_hash


def test_a_folder_that_cannot_be_listed_is_one_row(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = PermissionError(13, "Permission denied")
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing(music / "tones", error))
        files = scan(music, tmp_path / "known")
        assert scan_partitions(music, tmp_path / "apart", ["tones"])["tones"] == files[-1:]
    assert codes(files) == {"tones/": "folder-unreadable"}
    library = join(music, files)
    assert len(library.tracks) == 6
    [problem] = library.problems
    assert (problem.subject, problem.reason) == ("tones/", "cannot be listed: Permission denied")
    assert changes(music, tmp_path / "known").changed == ["tones"]
    assert not codes(scan(music, tmp_path / "known"))


def test_labels_do_not_speak_of_a_folder_that_cannot_be_listed(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("mp3/rock/1.wav", noise(1))
    root = touch(tmp_path / "music", "mp3/jazz/2.wav", "mp3/rock/1.mid")
    (root / "labels.json").write_text('{"tracks": {"1": {"genre": {"S": "latin"}}}}')
    error = PermissionError(13, "Permission denied")
    monkeypatch.setattr(os, "scandir", failing(root / "mp3" / "jazz", error))
    library = join(root, scan(root, tmp_path / "known"))
    assert [track.genre for track in library.tracks] == ["latin"]
    assert [problem.code for problem in library.problems] == ["folder-unreadable"]


def test_a_root_that_cannot_be_listed_and_a_folder_that_vanishes_end_the_scan(
    music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing(music, PermissionError(13, "Permission denied")))
        with pytest.raises(LibraryError, match="music cannot be listed: Permission denied"):
            find(music)
    monkeypatch.setattr(os, "scandir", failing(music / "tones", FileNotFoundError(2, "gone")))
    with pytest.raises(LibraryChangingError, match="tones vanished"):
        find(music)


def test_a_linked_folder_outside_the_library_is_followed(tmp_path: Path) -> None:
    root = touch(tmp_path / "music", "a.wav")
    touch(tmp_path / "else", "b.wav", "deep/c.wav")
    (root / "link").symlink_to(tmp_path / "else")
    assert found(root) == ["a.wav", "link/b.wav", "link/deep/c.wav"]
    linked = tmp_path / "linked"
    linked.symlink_to(root)
    assert found(linked) == found(root)


def test_links_in_circles_end(tmp_path: Path) -> None:
    root = touch(tmp_path / "top" / "music", "a/1.wav", "b/2.wav")
    touch(tmp_path / "else", "3.wav")
    (root / "itself").symlink_to(root / "itself")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "beside").symlink_to(root / "b")
    (root / "b" / "around").symlink_to(tmp_path)
    (root / "b" / "out").symlink_to(tmp_path / "else")
    (tmp_path / "else" / "back").symlink_to(root)
    (tmp_path / "else" / "same").symlink_to(tmp_path / "else")
    assert found(root) == ["a/1.wav", "b/2.wav", "b/out/3.wav"]


def test_a_folder_outside_is_read_once_in_each_top_folder(tmp_path: Path) -> None:
    root = touch(tmp_path / "music", "a/1.wav", "b/2.wav", "mp3/c/4.wav", "mp3/d/5.wav")
    touch(tmp_path / "else", "3.wav", "deep/6.wav")
    for place in ("a/x", "a/y", "b/x", "mp3/c/x", "mp3/d/x"):
        (root / place).symlink_to(tmp_path / "else")
    (root / "a" / "w").symlink_to(tmp_path / "else" / "deep")
    assert found(root, music="mp3") == [
        "a/1.wav", "a/w/6.wav", "a/x/3.wav",
        "b/2.wav", "b/x/3.wav", "b/x/deep/6.wav",
        "mp3/c/4.wav", "mp3/c/x/3.wav", "mp3/c/x/deep/6.wav",
        "mp3/d/5.wav", "mp3/d/x/3.wav", "mp3/d/x/deep/6.wav",
    ]  # fmt: skip


folders = st.sampled_from(["a", "b", "mp3", "mp3/a", "mp3/c", "a/a", "a/b", "b/mp3/x"])
places = st.one_of(folders.map("music/{}".format), folders.map("else/{}".format))
targets = st.one_of(places, st.sampled_from(["music", "else", "."]))
trees = st.tuples(
    st.lists(st.tuples(places, st.sampled_from(["1.wav", "2.wav", "3.mid"])), max_size=8),
    st.lists(st.tuples(places, st.sampled_from(["k", "l"]), targets), max_size=6),
)


@settings(max_examples=60, deadline=None)
@given(trees, st.integers(1, 3), st.sampled_from(["", "mp3", "a/a", "b"]))
def test_partitions_read_one_by_one_are_the_whole_library_whatever_the_links(
    tmp_path_factory: pytest.TempPathFactory, tree: Any, size: int, music: str
) -> None:
    base = tmp_path_factory.mktemp("tree")
    root = touch(base / "music", "1.wav")
    for folder, name in tree[0]:
        touch(base, f"{folder}/{name}")
    for folder, name, target in tree[1]:
        touch(base, f"{folder}/0.wav")
        (base / target).mkdir(parents=True, exist_ok=True)
        if not (base / folder / name).is_symlink():
            (base / folder / name).symlink_to(base / target)
    whole = find(root, music=music)
    for key, files in split(whole, size, music).items():
        choose = chooser([key], music)
        assert [f for f in find(root, [key], music=music) if choose(f.path) == key] == files
    reads = Counter(
        (top_folder(folder, music) if folder else "", (root / file.path).resolve())
        for file in whole
        for folder in [file.path.rpartition("/")[0]]
    )
    assert set(reads.values()) == {1}, "a file is read twice in a top folder"
    shutil.rmtree(base)


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "#recycle", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information",
     "lost+found", "Thumbs", "__MACOSX", ".AppleDouble", ".Trash-1000"],
)  # fmt: skip
def test_folders_that_systems_leave_are_no_music(tmp_path: Path, name: str) -> None:
    root = touch(tmp_path / "music", "a.wav", "._a.wav", f"{name}/b.wav", f"x/{name}/c.mid")
    assert found(root) == ["a.wav"]


def test_patterns_leave_out_files_and_folders_as_if_they_were_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = touch(
        tmp_path / "music",
        "Books/1.mp3", "a/Books/2.mp3", "a/mix.mp3", "a/song.mp3", "b/mix.mp3", "b/song.mid",
    )  # fmt: skip
    everything = found(root)
    assert found(root, "Books/", "mix.mp3", "*.mid") == ["a/song.mp3"]
    assert found(root, "/Books") == [path for path in everything if path != "Books/1.mp3"]
    assert found(root, "mix.*", "!b/mix.*") == [p for p in everything if p != "a/mix.mp3"]
    monkeypatch.setattr(os, "scandir", failing(root / "Books", PermissionError(13, "denied")))
    assert not codes(find(root, ignore=["Books", "*.mid"]))
    with pytest.raises(LibraryError, match="no audio files lie below"):
        find(root, ignore=["*"])


def test_an_ignore_file_holds_below_its_folder_and_the_innermost_decides(tmp_path: Path) -> None:
    root = touch(tmp_path / "music", "a/long/1.mp3", "a/2.mp3", "long/3.mp3", "b/x/keep.mp3")
    touch(tmp_path / "else", "long/4.mp3", "5.mp3")
    (root / "b" / "link").symlink_to(tmp_path / "else")
    (root / ".musicflowignore").write_text("# mixes\n\nkeep.mp3\n/long\n")
    (root / "a" / ".musicflowignore").write_text("/long/\n")
    (root / "b" / ".musicflowignore").write_text("!keep.mp3\n")
    (tmp_path / "else" / ".musicflowignore").write_text("long\n")
    assert found(root) == ["a/2.mp3", "b/link/5.mp3", "b/x/keep.mp3"]
    assert [f.path for f in find(root, ["b"]) if f.path.startswith("b/")] == found(root)[1:]


@pytest.mark.parametrize("pattern", ["!", "bad\\", "[z-a]"])
def test_a_pattern_that_is_not_valid_is_named_with_its_place(tmp_path: Path, pattern: str) -> None:
    root = touch(tmp_path / "music", "a.wav")
    with pytest.raises(LibraryError, match="the setting ignore") as caught:
        find(root, ignore=["ok", pattern])
    assert repr(pattern) in str(caught.value)
    (root / ".musicflowignore").write_text(f"ok\n{pattern}\n")
    with pytest.raises(LibraryError, match=r"\.musicflowignore") as caught:
        find(root)
    assert repr(pattern) in str(caught.value)


def test_other_kinds_are_counted_and_are_no_problem(music: Path, tmp_path: Path) -> None:
    touch(music, *(f"tones/{number}.mid" for number in range(3)), "noises/x.MID", "games/a.sid")
    touch(music, "tones/cover.jpg", "tones/list.m3u", "tones/a.cue", "tones/README", "tones/x.lrc")
    touch(music, "tones/Vol. 1 of many")
    files = scan(music, tmp_path / "known")
    library = join(music, files)
    assert library.skipped == {".mid": 4, ".sid": 1}
    assert skipped_line(library.skipped) == "5 files of kinds that are not read: 4 .mid, 1 .sid"
    assert library.problems == ()
    assert len(library.tracks) == 12
    library.save(tmp_path / "known")
    assert Library.load(tmp_path / "known") == library


def test_a_folder_of_other_kinds_alone_is_no_library(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="no audio files lie below"):
        find(touch(tmp_path / "music", "a.mid", "b/c.xyz"))


def test_a_file_of_no_use_is_judged_again_by_a_new_version(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (music / "tones" / "text.mp3").write_text("not music " * 500)
    [bad] = [file for file in scan(music, tmp_path / "known") if file.error]
    assert bad.code
    opened: list[str] = []

    def examine(_root: Path, _limit: float, file: AudioFile) -> AudioFile:
        opened.append(file.path)
        return file

    monkeypatch.setattr("musicflow.library.files._examine", examine)
    scan(music, tmp_path / "known")
    assert opened == []
    rows = [
        AudioFile(**vars(file) | {"version": 0}) if file.error else file
        for file in load_files(tmp_path / "known", ["tones"])
    ]
    _save(tmp_path / "known", "tones", rows)
    scan(music, tmp_path / "known")
    assert opened == ["tones/text.mp3"]


def test_ignored_files_are_forgotten(music: Path, tmp_path: Path, write: Write) -> None:
    write("books/long.wav", tone(440))
    scan(music, tmp_path / "known")
    assert changes(music, tmp_path / "known", Rules(ignore=("books",))).gone == ["books"]
    assert len(scan(music, tmp_path / "known", rules=Rules(ignore=("books",)))) == 12
    assert "books" not in changes(music, tmp_path / "known", Rules(ignore=("books",))).known
