"""What the tests of commands share."""

from pathlib import Path

from musicflow import embedders, library
from musicflow.index import open_index
from musicflow.pipeline import build_collection, embed_tracks
from musicflow.settings import Settings, remember
from musicflow.store import EmbeddingStore


def ingest(music: Path, home: Path) -> None:
    """Bring the collection of a home up to date, without Dagster and an evaluation."""
    settings = Settings(home=home, library=music, embedders=("mfcc",))
    spec, store = embedders.spec_of("mfcc"), EmbeddingStore(settings.paths.embeddings)
    found = library.join(music, library.scan(music, settings.paths.library), "auto")
    embed_tracks(found.tracks, spec, store, settings.cache)
    build_collection(found.tracks, spec, store, open_index(settings))
    remember(settings.paths, library=music, embedders=("mfcc",))
