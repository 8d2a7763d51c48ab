"""Automation: conditions of assets, and a sensor for files."""

import json

import dagster as dg
from dagster import AutomationCondition as When

from musicflow.library import (
    Changes,
    Library,
    LibraryError,
    Rule,
    Rules,
    changes,
    forget_partitions,
    labels_state,
)
from musicflow.orchestration.partitions import PARTITIONS, PER_RUN, only_scanned
from musicflow.orchestration.resources import Workspace

EMBEDS = {"musicflow/embeds": "true"}
"""The tag of runs that embed the partitions they read."""

_READ_WITHOUT_EMBEDDING = (
    When.newly_updated()
    & ~When.executed_with_root_target()
    & ~When.executed_with_tags(tag_values=EMBEDS)
)

# Not `all_deps_blocking_checks_passed`: it would also wait for the check of an embedder without
# weights, which never ran.
_CHECK_FAILED = When.any_checks_match(When.check_failed(), blocking_only=True)
_DEPENDENCIES_IDLE = (
    ~When.any_deps_in_progress()
    # Nor their own dependencies: no comparison is made while some partitions are being embedded.
    & ~When.any_deps_match(When.any_deps_in_progress())
    # Nor what this very tick requests: a partition that was read alone is embedded first.
    & ~When.any_deps_match(When.any_deps_match(_READ_WITHOUT_EMBEDDING))
    & ~When.in_progress()
    & ~When.any_deps_match(_CHECK_FAILED)
)

WHEN_READ = (
    When.any_deps_match(_READ_WITHOUT_EMBEDDING).since_last_handled() & ~When.in_progress()
).with_label("when a partition was read without being embedded")
"""The condition of vectors. Vectors that failed in a run that embeds are not tried again."""


def when_something_new(*needed: list[str]) -> When:
    """Return the condition "a dependency changed, and none is in progress".

    It differs from Dagster's `eager` in two ways:

    - A missing partition or embedder does not block, if each of `needed` has some data. Where
      `needed` is empty, data of any dependency is enough.
    - A change counts even if its own run planned this asset. Where an embedder failed, that run
      skipped the evaluation, which should then compare the others.
    """
    changed = When.any_deps_match(When.newly_updated() | When.will_be_requested())
    there = When.any_deps_match(~When.missing() | When.will_be_requested())
    condition = (When.newly_missing() | changed).since_last_handled() & there & _DEPENDENCIES_IDLE
    for key in needed:
        condition &= there.allow(dg.AssetSelection.assets(key))
    return condition.with_label("when something is new")


REQUESTS = 25
"""The most partitions requested per tick; the rest waits for the next."""

ingest = dg.define_asset_job(
    "Ingest",
    selection=dg.AssetSelection.assets("raw_audio") | dg.AssetSelection.groups("embeddings"),
    tags=EMBEDS,
    description="Read and embed one partition of the library.",
)

relabel = dg.define_asset_job(
    "Relabel",
    selection=dg.AssetSelection.assets("track_metadata"),
    description="Join the files with their labels again.",
)

# Dagster's pages launch the first job by name that has all assets chosen: this one, by its capital,
# before Dagster's own `__ASSET_JOB`. So *Materialize all* is one run. Where machines share the
# partitions, Dagster's own is better: it evaluates once, after all of them.
refresh = dg.define_asset_job(
    "refresh" if PER_RUN else "Refresh",
    selection=dg.AssetSelection.all(),
    tags=EMBEDS,
    description="Bring everything up to date with the library.",
)


@dg.sensor(
    jobs=[ingest, relabel],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Look at the library every minute; read and embed partitions in which files were "
    "added, changed or deleted. A library that is missing counts as unmounted: nothing of it is "
    "deleted.",
)
def library_changes(
    context: dg.SensorEvaluationContext, workspace: Workspace
) -> dg.SensorResult | dg.SkipReason:
    """Request a run per partition in which files were added, changed or deleted.

    Only sizes and times are compared. A partition that a look at the library scanned, such as
    `musicflow library check`, has changed until a run ingests it. A library that is missing or
    suddenly empty counts as unmounted: nothing of it is deleted. A missing partition is forgotten
    at the second tick. Each state of a partition is requested once. What failed waits for a change,
    or for the night.
    """
    settings, folder = workspace.settings, workspace.paths.library
    if settings.library is None:
        return dg.SkipReason("no library is set: run `musicflow run LIBRARY` once")
    try:
        seen = changes(settings.library, folder, Rules.of(settings))
        labels = labels_state(settings.library, settings.library_format, Rule.of(settings))
    except LibraryError as error:
        return dg.SkipReason(f"{error}. Nothing is taken for deleted.")
    before = json.loads(context.cursor or "{}")
    keys = set(context.instance.get_dynamic_partitions(str(PARTITIONS.name)))
    waiting = {*seen.changed, *only_scanned(workspace.paths, keys)}
    changed = [partition for partition in seen.found if partition in waiting]
    asked = {
        partition: digest
        for partition, digest in before.get("asked", {}).items()
        if partition in changed and digest == seen.digest(partition)
    }
    wanted = [partition for partition in changed if partition not in asked]
    now, later = wanted[:REQUESTS], wanted[REQUESTS:]
    requests = [_ingest(partition, seen) for partition in now]
    gone = sorted((seen.known.keys() | keys) - seen.found.keys())
    confirmed = [partition for partition in gone if partition in before.get("gone", [])]
    relabelled = labels not in (before.get("labels"), _labels_read(workspace, labels))
    if confirmed or relabelled:
        forget_partitions(folder, confirmed)
        why = f"gone: {', '.join(confirmed)}" if confirmed else "the labels changed"
        requests.append(dg.RunRequest(job_name=relabel.name, tags={"musicflow/why": why}))
    cursor = {
        "asked": asked | {partition: seen.digest(partition) for partition in now},
        "gone": sorted(set(gone) - set(confirmed)),
        "labels": labels,
    }
    files = sum(len(states) for states in seen.found.values())
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _why_nothing(files, seen, asked, cursor["gone"]),
        cursor=json.dumps(cursor),
        dynamic_partitions_requests=[
            PARTITIONS.build_add_request(sorted((seen.found.keys() - keys) - set(later))),
            PARTITIONS.build_delete_request(sorted(keys & set(confirmed))),
        ],
    )


def _ingest(partition: str, seen: Changes) -> dg.RunRequest:
    tags = {"musicflow/why": seen.describe(partition) or "scanned, and not embedded"}
    return dg.RunRequest(job_name=ingest.name, partition_key=partition, tags=tags)


def _labels_read(workspace: Workspace, now: str) -> str:
    """Return the state of the labels at the last scan, or `now` if there was none."""
    try:
        return Library.load(workspace.paths.library).labels
    except LibraryError:
        return now


def _why_nothing(files: int, seen: Changes, asked: dict[str, str], gone: object) -> str:
    text = f"{files} files in {len(seen.found)} partitions: "
    if gone:
        return f"{text}{', '.join(gone)} missing; forgotten if still missing at the next tick"  # type: ignore[arg-type]
    if asked:
        return f"{text}{', '.join(asked)} changed and requested already"
    return f"{text}nothing changed"


automation = dg.AutomationConditionSensorDefinition(
    "automation",
    target=dg.AssetSelection.all(),
    description="Look every 30 seconds which assets have something new above them, and carry it on "
    "to collections and comparison.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
