"""Checkpoints of torch: tensors, and what training code saves beside them.

Nothing in a file is run. Beside tensors it may hold numpy's arrays and numbers: training saves the
state of its sampler with them.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musicflow.embedders.errors import WeightsError
from musicflow.errors import words_of

if TYPE_CHECKING:
    from torch import Tensor

UNSAFE = "unsafe-weights"
"""The code of a file that is damaged, or holds something else than tensors and numbers."""

_NUMBERS = "?bhilqBHILQefd"
"""The kinds of numpy's numbers; an array of objects could hold anything."""


def read_checkpoint(path: Path) -> Any:
    """Read a file that `torch.save` wrote, in its old format or its new one.

    Returns
    -------
    object
        As it was saved: dictionaries, lists, tensors on the processor, numpy's arrays and numbers.

    Raises
    ------
    WeightsError
        If the file cannot be read, is damaged, or holds something else.
    """
    import torch

    try:
        with torch.serialization.safe_globals(_numpy_names()):
            # Mapped, a file is read where it is used; the old format cannot be.
            mapped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {words_of(error)}") from error
    except Exception as error:  # torch raises many kinds for a file it cannot read
        raise WeightsError(
            f"{path} is damaged, or holds something else than tensors and numbers; nothing in it "
            "was run",
            "delete it and fetch it again",
            UNSAFE,
        ) from error


def checked(
    saved: Any, shapes: Mapping[str, tuple[int, ...]], path: Path, network: str
) -> dict[str, "Tensor"]:
    """Return the tensors of a network out of what a file held.

    Parameters
    ----------
    saved
        What was read, under the network's names; it may hold more.
    shapes
        The shape of each tensor that is needed, by name.
    path, network
        The names of both, for errors.

    Raises
    ------
    WeightsError
        If a tensor is missing, or has another shape.
    """
    if not isinstance(saved, Mapping):
        raise WeightsError(f"{path} does not hold this {network}: it holds no tensors by name")
    for name, shape in shapes.items():
        found = getattr(saved.get(name), "shape", None)
        if found is None:
            raise WeightsError(f"{path} does not hold this {network}: {name} is missing")
        if tuple(found) != shape:
            raise WeightsError(
                f"{path} does not hold this {network}: {name} is {tuple(found)}, not {shape}"
            )
    return {name: saved[name] for name in shapes}


def _numpy_names() -> list[Any]:
    """Return what builds numpy's arrays and numbers, by its names before and since numpy 2."""
    reconstruct, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    return [
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in _NUMBERS},
        *(
            (function, f"{module}.multiarray.{name}")
            for function, name in ((reconstruct, "_reconstruct"), (scalar, "scalar"))
            for module in ("numpy.core", "numpy._core")
        ),
    ]
