"""What this machine computes with."""

from functools import cache
from pathlib import Path
from typing import Literal


def device() -> str:
    """The device models run on: ``cuda`` where there is a GPU, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


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
