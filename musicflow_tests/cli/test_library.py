"""`musicflow library`, on small libraries made up here."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from musicflow.library import Library
from musicflow.settings import Home
from musicflow_tests.cli.conftest import ingest
from musicflow_tests.conftest import Run, tone

Write = Callable[..., Path]


@pytest.fixture
def odd(music: Path, write: Write) -> Path:
    """A library with a copy, two genres that look alike, a broken file and one not read."""
    write("Tones!/a.wav", tone(700))
    names = sorted(path.relative_to(music).as_posix() for path in music.rglob("*.wav"))
    rows = [f"{name},{name.partition('/')[0]}\n" for name in [*names, "tones/copy.wav"]]
    (music / "manifest.csv").write_text("path,genre\n" + "".join(rows))
    shutil.copyfile(music / "tones/0.wav", music / "tones/copy.wav")
    (music / "tones/broken.mp3").write_text("not music " * 500)
    (music / "tones/score.mscz").touch()
    return music


def test_a_check_says_what_a_run_would_find(run: Run, odd: Path) -> None:
    code, printed, errors = run("library", "check", str(odd), "--embedder", "mfcc", "--json")
    assert code == 0, errors
    found = json.loads(printed)
    assert (found["root"], found["layout"]) == (str(odd), "manifest")
    summary = found["summary"]
    assert (summary["tracks"], summary["formats"]) == (14, {".wav": 14})
    assert summary["genres"] == {"tones": 7, "noises": 6, "Tones!": 1}
    assert summary["alike"] == [["tones", "Tones!"]]
    assert summary["copies"] == [["tones/0.wav", "tones/copy.wav"]]
    assert (summary["broken"], summary["skipped"]) == ({"not-audio": 1}, {".mscz": 1})
    assert (summary["labelled"]["genre"], summary["labelled"]["artist"]) == (14, 0)
    assert [problem["subject"] for problem in found["problems"]] == ["tones/broken.mp3"]
    [cost] = found["costs"]
    assert (cost["embedder"], cost["tracks"], cost["seconds"]) == ("mfcc", 13, None)
    assert cost["disk_mb"] > 0


def test_a_check_is_said_in_words(run: Run, odd: Path) -> None:
    code, printed, errors = run("library", "check", str(odd), "--embedder", "mfcc")
    assert code == 0, errors
    for words in (
        "read as manifest (manifest.csv lists the tracks); genres: from the layout's own labels",
        "14 tracks, 0.0 hours: 14 .wav",
        "These genres look alike: tones, Tones!",
        "2 tracks are copies of one another, such as tones/0.wav, tones/copy.wav",
        "1 file of kinds that are not read: 1 .mscz",
        "tones/broken.mp3",
        "not measured",
    ):
        assert words in printed


def test_a_check_tells_the_time_at_the_speed_measured_before(
    run: Run, music: Path, home: Home, write: Write
) -> None:
    ingest(music, home.root)
    for number in range(3):
        write(f"tones/new {number}.wav", tone(900 + number))
    _, printed, _ = run("library", "check", str(music), "--json")
    [cost] = json.loads(printed)["costs"]
    assert cost["tracks"] == 3
    assert cost["seconds"] > 0


def test_a_check_of_another_library_leaves_the_home_as_it_is(
    run: Run, music: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSICFLOW_CACHE", str(tmp_path / "cache"))
    ingest(music, home.root)
    Library("music", str(music), "folders", (), ()).save(home.library)
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    shutil.copytree(music / "tones", tmp_path / "other" / "tones")
    code, printed, _ = run("library", "check", str(tmp_path / "other"), "--json")
    assert code == 0
    assert json.loads(printed)["summary"]["tracks"] == 6
    assert {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()} == before


def test_a_check_of_a_folder_without_music_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "music.pk3").touch()
    code, _, errors = run("library", "check", str(tmp_path))
    assert code == 2
    assert "no audio files lie below" in errors
    assert "It holds 1 file of kinds that are not read: 1 .pk3" in errors


def test_nothing_is_fetched_before_a_person_agrees(run: Run, tmp_path: Path) -> None:
    code, printed, errors = run("library", "fetch", "gtzan", str(tmp_path / "gtzan"))
    assert code == 1
    assert "gtzan-dataset-music-genre-classification (1300 MB)" in printed
    assert "nothing was fetched: add --yes to agree" in errors
    assert not (tmp_path / "gtzan").exists()


def test_a_check_says_what_makes_a_comparison_mean_little(run: Run, music: Path) -> None:
    code, printed, _ = run("library", "check", str(music / "tones"), "--embedder", "mfcc", "--json")
    assert code == 0
    assert [doubt["code"] for doubt in json.loads(printed)["doubts"]] == ["few-genres"]
    _, printed, _ = run("library", "check", str(music / "tones"), "--embedder", "mfcc")
    assert "is music the library?" in printed
