"""What a hostile upload can do: be told off, and nothing else."""

import io
import os
import struct
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicflow import worker
from musicflow.app import uploads
from musicflow.audio import Limits, guarded
from musicflow.embedders import mfcc
from musicflow.search.errors import QueryError
from musicflow_tests.conftest import noise, tone

CACHE = Path("unused")


def sound(samples: np.ndarray, rate: int = 22_050, kind: str = "WAV", **how: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **how)
    return file.getvalue()


def embed(name: str, content: bytes) -> np.ndarray:
    return uploads.embed(uploads.accept(name, content), mfcc.SPEC, CACHE)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, so that a test can see what is left in it."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_an_upload_gets_the_vector_its_file_would(write: Callable[..., Path], kind: str) -> None:
    content = sound(noise(1), 44_100, kind)
    path = write("a.wav", noise(1))
    path.write_bytes(content)
    direct = uploads.query.vector_of_file(path, mfcc.SPEC, CACHE)
    np.testing.assert_allclose(embed(f"a.{kind.lower()}", content), direct, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["a", "a.txt", "a.html", "a.svg", "a.mp3.exe", "a.m3u8", "", ".mp3", "a.mp3\0.txt"]
)
def test_what_is_not_named_like_audio_is_not_taken_in(name: str) -> None:
    with pytest.raises(QueryError, match="no audio file"):
        uploads.accept(name, sound(tone(440)))


def test_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_MB", 0.001)
    with pytest.raises(QueryError, match=r"larger than 0.001 MB"):
        uploads.accept("a.wav", bytes(1001))
    with pytest.raises(QueryError, match="empty"):
        uploads.accept("a.wav", b"")


def wav_header(**changes: int) -> bytes:
    """A WAV of a second of noise whose header lies."""
    fields = {"kind": 1, "channels": 1, "rate": 22_050, "bits": 16, "data": 44_100} | changes
    frame = fields["channels"] * fields["bits"] // 8 & 0xFFFF
    form = struct.pack(
        "<HHIIHH",
        fields["kind"],
        fields["channels"],
        fields["rate"],
        (fields["rate"] * frame) & 0xFFFFFFFF,
        frame,
        fields["bits"],
    )
    samples = np.random.default_rng(0).bytes(44_100)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", fields["data"] & 0xFFFFFFFF) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def long_wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(1)
        target.setframerate(1000)
        target.writeframes(np.random.default_rng(0).bytes(1000 * 16 * 60))
    return file.getvalue()


def hanging(*_: object) -> Iterator[np.ndarray]:
    worker.begin(0)
    time.sleep(60)
    yield


@pytest.mark.workers
@pytest.mark.slow
def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    monkeypatch.setattr(uploads, "LIMITS", Limits(timeout_s=0.2))
    monkeypatch.setattr(guarded, "_blocks", hanging)
    with pytest.raises(QueryError, match=r"took longer than 0.2 s"):
        embed("a.wav", sound(noise(1)))
    assert list(scratch.iterdir()) == []


def greedy(*_: object) -> Iterator[np.ndarray]:
    yield np.frombuffer(bytearray(3 * 1024**3), np.float32)


def crashing(*_: object) -> Iterator[np.ndarray]:
    os.abort()
    yield


@pytest.mark.workers
@pytest.mark.slow
@pytest.mark.parametrize(
    ("decoder", "said"),
    [(greedy, "takes more memory than it may"), (crashing, r"the decoder crashed \(SIGABRT\)")],
)
def test_a_decoder_that_takes_too_much_or_crashes_takes_only_itself_down(
    monkeypatch: pytest.MonkeyPatch, decoder: Callable[..., Iterator[np.ndarray]], said: str
) -> None:
    monkeypatch.setattr(guarded, "_blocks", decoder)
    with pytest.raises(QueryError, match=rf"^'a\.wav': .*{said}$"):
        embed("a.wav", sound(noise(1)))


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
FLAC = sound(noise(1), kind="FLAC")
OGG = sound(noise(1), kind="OGG")
MP3 = sound(noise(1), kind="MP3")
NOT_A_NUMBER = np.where(np.arange(22_050) == 100, np.nan, noise(1, 1.0))

HOSTILE = {
    "text": b"not music " * 500,
    "zeros": bytes(100_000),
    "noise": np.random.default_rng(0).bytes(100_000),
    "one byte": b"R",
    "html": b"<html><script>alert(1)</script></html>" * 100,
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "elf": b"\x7fELF" + bytes(5000),
    "zip": b"PK\x03\x04" + bytes(5000),
    "playlist of a local file": PLAYLIST.encode(),
    "list of a local file": b"ffconcat version 1.0\nfile /etc/hostname\n",
    "list of a parent": b"ffconcat version 1.0\nfile ../../../../etc/hostname\n",
    "list of itself": b"ffconcat version 1.0\n" + b"file upload\n" * 50,
    "list of an address": b"ffconcat version 1.0\nfile http://127.0.0.1:9/a.mp3\n",
    "manifest of an address": b'<MPD><Period><BaseURL>http://127.0.0.1:9/</BaseURL></Period></MPD>',
    "half a flac": FLAC[: len(FLAC) // 2],
    "half an mp3": MP3[: len(MP3) // 4] + b"\xff" * 5000,
    "flac with a hole": FLAC[:5000] + bytes(5000) + FLAC[10_000:],
    "head of an ogg": OGG[:100],
    "head of a wav": wav_header()[:40],
    "silence": sound(np.zeros(22_050)),
    "no samples": sound(np.zeros(0)),
    "not a number": sound(NOT_A_NUMBER, subtype="FLOAT"),
    "infinite": sound(np.full(22_050, np.inf), subtype="FLOAT"),
    "rate of zero": wav_header(rate=0),
    "rate of four gigahertz": wav_header(rate=0xFFFFFFFF),
    "no channels": wav_header(channels=0),
    "65535 channels": wav_header(channels=65_535),
    "unknown encoding": wav_header(kind=0x7777),
    "no bits": wav_header(bits=0),
    "sixteen minutes": long_wav(),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_upload_is_one_sentence_and_leaves_nothing(what: str, scratch: Path) -> None:
    with pytest.raises(QueryError) as told:
        embed("song.mp3", HOSTILE[what])
    assert "'song.mp3'" in str(told.value)
    assert "Traceback" not in str(told.value)
    assert str(scratch) not in str(told.value)
    assert list(scratch.iterdir()) == []
