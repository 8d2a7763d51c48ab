"""The hash of the audio: the same whatever the tags say, another for other sound."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mutagen
import pytest
import soundfile
from mutagen.flac import Picture
from mutagen.id3 import APIC, ID3, TALB

from musicflow import audio
from musicflow_tests.audio.test_decoding import encode_aac
from musicflow_tests.conftest import noise

Write = Callable[..., Path]

COVER = bytes(range(256)) * 400


@pytest.fixture(params=["mp3", "flac", "ogg", "opus", "m4a", "wav", "aiff"])
def song(request: pytest.FixtureRequest, write: Write, tmp_path: Path) -> Path:
    if request.param == "m4a":
        path = tmp_path / "a.m4a"
        encode_aac(path, noise(1, seconds=3.0, rate=44_100)[None].repeat(2, axis=0))
        return path
    kind = {"format": "OGG", "subtype": "OPUS"} if request.param == "opus" else {}
    return write(f"a.{request.param}", noise(1, seconds=3.0, rate=48_000), rate=48_000, **kind)


def test_a_new_tag_or_cover_leaves_the_hash_alone(song: Path) -> None:
    before = without_marks(song)
    for text in ("A", "Another title, much longer than the one before " * 50):
        tag(song, text)
        assert without_marks(song) == before


def test_other_sound_has_another_hash(song: Path) -> None:
    samples = song.with_name("other.wav")
    soundfile.write(samples, noise(2, seconds=3.0), 22_050)
    assert audio.examine(samples).audio_hash != audio.examine(song).audio_hash


def test_the_same_samples_at_another_rate_have_another_hash(write: Write) -> None:
    slow, fast = (write(f"{rate}.wav", noise(1), rate=rate) for rate in (22_050, 44_100))
    assert audio.examine(slow).audio_hash != audio.examine(fast).audio_hash


@pytest.mark.parametrize("trailer", ["id3v1", "ape"])
def test_tags_behind_an_mp3_leave_the_hash_alone(write: Write, trailer: str) -> None:
    path = write("a.mp3", noise(1, seconds=3.0, rate=44_100), rate=44_100)
    before = without_marks(path)
    if trailer == "ape":
        tags = mutagen.apev2.APEv2()
        tags["Title"] = "A title " * 100
        tags.save(path)
    else:
        tags = ID3()
        tags.add(TALB(encoding=3, text=["An album"]))
        tags.save(path, v1=2)
    assert without_marks(path) == before


def without_marks(path: Path) -> audio.AudioInfo:
    """Look at a file, but for the places of its packets, which a tag may move."""
    return replace(audio.examine(path), marks="")


def tag(path: Path, text: str) -> None:
    file = mutagen.File(path)
    if path.suffix in (".mp3", ".wav", ".aiff"):
        if file.tags is None:
            file.add_tags()
        file.tags.add(TALB(encoding=3, text=[text]))
        file.tags.add(APIC(encoding=3, mime="image/png", type=3, desc="", data=COVER))
    elif path.suffix == ".m4a":
        file["\xa9alb"] = [text]
        file["covr"] = [mutagen.mp4.MP4Cover(COVER)]
    else:
        file["album"] = [text]
        if path.suffix == ".flac":
            picture = Picture()
            picture.data = COVER
            file.add_picture(picture)
    file.save()
