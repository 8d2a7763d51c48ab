"""The partitions: the library's parts. Their keys are discovered, never typed."""

from collections.abc import Collection

import dagster as dg

PARTS = dg.DynamicPartitionsDefinition(name="parts")


def follow(instance: dg.DagsterInstance, keys: Collection[str]) -> None:
    """Make the partitions those of the library as it is."""
    name = str(PARTS.name)
    before = set(instance.get_dynamic_partitions(name))
    instance.add_dynamic_partitions(name, sorted(set(keys) - before))
    for key in sorted(before - set(keys)):
        instance.delete_dynamic_partition(name, key)


def all_parts(instance: dg.DagsterInstance) -> dict[str, str]:
    """The tags that make one run of all partitions, in which each model is loaded once."""
    keys = instance.get_dynamic_partitions(str(PARTS.name))
    if not keys:
        return {}
    return {
        "dagster/asset_partition_range_start": keys[0],
        "dagster/asset_partition_range_end": keys[-1],
    }
