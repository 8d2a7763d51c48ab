"""How much of a track is heard, and which windows of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow import audio, embedders
from musicflow.audio.loudness import loudness_of
from musicflow.embedders import mfcc
from musicflow.embedders.coverage import Hearing, heard_of, windows_of_array
from musicflow.embedders.spec import EmbedderSpec, windows_of
from musicflow.settings import Settings
from musicflow_tests.conftest import noise

SPEC = EmbedderSpec("toy", "1", 100, 2, window_s=1.0, hop_s=0.5, layer="-", summary="")

specs = st.builds(
    replace,
    st.just(SPEC),
    window_s=st.sampled_from([0.4, 1.0, 3.008, 10.0, 30.0]),
    hop_s=st.sampled_from([0.1, 1.0, 10.0]),
    tail=st.sampled_from(["drop", "pad", "keep"]),
    pad_s=st.sampled_from([(0.0, 0.0), (0.2, 0.1)]),
    coverage_s=st.sampled_from([1.0, 15.0, 60.0]),
)


@given(specs, st.floats(0.1, 2000.0))
def test_excerpts_lie_apart_at_the_centres_of_equal_shares(
    spec: EmbedderSpec, duration_s: float
) -> None:
    spans = heard_of(spec, duration_s).spans
    if duration_s <= spec.coverage_s:
        assert spans == ()
    ends = [start + count for start, count in spans]
    assert all(end <= start for end, (start, _) in zip(ends, spans[1:], strict=False))
    for number, (start, count) in enumerate(spans):
        assert start >= 0
        centre_s = (start + count / 2) / spec.sample_rate
        share_s = duration_s / len(spans)
        assert centre_s == pytest.approx((number + 0.5) * share_s, abs=2 / spec.sample_rate)


@given(specs, st.floats(100.0, 2000.0))
def test_what_is_heard_is_about_the_coverage_in_whole_windows(
    spec: EmbedderSpec, duration_s: float
) -> None:
    samples = np.arange(round(duration_s * spec.sample_rate), dtype=np.float32)
    heard = heard_of(spec, duration_s)
    heard_s = sum(count for _, count in heard.spans) / spec.sample_rate
    longest = max(3.0, spec.window_s)
    assert abs(heard_s - spec.coverage_s) <= longest
    lengths = {len(window) for window in windows_of_array(samples, spec)}
    if spec.tail == "keep":
        assert max(lengths) <= spec.window_samples
    else:
        assert lengths == {spec.window_samples}


@given(specs, st.integers(1, 1000))
def test_a_track_no_longer_than_the_coverage_is_heard_as_without_it(
    spec: EmbedderSpec, samples: int
) -> None:
    spec = replace(spec, coverage_s=10.0)
    track = np.arange(1, samples + 1, dtype=np.float32)
    expected = list(windows_of([track], spec))
    for window, whole in zip(windows_of_array(track, spec), expected, strict=True):
        np.testing.assert_array_equal(window, whole)


def test_a_long_window_is_joined_from_excerpts_and_a_short_one_lies_in_one() -> None:
    long = heard_of(replace(SPEC, window_s=30.0, tail="keep", coverage_s=60.0), 300.0)
    assert (len(long.spans), long.joined) == (20, 10)
    short = heard_of(replace(SPEC, coverage_s=60.0), 300.0)
    assert (len(short.spans), short.joined) == (20, 1)
    track = np.arange(30_000, dtype=np.float32)
    assert len(list(windows_of_array(track, replace(SPEC, coverage_s=60.0)))) == 20 * 5


def test_a_file_and_an_array_of_its_samples_are_heard_alike(write: Callable[..., Path]) -> None:
    spec = replace(mfcc.SPEC, coverage_s=6.0)
    path = write("a.flac", noise(1, 20.0, 44_100), 44_100)
    samples = audio.decode(path, spec.sample_rate)
    expected = list(windows_of_array(samples, spec))
    found = list(Hearing(path, spec, 0.0, audio.Limits()))
    assert [len(window) for window in found] == [len(window) for window in expected]
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), atol=2e-6)
    embedder = embedders.load(spec, Path("unused"))
    by_file, by_array = embedder.embed(path), embedder.embed(samples, spec.sample_rate)
    np.testing.assert_allclose(by_file, by_array, rtol=1e-4, atol=1e-4)
    whole = embedders.load(mfcc.SPEC, Path("unused")).embed(path)
    assert not np.allclose(whole, by_file, rtol=1e-4, atol=1e-4)


def test_the_setting_is_part_of_the_hash_unless_it_is_zero() -> None:
    spec = embedders.spec_of("musicnn")
    assert embedders.spec_for("musicnn", Settings()).hash == spec.hash
    part = embedders.spec_for("musicnn", Settings(coverage_s=60.0))
    assert (part.coverage_s, part.label) == (60.0, "musicnn")
    assert part.hash != spec.hash


def test_a_loudness_makes_a_quieter_file_sound_alike_whatever_is_heard_of_it(
    write: Callable[..., Path],
) -> None:
    sound = noise(1, 20.0, 44_100)
    paths = [write(f"{gain}.wav", gain * sound, 44_100, subtype="FLOAT") for gain in (1.0, 0.25)]
    for coverage_s in (0.0, 6.0):
        spec = replace(mfcc.SPEC, coverage_s=coverage_s, loudness_lufs=-14.0)
        loud, quiet = (
            np.concatenate(list(Hearing(path, spec, 0.0, audio.Limits()))) for path in paths
        )
        np.testing.assert_allclose(quiet, loud, atol=1e-3)
        assert loudness_of([loud], spec.sample_rate) == pytest.approx(-14.0, abs=0.1)
        embedder = embedders.load(spec, Path("unused"))
        by_file, by_array = (
            embedder.embed(paths[1]),
            embedder.embed(audio.decode(paths[1], spec.sample_rate), spec.sample_rate),
        )
        np.testing.assert_allclose(by_file, by_array, rtol=1e-3, atol=1e-3)
        if not coverage_s:
            [frames] = embedder.frames(paths[1]).vectors
            np.testing.assert_allclose(frames, by_array, rtol=1e-3, atol=1e-3)


def test_a_loudness_is_part_of_the_hash_only_where_it_is_asked_for() -> None:
    spec = embedders.spec_of("musicnn")
    assert spec.hash == "a9da8dfcc70db7da"
    levelled = embedders.spec_for("musicnn", Settings(loudness_lufs=-14.0))
    assert (levelled.loudness_lufs, levelled.label) == (-14.0, "musicnn")
    assert len({spec.hash, levelled.hash, replace(levelled, loudness_lufs=-23.0).hash}) == 3
    assert {one.loudness_lufs for one in embedders.layers_of(levelled)} == {-14.0}
