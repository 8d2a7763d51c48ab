"""What this machine computes with."""

from functools import cache
from pathlib import Path
from typing import Literal

from musicflow.embedders.errors import DeviceError
from musicflow.settings import Device

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
    if wanted == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there.get(wanted, True):
        raise DeviceError(f"device is set to {wanted}, but torch finds {_MISSING[wanted]}")
    return wanted


def exact_device(device: str) -> str:
    """Return the device for float64: that of the model, unless it has none."""
    return "cpu" if device == "mps" else device


CPU_INFO = Path("/proc/cpuinfo")
NVIDIA = Path("/proc/driver/nvidia/version")

_BF16 = {"amx_bf16", "avx512_bf16", "bf16"}
"""Flags of processors that compute in bfloat16; the last is that of aarch64."""


@cache
def fastest_precision() -> Literal["fp32", "bf16"]:
    """``bf16`` where a GPU or the processor's instructions compute it, else ``fp32``.

    Read from the system rather than from torch, so that naming a spec costs no import of torch.
    """
    if NVIDIA.exists():
        return "bf16"
    try:
        flags = set(CPU_INFO.read_text("utf-8").split())
    except OSError:
        # Not Linux.
        return "fp32"
    return "bf16" if flags & _BF16 else "fp32"
