from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soxr

from musicflow.evaluation import duplicates
from musicflow.evaluation.duplicates import recordings
from musicflow.evaluation.space import Neighbours
from musicflow.library import Track
from musicflow.library.recordings import Verdicts
from musicflow_tests.conftest import RATE, noise, tone
from musicflow_tests.evaluation.made_up import track


def at(path: Path, number: int, seconds: float = 3.0) -> Track:
    return Track(f"{number:04}", str(path), f"hash {number}", seconds, RATE)


def all_near(count: int) -> Neighbours:
    rows = np.array([[other for other in range(count) if other != row] for row in range(count)])
    return Neighbours(rows, np.full(rows.shape, 0.99, np.float32))


def encode(samples: np.ndarray, path: Path, codec: str, rate: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = rate
        for part in (frame, None):
            container.mux(stream.encode(part))


@pytest.fixture
def melody() -> np.ndarray:
    random = np.random.default_rng(3)
    return np.concatenate([tone(h, 0.2, 44_100) for h in random.uniform(200, 1500, 15)])


def test_equal_bytes_are_one_recording_without_listening() -> None:
    tracks = [track(0), track(1), track(2, content_hash="hash 0", duration_s=0.0)]
    assert recordings(tracks, [], same=lambda _a, _b: False).tolist() == [0, 1, 0]


def test_an_encoding_of_a_recording_is_that_recording_and_another_song_is_not(
    write: Callable[..., Path], melody: np.ndarray
) -> None:
    paths = [write("a.wav", melody, 44_100)]
    paths += [paths[0].with_name("b.mp3"), paths[0].with_name("c.opus")]
    encode(0.5 * melody, paths[1], "libmp3lame", 44_100)
    encode(soxr.resample(melody, 44_100, 48_000), paths[2], "libopus", 48_000)
    paths += [write("d.wav", melody[::-1], 44_100), write("e.wav", noise(0, 3.0))]
    tracks = [at(path, number) for number, path in enumerate(paths)]
    assert recordings(tracks, [all_near(5)]).tolist() == [0, 0, 0, 3, 4]


def test_tracks_that_lie_apart_or_differ_in_length_are_not_listened_to() -> None:
    tracks = [track(0, duration_s=5.0), track(1, duration_s=5.5), track(2, duration_s=9.0)]
    heard = []

    def same(a: Track, b: Track) -> bool:
        heard.append((a.track_id, b.track_id))
        return True

    assert recordings(tracks, [all_near(3)], same).tolist() == [0, 0, 2]
    assert heard == [("0000", "0001")]
    apart = Neighbours(all_near(3).rows, np.full((3, 2), 0.9, np.float32))
    assert recordings(tracks, [apart], same).tolist() == [0, 1, 2]


def test_with_constant_vectors_no_more_is_listened_to_than_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 7)
    tracks = [track(number, duration_s=5.0) for number in range(30)]
    heard = []
    recordings(tracks, [all_near(30)], lambda a, b: heard.append((a, b)) or False)  # type: ignore[func-returns-value]
    assert len(heard) == 7


def test_a_file_that_is_gone_is_no_copy(tmp_path: Path) -> None:
    tracks = [at(tmp_path / "gone.wav", number) for number in range(2)]
    assert recordings(tracks, [all_near(2)]).tolist() == [0, 1]


def test_what_was_compared_by_sound_is_not_compared_again(
    write: Callable[..., Path], melody: np.ndarray
) -> None:
    samples = (melody, 0.5 * melody, melody[::-1])
    paths = [write(f"{number}.wav", sound, 44_100) for number, sound in enumerate(samples)]
    tracks = [at(path, number) for number, path in enumerate(paths)]
    verdicts = Verdicts()
    assert recordings(tracks, [all_near(3)], verdicts=verdicts).tolist() == [0, 0, 2]
    pairs = [("hash 0", "hash 1", True), ("hash 0", "hash 2", False), ("hash 1", "hash 2", False)]
    assert sorted(verdicts) == pairs
    for path in paths:
        path.unlink()
    assert recordings(tracks, [all_near(3)], verdicts=verdicts).tolist() == [0, 0, 2]


def test_a_file_that_is_gone_brings_no_verdict(tmp_path: Path) -> None:
    verdicts = Verdicts()
    tracks = [at(tmp_path / "gone.wav", number) for number in range(2)]
    recordings(tracks, [all_near(2)], verdicts=verdicts)
    assert len(verdicts) == 0
