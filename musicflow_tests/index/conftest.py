"""Made-up tracks, and an index of every engine that can be had."""

import os
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient

from musicflow.index import EmbeddedIndex, Manifest, Point, TrackIndex, normalize
from musicflow.index.connection import Access, Server
from musicflow.index.server import ServerIndex

DIM = 8
MANIFEST = Manifest("toy", "hash", DIM, "state")
SERVER = os.environ.get("MUSICFLOW_QDRANT_URL")
KEY = os.environ.get("MUSICFLOW_QDRANT_API_KEY")


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


def in_memory() -> ServerIndex:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ServerIndex(Server(QdrantClient(":memory:")))


@pytest.fixture(params=["embedded", "memory", *(["server"] if SERVER else [])])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> TrackIndex:
    if request.param == "embedded":
        return EmbeddedIndex(tmp_path / "collections")
    if request.param == "memory":
        return in_memory()
    assert SERVER is not None
    return ServerIndex(Server.connect(Access(SERVER, KEY)))


@pytest.fixture
def name(index: TrackIndex) -> Iterator[str]:
    """A name for a collection that is no one else's, on a server that others use too."""
    name = f"toy-{uuid.uuid4().hex[:8]}"
    yield name
    if SERVER is not None and isinstance(index, ServerIndex):
        client = QdrantClient(url=SERVER, api_key=KEY)
        for collection in client.get_collections().collections:
            if f".{name}." in collection.name:
                client.delete_collection(collection.name)
