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

import contextlib
import dataclasses
import errno
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
import qdrant_edge as edge

from musicflow.index.qdrant import Dialect, QdrantCollection, described
from musicflow.index.track_index import (
    Manifest,
    NoCollectionError,
    Point,
    Quantization,
    ScoreStrategy,
    TrackIndexError,
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
            manifest = described(manifest, self.quantization)
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

    def describe(self) -> str:
        """See `TrackIndex.describe`."""
        return f"{self.root}, by the embedded engine"

    def _no_collection(self, name: str) -> NoCollectionError:
        return NoCollectionError.among(name, self.names())

    def _current(self, name: str) -> str | None:
        try:
            return (self.root / name / "CURRENT").read_text("utf-8")
        except FileNotFoundError:
            return None


def _recommend(likes: list[Any], dislikes: list[Any], strategy: ScoreStrategy) -> edge.Query:
    examples = edge.RecommendQuery(likes, dislikes)
    if strategy == "best-score":
        return edge.Query.RecommendBestScore(examples)
    return edge.Query.RecommendSumScores(examples)


DIALECT = Dialect(
    models=edge,
    point=edge.Point,
    range=edge.RangeFloat,
    has_id=lambda ids: edge.HasIdCondition(set(ids)),
    nearest=edge.Query.Nearest,
    recommend=_recommend,
    indexes={
        "keyword": edge.PayloadSchemaType.Keyword,
        "number": edge.PayloadSchemaType.Float,
    },
)


class EmbeddedCollection(QdrantCollection):
    """A `Collection` of the embedded engine."""

    dialect = DIALECT

    def __init__(self, version: Path) -> None:
        self.manifest = _read_manifest(version)
        folder = Path(tempfile.mkdtemp(prefix="musicflow-reader-"))
        self._clear = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        shutil.copyfile(version / _CONFIG, folder / _CONFIG)
        segments = (version / "segments").resolve(strict=True)
        _lay(segments, folder / "segments")
        self._shard = edge.EdgeShard.load(str(folder))

    def close(self) -> None:
        """See `Collection.close`."""
        self._shard.close()
        self._clear()

    def _query(self, requests: list[Any]) -> Iterable[Iterable[Any]]:
        return self._shard.query_batch(edge.QueryBatchRequest(requests))

    def _retrieve(self, ids: list[Any], with_vector: bool) -> Iterable[Any]:
        return self._shard.retrieve(ids, with_payload=not with_vector, with_vector=with_vector)

    def _scroll(self, offset: Any, condition: Any, with_vector: bool) -> tuple[Iterable[Any], Any]:
        request = edge.ScrollRequest(
            offset=offset,
            limit=_BATCH,
            filter=condition,
            with_payload=True,
            with_vector=with_vector,
        )
        return self._shard.scroll(request)

    def _facet(self, key: str, condition: Any, limit: int) -> Iterable[Any]:
        request = edge.FacetRequest(key, limit=limit, exact=True, filter=condition)
        return self._shard.facet(request).hits

    def _count(self, condition: Any) -> int:
        return self._shard.count(edge.CountRequest(filter=condition))


def _lay(segments: Path, target: Path) -> None:
    """Link to segments; copy them where links do not work.

    The engine opens its files for writing, though it only reads them. Windows lets few users link.
    """
    if os.access(segments, os.W_OK):
        with contextlib.suppress(OSError):
            target.symlink_to(segments)
            return
    shutil.copytree(segments, target)


def _read_manifest(version: Path) -> Manifest:
    return Manifest.restored(json.loads((version / _MANIFEST).read_text("utf-8")))


def _check_room(folder: Path, manifest: Manifest) -> None:
    """Refuse to build where the disk is too small.

    The engine maps files into memory. If the disk fills up then, the process is killed.
    """
    needed = _ROOM + 3 * 4 * manifest.dim * manifest.count
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _build(folder: Path, manifest: Manifest, points: Iterable[Point]) -> int:
    """Write the points into a closed shard in `folder`; return how many there are."""
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
        for name, kind in DIALECT.payload_indexes(manifest):
            shard.update(edge.UpdateOperation.create_field_index(name, kind))
        track_ids: set[str] = set()
        for batch_ids, batch in DIALECT.points(points, manifest, _BATCH):
            track_ids |= batch_ids
            shard.update(edge.UpdateOperation.upsert_points(batch))
        shard.optimize()
        shard.flush()
        count = shard.count(edge.CountRequest())
    finally:
        shard.close()
    if count != len(track_ids):
        raise TrackIndexError(
            f"{len(track_ids)} tracks were written, but the engine counts {count}",
            "nothing was published: run again",
        )
    # Opening a shard for the first time settles journals that its writer left. Readers share the
    # segments, so that is done here; all is in them now, and without a log they are only read.
    edge.EdgeShard.load(str(folder)).close()
    shutil.rmtree(folder / "wal")
    return count


_QUANTIZED = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, memory=edge.Memory.Pinned)
