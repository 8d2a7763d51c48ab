import base64
import shutil
from collections.abc import Callable
from pathlib import Path

import mutagen.flac
import mutagen.id3
import mutagen.mp4
import mutagen.oggvorbis
import numpy as np
import pytest
import soundfile

from musicflow.library.artwork import artwork
from musicflow_tests.conftest import RATE, tone

JPEG, PNG = b"\xff\xd8\xff" + b"j" * 50, b"\x89PNG\r\n\x1a\n" + b"p" * 50


def _picture(content: bytes, kind: int = 3) -> mutagen.flac.Picture:
    picture = mutagen.flac.Picture()
    picture.type, picture.mime, picture.data = kind, "image/whatever", content
    return picture


def _in_flac(path: Path, *pictures: mutagen.flac.Picture) -> None:
    soundfile.write(path, tone(440), RATE, format="FLAC")
    file = mutagen.flac.FLAC(path)
    for picture in pictures:
        file.add_picture(picture)
    file.save()


def _in_mp3(path: Path, content: bytes) -> None:
    soundfile.write(path, tone(440), RATE, format="MP3")
    tags = mutagen.id3.ID3()
    tags.add(mutagen.id3.APIC(type=3, mime="image/svg+xml", data=content))
    tags.save(path)


def _in_ogg(path: Path, content: bytes) -> None:
    soundfile.write(path, tone(440), RATE, format="OGG")
    file = mutagen.oggvorbis.OggVorbis(path)
    file["metadata_block_picture"] = [base64.b64encode(_picture(content).write()).decode()]
    file.save()


def _in_wav(path: Path, content: bytes) -> None:
    soundfile.write(path, tone(440), RATE, format="WAV")
    file = mutagen.File(path)
    file.add_tags()
    file.tags.add(mutagen.id3.APIC(type=3, data=content))
    file.save()


WRITERS: dict[str, Callable[[Path, bytes], None]] = {
    "flac": lambda path, content: _in_flac(path, _picture(content)),
    "mp3": _in_mp3,
    "ogg": _in_ogg,
    "wav": _in_wav,
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(("content", "media"), [(JPEG, "image/jpeg"), (PNG, "image/png")])
def test_a_cover_is_found_in_each_kind_of_file(
    tmp_path: Path, kind: str, content: bytes, media: str
) -> None:
    path = tmp_path / f"a.{kind}"
    WRITERS[kind](path, content)
    assert artwork(path) == (content, media)


def test_a_cover_is_found_in_mp4(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(440).astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate = RATE
        for part in (frame, None):
            container.mux(stream.encode(part))
    file = mutagen.mp4.MP4(path)
    file["covr"] = [mutagen.mp4.MP4Cover(JPEG)]
    file.save()
    assert artwork(path) == (JPEG, "image/jpeg")


def test_the_front_cover_comes_before_other_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    _in_flac(path, _picture(PNG, kind=4), _picture(JPEG))
    assert artwork(path) == (JPEG, "image/jpeg")


def test_a_picture_that_runs_programs_is_none(tmp_path: Path) -> None:
    """An SVG is a page of its own: whoever opens it runs its scripts."""
    path = tmp_path / "a.mp3"
    _in_mp3(path, b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>")
    assert artwork(path) is None


def test_what_cannot_be_read_has_no_cover(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"not music" * 100)
    assert artwork(tmp_path / "a.mp3") is None
    assert artwork(tmp_path / "gone.mp3") is None
    shutil.copyfile(tmp_path / "a.mp3", tmp_path / "b.flac")
    assert artwork(tmp_path / "b.flac") is None
