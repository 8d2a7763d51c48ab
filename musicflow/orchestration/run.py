"""Runs of the assets in this process, for the command line and the Python API."""

import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import filelock
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.execution.job_execution_result import JobExecutionResult
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.tags import MAX_RETRIES_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from musicflow.embedders import specs_for
from musicflow.errors import words_of_database
from musicflow.library import AudioFile, Library, times_of_partitions
from musicflow.orchestration import alerts
from musicflow.orchestration.automation import EMBEDS, refresh
from musicflow.orchestration.definitions import assets_for, definitions_for
from musicflow.orchestration.failures import NO_REASON, reason_of
from musicflow.orchestration.partitions import all_partitions, follow, incomplete, ingested
from musicflow.orchestration.processes import PROCESS, STARTED, end_killed_runs, this_process
from musicflow.orchestration.resources import (
    EMBEDDING,
    GPU,
    INDEX,
    Reading,
    Reporter,
    resources_of,
    workspace_of,
)
from musicflow.orchestration.tuned import TUNED_SPACES
from musicflow.pipeline import Plan
from musicflow.pipeline.run import is_per_embedder
from musicflow.places import Place
from musicflow.settings import (
    Home,
    HomeError,
    Settings,
    check_for_databases,
    remember,
)

_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__

CONFIG = Path(__file__).with_name("dagster.yaml")

_NO_COPIES = {
    "compute_logs": {
        "module": NoOpComputeLogManager.__module__,
        "class": NoOpComputeLogManager.__name__,
    }
}

EVALUATION = [["retrieval_evaluation"], ["embedder_comparison"]]


def prepare(home: Home) -> None:
    """Make a home ready for Dagster and MLflow. A home that is ready stays as it is."""
    # Imported here: MLflow takes a second, and a run without an evaluation does not need it.
    from musicflow import tracking

    prepare_dagster(home)
    tracking.prepare(home)


def prepare_dagster(home: Home) -> None:
    """Make a home ready for Dagster: its configuration, and the limits of its pools.

    Limits that were set by hand stay.
    """
    check_for_databases(home)
    home.dagster.mkdir(parents=True, exist_ok=True)
    # If several processes made the database at once, all but one would fail.
    with filelock.FileLock(home.dagster / ".lock"), _explained(home):
        _prepare_dagster(home)


def _prepare_dagster(home: Home) -> None:
    if not (home.dagster / CONFIG.name).exists():
        shutil.copyfile(CONFIG, home.dagster / CONFIG.name)
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        storage = instance.event_log_storage
        known = {limit.name for limit in storage.get_pool_limits()}
        for pool in {*_POOLS} - known:
            storage.set_concurrency_slots(pool, 1)
        end_killed_runs(instance)


def has_own_configuration(home: Home) -> bool:
    """Return whether a home's Dagster configuration differs from this version's."""
    return (home.dagster / CONFIG.name).read_bytes() != CONFIG.read_bytes()


def materialize(
    plan: Plan, settings: Settings, reporter: Reporter, tell: Callable[[str], None]
) -> dict[str, str]:
    """Materialize all assets that a plan changes, and remember its settings.

    If an embedder fails, the others are still evaluated.

    Parameters
    ----------
    plan
        The plan, as it was just made.
    settings
        The library and the embedders.
    reporter
        Shows progress.
    tell
        Called with a sentence to show before the run, if there is one.

    Returns
    -------
    dict
        The reason per asset that failed.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted. All finished work is kept.
    """
    remember(settings.paths, **settings.remembered)
    prepare_dagster(settings.paths)
    labels = [spec.label for spec in specs_for(settings)]
    vectors = [["embeddings", label] for label in labels]
    collections = [["collections", label] for label in labels]
    tuned = [[TUNED_SPACES]] if settings.tuned else []
    whole = [["track_metadata"], *collections, *tuned, *EVALUATION]
    given = plan, settings, reporter, tell
    failed = _run(*given, whole, [["raw_audio"], *vectors])
    if failed and all(map(is_per_embedder, failed)):
        # Dagster skipped the evaluation, which depends on all embedders.
        failed |= _run(*given, [*tuned, *EVALUATION])
    return failed


def materialize_tuned(
    library: Library, settings: Settings, reporter: Reporter, tell: Callable[[str], None]
) -> dict[str, str]:
    """Materialize the tuned spaces of a home, and the evaluation; see `materialize`."""
    prepare_dagster(settings.paths)
    return _run(Plan(library, (), None), settings, reporter, tell, [[TUNED_SPACES], *EVALUATION])


def _run(
    plan: Plan,
    settings: Settings,
    reporter: Reporter,
    tell: Callable[[str], None],
    whole: Sequence[list[str]],
    parted: Sequence[list[str]] = (),
) -> dict[str, str]:
    """Materialize assets of the whole library, and of those with partitions what is out of date."""
    # Output goes straight to the terminal. Dagster would copy it in processes that print
    # tracebacks after Ctrl-C.
    instance_ref = InstanceRef.from_dir(str(settings.paths.dagster), overrides=_NO_COPIES)
    with _explained(settings.paths), dg.DagsterInstance.from_ref(instance_ref) as instance:
        if going_on := [run.run_id[:8] for run in instance.get_runs(STARTED)]:
            tell(
                f"Also running: {', '.join(going_on)}. This run waits for resources in use. One "
                "that is no longer at work is ended on its page: musicflow dagster"
            )
        states = times_of_partitions(settings.paths.library)
        follow(instance, states)
        only = plan.partitions | _unseen(instance, settings.paths, states, parted)
        some = all_partitions(instance, only) if parted else {}
        job = _job(plan, settings, reporter, [*whole, *parted] if some else whole)
        run = instance.create_run_for_job(
            job,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=EMBEDS | some | _tags(),
            remote_job_origin=_origin(),
        )
        with _handing_out_places(instance):
            result = execute_run(InMemoryJob(job), run, instance)
        failed = _failed(result)
    if failed:
        try:
            alerts.tell_of(run, failed, settings)
        except (OSError, subprocess.SubprocessError) as error:
            tell(f"The alert could not be sent: {error}")
    return failed


_LOOK_S = 5.0

_POOLS = (EMBEDDING, GPU, INDEX)


@contextmanager
def _handing_out_places(instance: dg.DagsterInstance) -> Iterator[None]:
    """Give free places of the pools to steps that wait for one.

    Dagster does so when a place becomes free. It overlooks a step of another run that begins to
    wait at that moment, which would wait forever.
    """
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_S):
            # A database that is locked for a moment can wait for the next look.
            with suppress(Exception):
                _hand_out_places(instance)

    thread = threading.Thread(target=look, name="places", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _hand_out_places(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    for pool in _POOLS:
        if storage.has_unassigned_slots(pool):
            storage.assign_pending_steps([pool])


def _unseen(
    instance: dg.DagsterInstance,
    home: Home,
    states: Mapping[str, int],
    parted: Sequence[list[str]],
) -> set[str]:
    """Return the partitions that are not in Dagster as they are."""
    seen = ingested(home)
    unseen = {key for key, state in states.items() if seen.get(key) != state}
    return unseen | incomplete(instance, map(dg.AssetKey, parted), states)


def _job(
    plan: Plan, settings: Settings, reporter: Reporter, selection: Sequence[list[str]]
) -> dg.JobDefinition:
    chosen = dg.AssetSelection.assets(*selection)
    return dg.Definitions(
        assets=assets_for(settings.embedders, settings.device, settings.tuned),
        jobs=[dg.define_asset_job(refresh.name, chosen)],
        resources=resources_of(workspace_of(settings), reporter, _AsPlanned(plan.library)),
        executor=dg.in_process_executor,
    ).resolve_job_def(refresh.name)


def _tags() -> dict[str, str]:
    program, *arguments = sys.argv
    return {
        PROCESS: this_process(),
        "musicflow/command": shlex.join([Path(program).name, *arguments]),
        # A person who ends a command does not want Dagster to go on with it.
        MAX_RETRIES_TAG: "0",
    }


def _origin() -> RemoteJobOrigin:
    """Return the origin of the job in Dagster's pages, whose timeline shows no run without."""
    module = definitions_for.__module__
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=module)
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, location_name=module)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), refresh.name)


class _AsPlanned(Reading):
    """What was read for the plan, handed on."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def scan(
        self, _root: Place, folder: Path, keys: Sequence[str], *_: object
    ) -> dict[str, list[AudioFile]]:
        return self.files(folder, keys)

    def files(
        self, _folder: Path, keys: Collection[str] | None = None
    ) -> dict[str, list[AudioFile]]:
        known = self._library.partitions
        return {key: files for key, files in known.items() if keys is None or key in keys}

    def join(self, *_: object) -> Library:
        return self._library

    def library(self, _folder: Path) -> Library:
        return self._library


@contextmanager
def _explained(home: Home) -> Iterator[None]:
    """Turn errors of Dagster's databases into a sentence."""
    try:
        yield
    except Exception as error:
        if not (words := words_of_database(error)):
            raise
        raise HomeError(
            f"Dagster cannot keep its records in {home.dagster}: {words}",
            "make room, or give the user of this process access. All finished work is kept: then "
            "run it again",
        ) from error


def _failed(result: JobExecutionResult) -> dict[str, str]:
    """Return why a run failed, by asset.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted: Dagster takes that for a failure, of a step or of the run.
    """
    steps = result.get_step_failure_events()
    ends = result.filter_events(lambda event: event.is_job_failure)
    errors = [event.step_failure_data.error for event in steps]
    errors += [event.job_failure_data.error for event in ends]
    if any(error is not None and error.cls_name == _INTERRUPTED for error in errors):
        raise KeyboardInterrupt
    if ends and not steps:
        return {"run": ends[0].message or NO_REASON}
    return {str(event.step_key).replace("__", "/"): reason_of(event) for event in steps}
