"""The data sets and libraries of other programs, each in its own shape."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musicflow.library import Library, join, labels_state, layouts, note_lines, scan
from musicflow_tests.conftest import noise, tone

pytestmark = pytest.mark.usefixtures("in_this_process")

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


def test_labels_that_are_not_used_are_told(tmp_path: Path, write: Write) -> None:
    root = write("songs/rock/1.wav", tone(440)).parents[2]
    (root / "labels.json").write_text('{"tracks": {}}')
    library = read(root, "folders")
    assert codes(library) == {"labels.json": "labels-not-used"}
    [problem] = library.problems
    assert problem.severity == "warning"
    assert "not used, because the library is read as folders" in problem.reason
