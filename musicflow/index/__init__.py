"""Indexes of tracks: the only room that knows Qdrant."""

from musicflow.index.embedded import EmbeddedIndex
from musicflow.index.filters import FilterError, Filters
from musicflow.index.track_index import (
    Collection,
    Hit,
    Manifest,
    NoCollectionError,
    Point,
    TrackIndex,
    TrackIndexError,
    VectorError,
)

__all__ = [
    "Collection",
    "EmbeddedIndex",
    "FilterError",
    "Filters",
    "Hit",
    "Manifest",
    "NoCollectionError",
    "Point",
    "TrackIndex",
    "TrackIndexError",
    "VectorError",
]
