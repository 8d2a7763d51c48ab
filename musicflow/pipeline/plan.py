"""What is out of date, and why: the only place that knows."""

from collections.abc import Sequence

from musicflow.embedders.spec import EmbedderSpec
from musicflow.embedding_store import EmbeddingStore
from musicflow.library import Track


def to_embed(tracks: Sequence[Track], spec: EmbedderSpec, store: EmbeddingStore) -> list[Track]:
    """The tracks without a current vector, one for each content."""
    if former := {t.content_hash: t.former_hash for t in tracks if t.former_hash}:
        store.adopt(spec, former)
    known = store.known(spec)
    work = {track.content_hash: track for track in tracks if track.content_hash not in known}
    return list(work.values())
