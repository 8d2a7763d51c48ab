"""ONNX networks as embedders, beside the same networks in torch."""

import dataclasses
import shutil
import warnings
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch

from musicflow import embedders
from musicflow.embedders import EmbedderError, musicnn
from musicflow.embedders.adapters import front_end
from musicflow_tests.embedders.similarity import chords, cosines

NOWHERE = Path("unused")
RATE = 16_000

MUSICNN = """
sample_rate = 16_000
dim = 200
tail = "drop"
licence = "ISC"
trained_on = "seeds"

[mel]
n_fft = 512
hop = 256
bands = 96
half = true
log_scale = 10_000.0
log_offset = 1.0
frames = 187
"""


class Network(torch.nn.Module):
    def __init__(self, embedder: musicnn.Musicnn) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        layers = self.embedder.network(patches)
        return layers["penultimate"], layers["logits"].sigmoid()


class Statistics(torch.nn.Module):
    """A network of a waveform, with an output over time and one without."""

    def forward(self, audio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames = audio.reshape(audio.shape[0], 10, -1)
        over_time = torch.stack([frames.mean(2), frames.square().mean(2)], dim=2)
        return over_time, over_time.amax(1).repeat(1, 2)


def export(model: torch.nn.Module, example: torch.Tensor, path: Path, outputs: list[str]) -> Path:
    batch = torch.export.Dim("batch", min=1, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (example,),
            path,
            output_names=outputs,
            dynamic_shapes=({0: batch},),
            verbose=False,
        )
    return path


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "statistics.onnx"
    return export(Statistics(), torch.zeros(2, RATE), path, ["frames", "whole"])


@pytest.fixture
def statistics(exported: Path, tmp_path: Path) -> Path:
    path = Path(shutil.copy(exported, tmp_path))
    path.with_suffix(".toml").write_text("sample_rate = 16_000\ndim = 4\nwindow_s = 1.0\n")
    return path


@pytest.mark.slow
def test_musicnn_as_onnx_gives_the_vectors_of_ours(tmp_path: Path) -> None:
    # What is exported stays where the example is.
    spec = dataclasses.replace(musicnn.SPEC, device="cpu")
    ours = musicnn.Musicnn(spec, musicnn.seeded_variables(0))
    path = tmp_path / "musicnn.onnx"
    export(Network(ours), torch.zeros(2, 187, 96), path, ["penultimate", "tags"])
    path.with_suffix(".toml").write_text(MUSICNN)
    spec = embedders.spec_of(f"onnx:{path}")
    for name in ("sample_rate", "dim", "window_samples", "hop_samples", "pad_samples", "tail"):
        assert getattr(spec, name) == getattr(musicnn.SPEC, name)
    theirs = embedders.load(spec, NOWHERE)
    for audio in chords(2, 10.0, RATE):
        found = [one.frames(audio, RATE).vectors for one in (theirs, ours)]
        assert cosines(*found).min() >= 0.99999


def test_a_network_of_the_waveform_is_read_at_the_output_of_its_dims(statistics: Path) -> None:
    embedder = embedders.load(embedders.spec_of(f"onnx:{statistics}"), NOWHERE)
    windows = chords(3, 1.0, RATE)
    _, wanted = Statistics()(torch.from_numpy(windows))
    np.testing.assert_allclose(embedder.infer(windows).vectors, wanted.numpy(), atol=1e-6)


def test_the_layer_of_the_address_names_an_output_whose_mean_over_time_is_taken(
    statistics: Path,
) -> None:
    statistics.with_suffix(".toml").write_text("sample_rate = 16_000\ndim = 2\nwindow_s = 1.0\n")
    spec = embedders.spec_of(f"onnx:{statistics}#frames")
    assert spec.layer == "frames"
    windows = chords(3, 1.0, RATE)
    wanted, _ = Statistics()(torch.from_numpy(windows))
    found = embedders.load(spec, NOWHERE).infer(windows).vectors
    np.testing.assert_allclose(found, wanted.mean(1).numpy(), atol=1e-6)


def test_a_fixed_batch_is_filled_with_silence_that_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "fixed.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Statistics(), (torch.zeros(4, RATE),), path, verbose=False)
    told = "sample_rate = 16_000\ndim = 4\nwindow_s = 1.0\nbatch = 4\n"
    path.with_suffix(".toml").write_text(told)
    windows = chords(6, 1.0, RATE)
    _, wanted = Statistics()(torch.from_numpy(windows))
    found = embedders.load(embedders.spec_of(f"onnx:{path}"), NOWHERE).infer(windows).vectors
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-6)


def test_another_network_or_front_end_is_another_spec(statistics: Path) -> None:
    name = f"onnx:{statistics}"
    first = embedders.spec_of(name).hash
    statistics.with_suffix(".toml").write_text("sample_rate = 8_000\ndim = 4\nwindow_s = 1.0\n")
    second = embedders.spec_of(name)
    statistics.write_bytes(statistics.read_bytes() + b"\x00")
    assert len({first, second.hash, embedders.spec_of(name).hash}) == 3
    with pytest.raises(EmbedderError, match="instead of"):
        embedders.load(second, NOWHERE)


WAVE = "sample_rate = 16_000\ndim = 4\nwindow_s = 1.0\n"

BROKEN = {
    "": "sample_rate: Field required",
    "sample_rate = 'x'": "sample_rate: Input should be a valid integer",
    "sample_rate = 16_000\ndim = 4": "give window_s for a waveform, or the table",
    "sample_rate = 16_000\ndim = 4\nwindow_s = 1\nhops = 1": "hops: Extra inputs",
    "= 1": "Invalid statement",
    "front_end = 'nothing'": "there is no 'nothing', but discogs-effnet",
    "sample_rate = 16_000\ndim = 5\nwindow_s = 1.0": "has 0 outputs of 5 dims: name one of frames",
    f"{WAVE}output = 'x'": "has no 'x': it has frames, whole",
    f"{WAVE}input = 'x'": "has no 'x': it has audio",
}


@pytest.mark.parametrize(("told", "sentence"), BROKEN.items())
def test_a_broken_front_end_is_one_sentence(told: str, sentence: str, statistics: Path) -> None:
    statistics.with_suffix(".toml").write_text(told)
    with pytest.raises(EmbedderError) as caught:
        embedders.load(embedders.spec_of(f"onnx:{statistics}"), NOWHERE)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_network_is_one_sentence(statistics: Path) -> None:
    statistics.write_bytes(b"nothing")
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        embedders.load(embedders.spec_of(f"onnx:{statistics}"), NOWHERE)
    statistics.with_suffix(".toml").unlink()
    with pytest.raises(EmbedderError, match=r"the front end .* is not there: write it"):
        embedders.spec_of(f"onnx:{statistics}")
    with pytest.raises(EmbedderError, match="there is no file"):
        embedders.spec_of(f"onnx:{statistics}x")


def mel_of(**changes: Any) -> front_end.Mel:
    base = {"n_fft": 512, "hop": 256, "bands": 40, "frames": 20, "log_offset": 1e-6}
    return front_end.Mel(**{**base, **changes})


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@pytest.mark.parametrize("norm", ["slaney", "sum", "none"])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_spectrogram_is_that_of_librosa(scale: str, norm: str, power: float) -> None:
    [audio] = chords(1, 1.0, RATE)
    mel = mel_of(scale=scale, norm=norm, power=power, log="ln", fmin=50.0, fmax=7000.0)
    found = front_end.log_mel(torch.from_numpy(audio[None]), mel, RATE)[0].numpy()
    wanted = librosa.feature.melspectrogram(
        y=audio,
        sr=RATE,
        n_fft=512,
        hop_length=256,
        center=False,
        n_mels=40,
        fmin=50.0,
        fmax=7000.0,
        htk=scale == "htk",
        norm={"slaney": "slaney", "sum": 1.0, "none": None}[norm],
        power=power,
    )
    np.testing.assert_allclose(found, np.log(wanted.T + 1e-6), atol=5e-2)


def test_the_front_end_of_discogs_effnet_cuts_patches_as_essentia_does(tmp_path: Path) -> None:
    (tmp_path / "effnet.onnx").write_bytes(b"a network")
    (tmp_path / "effnet.toml").write_text('front_end = "discogs-effnet"\nbatch = 64\n')
    spec = embedders.spec_of(f"onnx:{tmp_path}/effnet.onnx")
    assert (spec.sample_rate, spec.dim, spec.licence) == (RATE, 1280, "CC-BY-NC-SA-4.0")
    made = front_end.read(tmp_path / "effnet.toml")
    audio = chords(2, 3.0, RATE)[:, : spec.window_samples]
    patches = made(torch.from_numpy(audio))
    assert patches.shape == (2, 128, 96)
    assert spec.hop_samples == 62 * 256
    # Essentia's window is symmetric, which moves musicnn's spectrogram a little.
    assert made.mel is not None
    ours = musicnn.log_mel(torch.from_numpy(audio[:, : 127 * 256 + 512]))
    assert 1e-5 < (patches - ours).abs().max() < 0.1
