"""Chains of 3 x 3 convolutions: by torch, or on a processor several times as fast by Winograd."""

import functools
import logging
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from musicflow.kernels import processor
from musicflow.kernels.fused import Convolution

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_log = logging.getLogger("musicflow")

_COMPILED = "musicflow.kernels.winograd"
"""The module of what is compiled, which takes long to import."""

_BLOCK = 24
"""Tiles a core works on at once: few enough for its cache."""


class Layer(NamedTuple):
    """A 3 x 3 convolution with zeros around the image, and what follows it."""

    kernel: "Tensor"
    """Float32, shape ``(C_out, C_in, 3, 3)``. Channels come in 64s; or there is one to begin, and
    another layer follows without pooling."""
    bias: "Tensor"
    """Float32, shape ``(C_out,)``."""
    relu: bool = True
    pooling: Literal["none", "max", "mean"] = "none"
    """Of 2 x 2, after the ReLU; an odd line at the end is left out."""
    tile: Literal[2, 4] = 4
    """For Winograd's F(m x m, 3 x 3): m, the outputs of a tile along each axis. Tiles of 2 waste
    less of a narrow image, and their kernels take less than half the memory."""
    narrow: bool = False
    """Whether images are at most 4 pixels wide; see `Convolution`."""


def convolutions(
    layers: Iterable[Layer], device: str, dtype: "torch.dtype"
) -> "Callable[[Tensor], Tensor]":
    """Chain convolutions, in the way that is fastest here.

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

    rounded = dtype == torch.bfloat16
    if are_compiled(device, rounded) and compile_winograd(rounded):
        return Winograd(layers, rounded)
    return Plain(layers, device, dtype)


def are_compiled(device: str, rounded: bool) -> bool:
    """Return whether `Winograd` is to be used.

    With AMX, a processor multiplies numbers of bfloat16 so fast that to need fewer of them does not
    pay: torch's own convolutions are up to twice as fast (``eval/convolutions.py``).
    """
    return device == "cpu" and not (rounded and processor.has_tiles())


def long_imports(rounded: bool) -> tuple[str, ...]:
    """Return the modules of convolutions on this processor that take long to import."""
    return (_COMPILED,) if are_compiled("cpu", rounded) else ()


@functools.cache
def compile_winograd(rounded: bool) -> bool:
    """Compile `Winograd` for this processor, before anything is timed.

    That takes 5 to 15 s, once: numba keeps the result for later processes. Where numba is missing
    or cannot compile, one warning says so.

    Parameters
    ----------
    rounded
        See `Winograd`.

    Returns
    -------
    bool
        Whether it can be used.
    """
    import torch

    def layer(channels: int, tile: Literal[2, 4] = 4) -> Layer:
        return Layer(torch.zeros(64, channels, 3, 3), torch.zeros(64), tile=tile)

    try:
        # One layer for each kind that is compiled on its own.
        layers = [layer(1), layer(64), layer(64), layer(64, tile=2)]
        Winograd(layers, rounded)(torch.zeros(1, 4, 4, 1))
    except Exception as error:  # numba and llvmlite fail in many ways
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        _log.warning("numba cannot be used (%s): convolutions run by torch, but slower", reason)
        return False
    return True


class Plain:
    """The chain by torch's own operators; see `convolutions`."""

    def __init__(self, layers: Iterable[Layer], device: str, dtype: "torch.dtype") -> None:
        self._dtype = dtype
        cast = [
            layer._replace(kernel=layer.kernel.to(device, dtype), bias=layer.bias.to(device, dtype))
            for layer in layers
        ]
        # The fused ReLU of any layer would hide what is not a number in those before.
        fuse = device == "cpu" and all(
            layer.kernel.isfinite().all() and layer.bias.isfinite().all() for layer in cast
        )
        self._steps = [
            (
                Convolution.of(layer.kernel, layer.bias, layer.relu, fuse, layer.narrow),
                layer.pooling,
            )
            for layer in cast
        ]
        self._is_fused = any(convolution.fused for convolution, _ in self._steps)

    def __call__(self, images: "Tensor") -> "Tensor":
        """From images ``(B, H, W, C)`` to ``(B, H', W', C')``."""
        import torch

        if not self._is_fused or len(images) == 1:
            return self._chain(images)
        # torch gives each core an equal share of an operator, and waits for one that something else
        # keeps busy, as decoding does. An image per core leaves the next one to whoever is free.
        return torch.cat(list(_lone_threads().map(self._alone, images.split(1))))

    def _alone(self, image: "Tensor") -> "Tensor":
        import torch

        with torch.inference_mode():
            return self._chain(image)

    def _chain(self, images: "Tensor") -> "Tensor":
        import torch
        from torch.nn.functional import avg_pool2d

        x = images.to(self._dtype).permute(0, 3, 1, 2)
        for convolution, pooling in self._steps:
            x = convolution(x)
            if pooling == "max":
                # Before the ReLU, with which it commutes and which then has a quarter of the work.
                x = _max_pool(x)
            if convolution.relu and not convolution.fused:
                x = x.relu_()
            if pooling == "mean":
                x = avg_pool2d(x, 2)
        result = x.permute(0, 2, 3, 1).float()
        if self._is_fused:
            # A fused ReLU makes a zero of what is not a number.
            result[~images.isfinite().flatten(1).all(dim=1)] = torch.nan
        return result


@functools.cache
def _lone_threads() -> ThreadPoolExecutor:
    """Return threads whose operators run in themselves alone, one per core."""
    import torch
    from threadpoolctl import threadpool_limits

    def be_alone() -> None:
        # In this order: torch sets a number of its own when a thread first asks. By torch, the
        # number would be that of all threads yet to come.
        torch.get_num_threads()
        threadpool_limits(1, "openmp")

    return ThreadPoolExecutor(torch.get_num_threads(), "convolution", be_alone)


def _max_pool(x: "Tensor") -> "Tensor":
    """Pool 2 x 2 of ``(B, C, H, W)``; an odd line at the end is left out."""
    import torch

    if x.device.type != "cpu":
        return torch.nn.functional.max_pool2d(x, 2)
    # With channels last, torch's own takes up to five times as long on a processor.
    height, width = (size // 2 * 2 for size in x.shape[2:])
    x = torch.maximum(x[:, :, 0:height:2], x[:, :, 1:height:2])
    return torch.maximum(x[..., 0:width:2], x[..., 1:width:2])


class Winograd:
    """The chain by Winograd's algorithm, on the processor; see `convolutions`.

    Rounded, layers of more than one channel multiply in bfloat16.

    Raises
    ------
    ValueError
        If channels are others than `Layer` says, or a layer of one channel stands alone.
    """

    def __init__(self, layers: Iterable[Layer], rounded: bool = False) -> None:
        self._steps: list[_Step] = []
        self._spaces: list[_Space] = []
        before = None
        for layer in layers:
            if layer.kernel.shape[1] == 1 and layer.pooling == "none":
                # It takes longer to write than to make, and is made by the next one on its way.
                before = layer
            else:
                self._steps.append(_Step(layer, rounded, before))
                before = None
        if before is not None:
            raise ValueError("no layer follows the one of one channel, which would make it")

    def __call__(self, images: "Tensor") -> "Tensor":
        """From images ``(B, H, W, C)`` to ``(B, H', W', C')``."""
        import torch

        # More than one thread may call.
        space = self._spaces.pop() if self._spaces else _Space()
        framed = space.framed(*images.shape)
        framed.image[:] = images.numpy()
        cores = torch.get_num_threads()
        for step in self._steps:
            framed = step(framed, space, cores)
        result = torch.from_numpy(framed.image.copy())
        self._spaces.append(space)
        return result


class _Framed(NamedTuple):
    """Images in a frame of zeros, as wide as tiles at their edges reach."""

    pixels: np.ndarray
    """Float32, shape ``(B, 1 + height + …, 1 + width + …, C)``."""
    height: int
    width: int

    @property
    def image(self) -> np.ndarray:
        """What is in the frame, shape ``(B, height, width, C)``."""
        return self.pixels[:, 1 : self.height + 1, 1 : self.width + 1]


class _Space:
    """What images take up on their way: they are read in one place and written to the other.

    Kept, because new memory comes zeroed from the system, which takes as long as a layer.
    """

    def __init__(self) -> None:
        self._places = [np.empty(0, np.float32)] * 2

    def framed(self, batch: int, height: int, width: int, channels: int) -> _Framed:
        """Return images yet to be set, in their frame.

        Those before the last ones are overwritten.
        """
        shape = batch, *(2 + 4 * math.ceil(size / 4) for size in (height, width)), channels
        last, place = self._places
        if place.size < math.prod(shape):
            place = np.empty(math.prod(shape), np.float32)
        self._places = [place, last]
        pixels = place[: math.prod(shape)].reshape(shape)
        pixels[:, 0] = pixels[:, height + 1 :] = 0
        pixels[:, :, 0] = pixels[:, :, width + 1 :] = 0
        return _Framed(pixels, height, width)


class _Step:
    """A layer, its kernel transformed, and with it perhaps one of one channel before."""

    def __init__(self, layer: Layer, rounded: bool, before: Layer | None = None) -> None:
        from musicflow.kernels import winograd

        self._tile, kernel = layer.tile, layer.kernel.numpy()
        self._kernel = winograd.transform_filter(kernel, layer.tile, rounded)
        self._bias = layer.bias.numpy()
        self._floor = _floor(layer)
        self._before: tuple = ()
        if before is not None:
            made = winograd.pack_first_filter(before.kernel.numpy())
            self._before = made, before.bias.numpy(), _floor(before)
        self._pooling = ("none", "max", "mean").index(layer.pooling)

    def __call__(self, x: _Framed, space: _Space, cores: int) -> _Framed:
        from musicflow.kernels import winograd

        batch, shrink = len(x.pixels), 2 if self._pooling else 1
        out = space.framed(batch, x.height // shrink, x.width // shrink, len(self._bias))
        tiles = batch * math.ceil(x.height / self._tile) * math.ceil(x.width / self._tile)
        # A large kernel is read from memory for each block, which is to be worth it.
        block = min(math.ceil(tiles / cores), max(_BLOCK, 3 * len(self._bias) // 16))
        # A core that something else keeps busy, as decoding does, leaves its shares to the others.
        share = max(block, math.ceil(tiles / (4 * cores)))

        def work(start: int) -> None:
            winograd.convolve(
                winograd.TILES[self._tile], x.pixels, x.height, x.width, self._before,
                self._kernel, self._bias, self._floor, self._pooling,
                start, min(start + share, tiles), block, out.pixels,
            )  # fmt: skip

        for _ in _threads(cores).map(work, range(0, tiles, share)):
            pass
        return out


def _floor(layer: Layer) -> np.float32:
    return np.float32(0 if layer.relu else -np.inf)


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "convolution")
