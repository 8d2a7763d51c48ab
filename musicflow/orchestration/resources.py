"""The resources of assets: the settings, and a way to show progress."""

import time
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from musicflow.embedders import EmbedderSpec, spec_or_stand_in, specs_for
from musicflow.index import TrackIndex, open_index
from musicflow.library import LibraryError, Progress
from musicflow.settings import Home, Settings
from musicflow.store import EmbeddingStore

EMBEDDING = "embedding"
"""The pool of steps that keep all cores busy."""

GPU = "gpu"
"""The pool of steps that run on the GPU, if the settings name one."""

INDEX = "index"
"""The pool of steps that write collections."""

Reporter = Callable[[dg.AssetExecutionContext], Progress]
"""A function that makes the `Progress` of an asset."""


def _described(name: str) -> str:
    text = Settings.model_fields[name].description
    return f"{text} If empty, MUSICFLOW_{name.upper()} or musicflow.toml decides."


# Dagster's launchpad offers the values of an enum, and takes no others.


class Exclusion(Enum):
    """`settings.Exclude`."""

    artist = "artist"
    duplicates = "duplicates"
    none = "none"


class Arithmetic(Enum):
    """`settings.Precision`."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class Processor(Enum):
    """`settings.Device`."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Workspace(dg.ConfigurableResource):
    """The settings of a run. Empty ones come from the environment or the home."""

    home: str = Field(default="", description=_described("home"))
    library: str = Field(default="", description=_described("library"))
    library_format: str = Field(default="", description=_described("library_format"))
    ignore: list[str] = Field(default=[], description=_described("ignore"))
    embedders: list[str] = Field(default=[], description=_described("embedders"))
    hop_s: dict[str, float] = Field(default={}, description=_described("hop_s"))
    precision: Arithmetic | None = Field(default=None, description=_described("precision"))
    device: Processor | None = Field(default=None, description=_described("device"))
    exclude: Exclusion | None = Field(default=None, description=_described("exclude"))
    k: int | None = Field(default=None, description=_described("k"))

    @classmethod
    def of(cls, settings: Settings) -> "Workspace":
        """Return a workspace with just these settings."""
        given = settings.model_dump(mode="json", include=set(cls.model_fields))
        return cls(**{name: value for name, value in given.items() if value is not None})

    @property
    def settings(self) -> Settings:
        """Return the current settings, with changes since Dagster was started."""
        values = {name: _plain(getattr(self, name)) for name in type(self).model_fields}
        return Settings(**{name: v for name, v in values.items() if v not in (None, "", [], {})})

    @property
    def paths(self) -> Home:
        """Return the paths of the home."""
        return self.settings.paths

    @property
    def root(self) -> Path:
        """Return the library's folder.

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
    def layout(self) -> str:
        """Return the name of the library's layout."""
        return self.settings.library_format

    @property
    def specs(self) -> list[EmbedderSpec]:
        """Return the embedders to compare."""
        return specs_for(self.settings)

    def spec(self, name: str) -> EmbedderSpec:
        """Return an embedder under the run's settings; see `spec_or_stand_in`."""
        return spec_or_stand_in(name, self.settings)

    @property
    def store(self) -> EmbeddingStore:
        """Return the embedding store."""
        return EmbeddingStore(self.paths.embeddings)

    @property
    def index(self) -> TrackIndex:
        """Return the index."""
        return open_index(self.settings)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


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
