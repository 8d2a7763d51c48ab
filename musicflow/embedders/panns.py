"""PANNs: Cnn14, trained to tag AudioSet.

Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern Recognition",
2020. The definition and the weights' names are those of `panns_inference.models.Cnn14`; what runs
is the forward pass below, from the same tensors. That package is imported only to hold ours to it
and for seeded weights: it takes seconds, and a network that is not needed.
"""

import csv
import importlib
import importlib.util
import io
import sys
import types
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musicflow.embedders import compute
from musicflow.embedders.checkpoint import checked, read_checkpoint
from musicflow.embedders.errors import WeightsError
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred
from musicflow.embedders.weights import UrlWeights, WheelWeights
from musicflow.kernels.convolution import Layer, convolutions, long_imports

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


CHECKPOINT = UrlWeights(
    url="https://zenodo.org/record/3987831/files/Cnn14_mAP%3D0.431.pth?download=1",
    release="Zenodo record 3987831",
    filename="Cnn14_mAP=0.431.pth",
    size=327_428_481,
    digest="sha256:0dc499e40e9761ef5ea061ffc77697697f277f6a960894903df3ada000e34b31",
    licence="CC-BY-4.0",
    trained_on="AudioSet (1.9 million YouTube clips of 10 s, 527 tags; 2020)",
)

# panns-inference fetches the class list with wget while it is imported. The same 527 names, in
# the same order, ship in this small wheel: fetched and checked like weights, never imported.
LABELS = WheelWeights(
    package="epanns",
    version="0.1.5",
    filename="epanns-0.1.5-py3-none-any.whl",
    digest="sha256:3cbbe195ae802e8ad3c7b14bc214bace5840d0cf74488d895fc823290a9dff98",
    licence="MIT",
    trained_on="the AudioSet class list (CC-BY-4.0)",
)
_LABELS_MEMBER = "epanns/config/audioset_labels.csv"

SPEC = EmbedderSpec(
    name="panns",
    version="1",
    sample_rate=32_000,
    dim=2048,
    window_s=30.0,
    hop_s=30.0,
    tail="keep",
    min_s=1.0,
    layer="embedding",
    precision=compute.fastest_precision(),
    precisions=("fp32", "bf16"),
    weights=CHECKPOINT,
    summary="Cnn14 of PANNs: sound events and music, with 527 AudioSet tags",
)

_CLASSES = 527
_N_FFT, _HOP, _MELS = 1024, 320, 64
_BLOCKS = 6
_QUIETEST = 1e-10

_NORM = ("weight", "bias", "running_mean", "running_var")
_WIDTHS = (1, 64, 128, 256, 512, 1024, 2048)
SHAPES: dict[str, tuple[int, ...]] = {
    "logmel_extractor.melW": (_N_FFT // 2 + 1, _MELS),
    **{f"bn0.{part}": (_MELS,) for part in _NORM},
    **{
        f"conv_block{block}.conv{which}.weight": (wide, wide if which == 2 else before, 3, 3)
        for block, (before, wide) in enumerate(pairwise(_WIDTHS), 1)
        for which in (1, 2)
    },
    **{
        f"conv_block{block}.bn{which}.{part}": (wide,)
        for block, wide in enumerate(_WIDTHS[1:], 1)
        for which in (1, 2)
        for part in _NORM
    },
    "fc1.weight": (SPEC.dim, SPEC.dim),
    "fc1.bias": (SPEC.dim,),
    "fc_audioset.weight": (_CLASSES, SPEC.dim),
    "fc_audioset.bias": (_CLASSES,),
}
"""The shape of each tensor that the forward pass reads, by upstream's name."""

_SAMPLES_AT_ONCE = 30 * SPEC.sample_rate
"""Audio that goes through the network at once. More gains nothing: the arithmetic is full by
then, and the larger arrays would be mapped and cleared anew for every batch."""


def load(spec: EmbedderSpec, cache: Path) -> "Panns":
    """Load Cnn14 as a spec says.

    Parameters
    ----------
    spec
        `SPEC`, or a copy with another precision, windowing, or ``trained=False``.
    cache
        Folder of checked weight files.

    Raises
    ------
    WeightsError
        If the checkpoint or the class list is not to be had, or does not fit Cnn14.
    """
    if not spec.trained:
        return Panns(spec, seeded_model().state_dict(), ())
    weights = trained_weights(CHECKPOINT.fetch(cache))
    return Panns(spec, weights, read_labels(LABELS.fetch(cache)))


def upstream_class() -> type["nn.Module"]:
    """`panns_inference.models.Cnn14`, without running the package's own ``__init__``.

    That one calls wget for a file in the user's home and fails without it. Its ``models`` are
    imported under a package name of ours, so a later ``import panns_inference`` is untouched.
    """
    alias = "_musicflow_panns_inference"
    if alias not in sys.modules:
        found = importlib.util.find_spec("panns_inference")
        if found is None or found.submodule_search_locations is None:
            raise ModuleNotFoundError("panns needs the package panns-inference")
        package = types.ModuleType(alias)
        package.__path__ = list(found.submodule_search_locations)
        sys.modules[alias] = package
    cnn14: type[nn.Module] = importlib.import_module(f"{alias}.models").Cnn14
    return cnn14


def empty_model() -> "nn.Module":
    """Return upstream's Cnn14 with random weights."""
    build: Any = upstream_class()
    model: nn.Module = build(
        sample_rate=32000,
        window_size=_N_FFT,
        hop_size=_HOP,
        mel_bins=_MELS,
        fmin=50,
        fmax=14000,
        classes_num=_CLASSES,
    )
    return model.eval()


def seeded_model(seed: int = 0) -> "nn.Module":
    """Upstream's Cnn14 with the same random weights every time.

    The norms hold statistics measured on seeded audio. With made-up ones every layer would draw
    all tracks closer together, until what an untrained vector says of its track is lost in
    rounding.
    """
    import torch

    model = empty_model()
    random = torch.Generator().manual_seed(seed)
    norms = [module for name, module in model.named_modules() if "bn" in name.split(".")[-1]]
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.startswith(("conv_block", "fc")) and tensor.ndim > 1:
                deviation = (2 / tensor[0].numel()) ** 0.5
                tensor.normal_(0, deviation, generator=random)
        for norm in norms:
            norm.train().__setattr__("momentum", None)
        model(_seeded_audio(random))
    return model.eval()


def _seeded_audio(random: "torch.Generator") -> "Tensor":
    """Return eight tracks of 2 s: tones and noise, shape ``(8, 64000)``."""
    import torch

    time = torch.arange(2 * SPEC.sample_rate) / SPEC.sample_rate
    pitch, loudness = torch.rand(2, 8, 5, 1, generator=random)
    tones = torch.sin(2 * torch.pi * 60 * 100 ** pitch[:, 1:] * time) * loudness[:, 1:] ** 3
    noise = torch.randn(8, len(time), generator=random) * loudness[:, 0] ** 6
    swell = torch.sin(2 * torch.pi * (1 + 4 * pitch[:, 0]) * time) ** 2
    return (tones.sum(1) + noise) * swell / 5


def trained_weights(path: Path) -> dict[str, "Tensor"]:
    """Return the weights of Cnn14 in a checkpoint of upstream's training, by upstream's names.

    Raises
    ------
    WeightsError
        If the file is no checkpoint of Cnn14. Nothing in it is executed.
    """
    saved = read_checkpoint(path)
    model = saved.get("model") if isinstance(saved, Mapping) else None
    return checked(model, SHAPES, path, "Cnn14")


def upstream_vectors(path: Path, windows: np.ndarray) -> np.ndarray:
    """Return the vectors ``(B, 2048)`` that upstream's code makes of windows ``(B, n)``."""
    import torch

    model = empty_model()
    # Upstream's own way, with all that the file holds.
    model.load_state_dict(read_checkpoint(path)["model"])
    with torch.inference_mode():
        vectors: np.ndarray = model(torch.from_numpy(windows))["embedding"].numpy()
    return vectors


def read_labels(wheel: Path) -> tuple[str, ...]:
    """Return the names of the 527 tags, in the order of the outputs.

    Raises
    ------
    WeightsError
        If the wheel does not hold them.
    """
    try:
        text = zipfile.ZipFile(wheel).read(_LABELS_MEMBER).decode("utf-8")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{wheel} holds no AudioSet class list: {error}") from error
    names = tuple(row["display_name"] for row in csv.DictReader(io.StringIO(text)))
    if len(names) != _CLASSES:
        raise WeightsError(f"{wheel} names {len(names)} classes, expected {_CLASSES}")
    return names


class Panns(Embedder):
    """Cnn14 with its norms folded away.

    Parameters
    ----------
    spec
        Says precision and windowing.
    weights
        The tensors of Cnn14, by upstream's names; `SHAPES` tells them.
    tag_names
        The names of the 527 tags; empty for weights that know nothing.
    """

    def __init__(
        self, spec: EmbedderSpec, weights: Mapping[str, "Tensor"], tag_names: tuple[str, ...]
    ) -> None:
        import torch

        self.spec = spec
        self.tag_names = tag_names
        self.device = compute.device(spec.device)
        tensors = {name: weights[name].detach().float() for name in SHAPES}
        self._window = torch.hann_window(_N_FFT, device=self.device)
        self._mel = tensors["logmel_extractor.melW"].to(self.device)
        # The decibels and the norm of each band are one scale and one shift of the logarithm.
        scale, shift = _norm(tensors, "bn0")
        self._scale, self._shift = (10 * scale).to(self.device), shift.to(self.device)
        layers = (
            _layer(tensors, block, which) for block in range(1, _BLOCKS + 1) for which in (1, 2)
        )
        self._convolutions = convolutions(layers, self.device, compute.dtype(spec))
        self._embedding, self._tags = (
            tuple(tensors[f"{layer}.{part}"].to(self.device) for part in ("weight", "bias"))
            for layer in ("fc1", "fc_audioset")
        )

    def infer(self, windows: np.ndarray) -> Inferred:
        """See `Embedder.infer`. Windows hold at least ``spec.min_samples`` samples."""
        import torch

        at_once = _SAMPLES_AT_ONCE // windows.shape[1]
        with torch.inference_mode():
            audio = compute.tensor(windows, self.device)
            vectors = compute.in_chunks(self._forward, audio, at_once)
            if not self.tag_names:
                return Inferred(vectors.cpu().numpy())
            tags = compute.in_chunks(self._tags_of, vectors, at_once)
            return Inferred(vectors.cpu().numpy(), tags.cpu().numpy())

    def _forward(self, audio: "Tensor") -> "Tensor":
        """``(B, n)`` to embeddings ``(B, 2048)``."""
        from torch.nn import functional

        over_bands = self._convolutions(self._log_mel(audio)[..., None]).mean(dim=2)
        x = over_bands.amax(dim=1) + over_bands.mean(dim=1)
        return functional.relu(functional.linear(x, *self._embedding))

    def _tags_of(self, vectors: "Tensor") -> "Tensor":
        """Embeddings ``(B, 2048)`` to tags ``(B, 527)``."""
        from torch.nn import functional

        return functional.linear(vectors, *self._tags).sigmoid()

    def _log_mel(self, audio: "Tensor") -> "Tensor":
        """``(B, n)`` to normalised log-mel bands ``(B, frames, 64)``."""
        import torch

        spectrum = torch.stft(audio, _N_FFT, _HOP, window=self._window, return_complex=True)
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag).transpose(1, 2)
        logs = (power @ self._mel).clamp_(min=_QUIETEST).log10_()
        return torch.addcmul(self._shift, logs, self._scale)


def _norm(tensors: dict[str, "Tensor"], name: str) -> tuple["Tensor", "Tensor"]:
    """Return a batch norm as a scale and a shift of each channel."""
    scale = tensors[f"{name}.weight"] / (tensors[f"{name}.running_var"] + 1e-5).sqrt()
    return scale, tensors[f"{name}.bias"] - tensors[f"{name}.running_mean"] * scale


def _layer(tensors: dict[str, "Tensor"], block: int, which: int) -> Layer:
    """One of the two convolutions of a block, its norm in it."""
    scale, shift = _norm(tensors, f"conv_block{block}.bn{which}")
    kernel = tensors[f"conv_block{block}.conv{which}.weight"] * scale[:, None, None, None]
    last = block == _BLOCKS
    # Of 64 bands, four are left in the last block but one, and two in the last.
    return Layer(
        kernel,
        shift,
        pooling="mean" if which == 2 and not last else "none",
        tile=2 if last else 4,
        narrow=block >= _BLOCKS - 1,
    )


ENTRY = EmbedderEntry(
    SPEC,
    load,
    compute.prepare_convolutions,
    imports=("torch", *long_imports(SPEC.precision == "bf16")),
)
