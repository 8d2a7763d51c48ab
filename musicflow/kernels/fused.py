"""Layers of a network with their ReLU or GELU applied on the way out, where torch can."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Linear:
    """A linear layer, with its GELU if it has one."""

    weight: "Tensor"
    bias: "Tensor"
    gelu: bool
    packed: bool

    @classmethod
    def of(cls, pair: "tuple[Tensor, Tensor]", rows: int, gelu: bool = False) -> "Linear":
        """Lay a weight out for products with `rows` rows.

        Parameters
        ----------
        pair
            Weight ``(C_out, C_in)`` and bias ``(C_out,)``.
        rows
            How many rows to expect; others are multiplied too.
        gelu
            Whether a GELU follows.
        """
        import torch

        weight, bias = pair
        packed = _can_fuse(weight)
        if packed:
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        return cls(weight, bias, gelu, packed)

    def __call__(self, x: "Tensor") -> "Tensor":
        """Multiply: ``(…, C_in)`` to ``(…, C_out)``."""
        import torch
        from torch.nn import functional

        if self.packed:
            after = "gelu" if self.gelu else "none"
            fused: Tensor = torch.ops.mkldnn._linear_pointwise(
                x, self.weight, self.bias, after, [], "none"
            )
            return fused
        x = functional.linear(x, self.weight, self.bias)
        return gelu(x) if self.gelu else x


@dataclass(frozen=True)
class Convolution:
    """A 3 x 3 convolution with zeros around the image, on ``(B, C, H, W)`` with channels last.

    Its ReLU is applied only where it is `fused`.
    """

    kernel: "Tensor"
    bias: "Tensor"
    relu: bool
    fused: bool
    narrow: bool

    @classmethod
    def of(
        cls, kernel: "Tensor", bias: "Tensor", relu: bool, fuse: bool, narrow: bool = False
    ) -> "Convolution":
        """Lay a kernel ``(C_out, C_in, 3, 3)`` out for its device.

        Parameters
        ----------
        kernel
            The kernel.
        bias
            Shape ``(C_out,)``.
        relu
            Whether a ReLU follows.
        fuse
            Whether to fuse it, where torch can. A fused ReLU makes a zero of what is not a number.
        narrow
            Whether images are a few pixels wide. If fused, it is then a matrix product: a
            convolution's inner loop runs over the width, and would hardly begin.
        """
        import torch

        kernel = kernel.contiguous(memory_format=torch.channels_last)
        fused = fuse and _can_fuse(kernel)
        if fused and narrow:
            kernel = kernel.permute(0, 2, 3, 1).flatten(1)
            kernel = torch.ops.mkldnn._reorder_linear_weight(kernel, _PIXELS)
        elif fused:
            # For images of any size: what one image gives must not hang on others beside it.
            kernel = torch.ops.mkldnn._reorder_convolution_weight(kernel, *_AROUND, 1, None)
        return cls(kernel, bias, relu, fused, narrow)

    def __call__(self, x: "Tensor") -> "Tensor":
        """Convolve: ``(B, C_in, H, W)`` to ``(B, C_out, H, W)``."""
        import torch
        from torch.nn import functional

        if not self.fused:
            return functional.conv2d(x, self.kernel, self.bias, padding=1)
        after = "relu" if self.relu else "none"
        if self.narrow:
            framed = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
            seen = framed.unfold(1, 3, 1).unfold(2, 3, 1).permute(0, 1, 2, 4, 5, 3).flatten(3)
            product: Tensor = torch.ops.mkldnn._linear_pointwise(
                seen, self.kernel, self.bias, after, [], "none"
            )
            return product.permute(0, 3, 1, 2)
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.kernel, self.bias, *_AROUND, 1, after, [], ""
        )
        return y


_PIXELS = 512
"""About how many a narrow image has; others are multiplied too."""

_AROUND = [1, 1], [1, 1], [1, 1]
"""Padding, stride and dilation of a 3 x 3 convolution that keeps an image's size."""


@dataclass(frozen=True)
class TimeConvolution:
    """A convolution over time and its GELU, on ``(B, C, 1, T)`` with channels last.

    One row high and channels last, it is a matrix multiplication to the processor; torch's own
    conv1d rearranges its input first.
    """

    kernel: "Tensor"
    stride: int
    fused: bool

    @classmethod
    def of(cls, kernel: "Tensor", stride: int) -> "TimeConvolution":
        """Lay a kernel ``(C_out, C_in, width)`` out for the processor."""
        import torch

        kernel = kernel[:, :, None].contiguous(memory_format=torch.channels_last)
        return cls(kernel, stride, _can_fuse(kernel))

    def __call__(self, x: "Tensor") -> "Tensor":
        """Convolve: ``(B, C_in, 1, T)`` to ``(B, C_out, 1, T')``."""
        import torch
        from torch.nn import functional

        if self.fused:
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x, self.kernel, None, [0, 0], [1, self.stride], [1, 1], 1, "gelu", [], "none"
            )
            return y
        return gelu(functional.conv2d(x, self.kernel, stride=(1, self.stride)))


def _can_fuse(weight: "Tensor") -> bool:
    """Return whether the operators of torch's own compiler take a weight.

    They take it laid out in advance and apply the ReLU or GELU on the way out, a tenth of the time.
    torch promises nothing about them, so a torch without them falls back to the public ones,
    which give the same to rounding.
    """
    import torch

    if weight.device.type != "cpu" or weight.dtype != torch.bfloat16:
        return False
    try:
        x, w = weight.new_ones(1, 16), weight.new_ones(16, 16)
        packed = torch.ops.mkldnn._reorder_linear_weight(w, 1)
        torch.ops.mkldnn._linear_pointwise(x, packed, x[0], "gelu", [], "none")
        x, w = x[..., None, None], w[..., None, None]
        torch.ops.mkldnn._reorder_convolution_weight(w, *_AROUND, 1, None)
        torch.ops.mkldnn._convolution_pointwise(
            x, w, None, [0, 0], [1, 1], [1, 1], 1, "gelu", [], "none"
        )
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True


def gelu(x: "Tensor") -> "Tensor":
    """Apply the exact GELU, in place: a second array costs more than the arithmetic."""
    import torch

    result: Tensor = torch.ops.aten.gelu_(x)
    return result
