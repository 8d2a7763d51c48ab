"""Songs from outside: checked, decoded apart from the app, and gone afterwards.

An upload never meets a decoder in this process, and no name it brings reaches the disk: its bytes
are written as ``upload`` into a folder that lives as long as the decoding, a child process with
limits makes plain samples of them, and only these are embedded.
"""

import hashlib
import mimetypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np

from musicflow import recommend
from musicflow.audio import AUDIO_SUFFIXES
from musicflow.embedders.spec import EmbedderSpec
from musicflow.recommend import QueryError

MAX_MB = 64
"""The largest upload, as in `.streamlit/config.toml`."""

TIMEOUT_S = 90
"""How long decoding may take by the clock."""


@dataclass(frozen=True)
class Upload:
    """A song from outside: its bytes, and the name to show for it."""

    name: str
    content: bytes = field(repr=False)

    @cached_property
    def key(self) -> str:
        """What tells it from others: the first digits of its SHA-256."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    @property
    def kind(self) -> str:
        """Its media type, going by its name."""
        return mimetypes.guess_type("song" + PurePath(self.name).suffix)[0] or "audio/wav"


def accept(name: str, content: bytes) -> Upload:
    """Take a file in, if its size and kind allow.

    Raises
    ------
    QueryError
        If it is empty, too large or not named like audio.
    """
    if PurePath(name).suffix.lower() not in AUDIO_SUFFIXES:
        raise QueryError(f"{name!r} is no audio file: {' '.join(sorted(AUDIO_SUFFIXES))}")
    if not content:
        raise QueryError(f"{name!r} is empty")
    if len(content) > MAX_MB * 1_000_000:
        raise QueryError(f"{name!r} is larger than {MAX_MB} MB")
    return Upload(name, content)


def embed(upload: Upload, spec: EmbedderSpec, cache: Path) -> np.ndarray:
    """The vector of an upload.

    Returns
    -------
    numpy.ndarray
        Shape ``(dim,)``, as the embedder gives it.

    Raises
    ------
    QueryError
        If the file cannot be used, or takes more time or memory than it may.
    WeightsError
        If the embedder's weights cannot be had.
    """
    with _decoded(upload, spec.sample_rate) as path:
        try:
            return recommend.vector_of_file(path, spec, cache)
        except QueryError as error:
            raise QueryError(str(error).replace(str(path), repr(upload.name))) from error


@contextmanager
def _decoded(upload: Upload, rate: int) -> Iterator[Path]:
    """A clean file of an upload's samples, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="musicflow-upload-") as folder:
        source, target = Path(folder, "upload"), Path(folder, "samples.wav")
        source.write_bytes(upload.content)
        command = [
            sys.executable,
            "-m",
            __package__ + ".decode",
            str(source),
            str(target),
            str(rate),
        ]
        # One thread: each of a numeric library's threads would reserve memory of its own.
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            child = subprocess.run(
                command, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise QueryError(f"{upload.name!r} takes too long to decode") from None
        if child.returncode:
            said = child.stdout.decode("utf-8", "replace").strip()
            # Without a sentence it was ended from outside: by a limit, or by a decoder's crash.
            reason = said if child.returncode == 1 and said else "decoding it failed"
            raise QueryError(f"{upload.name!r}: {reason}")
        yield target
