"""What assets are given: the settings, and a way to show progress."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import dagster as dg
from pydantic import Field

from musicflow.embedders import EmbedderSpec, spec_of
from musicflow.embedding_store import EmbeddingStore
from musicflow.index import TrackIndex, open_index
from musicflow.library import LibraryError, Progress
from musicflow.settings import Home, LibraryFormat, Settings

EMBEDDING = "embedding"
"""The pool of what keeps all cores, or the GPU, busy."""

INDEX = "index"
"""The pool of what writes collections."""

Reporter = Callable[[dg.AssetExecutionContext], Progress]
"""Gives an asset the `Progress` to show people how far it is."""


def _described(name: str) -> str:
    text = Settings.model_fields[name].description
    return f"{text} Left empty, MUSICFLOW_{name.upper()} or musicflow.toml says."


class Workspace(dg.ConfigurableResource):
    """The settings of a run. What is left empty comes from the environment or the home."""

    home: str = Field(default="", description=_described("home"))
    library: str = Field(default="", description=_described("library"))
    library_format: str = Field(default="", description=_described("library_format"))
    embedders: list[str] = Field(default=[], description=_described("embedders"))
    exclude: str = Field(default="", description=_described("exclude"))

    @property
    def settings(self) -> Settings:
        """The settings as they are now: a run sees what changed since Dagster was started."""
        names = type(self).model_fields
        given = {name: getattr(self, name) for name in names if getattr(self, name)}
        return Settings(**given)

    @property
    def paths(self) -> Home:
        """The layout of the home."""
        return self.settings.paths

    @property
    def root(self) -> Path:
        """The library's folder.

        Raises
        ------
        LibraryError
            If none is set.
        """
        library = self.settings.library
        if library is None:
            raise LibraryError(
                f"no library is set: run `musicflow run LIBRARY` once, set MUSICFLOW_LIBRARY, or "
                f'write library = "…" into {self.paths.settings_file}'
            )
        return library

    @property
    def layout(self) -> LibraryFormat:
        """How the library is laid out."""
        return self.settings.library_format

    @property
    def specs(self) -> list[EmbedderSpec]:
        """The embedders to compare."""
        return [spec_of(name) for name in self.settings.embedders]

    @property
    def store(self) -> EmbeddingStore:
        """The embedding store."""
        return EmbeddingStore(self.paths.embeddings)

    @property
    def index(self) -> TrackIndex:
        """The index."""
        return open_index(self.settings)


def log_progress(context: dg.AssetExecutionContext) -> Progress:
    """Write a line into the run's log every ten seconds."""

    def progress(items: Iterable, title: str, total: int) -> Iterator:
        last = time.monotonic()
        for number, item in enumerate(items, 1):
            yield item
            if time.monotonic() - last > 10:
                last = time.monotonic()
                context.log.info(f"{title}: {number} of {total}")

    return progress
