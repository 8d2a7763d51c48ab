"""OpenL3: a network that learnt audio by telling which sound belongs to which picture.

Our torch build of the audio half of Cramer, Wu, Salamon and Bello, "Look, Listen and Learn More:
Design Choices for Deep Audio Embeddings" (ICASSP 2019), upstream file ``openl3/models.py`` of
version 0.4, with upstream's weights and its kapre front end.

The vector of a one-second window is the last convolution, max-pooled. Upstream centres windows:
the first one holds half a second of silence and half a second of audio.
"""

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from musicflow.embedders import compute
from musicflow.embedders.errors import WeightsError
from musicflow.embedders.keras import numbered, scale_and_shift
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred
from musicflow.embedders.weights import UrlWeights
from musicflow.kernels.convolution import Layer, convolutions, long_imports

if TYPE_CHECKING:
    import torch

InputRepr = Literal["mel128", "mel256"]
Content = Literal["music", "env"]
Dim = Literal[512, 6144]

SAMPLE_RATE = 48_000
N_FFT = 2048
HOP = 242
FRAMES = 199
"""Spectrogram frames a window: one starts every `HOP` samples as long as there are samples."""

LAYER = "audio_embedding_layer"
CHANNELS = (1, 64, 64, 128, 128, 256, 256, 512, 512)
_POOLED = (1, 3, 5)
"""The convolutions that a 2 x 2 max-pooling follows."""

_CHUNK = 8
"""Windows that go through the network at once. With fewer, the kernels of the deep layers are read
from memory for too little."""
_SPECTRA = 4
"""Windows whose spectra are made at once: they fit into a processor's cache."""
_BATCH_ON_GPU = 128
"""With 32, a GPU is a seventh slower."""

_RELEASE = "v0_4_0"
_SOURCE = "https://raw.githubusercontent.com/marl/openl3/models/"

N_MELS: dict[InputRepr, int] = {"mel128": 128, "mel256": 256}

_DIGESTS = {
    ("mel128", "music"): "git-blob:73ff29de441865318c4b3a3f98c40763c4773e7c",
    ("mel256", "music"): "git-blob:15e483646fa3d4091a463f0affbb706e6bbbb098",
}

_TRAINED_ON = {
    "music": "AudioSet, videos of musical performances",
    "env": "AudioSet, videos of environmental sounds",
}


class Model(NamedTuple):
    """One of upstream's models: its input, and what it was trained on."""

    input_repr: InputRepr
    content: Content

    @property
    def n_mels(self) -> int:
        """Bands of the mel spectrogram."""
        return N_MELS[self.input_repr]

    @property
    def seed(self) -> int:
        """Where seeded weights start from."""
        return self.n_mels + (self.content == "env")


@dataclass(frozen=True, kw_only=True)
class ModelWeights(UrlWeights):
    """The weights of one of upstream's models."""

    model: Model


def variant(
    input_repr: InputRepr = "mel128",
    content: Content = "music",
    dim: Dim = 512,
    hop_s: float = 0.5,
    digest: str | None = None,
) -> EmbedderSpec:
    """One of upstream's models.

    Parameters
    ----------
    input_repr
        Mel bands of the spectrogram: 128 or 256.
    content
        What the model was trained on: music or environmental sound.
    dim
        Length of a vector: 512, or 6144 where less is pooled.
    hop_s
        Distance between windows in seconds. Upstream's default is 0.1; windows that overlap by
        half make nearly the same mean for a fifth of the work.
    digest
        The checksum of the weights, see `Weights`, for those we know none of (``env``).

    Raises
    ------
    ValueError
        If there is no such model.
    """
    if input_repr not in N_MELS or content not in _TRAINED_ON:
        raise ValueError(f"no OpenL3 model takes {input_repr!r} and was trained on {content!r}")
    if dim not in (512, 6144):
        raise ValueError(f"OpenL3 gives vectors of 512 or 6144 dims, not {dim}")
    parts = [str(part) for part in (input_repr, content, dim) if part not in _DEFAULTS]
    filename = f"openl3_audio_{input_repr}_{content}-{_RELEASE}.h5.gz"
    return EmbedderSpec(
        name="-".join(["openl3", *parts]),
        version="1",
        sample_rate=SAMPLE_RATE,
        dim=dim,
        window_s=1.0,
        hop_s=hop_s,
        pad_s=(0.5, 0.0),
        tail="pad",
        layer=LAYER,
        precision=compute.fastest_precision(),
        precisions=("fp32", "bf16"),
        weights=ModelWeights(
            model=Model(input_repr, content),
            filename=filename,
            url=_SOURCE + filename,
            release=_RELEASE,
            digest=digest or _DIGESTS.get((input_repr, content)),
            licence="CC-BY-4.0",
            trained_on=_TRAINED_ON[content],
        ),
        summary=f"audio-visual correspondence, {_TRAINED_ON[content]}, {input_repr}",
    )


_DEFAULTS = ("mel128", "music", 512)

SPEC = variant()


def model_of(spec: EmbedderSpec) -> Model:
    """Return the model that a spec's weights are of."""
    assert isinstance(spec.weights, ModelWeights)
    return spec.weights.model


def load(spec: EmbedderSpec, cache: Path) -> "OpenL3":
    """Load the weights of a spec, fetching them if they are not in `cache`.

    Raises
    ------
    WeightsError
        If the weights cannot be had, or are not those of this network.
    """
    return OpenL3(spec, weights_of(spec, cache))


def weights_of(spec: EmbedderSpec, cache: Path) -> list[np.ndarray]:
    """Trained or seeded weights, as the spec says, in upstream's order; see `load`."""
    if not spec.trained:
        return seeded_weights(model_of(spec).seed)
    assert spec.weights is not None
    return read_weights(spec.weights.fetch(cache))


def weight_shapes() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Return the weights in upstream's order, as (layer, kind, shape).

    Kernels are Keras's: (height, width, in, out). The first normalization stands before the
    first convolution, each other one behind its convolution, and the last has none.
    """
    norms = "gamma", "beta", "moving_mean", "moving_variance"
    for i, channels in enumerate(CHANNELS):
        if i > 0:
            layer = LAYER if i == len(CHANNELS) - 1 else numbered("conv2d", i - 1)
            yield layer, "kernel", (3, 3, CHANNELS[i - 1], channels)
            yield layer, "bias", (channels,)
        if i < len(CHANNELS) - 1:
            for kind in norms:
                yield numbered("batch_normalization", i), kind, (channels,)


def seeded_weights(seed: int) -> list[np.ndarray]:
    """Weights that were never trained, in upstream's order; the same at every call.

    The first normalization takes decibels, so that it is drawn about their usual values.
    """
    rng = np.random.default_rng(seed)

    def draw(layer: str, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        first = layer == "batch_normalization"
        match kind:
            case "kernel":
                return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3]))
            case "bias":
                return rng.standard_normal(shape) * 0.01
            case "gamma":
                return rng.uniform(0.5, 1.5, shape)
            case "beta":
                return rng.standard_normal(shape) * 0.1
            case "moving_mean":
                return rng.standard_normal(shape) * 0.1 - 40 * first
            case _:
                return rng.uniform(0.5, 1.5, shape) * (400 if first else 1)

    return [draw(*weight).astype(np.float32) for weight in weight_shapes()]


def read_weights(path: Path) -> list[np.ndarray]:
    """Read a file of upstream's: Keras's older HDF5 layout, gzipped or not.

    Returns
    -------
    list of numpy.ndarray
        Float32 arrays in the order of the file, which is `weight_shapes`'.

    Raises
    ------
    WeightsError
        If it cannot be read, or holds another network.
    """
    import h5py

    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        with h5py.File(io.BytesIO(content)) as file:
            root = file.get("model_weights", file)
            found = [
                np.asarray(root[layer][name], np.float32)
                for layer in root.attrs["layer_names"]
                for name in root[layer].attrs["weight_names"]
            ]
    except (OSError, EOFError, KeyError) as error:
        raise WeightsError(f"{path} is not a readable file of Keras weights: {error}") from error
    if [weight.shape for weight in found] != [shape for *_, shape in weight_shapes()]:
        raise WeightsError(f"{path} holds the weights of another network than OpenL3's")
    return found


def write_weights(path: Path, weights: list[np.ndarray]) -> None:
    """Write weights in the layout of upstream's files, for upstream's own code to load."""
    import h5py

    named: dict[str, list[tuple[str, np.ndarray]]] = {}
    for (layer, kind, _), weight in zip(weight_shapes(), weights, strict=True):
        named.setdefault(layer, []).append((f"{layer}/{kind}:0", weight))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in named]
        for layer, pairs in named.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name, _ in pairs]
            for name, weight in pairs:
                group.create_dataset(name, data=weight)


def mel_decibels(windows: "torch.Tensor", mel: "torch.Tensor") -> "torch.Tensor":
    """Upstream's input: mel magnitudes in decibels below each window's loudest.

    Parameters
    ----------
    windows
        Audio, shape ``(B, 48000)``, float32.
    mel
        The filter bank, shape ``(1025, n_mels)``.

    Returns
    -------
    torch.Tensor
        Shape ``(B, 199, n_mels)``, float32, in [-80, 0].

    Notes
    -----
    kapre's ``get_melspectrogram_layer(pad_end=True)``: the last frames reach into silence,
    nothing is centred. The decibels are those of kapre 0.1.4, on which the weights were trained:
    ten times the logarithm of a magnitude, not of a power.
    """
    import torch
    from torch.nn.functional import pad

    padded = pad(windows, (0, (FRAMES - 1) * HOP + N_FFT - SAMPLE_RATE))
    hann = torch.hann_window(N_FFT, device=windows.device)
    spectrum = torch.stft(padded, N_FFT, HOP, window=hann, center=False, return_complex=True)
    # Several times as fast as the absolute value, which guards against overflow.
    magnitude = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag).sqrt_()
    decibels = (magnitude.transpose(1, 2) @ mel).clamp_min_(1e-10).log10_().mul_(10)
    return decibels.sub_(decibels.amax((1, 2), keepdim=True)).clamp_min_(-80)


class OpenL3(Embedder):
    """OpenL3 with weights loaded.

    Parameters
    ----------
    spec
        The spec; see `variant`.
    weights
        In upstream's order: `read_weights` or `seeded_weights`.
    """

    # After the last spectra torch's threads wait for more, busily, while others convolve. With
    # more windows between, that is less for each.
    batch_size = 32

    def __init__(self, spec: EmbedderSpec, weights: list[np.ndarray]) -> None:
        import torch
        from torchaudio.functional import melscale_fbanks

        self.spec = spec
        self.device = compute.device(spec.device)
        if self.device == "cuda":
            self.batch_size = _BATCH_ON_GPU
        n_mels = model_of(spec).n_mels
        # kapre's defaults are librosa's: Slaney's scale, area-normalised.
        self._mel = melscale_fbanks(
            N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, n_mels, SAMPLE_RATE, "slaney", "slaney"
        ).to(self.device)
        # The last convolution sees 1/8 of the bands and 24 frames.
        self._pool = (n_mels // 8, 24) if spec.dim == 512 else (n_mels // 32, 8)
        (self._scale, self._shift), folded = _folded(weights)
        last = len(folded) - 1
        layers = [
            Layer(
                # Keras keeps (height, width, in, out), torch (out, in, height, width).
                torch.tensor(kernel.transpose(3, 2, 0, 1).copy()),
                torch.tensor(bias),
                relu=i < last,
                pooling="max" if i in _POOLED else "none",
            )
            for i, (kernel, bias) in enumerate(folded)
        ]
        self._convolutions = convolutions(layers, self.device, compute.dtype(spec))

    def infer(self, windows: np.ndarray) -> Inferred:
        """Vectors of windows ``(B, 48000)``, shape ``(B, dim)``; see `Embedder.infer`."""
        import torch
        from torch.nn.functional import max_pool2d

        with torch.inference_mode():
            batch = compute.tensor(windows, self.device)
            decibels = compute.in_chunks(lambda few: mel_decibels(few, self._mel), batch, _SPECTRA)
            # The first normalization cannot be folded into its convolution, whose silent border
            # comes after it; on decibels it costs next to nothing.
            normed = decibels.mul_(self._scale).add_(self._shift)
            # Upstream's picture is frequency by time.
            pictures = normed.transpose(1, 2)[..., None]
            images = compute.in_chunks(self._convolutions, pictures, _CHUNK)
            # Keras flattens with the channels last.
            pooled = max_pool2d(images.permute(0, 3, 1, 2), self._pool).permute(0, 2, 3, 1)
            return Inferred(pooled.flatten(1).float().cpu().numpy())


def _folded(
    weights: list[np.ndarray],
) -> tuple[tuple[float, float], list[tuple[np.ndarray, np.ndarray]]]:
    """Return the first normalization, and the convolutions with theirs in.

    In double precision, so that folding rounds once.
    """
    exact = [weight.astype(np.float64) for weight in weights]
    scale, shift = scale_and_shift(*exact[:4])
    convolutions = []
    for start in range(4, len(exact), 6):
        kernel, bias, *norm = exact[start : start + 6]
        if norm:
            factor, offset = scale_and_shift(*norm)
            kernel, bias = kernel * factor, bias * factor + offset
        convolutions.append((kernel.astype(np.float32), bias.astype(np.float32)))
    return (float(scale[0]), float(shift[0])), convolutions


_entry = partial(
    EmbedderEntry,
    load=load,
    prepare=compute.prepare_convolutions,
    imports=("torch", "torchaudio", "h5py", *long_imports(SPEC.precision == "bf16")),
)

OPENL3 = _entry(SPEC)
OPENL3_MEL256 = _entry(variant("mel256"))
OPENL3_ENV = _entry(variant(content="env"))
OPENL3_MEL256_ENV = _entry(variant("mel256", "env"))
OPENL3_6144 = _entry(variant(dim=6144))
OPENL3_MEL256_6144 = _entry(variant("mel256", dim=6144))
OPENL3_ENV_6144 = _entry(variant(content="env", dim=6144))
OPENL3_MEL256_ENV_6144 = _entry(variant("mel256", "env", 6144))
