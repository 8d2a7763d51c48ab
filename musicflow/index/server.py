"""The server engine: a Qdrant server or cluster behind an address.

Each publication is a collection of its own, built beside the published one. An alias named after
the embedder points to what is published, a second one to what was published before; one request
switches both. A third points to the version before that, if it is like the published one: the
next update brings it up to date, so that nothing is copied and nothing that may be searched is
written to.
"""

import dataclasses
import logging
import re
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from qdrant_client import models

from musicflow.index.connection import Access, Server
from musicflow.index.owner import Owner, owner_of, without_owner
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
from musicflow.settings import Settings

_log = logging.getLogger("musicflow")

_PUBLISHED = ""
_BEFORE = ".before"
_SPARE = ".spare"
"""What the aliases of a collection's versions end in."""

_VERSION = re.compile(r"(?P<name>.+)\.(?P<time>\d{8}T\d{6})-[0-9a-f]{8}")
_TIME = "%Y%m%dT%H%M%S"
_ABANDONED = timedelta(days=1)
"""A version that no alias names for this long is nobody's, where no lock tells more."""

_BATCH = 256
_PAGE = 1000
_SAMPLE = 100
"""Tracks of a collection that tell whose it is."""
_PATIENCE_S = 1.6
"""How long people are not told of a wait; 0.1, doubled a few times."""
_NO_CHANGE = models.OptimizersConfigDiff()
_SETTLE_S = 300.0
"""How long the server may take to show all that was sent."""


@dataclass(frozen=True)
class Layout:
    """How a server keeps the collections that are published from now on.

    Parameters
    ----------
    replication_factor, shard_number, write_consistency_factor
        See Qdrant's guide to distributed deployment; None for the server's own choice.
    on_disk
        Whether vectors stay on disk.
    index_wait_s
        How long a version waits for its index before searches see it; 0 for not at all.
    """

    replication_factor: int | None = None
    shard_number: int | None = None
    write_consistency_factor: int | None = None
    on_disk: bool = False
    index_wait_s: float = 3600.0

    @property
    def told(self) -> str:
        """Return what a server is told of it, as a text to compare; empty for its own choice."""
        settings = dataclasses.asdict(self) | {"index_wait_s": None}
        return " ".join(f"{name}={value}" for name, value in settings.items() if value)


_COLON = "="
"""Stands for the colon of a tuned space's name, which a server takes in no name."""


def _stored(name: str) -> str:
    """Return the name that a server knows a collection by."""
    return name.replace(":", _COLON)


class ServerIndex:
    """A `TrackIndex` on a Qdrant server.

    Parameters
    ----------
    server
        The connection.
    owner
        The home that publishes.
    quantization
        How the collections published from now on are kept in memory.
    layout
        How the server keeps them.
    """

    def __init__(
        self,
        server: Server,
        owner: Owner = Owner(),
        quantization: Quantization = "none",
        layout: Layout = Layout(),
    ) -> None:
        self.quantization = quantization
        self.kept = layout.told
        self._server = server
        self._owner = owner
        self._layout = layout
        self._prefix = f"{owner.namespace}."
        self._may_adopt = bool(owner.former_namespace)

    @classmethod
    def of(cls, settings: Settings) -> "ServerIndex":
        """Return the index on the settings' server; nothing is sent yet.

        Raises
        ------
        TrackIndexError
            See `Server.connect`.
        """
        assert settings.qdrant_url is not None
        key = settings.qdrant_api_key
        access = Access(
            settings.qdrant_url,
            key.get_secret_value() if key is not None else None,
            settings.qdrant_ca,
            settings.qdrant_grpc_port,
            settings.qdrant_wait_s,
        )
        layout = Layout(
            settings.qdrant_replication_factor,
            settings.qdrant_shard_number,
            settings.qdrant_write_consistency_factor,
            settings.qdrant_on_disk,
            settings.qdrant_index_wait_s,
        )
        server = Server.connect(access)
        return cls(server, Owner.of(settings), settings.quantization, layout)

    def describe(self) -> str:
        """See `TrackIndex.describe`."""
        mine = [c for alias, c in self._aliases().items() if alias.startswith(self._prefix)]
        if mine:
            self._server.holding(mine[0])
        return f"{self._server.describe()}; namespace {self._owner.namespace}"

    def publish(self, name: str, manifest: Manifest, points: Iterable[Point]) -> int:
        """See `TrackIndex.publish`."""
        name = _stored(name)
        with self._owner.alone(name):
            self._prepare(name)
            return self._publish(name, described(manifest, self.quantization, self.kept), points)

    def update(self, name: str, revise: Callable[[Collection], Revision | None]) -> int | None:
        """See `TrackIndex.update`."""
        name = _stored(name)
        if self._collection(name) is None:
            return None
        with self._owner.alone(name):
            self._prepare(name)
            published, spare = self._collection(name), self._collection(name + _SPARE)
            base = spare if spare is not None else published
            assert base is not None
            with self._opened(base, self._metadata(base)) as collection:
                revision = revise(collection)
                if revision is None:
                    return None
                if spare is None:
                    return self._publish(name, revision.manifest, revised(collection, revision))
            count = self._revise(spare, revision)
            self._put_in_place(name, spare, revision.manifest)
        return count

    def _prepare(self, name: str) -> None:
        """Make sure of the right to publish, and of the room."""
        self._claim(name)
        self._clear_halves(name)

    def _publish(self, name: str, manifest: Manifest, points: Iterable[Point]) -> int:
        version = f"{self._prefix}{name}.{datetime.now(UTC):{_TIME}}-{uuid.uuid4().hex[:8]}"
        try:
            count = self._build(version, manifest, points)
            self._claim(name)
        except BaseException:
            # One try: whatever failed may be the server, and the next run clears it too.
            self._server.at_once(lambda client: client.delete_collection(version))
            raise
        self._put_in_place(name, version, manifest)
        return count

    def rollback(self, name: str) -> Manifest:
        """See `TrackIndex.rollback`."""
        name = _stored(name)
        with self._owner.alone(name):
            self._claim(name)
            current, before = self._collection(name), self._collection(name + _BEFORE)
            if current is None:
                raise NoCollectionError.among(name, self.names())
            if before is None:
                raise NoCollectionError(f"there is no earlier version of the collection {name!r}")
            self._switch(name, {_PUBLISHED: before, _BEFORE: current})
            return self._manifest(before)

    def manifest(self, name: str) -> Manifest | None:
        """See `TrackIndex.manifest`."""
        collection = self._collection(_stored(name))
        return self._manifest(collection) if collection is not None else None

    def open(self, name: str) -> "ServerCollection":
        """See `TrackIndex.open`."""
        collection = self._collection(_stored(name))
        if collection is None:
            raise NoCollectionError.among(name, self.names())
        metadata = self._metadata(collection)
        owner = owner_of(metadata)
        if owner and not self._owner.owns(metadata) and self._owner.has_library:
            raise self._foreign(name, owner)
        return self._opened(collection, metadata)

    def names(self) -> Sequence[str]:
        """See `TrackIndex.names`."""
        return sorted(
            alias.removeprefix(self._prefix).replace(_COLON, ":")
            for alias in self._aliases()
            if alias.startswith(self._prefix) and not alias.endswith((_BEFORE, _SPARE))
        )

    def _aliases(self) -> dict[str, str]:
        aliases = self._all_aliases()
        if self._may_adopt and not any(alias.startswith(self._prefix) for alias in aliases):
            aliases = self._adopt(aliases)
        self._may_adopt = False
        return aliases

    def _all_aliases(self) -> dict[str, str]:
        found = self._server(lambda client: client.get_aliases()).aliases
        return {alias.alias_name: alias.collection_name for alias in found}

    def _collection(self, name: str) -> str | None:
        return self._aliases().get(self._prefix + name)

    def _opened(self, collection: str, metadata: dict[str, Any]) -> "ServerCollection":
        server, manifest = self._server.holding(collection), self._restored(collection, metadata)
        return ServerCollection(server, collection, manifest)

    def _metadata(self, collection: str) -> dict[str, Any]:
        return self._server(lambda client: client.get_collection(collection)).config.metadata or {}

    def _manifest(self, collection: str) -> Manifest:
        return self._restored(collection, self._metadata(collection))

    def _restored(self, collection: str, metadata: dict[str, Any]) -> Manifest:
        count = self._server(lambda client: client.count(collection, exact=True)).count
        return Manifest.restored({**without_owner(metadata), "count": count})

    def _claim(self, name: str) -> None:
        """Make sure that a collection is this home's, or nobody's and of its tracks.

        Raises
        ------
        TrackIndexError
            If it is another home's.
        """
        collection = self._collection(name)
        if collection is None:
            return
        metadata = self._metadata(collection)
        if self._owner.owns(metadata):
            return
        owner = owner_of(metadata)
        if owner or not self._is_of_ours(collection):
            raise self._foreign(name, owner)
        self._mark(collection)

    def _foreign(self, name: str, owner: Mapping[str, str]) -> TrackIndexError:
        whose = (
            f"belongs to the home {owner['name']}"
            if owner
            else "names no home, and holds none of the tracks of this one"
        )
        return TrackIndexError(
            f"the collection {name!r} in the namespace {self._owner.namespace!r} "
            f"of {self._server.address} {whose}",
            "set qdrant_namespace to one of your own",
            "foreign",
        )

    def _is_of_ours(self, collection: str) -> bool:
        records, _ = self._server(
            lambda client: client.scroll(collection, limit=_SAMPLE, with_payload=["track_id"])
        )
        return self._owner.holds(str((record.payload or {})["track_id"]) for record in records)

    def _mark(self, collection: str) -> None:
        mark = self._owner.mark
        self._server(lambda client: client.update_collection(collection, metadata=mark))

    def _adopt(self, aliases: dict[str, str]) -> dict[str, str]:
        """Give this home's collections from before names of its own; return all aliases then."""
        former = f"{self._owner.former_namespace}."
        ours = {
            alias
            for alias, collection in aliases.items()
            if alias.startswith(former)
            and not alias.endswith((_BEFORE, _SPARE))
            and not owner_of(self._metadata(collection))
            and self._is_of_ours(collection)
        }
        changes: list[Any] = []
        try:
            for alias in sorted(ours | {f"{alias}{_BEFORE}" for alias in ours} & aliases.keys()):
                self._mark(aliases[alias])
                changes += [_deleted(alias), _created(self._own(alias, former), aliases[alias])]
            if changes:
                self._server(lambda client: client.update_collection_aliases(changes))
        except TrackIndexError as error:
            if error.code != "read-only":
                raise
            raise TrackIndexError(
                f"{self._server.address} holds this home's collections under names from before",
                "run `musicflow index list` once with a key that may write",
                error.code,
            ) from error
        if ours:
            _log.info(
                "%s: collections from before (%s) are this home's now, in the namespace %s.",
                self._server.address,
                ", ".join(sorted(alias.removeprefix(former) for alias in ours)),
                self._owner.namespace,
            )
        return self._all_aliases()

    def _own(self, alias: str, former: str) -> str:
        return self._prefix + alias.removeprefix(former)

    def _build(self, version: str, manifest: Manifest, points: Iterable[Point]) -> int:
        """Write the points into a new collection; return how many there are."""
        quantized = manifest.quantization == "int8"
        vectors = models.VectorParams(
            size=manifest.dim,
            distance=models.Distance.COSINE,
            on_disk=quantized or self._layout.on_disk,
        )
        self._server(
            lambda client: client.create_collection(
                version,
                vectors,
                shard_number=self._layout.shard_number,
                replication_factor=self._layout.replication_factor,
                write_consistency_factor=self._layout.write_consistency_factor,
                hnsw_config=models.HnswConfigDiff(payload_m=LINKS_PER_FIELD),
                quantization_config=_QUANTIZED if quantized else None,
                metadata={**dataclasses.asdict(manifest), **self._owner.mark},
            )
        )
        # The fields first: an index over points that are there would be built by itself.
        for field, kind in DIALECT.payload_indexes(manifest):
            self._index_field(version, field, kind)
        track_ids: set[str] = set()
        fast = self._server.holding(version)
        for batch_ids, batch in DIALECT.points(points, manifest, _BATCH):
            track_ids |= batch_ids
            # The server takes a batch into its log, and works on it while the next is made.
            fast(lambda client, batch=batch: client.upsert(version, batch, wait=False))  # type: ignore[misc]
        count = self._settled(version, len(track_ids))
        self._wait_for_index(version)
        return count

    def _revise(self, version: str, revision: Revision) -> int:
        """Write differences into a collection; return how many points it has then."""
        fast = self._server.holding(version)
        # Killed meanwhile, it is in no state that anyone knows.
        half = dataclasses.asdict(revision.manifest) | {"state": ""}
        self._server(lambda client: client.update_collection(version, metadata=half))
        gone = [point_id(track_id) for track_id in revision.gone]
        for start in range(0, len(gone), _PAGE):
            some: list[Any] = gone[start : start + _PAGE]
            # Each is waited for: that a point changed does not show in the count.
            fast(lambda client, some=some: client.delete(version, some))  # type: ignore[misc]
        for _, batch in DIALECT.points(revision.points, revision.manifest, _BATCH):
            fast(lambda client, batch=batch: client.upsert(version, batch))  # type: ignore[misc]
        about = dataclasses.asdict(revision.manifest)
        self._server(lambda client: client.update_collection(version, metadata=about))
        count = self._settled(version, revision.manifest.count)
        self._wait_for_index(version)
        return count

    def _index_field(self, version: str, key: str, schema: models.PayloadSchemaType) -> None:
        with warnings.catch_warnings():
            # In memory, for tests, the client has no payload indexes and says so each time.
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            self._server(
                lambda client: client.create_payload_index(version, key, schema, wait=True)
            )

    def _settled(self, version: str, expected: int) -> int:
        deadline = time.monotonic() + _SETTLE_S
        while True:
            count = self._server(lambda client: client.count(version, exact=True)).count
            if count == expected:
                return count
            if time.monotonic() > deadline:
                raise TrackIndexError(
                    f"{expected} tracks were sent, but the server counts {count}, so nothing was "
                    "published",
                    "see the server's log, and run again",
                )
            time.sleep(0.1)

    def _wait_for_index(self, version: str) -> None:
        """Wait until the server's index is complete: searches are slower before."""
        deadline, pause = time.monotonic() + self._layout.index_wait_s, 0.1
        while (left := deadline - time.monotonic()) > 0:
            info = self._server(lambda client: client.get_collection(version))
            if info.status == models.CollectionStatus.GREEN:
                return
            if info.status == models.CollectionStatus.GREY:
                # After a restart, optimizations wait for a change, if only an empty one.
                self._server(lambda client: client.update_collection(version, _NO_CHANGE))
            if info.status == models.CollectionStatus.RED:
                raise TrackIndexError(
                    f"{self._server.address} cannot index what was sent, so nothing was published",
                    "see the server's log, and run again",
                )
            if pause == _PATIENCE_S:
                where = self._server.address
                _log.info("%s is indexing. Searches see the new version once that is done.", where)
            time.sleep(min(pause, left))
            pause = min(2 * pause, 2 * _PATIENCE_S)
        if self._layout.index_wait_s:
            _log.warning(
                "%s is still indexing after %.0f s (qdrant_index_wait_s): what is published now is "
                "complete, but searches are slower until it is done.",
                *(self._server.address, self._layout.index_wait_s),
            )

    def _put_in_place(self, name: str, version: str, manifest: Manifest) -> None:
        """Publish a version. The one before the last becomes the spare one, if it is like it."""
        aliases = self._aliases()
        published, before, spare = (
            aliases.get(f"{self._prefix}{name}{which}") for which in (_PUBLISHED, _BEFORE, _SPARE)
        )
        kept = before if before is not None and self._is_like(before, manifest) else None
        self._switch(name, {_PUBLISHED: version, _BEFORE: published, _SPARE: kept})
        for old in {before, spare} - {kept, version, None}:
            self._drop(str(old))

    def _is_like(self, collection: str, manifest: Manifest) -> bool:
        # One that cannot be read, as a node with a part of it is away, is of no use.
        info = self._server.at_once(lambda client: client.get_collection(collection))
        metadata = without_owner(info.config.metadata) if info is not None else {}
        return bool(metadata) and Manifest.restored(metadata).is_like(manifest)

    def _switch(self, name: str, targets: Mapping[str, str | None]) -> None:
        aliases = self._aliases()
        changes: list[Any] = []
        for which, target in targets.items():
            alias = f"{self._prefix}{name}{which}"
            if alias in aliases:
                changes.append(_deleted(alias))
            if target is not None:
                changes.append(_created(alias, target))
        self._server(lambda client: client.update_collection_aliases(changes))

    def _clear_halves(self, name: str) -> None:
        """Drop the versions that killed writers left; `name` is locked."""
        kept = set(self._aliases().values())
        found = self._server(lambda client: client.get_collections()).collections
        for collection in {one.name for one in found} - kept:
            made = _VERSION.fullmatch(collection.removeprefix(self._prefix))
            if made is None or not collection.startswith(self._prefix):
                continue
            if made["name"] == name:
                self._drop_half(collection, made["time"])
            elif self._owner.locks is not None:
                with self._owner.alone(made["name"], wait=False) as is_alone:
                    # Another writer may have just published it.
                    if is_alone and collection not in self._aliases().values():
                        self._drop_half(collection, made["time"])

    def _drop_half(self, collection: str, made: str) -> None:
        metadata = self._metadata(collection)
        is_ours = self._owner.locks is not None and self._owner.owns(metadata)
        is_old = datetime.now(UTC) - _time(made) > _ABANDONED
        # A younger one without an owner may be what another writer is building just now.
        if is_ours or (is_old and not owner_of(metadata)):
            self._drop(collection)

    def _drop(self, collection: str) -> None:
        self._server(lambda client: client.delete_collection(collection))


def _deleted(alias: str) -> models.DeleteAliasOperation:
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))


def _created(alias: str, collection: str) -> models.CreateAliasOperation:
    create = models.CreateAlias(collection_name=collection, alias_name=alias)
    return models.CreateAliasOperation(create_alias=create)


def _recommend(
    likes: list[Any], dislikes: list[Any], strategy: ScoreStrategy
) -> models.RecommendQuery:
    scored = {
        "best-score": models.RecommendStrategy.BEST_SCORE,
        "sum-scores": models.RecommendStrategy.SUM_SCORES,
    }
    examples = models.RecommendInput(positive=likes, negative=dislikes, strategy=scored[strategy])
    return models.RecommendQuery(recommend=examples)


DIALECT = Dialect(
    models=models,
    point=models.PointStruct,
    range=models.Range,
    has_id=lambda ids: models.HasIdCondition(has_id=list(ids)),
    nearest=lambda vector: models.NearestQuery(nearest=vector),
    recommend=_recommend,
    indexes={
        "keyword": models.PayloadSchemaType.KEYWORD,
        "number": models.PayloadSchemaType.FLOAT,
    },
)


class ServerCollection(QdrantCollection):
    """A `Collection` of the server engine: one publication, whatever is published meanwhile."""

    dialect = DIALECT

    def __init__(self, server: Server, name: str, manifest: Manifest) -> None:
        self.manifest = manifest
        self._server = server
        self._name = name

    def close(self) -> None:
        """See `Collection.close`. The connection is the index's."""

    def _query(self, requests: list[Any]) -> Iterable[Iterable[Any]]:
        answers = self._server(lambda client: client.query_batch_points(self._name, requests))
        return (answer.points for answer in answers)

    def _retrieve(self, ids: list[Any], with_vector: bool) -> Iterable[Any]:
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            yield from self._server(
                lambda client, page=page: client.retrieve(  # type: ignore[misc]
                    self._name, page, with_payload=not with_vector, with_vectors=with_vector
                )
            )

    def _scroll(self, offset: Any, condition: Any, with_vector: bool) -> tuple[Iterable[Any], Any]:
        return self._server(
            lambda client: client.scroll(
                self._name,
                scroll_filter=condition,
                limit=_PAGE,
                offset=offset,
                with_payload=True,
                with_vectors=with_vector,
            )
        )

    def _facet(self, key: str, condition: Any, limit: int) -> Iterable[Any]:
        return self._server(
            lambda client: client.facet(
                self._name, key, facet_filter=condition, limit=limit, exact=True
            )
        ).hits

    def _count(self, condition: Any) -> int:
        return self._server(
            lambda client: client.count(self._name, count_filter=condition, exact=True)
        ).count


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


_QUANTIZED = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
)
