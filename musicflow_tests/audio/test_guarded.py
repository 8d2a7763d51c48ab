from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from musicflow import audio
from musicflow.audio import guarded
from musicflow_tests.conftest import RATE, noise, tone

pytestmark = pytest.mark.workers

Write = Callable[..., Path]


def test_a_file_is_decoded_in_a_worker_as_it_is_here(write: Write) -> None:
    path = write("a.wav", noise(0, 12.0), 44_100)
    found = np.concatenate(list(guarded.stream(path, RATE)))
    np.testing.assert_array_equal(found, audio.decode(path, RATE))


def test_beginnings_and_errors_come_in_the_order_of_the_files(write: Write, tmp_path: Path) -> None:
    text = tmp_path / "text.mp3"
    text.write_text("not music " * 500)
    paths = [write("a.wav", tone(440)), text, write("b.wav", noise(1)), tmp_path / "gone.wav"]
    one, bad, other, gone = guarded.beginnings(paths, RATE, 0.5)
    for found, path in ((one, paths[0]), (other, paths[2])):
        np.testing.assert_array_equal(found, audio.decode(path, RATE)[: RATE // 2])
    assert isinstance(bad, audio.AudioError)
    assert isinstance(gone, OSError)


def test_the_error_of_a_file_arrives_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        list(guarded.stream(tmp_path / "gone.wav", RATE))


def test_a_file_that_is_too_long_is_refused_on_the_way(write: Write) -> None:
    with pytest.raises(audio.AudioError, match="longer than"):
        list(guarded.stream(write("a.wav", noise(0, 3.0)), RATE, audio.Limits(2.0)))
