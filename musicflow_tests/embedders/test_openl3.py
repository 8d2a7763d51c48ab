"""OpenL3 against upstream's own package, on weights that both sides draw from one recipe.

`openl3_expected.npz` holds ``openl3.get_audio_embedding(clip(rate), rate, center=True,
hop_size=0.5)`` by openl3 0.4.2, TensorFlow 2.15, kapre 0.3.6 and resampy 0.2.2, the kapre front
end, as float16; keys are input, dims and rate. Of the 6144 dims every eighth is kept.
"""

import gzip
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicflow import audio
from musicflow.embedders import openl3
from musicflow.embedders.weights import UrlWeights, WeightsError

EXPECTED = np.load(Path(__file__).with_name("openl3_expected.npz"))
NOWHERE = Path("/nonexistent")


def clip(rate: int) -> np.ndarray:
    """Two tones over noise, 1.2 s. The noise keeps the bands above the decibels' floor, where
    the figures would hang on rounding; like music it fades towards the highest ones, where
    resampling filters differ."""
    t = np.arange(int(1.2 * rate)) / rate
    tones = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.2 * np.sin(2 * np.pi * 1760 * t) * (t > 0.6)
    noise = np.random.default_rng(rate).standard_normal(len(t))
    return (tones + np.convolve(noise, [0.01, 0.02, 0.01], "same")).astype(np.float32)


def untrained(input_repr="mel128", dim=512, precision="fp32", **options):
    spec = openl3.variant(input_repr, dim=dim, **options)
    return replace(spec, trained=False, precision=precision)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(float), b.astype(float)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(scope="module")
def small():
    return openl3.load(untrained(), NOWHERE)


@pytest.mark.parametrize(
    ("input_repr", "dim", "step"), [("mel128", 512, 1), ("mel128", 6144, 8), ("mel256", 512, 1)]
)
def test_vectors_are_upstreams(input_repr, dim, step):
    embedder = openl3.load(untrained(input_repr, dim), NOWHERE)
    vectors = embedder.frames(clip(48_000), 48_000).vectors
    assert vectors.shape == (3, dim)
    assert vectors.dtype == np.float32
    expected = EXPECTED[f"{input_repr}-{dim}-48000"]
    assert cosines(vectors[:, ::step], expected).min() > 0.99999
    # Beside the direction the length, as far as float16 keeps it.
    np.testing.assert_allclose(vectors[:, ::step], expected, rtol=1e-3, atol=0.01)


def test_vectors_through_our_resampler_are_upstreams(small, tmp_path):
    soundfile.write(tmp_path / "clip.wav", clip(44_100), 44_100, subtype="FLOAT")
    vectors = small.frames(audio.decode(tmp_path / "clip.wav", 48_000), 48_000).vectors
    assert cosines(vectors, EXPECTED["mel128-512-44100"]).min() > 0.999


def test_bfloat16_stays_close():
    embedder = openl3.load(untrained(precision="bf16"), NOWHERE)
    vectors = embedder.frames(clip(48_000), 48_000).vectors
    assert cosines(vectors, EXPECTED["mel128-512-48000"]).min() > 0.999
    assert vectors.dtype == np.float32


def test_first_window_is_centred_on_the_start(small):
    frames = small.frames(clip(48_000), 48_000)
    np.testing.assert_allclose(frames.times_s, [-0.5, 0.0, 0.5])
    half_silent = np.concatenate([np.zeros(24_000, np.float32), clip(48_000)[:24_000]])
    vector = small.infer(half_silent[None]).vectors[0]
    # On a GPU, a window's last digits differ by the batch it is in.
    np.testing.assert_allclose(vector, frames.vectors[0], rtol=1e-3)


def test_windows_do_not_touch_each_other(small):
    windows = np.random.default_rng(0).normal(0, 0.1, (5, 48_000)).astype(np.float32)
    windows *= np.array([1, 0.5, 0.1, 0.01, 0.001], np.float32)[:, None]
    together = small.infer(windows).vectors
    alone = np.concatenate([small.infer(window[None]).vectors for window in windows])
    assert cosines(together, alone).min() > 0.999999


def test_loudness_does_not_matter_but_silence_is_a_number(small):
    loud = clip(48_000)[None, :48_000]
    assert cosines(small.infer(loud).vectors, small.infer(loud / 8).vectors).min() > 0.99999
    assert np.isfinite(small.infer(np.zeros((1, 48_000), np.float32)).vectors).all()


def test_seeded_weights_are_the_same_every_time_and_differ_by_model():
    specs = [openl3.variant(m, c) for m in ("mel128", "mel256") for c in ("music", "env")]
    seeds = [openl3.model_of(spec).seed for spec in specs]
    assert len(set(seeds)) == 4
    first, again, other = (openl3.seeded_weights(seed)[4] for seed in (128, 128, 129))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """Seeded mel128 weights in the layout of upstream's files, gzipped as upstream's are."""
    plain = tmp_path_factory.mktemp("weights") / "weights.h5"
    openl3.write_weights(plain, openl3.seeded_weights(128))
    packed = plain.with_suffix(".h5.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes(), 1))
    return packed


def git_blob(file: Path) -> str:
    content = file.read_bytes()
    return "git-blob:" + hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def test_trained_weights_come_from_the_checked_file(small, weights_file, tmp_path):
    spec = replace(openl3.variant(digest=git_blob(weights_file)), precision="fp32")
    assert isinstance(spec.weights, UrlWeights)
    spec.weights.add(weights_file, tmp_path)
    trained = openl3.load(spec, tmp_path)
    np.testing.assert_array_equal(
        trained.embed(clip(48_000), 48_000), small.embed(clip(48_000), 48_000)
    )


def test_weights_are_read_without_gzip_too(weights_file, tmp_path):
    plain = tmp_path / "weights.h5"
    plain.write_bytes(gzip.decompress(weights_file.read_bytes()))
    for found, expected in zip(openl3.read_weights(plain), openl3.seeded_weights(128), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_damaged_and_foreign_weights_are_refused(weights_file, tmp_path):
    cut = tmp_path / "cut.h5.gz"
    cut.write_bytes(weights_file.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match=r"cut.h5.gz is not a readable"):
        openl3.read_weights(cut)
    empty = tmp_path / "text.h5"
    empty.write_text("no weights")
    with pytest.raises(WeightsError, match=r"text.h5 is not a readable"):
        openl3.read_weights(empty)
    wide = openl3.seeded_weights(128)
    wide[4] = wide[4][..., :32]
    openl3.write_weights(tmp_path / "wide.h5", wide)
    with pytest.raises(WeightsError, match="another network"):
        openl3.read_weights(tmp_path / "wide.h5")


BEFORE_A_CONVOLUTION = {
    "batch_normalization": ["input_1", "melspectrogram"],
    "conv2d_2": ["max_pooling2d"],
    "conv2d_4": ["max_pooling2d_1"],
    "conv2d_6": ["max_pooling2d_2"],
}


def save_as_keras_does(path: Path, weights: list[np.ndarray]) -> None:
    """Write the file that ``save_weights`` of upstream's whole model writes.

    The layout is that of a file written by openl3 0.4.2 with TensorFlow 2.15: every layer has its
    place, also those without weights, and their empty lists of names are numbers.
    """
    import h5py

    named: dict[str, dict[str, np.ndarray]] = {}
    for (layer, kind, _), weight in zip(openl3.weight_shapes(), weights, strict=True):
        for before in BEFORE_A_CONVOLUTION.get(layer, []):
            named.setdefault(before, {})
        named.setdefault(layer, {})[f"{layer}/{kind}:0"] = weight
        if layer.startswith("batch_normalization_"):
            place = int(layer.removeprefix("batch_normalization_")) - 1
            named[f"activation_{place}" if place else "activation"] = {}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in named])
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.15.0"
        for layer in (*named, "top_level_model_weights"):
            group = file.create_group(layer)
            arrays = named.get(layer, {})
            group.attrs["weight_names"] = np.array([name.encode() for name in arrays])
            for name, weight in arrays.items():
                group[name] = weight


def test_weights_load_as_keras_saves_those_of_the_whole_model(tmp_path):
    weights = openl3.seeded_weights(128)
    save_as_keras_does(tmp_path / "whole.h5", weights)
    packed = tmp_path / "whole.h5.gz"
    packed.write_bytes(gzip.compress((tmp_path / "whole.h5").read_bytes(), 1))
    for path in (tmp_path / "whole.h5", packed):
        for found, expected in zip(openl3.read_weights(path), weights, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_weights_in_a_keras_model_file_are_found(weights_file, tmp_path):
    import h5py

    plain = tmp_path / "weights.h5"
    plain.write_bytes(gzip.decompress(weights_file.read_bytes()))
    with h5py.File(plain) as source, h5py.File(tmp_path / "model.h5", "w") as target:
        source.copy(source["/"], target, "model_weights")
    found = openl3.read_weights(tmp_path / "model.h5")
    np.testing.assert_array_equal(found[4], openl3.seeded_weights(128)[4])


def test_variants_have_names_and_identities_of_their_own():
    variants = [
        openl3.variant(input_repr, content, dim)
        for input_repr in ("mel128", "mel256")
        for content in ("music", "env")
        for dim in (512, 6144)
    ]
    assert variants[0] == openl3.SPEC
    assert len({spec.name for spec in variants}) == len({spec.hash for spec in variants}) == 8
    assert openl3.variant("mel256", "env", 6144).name == "openl3-mel256-env-6144"
    assert openl3.variant(hop_s=0.1).hash != openl3.SPEC.hash
    assert untrained().hash != replace(untrained(), trained=True).hash


@pytest.mark.parametrize("options", [{"input_repr": "linear"}, {"content": "birds"}, {"dim": 128}])
def test_unknown_variants_are_refused(options):
    with pytest.raises(ValueError, match="OpenL3"):
        openl3.variant(**options)


def test_a_spec_costs_no_framework():
    code = (
        "import sys; from musicflow.embedders import openl3, openl3_tensorflow;"
        "print(openl3.SPEC.hash, {'torch', 'h5py', 'tensorflow', 'pooch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [openl3.SPEC.hash, "set()"]


def test_the_package_itself_agrees():
    """Runs where ``musicflow[openl3]`` is installed."""
    pytest.importorskip("openl3")
    from musicflow.embedders import openl3_tensorflow

    spec = replace(openl3_tensorflow.SPEC, trained=False)
    vectors = openl3_tensorflow.load(spec, NOWHERE).frames(clip(48_000), 48_000).vectors
    assert cosines(vectors, EXPECTED["mel128-512-48000"]).min() > 0.99999
