from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from musicflow import audio
from musicflow.audio import decoding
from musicflow.audio.mixing import weights
from musicflow_tests.audio import makers
from musicflow_tests.audio.music import Audio
from musicflow_tests.conftest import noise, tone

Write = Callable[..., Path]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_formats_keep_the_sound(write: Write, suffix: str) -> None:
    path = write(f"a.{suffix}", tone(440))
    decoded = audio.decode(path, 22_050)
    assert decoded.dtype == np.float32
    assert decoded.ndim == 1
    assert loudest_hertz(decoded, 22_050) == pytest.approx(440, abs=1)


def test_aac_in_mp4_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    encode_aac(path, np.stack([tone(440, rate=44_100), np.zeros(88_200)]))
    assert audio.examine(path).sample_rate == 44_100
    assert audio.examine(path).duration_s == pytest.approx(2.0, abs=0.1)
    decoded = audio.decode(path, 16_000)
    assert loudest_hertz(decoded, 16_000) == pytest.approx(440, abs=1)
    # Channels are averaged: one of two is silent, so half the amplitude is left.
    assert np.abs(decoded[4000:-4000]).max() == pytest.approx(0.15, rel=0.1)


@pytest.mark.slow
def test_dts_behind_the_header_of_a_wav_file_is_heard_as_music(tmp_path: Path) -> None:
    """As on a CD with DTS, which begins with silence; played as samples it is noise."""
    makers.ffmpeg("-c:a", "dca", "-b:a", "768k", "-ar", "44100")(
        tmp_path / "a.dts", Audio(np.stack([tone(440, 6.0, 44_100)] * 2, axis=1), 44_100)
    )
    data = bytes(20_000) + (tmp_path / "a.dts").read_bytes()
    samples = np.frombuffer(data[: len(data) // 4 * 4], np.int16).reshape(-1, 2)
    soundfile.write(tmp_path / "a.wav", samples, 44_100)
    assert loudest_hertz(audio.decode(tmp_path / "a.wav", 22_050), 22_050) == pytest.approx(440, 1)


def test_opus_sounds_as_in_its_own_library(write: Write) -> None:
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
    monkeypatch.setattr(decoding, "BLOCK_S", 0.31)
    np.testing.assert_allclose(audio.decode(path, 16_000), whole, atol=1e-6)
    assert len(whole) == pytest.approx(3 * 16_000, abs=2)


def test_a_long_file_is_decoded_in_blocks(write: Write) -> None:
    path = write("a.wav", noise(1, seconds=35.0))
    blocks = list(audio.stream(path, 22_050))
    assert max(map(len, blocks)) <= 2 * decoding.BLOCK_S * 22_050
    assert sum(map(len, blocks)) == 35 * 22_050


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    with pytest.raises(audio.AudioError, match="empty"):
        audio.examine(path)


def test_text_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_text("not music " * 500)
    with pytest.raises(audio.AudioError, match="not a readable audio file"):
        audio.examine(path)


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


def test_silence_is_an_error_and_quiet_music_is_a_note(write: Write) -> None:
    with pytest.raises(audio.AudioError) as refused:
        audio.decode(write("silent.wav", np.zeros(22_050)), 22_050)
    assert refused.value.code == "silent"
    assert notes(write("quiet.wav", 0.005 * tone(440), subtype="FLOAT")) == {"quiet"}


def test_samples_far_over_full_scale_are_a_note(write: Write) -> None:
    assert notes(write("a.wav", 20 * tone(440), subtype="FLOAT")) == {"over-full-scale"}


def test_channels_that_cancel_are_heard_by_one_of_them(write: Write) -> None:
    sound = noise(1)
    path = write("a.wav", np.stack([sound, -sound], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(audio.decode(path, 22_050), sound, atol=1e-6)
    assert notes(path) == {"channels-cancel"}


def test_one_sided_stereo_is_mixed_like_any_and_said(write: Write) -> None:
    sound = noise(1)
    path = write("a.wav", np.stack([sound, 0 * sound], axis=1), subtype="FLOAT")
    np.testing.assert_allclose(audio.decode(path, 22_050), sound / 2, atol=1e-6)
    assert notes(path) == {"one-sided"}


@pytest.mark.parametrize("layout", ["5.1", "5.1(side)", "7.1"])
def test_stereo_within_surround_comes_out_as_that_stereo(tmp_path: Path, layout: str) -> None:
    left, right = noise(1, rate=44_100), noise(2, rate=44_100)
    channels = np.zeros((len(av.AudioLayout(layout).channels), len(left)), np.float32)
    channels[:2] = left, right
    path = encode(tmp_path / "a.flac", "flac", layout, (channels * 2**31).astype(np.int32), "s32")
    np.testing.assert_allclose(audio.decode(path, 44_100), (left + right) / 2, atol=1e-5)


def test_surround_channels_are_weighed_by_the_standard() -> None:
    half = np.sqrt(0.5)
    expected = [0.5, 0.5, half, 0.0, half / 2, half / 2]
    np.testing.assert_allclose(weights("5.1", 6), expected, rtol=1e-6)
    np.testing.assert_allclose(weights("6 channels", 6), expected, rtol=1e-6)
    np.testing.assert_allclose(weights("11 channels", 11), np.full(11, 1 / 11), rtol=1e-6)


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"]
)
def test_every_type_of_sample_has_the_same_full_scale(write: Write, subtype: str) -> None:
    sound = 0.9 * tone(440)
    decoded = audio.decode(write("a.wav", sound, subtype=subtype), 22_050)
    np.testing.assert_allclose(decoded, sound, atol=0.03 if subtype == "ULAW" else 0.01)


def test_pieces_of_other_rates_and_channels_are_joined(write: Write) -> None:
    one = write("one.mp3", noise(1, seconds=2.0, rate=44_100), rate=44_100)
    pair = np.stack([noise(2, seconds=2.0, rate=32_000)] * 2, axis=1)
    other = write("other.mp3", pair, rate=32_000)
    joined = one.with_name("joined.mp3")
    joined.write_bytes(one.read_bytes() + other.read_bytes())
    decoded = audio.decode(joined, 16_000)
    assert len(decoded) / 16_000 == pytest.approx(4.0, abs=0.15)
    assert "longer-than-stated" in notes(joined)


@pytest.mark.parametrize("hole", [4_000, 60_000])
def test_a_small_hole_is_passed_over_and_a_large_one_refused(write: Write, hole: int) -> None:
    path = write("a.mp3", noise(1, seconds=60.0, rate=44_100), rate=44_100)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + hole] = bytes(hole)
    path.write_bytes(content)
    if hole < len(content) / 100:
        assert "concealed" in notes(path)
    else:
        with pytest.raises(audio.AudioError, match=r"damaged near (29|30)\.\d s") as refused:
            audio.decode(path, 16_000)
        assert refused.value.code == "damaged"


def test_half_an_ogg_file_says_that_its_end_is_missing(write: Write) -> None:
    path = write("a.ogg", noise(1, seconds=10.0))
    assert notes(path) == set()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert notes(path) == {"no-end"}


def test_a_wav_that_holds_less_than_its_header_says_is_cut_off(write: Write) -> None:
    path = write("a.wav", noise(1, seconds=10.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(audio.AudioError, match=r"5\.0 s of 10\.0 s") as refused:
        audio.decode(path, 16_000)
    assert refused.value.code == "truncated"


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF])
def test_a_wav_written_into_a_pipe_is_read_to_its_end(write: Write, stated: int) -> None:
    path = write("a.wav", noise(1, seconds=2.0))
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = stated.to_bytes(4, "little")
    path.write_bytes(content)
    assert len(audio.decode(path, 22_050)) == 2 * 22_050
    assert notes(path) == set()


def test_a_rate_that_is_no_rate_of_music_is_refused(write: Write) -> None:
    path = write("a.wav", noise(1))
    content = bytearray(path.read_bytes())
    content[24:28] = (1).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(audio.AudioError, match="1 Hz") as refused:
        audio.examine(path)
    assert refused.value.code == "bad-header"


def test_audio_beyond_the_limit_is_refused(write: Write) -> None:
    path = write("a.wav", noise(1, seconds=5.0))
    with pytest.raises(audio.AudioError) as refused:
        list(audio.stream(path, 16_000, audio.Limits(max_duration_s=3.0)))
    assert refused.value.code == "too-long"


def notes(path: Path) -> set[str]:
    decoding = audio.Decoding(path, 16_000)
    for _ in decoding:
        pass
    return {note.code for note in decoding.notes}


def loudest_hertz(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum) * rate / len(samples))


def encode_aac(path: Path, samples: np.ndarray) -> None:
    encode(path, "aac", "stereo", samples.astype(np.float32), "fltp")


def encode(path: Path, codec: str, layout: str, samples: np.ndarray, kind: str) -> Path:
    """Write samples, shape ``(channels, n)``, at 44.1 kHz."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44_100, layout=layout, format=kind)
        for start in range(0, samples.shape[1], 1024):
            block = samples[:, start : start + 1024]
            packed = block if kind.endswith("p") else block.T.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(packed), format=kind, layout=layout
            )
            frame.sample_rate, frame.pts, frame.time_base = 44_100, start, Fraction(1, 44_100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_playlist_that_is_named_like_audio_leads_nowhere(write: Write) -> None:
    folder = write("other.wav", noise(1)).parent
    for text in ("ffconcat version 1.0\nfile other.wav\n", "#EXTM3U\n#EXTINF:1,\nother.wav\n"):
        (folder / "list.mp3").write_text(text)
        with pytest.raises(audio.AudioError):
            audio.examine(folder / "list.mp3")
        with pytest.raises(audio.AudioError):
            audio.decode(folder / "list.mp3", 8000)
