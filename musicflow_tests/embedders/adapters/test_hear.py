"""HEAR modules as embedders, and the names that settings give models from outside."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from musicflow import embedders, worker
from musicflow.embedders import EmbedderError
from musicflow.embedders.adapters import files, hear
from musicflow.settings import Home, Settings
from musicflow_tests.conftest import noise

RATE = 24_000
NOWHERE = Path("unused")

MODULE = """
import torch

class Model(torch.nn.Module):
    sample_rate = 24_000
    scene_embedding_size = 3
    timestamp_embedding_size = 2

def load_model(path=""):
    assert path == ""
    return Model()

def get_scene_embeddings(audio, model):
    return torch.stack([audio.mean(1), audio.std(1), audio.abs().amax(1)], dim=1)

def get_timestamp_embeddings(audio, model):
    frames = audio.unfold(1, 2400, 2400)
    times = torch.arange(frames.shape[1]) * 100.0
    return torch.stack([frames.mean(2), frames.std(2)], dim=2), times.expand(len(audio), -1)
"""

BROKEN = {
    "raise RuntimeError('no import today')": "cannot be imported, RuntimeError: no import today",
    "load_model = int": "does not follow the HEAR API",
    "get_scene_embeddings = int": "does not follow the HEAR API",
    "def load_model(): 1 / 0\nget_scene_embeddings = int": "cannot be loaded, ZeroDivisionError",
    "load_model = object\nget_scene_embeddings = int": "no attribute 'scene_embedding_size'",
}


@pytest.fixture(autouse=True)
def module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    monkeypatch.setenv("MUSICFLOW_CACHE", str(tmp_path / "cache"))
    files._folder.cache_clear()
    if "slow" not in request.keywords:
        # A worker takes seconds to start, and finds the same.
        monkeypatch.setattr(hear, "_facts_of", lambda name: next(hear._look(name)))
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    path = tmp_path / "site" / "statistics_hear.py"
    path.write_text(MODULE)
    yield path
    sys.modules.pop("statistics_hear", None)
    files._folder.cache_clear()


def test_scenes_and_timestamps_are_those_of_the_module() -> None:
    audio = noise(1, 12.0, RATE).astype(np.float32)
    scene = embedders.load(embedders.spec_of("hear:statistics_hear"), NOWHERE)
    assert (scene.spec.sample_rate, scene.spec.dim, scene.spec.layer) == (RATE, 3, "scene")
    first, last = scene.frames(audio, RATE).vectors
    parts = audio[: 10 * RATE], audio[10 * RATE :]
    for found, part in zip((first, last), parts, strict=True):
        wanted = [part.mean(), part.std(), np.abs(part).max()]
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)
    times = embedders.load(embedders.spec_of("hear:statistics_hear#timestamp"), NOWHERE)
    frames = parts[0].reshape(-1, 2400)
    wanted = [frames.mean(), frames.std(axis=1).mean()]
    np.testing.assert_allclose(times.frames(audio, RATE).vectors[0], wanted, rtol=1e-3, atol=1e-6)


SPEAKING = """
class Spoken(Model):
    trained_on = "sounds of its own"
    licence = "CC-BY-NC-4.0"

def load_model(path=""):
    return Spoken()

def get_text_embeddings(texts, model):
    return torch.tensor([[float(len(text)), 1.0, 2.0] for text in texts])
"""


def test_a_fourth_function_is_a_text_side_of_the_default_layer(module: Path) -> None:
    silent = embedders.spec_of("hear:statistics_hear")
    assert (silent.text, silent.weights_state, silent.licence) == (False, "unknown", "unknown")
    sys.modules.pop("statistics_hear")
    module.write_text(MODULE + SPEAKING)
    spec = embedders.spec_of("hear:statistics_hear")
    assert (spec.text, spec.weights_state, spec.licence) == (True, "trained", "CC-BY-NC-4.0")
    found = embedders.infer_text(embedders.load(spec, NOWHERE), ["rain", "a"])
    np.testing.assert_array_equal(found, np.array([[4, 1, 2], [1, 1, 2]], np.float32))
    other = embedders.load(embedders.spec_of("hear:statistics_hear#timestamp"), NOWHERE)
    with pytest.raises(EmbedderError, match="no text side"):
        embedders.infer_text(other, ["rain"])


def test_another_code_is_another_spec(module: Path) -> None:
    before = embedders.spec_of("hear:statistics_hear").hash
    assert embedders.spec_of("hear:statistics_hear").hash == before
    sys.modules.pop("statistics_hear")
    module.write_text(MODULE + "# changed\n")
    assert embedders.spec_of("hear:statistics_hear").hash != before


@pytest.mark.parametrize(("code", "sentence"), BROKEN.items())
def test_a_broken_module_is_one_sentence(code: str, sentence: str, module: Path) -> None:
    module.write_text(code)
    with pytest.raises(EmbedderError) as caught:
        embedders.spec_of("hear:statistics_hear")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    spec = embedders.spec_or_stand_in("hear:statistics_hear", Settings())
    assert spec.label == "hear_statistics_hear"
    with pytest.raises(EmbedderError, match="statistics_hear"):
        embedders.load(spec, NOWHERE)


@pytest.mark.parametrize(
    "name", ["hear:there_is_none", "hear:statistics_hear#7", "hear:statistics_hear@1"]
)
def test_an_address_that_leads_nowhere_is_an_error_of_its_own(name: str) -> None:
    with pytest.raises(EmbedderError, match=r"hear|there_is_none"):
        embedders.spec_of(name)


def label_in_worker(name: str) -> Iterator[tuple[str, str]]:
    spec = embedders.spec_of(name)
    embedders.load(spec, NOWHERE)
    yield spec.label, spec.hash


@pytest.mark.workers
@pytest.mark.slow
def test_the_process_that_embeds_finds_it_by_its_reference(home: Home) -> None:
    home.root.mkdir()
    home.settings_file.write_text(
        'embedders = ["mfcc", "mine"]\n[aliases.mine]\nfrom = "hear:statistics_hear"\n'
    )
    spec = embedders.spec_for("mine", Settings())
    assert (spec.label, spec.reference) == ("mine", "mine=hear:statistics_hear")
    assert [spec.label for spec in embedders.specs_for(Settings())] == ["mfcc", "mine"]
    [found] = worker.iterate("a worker", label_in_worker, spec.reference)
    assert found == (spec.label, spec.hash)
    # Another process knows neither this home nor the alias.
    assert embedders.spec_for(spec.reference, Settings(home=home.root / "other")).hash == spec.hash


def test_an_alias_does_not_take_the_place_of_what_ships() -> None:
    settings = Settings(aliases={"mfcc": {"from": "hear:statistics_hear"}})
    with pytest.raises(EmbedderError, match="called 'mfcc', as another is"):
        embedders.spec_for("mfcc", settings)


def test_an_alias_of_no_address_is_an_error_of_the_settings() -> None:
    with pytest.raises(ValueError, match="'mfcc' is no address"):
        Settings(aliases={"x": {"from": "mfcc"}})


def test_two_embedders_of_one_name_stop_before_anything_is_done() -> None:
    names = ("x=hear:statistics_hear", "x=hear:statistics_hear#timestamp")
    with pytest.raises(EmbedderError, match="both called 'x'"):
        embedders.check_names(Settings(embedders=names))
