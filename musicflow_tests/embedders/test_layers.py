"""Layers of an embedder, by ``NAME#LAYER``."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musicflow import embedders
from musicflow.embedders import (
    EmbedderEntry,
    EmbedderSpec,
    Inferred,
    InterfaceError,
    Layers,
    UnknownEmbedderError,
    looks,
)
from musicflow.settings import Settings

NOWHERE = Path("/nonexistent")

TWO = f"{__name__}:ENTRY"


class Two(embedders.Embedder):
    """The mean of a window, and twice that."""

    def infer(self, windows: np.ndarray) -> Inferred:
        return Inferred(self.layers(windows).vectors[self.spec.layer])

    def layers(self, windows: np.ndarray) -> Layers:
        mean = windows.mean(axis=1, keepdims=True)
        return Layers({"low": mean, "high": np.tile(2 * mean, 3)})


SPEC = EmbedderSpec("two", "1", 100, 3, 1.0, 1.0, "high", "two layers")
ENTRY = EmbedderEntry(SPEC, lambda spec, _cache: Two(spec), layers={"low": 1, "high": 3})


def test_a_layer_is_an_embedder_of_its_own() -> None:
    spec = embedders.spec_of("musicnn#cnn2")
    assert (spec.name, spec.layer, spec.dim) == ("musicnn_cnn2", "cnn2", 64)
    assert spec.reference == "musicnn#cnn2"
    assert embedders.spec_of("wav2vec2#7-untrained").label == "wav2vec2_7-untrained"
    assert spec.hash != embedders.spec_of("musicnn").hash


@pytest.mark.parametrize("name", ["musicnn", "wav2vec2", "mfcc"])
def test_an_embedders_own_layer_is_the_embedder(name: str) -> None:
    plain = embedders.spec_of(name)
    named = embedders.spec_of(f"{name}#{plain.layer}")
    assert (named.label, named.hash) == (plain.label, plain.hash)


@pytest.mark.parametrize("name", ["musicnn#cnn9", "mfcc#2", f"{TWO}#middle"])
def test_a_layer_that_is_not_there_is_refused_and_the_others_named(name: str) -> None:
    with pytest.raises(UnknownEmbedderError, match=r"has no layer.*its layers are"):
        embedders.spec_of(name)
    with pytest.raises(UnknownEmbedderError, match="has no layer"):
        embedders.check_names(Settings(embedders=(name,)))


def test_a_layer_loads_by_its_address() -> None:
    spec = embedders.spec_of(f"{TWO}#low")
    vector = embedders.load(spec, NOWHERE).embed(np.full(100, 0.5, np.float32), 100)
    np.testing.assert_array_equal(vector, [0.5])


def test_a_layer_is_found_by_its_label_where_the_settings_name_it() -> None:
    settings = Settings(embedders=("musicnn#cnn2", "mfcc"))
    assert embedders.spec_for("musicnn_cnn2", settings) == embedders.spec_of("musicnn#cnn2")


def test_hop_and_coverage_of_an_embedder_are_those_of_its_layers() -> None:
    settings = Settings(embedders=("musicnn",), hop_s={"musicnn": 1.5}, coverage_s=30)
    assert embedders.spec_for("musicnn#cnn2", settings).hop_s == 1.5
    assert embedders.spec_for("musicnn", settings).hop_s == 1.5
    [*_, last] = embedders.layers_of(embedders.spec_for("musicnn", settings))
    assert (last.hop_s, last.coverage_s) == (1.5, 30)


def test_the_specs_of_all_layers_are_those_of_their_names() -> None:
    spec = embedders.untrained(embedders.spec_of("wav2vec2"))
    found = embedders.layers_of(spec)
    assert found[-1].hash == spec.hash
    assert [one.layer for one in found] == [str(layer) for layer in range(13)]
    for one in found[:-1]:
        assert embedders.spec_of(one.reference) == one
    assert embedders.layers_of(embedders.spec_of("mfcc")) == [embedders.spec_of("mfcc")]


def test_all_layers_stand_behind_one_another() -> None:
    spec = embedders.all_layers(embedders.spec_of(TWO))
    assert spec.dim == 4
    vector = embedders.load(spec, NOWHERE).embed(np.full(100, 0.5, np.float32), 100)
    np.testing.assert_array_equal(vector, [0.5, 1.0, 1.0, 1.0])


def test_an_embedder_that_does_not_know_layers_has_its_own_alone() -> None:
    spec = embedders.spec_of("mfcc")
    audio = np.random.default_rng(0).uniform(-0.1, 0.1, 44_100).astype(np.float32)
    alone = embedders.load(spec, NOWHERE).embed(audio, 44_100)
    whole = embedders.load(embedders.all_layers(spec), NOWHERE).embed(audio, 44_100)
    np.testing.assert_array_equal(alone, whole)


def test_a_layer_of_what_ships_is_not_from_outside() -> None:
    assert not looks.is_from_outside(embedders.spec_of("musicnn#cnn2"))
    assert looks.is_from_outside(embedders.spec_of(f"{TWO}#low"))


def test_layers_of_other_dims_than_their_entry_says_are_refused() -> None:
    spec = embedders.all_layers(embedders.spec_of(TWO))
    loaded = embedders.load(replace(spec, dim=9), NOWHERE)
    with pytest.raises(InterfaceError, match="shape"):
        embedders.infer(loaded, np.zeros((1, 100), np.float32))
