"""Sixty made-up tracks, in an index of either engine."""

from typing import Any

import numpy as np
import pytest

from musicflow.index import Collection, EmbeddedIndex, Manifest, Point, TrackIndex, normalize
from musicflow_tests.index.conftest import in_memory

DIM = 16
COUNT = 60
MANIFEST = Manifest("toy", "hash", DIM, "state")
VECTORS = normalize(np.random.default_rng(0).standard_normal((COUNT, DIM)), MANIFEST)


def track(row: int, **fields: object) -> dict[str, Any]:
    return {
        "track_id": f"t{row}",
        "artist": [f"Artist {row % 4}", *(["Guest"] if row % 5 == 0 else [])],
        "name": f"Song {row}",
        "genre": "even" if row % 2 == 0 else "odd",
        "subgenres": [],
        "tags": [],
        "album": "Unknown",
        "duration_s": 100.0 + 10 * row,
        **fields,
    }


TRACKS = [Point(f"t{row}", vector, track(row)) for row, vector in enumerate(VECTORS)]


def opened(index: TrackIndex, tracks: list[Point] = TRACKS) -> Collection:
    index.publish("toy", MANIFEST, tracks)
    return index.open("toy")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return opened(EmbeddedIndex(tmp_path_factory.mktemp("index")))


@pytest.fixture(scope="module")
def in_server() -> Collection:
    return opened(in_memory())
