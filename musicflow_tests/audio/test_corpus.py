"""Every file of the corpus, held to its table, to FFmpeg's command line and to the music in it."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from musicflow import audio
from musicflow.embedders import Embedder
from musicflow_tests.audio.corpus import CASES, SECONDS, Case, Sound, ToolMissingError, by_ffmpeg

pytestmark = pytest.mark.slow

LIMITS = audio.Limits(max_duration_s=600, timeout_s=30)

AWKWARD = Path(__file__).parents[2].parent / "shared" / "data" / "awkward"

needs_awkward = pytest.mark.skipif(
    not AWKWARD.is_dir(), reason="the awkward files are not beside this checkout"
)


@pytest.fixture(scope="module")
def vector_of(musicnn: Embedder) -> Callable[[tuple[Sound, ...]], np.ndarray]:
    """The vector of the music itself, made once for all files it is in."""

    @cache
    def vector(sounds: tuple[Sound, ...]) -> np.ndarray:
        rate = musicnn.spec.sample_rate
        return musicnn.embed(np.concatenate([sound.mono(SECONDS, rate) for sound in sounds]), rate)

    return vector


def written(case: Case, folder: Path, seconds: float = SECONDS) -> Path:
    try:
        return case.write(folder, seconds)
    except ToolMissingError as error:
        pytest.skip(str(error))


def listened(path: Path, rate: int) -> tuple[np.ndarray, audio.Decoding]:
    audio.examine(path)
    decoding = audio.Decoding(path, rate, LIMITS)
    return np.concatenate(list(decoding)), decoding


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def names(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


GOOD = [case for case in CASES if case.right is None]
BAD = [case for case in CASES if case.right is not None]


@pytest.mark.parametrize("case", GOOD, ids=names(GOOD))
def test_what_is_heard_is_the_music_in_the_file(
    case: Case,
    tmp_path: Path,
    musicnn: Embedder,
    vector_of: Callable[[tuple[Sound, ...]], np.ndarray],
) -> None:
    path = written(case, tmp_path)
    rate = musicnn.spec.sample_rate
    heard, decoding = listened(path, rate)
    assert {note.code for note in decoding.notes} == case.codes
    right = len(case.mono(rate)) / rate if case.by_sound else by_ffmpeg(path)
    assert decoding.seconds == pytest.approx(right, abs=0.05)
    assert len(heard) / rate == pytest.approx(decoding.seconds, abs=0.001)
    if case.cosine:
        assert (
            cosine(musicnn.embed(heard, musicnn.spec.sample_rate), vector_of(case.sounds))
            >= case.cosine
        )


@pytest.mark.parametrize("case", BAD, ids=names(BAD))
def test_what_cannot_be_heard_is_refused_with_its_code(case: Case, tmp_path: Path) -> None:
    path = written(case, tmp_path)
    with pytest.raises(audio.AudioError) as caught:
        listened(path, 16_000)
    assert caught.value.code in (case.right or ())
    assert str(caught.value)


def test_the_corpus_has_many_files_of_many_kinds() -> None:
    assert len(GOOD) + len(BAD) == len(set(names(GOOD + BAD))) > 120
    assert {Path(case.name).suffix.lower() for case in GOOD} <= audio.AUDIO_SUFFIXES


@needs_awkward
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("opus-input-rate-16000.opus", 3.0),
        ("mp3-vbr-noxing.mp3", 8.04),
        ("ogg-chained.ogg", 6.0),
        ("flac-unknown-total.flac", 2.0),
        ("opus-7.1.opus", 2.0),
        ("aac-7.1.m4a", 2.0),
        ("mp3-tag-not-ascii.mp3", 0.5),
    ],
)
def test_awkward_files_are_heard_whole(name: str, seconds: float) -> None:
    heard, decoding = listened(AWKWARD / name, 16_000)
    assert decoding.seconds == pytest.approx(seconds, abs=0.05)
    assert len(heard) / 16_000 == pytest.approx(seconds, abs=0.05)


@needs_awkward
@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("aac-rate0.aac", {"bad-header", "not-audio", "unreadable", "no-samples", "no-decoder"}),
        ("wav-unknown-codec.wav", {"no-decoder"}),
    ],
)
def test_awkward_files_that_are_no_music_are_refused(name: str, codes: set[str]) -> None:
    with pytest.raises(audio.AudioError) as caught:
        listened(AWKWARD / name, 16_000)
    assert caught.value.code in codes
