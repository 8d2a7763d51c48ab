"""What is installed on top of the core, by the extras of the package."""

import gc
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from musicflow.errors import MusicflowError

EXTRAS = {
    "dagster": ("dagster", "dagster_webserver", "tabulate"),
    "mlflow": ("mlflow",),
    "app": (
        *("fastapi", "fastapi_offline", "nicegui", "plotly"),
        *("python_multipart", "starlette", "uvicorn"),
    ),
    "onnx": ("onnxruntime",),
    "demo": ("immich_memories_music",),
    "fetch": ("kagglehub",),
    "remote": ("fsspec",),
    "s3": ("fsspec", "s3fs"),
}
"""The modules of each extra, all of which ``all`` installs."""


RECORDS = ("dagster", "mlflow")
"""The extras that record a run."""

MISSING = "missing-extra"
"""The code of the error."""


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import what is large without looking for garbage, which takes a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def import_ahead(*modules: str) -> None:
    """Import modules before they are needed. What is wrong with one is for its users to say."""
    with quick_imports():
        for module in modules:
            with suppress(Exception):
                importlib.import_module(module)


def require(what: str, *extras: str) -> None:
    """Raise an error if extras are not installed. Nothing is imported.

    Parameters
    ----------
    what
        What needs them, for people.
    *extras
        Names of `EXTRAS`.

    Raises
    ------
    MusicflowError
        If a module of one is missing; its advice is the command that installs them all.
    """
    missing = [name for name in extras if not _is_installed(name)]
    if missing:
        verb = "extra, which is" if len(missing) == 1 else "extras, which are"
        raise MusicflowError(
            f"{what} needs the {' and '.join(missing)} {verb} not installed",
            f"pip install 'musicflow[{','.join(missing)}]'",
            MISSING,
        )


def are_installed(*extras: str) -> bool:
    """Return whether extras are installed. Nothing is imported."""
    return all(map(_is_installed, extras))


def _is_installed(extra: str) -> bool:
    return all(importlib.util.find_spec(module) is not None for module in EXTRAS[extra])
