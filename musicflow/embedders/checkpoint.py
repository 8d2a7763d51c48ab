"""Checkpoints of torch: tensors, and what training code saves beside them.

Nothing in a file is run. Beside tensors it may hold numpy's arrays and numbers: training saves the
state of its sampler with them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from musicflow.embedders.errors import WeightsError
from musicflow.errors import words_of

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
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {words_of(error)}") from error
    except Exception as error:  # torch raises many kinds for a file it cannot read
        raise WeightsError(
            f"{path} is damaged, or holds something else than tensors and numbers; nothing in it "
            "was run",
            "delete it and fetch it again",
            UNSAFE,
        ) from error


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
