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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import qdrant_edge as edge

from musicflow.index.filters import BOUNDS, DURATION, KEYWORDS, Condition, Filters
from musicflow.index.track_index import (
    EF,
    OVERSAMPLING,
    Hit,
    Manifest,
    NoCollectionError,
    Point,
    Quantization,
    ScoreStrategy,
    TrackIndexError,
    check,
    in_order,
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
    quantization
        How the collections published from now on are kept in memory.
    """

    def __init__(self, root: Path, quantization: Quantization = "none") -> None:
        self.root = root
        self.quantization = quantization

    def publish(self, name: str, manifest: Manifest, points: Iterable[Point]) -> int:
        """See `TrackIndex.publish`."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock"):
            building = folder / "building"
            shutil.rmtree(building, ignore_errors=True)
            _check_room(folder, manifest)
            building.mkdir()
            manifest = dataclasses.replace(manifest, quantization=self.quantization)
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

    def rollback(self, name: str) -> Manifest:
        """See `TrackIndex.rollback`."""
        folder = self.root / name
        if self._current(name) is None:
            raise self._no_collection(name)
        with filelock.FileLock(folder / ".lock"):
            current = self._current(name)
            before = [v.name for v in (folder / "versions").iterdir() if v.name != current]
            if not before:
                raise NoCollectionError(f"there is no earlier version of the collection {name!r}")
            write_atomically(folder / "CURRENT", before[0].encode())
            return _read_manifest(folder / "versions" / before[0])

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
        raise self._no_collection(name)

    def names(self) -> Sequence[str]:
        """See `TrackIndex.names`."""
        return sorted(path.parent.name for path in self.root.glob("*/CURRENT"))

    def _no_collection(self, name: str) -> NoCollectionError:
        return NoCollectionError.among(name, self.names())

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
        segments = (version / "segments").resolve(strict=True)
        # The engine opens its files for writing, though it only reads them.
        if os.access(segments, os.W_OK):
            (folder / "segments").symlink_to(segments)
        else:
            shutil.copytree(segments, folder / "segments")
        self._shard = edge.EdgeShard.load(str(folder))

    def __enter__(self) -> "EmbeddedCollection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """See `Collection.close`."""
        self._shard.close()
        self._clear()

    def unit(self, vectors: np.ndarray) -> np.ndarray:
        """See `Collection.unit`."""
        return unit(vectors, self.manifest)

    def query(
        self,
        vectors: np.ndarray,
        k: int,
        filters: Filters = Filters(),
        without: Sequence[str] = (),
        exact: bool = False,
    ) -> list[list[Hit]]:
        """See `Collection.query`."""
        check(vectors, self.manifest)
        queries = [edge.Query.Nearest(vector) for vector in vectors.tolist()]
        return self._ask(queries, k, _filter(filters, without), exact)

    def recommend(
        self,
        likes: np.ndarray,
        dislikes: np.ndarray,
        strategy: ScoreStrategy,
        k: int,
        filters: Filters = Filters(),
        without: Sequence[str] = (),
    ) -> list[Hit]:
        """See `Collection.recommend`."""
        check(likes, self.manifest)
        check(dislikes, self.manifest)
        examples = edge.RecommendQuery(likes.tolist(), dislikes.tolist())
        [hits] = self._ask([_SCORED_BY[strategy](examples)], k, _filter(filters, without))
        return hits

    def vectors(self, track_ids: Sequence[str]) -> np.ndarray:
        """See `Collection.vectors`."""
        ids = [point_id(track_id) for track_id in track_ids]
        found = self._shard.retrieve(list(dict.fromkeys(ids)), with_payload=False, with_vector=True)
        known = {str(record.id): record.vector for record in found}
        return in_order(track_ids, known, self.manifest.dim)

    def scroll(self) -> Iterator[Point]:
        """See `Collection.scroll`."""
        for record in self._records(None, with_vector=True):
            payload = dict(record.payload or {})
            yield Point(payload["track_id"], np.array(record.vector, np.float32), payload)

    def payloads(self, filters: Filters = Filters()) -> Iterator[dict[str, Any]]:
        """See `Collection.payloads`."""
        for record in self._records(_filter(filters), with_vector=False):
            yield dict(record.payload or {})

    def facet(self, key: str, filters: Filters = Filters()) -> dict[str, int]:
        """See `Collection.facet`."""
        limit = max(self.manifest.count, 1) * 8
        request = edge.FacetRequest(key, limit=limit, exact=True, filter=_filter(filters))
        hits = self._shard.facet(request).hits
        return {str(hit.value): hit.count for hit in hits}

    def payload(self, track_id: str) -> dict[str, Any]:
        """See `Collection.payload`."""
        found = self._shard.retrieve([point_id(track_id)], with_payload=True, with_vector=False)
        if not found:
            raise KeyError(track_id)
        return dict(found[0].payload or {})

    def count(self, filters: Filters = Filters()) -> int:
        """See `Collection.count`."""
        return self._shard.count(edge.CountRequest(filter=_filter(filters)))

    def _records(self, condition: edge.Filter | None, with_vector: bool) -> Iterator[edge.Record]:
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset=offset,
                limit=_BATCH,
                filter=condition,
                with_payload=True,
                with_vector=with_vector,
            )
            records, offset = self._shard.scroll(request)
            yield from records
            if offset is None:
                return

    def _ask(
        self,
        queries: Sequence[edge.Query],
        k: int,
        condition: edge.Filter | None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        rescored = edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        quantized = self.manifest.quantization != "none"
        params = edge.SearchParams(
            exact=exact, hnsw_ef=max(EF, k), quantization=rescored if quantized else None
        )
        requests = [
            edge.QueryRequest(
                limit=k,
                query=query,
                filter=condition,
                with_payload=True,
                params=params,
            )
            for query in queries
        ]
        return [
            [_hit(point) for point in points]
            for points in self._shard.query_batch(edge.QueryBatchRequest(requests))
        ]


_SCORED_BY: dict[ScoreStrategy, Any] = {
    "best-score": edge.Query.RecommendBestScore,
    "sum-scores": edge.Query.RecommendSumScores,
}


def _hit(point: edge.ScoredPoint) -> Hit:
    payload = dict(point.payload or {})
    return Hit(payload["track_id"], point.score, payload)


def _read_manifest(version: Path) -> Manifest:
    return Manifest.restored(json.loads((version / _MANIFEST).read_text("utf-8")))


def _check_room(folder: Path, manifest: Manifest) -> None:
    """The engine maps files into memory: if the disk fills up then, the process is killed."""
    needed = _ROOM + 3 * 4 * manifest.dim * manifest.count
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _build(folder: Path, manifest: Manifest, points: Iterable[Point]) -> int:
    """Write the points into a closed shard in `folder`; tells how many there are."""
    quantized = manifest.quantization == "int8"
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(
            size=manifest.dim,
            distance=edge.Distance.Cosine,
            memory=edge.Memory.Cold if quantized else None,
        ),
        quantization_config=_QUANTIZED if quantized else None,
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
            vectors = np.stack([point.vector for point in batch])
            check(vectors, manifest, names)
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


_QUANTIZED = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, memory=edge.Memory.Pinned)
_KEYWORD = edge.PayloadSchemaType.Keyword
_FLOAT = edge.PayloadSchemaType.Float


def _batches(points: Iterable[Point], size: int) -> Iterable[list[Point]]:
    iterator = iter(points)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def _filter(filters: Filters, without: Sequence[str] = ()) -> edge.Filter | None:
    must: list[Any] = []
    must_not: list[Any] = []
    for condition in filters.conditions:
        (must_not if condition.sign == "!=" else must).extend(_demands(condition))
    if without:
        must_not.append(edge.HasIdCondition({point_id(track_id) for track_id in without}))
    return edge.Filter(must=must, must_not=must_not) if must or must_not else None


def _demands(condition: Condition) -> list[edge.FieldCondition]:
    if condition.sign in BOUNDS:
        bound = edge.RangeFloat(**{BOUNDS[condition.sign]: float(condition.values[0])})
        return [edge.FieldCondition(condition.key, range=bound)]
    return [
        edge.FieldCondition(condition.key, match=edge.MatchAny(some)) for some in condition.choices
    ]
