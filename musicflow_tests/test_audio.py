from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from musicflow import audio
from musicflow_tests.conftest import noise, tone

Write = Callable[..., Path]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_soundfile_formats_keep_the_sound(write: Write, suffix: str) -> None:
    path = write(f"a.{suffix}", tone(440))
    decoded = audio.decode(path, 22_050)
    assert decoded.dtype == np.float32
    assert decoded.ndim == 1
    assert loudest_hertz(decoded, 22_050) == pytest.approx(440, abs=1)


def test_what_soundfile_cannot_open_is_opened_by_pyav(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    encode_aac(path, np.stack([tone(440, rate=44_100), np.zeros(88_200)]))
    assert audio.probe(path).sample_rate == 44_100
    assert audio.probe(path).duration_s == pytest.approx(2.0, abs=0.1)
    decoded = audio.decode(path, 16_000)
    assert loudest_hertz(decoded, 16_000) == pytest.approx(440, abs=1)
    # Channels are averaged: one of two is silent, so half the amplitude is left.
    assert np.abs(decoded[4000:-4000]).max() == pytest.approx(0.15, rel=0.1)


def test_opus_sounds_the_same_by_the_faster_decoder(write: Write) -> None:
    sound = np.stack([tone(440, 3.0, 48_000), noise(1, 3.0, 48_000)], axis=1)
    path = write("a.opus", sound, rate=48_000, format="OGG", subtype="OPUS")
    expected = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    decoded = audio.decode(path, 48_000)
    assert decoded.shape == expected.shape == (3 * 48_000,)
    assert np.sqrt(np.mean((decoded - expected) ** 2)) < 1e-3 * np.sqrt(np.mean(expected**2))


def test_channels_are_averaged(write: Write) -> None:
    left, right = noise(1), noise(2)
    path = write("a.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(audio.decode(path, 22_050), (left + right) / 2, atol=1e-6)


def test_resampling_does_not_depend_on_blocks(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.wav", noise(1, seconds=3.0), subtype="FLOAT")
    whole = audio.decode(path, 16_000)
    monkeypatch.setattr(audio, "BLOCK_S", 0.31)
    np.testing.assert_allclose(audio.decode(path, 16_000), whole, atol=1e-6)
    assert len(whole) == pytest.approx(3 * 16_000, abs=2)


def test_a_long_file_is_decoded_in_blocks(write: Write) -> None:
    path = write("a.wav", noise(1, seconds=35.0))
    blocks = list(audio.stream(path, 22_050))
    assert max(map(len, blocks)) <= audio.BLOCK_S * 22_050
    assert sum(map(len, blocks)) == 35 * 22_050


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    with pytest.raises(audio.AudioError, match="empty"):
        audio.probe(path)


def test_text_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_text("not music " * 500)
    with pytest.raises(audio.AudioError, match="not a readable audio file"):
        audio.probe(path)


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_half_a_file_is_an_error_not_half_an_analysis(write: Write, suffix: str) -> None:
    path = write(f"a.{suffix}", noise(1, seconds=10.0))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(audio.AudioError):
        audio.decode(path, 16_000)


def test_a_header_without_samples_is_an_error(write: Write) -> None:
    with pytest.raises(audio.AudioError, match="no audio"):
        audio.decode(write("a.wav", np.zeros(0)), 16_000)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_an_error(write: Write, value: float) -> None:
    samples = noise(1)
    samples[100] = value
    with pytest.raises(audio.AudioError, match="not numbers"):
        audio.decode(write("a.wav", samples, subtype="FLOAT"), 22_050)


def test_silence_is_told_from_quiet() -> None:
    assert audio.is_silent(np.zeros(100, np.float32))
    assert audio.is_silent(np.zeros(0, np.float32))
    assert not audio.is_silent(np.full(100, 0.01, np.float32))


def loudest_hertz(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum) * rate / len(samples))


def encode_aac(path: Path, samples: np.ndarray) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44_100, layout="stereo")
        for start in range(0, samples.shape[1], 1024):
            block = samples[:, start : start + 1024].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, start, Fraction(1, 44_100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_playlist_that_is_named_like_audio_leads_nowhere(write: Write) -> None:
    folder = write("other.wav", noise(1)).parent
    for text in ("ffconcat version 1.0\nfile other.wav\n", "#EXTM3U\n#EXTINF:1,\nother.wav\n"):
        (folder / "list.mp3").write_text(text)
        with pytest.raises(audio.AudioError):
            audio.probe(folder / "list.mp3")
        with pytest.raises(audio.AudioError):
            audio.decode(folder / "list.mp3", 8000)
