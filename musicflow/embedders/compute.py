"""What this machine computes with, and what embedders on torch have in common."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from musicflow.embedders.errors import DeviceError
from musicflow.embedders.spec import EmbedderSpec
from musicflow.kernels import processor
from musicflow.settings import Device

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_log = logging.getLogger("musicflow")

_MISSING = {
    "cuda": "no GPU it can use: install a driver and a build of torch for it, or set device to "
    "auto or cpu",
    "mps": "no GPU of Apple's it can use: set device to auto or cpu",
}


def device(wanted: Device = "auto") -> str:
    """Return the device that models run on.

    Parameters
    ----------
    wanted
        ``auto`` stands for ``cuda`` where there is such a GPU, else ``cpu``. ``mps`` (Apple) is
        taken only if it is asked for: models were not tried on it.

    Raises
    ------
    DeviceError
        If a GPU is wanted and torch finds none.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    found: str = ("cuda" if there["cuda"] else "cpu") if wanted == "auto" else wanted
    if not there.get(found, True):
        raise DeviceError(f"device is set to {wanted}, but torch finds {_MISSING[wanted]}")
    if found == "cuda":
        # torch rounds what convolutions multiply to 10 bits there unless told otherwise.
        torch.backends.cudnn.allow_tf32 = False
    return found


def exact_device(device: str) -> str:
    """Return the device for float64: that of the model, unless it has none."""
    return "cpu" if device == "mps" else device


def dtype(spec: EmbedderSpec) -> "torch.dtype":
    """Return the type of number that a spec's precision stands for."""
    import torch

    return torch.bfloat16 if spec.precision == "bf16" else torch.float32


def tensor(windows: np.ndarray, device: str) -> "Tensor":
    """Return windows as a float32 tensor on a device."""
    import torch

    found = torch.from_numpy(np.ascontiguousarray(windows, np.float32))
    # From pinned memory the GPU fetches by itself, while the processor goes on.
    return (
        found.pin_memory().to(device, non_blocking=True) if device == "cuda" else found.to(device)
    )


def array(tensor: "Tensor") -> np.ndarray:
    """Return a tensor as float32 numbers of the processor."""
    found: np.ndarray = tensor.float().cpu().numpy()
    return found


def in_chunks(function: "Callable[[Tensor], Tensor]", batch: "Tensor", size: int) -> "Tensor":
    """Apply a function to a few rows of a batch at a time on a processor, and join the results.

    A processor's cache holds a few; a GPU wants all at once.

    Parameters
    ----------
    function
        From ``(b, …)`` to ``(b, …)``; no row depends on another.
    batch
        Shape ``(B, …)``.
    size
        Rows at a time; 1 if it is less.
    """
    import torch

    if batch.device.type != "cpu":
        return function(batch)
    return torch.cat([function(chunk) for chunk in batch.split(max(1, size))])


def prepare_convolutions(spec: EmbedderSpec) -> None:
    """Compile the convolutions of an embedder, if it runs on the processor; see `EmbedderEntry`."""
    from musicflow.kernels import convolution

    rounded = spec.precision == "bf16"
    if convolution.are_compiled(device(spec.device), rounded):
        _log.info("Compiling convolutions for this processor: up to 15 s the first time.")
        convolution.compile_winograd(rounded)


NVIDIA = Path("/proc/driver/nvidia/version")


def fastest_precision() -> Literal["fp32", "bf16"]:
    """``bf16`` where a GPU or the processor's instructions compute it, else ``fp32``."""
    return "bf16" if NVIDIA.exists() or processor.computes_in_bf16() else "fp32"
