import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musicflow import worker
from musicflow.embedders import EmbedderSpec, mfcc, spec_of
from musicflow.library import LibraryError, Track
from musicflow.pipeline import Embedded, isolate
from musicflow.pipeline import estimate as module
from musicflow.pipeline.estimate import Estimate, estimate, measure
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore
from musicflow_tests.conftest import noise


def test_the_time_of_all_files_follows_from_those_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the files take 1 s and half 3 s; the pass overlapped decoding, and took 0.8 of it."""
    rows = {
        str(n): Embedding(
            str(n), np.ones(60), audio_s=100.0,
            decode_s=0.5, embed_s=0.5 + n % 2 * 2, wall_s=1.6, peak_rss_mb=500.0, device="cpu",
        )
        for n in range(20)
    }  # fmt: skip

    def embed_tracks(*_: object, **__: object) -> Embedded:
        return Embedded(20, 0, (), rows, lambda _: rows)

    monkeypatch.setattr(module, "embed_tracks", embed_tracks)
    tracks = [Track(str(n), "", str(n), 0.0, 0) for n in range(20)]
    found = measure(mfcc.SPEC, tracks, Path(), files=1000)
    assert found.seconds - found.load_s == pytest.approx(1600)
    low, high = (end - found.load_s for end in found.interval_s)
    # Ends may lie just on these figures, and are sums of floats.
    assert 1199 < low < 1500
    assert 1700 < high < 2001
    assert found.hours_of_audio == pytest.approx(1000 * 100 / 3600)
    assert (found.peak_rss_mb, found.failed, found.device) == (500.0, 0, "cpu")
    assert found.disk_mb == pytest.approx(1000 * (3 * 4 * 60 + 2000) / 1e6)


def test_each_coverage_is_told_with_its_time_and_its_loss(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    files = [write(f"{n}.wav", np.cumsum(noise(n, 50.0, 8000)) / 50, 8000) for n in range(3)]
    tracks = [Track(path.name, str(path), path.name, 0.0, 0) for path in files]
    found = measure(mfcc.SPEC, tracks, tmp_path, files=1000)
    assert [choice.coverage_s for choice in found.choices] == [15.0, 30.0, 0.0]
    part, more, whole = found.choices
    assert (whole.kept, whole.lowest) == (pytest.approx(1.0), pytest.approx(1.0))
    assert all(choice.lowest <= choice.kept < 1.0 for choice in (part, more))
    assert all(choice.seconds > 0 for choice in found.choices)


def test_files_of_no_use_are_counted_and_cost_what_they_cost(music: Path, tmp_path: Path) -> None:
    (music / "tones" / "text.mp3").write_text("not music " * 500)
    files = sorted(music.glob("*/*"))
    tracks = [Track(str(path), str(path), str(path), 0.0, 0) for path in files]
    found = measure(mfcc.SPEC, tracks, tmp_path, files=len(files))
    assert (found.sampled, found.failed) == (13, 1)
    assert 0 < found.interval_s[0] <= found.seconds <= found.interval_s[1]
    assert EmbeddingStore(tmp_path).known(mfcc.SPEC) == {}


def test_a_folder_without_music_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="no audio files"):
        estimate(tmp_path, [mfcc.SPEC], tmp_path)


@pytest.mark.workers
@pytest.mark.slow
def test_each_embedder_is_measured_in_a_process_of_its_own(music: Path) -> None:
    specs = [spec_of(label) for label in ("musicnn-untrained", "mfcc")]
    found = estimate(music, specs, Settings().cache, sample=3)
    assert [one.embedder for one in found] == ["musicnn-untrained", "mfcc"]
    assert {(one.files, one.sampled, one.failed) for one in found} == {(12, 3, 0)}
    assert all(one.peak_rss_mb > 50 for one in found)


def measured(spec: EmbedderSpec, tracks: list[Track], _: Path, files: int, *__: Any) -> Iterator:
    """Measure nothing, and crash on a track that is called so."""
    for number, track in enumerate(tracks):
        worker.begin(number)
        if track.track_id == "evil.wav":
            os.abort()
    yield Estimate(spec.label, "", "", files, len(tracks), 1, 0.0, 0.0, (0.0, 0.0), 0.0, 0.0, 0.0)


@pytest.mark.workers
def test_a_file_that_crashes_its_decoder_costs_itself_and_not_the_estimate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("a.wav", "evil.wav", "z.wav"):
        (tmp_path / name).touch()
    monkeypatch.setattr(module, "_measured", measured)
    monkeypatch.setattr(isolate, "_decode_only", decode_only)
    [found] = estimate(tmp_path, [mfcc.SPEC], tmp_path)
    assert (found.files, found.sampled, found.failed) == (3, 3, 2)


def decode_only(*_: object) -> Iterator[None]:
    worker.begin(0)
    os.abort()
    yield
