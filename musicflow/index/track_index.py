"""The interface of an index of tracks, whatever its engine."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as Items
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from musicflow.errors import MusicflowError
from musicflow.index.fields import FIRST_INDEXED, Kind, Table, table_with
from musicflow.index.filters import Filters

Quantization = Literal["none", "int8"]
"""How an engine keeps vectors in memory: as they are, or one byte per dimension.

With the latter, the full ones stay on disk and rescore the best candidates."""

ScoreStrategy = Literal["best-score", "sum-scores"]
"""How an engine scores a track by examples: by the nearest one, or by all of them."""


class TrackIndexError(MusicflowError):
    """An index cannot do what it was asked to do."""

    code = "index"


class NoCollectionError(TrackIndexError):
    """A collection has never been published."""

    code = "no-collection"

    @classmethod
    def among(cls, name: str, published: Sequence[str]) -> "NoCollectionError":
        """Return the error for a name that is not among the published ones."""
        if not published:
            advice = "start with `musicflow run LIBRARY`"
            return cls(f"there is no collection {name!r} (published: none)", advice)
        return cls(f"there is no collection {name!r} (published: {', '.join(published)})")


class VectorError(TrackIndexError):
    """A vector must not reach an engine: not finite, not of length one, or of other dims."""

    code = "bad-vector"


@dataclass(frozen=True)
class Point:
    """A track as an index holds it."""

    track_id: str
    vector: np.ndarray
    """Shape ``(dim,)``, as `normalize` makes it."""
    payload: dict[str, Any]


@dataclass(frozen=True)
class Hit:
    """An answer: a track and its score, for a query the cosine similarity."""

    track_id: str
    score: float
    payload: dict[str, Any]
    duplicates: tuple[str, ...] = ()
    """Its duplicates among the answers, where these are folded into one."""


@dataclass(frozen=True)
class Manifest:
    """The description of a published collection.

    `state` names its exact content; `center` and `scale` are what vectors are standardised
    with, empty where they are not. `spread` is how far apart two tracks are on average: one less
    the cosine. `extra` has the kinds of the payload fields that the library brings. `count`,
    `quantization`, `kept` and `fields`, the payload fields that have an index of their own, are the
    index's to say.

    A version made by differences keeps `center`, `scale` and `spread` of the last one that was
    built as a whole; `changes` counts the tracks that were written or dropped since. `layout` is
    the version of the payloads, 0 for collections of before it was told. `kept` says how a server
    was told to keep it: copies, shards and the like. `projection` is that of a tuned space, as a
    text; see `tuned.Projection`.
    """

    embedder: str
    spec_hash: str
    dim: int
    state: str
    count: int = 0
    quantization: Quantization = "none"
    spread: float = 1.0
    fields: tuple[str, ...] = FIRST_INDEXED
    extra: dict[str, Kind] = field(default_factory=dict, hash=False)
    center: tuple[float, ...] = field(default=(), repr=False)
    scale: tuple[float, ...] = field(default=(), repr=False)
    layout: int = 0
    changes: int = 0
    kept: str = ""
    projection: str = field(default="", repr=False)

    def is_like(self, other: "Manifest") -> bool:
        """Return whether both are built alike: a point of one fits the other as it is."""
        mine, its = (replace(one, state="", count=0, changes=0) for one in (self, other))
        return mine == its

    @property
    def table(self) -> Table:
        """Return all fields of its payloads."""
        return table_with(self.extra)

    @classmethod
    def restored(cls, fields: Mapping[str, Any]) -> "Manifest":
        """Return a manifest from JSON, which has lists for tuples."""
        lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
        return cls(**{**fields, **lists})


@dataclass(frozen=True)
class Revision:
    """The differences between a collection and its next version.

    Parameters
    ----------
    manifest
        Of the next version, `count` included; like that of the collection (`Manifest.is_like`).
    points
        The tracks that are new or changed.
    gone
        The tracks that it no longer holds, by id.
    """

    manifest: Manifest
    points: Iterable[Point]
    gone: Items[str]


class Collection(Protocol):
    """A published collection, open for reading. A context manager.

    Vectors go in and come out as `normalize` makes them.
    """

    manifest: Manifest

    def normalize(self, vectors: np.ndarray) -> np.ndarray:
        """Normalize vectors from the collection's embedder, shape ``(N, dim)``.

        Raises
        ------
        VectorError
            See `normalization.normalize`.
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
        """Return the k nearest tracks to each of some vectors, best first.

        Parameters
        ----------
        vectors
            Shape ``(Q, dim)``.
        k
            How many answers at most.
        filters
            All answers pass them.
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
        """Return the k tracks of the best scores by examples, best first.

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
        """Return the vectors of some tracks, shape ``(N, dim)``.

        Raises
        ------
        KeyError
            If the collection does not hold one of them.
        """
        ...

    def scroll(self) -> Iterator[Point]:
        """Yield every track, in no particular order."""
        ...

    def payloads(self, filters: Filters = Filters()) -> Iterator[dict[str, Any]]:
        """Yield the payload of every track that passes the filters."""
        ...

    def facet(self, key: str, filters: Filters = Filters()) -> dict[str, int]:
        """Return the number of tracks per value of a keyword field, most first.

        Empty for a field without an index: the collection was published before the field.
        """
        ...

    def payload(self, track_id: str) -> dict[str, Any]:
        """Return the payload of one track.

        Raises
        ------
        KeyError
            If the collection does not hold it.
        """
        ...

    def count(self, filters: Filters = Filters()) -> int:
        """Return the number of tracks that pass the filters."""
        ...

    def close(self) -> None:
        """Close the collection and free its resources."""
        ...

    def __enter__(self) -> "Collection": ...

    def __exit__(self, *_: object) -> None: ...


class Collections(Protocol):
    """The published collections, for reading."""

    def manifest(self, name: str) -> Manifest | None:
        """Return the manifest of a published collection; None if there is none."""
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
        """Return the names of the published collections."""
        ...


class TrackIndex(Collections, Protocol):
    """A place that holds one collection per embedder, and keeps the one before."""

    quantization: Quantization
    kept: str
    """How a server is told to keep what is published from now on; empty for its own choice."""

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

    def update(self, name: str, revise: Callable[[Collection], Revision | None]) -> int | None:
        """Publish a version that is made from one that is there, by its differences.

        Until this returns, and if it fails, searches see what was published before, and it can be
        rolled back as before.

        Parameters
        ----------
        name
            The collection.
        revise
            A function of the version to start from, which may be an older one than the published,
            but is like it. It returns the differences, or None to leave all as it is.

        Returns
        -------
        int or None
            How many tracks the collection holds; None if there is none, or nothing was done.

        Raises
        ------
        VectorError
            As `publish` does.
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

    def describe(self) -> str:
        """Return where the collections are and how they are reached, for people."""
        ...
