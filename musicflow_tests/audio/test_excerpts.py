"""Excerpts: the samples of the whole file, by decoding little more than what is heard."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from musicflow import audio
from musicflow.audio.excerpts import THROUGH, Excerpts, Span
from musicflow.embedders import Embedder
from musicflow_tests.audio.corpus import CASES, COARSE, Case
from musicflow_tests.audio.test_corpus import cosine, written
from musicflow_tests.audio.test_decoding import encode_aac
from musicflow_tests.conftest import noise

Write = Callable[..., Path]

SECONDS = 20.0
KINDS = {
    "wav": {},
    "flac": {},
    "ogg": {},
    "mp3": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}


def song(seed: int, rate: int, seconds: float = SECONDS) -> np.ndarray:
    """Noise in two channels, each of whose seconds has a level of its own."""
    levels = np.random.default_rng(seed).uniform(0.2, 1.0, int(seconds) + 1)
    level = np.repeat(levels, rate)[: int(seconds * rate)]
    return np.stack([level * noise(seed, seconds, rate), level * noise(seed + 1, seconds, rate)], 1)


def spread(seconds: float, rate: int, count: int = 4, heard_s: float = 1.5) -> list[Span]:
    starts = (np.arange(count) + 0.5) * seconds / count - heard_s / 2
    return [(max(0, int(start * rate)), int(heard_s * rate)) for start in starts]


def heard(path: Path, rate: int, spans: list[Span]) -> tuple[list[np.ndarray], Excerpts]:
    excerpts = Excerpts(path, rate, spans)
    return list(excerpts), excerpts


@pytest.mark.parametrize("rate", [16_000, 22_050, 48_000])
@pytest.mark.parametrize("kind", KINDS)
def test_an_excerpt_has_the_samples_of_the_whole_file(write: Write, kind: str, rate: int) -> None:
    own = 48_000 if kind == "opus" else 44_100
    path = write(f"a.{kind}", song(1, own), own, **KINDS[kind])
    whole = audio.decode(path, rate)
    spans = [(0, rate), *spread(SECONDS, rate)[1:], (len(whole) - rate, rate)]
    found, excerpts = heard(path, rate, spans)
    assert len(found) == len(spans)
    for (start, count), samples in zip(spans, found, strict=True):
        np.testing.assert_allclose(samples, whole[start : start + count], atol=2e-6)
    assert excerpts.notes == ()
    assert excerpts.seconds == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize(
    ("own", "kbit_s", "layout"), [(48_000, 32, "stereo"), (24_000, 8, "mono"), (22_050, 8, "mono")]
)
def test_an_excerpt_of_mp3_has_what_frames_long_before_hold_for_it(
    tmp_path: Path, own: int, kbit_s: int, layout: str
) -> None:
    path = tmp_path / "a.mp3"
    samples = song(1, own).T.astype(np.float32)[: 2 if layout == "stereo" else 1]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=own, layout=layout)
        stream.bit_rate = 1000 * kbit_s
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
        frame.sample_rate = own
        for part in (frame, None):
            container.mux(stream.encode(part))
    whole = audio.decode(path, 16_000)
    spans = spread(SECONDS, 16_000, count=18, heard_s=0.3)
    found, _ = heard(path, 16_000, spans)
    for (start, count), part in zip(spans, found, strict=True):
        np.testing.assert_allclose(part, whole[start : start + count], atol=2e-6)


def test_an_excerpt_of_aac_differs_only_by_the_noise_of_its_decoder(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    encode_aac(path, song(1, 44_100).T)
    whole = audio.decode(path, 16_000)
    spans = spread(SECONDS, 16_000)
    for (start, count), samples in zip(spans, heard(path, 16_000, spans)[0], strict=True):
        expected = whole[start : start + count]
        assert samples.shape == expected.shape
        assert loudness(samples) == pytest.approx(loudness(expected), abs=1.0)


def test_only_what_is_heard_is_decoded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded_s = 0.0
    look_at = Excerpts._look_at

    def counted(self: Excerpts, block: audio.decoding.Block) -> None:
        nonlocal decoded_s
        decoded_s += block.samples.shape[1] / block.rate
        look_at(self, block)

    monkeypatch.setattr(Excerpts, "_look_at", counted)
    path = write("a.mp3", song(1, 44_100), 44_100)
    heard(path, 16_000, spread(SECONDS, 16_000, count=3, heard_s=1.0))
    assert 3 < decoded_s < 6


def test_excerpts_may_adjoin(write: Write) -> None:
    path = write("a.flac", song(1, 44_100), 44_100)
    whole = audio.decode(path, 16_000)
    spans = [(start * 16_000, 16_000) for start in range(20)]
    np.testing.assert_allclose(np.concatenate(heard(path, 16_000, spans)[0]), whole, atol=2e-6)


def test_behind_the_end_of_the_music_an_excerpt_is_short_or_empty(write: Write) -> None:
    path = write("a.flac", song(1, 44_100, 5.0), 44_100)
    found, _ = heard(path, 16_000, [(4 * 16_000, 32_000), (9 * 16_000, 16_000)])
    assert [len(samples) for samples in found] == [16_000, 0]


def test_the_pieces_of_a_chain_are_decoded_through_and_said_to_be(write: Write) -> None:
    one, other = (write(f"{n}.ogg", song(n, 44_100, 6.0), 44_100) for n in (1, 3))
    chain = one.with_name("chain.ogg")
    chain.write_bytes(one.read_bytes() + other.read_bytes())
    whole = audio.decode(chain, 16_000)
    spans = spread(12.0, 16_000)
    found, excerpts = heard(chain, 16_000, spans)
    for (start, count), samples in zip(spans, found, strict=True):
        np.testing.assert_allclose(samples, whole[start : start + count], atol=2e-6)
    assert [note.code for note in excerpts.notes] == [THROUGH]


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac"])
def test_half_a_file_is_refused_though_its_half_is_not_heard(write: Write, kind: str) -> None:
    path = write(f"a.{kind}", song(1, 44_100), 44_100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(audio.AudioError) as refused:
        heard(path, 16_000, [(0, 16_000)])
    assert refused.value.code in ("truncated", "damaged")


def loudness(samples: np.ndarray) -> list[float]:
    """Return the level of each tenth of a second, in decibels."""
    parts = np.array_split(samples, max(1, len(samples) // 1600))
    return [float(10 * np.log10(max(np.square(part).mean(), 1e-10))) for part in parts]


# Behind a fault, a file that is decoded whole is early, and an excerpt is not. Where the rate
# changes, an excerpt ends.
_DAMAGED = (
    *("bad-frame", "hole", "joined-tagged", "half.ogg"),
    *("joined-rates", "joined-near-rates", "chained-rates"),
)
_PUT_TOGETHER = ("vbr", "joined", "chained")
_KINDS = {
    (case.name.split("-")[0] if case.name.startswith(_PUT_TOGETHER) else "", suffix): case
    for case in reversed(CASES)
    for suffix in [Path(case.name).suffix.lower()]
    if case.right is None and case.cosine and case.is_small and not case.name.startswith(_DAMAGED)
}
"""The first file of each kind: rates and channels of one kind are cut alike."""


@pytest.mark.slow
@pytest.mark.parametrize("case", _KINDS.values(), ids=[case.name for case in _KINDS.values()])
def test_excerpts_of_every_kind_give_the_vectors_of_the_whole_file(
    case: Case, tmp_path: Path, musicnn: Embedder
) -> None:
    path, rate = written(case, tmp_path, 14.0), 16_000
    decoding = audio.Decoding(path, rate)
    whole = np.concatenate(list(decoding))
    spans = spread(audio.examine(path).duration_s, rate, 3, 3.1)
    found, excerpts = heard(path, rate, spans)
    codes = {note.code for note in excerpts.notes} - {THROUGH}
    assert codes == {note.code for note in decoding.notes}
    assert excerpts.seconds == pytest.approx(decoding.seconds, abs=0.15)
    expected = [whole[start : start + count] for start, count in spans]
    vectors = [musicnn.embed(np.concatenate(parts), rate) for parts in (found, expected)]
    # At low rates, much of AAC is noise that its decoder makes at random.
    assert cosine(*vectors) >= (0.9999 if case.cosine > COARSE else 0.999)
