"""Cuts among planted sounds: what is one recording is found, and nothing else is."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from musicflow.audio import decode
from musicflow.audio.landmarks import RATE as LOW
from musicflow.audio.landmarks import landmarks
from musicflow.evaluation.cuts import candidates, hear
from musicflow.evaluation.duplicates import cuts, recordings
from musicflow.evaluation.protocol import Exclusion
from musicflow.library import Track
from musicflow.library.landmarks import LandmarkStore
from musicflow.library.recordings import Cut, Verdicts

RATE = 8000
SCALE = (0, 2, 4, 5, 7, 9, 11)


def piece(seed: int, seconds: float = 20.0, take: int = 0) -> np.ndarray:
    """A piece for one instrument; another take has the same notes, played at other moments."""
    notes, hand = np.random.default_rng(seed), np.random.default_rng(1000 + take)
    sound = np.zeros(int((seconds + 4) * RATE))
    times, key = np.arange(2 * RATE) / RATE, notes.integers(45, 60)
    at = 0.0
    while at < seconds:
        for step in notes.choice(15, 2, replace=False):
            octave, degree = divmod(step, 7)
            hertz = 440 * 2 ** ((key + SCALE[degree] + 12 * octave - 69) / 12)
            note = sum(
                0.6**h * np.sin(2 * np.pi * hertz * h * times) * np.exp(-times * (1.2 + 0.4 * h))
                for h in range(1, 6)
            )
            begin = int((at + take * hand.uniform(0, 0.04)) * RATE)
            sound[begin : begin + len(note)] += 0.15 * note * notes.uniform(0.6, 1)
        at += notes.uniform(0.35, 0.6) * notes.choice([0.5, 1, 2])
    return 0.7 * sound[: int(seconds * RATE)] / np.abs(sound).max()


def tone(seconds: float, chord: tuple[float, ...] = (220.0, 277.2, 329.6)) -> np.ndarray:
    times = np.arange(int(seconds * RATE)) / RATE
    return sum(0.2 * np.sin(2 * np.pi * hertz * times) for hertz in chord)  # type: ignore[return-value]


def noise(seed: int, seconds: float, level: float = 0.2) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def part(sound: np.ndarray, start_s: float, seconds: float) -> np.ndarray:
    return sound[int(start_s * RATE) :][: int(seconds * RATE)]


def write(path: Path, sound: np.ndarray) -> None:
    if path.suffix == ".wav":
        soundfile.write(path, sound, RATE)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44_100, layout="mono")
        stream.bit_rate = 64_000
        samples = soxr.resample(sound, RATE, 44_100)[None].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        frame.sample_rate = 44_100
        for each in (frame, None):
            container.mux(stream.encode(each))


def sounds() -> Iterator[tuple[str, np.ndarray]]:
    song, loud = piece(100, 180.0), np.random.default_rng(0)
    yield "song.wav", song
    yield "ringtone.wav", part(song, 71.137, 8.0)
    yield "encoded.mp3", 0.5 * part(song, 20.377, 15.0)
    yield "faster.wav", soxr.resample(part(song, 120.0, 25.0), RATE * 1.01, RATE)
    yield "whole.mp3", 0.5 * song
    first, second = piece(101, 40.0), piece(102, 40.0)
    yield "first.wav", first
    yield "second.wav", second
    yield "mix.wav", np.concatenate([part(first, 0.0, 38.3), part(second, 1.7, 38.3)])
    yield "take 1.wav", piece(103, take=1)
    yield "take 2.wav", piece(103, take=2)
    for number in range(24):
        yield f"piece {number:02}.wav", piece(number)
    yield "tone 1.wav", tone(6.0)
    yield "tone 2.wav", tone(9.0)
    yield "tone 3.mp3", tone(7.0)
    yield "noise 1.wav", noise(1, 10.0)
    yield "noise 2.wav", noise(2, 10.0)
    yield "hush 1.wav", np.concatenate([noise(3, 5.0, 1e-4), [0.2 * loud.random()]])
    yield "hush 2.wav", np.concatenate([noise(4, 5.0, 1e-4), [0.2 * loud.random()]])


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Track]:
    folder, found = tmp_path_factory.mktemp("sounds"), {}
    for name, sound in sounds():
        write(folder / name, sound)
        seconds = len(sound) / RATE
        found[name] = Track(name, str(folder / name), name, seconds, RATE)
    return found


@pytest.fixture(scope="module")
def store(tracks: dict[str, Track], tmp_path_factory: pytest.TempPathFactory) -> LandmarkStore:
    kept = LandmarkStore(tmp_path_factory.mktemp("landmarks"))
    some = {name: landmarks([decode(Path(track.path), LOW)]) for name, track in tracks.items()}
    kept.add(dict(list(some.items())[:10]))
    kept.add(dict(list(some.items())[10:]))
    return kept


@pytest.fixture(scope="module")
def found(tracks: dict[str, Track], store: LandmarkStore) -> dict[tuple[str, str], Cut]:
    pairs = list(candidates(store, tracks, tracks))
    kept = {}
    for one, cut in hear(pairs, tracks):
        if cut is not None:
            kept[one.a, one.b] = cut if one.a < one.b else cut.turned
    return {pair if pair[0] < pair[1] else pair[::-1]: cut for pair, cut in kept.items()}


SONG = ("encoded.mp3", "faster.wav", "ringtone.wav", "song.wav", "whole.mp3")


def test_what_is_one_recording_is_found_and_nothing_else(
    found: dict[tuple[str, str], Cut],
) -> None:
    of_song = {(cut, whole) for whole in SONG[3:] for cut in SONG if cut < whole}
    of_mix = {("first.wav", "mix.wav"), ("mix.wav", "second.wav")}
    assert found.keys() == of_song | of_mix


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("ringtone.wav", "song.wav"), Cut(0.0, 71.137, 8.0)),
        (("encoded.mp3", "song.wav"), Cut(0.0, 20.377, 15.0)),
        (("faster.wav", "song.wav"), Cut(0.0, 120.0, 25.0 / 1.01, 1.01)),
        (("song.wav", "whole.mp3"), Cut(0.0, 0.0, 180.0)),
        (("first.wav", "mix.wav"), Cut(0.0, 0.0, 38.3)),
        (("mix.wav", "second.wav"), Cut(38.3, 1.7, 38.3)),
    ],
)
def test_a_cut_tells_where_the_stretch_lies_in_each(
    found: dict[tuple[str, str], Cut], pair: tuple[str, str], expected: Cut
) -> None:
    cut = found[pair]
    assert cut.a_s == pytest.approx(expected.a_s, abs=3.5)
    assert cut.b_s - cut.a_s * cut.speed == pytest.approx(
        expected.b_s - expected.a_s * expected.speed, abs=0.1
    )
    assert cut.seconds == pytest.approx(expected.seconds, abs=3.5)
    assert cut.speed == pytest.approx(expected.speed, abs=2e-3)


def test_a_new_content_is_compared_with_all_others_and_those_with_none(
    tracks: dict[str, Track], store: LandmarkStore
) -> None:
    pairs = {frozenset((one.a, one.b)) for one in candidates(store, ["ringtone.wav"], tracks)}
    assert frozenset(("ringtone.wav", "song.wav")) in pairs
    assert all("ringtone.wav" in pair for pair in pairs)


def test_landmarks_do_not_depend_on_the_blocks() -> None:
    sound = piece(5, 150.0)[::2].astype(np.float32)
    whole, blocks = landmarks([sound]), landmarks(np.array_split(sound, 37))
    assert len(whole.keys) > 1000
    np.testing.assert_array_equal(whole.keys, blocks.keys)
    np.testing.assert_array_equal(whole.frames, blocks.frames)


def test_a_loop_has_no_more_landmarks_however_long_it_goes_on() -> None:
    loop = piece(5, 1.0)[::2].astype(np.float32)
    short, long = (landmarks([np.tile(loop, count)]) for count in (200, 400))
    assert np.unique(long.keys, return_counts=True)[1].max() == 64
    assert len(short.keys) == len(long.keys)
    assert long.frames.max() < 400 * LOW / 64


def test_landmarks_survive_on_disk_in_whatever_files(tmp_path: Path) -> None:
    kept, one = LandmarkStore(tmp_path), landmarks([piece(6)[::2].astype(np.float32)])
    nothing = landmarks([])
    assert kept.known() == kept.compared == set()
    for number in range(40):
        kept.add({f"{number}": one if number % 2 else nothing})
    assert kept.known() == {f"{number}" for number in range(40)}
    assert len(list(tmp_path.rglob("*.parquet"))) < 40
    [shelf] = kept.shelves(["3", "4", "7"], 10**9)
    ends = dict(zip(shelf.contents, np.diff(shelf.ends, prepend=0).tolist(), strict=True))
    assert ends == {"3": len(one.keys), "4": 0, "7": len(one.keys)}
    np.testing.assert_array_equal(shelf.keys, np.tile(one.keys, 2))
    np.testing.assert_array_equal(shelf.frames, np.tile(one.frames, 2))


def test_several_processes_keep_landmarks_in_one_folder(tmp_path: Path) -> None:
    one = landmarks([piece(6)[::2].astype(np.float32)])

    def keep(name: str) -> None:
        store = LandmarkStore(tmp_path)
        for number in range(60):
            store.add({f"{name}{number}": one})
            assert f"{name}{number}" in store.known()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(keep, "abc"))
    assert len(LandmarkStore(tmp_path).known()) == 180


def test_cuts_of_one_recording_answer_each_other_neither_directly_nor_through_it() -> None:
    tracks = [Track(f"{n}", f"{n}.wav", f"{n}", 5.0 + 9 * (n == 0), RATE) for n in range(5)]
    verdicts = Verdicts()
    verdicts.add_cut("1", "0", Cut(0.0, 1.0, 5.0))
    verdicts.add_cut("0", "2", Cut(8.0, 0.0, 5.0))
    first = recordings(tracks, [], verdicts=verdicts)
    assert first.tolist() == [0, 1, 2, 3, 4]
    excluded = Exclusion(5, cuts(tracks, first, verdicts)).of(np.arange(5))
    together = np.zeros((5, 5), bool)
    together[:3, :3] = True
    np.testing.assert_array_equal(excluded, together | np.eye(5, dtype=bool))


def test_a_cut_that_is_the_whole_recording_is_a_duplicate() -> None:
    tracks = [Track(f"{n}", f"{n}.wav", f"{n}", 5.0, RATE) for n in range(3)]
    verdicts = Verdicts(cuts={("0", "2"): Cut(0.0, 0.1, 4.9), ("0", "1"): Cut(2.0, 0.0, 3.0)})
    assert recordings(tracks, [], verdicts=verdicts).tolist() == [0, 1, 0]


def test_verdicts_keep_cuts(tmp_path: Path) -> None:
    verdicts = Verdicts()
    verdicts.add_cut("b", "a", Cut(1.0, 3.0, 10.0, 0.5))
    verdicts.save(tmp_path / "recordings.json")
    loaded = Verdicts.load(tmp_path / "recordings.json")
    assert loaded.get("a", "b") is True
    assert loaded.cuts == {("a", "b"): Cut(3.0, 1.0, 5.0, 2.0)}
