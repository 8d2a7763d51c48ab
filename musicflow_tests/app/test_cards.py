import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import fsspec
import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.app import cards
from musicflow.app.cards import clean, cover, draw, length, plain
from musicflow.app.map import escaped
from musicflow.app.pictures import spectrogram
from musicflow.library import Track
from musicflow.places import place
from musicflow_tests.conftest import noise, tone


@given(st.text(st.characters()))
def test_no_text_is_taken_for_markup(text: str) -> None:
    shown = plain(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[!-/:-@\[^-`{-~]", shown)
    assert "\n" not in shown
    assert len(clean(text)) <= 100


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<br><b>bold</b><sup>2</sup>",
    "&lt;script&gt;&#x41;&amp;",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "<http://evil.example>",
    ":material/home: :streamlit: :red[x] :smile:",
    "$\\frac{1}{2}$ $$x$$",
    "`code` ```block",
    "# head > quote - list 1. list | cell |",
    "**b** _i_ ~~s~~ ==m== [^1]",
    "\\* \\\\",
    "one\ntwo\r\nthree\u2028four\u2029five\x85six",
    "\0\x01\x1b[31mred\x1b[0m\x7f",
    "\u202egnp.exe \u2066x\u2069",
    "Z\u0335\u0321\u033a" * 500,
    "x" * 1_000_000,
    "\ud800 half a pair",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_stays_one_short_line_without_markup(text: str) -> None:
    for shown in (clean(text), escaped(text)):
        assert shown.isprintable() or all(c.isprintable() or c == " " for c in shown)
        assert not set("\n\r\u2028\u2029\u202e\u2066\0\x1b") & set(shown)
        shown.encode()
    assert not set("<>\"'") & set(escaped(text))
    assert len(plain(text)) <= 300


def test_addresses_do_not_become_links() -> None:
    for address in ("http://a.example", "HTTPS://a.example", "www.a.example", "me@a.example"):
        assert "\u2060" in plain(address)
    assert "\u2060" not in plain("Fear: a www story")


def test_lengths_read_as_on_a_clock() -> None:
    assert [length(seconds) for seconds in (0, 9.9, 61, 3601)] == ["0:00", "0:09", "1:01", "60:01"]


def test_a_track_elsewhere_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/music/a.flac", b"fLaC and so on")
    played: list[object] = []
    monkeypatch.setattr(cards.st, "audio", lambda sound, **_: played.append(sound))
    told: list[str] = []
    monkeypatch.setattr(cards.st, "warning", told.append)
    cards._sound(place("memory://music/a.flac"))
    memory.rm("/music/a.flac")
    cards._sound(place("memory://music/a.flac"))
    assert played == [b"fLaC and so on"]
    assert len(told) == 1


def test_a_picture_has_low_sounds_below_and_high_ones_above(tmp_path: Path) -> None:
    for hertz, rows in ((200, slice(32, 64)), (6000, slice(0, 32))):
        image = picture(tone(hertz, rate=16_000), tmp_path)
        bright = image.sum(axis=(1, 2))
        assert bright[rows].sum() > 2 * (bright.sum() - bright[rows].sum())


def test_the_shortest_sound_has_a_picture(tmp_path: Path) -> None:
    assert picture(noise(1)[:10], tmp_path).shape == (64, 128, 3)


def picture(samples: np.ndarray, folder: Path) -> np.ndarray:
    path = folder / "picture.png"
    path.write_bytes(spectrogram(samples))
    return matplotlib.image.imread(path)[..., :3]


def test_what_cannot_be_decoded_has_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_text("not music " * 500)
    for name in ("a.mp3", "gone.mp3"):
        assert cover(track(name, tmp_path / name)) is None


def test_pictures_are_drawn_together_and_once(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = [track(str(number), write(f"{number}.wav", noise(number))) for number in range(3)]
    draw([*tracks, None])
    monkeypatch.setattr(subprocess, "Popen", None)
    pictures = [cover(track) for track in tracks]
    assert len(set(pictures)) == 3
    assert None not in pictures


def track(name: str, path: Path) -> Track:
    return Track(name, str(path), f"hash of {path}", 0.0, 0)
