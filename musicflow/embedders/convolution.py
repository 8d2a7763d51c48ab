"""Chains of 3 x 3 convolutions: by torch, or on a processor several times as fast by Winograd."""

import functools
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_BLOCK = 24
"""Tiles a core works on at once: few enough for its cache."""


class Layer(NamedTuple):
    """A 3 x 3 convolution with zeros around the image, and what follows it."""

    kernel: "Tensor"
    """Float32, shape ``(C_out, C_in, 3, 3)``. Channels come in 64s, or there is one to begin."""
    bias: "Tensor"
    """Float32, shape ``(C_out,)``."""
    relu: bool = True
    pooling: Literal["none", "max", "mean"] = "none"
    """Of 2 x 2, after the ReLU; an odd line at the end is left out."""
    tile: Literal[2, 4] = 4
    """For Winograd: outputs along each axis that are made together. Tiles of 2 waste less of a
    narrow image, and their kernels take less than half the memory."""


def convolutions(
    layers: Iterable[Layer], device: str, dtype: "torch.dtype"
) -> "Callable[[Tensor], Tensor]":
    """Chain convolutions, in the way that is fastest.

    Parameters
    ----------
    layers
        In the order they follow each other. Made one by one, they are not all held at once.
    device
        ``cpu`` or ``cuda``.
    dtype
        What is computed with: float32 or bfloat16.

    Returns
    -------
    callable
        From images ``(B, H, W, C)`` to ``(B, H', W', C')``, both float32.
    """
    import torch

    if device == "cpu":
        return Winograd(layers, rounded=dtype == torch.bfloat16)
    return Plain(layers, device, dtype)


class Plain:
    """The chain by torch's own operators; see `convolutions`."""

    def __init__(self, layers: Iterable[Layer], device: str, dtype: "torch.dtype") -> None:
        import torch

        self._dtype = dtype
        self._layers = [
            layer._replace(
                kernel=layer.kernel.to(device, dtype, memory_format=torch.channels_last),
                bias=layer.bias.to(device, dtype),
            )
            for layer in layers
        ]

    def __call__(self, images: "Tensor") -> "Tensor":
        """From images ``(B, H, W, C)`` to ``(B, H', W', C')``."""
        from torch.nn.functional import avg_pool2d, conv2d, max_pool2d

        x = images.to(self._dtype).permute(0, 3, 1, 2)
        for layer in self._layers:
            x = conv2d(x, layer.kernel, layer.bias, padding=1)
            if layer.pooling == "max":
                # Before the ReLU, with which it commutes and which then has a quarter of the work.
                x = max_pool2d(x, 2)
            if layer.relu:
                x = x.relu_()
            if layer.pooling == "mean":
                x = avg_pool2d(x, 2)
        return x.permute(0, 2, 3, 1).float()


class Winograd:
    """The chain by Winograd's algorithm, on the processor; see `convolutions`.

    Rounded, layers of more than one channel multiply in bfloat16.
    """

    def __init__(self, layers: Iterable[Layer], rounded: bool = False) -> None:
        self._steps = [_Step(layer, rounded) for layer in layers]

    def __call__(self, images: "Tensor") -> "Tensor":
        """From images ``(B, H, W, C)`` to ``(B, H', W', C')``."""
        import torch

        framed = _Framed.empty(*images.shape)
        framed.image[:] = images.numpy()
        cores = torch.get_num_threads()
        for step in self._steps:
            framed = step(framed, cores)
        return torch.from_numpy(framed.image)


class _Framed(NamedTuple):
    """Images in a frame of zeros, as wide as tiles at their edges reach."""

    pixels: np.ndarray
    """Float32, shape ``(B, 1 + height + …, 1 + width + …, C)``."""
    height: int
    width: int

    @classmethod
    def empty(cls, batch: int, height: int, width: int, channels: int) -> "_Framed":
        """The frame, around pixels yet to be set."""
        lines, line = (2 + 4 * math.ceil(size / 4) for size in (height, width))
        pixels = np.empty((batch, lines, line, channels), np.float32)
        pixels[:, 0] = pixels[:, height + 1 :] = 0
        pixels[:, :, 0] = pixels[:, :, width + 1 :] = 0
        return cls(pixels, height, width)

    @property
    def image(self) -> np.ndarray:
        """What is in the frame, shape ``(B, height, width, C)``."""
        return self.pixels[:, 1 : self.height + 1, 1 : self.width + 1]


class _Step:
    """A layer, its kernel transformed."""

    def __init__(self, layer: Layer, rounded: bool) -> None:
        from musicflow.embedders import winograd

        self._tile, kernel = layer.tile, layer.kernel.numpy()
        self._kernel = winograd.packed(kernel, layer.tile, rounded and kernel.shape[1] > 1)
        self._bias = layer.bias.numpy()
        self._floor = np.float32(0 if layer.relu else -np.inf)
        self._pooling = ("none", "max", "mean").index(layer.pooling)

    def __call__(self, x: _Framed, cores: int) -> _Framed:
        from musicflow.embedders import winograd

        batch, shrink = len(x.pixels), 2 if self._pooling else 1
        out = _Framed.empty(batch, x.height // shrink, x.width // shrink, len(self._bias))
        tiles = batch * math.ceil(x.height / self._tile) * math.ceil(x.width / self._tile)
        # A large kernel is read from memory for each block, which is to be worth it.
        block = min(math.ceil(tiles / cores), max(_BLOCK, 3 * len(self._bias) // 16))
        # A core that something else keeps busy, as decoding does, leaves its shares to the others.
        share = max(block, math.ceil(tiles / (4 * cores)))

        def work(start: int) -> None:
            winograd.convolve(
                winograd.TILES[self._tile], x.pixels, x.height, x.width,
                self._kernel, self._bias, self._floor, self._pooling,
                start, min(start + share, tiles), block, out.pixels,
            )  # fmt: skip

        for _ in _threads(cores).map(work, range(0, tiles, share)):
            pass
        return out


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "convolution")
