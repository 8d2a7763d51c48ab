"""The processor, by the flags that the system tells."""

from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")

_BF16 = {"amx_bf16", "avx512_bf16", "bf16"}
"""Flags of processors that compute in bfloat16; the last is that of aarch64."""


def computes_in_bf16() -> bool:
    """Return whether the processor has instructions for bfloat16."""
    return bool(_flags() & _BF16)


def has_tiles() -> bool:
    """Return whether it multiplies matrices of bfloat16 at once, as Intel's do with AMX."""
    return "amx_bf16" in _flags()


@cache
def _flags() -> frozenset[str]:
    # From the system rather than from torch, so that naming a spec costs no import of torch.
    try:
        return frozenset(CPU_INFO.read_text("utf-8").split())
    except OSError:
        # Not Linux.
        return frozenset()
