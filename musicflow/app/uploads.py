"""Uploads: checked, decoded outside the app's process, and deleted afterwards.

An upload is never decoded in this process, and its name never reaches the disk. Its bytes are
written as ``upload`` into a temporary folder. A worker with bounded time and memory decodes them
to plain samples, and only these are embedded.
"""

import hashlib
import mimetypes
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np

from musicflow import embedders
from musicflow.audio import AUDIO_SUFFIXES, Limits
from musicflow.embedders.spec import EmbedderSpec
from musicflow.search import query
from musicflow.search.errors import QueryError
from musicflow.worker import Rations

MAX_MB = 64
"""The largest upload."""

LIMITS = Limits(max_duration_s=15 * 60, timeout_s=90)

RATIONS = Rations(cpu_s=60, memory_bytes=2 * 1024**3)
"""The bounds on the decoder's time and memory."""


@dataclass(frozen=True)
class Upload:
    """An uploaded song: its bytes, and the name to show for it."""

    name: str
    content: bytes = field(repr=False)

    @cached_property
    def key(self) -> str:
        """Return its identity: the first digits of its SHA-256."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    @property
    def kind(self) -> str:
        """Return its media type, judged by its name."""
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


def embed(
    upload: Upload,
    spec: EmbedderSpec,
    cache: Path,
    log: Path | None = None,
    load: query.Load = embedders.load,
) -> np.ndarray:
    """Return the vector of an upload.

    Parameters
    ----------
    upload
        The song.
    spec
        The embedder.
    cache
        The folder of weights.
    log
        The file for the decoder's own messages; None to drop them.
    load
        Loads the embedder.

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
    with tempfile.TemporaryDirectory(prefix="musicflow-upload-") as folder:
        path = Path(folder, "upload")
        path.write_bytes(upload.content)
        try:
            return query.vector_of_file(
                path, spec, cache, LIMITS, log=log, rations=RATIONS, load=load
            )
        except QueryError as error:
            raise QueryError(str(error).replace(str(path), repr(upload.name))) from error
