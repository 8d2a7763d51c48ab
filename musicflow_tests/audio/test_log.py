"""What decoders say goes to a log with the file's name, not to the terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from musicflow.audio import guarded
from musicflow_tests.conftest import noise

pytestmark = pytest.mark.workers


def test_the_decoders_words_stand_in_the_log_under_the_name_of_the_file(
    write: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sound, bad = (write(f"{name}.mp3", noise(1, 5.0, 44_100), 44_100) for name in ("good", "bad"))
    content = bytearray(bad.read_bytes())
    content[20_000:20_400] = bytes(400)
    bad.write_bytes(content)
    guarded.beginnings([sound, bad], 16_000, 5.0, log=tmp_path / "decoding.log")
    log = (tmp_path / "decoding.log").read_text()
    assert str(bad) in log
    assert str(sound) not in log
    assert "mp3" in log
    assert capfd.readouterr() == ("", "")
