"""The cost of vectors, as the pass that made them measured it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from musicflow.evaluation.results import Row
from musicflow.store import Embedding

BYTES_PER_VALUE = 4

_LONG_ENOUGH_S = 10.0
"""A shorter pass does not say how busy the machine was."""


def cost_of(vectors: Sequence[Embedding]) -> dict[str, Any]:
    """Return the cost of some vectors as fields of a `Row`; empty if not measured."""
    wall_s = sum(one.wall_s for one in vectors)
    if not vectors or not wall_s:
        return {}
    loads = [one.load_s for one in vectors if one.load_s]
    return {
        "tracks_per_s": len(vectors) / wall_s,
        "x_realtime": sum(one.audio_s for one in vectors) / wall_s,
        "decode_ms": 1000 * sum(one.decode_s for one in vectors) / len(vectors),
        "embed_ms": 1000 * sum(one.embed_s for one in vectors) / len(vectors),
        "cores": sum(one.cpu_s for one in vectors) / wall_s or None,
        "granted": _granted([one for one in vectors if one.asked_s]),
        "load_s": float(np.median(loads)) if loads else None,
        "peak_rss_mb": max(one.peak_rss_mb for one in vectors),
        "device": vectors[0].device,
    }


def _granted(vectors: Sequence[Embedding]) -> float | None:
    if sum(one.wall_s for one in vectors) < _LONG_ENOUGH_S:
        return None
    return sum(one.cpu_s for one in vectors) / sum(one.asked_s for one in vectors)


def cost_of_fusion(members: Sequence[Row]) -> dict[str, Any]:
    """Return the cost of a fusion as fields of a `Row`: that of its members together."""
    return {
        "tracks_per_s": _speed([row.tracks_per_s for row in members]),
        "x_realtime": _speed([row.x_realtime for row in members]),
        "load_s": _sum([row.load_s for row in members]),
        "peak_rss_mb": max((row.peak_rss_mb or 0.0 for row in members), default=None),
        "bytes_per_vector": BYTES_PER_VALUE * sum(row.dim for row in members),
    }


def _speed(speeds: Sequence[float | None]) -> float | None:
    """Return the speed of one after another; None if one is not known."""
    known = [speed for speed in speeds if speed]
    return 1 / sum(1 / speed for speed in known) if len(known) == len(speeds) else None


def _sum(times: Sequence[float | None]) -> float | None:
    """Return the sum; None if one is not known."""
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None
