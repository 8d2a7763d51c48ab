"""What an index of tracks does, whatever engine is behind it."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from musicflow.index.filters import Filters

_NAMESPACE = uuid.UUID("6f0e4a3c-7c8e-5b54-9d5f-0c2f3a6f7b10")


class TrackIndexError(Exception):
    """Something an index cannot do; the message says what to do instead."""


class NoCollectionError(TrackIndexError):
    """A collection that has never been published."""


class VectorError(TrackIndexError):
    """A vector that must not reach an engine: not finite, without length, or of other dims."""


@dataclass(frozen=True)
class Point:
    """A track as an index holds it."""

    track_id: str
    vector: np.ndarray
    """Shape ``(dim,)``, as the embedder gave it."""
    payload: dict[str, Any]


@dataclass(frozen=True)
class Hit:
    """An answer: a track, and its cosine similarity to the query, in [-1, 1]."""

    track_id: str
    score: float
    payload: dict[str, Any]


@dataclass(frozen=True)
class Manifest:
    """What a published collection holds.

    `state` names its exact content; `center` and `scale` are what vectors are standardised
    with, empty where they are not.
    """

    embedder: str
    spec_hash: str
    dim: int
    state: str
    count: int = 0
    center: tuple[float, ...] = field(default=(), repr=False)
    scale: tuple[float, ...] = field(default=(), repr=False)


class Collection(Protocol):
    """A published collection, open for reading. A context manager."""

    manifest: Manifest

    def query(
        self,
        vectors: np.ndarray,
        k: int,
        filters: Filters = Filters(),
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The k nearest tracks to each of some vectors, best first.

        Parameters
        ----------
        vectors
            Shape ``(Q, dim)``, as the embedder gives them.
        k
            How many answers at most.
        filters
            What every answer must fulfil.
        exact
            Compare with every track, rather than by the engine's graph.
        """
        ...

    def similar(self, track_id: str, k: int, filters: Filters = Filters()) -> list[Hit]:
        """The k tracks nearest to one of the collection, itself left out.

        Raises
        ------
        KeyError
            If the collection does not hold the track.
        """
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


class TrackIndex(Protocol):
    """A place that holds one collection an embedder."""

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
            If a vector is not finite, has no length or not the collection's dims.
        """
        ...

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


def point_id(track_id: str) -> str:
    """The engine's id of a track: always the same UUID, so that writing twice changes nothing."""
    return str(uuid.uuid5(_NAMESPACE, track_id))


def unit(vectors: np.ndarray, manifest: Manifest, whose: Sequence[str] = ()) -> np.ndarray:
    """Check vectors, standardise them where the collection is, and bring them to length one.

    Parameters
    ----------
    vectors
        Shape ``(N, dim)``.
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
    if values.ndim != 2 or values.shape[1] != manifest.dim:
        raise VectorError(
            f"vectors of shape {values.shape} are not for {manifest.embedder}, "
            f"whose vectors have {manifest.dim} dimensions"
        )
    if manifest.center:
        values = (values - np.array(manifest.center)) / np.array(manifest.scale)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if len(bad):
        name = whose[bad[0]] if len(whose) else f"number {bad[0]}"
        raise VectorError(
            f"the {manifest.embedder} vector of {name} is not finite or has no length"
        )
    return (values / norms).astype(np.float32)
