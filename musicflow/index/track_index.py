"""What an index of tracks does, whatever engine is behind it."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from musicflow.index.filters import Filters

Quantization = Literal["none", "int8"]
"""How an engine keeps vectors in memory: as they are, or a byte a dimension.

With the latter, the full ones stay on disk, and rescore the best candidates."""

ScoreStrategy = Literal["best-score", "sum-scores"]
"""How an engine scores a track by examples: by the nearest one, or by all of them."""

OVERSAMPLING = 2.0
"""How many more candidates are rescored with their full vectors where these are quantised."""

EF = 128
"""How many candidates a search of an engine's graph holds at least: for recall above 0.98."""

_NAMESPACE = uuid.UUID("6f0e4a3c-7c8e-5b54-9d5f-0c2f3a6f7b10")


class TrackIndexError(Exception):
    """Something an index cannot do; the message says what to do instead."""


class NoCollectionError(TrackIndexError):
    """A collection that has never been published."""

    @classmethod
    def among(cls, name: str, published: Sequence[str]) -> "NoCollectionError":
        """The error for a name that is not among those published."""
        there = ", ".join(published) or "none yet: start with `musicflow run LIBRARY`"
        return cls(f"there is no collection {name!r} (published: {there})")


class VectorError(TrackIndexError):
    """A vector that must not reach an engine: not finite, not of length one, of other dims."""


@dataclass(frozen=True)
class Point:
    """A track as an index holds it."""

    track_id: str
    vector: np.ndarray
    """Shape ``(dim,)``, as `unit` makes it."""
    payload: dict[str, Any]


@dataclass(frozen=True)
class Hit:
    """An answer: a track, and its score, which for a query is the cosine similarity to it."""

    track_id: str
    score: float
    payload: dict[str, Any]
    duplicates: tuple[str, ...] = ()
    """Tracks that this one stands for as well, where copies are folded together."""


@dataclass(frozen=True)
class Manifest:
    """What a published collection holds.

    `state` names its exact content; `center` and `scale` are what vectors are standardised
    with, empty where they are not. `spread` is how far apart two tracks are on average: one less
    the cosine. `count` and `quantization` are the index's to say.
    """

    embedder: str
    spec_hash: str
    dim: int
    state: str
    count: int = 0
    quantization: Quantization = "none"
    spread: float = 1.0
    center: tuple[float, ...] = field(default=(), repr=False)
    scale: tuple[float, ...] = field(default=(), repr=False)

    @classmethod
    def restored(cls, fields: Mapping[str, Any]) -> "Manifest":
        """A manifest that was kept as JSON, which has lists for tuples."""
        lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
        return cls(**{**fields, **lists})


class Collection(Protocol):
    """A published collection, open for reading. A context manager.

    Vectors go in and come out as `unit` makes them.
    """

    manifest: Manifest

    def unit(self, vectors: np.ndarray) -> np.ndarray:
        """Make vectors of the collection, shape ``(N, dim)``, of what its embedder gave.

        Raises
        ------
        VectorError
            See `unit`.
        """
        ...

    def query(
        self,
        vectors: np.ndarray,
        k: int,
        filters: Filters = Filters(),
        without: Sequence[str] = (),
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The k nearest tracks to each of some vectors, best first.

        Parameters
        ----------
        vectors
            Shape ``(Q, dim)``.
        k
            How many answers at most.
        filters
            What every answer must fulfil.
        without
            Tracks that must not be answers, by id.
        exact
            Compare with every track, rather than by the engine's graph.

        Raises
        ------
        VectorError
            If a vector is not of length one or not of the collection's dims.
        """
        ...

    def recommend(
        self,
        likes: np.ndarray,
        dislikes: np.ndarray,
        strategy: ScoreStrategy,
        k: int,
        filters: Filters = Filters(),
        without: Sequence[str] = (),
    ) -> list[Hit]:
        """The k tracks that examples speak for most, best first, by the engine's own scores.

        Parameters
        ----------
        likes, dislikes
            Shapes ``(L, dim)`` and ``(D, dim)``; one of them may be empty.
        strategy
            ``best-score``: a track's nearest example decides, for it or against it.
            ``sum-scores``: likenesses to all likes, less those to all dislikes.
        k, filters, without
            As for `query`.
        """
        ...

    def vectors(self, track_ids: Sequence[str]) -> np.ndarray:
        """The vectors of some tracks, shape ``(N, dim)``.

        Raises
        ------
        KeyError
            If the collection does not hold one of them.
        """
        ...

    def scroll(self) -> Iterator[Point]:
        """Every track, in no order that means anything."""
        ...

    def payloads(self, filters: Filters = Filters()) -> Iterator[dict[str, Any]]:
        """What is known of every track that fulfils the filters."""
        ...

    def facet(self, key: str, filters: Filters = Filters()) -> dict[str, int]:
        """How many tracks there are of each value of a keyword field, most first."""
        ...

    def payload(self, track_id: str) -> dict[str, Any]:
        """What is known of one track.

        Raises
        ------
        KeyError
            If the collection does not hold it.
        """
        ...

    def count(self, filters: Filters = Filters()) -> int:
        """How many tracks fulfil the filters."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def __enter__(self) -> "Collection": ...

    def __exit__(self, *_: object) -> None: ...


class Collections(Protocol):
    """The published collections, for reading."""

    def manifest(self, name: str) -> Manifest | None:
        """What is published under a name, without opening it."""
        ...

    def open(self, name: str) -> Collection:
        """Open a published collection for reading.

        Raises
        ------
        NoCollectionError
            If there is none.
        """
        ...

    def names(self) -> Sequence[str]:
        """The published collections."""
        ...


class TrackIndex(Collections, Protocol):
    """A place that holds one collection an embedder, and keeps the one before."""

    quantization: Quantization

    def publish(self, name: str, manifest: Manifest, points: Iterable[Point]) -> int:
        """Build a collection beside the published one, then put it in its place.

        Until this returns, and if it fails, searches see what was published before.

        Returns
        -------
        int
            How many tracks the collection holds.

        Raises
        ------
        VectorError
            If a vector is not of length one or not of the collection's dims.
        """
        ...

    def rollback(self, name: str) -> Manifest:
        """Put the collection before the published one back; twice, and all is as it was.

        Raises
        ------
        NoCollectionError
            If there is none.
        """
        ...


def point_id(track_id: str) -> str:
    """The engine's id of a track: always the same UUID, so that writing twice changes nothing."""
    return str(uuid.uuid5(_NAMESPACE, track_id))


def in_order(track_ids: Sequence[str], known: Mapping[str, Any], dim: int) -> np.ndarray:
    """Vectors that an engine gave by point id, as `Collection.vectors` answers.

    Raises
    ------
    KeyError
        If there is none of a track.
    """
    values = np.empty((len(track_ids), dim), np.float32)
    for row, track_id in enumerate(track_ids):
        point = point_id(track_id)
        if point not in known:
            raise KeyError(track_id)
        values[row] = np.asarray(known[point])
    return values


def unit(vectors: np.ndarray, manifest: Manifest, whose: Sequence[str] = ()) -> np.ndarray:
    """Make vectors of a collection: standardised where it is, and of length one.

    Parameters
    ----------
    vectors
        As the embedder gave them, shape ``(N, dim)``.
    manifest
        The collection they are for.
    whose
        Their track ids, for the error.

    Returns
    -------
    numpy.ndarray
        Float32, shape ``(N, dim)``.

    Raises
    ------
    VectorError
        If a vector is not finite, has no length or not the collection's dims.
    """
    values = np.asarray(vectors, np.float64)
    _check_dims(values, manifest)
    if manifest.center:
        values = (values - np.array(manifest.center)) / np.array(manifest.scale)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    _refuse(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0), manifest, whose)
    return (values / norms).astype(np.float32)


def check(vectors: np.ndarray, manifest: Manifest, whose: Sequence[str] = ()) -> None:
    """Hold that vectors are a collection's, as `unit` makes them.

    Raises
    ------
    VectorError
        If one is not of length one or not of the collection's dims.
    """
    _check_dims(vectors, manifest)
    # Written so that what is not a number is refused too.
    _refuse(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3), manifest, whose)


def _check_dims(vectors: np.ndarray, manifest: Manifest) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != manifest.dim:
        raise VectorError(
            f"vectors of shape {vectors.shape} are not for {manifest.embedder}, "
            f"whose vectors have {manifest.dim} dimensions"
        )


def _refuse(bad: np.ndarray, manifest: Manifest, whose: Sequence[str]) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        name = whose[rows[0]] if len(whose) else f"number {rows[0]}"
        raise VectorError(
            f"the {manifest.embedder} vector of {name} is not finite or has no proper length"
        )
