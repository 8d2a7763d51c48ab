"""Dagster's partitions: those of the library. Their keys are discovered, never typed."""

import warnings
from collections.abc import Collection

import dagster as dg

from musicflow.settings import Settings

# Dagster warns of each use of a parameter that it may still change.
warnings.filterwarnings("ignore", "Parameter `backfill_policy`", dg.BetaWarning)

PARTITIONS = dg.DynamicPartitionsDefinition(name="parts")

PER_RUN = Settings().partitions_per_run
"""The most partitions that one run of a backfill takes; None: all.

One run starts one process and loads each model once. Many machines share a backfill by its runs.
"""

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
    if not keys:
        return {}
    return {
        "dagster/asset_partition_range_start": keys[0],
        "dagster/asset_partition_range_end": keys[-1],
    }
