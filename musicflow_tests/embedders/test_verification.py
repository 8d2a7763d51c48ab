"""`musicflow weights verify`: upstream's vectors are told from any others."""

from dataclasses import replace

import numpy as np
import pytest

from musicflow.embedders import WeightsError, load, openl3, spec_of, verification
from musicflow.settings import Settings
from musicflow_tests.embedders.test_openl3 import git_blob, weights_file  # noqa: F401


def test_the_trained_weights_of_musicnn_give_the_vectors_of_its_package():
    found = verification.verify(spec_of("musicnn"), Settings().cache)
    assert found.startswith("as its package has it: 1 windows of a tone")


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
    assert "no vectors of the tone" in verification.verify(spec, tmp_path)


def test_the_tone_is_that_of_the_figures():
    tone = verification.tone(44_100, 2.0)
    assert tone.shape == (88_200,)
    assert tone[1] == pytest.approx(0.0500488, abs=1e-4)
    crossings = np.flatnonzero(np.diff(np.signbit(tone))) / 44_100
    assert np.diff(crossings)[[0, -1]] == pytest.approx([1 / 880, 1 / 1584], abs=2 / 44_100)
