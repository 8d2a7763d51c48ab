"""Wav2Vec2: speech, learned without labels.

Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech
Representations", 2020. The definition and the weights' names are those of
`transformers.Wav2Vec2Model`; what runs is the forward pass below, from the same tensors.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musicflow.embedders import compute
from musicflow.embedders.spec import Embedder, EmbedderEntry, EmbedderSpec, Inferred, Layers
from musicflow.embedders.wav2vec2_features import FeatureEncoder
from musicflow.embedders.wav2vec2_upstream import (
    CONFIG,
    DIRECTION,
    LENGTH,
    POSITION,
    seeded_model,
    trained_weights,
)
from musicflow.embedders.weights import UrlWeights
from musicflow.kernels.fused import Linear, gelu

if TYPE_CHECKING:
    from torch import Tensor

    _Pair = tuple[Tensor, Tensor]

_REVISION = "0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8"

CHECKPOINT = UrlWeights(
    url=f"https://huggingface.co/facebook/wav2vec2-base/resolve/{_REVISION}/pytorch_model.bin",
    release=_REVISION,
    filename="wav2vec2-base.bin",
    size=380_267_417,
    digest="sha256:3249fe98bfc62fcbc26067f724716a6ec49d12c4728a2af1df659013905dff21",
    licence="Apache-2.0",
    trained_on="LibriSpeech (960 h of read English, without labels)",
)

SPEC = EmbedderSpec(
    name="wav2vec2",
    version="1",
    sample_rate=16_000,
    dim=768,
    window_s=10.0,
    hop_s=10.0,
    tail="keep",
    min_s=1.0,
    layer="12",
    precision=compute.fastest_precision(),
    precisions=("fp32", "bf16"),
    weights=CHECKPOINT,
    summary="wav2vec2-base: speech, learned without labels; layers 0 to 12",
)

_FFT = 384
"""Frames the positional convolution transforms at once; 257 of them come out."""
_ROWS = 1497
"""Frames in 30 s, the rows that packed weights are laid out for."""
_SAMPLES_AT_ONCE = 30 * SPEC.sample_rate


def load(spec: EmbedderSpec, cache: Path) -> "Wav2Vec2":
    """Load wav2vec2 as a spec says.

    Parameters
    ----------
    spec
        `SPEC`, or a copy with another precision, windowing, layer or ``trained=False``. Layer
        ``"0"`` is what enters the transformer, ``"12"`` what leaves it.
    cache
        Folder of checked weight files.

    Raises
    ------
    WeightsError
        If the weights are not to be had, or do not fit.
    ValueError
        If the model has no such layer.
    """
    if not spec.trained:
        return Wav2Vec2(spec, seeded_model().state_dict())
    assert spec.weights is not None
    return Wav2Vec2(spec, trained_weights(spec.weights.fetch(cache)))


class Wav2Vec2(Embedder):
    """wav2vec2's convolutions and transformer, laid out for dense matrix multiplication.

    Parameters
    ----------
    spec
        Says precision, windowing and layer.
    weights
        The tensors of upstream's model, by its names.
    config
        That of the model, as far as it decides the forward pass.

    Raises
    ------
    ValueError
        If the model has no such layer.
    """

    def __init__(
        self,
        spec: EmbedderSpec,
        weights: Mapping[str, "Tensor"],
        config: Mapping[str, Any] = CONFIG,
    ) -> None:
        import torch

        last = config["num_hidden_layers"]
        if spec.layer not in map(str, range(last + 1)):
            raise ValueError(f"wav2vec2 has layers 0 to {last}, not {spec.layer!r}")
        self.spec = spec
        self.device = compute.device(spec.device)
        self._dtype = compute.dtype(spec)
        self._heads = config["num_attention_heads"]
        self._groups = config["num_conv_pos_embedding_groups"]
        self._reach = config["num_conv_pos_embeddings"]
        self._eps = config["layer_norm_eps"]
        with torch.no_grad():
            self._encoder = FeatureEncoder(weights, config, self.device, self._dtype)
            self._read(weights)

    def _read(self, weights: Mapping[str, "Tensor"]) -> None:
        import torch

        def put(tensor: "Tensor") -> "Tensor":
            return tensor.detach().to(self.device, self._dtype)

        def pair(name: str) -> "_Pair":
            return put(weights[f"{name}.weight"]), put(weights[f"{name}.bias"])

        self._features_norm = pair("feature_projection.layer_norm")
        self._projection = Linear.of(pair("feature_projection.projection"), _ROWS)
        # torch keeps the weight norm's parts; a convolution of a network is a correlation, hence
        # the conjugate.
        direction, length = weights[DIRECTION].detach(), weights[LENGTH].detach()
        kernel = torch._weight_norm(direction, length, 2).to(self.device)
        spectra = torch.fft.rfft(kernel, n=_FFT).conj()
        spectra = spectra.unflatten(0, (self._groups, -1)).permute(3, 0, 2, 1)
        bias = weights[f"{POSITION}bias"].detach().to(self.device)
        self._position = spectra.flatten(0, 1).contiguous(), bias
        self._norm = pair("encoder.layer_norm")
        self._layers = [
            self._layer(f"encoder.layers.{i}", pair) for i in range(int(self.spec.layer))
        ]

    def _layer(self, name: str, pair: "Callable[[str], _Pair]") -> "_Layer":
        """Lay out one layer of the transformer; `pair` reads a weight and its bias."""
        heads, feed = f"{name}.attention", f"{name}.feed_forward"
        queries, keys, values = (pair(f"{heads}.{part}_proj") for part in "qkv")
        return _Layer(
            heads=self._heads,
            eps=self._eps,
            qkv=Linear.of(_joined(queries, keys, values, self._heads), _ROWS),
            out=Linear.of(pair(f"{heads}.out_proj"), _ROWS),
            attention_norm=pair(f"{name}.layer_norm"),
            up=Linear.of(pair(f"{feed}.intermediate_dense"), _ROWS, gelu=True),
            down=Linear.of(pair(f"{feed}.output_dense"), _ROWS),
            norm=pair(f"{name}.final_layer_norm"),
        )

    def infer(self, windows: np.ndarray) -> Inferred:
        """See `Embedder.infer`. Windows hold at least ``spec.min_samples`` samples."""
        import torch

        at_once = _SAMPLES_AT_ONCE // windows.shape[1]
        with torch.inference_mode():
            audio = compute.tensor(windows, self.device)
            return Inferred(compute.array(compute.in_chunks(self._last, audio, at_once)))

    def layers(self, windows: np.ndarray) -> Layers:
        """Every layer up to the spec's; see `Embedder.layers`."""
        import torch

        at_once = _SAMPLES_AT_ONCE // windows.shape[1]
        with torch.inference_mode():
            audio = compute.tensor(windows, self.device)
            found = compute.array(compute.in_chunks(self._all, audio, at_once))
            return Layers({str(i): found[:, i] for i in range(found.shape[1])})

    def _last(self, audio: "Tensor") -> "Tensor":
        """``(B, n)`` to the mean over time of the spec's layer, ``(B, dim)``."""
        [last] = deque(self._states(audio), maxlen=1)
        return last.float().mean(dim=1)

    def _all(self, audio: "Tensor") -> "Tensor":
        """``(B, n)`` to the mean over time of every layer, ``(B, layers, dim)``."""
        import torch

        return torch.stack([state.float().mean(dim=1) for state in self._states(audio)], dim=1)

    def _states(self, audio: "Tensor") -> "Iterator[Tensor]":
        """``(B, n)`` to each layer, lowest first, ``(B, T, dim)``."""
        from torch.nn import functional

        x = self._encoder(audio)
        x = functional.layer_norm(x, x.shape[-1:], *self._features_norm, self._eps)
        x = self._projection(x)
        x = x + self._positions(x)
        x = functional.layer_norm(x, x.shape[-1:], *self._norm, self._eps)
        yield x
        for layer in self._layers:
            x = layer(x)
            yield x

    def _positions(self, x: "Tensor") -> "Tensor":
        """Convolve 128 frames by overlap-save in the frequency domain.

        That takes a tenth of the arithmetic, so float32 costs nothing.
        """
        import torch
        from torch.nn import functional

        spectra, bias = self._position
        batch, frames, channels = x.shape
        groups, width = self._groups, channels // self._groups
        fresh = _FFT - self._reach + 1
        parts = -(-frames // fresh)
        before = self._reach // 2
        after = parts * fresh + self._reach - 1 - before - frames
        padded = functional.pad(x.float().transpose(1, 2), (before, after))
        found = torch.fft.rfft(padded.unfold(2, _FFT, fresh))
        found = found.view(batch, groups, width, parts, -1).permute(4, 1, 0, 3, 2)
        mixed = torch.bmm(found.reshape(len(spectra), batch * parts, width), spectra)
        mixed = mixed.view(-1, groups, batch, parts, width).permute(2, 3, 1, 4, 0)
        y = torch.fft.irfft(mixed, n=_FFT)[..., :fresh]
        y = y.permute(0, 1, 4, 2, 3).reshape(batch, -1, channels)[:, :frames]
        return gelu(y + bias).to(self._dtype)


@dataclass(frozen=True)
class _Layer:
    """One layer of the transformer, norms after the sums, on ``(B, T, C)``."""

    heads: int
    eps: float
    qkv: Linear
    out: Linear
    attention_norm: "_Pair"
    up: Linear
    down: Linear
    norm: "_Pair"

    def __call__(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        x = x + self.out(self._attend(self.qkv(x)))
        x = functional.layer_norm(x, x.shape[-1:], *self.attention_norm, self.eps)
        x = x + self.down(self.up(x))
        return functional.layer_norm(x, x.shape[-1:], *self.norm, self.eps)

    def _attend(self, qkv: "Tensor") -> "Tensor":
        """``(B, T, 3 C)`` to ``(B, T, C)``."""
        import torch
        from torch.nn import functional

        heads = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if qkv.device.type == "cpu" and qkv.dtype == torch.bfloat16:
            # torch's fused attention is slow in bf16 on processors without AMX. The scores of one
            # window fit in the cache, and stay there if they are always in the same place.
            heads = heads.contiguous()
            mixed = torch.empty_like(heads[0])
            scores = heads.new_empty(self.heads, heads.shape[3], heads.shape[3])
            for query, key, value, out in zip(*heads, mixed, strict=True):
                torch.matmul(query, key.mT, out=scores)
                torch.softmax(scores, -1, out=scores)
                torch.matmul(scores, value, out=out)
        else:
            query, key, value = heads
            mixed = functional.scaled_dot_product_attention(query, key, value, scale=1.0)
        return mixed.transpose(1, 2).flatten(2)


def _joined(queries: "_Pair", keys: "_Pair", values: "_Pair", heads: int) -> "_Pair":
    """Return queries, keys and values as one matrix, the queries scaled."""
    import torch

    scaling = (len(queries[1]) // heads) ** -0.5
    scaled = queries[0] * scaling, queries[1] * scaling
    weight, bias = (torch.cat(part) for part in zip(scaled, keys, values, strict=True))
    return weight, bias


LAYERS = {str(layer): SPEC.dim for layer in range(13)}
ENTRY = EmbedderEntry(SPEC, load, layers=LAYERS, imports=("torch",))
