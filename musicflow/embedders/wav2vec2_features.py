"""Wav2Vec2's feature encoder: seven convolutions, from sound to 50 frames per second.

The first convolution carries all the normalization around it, the others their GELU.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from musicflow.embedders import compute
from musicflow.kernels.fused import TimeConvolution, gelu

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_FRAMES_AT_ONCE = 192
"""Output frames (20 ms each) the convolutions compute at once: what lies between the layers then
stays in the processor's cache. All but the first norm is local, so cutting changes nothing."""
_EXTRACTOR_EPS = 1e-7
_NORM_EPS = 1e-5
"""That of the first layer's norm: torch's own, which upstream does not change."""


class FeatureEncoder:
    """The convolutions of wav2vec2, laid out for dense matrix multiplication.

    Parameters
    ----------
    weights
        The tensors of the model, by upstream's names.
    config
        The model's.
    device, dtype
        What is computed on, and with.
    """

    def __init__(
        self,
        weights: Mapping[str, "Tensor"],
        config: Mapping[str, Any],
        device: str,
        dtype: "torch.dtype",
    ) -> None:
        self._device, self._dtype = device, dtype
        self._strides = tuple(config["conv_stride"])
        self._kernels = tuple(config["conv_kernel"])
        first, *others = (
            weights[f"feature_extractor.conv_layers.{i}.conv.weight"].detach()
            for i in range(len(self._kernels))
        )
        norm = "feature_extractor.conv_layers.0.layer_norm"
        self._first = tuple(
            tensor.detach().double().to(compute.exact_device(device))
            for tensor in (first[:, 0], weights[f"{norm}.weight"], weights[f"{norm}.bias"])
        )
        self._convolutions = [
            TimeConvolution.of(kernel.to(device, dtype), stride)
            for kernel, stride in zip(others, self._strides[1:], strict=True)
        ]

    def __call__(self, audio: "Tensor") -> "Tensor":
        """Encode windows: ``(B, n)`` to ``(B, frames, 512)``."""
        import torch

        hop = math.prod(self._strides)
        reach = 1 + sum(
            (kernel - 1) * math.prod(self._strides[:i]) for i, kernel in enumerate(self._kernels)
        )
        frames = (audio.shape[1] - reach) // hop + 1
        at_once = frames if self._device != "cpu" else max(1, _FRAMES_AT_ONCE // len(audio))
        # Silence is to be zero before anything is rounded, whatever offset a recording has.
        audio = audio - audio.mean(dim=1, keepdim=True)
        kernel, bias = self._first_layer(audio)
        parts = []
        for start in range(0, frames, at_once):
            end = min(start + at_once, frames)
            part = audio[:, hop * start : hop * (end - 1) + reach]
            parts.append(self._convolve(part, kernel, bias))
        return torch.cat(parts, dim=1)

    def _first_layer(self, audio: "Tensor") -> "tuple[Tensor, Tensor]":
        """Convolve first, with the normalization around it, for each window.

        The extractor brings a window to zero mean and unit variance; the first layer's norm does
        the same to each of its channels over time. Both follow from the mean and covariance of
        the ten samples under the kernel, so that both are weights here, and exact ones.

        Returns
        -------
        tuple
            Kernels ``(B, 10, 512)`` and biases ``(B, 1, 512)``.
        """
        weight, scale, shift = self._first
        device, audio = audio.device, audio.to(weight.device).double()
        deviation = (audio.var(dim=1, correction=0) + _EXTRACTOR_EPS).sqrt()[:, None, None]
        taps = audio.unfold(1, self._kernels[0], self._strides[0])
        mean = taps.mean(dim=1, keepdim=True)
        centred = (taps - mean) / deviation
        covariance = centred.transpose(1, 2) @ centred / taps.shape[1]
        variance = ((weight @ covariance) * weight).sum(dim=2)
        gain = (scale / (variance + _NORM_EPS).sqrt())[:, None]
        kernel = weight.t() * gain / deviation
        return kernel.float().to(device), (shift - mean @ kernel).float().to(device)

    def _convolve(self, audio: "Tensor", kernel: "Tensor", bias: "Tensor") -> "Tensor":
        import torch

        taps = audio.unfold(1, self._kernels[0], self._strides[0])
        x = torch.baddbmm(*(part.to(self._dtype) for part in (bias, taps, kernel)))
        x = gelu(x).transpose(1, 2)[:, :, None]
        for convolution in self._convolutions:
            x = convolution(x)
        return x[:, :, 0].transpose(1, 2)
