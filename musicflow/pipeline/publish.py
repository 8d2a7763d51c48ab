"""Vectors to collections: a new version is built beside the old, then switched in."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from musicflow.embedders.spec import EmbedderSpec
from musicflow.index import Manifest, Point, TrackIndex, fields, normalize
from musicflow.library import Track
from musicflow.pipeline.pace import Pace, publication
from musicflow.pipeline.words import predict, tags_for, vectors_of_texts
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore, stack

_LAYOUT = 2
"""Raised when collections hold more than before, so that older ones are built again."""

_BLOCK = 1024


def build_collection(
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    index: TrackIndex,
    pace: Pace | None = None,
    *,
    tags: Sequence[str] = (),
    cache: Path = Path(),
) -> Manifest:
    """Publish the tracks that have a vector, unless they are published already.

    Parameters
    ----------
    tracks
        The library.
    spec
        The embedder.
    store
        The store of vectors.
    index
        The index to publish in.
    pace
        Keeps the time that it took.
    tags
        Words that the embedder's text side predicts for each track, in place of its own tags.
    cache
        The folder of weights, for these.

    Returns
    -------
    Manifest
        The manifest of the published collection.

    Raises
    ------
    EmbedderError
        If words are given and the embedder cannot read them.
    """
    known = store.known(spec)
    usable = [track for track in tracks if known.get(track.content_hash) == ""]
    state = collection_state(usable, spec, tags)
    published = index.manifest(spec.label)
    if published is not None and is_published(published, state, index):
        return published
    words = vectors_of_texts(tags, spec, store, cache)
    timed = pace.measure(publication(spec.label), len(usable)) if pace else nullcontext()
    with timed:
        _publish(usable, spec, store, index, state, words)
    published = index.manifest(spec.label)
    assert published is not None
    return published


def _publish(
    usable: Sequence[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    index: TrackIndex,
    state: str,
    words: Mapping[str, np.ndarray],
) -> None:
    rows = store.read(spec, {track.content_hash for track in usable})
    center, scale = _standardizer(usable, rows, spec)
    manifest = Manifest(
        *(spec.label, spec.hash, spec.dim, state, len(usable)),
        extra=fields.extra_kinds(usable),
        center=center,
        scale=scale,
    )
    manifest = replace(manifest, spread=_spread(usable, rows, manifest))
    if words:
        rows = _tagged(usable, rows, manifest, words)
    points = (_point(track, rows[track.content_hash], manifest) for track in usable)
    index.publish(spec.label, manifest, points)


def is_published(manifest: Manifest, state: str, index: TrackIndex) -> bool:
    """Return whether publishing now would change nothing."""
    now = state, index.quantization, fields.indexed(manifest.extra)
    return (manifest.state, manifest.quantization, manifest.fields) == now


def publish_for(
    settings: Settings,
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    index: TrackIndex,
) -> Manifest:
    """Publish tracks with the tags that the settings ask for; see `build_collection`."""
    return build_collection(
        *(tracks, spec, store, index, Pace(settings.paths.pace)),
        tags=tags_for(spec, settings),
        cache=settings.cache,
    )


def collection_state(tracks: Iterable[Track], spec: EmbedderSpec, tags: Sequence[str] = ()) -> str:
    """Return 16 hexadecimal digits that identify a collection's exact content."""
    digest = hashlib.sha256(f"{_LAYOUT} {spec.hash}".encode())
    # Without them it is named as before there were any.
    if tags:
        digest.update(json.dumps(list(tags)).encode())
    for track in tracks:
        digest.update(json.dumps([track.content_hash, fields.payload_of(track)]).encode())
    return digest.hexdigest()[:16]


def _point(track: Track, row: Embedding, manifest: Manifest) -> Point:
    assert row.vector is not None
    [vector] = normalize(row.vector[None], manifest, [track.track_id])
    return Point(track.track_id, vector, fields.payload_of(track, row))


def _tagged(
    tracks: Sequence[Track],
    rows: Mapping[str, Embedding],
    manifest: Manifest,
    words: Mapping[str, np.ndarray],
) -> dict[str, Embedding]:
    """Return the rows of tracks with the tags that suit them."""
    asked = normalize(np.stack(list(words.values())), manifest)
    contents = list(dict.fromkeys(track.content_hash for track in tracks))
    cosines = [
        normalize(stack([rows[content] for content in some]), manifest) @ asked.T
        for start in range(0, len(contents), _BLOCK)
        if (some := contents[start : start + _BLOCK])
    ]
    found = predict(list(words), np.concatenate([np.zeros((0, len(words))), *cosines]))
    return {
        content: replace(rows[content], tags=tags, tag_scores=scores)
        for content, (tags, scores) in zip(contents, found, strict=True)
    }


def _spread(tracks: Sequence[Track], rows: dict[str, Embedding], manifest: Manifest) -> float:
    """Return 1 minus the mean cosine of all pairs, by the length of the mean vector."""
    total = np.zeros(manifest.dim)
    for start in range(0, len(tracks), _BLOCK):
        some = [rows[track.content_hash] for track in tracks[start : start + _BLOCK]]
        total += normalize(stack(some), manifest).sum(axis=0, dtype=np.float64)
    return float(1 - np.square(total / max(len(tracks), 1)).sum())


def _standardizer(
    tracks: Sequence[Track], rows: dict[str, Embedding], spec: EmbedderSpec
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation per dimension; a constant one is left unscaled."""
    if not spec.standardize or len(tracks) < 2:
        return (), ()
    vectors = stack([rows[track.content_hash] for track in tracks]).astype(np.float64)
    scale = vectors.std(axis=0)
    scale[scale < 1e-9] = 1.0
    return tuple(vectors.mean(axis=0)), tuple(scale)
