import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from musicflow.embedders import load, mfcc
from musicflow.places import place
from musicflow.search.query import frames_of_file
from musicflow.search.why import known_of, passages_of
from musicflow_tests.conftest import RATE, noise, tone

SPEC = replace(mfcc.SPEC, window_s=1.0, hop_s=0.5)


def test_a_planted_passage_is_found_in_both(tmp_path: Path) -> None:
    around = {"a": (noise(1, 3.0), noise(2, 5.0)), "b": (tone(3000, 6.0), tone(3000, 1.0))}
    for name, (before, after) in around.items():
        sound = np.concatenate([before, tone(440, 2.0), after])
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE)
    frames = [
        frames_of_file(place(tmp_path / f"{name}.wav"), SPEC, tmp_path, load=load) for name in "ab"
    ]
    # What is common to all is taken away, as a collection of mfcc does.
    middle = np.concatenate(frames).mean(axis=0)
    vectors = [each - middle for each in frames]
    vectors = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in vectors]
    best = passages_of(vectors[0], vectors[1], SPEC)[0]
    assert (best.query_s, best.answer_s) in {
        (3.0 + first, 6.0 + second) for first in (0, 0.5, 1.0) for second in (0, 0.5, 1.0)
    }
    assert best.seconds == 1.0
    assert best.score > 0.99


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_passages_do_not_overlap_and_come_best_first(first: int, second: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    found = passages_of(random.random((first, 4)), random.random((second, 4)), SPEC, most=5)
    assert 1 <= len(found) <= 5
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    for side in ("query_s", "answer_s"):
        starts = sorted(getattr(one, side) for one in found)
        assert all(later - sooner >= SPEC.window_s for sooner, later in itertools.pairwise(starts))


def test_a_passage_lies_in_both_tracks_where_windows_are_padded() -> None:
    same = np.eye(3)
    padded = replace(SPEC, hop_s=1.0, pad_s=(0.25, 0.25))
    found = passages_of(same, same, padded, (2.5, 2.25), most=3)
    assert [(one.query_s, one.answer_s, one.seconds) for one in found] == [
        (0.0, 0.0, 0.75),
        (0.75, 0.75, 1.0),
        (1.75, 1.75, 0.5),
    ]
    # A track that is shorter than a window fills it by being repeated.
    [one] = passages_of(same[:1], same[:1], SPEC, (0.5, 60.0))
    assert (one.query_s, one.answer_s, one.seconds) == (0.0, 0.0, 0.5)


def test_what_only_one_track_has_is_not_shared() -> None:
    why = known_of("x", {"tags": ["rock", "loud"], "bpm": 120.0}, {"tags": ["loud"], "key": "Am"})
    assert (why.tags, why.bpm, why.key) == (("loud",), (120.0, None), (None, "Am"))
    assert why.lines() == ["Both sound like: loud (predicted)."]
    both = {"bpm": 120.0, "key": "Am"}
    assert known_of("x", both, both).lines() == ["Tempo: 120 and 120 BPM.", "Key: Am and Am."]


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"gone\.wav: No such file"):
        frames_of_file(place(tmp_path / "gone.wav"), SPEC, tmp_path, load=load)
