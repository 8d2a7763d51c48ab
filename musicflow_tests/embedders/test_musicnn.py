"""musicnn held to its upstream package.

``musicnn_expected.npz`` was made with musicnn 0.1.0 and its MSD weights: two patches of a song as
mel power (float16, as upstream rounds it) and what upstream makes of them. Upstream returns the
penultimate layer of a song's first patch for all of its patches (``extractor.py`` names the later
ones ``backend_`` and appends the first again), so for the second patch the tags, which are
computed from that layer, are the witness.
"""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from musicflow.embedders import musicnn
from musicflow.embedders.spec import windows_of
from musicflow.settings import Settings
from musicflow_tests.conftest import noise

FIGURES = Path(__file__).with_name("musicnn_expected.npz")


@pytest.fixture(scope="module")
def embedder() -> musicnn.Musicnn:
    return musicnn.load(musicnn.SPEC, Settings().cache)


@pytest.fixture(scope="module")
def figures() -> dict[str, np.ndarray]:
    return dict(np.load(FIGURES))


def test_the_network_gives_upstreams_figures(
    embedder: musicnn.Musicnn, figures: dict[str, np.ndarray]
) -> None:
    patches = torch.log10(10_000 * torch.from_numpy(figures["mel_power"]).float() + 1)
    with torch.inference_mode():
        penultimate, tags = embedder.network(patches)
    assert cosine(penultimate[:1].numpy(), figures["penultimate_of_first"][None]) > 0.99999
    assert cosine(tags.numpy(), figures["taggram"]) > 0.99999
    np.testing.assert_allclose(tags.numpy(), figures["taggram"], atol=1e-4)


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


def test_untrained_weights_are_the_same_each_time_and_shaped_like_the_trained() -> None:
    variables = musicnn.seeded_variables(0)
    trained = musicnn.read_checkpoint(musicnn.SPEC.weights.fetch(Settings().cache), "MSD_musicnn")
    shapes = {name: value.shape for name, value in trained.items() if value.shape}
    assert {name: value.shape for name, value in variables.items()} == shapes
    again = musicnn.seeded_variables(0)
    for name, value in variables.items():
        np.testing.assert_array_equal(value, again[name])
