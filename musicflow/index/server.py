"""The server engine: a Qdrant server or cluster behind an address.

Each publication is a collection of its own, built beside the published one. An alias named after
the embedder points to what is published, a second one to what was published before; one request
switches both. A third points to the version before that, if it is like the published one: the
next update brings it up to date, so that nothing is copied and nothing that may be searched is
written to.
"""

import dataclasses
import re
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import grpc
import tenacity
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from musicflow.index.qdrant import Dialect, QdrantCollection, described, point_id, revised
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

_PUBLISHED = ""
_BEFORE = ".before"
_SPARE = ".spare"
"""What the aliases of a collection's versions end in."""

_VERSION = re.compile(r"(?P<time>\d{8}T\d{6})-[0-9a-f]{8}")
_TIME = "%Y%m%dT%H%M%S"
_ABANDONED = timedelta(days=1)
"""A collection that no alias names for this long was left by a writer that was killed."""

_BATCH = 256
_PAGE = 1000
_OPTIMIZER_TIMEOUT_S = 300.0
"""How long the server may take to show all that was sent."""

_T = TypeVar("_T")


class ServerIndex:
    """A `TrackIndex` on a Qdrant server.

    Parameters
    ----------
    client
        The connection; see `connect`.
    address
        How errors call the server.
    quantization
        How the collections published from now on are kept in memory.
    namespace
        What the names of all aliases and collections begin with: one for each home.
    """

    def __init__(
        self,
        client: QdrantClient,
        address: str = "the Qdrant server",
        quantization: Quantization = "none",
        namespace: str = "musicflow",
    ) -> None:
        self.quantization = quantization
        self._prefix = f"{namespace}."
        self._server = _Server(client, address)

    @classmethod
    def connect(
        cls,
        url: str,
        api_key: str | None = None,
        quantization: Quantization = "none",
        namespace: str = "musicflow",
        grpc_port: int = 6334,
        timeout_s: int = 60,
    ) -> "ServerIndex":
        """Return an index at an address, over gRPC; nothing is sent yet.

        Raises
        ------
        TrackIndexError
            If this is no address.
        """
        if not url.startswith(("http://", "https://")):
            raise TrackIndexError(
                f"{url!r} is not the address of a server", "write http://HOST:6333"
            )
        client = QdrantClient(
            url=url,
            grpc_port=grpc_port,
            api_key=api_key,
            prefer_grpc=True,
            timeout=timeout_s,
            check_compatibility=False,
        )
        return cls(client, url, quantization, namespace)

    def publish(self, name: str, manifest: Manifest, points: Iterable[Point]) -> int:
        """See `TrackIndex.publish`."""
        manifest = described(manifest, self.quantization)
        version = f"{self._prefix}{name}.{datetime.now(UTC):{_TIME}}-{uuid.uuid4().hex[:8]}"
        try:
            count = self._build(version, manifest, points)
        except BaseException:
            self._drop(version)
            raise
        self._put_in_place(name, version, manifest)
        return count

    def update(self, name: str, revise: Callable[[Collection], Revision | None]) -> int | None:
        """See `TrackIndex.update`."""
        published = self._collection(name)
        if published is None:
            return None
        spare = self._collection(name + _SPARE)
        base = spare if spare is not None else published
        with ServerCollection(self._server, base, self._manifest(base)) as collection:
            revision = revise(collection)
            if revision is None:
                return None
            if spare is None:
                return self.publish(name, revision.manifest, revised(collection, revision))
        count = self._revise(spare, revision)
        self._put_in_place(name, spare, revision.manifest)
        return count

    def rollback(self, name: str) -> Manifest:
        """See `TrackIndex.rollback`."""
        current, before = self._collection(name), self._collection(name + _BEFORE)
        if current is None:
            raise NoCollectionError.among(name, self.names())
        if before is None:
            raise NoCollectionError(f"there is no earlier version of the collection {name!r}")
        self._switch(name, {_PUBLISHED: before, _BEFORE: current})
        return self._manifest(before)

    def manifest(self, name: str) -> Manifest | None:
        """See `TrackIndex.manifest`."""
        collection = self._collection(name)
        return self._manifest(collection) if collection is not None else None

    def open(self, name: str) -> "ServerCollection":
        """See `TrackIndex.open`."""
        collection = self._collection(name)
        if collection is None:
            raise NoCollectionError.among(name, self.names())
        return ServerCollection(self._server, collection, self._manifest(collection))

    def names(self) -> Sequence[str]:
        """See `TrackIndex.names`."""
        return sorted(
            alias.removeprefix(self._prefix)
            for alias in self._aliases()
            if alias.startswith(self._prefix) and not alias.endswith((_BEFORE, _SPARE))
        )

    def _aliases(self) -> dict[str, str]:
        found = self._server(lambda client: client.get_aliases()).aliases
        return {alias.alias_name: alias.collection_name for alias in found}

    def _collection(self, name: str) -> str | None:
        return self._aliases().get(self._prefix + name)

    def _manifest(self, collection: str) -> Manifest:
        info = self._server(lambda client: client.get_collection(collection))
        count = self._server(lambda client: client.count(collection, exact=True)).count
        return Manifest.restored({**(info.config.metadata or {}), "count": count})

    def _build(self, version: str, manifest: Manifest, points: Iterable[Point]) -> int:
        """Write the points into a new collection; return how many there are."""
        quantized = manifest.quantization == "int8"
        vectors = models.VectorParams(
            size=manifest.dim, distance=models.Distance.COSINE, on_disk=quantized
        )
        self._server(
            lambda client: client.create_collection(
                version,
                vectors,
                quantization_config=_QUANTIZED if quantized else None,
                metadata=dataclasses.asdict(manifest),
            )
        )
        # The fields first: the engine's graph is then built with filters in mind.
        for field, kind in DIALECT.payload_indexes(manifest):
            self._index_field(version, field, kind)
        track_ids: set[str] = set()
        for batch_ids, batch in DIALECT.points(points, manifest, _BATCH):
            track_ids |= batch_ids
            # The server takes a batch into its log, and works on it while the next is made.
            self._server(lambda client, batch=batch: client.upsert(version, batch, wait=False))  # type: ignore[misc]
        return self._settled(version, len(track_ids))

    def _revise(self, version: str, revision: Revision) -> int:
        """Write differences into a collection; return how many points it has then."""
        gone = [point_id(track_id) for track_id in revision.gone]
        for start in range(0, len(gone), _PAGE):
            some: list[Any] = gone[start : start + _PAGE]
            # Each is waited for: that a point changed does not show in the count.
            self._server(lambda client, some=some: client.delete(version, some))  # type: ignore[misc]
        for _, batch in DIALECT.points(revision.points, revision.manifest, _BATCH):
            self._server(lambda client, batch=batch: client.upsert(version, batch))  # type: ignore[misc]
        about = dataclasses.asdict(revision.manifest)
        self._server(lambda client: client.update_collection(version, metadata=about))
        return self._settled(version, revision.manifest.count)

    def _index_field(self, version: str, key: str, schema: models.PayloadSchemaType) -> None:
        with warnings.catch_warnings():
            # In memory, for tests, the client has no payload indexes and says so each time.
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            self._server(
                lambda client: client.create_payload_index(version, key, schema, wait=True)
            )

    def _settled(self, version: str, expected: int) -> int:
        deadline = time.monotonic() + _OPTIMIZER_TIMEOUT_S
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

    def _put_in_place(self, name: str, version: str, manifest: Manifest) -> None:
        """Publish a version. The one before the last becomes the spare one, if it is like it."""
        aliases = self._aliases()
        published, before, spare = (
            aliases.get(f"{self._prefix}{name}{which}") for which in (_PUBLISHED, _BEFORE, _SPARE)
        )
        kept = before if before is not None and self._manifest(before).is_like(manifest) else None
        self._switch(name, {_PUBLISHED: version, _BEFORE: published, _SPARE: kept})
        for old in {before, spare} - {kept, version, None}:
            self._drop(str(old))
        self._clear_abandoned(name)

    def _switch(self, name: str, targets: Mapping[str, str | None]) -> None:
        aliases = self._aliases()
        changes: list[Any] = []
        for which, target in targets.items():
            alias = f"{self._prefix}{name}{which}"
            if alias in aliases:
                delete = models.DeleteAlias(alias_name=alias)
                changes.append(models.DeleteAliasOperation(delete_alias=delete))
            if target is not None:
                create = models.CreateAlias(collection_name=target, alias_name=alias)
                changes.append(models.CreateAliasOperation(create_alias=create))
        self._server(lambda client: client.update_collection_aliases(changes))

    def _clear_abandoned(self, name: str) -> None:
        kept = set(self._aliases().values())
        found = self._server(lambda client: client.get_collections()).collections
        for collection in {one.name for one in found} - kept:
            made = _VERSION.fullmatch(collection.removeprefix(f"{self._prefix}{name}."))
            # A younger one may be what another writer is building just now.
            if made and datetime.now(UTC) - _time(made["time"]) > _ABANDONED:
                self._drop(collection)

    def _drop(self, collection: str) -> None:
        self._server(lambda client: client.delete_collection(collection))


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

    def __init__(self, server: "_Server", name: str, manifest: Manifest) -> None:
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


class _Server:
    """Calls a server: waits for one that is busy or away, and explains its errors."""

    def __init__(self, client: QdrantClient, address: str) -> None:
        self._client = client
        self._address = address
        self._patiently = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_passing),
            wait=tenacity.wait_exponential_jitter(initial=0.2, max=5),
            stop=tenacity.stop_after_attempt(5),
            reraise=True,
        )

    def __call__(self, ask: Callable[[QdrantClient], _T]) -> _T:
        # All that is asked can be asked again: ids decide where a write goes.
        try:
            return self._patiently(ask, self._client)
        except (
            ResponseHandlingException,
            ResourceExhaustedResponse,
            UnexpectedResponse,
            grpc.RpcError,
        ) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> TrackIndexError:
        code = _code(error)
        if code in _REFUSED:
            message, advice = "refuses the key", "set MUSICFLOW_QDRANT_API_KEY"
        elif code in _MISSING:
            message, advice = "no longer has this collection", "it was published anew; try again"
        elif _is_passing(error):
            message = f"does not answer ({_reason(error)})"
            advice = "start it, or unset MUSICFLOW_QDRANT_URL to use the embedded engine"
        else:
            message, advice = f"cannot do this ({_reason(error)})", ""
        return TrackIndexError(f"{self._address} {message}", advice)


_REFUSED = (401, 403, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_MISSING = (404, grpc.StatusCode.NOT_FOUND)
_PASSING = (
    *(429, 500, 502, 503, 504),
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


def _code(error: BaseException) -> object:
    if isinstance(error, UnexpectedResponse):
        return error.status_code
    return error.code() if isinstance(error, grpc.RpcError) else None


def _is_passing(error: BaseException) -> bool:
    gone = isinstance(error, ResponseHandlingException | ResourceExhaustedResponse)
    return gone or _code(error) in _PASSING


def _reason(error: Exception) -> str:
    text = error.details() if isinstance(error, grpc.RpcError) else str(error)
    return " ".join((text or type(error).__name__).split())[:200]


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


_QUANTIZED = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
)
