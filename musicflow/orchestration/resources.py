"""The resources of assets: the settings, and a way to show progress."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin

import dagster as dg
from pydantic import Field, create_model

from musicflow.embedders import EmbedderSpec, check_names, spec_or_stand_in, specs_for
from musicflow.index import TrackIndex, open_index
from musicflow.library import (
    AudioFile,
    Library,
    LibraryError,
    Progress,
    Rule,
    Rules,
    join,
    load_partitions,
    scan_partitions,
    sorted_files,
)
from musicflow.orchestration.processes import PROCESS, WORKER, this_process
from musicflow.places import Place
from musicflow.settings import Home, Settings, choices, options_of_a_run
from musicflow.store import EmbeddingStore, store_of

EMBEDDING = "embedding"
"""The pool of steps that keep all cores busy."""

GPU = "gpu"
"""The pool of steps that run on the GPU, if the settings name one."""

INDEX = "index"
"""The pool of steps that write collections."""

OWNERS = ["team:musicflow"]
"""The owner of all assets, as Dagster's pages name it."""

Context = dg.AssetExecutionContext | dg.OpExecutionContext

Reporter = Callable[[Context], Progress]
"""A function that makes the `Progress` of a step."""


class Reading:
    """How assets get at files and tracks: in Dagster's own processes, by reading them."""

    def scan(
        self, root: Place, folder: Path, keys: Sequence[str], progress: Progress, rules: Rules
    ) -> dict[str, list[AudioFile]]:
        """Bring partitions up to date with the disk; see `scan_partitions`."""
        return scan_partitions(root, folder, keys, progress, rules)

    def files(
        self, folder: Path, keys: Collection[str] | None = None
    ) -> dict[str, list[AudioFile]]:
        """Return the files of partitions that were scanned; see `load_partitions`."""
        return load_partitions(folder, keys)

    def join(
        self, root: Place, partitions: Mapping[str, list[AudioFile]], layout: str, rule: Rule
    ) -> Library:
        """Make a library of files; see `join`."""
        return join(root, sorted_files(partitions), layout, rule)

    def library(self, folder: Path) -> Library:
        """Return the library that was joined last; see `Library.load`."""
        return Library.load(folder)


class Workspace(dg.ConfigurableResource):
    """The settings of a run. See `workspace_of` for its fields in the launchpad."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Note in which process a run is, so that others see when that was killed."""
        run = context.run
        if run is not None and context.instance is not None and PROCESS not in run.tags:
            context.instance.add_run_tags(run.run_id, {WORKER: this_process()})

    @property
    def settings(self) -> Settings:
        """Return the current settings, with changes since Dagster was started."""
        values = {
            name: getattr(self, name)
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.default
        }
        return Settings(**{name: v for name, v in values.items() if v not in (None, "", [], {})})

    @property
    def paths(self) -> Home:
        """Return the paths of the home."""
        return self.settings.paths

    @property
    def root(self) -> Place:
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
        """Return the embedders to compare.

        Raises
        ------
        UnknownEmbedderError
            If one of their names is nobody's, or two have it.
        """
        settings = self.settings
        check_names(settings)
        return specs_for(settings)

    def spec(self, name: str) -> EmbedderSpec:
        """Return an embedder under the run's settings; see `spec_or_stand_in`."""
        return spec_or_stand_in(name, self.settings)

    @property
    def store(self) -> EmbeddingStore:
        """Return the embedding store."""
        return store_of(self.settings)

    @property
    def index(self) -> TrackIndex:
        """Return the index."""
        return open_index(self.settings)


def workspace_of(settings: Settings | None = None) -> Workspace:
    """Return a workspace with fields for the settings of a run.

    Parameters
    ----------
    settings
        Their values. If not given, the fields show the values in force, and those that are left as
        they are follow the environment and the home.
    """
    names = ("home", "library", *options_of_a_run())
    in_force = Settings().model_dump(mode="json") if settings is None else {}
    fields = {name: _field(name, in_force.get(name)) for name in names}
    made = create_model("Workspace", __base__=Workspace, **fields)
    given = settings.model_dump(mode="json", include=set(names)) if settings is not None else {}
    return made(**{name: value for name, value in given.items() if value is not None})


def _field(name: str, in_force: Any) -> Any:
    """Return type and default of a setting's field."""
    field = Settings.model_fields[name]
    text = (
        f"{field.description} Unless changed, MUSICFLOW_{name.upper()} or musicflow.toml decides."
    )
    kind: Any = field.annotation
    if get_origin(kind) is tuple:
        return list[str], Field(default=in_force or [], description=text)
    if get_origin(kind) is dict:
        return dict[str, float], Field(default=in_force or {}, description=text)
    if kind not in (int, float, bool, int | None, float | None):
        if values := choices(name):
            text = f"One of {', '.join(values)}. {text}"
        # Dagster would refuse a value that is none of an enum's in words of its own.
        return str, Field(default=in_force or "", description=text)
    return kind | None, Field(default=in_force, description=text)


def resources_of(
    workspace: Workspace | None = None,
    reporter: Reporter | None = None,
    reading: Reading | None = None,
) -> dict[str, Any]:
    """Return the resources of all assets; by default those of Dagster's own processes."""
    return {
        "workspace": workspace or workspace_of(),
        "reporter": reporter or log_progress,
        "reading": reading or Reading(),
    }


def log_progress(context: Context) -> Progress:
    """Write a line into the run's log every ten seconds."""

    def progress(items: Iterable, title: str, total: int) -> Iterator:
        last = time.monotonic()
        for number, item in enumerate(items, 1):
            yield item
            if time.monotonic() - last > 10:
                last = time.monotonic()
                context.log.info(f"{title}: {number} of {total}")

    return progress
