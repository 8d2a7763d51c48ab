"""musicnn: a small network with musically motivated filters, trained to tag music.

Our torch port of Pons and Serra, "musicnn: pre-trained convolutional neural networks for music
audio tagging" (ISMIR late-breaking 2019), upstream files ``musicnn/extractor.py`` (front end)
and ``musicnn/models.py`` (network), with the weights that upstream's wheel carries: trained on the
Million Song Dataset (MSD) and on MagnaTagATune (MTT).

Its vectors are the penultimate layer; its fifty tags come from the same pass.
"""

import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from musicflow.embedders import compute
from musicflow.embedders.keras import numbered, scale_and_shift
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred, Layers
from musicflow.embedders.tensor_bundle import read_tensor_bundle
from musicflow.embedders.weights import WheelWeights

if TYPE_CHECKING:
    import torch

SAMPLE_RATE = 16_000
N_FFT = 512
HOP = 256
N_MELS = 96
PATCH_FRAMES = 187

# Upstream transforms a whole track, centred, and cuts the spectrogram into patches. A patch is
# the same as this much audio, reaching half a transform beyond its first and last frame.
_WINDOW = (PATCH_FRAMES - 1) * HOP + N_FFT

# fmt: off
MSD_TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
    "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists",
    "classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill",
    "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
    "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country",
    "easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock",
    "60s", "rnb", "indie pop", "sad", "House", "happy",
)
# fmt: on

# fmt: off
MTT_TAGS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast",
    "piano", "ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male",
    "singing", "vocals", "no vocals", "harpsichord", "loud", "quiet", "flute", "woman",
    "male vocal", "no vocal", "pop", "soft", "sitar", "solo", "man", "classic", "choir", "voice",
    "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello", "no voice",
    "weird", "country", "metal", "female voice", "choral",
)
# fmt: on


@dataclass(frozen=True, kw_only=True)
class NetworkWeights(WheelWeights):
    """The weights of one of the networks in upstream's wheel.

    Parameters
    ----------
    folder
        Where they lie in the wheel.
    tags
        The names of the network's outputs.
    """

    folder: str
    tags: tuple[str, ...]


MSD = NetworkWeights(
    package="musicnn",
    version="0.1.0",
    filename="musicnn-0.1.0-py3-none-any.whl",
    digest="sha256:f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
    licence="ISC",
    trained_on="Million Song Dataset, 50 Last.fm tags",
    folder="MSD_musicnn",
    tags=MSD_TAGS,
)

MTT = replace(MSD, trained_on="MagnaTagATune, 50 tags", folder="MTT_musicnn", tags=MTT_TAGS)

SPEC = EmbedderSpec(
    name="musicnn",
    version="1",
    sample_rate=SAMPLE_RATE,
    dim=200,
    window_s=_WINDOW / SAMPLE_RATE,
    hop_s=PATCH_FRAMES * HOP / SAMPLE_RATE,
    pad_s=(N_FFT / 2 / SAMPLE_RATE, N_FFT / 2 / SAMPLE_RATE),
    tail="drop",
    layer="penultimate",
    weights=MSD,
    summary="music tagging network, Million Song Dataset",
)

SPEC_MTT = replace(
    SPEC, name="musicnn-mtt", weights=MTT, summary="music tagging network, MagnaTagATune"
)

LAYERS = {
    "front": 561,
    "cnn1": 64,
    "cnn2": 64,
    "cnn3": 64,
    "mean_pool": 753,
    "pools": 1506,
    "hidden": 200,
    "penultimate": 200,
    "logits": 50,
}
"""The layers, lowest first, and their dims. Those before the pools are means over time."""

_POOLED = ("front", "cnn1", "cnn2", "cnn3")

_BATCH_ON_GPU = 32
"""Five times as fast there as 2; with 128, convolutions take gigabytes of working memory."""


def load(spec: EmbedderSpec, cache: Path) -> "Musicnn":
    """Load the weights, fetching them if needed; seeded ones if untrained.

    Raises
    ------
    WeightsError
        If the weights cannot be had.
    TensorBundleError
        If they cannot be read.
    """
    return Musicnn(spec, variables_of(spec, cache, seeded_variables))


def variables_of(
    spec: EmbedderSpec, cache: Path, seeded: Callable[[int], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return trained or seeded variables, as the spec says; see `load`."""
    if not spec.trained:
        return seeded(0)
    assert isinstance(spec.weights, NetworkWeights)
    return read_checkpoint(spec.weights.fetch(cache), spec.weights.folder)


def read_checkpoint(wheel: Path, folder: str) -> dict[str, np.ndarray]:
    """Read one network's variables out of upstream's wheel, without the optimizer's."""
    with zipfile.ZipFile(wheel) as archive:
        folder = f"musicnn/{folder}/"
        index = archive.read(folder + ".index")
        data = archive.read(folder + ".data-00000-of-00001")
    return {k: v for k, v in read_tensor_bundle(index, data).items() if "Adam" not in k}


def seeded_variables(seed: int) -> dict[str, np.ndarray]:
    """Return untrained variables in upstream's shapes, always the same."""
    rng = np.random.default_rng(seed)
    kernels = [(7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51)]
    kernels += [(7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64)]
    norms = [1, *(kernel[-1] for kernel in kernels), 1506, 200]
    layers: dict[str, tuple[int, ...]] = {
        numbered("conv2d", i): kernel for i, kernel in enumerate(kernels)
    }
    layers |= {"dense": (1506, 200), "dense_1": (200, 50)}
    return drawn(rng, layers, norms)


def drawn(
    rng: np.random.Generator, layers: dict[str, tuple[int, ...]], norms: list[int]
) -> dict[str, np.ndarray]:
    """Draw the variables of layers, by name and shape, and of norms, by size, in this order."""
    variables = {}
    for name, shape in layers.items():
        variables[f"{name}/kernel"] = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
        variables[f"{name}/bias"] = np.zeros(shape[-1])
    for i, size in enumerate(norms):
        for part, value in _NO_NORM.items():
            variables[f"{numbered('batch_normalization', i)}/{part}"] = np.full(size, value)
    return {name: value.astype(np.float32) for name, value in variables.items()}


_NO_NORM = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}


@cache
def _front_end_constants() -> tuple["torch.Tensor", "torch.Tensor"]:
    import torch
    from torchaudio.functional import melscale_fbanks

    # librosa's defaults, which upstream relies on: Slaney's scale, area-normalised.
    mel = melscale_fbanks(
        N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, N_MELS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return torch.hann_window(N_FFT), mel


def log_mel(windows: "torch.Tensor") -> "torch.Tensor":
    """Upstream's input: log-mel patches.

    Parameters
    ----------
    windows
        Audio, shape ``(B, 48128)``, float32.

    Returns
    -------
    torch.Tensor
        Shape ``(B, 187, 96)``, float32.

    Notes
    -----
    Upstream stores the mel power as float16 before the logarithm; the weights were trained on
    that, so the rounding is kept.
    """
    import torch

    window, mel = (constant.to(windows.device) for constant in _front_end_constants())
    spectrum = torch.stft(
        windows, N_FFT, HOP, window=window, center=False, return_complex=True
    ).transpose(1, 2)
    power = spectrum.real.square() + spectrum.imag.square()
    return torch.log10(10_000 * (power @ mel).half().float() + 1)


class Network(Embedder):
    """One of the networks in upstream's wheel, with weights loaded.

    Parameters
    ----------
    spec
        The spec; its layer is one that `network` gives.
    variables
        Tensors by their TensorFlow names, as in upstream's checkpoints.
    norms
        The number of batch normalizations.
    convs, denses
        The names of convolutions and dense layers, in the order of use.
    """

    # The output of the first convolutions is 9 MB a window. More than 32 MB at once and the C
    # library hands the memory back after each convolution, which takes longer than the convolution.
    batch_size = 2

    def __init__(
        self,
        spec: EmbedderSpec,
        variables: dict[str, np.ndarray],
        norms: int,
        convs: Iterable[str],
        denses: Iterable[str],
    ) -> None:
        import torch

        assert isinstance(spec.weights, NetworkWeights)
        self.spec = spec
        self.tag_names = spec.weights.tags
        self.device = compute.device(spec.device)
        if self.device == "cuda":
            self.batch_size = _BATCH_ON_GPU
        self._dtype = compute.dtype(spec)

        def tensor(value: np.ndarray) -> torch.Tensor:
            return torch.tensor(value).to(self.device, self._dtype)

        self._norms = [tuple(map(tensor, norm_of(variables, i))) for i in range(norms)]
        # TensorFlow keeps (height, width, in, out), torch (out, in, height, width).
        self._convs = [
            (
                tensor(variables[f"{name}/kernel"].transpose(3, 2, 0, 1).copy()),
                tensor(variables[f"{name}/bias"]),
            )
            for name in convs
        ]
        self._denses = [
            (tensor(variables[f"{name}/kernel"].T.copy()), tensor(variables[f"{name}/bias"]))
            for name in denses
        ]

    def infer(self, windows: np.ndarray) -> Inferred:
        """Return the layer ``(B, dim)`` and tag scores; see `Embedder.infer`."""
        layers = self._run(windows)
        return Inferred(compute.array(layers[self.spec.layer]), tags_of(layers))

    def layers(self, windows: np.ndarray) -> Layers:
        """Return all layers, and tag scores ``(B, 50)``; see `Embedder.layers`."""
        layers = self._run(windows)
        vectors = {name: compute.array(layer) for name, layer in layers.items()}
        return Layers(vectors, tags_of(layers))

    def network(self, patches: "torch.Tensor") -> dict[str, "torch.Tensor"]:
        """Return all layers, each ``(B, dim)``, of log-mel patches ``(B, T, 96)``."""
        raise NotImplementedError

    def _run(self, windows: np.ndarray) -> dict[str, "torch.Tensor"]:
        import torch

        with torch.inference_mode():
            patches = log_mel(compute.tensor(windows, self.device))
            return self.network(patches.to(self._dtype))

    def _norm(self, i: int, values: "torch.Tensor") -> "torch.Tensor":
        scale, shift = (part.view(-1, *[1] * (values.ndim - 2)) for part in self._norms[i])
        return values * scale + shift


class Musicnn(Network):
    """musicnn with weights loaded; its layers are `LAYERS`.

    Parameters
    ----------
    spec, variables
        See `Network`.
    """

    def __init__(self, spec: EmbedderSpec, variables: dict[str, np.ndarray]) -> None:
        convs = [numbered("conv2d", i) for i in range(8)]
        super().__init__(spec, variables, 11, convs, ("dense", "dense_1"))

    def network(self, patches: "torch.Tensor") -> dict[str, "torch.Tensor"]:
        """From log-mel patches ``(B, T, 96)`` to `LAYERS`, each ``(B, dim)``."""
        import torch
        from torch.nn.functional import linear, relu

        front = self._front_end(patches)
        features = torch.cat([front, *self._mid_end(front)], dim=1)
        mean = features.mean(dim=2)
        # Upstream flattens (features, 2): each feature's maximum and mean stand side by side.
        pooled = torch.stack([features.amax(dim=2), mean], dim=2).flatten(1)
        pools = self._norm(9, pooled)
        hidden = relu(linear(pools, *self._denses[0]))
        penultimate = self._norm(10, hidden)
        logits = linear(penultimate, *self._denses[1])
        parts = mean.split([LAYERS[name] for name in _POOLED], dim=1)
        after = (mean, pools, hidden, penultimate, logits)
        return dict(zip(LAYERS, (*parts, *after), strict=True))

    def _front_end(self, patches: "torch.Tensor") -> "torch.Tensor":
        """Timbral and temporal filters, pooled over frequency: ``(B, 561, T)``."""
        import torch
        from torch.nn.functional import conv2d, pad, relu

        image = self._norm(0, patches[:, None])
        outputs = []
        for i, (kernel, bias) in enumerate(self._convs[:5]):
            # "Same" padding in time; TensorFlow puts the odd one at the end.
            extra = kernel.shape[2] - 1
            padded = pad(image, (0, 0, extra // 2, extra - extra // 2))
            # Upstream: the maximum over frequency of norm(relu(convolution)). Both are monotonic
            # in each channel, so the maximum can come first and the rest work on 1/59 of the
            # data, given that a channel which the norm turns over is turned over before.
            sign = self._norms[i + 1][0].sign()
            top = conv2d(padded, kernel * sign.view(-1, 1, 1, 1)).amax(dim=3)
            outputs.append(self._norm(i + 1, relu((top * sign[:, None]) + bias[:, None])))
        return torch.cat(outputs, dim=1)

    def _mid_end(self, front: "torch.Tensor") -> list["torch.Tensor"]:
        """Three convolutions over time, the last two residual: each ``(B, 64, T)``."""
        from torch.nn.functional import conv1d, relu

        outputs: list[torch.Tensor] = []
        below = front
        for i, (kernel, bias) in enumerate(self._convs[5:]):
            # (out, 1, 7, features) spans all features at once: a convolution over time alone.
            filters = kernel[:, 0].transpose(1, 2)
            fresh = self._norm(i + 6, relu(conv1d(below, filters, bias, padding=3)))
            below = fresh + below if outputs else fresh
            outputs.append(below)
        return outputs


def norm_of(variables: dict[str, np.ndarray], i: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the i-th batch normalization as `scale_and_shift` gives it."""
    name = numbered("batch_normalization", i)
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    return scale_and_shift(*(variables[f"{name}/{part}"] for part in parts))


def tags_of(layers: dict[str, "torch.Tensor"]) -> np.ndarray:
    """Return the tag scores ``(B, 50)`` that follow from the last layer."""
    return compute.array(layers["logits"].sigmoid())


IMPORTS = "torch", "torchaudio"
ENTRY = EmbedderEntry(SPEC, load, layers=LAYERS, imports=IMPORTS)
ENTRY_MTT = EmbedderEntry(SPEC_MTT, load, layers=LAYERS, imports=IMPORTS)
