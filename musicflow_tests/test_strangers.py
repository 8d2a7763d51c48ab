"""Trained models of others, through the doors that are open to all, held to their own code."""

import importlib
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from musicflow import embedders
from musicflow.embedders import WeightsError
from musicflow.settings import Settings
from musicflow_tests import strangers
from musicflow_tests.embedders.similarity import chords, cosines

pytestmark = pytest.mark.slow


def loaded(name: str) -> Any:
    try:
        spec = embedders.spec_of(f"{strangers.__name__}:{name}")
        return embedders.load(spec, Settings().cache)
    except WeightsError as error:
        pytest.skip(f"the wheel cannot be had: {error}")


def unpacked(embedder: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the code in an embedder's wheel importable, without its own ``__init__``."""
    with zipfile.ZipFile(embedder.spec.weights.fetch(Settings().cache)) as wheel:
        wheel.extractall(folder)
    package = ModuleType(embedder.spec.name)
    package.__path__ = [str(folder / embedder.spec.name)]
    monkeypatch.setitem(sys.modules, embedder.spec.name, package)
    return folder / embedder.spec.name


def test_aisfx_gives_the_vectors_of_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = loaded("AISFX")
    unpacked(ours, tmp_path, monkeypatch)
    network = importlib.import_module("aisfx.models.cnn2d").EmbeddingNet("max", 3, 1, 64).eval()
    prefix = "embedding_net."
    weights = {n: value for n, value in ours.weights.items() if n.startswith(prefix)}
    network.load_state_dict({n.removeprefix(prefix): value for n, value in weights.items()})
    blocking = importlib.import_module("aisfx.preprocessing").blocking
    # Seven blocks and a rest that is left out; less than one block.
    for seconds in (10.0, 1.5):
        [window] = chords(1, seconds, 44_100)
        blocks = blocking(ours.mel(window).T, 100, 50, drop_partial_block=True)
        with torch.inference_mode():
            wanted = network(torch.Tensor(blocks)).mean(0, keepdim=True).numpy()
        assert cosines(ours.infer(window[None]).vectors, wanted) > 0.99999


def test_resemblyzer_gives_the_vectors_of_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = loaded("RESEMBLYZER")
    folder = unpacked(ours, tmp_path, monkeypatch)
    # It listens for voices, which is left out: music has few.
    monkeypatch.setitem(sys.modules, "webrtcvad", ModuleType("webrtcvad"))
    encoder = importlib.import_module("resemblyzer.voice_encoder").VoiceEncoder
    theirs = encoder("cpu", verbose=False, weights_fpath=folder / "pretrained.pt")
    # Blocks that fill the window: what happens to the rest is no part of the network.
    [window] = chords(1, (160 + 5 * 77) / 100, 16_000)
    level = 10 ** (-30 / 20) / np.sqrt(np.square(window).mean())
    wanted = theirs.embed_utterance(window * max(1.0, level), min_coverage=1.0)
    assert cosines(ours.infer(window[None]).vectors, wanted[None]) > 0.99999
