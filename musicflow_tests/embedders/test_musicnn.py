"""musicnn held to its upstream package.

``musicnn_expected.npz`` was made with musicnn 0.1.0 and its weights: two patches of a song as
mel power (float16, as upstream rounds it) and what upstream makes of them. Upstream returns the
penultimate layer of a song's first patch for all of its patches (``extractor.py`` names the later
ones ``backend_`` and appends the first again), so for the second patch the tags, which are
computed from that layer, are the witness.
"""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import librosa
import numpy as np
import pytest
import torch

from musicflow.embedders import musicnn, musicnn_vgg
from musicflow.embedders.spec import EmbedderEntry, windows_of
from musicflow.settings import Settings
from musicflow_tests.conftest import noise

FIGURES = Path(__file__).with_name("musicnn_expected.npz")

# The prefix of each network's figures.
MUSICNN = pytest.mark.parametrize(
    ("entry", "key"), [(musicnn.ENTRY, ""), (musicnn.ENTRY_MTT, "mtt/")], ids=["msd", "mtt"]
)
VGG = pytest.mark.parametrize(
    ("entry", "key"),
    [(musicnn_vgg.ENTRY, "vgg/"), (musicnn_vgg.ENTRY_MTT, "vgg-mtt/")],
    ids=["msd", "mtt"],
)


@pytest.fixture(scope="module")
def embedder() -> musicnn.Musicnn:
    return musicnn.load(musicnn.SPEC, Settings().cache)


@pytest.fixture(scope="module")
def figures() -> dict[str, np.ndarray]:
    return dict(np.load(FIGURES))


@pytest.fixture(scope="module")
def patches(figures: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.log10(10_000 * torch.from_numpy(figures["mel_power"]).float() + 1)


def run(entry: EmbedderEntry, patches: torch.Tensor) -> dict[str, np.ndarray]:
    network = entry.load(entry.spec, Settings().cache).network  # type: ignore[attr-defined]
    with torch.inference_mode():
        layers = {name: layer.numpy() for name, layer in network(patches).items()}
    assert {name: layer.shape[1] for name, layer in layers.items()} == entry.layers
    return layers


@MUSICNN
def test_the_network_gives_upstreams_figures(
    entry: EmbedderEntry, key: str, patches: torch.Tensor, figures: dict[str, np.ndarray]
) -> None:
    layers = run(entry, patches)
    tags = 1 / (1 + np.exp(-layers["logits"]))
    assert cosine(tags, figures[f"{key}taggram"]) > 0.99999
    np.testing.assert_allclose(tags, figures[f"{key}taggram"], atol=1e-4)
    for name in ("front", "cnn1", "cnn2", "cnn3", "penultimate"):
        assert cosine(layers[name][:1], figures[f"{key}{name}_of_first"][None]) > 0.99999, name


def test_the_pools_are_upstreams(patches: torch.Tensor, figures: dict[str, np.ndarray]) -> None:
    layers = run(musicnn.ENTRY, patches)
    assert cosine(layers["mean_pool"], figures["mean_pool"]) > 0.99999


@VGG
def test_the_vgg_network_gives_upstreams_figures(
    entry: EmbedderEntry, key: str, patches: torch.Tensor, figures: dict[str, np.ndarray]
) -> None:
    layers = run(entry, patches)
    tags = 1 / (1 + np.exp(-layers.pop("logits")))
    np.testing.assert_allclose(tags, figures[f"{key}taggram"], atol=1e-4)
    for name, layer in layers.items():
        assert cosine(layer, figures[f"{key}{name}"]) > 0.99999, name


@pytest.mark.parametrize("entry", [musicnn.ENTRY, musicnn_vgg.ENTRY], ids=["musicnn", "vgg"])
def test_one_pass_gives_every_layer_as_a_pass_of_its_own_does(entry: EmbedderEntry) -> None:
    windows = np.stack([noise(i, 48_128 / 16_000, 16_000) for i in range(2)]).astype(np.float32)
    layers = entry.load(entry.spec, Settings().cache).layers(windows).vectors
    assert list(layers) == list(entry.layers)
    for name, dim in entry.layers.items():
        alone = entry.load(replace(entry.spec, layer=name, dim=dim), Settings().cache)
        np.testing.assert_array_equal(alone.infer(windows).vectors, layers[name])


def test_patches_are_those_of_a_whole_track_cut_by_upstream() -> None:
    samples = noise(1, seconds=10.0, rate=16_000).astype(np.float32)
    windows = np.stack(list(windows_of([samples], musicnn.SPEC)))
    patches = musicnn.log_mel(torch.from_numpy(windows)).numpy()
    power = librosa.feature.melspectrogram(
        y=samples, sr=16_000, n_fft=512, hop_length=256, n_mels=96
    )
    whole = np.log10(10_000 * power.T.astype(np.float16).astype(np.float32) + 1)
    expected = [whole[i : i + 187] for i in range(0, len(whole) - 186, 187)]
    assert len(patches) == len(expected) == 3
    np.testing.assert_allclose(patches, np.stack(expected), atol=2e-3)


def test_a_window_does_not_depend_on_its_neighbours(embedder: musicnn.Musicnn) -> None:
    windows = np.stack([noise(i, 48_128 / 16_000, 16_000) for i in range(5)]).astype(np.float32)
    together = embedder.infer(windows)
    for row, window in enumerate(windows):
        alone = embedder.infer(window[None])
        np.testing.assert_allclose(alone.vectors[0], together.vectors[row], rtol=1e-3, atol=1e-4)


def test_tags_are_as_many_as_outputs(embedder: musicnn.Musicnn) -> None:
    window = noise(1, 48_128 / 16_000, 16_000).astype(np.float32)
    vectors, tags = embedder.infer(window[None])
    assert vectors.shape == (1, musicnn.SPEC.dim)
    assert tags is not None
    assert tags.shape == (1, len(embedder.tag_names)) == (1, 50)
    assert ((tags >= 0) & (tags <= 1)).all()


def cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The least cosine of any row."""
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / norms).min())


@pytest.mark.parametrize("module", [musicnn, musicnn_vgg], ids=["musicnn", "vgg"])
def test_untrained_weights_are_the_same_each_time_and_shaped_like_the_trained(
    module: ModuleType,
) -> None:
    variables = module.seeded_variables(0)
    trained = musicnn.variables_of(module.SPEC, Settings().cache, module.seeded_variables)
    shapes = {name: value.shape for name, value in trained.items() if value.shape}
    assert {name: value.shape for name, value in variables.items()} == shapes
    again = module.seeded_variables(0)
    for name, value in variables.items():
        np.testing.assert_array_equal(value, again[name])
