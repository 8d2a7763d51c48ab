"""What this machine computes with."""

from functools import cache
from pathlib import Path
from typing import Literal

from musicflow.embedders.errors import DeviceError
from musicflow.settings import Device


def device(wanted: Device = "auto") -> str:
    """The device models run on: ``cuda`` where there is a GPU, else ``cpu``, or the one wanted.

    Raises
    ------
    DeviceError
        If a GPU is wanted and torch finds none.
    """
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceError(
            "device is set to cuda, but torch finds no GPU it can use: install a driver and a "
            "build of torch for it, or set device to auto or cpu"
        )
    return "cuda" if there and wanted != "cpu" else "cpu"


@cache
def fastest_precision() -> Literal["fp32", "bf16"]:
    """``bf16`` where a GPU or the processor's instructions compute it, else ``fp32``.

    Read from the system rather than from torch, so that naming a spec costs no import of torch.
    """
    if Path("/proc/driver/nvidia/version").exists():
        return "bf16"
    try:
        flags = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:
        return "fp32"
    return "bf16" if flags & {"amx_bf16", "avx512_bf16"} else "fp32"
