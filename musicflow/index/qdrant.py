"""What both engines share: one translation into Qdrant's models, and the collections over it.

`qdrant_edge` and `qdrant_client.models` have the same classes, most of them with the same names.
A `Dialect` holds those that differ.
"""

import dataclasses
import itertools
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from musicflow.index import fields
from musicflow.index.filters import BOUNDS, Condition, Filters
from musicflow.index.normalization import check_normalized, normalize
from musicflow.index.track_index import (
    Collection,
    Hit,
    Manifest,
    Point,
    Quantization,
    Revision,
    ScoreStrategy,
)

OVERSAMPLING = 2.0
"""The candidates per answer that are rescored with full vectors where these are quantized."""

MIN_EF = 128
"""The candidates that a search of an engine's graph holds at least: for recall above 0.98."""

LINKS_PER_FIELD = 0
"""The links of an engine's graph that only filters need. With them, a graph of 100,000 tracks takes
three times as long to build, and one of more takes longer still. Searches look two steps ahead
instead (ACORN)."""

_NAMESPACE = uuid.UUID("6f0e4a3c-7c8e-5b54-9d5f-0c2f3a6f7b10")

_Self = TypeVar("_Self", bound="QdrantCollection")


def point_id(track_id: str) -> str:
    """Return the engine's id of a track: the same UUID every time."""
    return str(uuid.uuid5(_NAMESPACE, track_id))


@dataclass(frozen=True)
class Dialect:
    """The models of one engine.

    Parameters
    ----------
    models
        The namespace of the classes that have the same names.
    point
        A point to write, by ``id``, ``vector`` and ``payload``.
    range
        A range of numbers.
    has_id
        A condition that a point has one of some ids.
    nearest
        A query by a vector.
    recommend
        A query by positive and negative vectors, and a strategy.
    indexes
        The type of payload index per kind of field.
    """

    models: Any
    point: Any
    range: Any
    has_id: Callable[[Sequence[str]], Any]
    nearest: Callable[[list[float]], Any]
    recommend: Callable[[list[Any], list[Any], ScoreStrategy], Any]
    indexes: Mapping[fields.Kind, Any]

    def payload_indexes(self, manifest: Manifest) -> Iterator[tuple[str, Any]]:
        """Yield the name and the type of every payload index of a collection."""
        for name in fields.indexed(manifest.extra):
            yield name, self.indexes[manifest.table[name].kind]

    def points(
        self, points: Iterable[Point], manifest: Manifest, size: int
    ) -> Iterator[tuple[set[str], list[Any]]]:
        """Yield batches of points to write, and the track ids in each.

        Raises
        ------
        VectorError
            If a vector is not normalized.
        """
        iterator = iter(points)
        while batch := list(itertools.islice(iterator, size)):
            track_ids = [point.track_id for point in batch]
            vectors = np.stack([point.vector for point in batch])
            check_normalized(vectors, manifest, track_ids)
            yield (
                set(track_ids),
                [
                    self.point(id=point_id(point.track_id), vector=vector, payload=point.payload)
                    for point, vector in zip(batch, vectors.tolist(), strict=True)
                ],
            )

    def filter(self, filters: Filters, without: Sequence[str] = ()) -> Any | None:
        """Return the engine's filter; None if everything passes."""
        must: list[Any] = []
        must_not: list[Any] = []
        for condition in filters.conditions:
            (must_not if condition.sign == "!=" else must).extend(self._conditions(condition))
        if without:
            must_not.append(self.has_id([point_id(track_id) for track_id in without]))
        return self.models.Filter(must=must, must_not=must_not) if must or must_not else None

    def _conditions(self, condition: Condition) -> list[Any]:
        key = condition.key
        if condition.sign in BOUNDS:
            bound = self.range(**{BOUNDS[condition.sign]: float(condition.values[0])})
            return [self.models.FieldCondition(key=key, range=bound)]
        return [
            self.models.FieldCondition(key=key, match=self.models.MatchAny(any=some))
            for some in condition.choices
        ]

    def requests(
        self,
        queries: Sequence[Any],
        k: int,
        condition: Any,
        quantization: Quantization,
        exact: bool,
    ) -> list[Any]:
        """Return one request per query for its k best points."""
        rescored = self.models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        params = self.models.SearchParams(
            exact=exact,
            hnsw_ef=max(MIN_EF, k),
            acorn=self.models.AcornSearchParams(enable=True),
            quantization=rescored if quantization != "none" else None,
        )
        return [
            self.models.QueryRequest(
                query=query, limit=k, filter=condition, with_payload=True, params=params
            )
            for query in queries
        ]


class QdrantCollection(ABC):
    """A `Collection` over an engine that can query, retrieve, scroll, count and facet."""

    dialect: Dialect
    manifest: Manifest

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """See `Collection.close`."""

    @abstractmethod
    def _query(self, requests: list[Any]) -> Iterable[Iterable[Any]]:
        """Return scored points per request."""

    @abstractmethod
    def _retrieve(self, ids: list[Any], with_vector: bool) -> Iterable[Any]:
        """Return the records with some ids, with their payloads or with their vectors."""

    @abstractmethod
    def _scroll(self, offset: Any, condition: Any, with_vector: bool) -> tuple[Iterable[Any], Any]:
        """Return a page of records, and the offset of the next; None after the last."""

    @abstractmethod
    def _facet(self, key: str, condition: Any, limit: int) -> Iterable[Any]:
        """Return the values of a keyword field, each with its count."""

    @abstractmethod
    def _count(self, condition: Any) -> int:
        """Return how many points pass a filter."""

    def normalize(self, vectors: np.ndarray) -> np.ndarray:
        """See `Collection.normalize`."""
        return normalize(vectors, self.manifest)

    def query(
        self,
        vectors: np.ndarray,
        k: int,
        filters: Filters = Filters(),
        without: Sequence[str] = (),
        exact: bool = False,
    ) -> list[list[Hit]]:
        """See `Collection.query`."""
        check_normalized(vectors, self.manifest)
        queries = [self.dialect.nearest(vector) for vector in vectors.tolist()]
        return self._hits(queries, k, filters, without, exact)

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
        check_normalized(likes, self.manifest)
        check_normalized(dislikes, self.manifest)
        query = self.dialect.recommend(likes.tolist(), dislikes.tolist(), strategy)
        [hits] = self._hits([query], k, filters, without)
        return hits

    def vectors(self, track_ids: Sequence[str]) -> np.ndarray:
        """See `Collection.vectors`."""
        ids = {track_id: point_id(track_id) for track_id in track_ids}
        found = self._retrieve(list(ids.values()), with_vector=True)
        known = {str(record.id): record.vector for record in found}
        values = np.empty((len(track_ids), self.manifest.dim), np.float32)
        for row, track_id in enumerate(track_ids):
            if ids[track_id] not in known:
                raise KeyError(track_id)
            values[row] = np.asarray(known[ids[track_id]])
        return values

    def scroll(self) -> Iterator[Point]:
        """See `Collection.scroll`."""
        for record in self._records(None, with_vector=True):
            payload = dict(record.payload or {})
            yield Point(payload["track_id"], np.array(record.vector, np.float32), payload)

    def payloads(self, filters: Filters = Filters()) -> Iterator[dict[str, Any]]:
        """See `Collection.payloads`."""
        for record in self._records(self.dialect.filter(filters), with_vector=False):
            yield dict(record.payload or {})

    def facet(self, key: str, filters: Filters = Filters()) -> dict[str, int]:
        """See `Collection.facet`."""
        if key not in self.manifest.fields:
            return {}
        limit = max(self.manifest.count, 1) * 8
        hits = self._facet(key, self.dialect.filter(filters), limit)
        # A server still lists the values of points that were deleted.
        return {str(hit.value): hit.count for hit in hits if hit.count}

    def payload(self, track_id: str) -> dict[str, Any]:
        """See `Collection.payload`."""
        for record in self._retrieve([point_id(track_id)], with_vector=False):
            return dict(record.payload or {})
        raise KeyError(track_id)

    def count(self, filters: Filters = Filters()) -> int:
        """See `Collection.count`."""
        return self._count(self.dialect.filter(filters))

    def _hits(
        self,
        queries: Sequence[Any],
        k: int,
        filters: Filters,
        without: Sequence[str],
        exact: bool = False,
    ) -> list[list[Hit]]:
        condition = self.dialect.filter(filters, without)
        quantization = self.manifest.quantization
        requests = self.dialect.requests(queries, k, condition, quantization, exact)
        return [[_hit(point) for point in points] for points in self._query(requests)]

    def _records(self, condition: Any, with_vector: bool) -> Iterator[Any]:
        offset = None
        while True:
            records, offset = self._scroll(offset, condition, with_vector)
            yield from records
            if offset is None:
                return


def _hit(point: Any) -> Hit:
    payload = dict(point.payload or {})
    return Hit(payload["track_id"], point.score, payload)


def described(manifest: Manifest, quantization: Quantization, kept: str = "") -> Manifest:
    """Return the manifest of a collection that is built now."""
    return dataclasses.replace(
        manifest, quantization=quantization, kept=kept, fields=fields.indexed(manifest.extra)
    )


def revised(base: Collection, revision: Revision) -> Iterator[Point]:
    """Yield all points of the next version of a collection; of a changed one, the last counts."""
    gone = frozenset(revision.gone)
    yield from (point for point in base.scroll() if point.track_id not in gone)
    yield from revision.points
