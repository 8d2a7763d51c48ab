"""The errors that keep embedders from a collection, kept for the report."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from musicflow.atomic import write_atomically
from musicflow.embedders.spec import EmbedderSpec
from musicflow.errors import MusicflowError, described
from musicflow.settings import Home, explain


@contextmanager
def kept_failure(home: Home, spec: EmbedderSpec) -> Iterator[None]:
    """Keep the error that ends the work of an embedder; forget it once the work is done."""
    file = _file(home, spec)
    try:
        yield
    except Exception as error:
        # A disk that is full may take no more.
        with suppress(OSError):
            write_atomically(file, json.dumps([spec.hash, *_told(error)]).encode())
        raise
    file.unlink(missing_ok=True)


def failures_of(home: Home, specs: Iterable[EmbedderSpec]) -> dict[str, MusicflowError]:
    """Return the last error of each embedder whose work was not done, by label."""
    found = {}
    for spec in specs:
        with suppress(FileNotFoundError, ValueError):
            of, *told = json.loads(_file(home, spec).read_text("utf-8"))
            if of == spec.hash:
                found[spec.label] = MusicflowError(*told)
    return found


def _told(error: Exception) -> tuple[str, str, str]:
    if isinstance(error, MusicflowError):
        return error.message, error.advice, error.code
    if isinstance(error, OSError):
        return explain(error), "", "system"
    return described(error), "", "unexpected"


def _file(home: Home, spec: EmbedderSpec) -> Path:
    return home.failures / f"{spec.label}.json"
