"""The server engine: a Qdrant server or cluster behind an address.

Each publication is a collection of its own, built beside the published one. An alias named after
the embedder points to what is published, a second one to what was published before; one request
switches both.
"""

import dataclasses
import itertools
import re
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import grpc
import numpy as np
import tenacity
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

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

_BEFORE = ".before"
_VERSION = re.compile(r"(?P<time>\d{8}T\d{6})-[0-9a-f]{8}")
_TIME = "%Y%m%dT%H%M%S"
_ABANDONED = timedelta(days=1)
"""A collection that no alias names for this long was left by a writer that was killed."""

_BATCH = 256
_PAGE = 1000
_SETTLE_S = 300.0
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
        """An index at an address, over gRPC. Nothing is sent until something is asked.

        Raises
        ------
        TrackIndexError
            If this is no address.
        """
        if not url.startswith(("http://", "https://")):
            raise TrackIndexError(f"{url!r} is not the address of a server: write http://HOST:6333")
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
        manifest = dataclasses.replace(manifest, quantization=self.quantization)
        version = f"{self._prefix}{name}.{datetime.now(UTC):{_TIME}}-{uuid.uuid4().hex[:8]}"
        try:
            count = self._build(version, manifest, points)
        except BaseException:
            self._drop(version)
            raise
        outlived = self._collection(name + _BEFORE)
        self._switch(name, version, self._collection(name))
        if outlived is not None:
            self._drop(outlived)
        self._clear_abandoned(name)
        return count

    def rollback(self, name: str) -> Manifest:
        """See `TrackIndex.rollback`."""
        current, before = self._collection(name), self._collection(name + _BEFORE)
        if current is None:
            raise NoCollectionError.among(name, self.names())
        if before is None:
            raise NoCollectionError(f"there is no earlier version of the collection {name!r}")
        self._switch(name, before, current)
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
            if alias.startswith(self._prefix) and not alias.endswith(_BEFORE)
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
        """Write the points into a new collection; tells how many there are."""
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
        for key in KEYWORDS:
            self._index_field(version, key, models.PayloadSchemaType.KEYWORD)
        self._index_field(version, DURATION, models.PayloadSchemaType.FLOAT)
        ids: set[str] = set()
        iterator = iter(points)
        while batch := list(itertools.islice(iterator, _BATCH)):
            names = [point.track_id for point in batch]
            ids.update(names)
            values = np.stack([point.vector for point in batch])
            check(values, manifest, names)
            self._send(version, batch, values)
        return self._settled(version, len(ids))

    def _index_field(self, version: str, key: str, schema: models.PayloadSchemaType) -> None:
        with warnings.catch_warnings():
            # In memory, for tests, the client has no payload indexes and says so each time.
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            self._server(
                lambda client: client.create_payload_index(version, key, schema, wait=True)
            )

    def _send(self, version: str, batch: list[Point], vectors: np.ndarray) -> None:
        """Hand a batch over. The server takes it into its log and works on it meanwhile."""
        structs = [
            models.PointStruct(id=point_id(point.track_id), vector=vector, payload=point.payload)
            for point, vector in zip(batch, vectors.tolist(), strict=True)
        ]
        self._server(lambda client: client.upsert(version, structs, wait=False))

    def _settled(self, version: str, expected: int) -> int:
        deadline = time.monotonic() + _SETTLE_S
        while True:
            count = self._server(lambda client: client.count(version, exact=True)).count
            if count == expected:
                return count
            if time.monotonic() > deadline:
                raise TrackIndexError(
                    f"{expected} tracks were sent, but the server counts {count}; "
                    "nothing was published: see the server's log, and run again"
                )
            time.sleep(0.1)

    def _switch(self, name: str, version: str, before: str | None) -> None:
        aliases = self._aliases()
        targets = {self._prefix + name: version, self._prefix + name + _BEFORE: before}
        changes: list[Any] = []
        for alias, target in targets.items():
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


class ServerCollection:
    """A `Collection` of the server engine: one publication, whatever is published meanwhile."""

    def __init__(self, server: "_Server", name: str, manifest: Manifest) -> None:
        self.manifest = manifest
        self._server = server
        self._name = name

    def __enter__(self) -> "ServerCollection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """See `Collection.close`. The connection is the index's."""

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
        queries = [models.NearestQuery(nearest=vector) for vector in vectors.tolist()]
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
        examples = models.RecommendInput(
            positive=likes.tolist(), negative=dislikes.tolist(), strategy=_SCORED_BY[strategy]
        )
        query = models.RecommendQuery(recommend=examples)
        [hits] = self._ask([query], k, _filter(filters, without))
        return hits

    def vectors(self, track_ids: Sequence[str]) -> np.ndarray:
        """See `Collection.vectors`."""
        ids = [point_id(track_id) for track_id in track_ids]
        known: dict[str, Any] = {}
        for some in _pages(list(dict.fromkeys(ids))):
            found = self._server(
                lambda client, some=some: client.retrieve(  # type: ignore[misc]
                    self._name, some, with_payload=False, with_vectors=True
                )
            )
            known |= {str(record.id): record.vector for record in found}
        return in_order(track_ids, known, self.manifest.dim)

    def scroll(self) -> Iterator[Point]:
        """See `Collection.scroll`."""
        for record in self._records(None, with_vectors=True):
            payload = dict(record.payload or {})
            yield Point(payload["track_id"], np.array(record.vector, np.float32), payload)

    def payloads(self, filters: Filters = Filters()) -> Iterator[dict[str, Any]]:
        """See `Collection.payloads`."""
        for record in self._records(_filter(filters), with_vectors=False):
            yield dict(record.payload or {})

    def facet(self, key: str, filters: Filters = Filters()) -> dict[str, int]:
        """See `Collection.facet`."""
        limit = max(self.manifest.count, 1) * 8
        hits = self._server(
            lambda client: client.facet(
                self._name, key, facet_filter=_filter(filters), limit=limit, exact=True
            )
        ).hits
        return {str(hit.value): hit.count for hit in hits}

    def payload(self, track_id: str) -> dict[str, Any]:
        """See `Collection.payload`."""
        found = self._server(
            lambda client: client.retrieve(self._name, [point_id(track_id)], with_payload=True)
        )
        if not found:
            raise KeyError(track_id)
        return dict(found[0].payload or {})

    def count(self, filters: Filters = Filters()) -> int:
        """See `Collection.count`."""
        return self._server(
            lambda client: client.count(self._name, count_filter=_filter(filters), exact=True)
        ).count

    def _records(
        self, condition: models.Filter | None, with_vectors: bool
    ) -> Iterator[models.Record]:
        offset: Any = None
        while True:
            records, offset = self._server(
                lambda client, offset=offset: client.scroll(  # type: ignore[misc]
                    self._name,
                    scroll_filter=condition,
                    limit=_PAGE,
                    offset=offset,
                    with_payload=True,
                    with_vectors=with_vectors,
                )
            )
            yield from records
            if offset is None:
                return

    def _ask(
        self,
        queries: Sequence[models.Query],
        k: int,
        condition: models.Filter | None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        rescored = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        quantized = self.manifest.quantization != "none"
        params = models.SearchParams(
            exact=exact, hnsw_ef=max(EF, k), quantization=rescored if quantized else None
        )
        requests = [
            models.QueryRequest(
                query=query,
                limit=k,
                filter=condition,
                with_payload=True,
                params=params,
            )
            for query in queries
        ]
        answers = self._server(lambda client: client.query_batch_points(self._name, requests))
        return [[_hit(point) for point in answer.points] for answer in answers]


class _Server:
    """Asks a server: waits for one that is busy or away, and says in a sentence what is wrong."""

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
            raise TrackIndexError(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        code = _code(error)
        if code in _REFUSED:
            return f"{self._address} refuses the key: set MUSICFLOW_QDRANT_API_KEY"
        if code in _MISSING:
            return f"{self._address} no longer has this collection: it was published anew"
        if _is_passing(error):
            return (
                f"{self._address} does not answer ({_reason(error)}). Start it, or unset "
                "MUSICFLOW_QDRANT_URL to use the engine that is built in"
            )
        return f"{self._address} cannot do this: {_reason(error)}"


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


def _pages(ids: list[str]) -> Iterator[list[Any]]:
    return (ids[start : start + _PAGE] for start in range(0, len(ids), _PAGE))


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _hit(point: models.ScoredPoint) -> Hit:
    payload = dict(point.payload or {})
    return Hit(payload["track_id"], point.score, payload)


_QUANTIZED = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
)
_SCORED_BY: dict[ScoreStrategy, models.RecommendStrategy] = {
    "best-score": models.RecommendStrategy.BEST_SCORE,
    "sum-scores": models.RecommendStrategy.SUM_SCORES,
}


def _filter(filters: Filters, without: Sequence[str] = ()) -> models.Filter | None:
    must: list[Any] = []
    must_not: list[Any] = []
    for condition in filters.conditions:
        (must_not if condition.sign == "!=" else must).extend(_demands(condition))
    if without:
        must_not.append(models.HasIdCondition(has_id=[point_id(one) for one in without]))
    return models.Filter(must=must, must_not=must_not) if must or must_not else None


def _demands(condition: Condition) -> list[models.FieldCondition]:
    if condition.sign in BOUNDS:
        bound = models.Range(**{BOUNDS[condition.sign]: float(condition.values[0])})
        return [models.FieldCondition(key=condition.key, range=bound)]
    return [
        models.FieldCondition(key=condition.key, match=models.MatchAny(any=some))
        for some in condition.choices
    ]
