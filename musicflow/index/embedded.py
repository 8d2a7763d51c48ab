"""The embedded engine: Qdrant's own Rust engine in this process, nothing to run beside it.

A published version is a folder of segments that nobody writes to any more. Each reader opens it
through a small folder of its own (the engine wants to lock a write-ahead log, and keeps it
there), so readers disturb neither each other nor the next build, and one that is still open
keeps its files even when a later publication clears the version away.

::

    <root>/<collection>/CURRENT              the name of the published version
    <root>/<collection>/versions/<version>/  segments/, edge_config.json, manifest.json
    <root>/<collection>/building/            what is being built, or was when it was killed
"""

import dataclasses
import errno
import itertools
import json
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import qdrant_edge as edge

from musicflow.index.filters import DURATION, KEYWORDS, Condition, Filters
from musicflow.index.track_index import (
    Hit,
    Manifest,
    NoCollectionError,
    Point,
    TrackIndexError,
    point_id,
    unit,
)
from musicflow.settings import write_atomically

_BATCH = 1000
_ROOM = 200_000_000
"""Bytes that must be free to build a collection, beside three times its vectors."""
_MANIFEST = "manifest.json"
_CONFIG = "edge_config.json"


class EmbeddedIndex:
    """A `TrackIndex` in a folder.

    Parameters
    ----------
    root
        The folder; made when first published to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, name: str, manifest: Manifest, points: Iterable[Point]) -> int:
        """See `TrackIndex.publish`."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock"):
            building = folder / "building"
            shutil.rmtree(building, ignore_errors=True)
            _check_room(folder, manifest)
            building.mkdir()
            count = _build(building, manifest, points)
            manifest = dataclasses.replace(manifest, count=count)
            text = json.dumps(dataclasses.asdict(manifest), indent=1)
            (building / _MANIFEST).write_text(text, "utf-8")
            version = uuid.uuid4().hex
            (folder / "versions").mkdir(exist_ok=True)
            before = self._current(name)
            building.rename(folder / "versions" / version)
            write_atomically(folder / "CURRENT", version.encode())
            for old in (folder / "versions").iterdir():
                if old.name not in (version, before):
                    shutil.rmtree(old, ignore_errors=True)
        return count

    def manifest(self, name: str) -> Manifest | None:
        """See `TrackIndex.manifest`."""
        version = self._current(name)
        return _read_manifest(self.root / name / "versions" / version) if version else None

    def open(self, name: str) -> "EmbeddedCollection":
        """See `TrackIndex.open`."""
        while (version := self._current(name)) is not None:
            try:
                return EmbeddedCollection(self.root / name / "versions" / version)
            except FileNotFoundError:
                # Two publications went by since the name was read. If not, it is an error.
                if self._current(name) == version:
                    raise
        there = ", ".join(self.names()) or "none yet: start with `musicflow run LIBRARY`"
        raise NoCollectionError(f"there is no collection {name!r} (published: {there})")

    def names(self) -> Sequence[str]:
        """See `TrackIndex.names`."""
        return sorted(path.parent.name for path in self.root.glob("*/CURRENT"))

    def _current(self, name: str) -> str | None:
        try:
            return (self.root / name / "CURRENT").read_text("utf-8")
        except FileNotFoundError:
            return None


class EmbeddedCollection:
    """A `Collection` of the embedded engine."""

    def __init__(self, version: Path) -> None:
        self.manifest = _read_manifest(version)
        folder = Path(tempfile.mkdtemp(prefix="musicflow-reader-"))
        self._clear = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        shutil.copyfile(version / _CONFIG, folder / _CONFIG)
        (folder / "segments").symlink_to((version / "segments").resolve(strict=True))
        self._shard = edge.EdgeShard.load(str(folder))

    def __enter__(self) -> "EmbeddedCollection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """See `Collection.close`."""
        self._shard.close()
        self._clear()

    def query(
        self,
        vectors: np.ndarray,
        k: int,
        filters: Filters = Filters(),
        exact: bool = False,
    ) -> list[list[Hit]]:
        """See `Collection.query`."""
        values = unit(vectors, self.manifest).tolist()
        return self._nearest(values, k, _filter(filters), exact)

    def similar(self, track_id: str, k: int, filters: Filters = Filters()) -> list[Hit]:
        """See `Collection.similar`."""
        record = self._record(track_id, with_vector=True)
        [hits] = self._nearest([record.vector], k, _filter(filters, without=[track_id]))
        return hits

    def facet(self, key: str, filters: Filters = Filters()) -> dict[str, int]:
        """See `Collection.facet`."""
        limit = max(self.manifest.count, 1) * 8
        request = edge.FacetRequest(key, limit=limit, exact=True, filter=_filter(filters))
        hits = self._shard.facet(request).hits
        return {str(hit.value): hit.count for hit in hits}

    def payload(self, track_id: str) -> dict[str, Any]:
        """See `Collection.payload`."""
        return dict(self._record(track_id, with_vector=False).payload or {})

    def count(self, filters: Filters = Filters()) -> int:
        """See `Collection.count`."""
        return self._shard.count(edge.CountRequest(filter=_filter(filters)))

    def _record(self, track_id: str, with_vector: bool) -> edge.Record:
        found = self._shard.retrieve(
            [point_id(track_id)], with_payload=True, with_vector=with_vector
        )
        if not found:
            raise KeyError(track_id)
        return found[0]

    def _nearest(
        self, vectors: list[Any], k: int, condition: edge.Filter | None, exact: bool = False
    ) -> list[list[Hit]]:
        requests = [
            edge.QueryRequest(
                limit=k,
                query=edge.Query.Nearest(vector),
                filter=condition,
                with_payload=True,
                params=edge.SearchParams(exact=exact),
            )
            for vector in vectors
        ]
        return [
            [_hit(point) for point in points]
            for points in self._shard.query_batch(edge.QueryBatchRequest(requests))
        ]


def _hit(point: edge.ScoredPoint) -> Hit:
    payload = dict(point.payload or {})
    return Hit(payload["track_id"], point.score, payload)


def _read_manifest(version: Path) -> Manifest:
    fields = json.loads((version / _MANIFEST).read_text("utf-8"))
    lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    return Manifest(**fields | lists)


def _check_room(folder: Path, manifest: Manifest) -> None:
    """The engine maps files into memory: if the disk fills up then, the process is killed."""
    needed = _ROOM + 3 * 4 * manifest.dim * manifest.count
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _build(folder: Path, manifest: Manifest, points: Iterable[Point]) -> int:
    """Write the points into a closed shard in `folder`; tells how many there are."""
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=manifest.dim, distance=edge.Distance.Cosine)
    )
    shard = edge.EdgeShard.create(str(folder), config)
    try:
        for key in KEYWORDS:
            shard.update(edge.UpdateOperation.create_field_index(key, _KEYWORD))
        shard.update(edge.UpdateOperation.create_field_index(DURATION, _FLOAT))
        ids: set[str] = set()
        for batch in _batches(points, _BATCH):
            names = [point.track_id for point in batch]
            ids.update(names)
            vectors = unit(np.stack([point.vector for point in batch]), manifest, names)
            shard.update(
                edge.UpdateOperation.upsert_points(
                    [
                        edge.Point(point_id(point.track_id), vector.tolist(), point.payload)
                        for point, vector in zip(batch, vectors, strict=True)
                    ]
                )
            )
        shard.optimize()
        shard.flush()
        count = shard.count(edge.CountRequest())
    finally:
        shard.close()
    if count != len(ids):
        raise TrackIndexError(f"{len(ids)} tracks were written, but the engine counts {count}")
    # Opening a shard for the first time settles journals that its writer left. Readers share the
    # segments, so that is done here; all is in them now, and without a log they are only read.
    edge.EdgeShard.load(str(folder)).close()
    shutil.rmtree(folder / "wal")
    return count


_KEYWORD = edge.PayloadSchemaType.Keyword
_FLOAT = edge.PayloadSchemaType.Float


def _batches(points: Iterable[Point], size: int) -> Iterable[list[Point]]:
    iterator = iter(points)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def _filter(filters: Filters, without: Sequence[str] = ()) -> edge.Filter | None:
    must: list[Any] = [
        _condition(condition) for condition in filters.conditions if condition.sign != "!="
    ]
    must_not: list[Any] = [
        _condition(condition) for condition in filters.conditions if condition.sign == "!="
    ]
    if without:
        must_not.append(edge.HasIdCondition({point_id(track_id) for track_id in without}))
    return edge.Filter(must=must, must_not=must_not) if must or must_not else None


_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def _condition(condition: Condition) -> edge.FieldCondition:
    if condition.sign in _BOUNDS:
        bound = edge.RangeFloat(**{_BOUNDS[condition.sign]: float(condition.values[0])})
        return edge.FieldCondition(condition.key, range=bound)
    values = [str(value) for value in condition.values]
    return edge.FieldCondition(condition.key, match=edge.MatchAny(values))
