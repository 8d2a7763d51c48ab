"""Made-up tracks, and an index of every engine that can be had."""

import os
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from musicflow.index import (
    Collection,
    EmbeddedIndex,
    Manifest,
    Point,
    Revision,
    TrackIndex,
    normalize,
)
from musicflow.index.connection import Access, Server
from musicflow.index.server import ServerIndex

DIM = 8
MANIFEST = Manifest("toy", "hash", DIM, "state")
SERVERS = os.environ.get("MUSICFLOW_TEST_QDRANT", "").split()
"""Addresses of a real server, or of the nodes of a cluster: see ``make test-server``."""
KEY = os.environ.get("MUSICFLOW_TEST_QDRANT_KEY") or None


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return normalize(np.random.default_rng(seed).standard_normal((count, DIM)), MANIFEST)


def points(values: np.ndarray) -> list[Point]:
    return [
        Point(
            f"t{i}",
            vector,
            {
                "track_id": f"t{i}",
                "name": f"name {i}",
                "genre": "even" if i % 2 == 0 else "odd",
                "artist": f"artist {i % 3}",
                "tags": ["loud", f"tag {i % 4}"],
                "duration_s": 10.0 * i,
            },
        )
        for i, vector in enumerate(values)
    ]


Held = dict[str, Point]
"""The points that a collection should hold, by track."""


def update(index: TrackIndex, name: str, held: Held, changed: Sequence[Point], gone: str) -> None:
    """Publish by differences: to whichever version the engine starts from."""
    held |= {point.track_id: point for point in changed}
    for track_id in gone.split():
        del held[track_id]

    def revise(base: Collection) -> Revision:
        before = {point.track_id: point for point in base.scroll()}
        written = [
            point
            for track_id, point in held.items()
            if track_id not in before or before[track_id].payload != point.payload
        ]
        manifest = replace(base.manifest, state=f"{len(held)}", count=len(held), changes=1)
        return Revision(manifest, written, before.keys() - held.keys())

    assert index.update(name, revise) == len(held)


def round_of(number: int) -> tuple[list[Point], str]:
    """Two tracks that are new, two that are changed, and two that are gone."""
    changed = points(vectors(200, seed=number))[4 * number : 4 * number + 2]
    new = points(vectors(220, seed=number))[200 + 2 * number : 202 + 2 * number]
    for point in (*changed, *new):
        point.payload["genre"] = f"round {number}"
    return [*changed, *new], f"t{4 * number + 2} t{4 * number + 3}"


def assert_holds(collection: Collection, held: Held) -> None:
    found = {point.track_id: point for point in collection.scroll()}
    assert {key: point.payload for key, point in found.items()} == {
        key: point.payload for key, point in held.items()
    }
    assert collection.count() == collection.manifest.count == len(held)
    assert collection.facet("track_id").keys() == held.keys()
    values = np.stack([point.vector for point in held.values()])
    names = list(held)
    for number, hits in enumerate(collection.query(values, 5)):
        best = np.argsort(-(values @ values[number]), kind="stable")[:5]
        assert [hit.track_id for hit in hits] == [names[row] for row in best]


def in_memory() -> ServerIndex:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ServerIndex(Server(QdrantClient(":memory:")))


def at_server(**how: Any) -> Server:
    """The connection to the real server, if one was given."""
    if not SERVERS:
        pytest.skip("no Qdrant server was given: make test-server URL=http://HOST:6333")
    return Server.connect(Access(SERVERS[0], KEY, **how))


@pytest.fixture(params=["embedded", "memory", pytest.param("server", marks=pytest.mark.server)])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> TrackIndex:
    if request.param == "embedded":
        return EmbeddedIndex(tmp_path / "collections")
    return in_memory() if request.param == "memory" else ServerIndex(at_server())


@pytest.fixture
def name(index: TrackIndex) -> Iterator[str]:
    """A name for a collection that is no one else's, on a server that others use too."""
    name = f"toy-{uuid.uuid4().hex[:8]}"
    yield name
    if isinstance(index, ServerIndex):
        clear(index._server, f".{name}.")


def clear(server: Server, part: str) -> None:
    """Delete the collections of a test, by a part of their names."""
    for collection in server(lambda client: client.get_collections()).collections:
        if part in collection.name:
            server(lambda client, gone=collection.name: client.delete_collection(gone))  # type: ignore[misc]
