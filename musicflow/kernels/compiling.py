"""Where numba keeps what it compiles."""

import contextlib
from typing import Any


def cached_on_disk(function: Any) -> Any:
    """Keep what numba compiles of a function, where there is a folder to write to."""
    with contextlib.suppress(RuntimeError):
        function.enable_caching()
    return function
