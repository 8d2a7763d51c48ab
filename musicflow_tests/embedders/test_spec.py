from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from musicflow import embedders
from musicflow.embedders import compute
from musicflow.embedders.spec import Embedder, EmbedderSpec, Inferred, windows_of
from musicflow.settings import Settings

SPEC = EmbedderSpec("toy", "1", 10, 2, window_s=1.0, hop_s=0.5, layer="-", summary="")


class Toy(Embedder):
    """Mean and length of a window."""

    def __init__(self, spec: EmbedderSpec) -> None:
        self.spec = spec

    def infer(self, windows: np.ndarray) -> Inferred:
        lengths = np.full(len(windows), windows.shape[1])
        return Inferred(np.stack([windows.mean(axis=1), lengths], axis=1).astype(np.float32))


specs = st.builds(
    replace,
    st.just(SPEC),
    window_s=st.sampled_from([0.4, 1.0, 1.5]),
    hop_s=st.sampled_from([0.1, 0.4, 2.1]),
    tail=st.sampled_from(["drop", "pad", "keep"]),
    min_s=st.just(0.3),
    pad_s=st.sampled_from([(0.0, 0.0), (0.2, 0.0), (0.1, 0.1)]),
)


@given(specs, st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_windows_do_not_depend_on_how_the_audio_arrives(
    spec: EmbedderSpec, lengths: Sequence[int]
) -> None:
    audio = np.arange(1, sum(lengths) + 2, dtype=np.float32)
    blocks = np.split(audio, np.cumsum(lengths))
    pieces, whole = list(windows_of(blocks, spec)), list(windows_of([audio], spec))
    assert len(pieces) == len(whole) >= 1
    for piece, window in zip(pieces, whole, strict=True):
        np.testing.assert_array_equal(piece, window)


@given(specs, st.integers(1, 80))
def test_windows_are_whole_and_hop_apart(spec: EmbedderSpec, samples: int) -> None:
    audio = np.arange(1, samples + 1, dtype=np.float32)
    windows = list(windows_of([audio], spec))
    for window in windows[:-1]:
        assert len(window) == spec.window_samples
    if spec.tail != "keep":
        assert len(windows[-1]) == spec.window_samples
    if len(windows) > 1:
        padded = np.pad(audio, spec.pad_samples)
        for i, window in enumerate(windows[:-1]):
            start = i * spec.hop_samples
            np.testing.assert_array_equal(window, padded[start : start + spec.window_samples])


@given(st.integers(1, 80))
def test_a_padded_tail_leaves_no_sample_out(samples: int) -> None:
    audio = np.arange(1, samples + 1, dtype=np.float32)
    assert set(audio) <= set(np.concatenate(list(windows_of([audio], SPEC))))


def test_a_short_track_is_filled_with_itself_unless_upstream_pads_with_silence() -> None:
    audio = np.array([1, 2, 3], np.float32)
    [padded] = windows_of([audio], SPEC)
    assert padded.tolist() == [1, 2, 3, 0, 0, 0, 0, 0, 0, 0]
    [repeated] = windows_of([audio], replace(SPEC, tail="drop", pad_s=(0.1, 0.1)))
    assert repeated.tolist() == [0, 1, 2, 3, 1, 2, 3, 1, 2, 0]


def test_a_track_counts_its_windows_by_their_length() -> None:
    spec = replace(SPEC, hop_s=1.0, tail="keep", min_s=0.1)
    audio = np.concatenate([np.zeros(10), np.ones(5)]).astype(np.float32)
    assert Toy(spec).embed(audio, spec.sample_rate)[0] == pytest.approx(5 / 15)


def test_frames_say_where_their_windows_start() -> None:
    spec = replace(SPEC, pad_s=(0.5, 0.0))
    vectors, times = Toy(spec).frames(np.ones(20, np.float32), spec.sample_rate)
    assert times.tolist() == [-0.5, 0.0, 0.5, 1.0]
    assert vectors.shape == (4, 2)


CHANGES = {
    "name": "other",
    "version": "2",
    "sample_rate": 20,
    "dim": 3,
    "window_s": 2.0,
    "hop_s": 0.25,
    "layer": "last",
    "pad_s": (0.5, 0.0),
    "tail": "drop",
    "min_s": 0.5,
    "pooling": "max",
    "standardize": True,
    "weights": embedders.spec_of("musicnn").weights,
    "trained": False,
    "coverage_s": 60.0,
    "loudness_lufs": -14.0,
}
PROSE = {"summary", "extra", "device", "precision", "precisions", "address", "text"}


def test_every_field_that_can_change_a_vector_changes_the_hash() -> None:
    assert CHANGES.keys() | PROSE == {field.name for field in fields(EmbedderSpec)}
    hashes = {replace(SPEC, **{name: value}).hash for name, value in CHANGES.items()}
    assert len(hashes | {SPEC.hash}) == len(CHANGES) + 1


def test_prose_and_the_device_do_not_change_the_hash() -> None:
    other = replace(SPEC, summary="new words", extra="more", device="cuda", precisions=())
    assert other.hash == SPEC.hash


def test_settings_change_the_hop_and_the_precision_of_those_that_have_a_choice() -> None:
    settings = Settings(hop_s={"openl3": 0.1}, precision="fp32", device="cpu")
    openl3, panns = (embedders.spec_for(name, settings) for name in ("openl3-untrained", "panns"))
    assert (openl3.hop_s, openl3.precision, openl3.device) == (0.1, "fp32", "cpu")
    assert (panns.hop_s, panns.precision) == (embedders.spec_of("panns").hop_s, "fp32")
    bf16 = Settings(precision="bf16")
    assert embedders.spec_for("panns", bf16).precision == "bf16"
    assert embedders.spec_for("mfcc", bf16).hash == embedders.spec_of("mfcc").hash
    assert embedders.spec_for("openl3", Settings()) == embedders.spec_of("openl3")


def test_a_hop_of_no_embedder_is_refused() -> None:
    with pytest.raises(embedders.UnknownEmbedderError, match="opnl3"):
        embedders.spec_for("openl3", Settings(hop_s={"opnl3": 0.1}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_to_be_missing() -> None:
    with pytest.raises(embedders.DeviceError, match="set device to auto or cpu"):
        compute.device("cuda")
    assert compute.device() == compute.device("cpu") == "cpu"


def test_untrained_vectors_never_go_by_a_trained_name() -> None:
    spec = replace(embedders.spec_of("musicnn"), trained=False)
    assert (spec.label, spec.weights_state) == ("musicnn-untrained", "untrained")
    assert spec.hash != embedders.spec_of("musicnn").hash


@pytest.mark.parametrize(
    ("name", "hint"), [("xyz", "there are musicnn, mfcc"), ("mfc", "the nearest is mfcc")]
)
def test_an_unknown_embedder_is_answered_with_those_there_are(name: str, hint: str) -> None:
    with pytest.raises(embedders.UnknownEmbedderError, match=hint):
        embedders.spec_of(name)


def test_the_machine_is_no_part_of_a_specs_hash() -> None:
    spec = embedders.spec_of("panns")
    variants = [
        replace(spec, precision=p, device=d) for p in spec.precisions for d in ("cpu", "cuda")
    ]
    assert len({variant.hash for variant in variants}) == 1


@pytest.mark.parametrize(
    ("name", "former"),
    [
        ("musicnn", {"9a4793537d732334"}),
        ("mfcc", {"4c54550817555a2b"}),
        ("openl3", {"049d6a4598c60ce2", "19cecc2a831da912"}),
        ("panns", {"a73601c350ae5c82", "8dba732005897ce8"}),
        ("wav2vec2", {"2399fc447185128f", "ebd9fefc3806d438"}),
    ],
)
def test_homes_of_before_know_a_spec_by_its_former_hashes(name: str, former: set[str]) -> None:
    assert set(embedders.spec_of(name).former_hashes) == former
