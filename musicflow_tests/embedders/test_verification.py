"""`musicflow weights verify`: upstream's vectors are told from any others."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from musicflow.embedders import WeightsError, load, openl3, panns, spec_of, verification, wav2vec2
from musicflow.embedders.weights import digest_of
from musicflow.settings import Settings
from musicflow_tests.embedders.test_openl3 import git_blob, weights_file  # noqa: F401


def test_the_trained_weights_of_musicnn_give_the_vectors_of_its_package():
    checksum, vectors = verification.verify(spec_of("musicnn"), Settings().cache)
    assert checksum.compared == "bytes of musicnn-0.1.0-py3-none-any.whl"
    assert (checksum.reference, checksum.found) == ("its published sha256", "equal")
    assert vectors.compared == "vectors of 1 window of a tone"
    assert vectors.reference == "figures that musicnn 0.1.0 made"
    assert vectors.found == "lowest cosine 1.00000"


def test_other_vectors_are_not_taken_for_upstreams(monkeypatch):
    other = replace(spec_of("musicnn"), trained=False)
    monkeypatch.setattr(verification, "load", lambda _spec, cache: load(other, cache))
    with pytest.raises(WeightsError, match="not those of its package"):
        verification.verify(spec_of("musicnn"), Settings().cache)


@pytest.mark.slow
def test_the_figures_of_openl3_are_for_all_variants_of_its_weights(
    weights_file,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    """Its trained weights cannot be had everywhere: seeded ones must be refused by the figures."""
    monkeypatch.setitem(openl3._DIGESTS, ("mel256", "music"), git_blob(weights_file))
    spec = openl3.variant("mel256", "music", 512)
    assert spec.weights is not None
    spec.weights.add(weights_file, tmp_path)
    with pytest.raises(WeightsError, match="not those of its package"):
        verification.verify(spec, tmp_path)


def test_weights_without_figures_are_checked_by_their_bytes_and_a_usable_vector(
    weights_file,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.setitem(openl3._DIGESTS, ("mel128", "music"), git_blob(weights_file))
    spec = openl3.variant()
    assert spec.weights is not None
    spec.weights.add(weights_file, tmp_path)
    [_, check] = verification.verify(spec, tmp_path)
    assert check.reference == "nothing: its package's is not known"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["panns", "wav2vec2"])
def test_weights_whose_package_is_here_are_held_to_it(name, tmp_path, monkeypatch):
    module = {"panns": panns, "wav2vec2": wav2vec2}[name]
    path = tmp_path / "weights"
    state = module.seeded_model().state_dict()
    torch.save({"model": state} if name == "panns" else state, path)
    weights = replace(module.CHECKPOINT, filename=path.name, digest=digest_of(path), size=None)
    monkeypatch.setattr(module, "CHECKPOINT", weights)
    monkeypatch.setattr(panns, "read_labels", lambda _: ("tag",) * 527)
    spec = replace(module.SPEC, weights=weights)
    [_, check] = verification.verify(spec, tmp_path)
    assert check.reference.endswith(", run here")
    assert check.found.startswith("lowest cosine")
    noise = np.random.default_rng(0).normal(size=(1, spec.dim))
    monkeypatch.setitem(verification._PACKAGES, name, ("numpy", lambda *_: noise))
    with pytest.raises(WeightsError, match="not those of its package"):
        verification.verify(spec, tmp_path)


def test_the_tone_is_that_of_the_figures():
    tone = verification.tone(44_100, 2.0)
    assert tone.shape == (88_200,)
    assert tone[1] == pytest.approx(0.0500488, abs=1e-4)
    crossings = np.flatnonzero(np.diff(np.signbit(tone))) / 44_100
    assert np.diff(crossings)[[0, -1]] == pytest.approx([1 / 880, 1 / 1584], abs=2 / 44_100)
