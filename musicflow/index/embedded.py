"""The embedded engine: Qdrant's own Rust engine in this process, nothing to run beside it.

A published version is a folder of segments that nobody writes to any more. Each reader opens it
through a small folder of its own (the engine wants to lock a write-ahead log, and keeps it
there), so readers disturb neither each other nor the next build, and one that is still open
keeps its files even when a later publication clears the version away.

::

    <root>/<collection>/CURRENT              the name of the published version
    <root>/<collection>/versions/<version>/  segments/, edge_config.json, manifest.json, operations
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import filelock
import qdrant_edge as edge

from musicflow.atomic import DamagedError, write_atomically
from musicflow.errors import words_of
from musicflow.index.qdrant import (
    LINKS_PER_FIELD,
    Dialect,
    QdrantCollection,
    described,
    point_id,
    revised,
)
from musicflow.index.track_index import (
    Collection,
    Manifest,
    NoCollectionError,
    Point,
    Quantization,
    Revision,
    ScoreStrategy,
    TrackIndexError,
)

T = TypeVar("T")

_BATCH = 1000
_ROOM = 200_000_000
"""Bytes that must be free to build a collection, beside three times its vectors."""
_LOG = 100_000_000
"""Bytes that a reader's write-ahead log needs at most."""
_CURRENT = "CURRENT"
_MANIFEST = "manifest.json"
_CONFIG = "edge_config.json"
_SEGMENTS = "segments"
_OPERATIONS = "operations"
"""The file with the number of operations that made a version; see `_Writer`."""


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
        self.kept = ""

    def publish(self, name: str, manifest: Manifest, points: Iterable[Point]) -> int:
        """See `TrackIndex.publish`."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock"):
            return self._build(name, manifest, points)

    def update(self, name: str, revise: Callable[[Collection], Revision | None]) -> int | None:
        """See `TrackIndex.update`."""
        folder = self.root / name
        if self._current(name) is None:
            return None
        with filelock.FileLock(folder / ".lock"):
            return self._update(name, revise)

    def _update(self, name: str, revise: Callable[[Collection], Revision | None]) -> int | None:
        # Loaded only if its payloads are asked for; under the lock, nobody removes it.
        version = self.root / name / "versions" / str(self._current(name))
        with EmbeddedCollection(version) as base:
            revision = revise(base)
            if revision is None:
                return None
            if not (base.version / _OPERATIONS).exists():
                return self._build(name, revision.manifest, revised(base, revision))
            with self._building(name, revision.manifest) as building:
                return _revise(base.version, building, revision)

    def _build(self, name: str, manifest: Manifest, points: Iterable[Point]) -> int:
        manifest = described(manifest, self.quantization)
        with self._building(name, manifest) as building:
            return _build(building, manifest, points)

    @contextlib.contextmanager
    def _building(self, name: str, manifest: Manifest) -> Iterator[Path]:
        """Yield an empty folder to build a version in, and publish it at the end."""
        folder = self.root / name
        building, versions = folder / "building", folder / "versions"
        shutil.rmtree(building, ignore_errors=True)
        _check_room(folder, manifest)
        building.mkdir()
        yield building
        version, before = uuid.uuid4().hex, self._current(name)
        versions.mkdir(exist_ok=True)
        building.rename(versions / version)
        write_atomically(folder / _CURRENT, version.encode())
        for old in versions.iterdir():
            if old.name not in (version, before):
                shutil.rmtree(old, ignore_errors=True)

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
            write_atomically(folder / _CURRENT, before[0].encode())
            return _read_manifest(folder / "versions" / before[0])

    def manifest(self, name: str) -> Manifest | None:
        """See `TrackIndex.manifest`."""
        return self._read(name, _read_manifest)

    def open(self, name: str) -> "EmbeddedCollection":
        """See `TrackIndex.open`."""
        found = self._read(name, lambda version: EmbeddedCollection(version).hold())
        if found is None:
            raise self._no_collection(name)
        return found

    def names(self) -> Sequence[str]:
        """See `TrackIndex.names`."""
        return sorted(path.parent.name for path in self.root.glob("*/CURRENT"))

    def describe(self) -> str:
        """See `TrackIndex.describe`."""
        return f"{self.root}, by the embedded engine"

    def _no_collection(self, name: str) -> NoCollectionError:
        return NoCollectionError.among(name, self.names())

    def _read(self, name: str, read: Callable[[Path], T]) -> T | None:
        """Read the published version of a collection; None if there is none."""
        while (version := self._current(name)) is not None:
            try:
                return read(self.root / name / "versions" / version)
            except (FileNotFoundError, DamagedError) as error:
                # Two publications went by since the name was read. If not, it is an error.
                if self._current(name) != version:
                    continue
                if isinstance(error, DamagedError):
                    raise
                raise _damaged(f"{error.filename} is gone", self.root / name) from error
        return None

    def _current(self, name: str) -> str | None:
        file = self.root / name / _CURRENT
        try:
            version = file.read_text("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            version = ""
        if not version.isalnum():
            raise _damaged(f"{file} is damaged", file)
        return version


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
        self.version = version
        self.manifest = _read_manifest(version)
        self._end = contextlib.ExitStack()

    @cached_property
    def _shard(self) -> edge.EdgeShard:
        folder = Path(tempfile.mkdtemp(prefix="musicflow-reader-"))
        clear = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._end.callback(clear)
        shutil.copyfile(self.version / _CONFIG, folder / _CONFIG)
        segments = (self.version / _SEGMENTS).resolve(strict=True)
        _lay(segments, folder / _SEGMENTS)
        try:
            shard = edge.EdgeShard.load(str(folder))
        except Exception as error:  # The engine has no errors of its own.
            if shutil.disk_usage(folder).free < _LOG:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
            what = f"{self.version} cannot be read ({words_of(error)})"
            raise _damaged(what, self.version.parents[1]) from error
        self._end.callback(shard.close)
        # What is open needs no name, so a process that is killed leaves nothing behind. On Windows
        # open files keep their names, and closing removes them.
        shutil.rmtree(folder, ignore_errors=True)
        return shard

    def hold(self) -> "EmbeddedCollection":
        """Load the version now. Later publications may remove what is not loaded."""
        self._shard  # noqa: B018
        return self

    def close(self) -> None:
        """See `Collection.close`."""
        self._end.close()

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
    _copy(segments, target)


def _copy(segments: Path, target: Path) -> None:
    """Copy segments, the holes in their files as holes: three quarters of a small one are such."""
    # The engine of a reader may be replacing a file, by way of a new one under such a name.
    passing = shutil.ignore_patterns(".atomicwrite*")
    shutil.copytree(segments, target, ignore=passing, copy_function=_copy_file)


_PIECE = bytes(1 << 16)


def _copy_file(source: str, target: str) -> None:
    with Path(source).open("rb") as given, Path(target).open("wb") as copy:
        while piece := given.read(len(_PIECE)):
            if piece == _PIECE:
                copy.seek(len(piece), os.SEEK_CUR)
            else:
                copy.write(piece)
        copy.truncate()


def _read_manifest(version: Path) -> Manifest:
    file = version / _MANIFEST
    try:
        return Manifest.restored(json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(f"{file} is damaged", version.parents[1]) from error


def _damaged(what: str, lost: Path) -> DamagedError:
    """Return the error for a collection; all in it can be made again of the vectors."""
    return DamagedError(what, f"delete {lost}; the next run publishes the collection anew")


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
        hnsw_config=_GRAPH,
        quantization_config=_QUANTIZED if quantized else None,
    )
    with _writing(edge.EdgeShard.create(str(folder), config)) as writer:
        for name, kind in DIALECT.payload_indexes(manifest):
            writer.do(edge.UpdateOperation.create_field_index(name, kind))
        expected = len(writer.upsert(points, manifest))
    return _close(folder, manifest, writer, expected)


def _revise(version: Path, folder: Path, revision: Revision) -> int:
    """Write a version and its differences into a closed shard; return how many points it has."""
    _copy(version / _SEGMENTS, folder / _SEGMENTS)
    shutil.copyfile(version / _CONFIG, folder / _CONFIG)
    with _writing(edge.EdgeShard.load(str(folder))) as writer:
        # Without the log that was removed, the engine counts its operations from zero, and
        # ignores, without a word, a change of a point that a later operation has written.
        for _ in range(int((version / _OPERATIONS).read_text("utf-8"))):
            writer.do(edge.UpdateOperation.delete_points([_NO_POINT]))
        gone: list[Any] = [point_id(track_id) for track_id in revision.gone]
        for start in range(0, len(gone), _BATCH):
            writer.do(edge.UpdateOperation.delete_points(gone[start : start + _BATCH]))
        writer.upsert(revision.points, revision.manifest)
    return _close(folder, revision.manifest, writer, revision.manifest.count)


class _Writer:
    """Writes to an open shard, and counts the operations."""

    def __init__(self, shard: edge.EdgeShard) -> None:
        self.shard = shard
        self.operations = 0

    def do(self, operation: edge.UpdateOperation) -> None:
        self.shard.update(operation)
        self.operations += 1

    def upsert(self, points: Iterable[Point], manifest: Manifest) -> set[str]:
        """Write points; return the ids of their tracks."""
        track_ids: set[str] = set()
        for batch_ids, batch in DIALECT.points(points, manifest, _BATCH):
            track_ids |= batch_ids
            self.do(edge.UpdateOperation.upsert_points(batch))
        return track_ids


@contextlib.contextmanager
def _writing(shard: edge.EdgeShard) -> Iterator[_Writer]:
    """Yield a writer to a shard, which is indexed, on disk and closed afterwards."""
    try:
        yield _Writer(shard)
        shard.optimize()
        shard.flush()
    finally:
        shard.close()


def _close(folder: Path, manifest: Manifest, writer: _Writer, expected: int) -> int:
    """Make a version of a shard that was written; return how many points it has.

    Opening a shard for the first time settles journals that its writer left. Readers share the
    segments, so that is done here; all is in them now, and without a log they are only read.
    """
    shard = edge.EdgeShard.load(str(folder))
    count = shard.count(edge.CountRequest())
    shard.close()
    if count != expected:
        raise TrackIndexError(
            f"{expected} tracks were written, but the engine counts {count}",
            "nothing was published: run again",
        )
    shutil.rmtree(folder / "wal")
    (folder / _OPERATIONS).write_text(str(writer.operations), "utf-8")
    text = json.dumps(dataclasses.asdict(dataclasses.replace(manifest, count=count)), indent=1)
    (folder / _MANIFEST).write_text(text, "utf-8")
    return count


_NO_POINT = str(uuid.UUID(int=0))
"""The id of a point that no collection holds."""

_GRAPH = edge.HnswIndexConfig(
    m=16, ef_construct=100, full_scan_threshold=10_000, payload_m=LINKS_PER_FIELD
)
"""The engine's graph: its own choices, but for the links."""

_QUANTIZED = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, memory=edge.Memory.Pinned)
