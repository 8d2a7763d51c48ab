"""The resources of assets: the settings, and a way to show progress."""

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin

import dagster as dg
from pydantic import Field, PrivateAttr, create_model

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

    _written: Mapping[str, Any] | None = PrivateAttr(None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Keep what was written for a run, and note its process: others see if that is killed."""
        # The fields do not tell what was written: Dagster fills all others with None.
        self._written = dict(context.resource_config)
        run = context.run
        if run is not None and context.instance is not None and PROCESS not in run.tags:
            context.instance.add_run_tags(run.run_id, {WORKER: this_process()})

    @property
    def settings(self) -> Settings:
        """Return the current settings: what was written for the run, and the home's as of now."""
        written = self._written
        if written is None:
            written = {name: getattr(self, name) for name in self.model_fields_set}
        settings = Settings(**written)
        # To a table that was written, those of the home are added.
        tables = {name: value for name, value in written.items() if isinstance(value, Mapping)}
        whole = {
            n: {key: getattr(settings, n)[key] for key in table} for n, table in tables.items()
        }
        return settings.model_copy(update=whole)

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
        Their values. If not given, no field has one: what is not written for a run follows the
        environment and the home, as they are then. The descriptions say the values in force.
    """
    names = ("home", "library", *options_of_a_run())
    in_force = (settings or Settings()).model_dump(mode="json", include=set(names))
    fields = {name: _field(name, in_force[name]) for name in names}
    made = create_model("Workspace", __base__=Workspace, **fields)
    return made(**(in_force if settings is not None else {}))


def _field(name: str, in_force: Any) -> Any:
    """Return the type of a setting's field, and the field.

    It has no default: the launchpad would open with it, and send it as if it had been written.
    """
    field = Settings.model_fields[name]
    shown = "nothing" if in_force in (None, [], {}) else json.dumps(in_force, ensure_ascii=False)
    text = (
        f"{field.description} If left out, MUSICFLOW_{name.upper()} or musicflow.toml decides; "
        f"when this page was loaded: {shown}."
    )
    kind: Any = field.annotation
    if get_origin(kind) is tuple:
        kind = list[str]
    elif get_origin(kind) is dict:
        kind = dict[str, float]
    elif kind not in (int, float, bool, int | None, float | None):
        if values := choices(name):
            text = f"One of {', '.join(values)}. {text}"
        # Dagster would refuse a value that is none of an enum's in words of its own.
        kind = str
    return kind | None, Field(default_factory=_nothing, description=text)


def _nothing() -> None:
    """Return the value of a field that nobody wrote."""


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
