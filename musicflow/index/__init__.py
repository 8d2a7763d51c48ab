"""Indexes of tracks: the only room that knows Qdrant."""

from musicflow.index.embedded import EmbeddedIndex
from musicflow.index.filters import FilterError, Filters
from musicflow.index.normalization import normalize
from musicflow.index.track_index import (
    Collection,
    Collections,
    Hit,
    Manifest,
    NoCollectionError,
    Point,
    Revision,
    ScoreStrategy,
    TrackIndex,
    TrackIndexError,
    VectorError,
)
from musicflow.settings import Settings

__all__ = [
    "Collection",
    "Collections",
    "EmbeddedIndex",
    "FilterError",
    "Filters",
    "Hit",
    "Manifest",
    "NoCollectionError",
    "Point",
    "Revision",
    "ScoreStrategy",
    "TrackIndex",
    "TrackIndexError",
    "VectorError",
    "normalize",
    "open_index",
]


def open_index(settings: Settings) -> TrackIndex:
    """Open the settings' index: a server if they name one, else a folder."""
    if not settings.qdrant_url:
        return EmbeddedIndex(settings.paths.collections, settings.quantization)
    # Imported here: the client takes a second to load, which few commands need.
    from musicflow.index.server import ServerIndex

    return ServerIndex.of(settings)
