"""Cuts of a library on disk, found once, and told by the commands."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from musicflow.library import Library, read_library
from musicflow.library.recordings import Verdicts
from musicflow.pipeline import cuts
from musicflow.pipeline.cuts import find_cuts
from musicflow.pipeline.pace import LANDMARKS, Pace
from musicflow.settings import Settings, remember
from musicflow_tests.cli.conftest import ingest
from musicflow_tests.conftest import Run
from musicflow_tests.evaluation.test_cuts import RATE, part, piece

Write = Callable[..., Path]


def scanned(home: Path, music: Path) -> tuple[Library, Settings]:
    settings = Settings(home=home, library=music, embedders=("mfcc",))
    library = read_library(settings)
    library.save(settings.paths.library)
    remember(settings.paths, library=music, embedders=("mfcc",))
    return library, settings


def names_of(verdicts: Verdicts, library: Library) -> set[tuple[str, ...]]:
    names = {track.content_hash: track.track_id for track in library.tracks}
    return {tuple(sorted((names[a], names[b]))) for a, b in verdicts.cuts}


def test_cuts_are_found_once_and_a_new_track_is_compared_with_the_others(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = piece(1, 15.0)
    write("song.wav", song, RATE)
    write("cut.wav", part(song, 3.3, 6.0), RATE)
    write("other.wav", piece(2, 9.0), RATE)
    library, settings = scanned(tmp_path / "home", tmp_path / "music")
    assert cuts.without_landmarks(library, settings) == 3
    assert cuts.without_landmarks(library, settings.model_copy(update={"cuts": False})) == 0
    find_cuts(library, Verdicts(), settings)
    assert cuts.without_landmarks(library, settings) == 0
    assert (Pace(settings.paths.pace).estimate(LANDMARKS, 3) or 0) > 0
    verdicts = Verdicts.load(settings.paths.recordings)
    assert names_of(verdicts, library) == {("cut.wav", "song.wav")}

    write("new.wav", part(song, 5.1, 7.0), RATE)
    library, settings = scanned(tmp_path / "home", tmp_path / "music")
    taken, looked = [], []
    take, look = cuts.guarded.landmarks_of, cuts.candidates
    monkeypatch.setattr(
        cuts.guarded, "landmarks_of", lambda paths, **how: taken.extend(paths) or take(paths, **how)
    )
    monkeypatch.setattr(
        cuts, "candidates", lambda store, new, known: looked.extend(new) or look(store, new, known)
    )
    for _ in range(2):
        find_cuts(library, verdicts, settings)
    [new] = [track for track in library.tracks if track.track_id == "new.wav"]
    assert ([path.name for path in taken], looked) == (["new.wav"], [new.content_hash])
    found = names_of(Verdicts.load(settings.paths.recordings), library)
    assert found >= {("cut.wav", "song.wav"), ("new.wav", "song.wav")}
    assert not any("other.wav" in pair for pair in found)


def test_commands_tell_cuts_and_what_two_libraries_have_in_common(
    run: Run, write: Write, tmp_path: Path
) -> None:
    song = piece(3, 15.0)
    write("song.wav", song, RATE)
    write("cut.wav", part(song, 3.3, 6.0), RATE)
    write("../else/ringtone.wav", part(song, 7.7, 6.0), RATE)
    write("../else/other.wav", piece(4, 9.0), RATE)
    home, other = tmp_path / "home", tmp_path / "other"
    ingest(tmp_path / "music", home)
    library, settings = scanned(home, tmp_path / "music")
    scanned(other, tmp_path / "else")
    find_cuts(library, Verdicts(), settings)

    def told(*arguments: str) -> list:
        code, printed, errors = run(*arguments, "--json")
        assert code == 0, errors
        return json.loads(printed)

    [group] = told("duplicates", "--home", str(home))
    [cut] = group["cuts"]
    assert (cut["track_id"], cut["of"], cut["from_s"]) == ("cut.wav", "song.wav", 0.0)
    assert cut["of_s"] == pytest.approx(3.3, abs=0.05)
    assert told("library", "check", str(tmp_path / "music"), "--home", str(home))["cuts"] == [cut]
    found = told("duplicates", "--home", str(home), "--with", str(other))
    assert [(one["mine"], one["theirs"]) for one in found] == [("song.wav", "ringtone.wav")]
    assert not (other / "landmarks").exists()
