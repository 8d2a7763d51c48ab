"""Dagster's partitions: those of the library. Their keys are discovered, never typed."""

import json
import warnings
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

import dagster as dg
import filelock
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from musicflow.atomic import write_atomically
from musicflow.library import times_of_partitions
from musicflow.orchestration import checks
from musicflow.settings import Home, Settings

# Dagster warns of each use of a parameter that it may still change.
warnings.filterwarnings("ignore", "Parameter `backfill_policy`", dg.BetaWarning)

PARTITIONS = dg.DynamicPartitionsDefinition(name="parts")

PER_RUN = Settings().partitions_per_run
"""The most partitions that one run of a backfill takes; None: all.

One run starts one process and loads each model once. Many machines share a backfill by its runs.
"""

RUNS = 5
"""The most runs that one night starts: each starts a process, and loads each model."""

BACKFILLS = dg.BackfillPolicy.multi_run(PER_RUN) if PER_RUN else dg.BackfillPolicy.single_run()


def follow(instance: dg.DagsterInstance, keys: Collection[str]) -> None:
    """Bring Dagster's partitions up to date with those of the library."""
    name = str(PARTITIONS.name)
    before = set(instance.get_dynamic_partitions(name))
    instance.add_dynamic_partitions(name, sorted(set(keys) - before))
    for key in sorted(before - set(keys)):
        instance.delete_dynamic_partition(name, key)


def all_partitions(
    instance: dg.DagsterInstance, only: Collection[str] | None = None
) -> dict[str, str]:
    """Return the tags of one run over all partitions, which loads each model once.

    Parameters
    ----------
    instance
        The instance that knows the partitions.
    only
        The partitions needed: the run is over those, and what lies between them. None for all.
    """
    known = instance.get_dynamic_partitions(str(PARTITIONS.name))
    keys = [key for key in known if only is None or key in only]
    return _range(keys[0], keys[-1]) if keys else {}


def in_few_runs(known: Sequence[str], wanted: Collection[str]) -> list[tuple[dict[str, str], int]]:
    """Return the tags of each run over some partitions, and how many of them it takes.

    Neighbours share a run, which loads each model once. Where more than `RUNS` would be needed,
    those with the fewest others between them share one, which looks at the others, too. Where
    machines share the partitions, a run takes no more than `PER_RUN`.

    Parameters
    ----------
    known
        All partitions, in Dagster's order.
    wanted
        Those that the runs are for.
    """
    places = [place for place, key in enumerate(known) if key in wanted]
    gaps = {end: places[end] - places[end - 1] for end in range(1, len(places))}
    widest = sorted(gaps, key=lambda end: -gaps[end])[: RUNS - 1]
    cuts = [0, *sorted(end for end in widest if gaps[end] > 1), len(places)]
    spans = [(places[a], places[b - 1]) for a, b in pairwise(cuts) if a < b]
    most = PER_RUN or len(known)
    parts = [
        (start, min(start + most - 1, last))
        for first, last in spans
        for start in range(first, last + 1, most)
    ]
    return [
        (_range(known[a], known[b]), count)
        for a, b in parts
        if (count := sum(a <= place <= b for place in places))
    ]


def _range(first: str, last: str) -> dict[str, str]:
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


INGESTED = "partitions.json"
"""The file with the state of each partition's scan when Dagster was told of it."""


def ingested(home: Home) -> dict[str, int]:
    """Return the state of each partition's scan when `raw_audio` last told Dagster of it."""
    try:
        return dict(json.loads((home.dagster / INGESTED).read_text("utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def note_ingested(home: Home, keys: Collection[str]) -> None:
    """Note that Dagster is told of the scans of some partitions."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home.dagster / f".{INGESTED}.lock"):
        states, before = times_of_partitions(home.library), ingested(home)
        kept = {key: state for key, state in before.items() if key in states}
        now = kept | {key: states[key] for key in keys if key in states}
        if now != before:
            write_atomically(home.dagster / INGESTED, json.dumps(now).encode())


def only_scanned(home: Home, known: Collection[str]) -> set[str]:
    """Return the partitions that a look at the library scanned, and that no run has ingested.

    Parameters
    ----------
    home
        The home.
    known
        Dagster's partitions: of one that nothing is noted of, it was told by an earlier version.
    """
    told = ingested(home)
    return {
        key
        for key, state in times_of_partitions(home.library).items()
        if (told[key] != state if key in told else key not in known)
    }


def incomplete(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], keys: Collection[str]
) -> set[str]:
    """Return the partitions that an asset lacks, or of which it failed the last time."""
    found: set[str] = set()
    for asset in assets:
        # Vectors that were found faulty are looked at as a whole.
        if _is_faulty(instance, asset):
            return set(keys)
        status = instance.get_status_by_partition(asset, list(keys), PARTITIONS) or {}
        found |= {key for key in keys if status.get(key) != AssetPartitionStatus.MATERIALIZED}
    return found


def _is_faulty(instance: dg.DagsterInstance, key: dg.AssetKey) -> bool:
    """Return whether a check that blocks what follows failed the last time."""
    check = dg.AssetCheckKey(key, checks.BLOCKING)
    last = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
    return any(record.status == AssetCheckExecutionRecordStatus.FAILED for record in last)
