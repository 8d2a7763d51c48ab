"""The nightly schedule: what changed, what is not complete, and what follows from it."""

from functools import partial

import dagster as dg

from musicflow.errors import MusicflowError
from musicflow.library import LibraryError, Rules, changes, forget_partitions, library_as_scanned
from musicflow.orchestration.automation import ingest, refresh
from musicflow.orchestration.partitions import (
    PARTITIONS,
    follow,
    in_few_runs,
    incomplete,
    only_scanned,
)
from musicflow.orchestration.resources import Workspace
from musicflow.pipeline import Plan
from musicflow.pipeline.plan import make_plan
from musicflow.recorded import is_recorded
from musicflow.settings import Settings


@dg.schedule(
    job=refresh,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Each night at three (UTC), embed the partitions that changed or are not complete, "
    "and try again what failed. Collections and comparison follow. A night without changes starts "
    "no run.",
)
def nightly(
    context: dg.ScheduleEvaluationContext, workspace: Workspace
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request what is out of date: a few runs over partitions, or one of what follows from them.

    The conditions of assets carry the partitions on to collections and comparison. No file is
    opened here.
    """
    settings = workspace.settings
    if settings.library is None:
        return dg.SkipReason("no library is set: run `musicflow run LIBRARY` once")
    try:
        seen = changes(settings.library, settings.paths.library, Rules.of(settings))
    except LibraryError as error:
        return dg.SkipReason(f"{error}. Nothing is taken for deleted.")
    assert context.repository_def is not None
    graph = context.repository_def.asset_graph
    parted = ingest.selection.resolve(graph)
    # What was gone the last night, too, is forgotten; the sensor does so at its second look.
    keys = set(context.instance.get_dynamic_partitions(str(PARTITIONS.name)))
    gone = set(seen.gone) - keys
    forget_partitions(settings.paths.library, gone)
    follow(context.instance, seen.found)
    scanned = only_scanned(settings.paths, keys) & seen.found.keys()
    changed, plan = {*seen.changed, *scanned}, None
    unfinished = incomplete(context.instance, parted, seen.found)
    if changed | unfinished != seen.found.keys():
        plan = _plan(settings)
        unfinished |= plan.partitions & seen.found.keys() if plan is not None else set()
    night = f"{context.scheduled_execution_time:%Y-%m-%d}"
    if changed | unfinished:
        why = f"{len(changed)} partitions changed, {len(unfinished - changed)} are not complete"
        known = context.instance.get_dynamic_partitions(str(PARTITIONS.name))
        runs = enumerate(in_few_runs(known, changed | unfinished), 1)
        return [
            dg.RunRequest(
                run_key=f"{night} {number}",
                tags={**tags, "musicflow/why": f"{count} of these: {why}"},
                asset_selection=sorted(parted),
            )
            for number, (tags, count) in runs
        ]
    if plan is None or plan.steps:
        whole = sorted(graph.materializable_asset_keys - parted)
        return [dg.RunRequest(run_key=night, asset_selection=whole)]
    files = sum(len(states) for states in seen.found.values())
    put_off = f" (the comparison is {plan.as_of})" if plan.as_of else ""
    return dg.SkipReason(
        f"{files} files in {len(seen.found)} partitions: nothing changed, and all is up to "
        f"date{put_off}"
    )


def _plan(settings: Settings) -> Plan | None:
    """Return what is out of date as the library was last scanned; None where a run has to tell."""
    try:
        recorded = partial(is_recorded, settings.paths)
        return make_plan(settings, library_as_scanned(settings), recorded)
    except MusicflowError:
        return None
