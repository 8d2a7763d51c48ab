"""Vectors to collections: a new version is made beside the old, then switched in.

It is made from the old one by its differences, unless too much has changed.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from musicflow.embedders.spec import EmbedderSpec
from musicflow.index import Collection, Manifest, Point, Revision, TrackIndex, fields, normalize
from musicflow.library import Progress, Track, no_progress
from musicflow.pipeline.failures import kept_failure
from musicflow.pipeline.pace import Pace, publication
from musicflow.pipeline.words import predict, tags_for, vectors_of_texts
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore, stack, with_vector


@dataclass(frozen=True)
class TunedSpec:
    """What a collection needs to know of a tuned space, as of an embedder.

    Parameters
    ----------
    label
        Its name.
    hash
        See `tuned.spec_hash`.
    dim
        The dims of its vectors.
    projection
        Brings the vectors of its embedders into it; see `Manifest`.
    """

    label: str
    hash: str
    dim: int
    projection: str
    standardize: bool = False


Spec = EmbedderSpec | TunedSpec

LAYOUT = 2
"""Raised when collections hold more than before, so that older ones are built again."""

MANY_CHANGES = 0.1
"""The share of a collection's tracks that may change until it is built as a whole again: its graph
and what its vectors are standardized with are then made anew."""

LOST_SHARE = 0.1
"""The share of the published tracks that may be gone until a disk is taken for missing."""

_BLOCK = 1024


def published_count(specs: Iterable[EmbedderSpec], index: TrackIndex) -> int:
    """Return the tracks of the largest collection of some embedders; 0 if there is none."""
    manifests = (index.manifest(spec.label) for spec in specs)
    return max((manifest.count for manifest in manifests if manifest is not None), default=0)


def has_shrunk(tracks: int, published: int) -> bool:
    """Return whether so many of the published tracks are gone that a disk may be missing."""
    return tracks < (1 - LOST_SHARE) * published


def build_collection(
    tracks: Sequence[Track],
    spec: Spec,
    store: EmbeddingStore,
    index: TrackIndex,
    pace: Pace | None = None,
    progress: Progress = no_progress,
    *,
    tags: Sequence[str] = (),
    cache: Path = Path(),
) -> Manifest:
    """Publish the tracks that have a vector, unless they are published already.

    What is published already is taken over, and only new and changed tracks are read, until
    `MANY_CHANGES` have added up.

    Parameters
    ----------
    tracks
        The library.
    spec
        The embedder, or a tuned space.
    store
        The store of vectors.
    index
        The index to publish in.
    pace
        Keeps the time that it took.
    progress
        Shows progress.
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
    usable = with_vector(tracks, store.known(_in_store(spec)))
    state, marks = _identified(usable, spec, tags)
    published = index.manifest(spec.label)
    if published is not None and is_published(published, state, index):
        return published
    words = {} if isinstance(spec, TunedSpec) else vectors_of_texts(tags, spec, store, cache)
    timed = pace.measure(publication(spec.label), len(usable)) if pace else nullcontext()
    with timed:
        _publish(usable, spec, store, index, state, marks, words, progress)
    if not words:
        store.set_published(_in_store(spec), state, marks)
    published = index.manifest(spec.label)
    assert published is not None
    return published


def _publish(
    usable: Sequence[Track],
    spec: Spec,
    store: EmbeddingStore,
    index: TrackIndex,
    state: str,
    marks: Mapping[str, bytes],
    words: Mapping[str, np.ndarray],
    progress: Progress,
) -> None:
    def revise(base: Collection) -> Revision | None:
        return _revision(base, usable, spec, store, index, state, marks, progress)

    # A predicted tag's score depends on all tracks.
    if words or index.update(spec.label, revise) is None:
        _publish_all(usable, spec, store, index, state, words, progress)


def _publish_all(
    usable: Sequence[Track],
    spec: Spec,
    store: EmbeddingStore,
    index: TrackIndex,
    state: str,
    words: Mapping[str, np.ndarray],
    progress: Progress,
) -> None:
    rows = store.read(_in_store(spec), {track.content_hash for track in usable})
    center, scale = standardizer(usable, rows) if spec.standardize else ((), ())
    manifest = Manifest(
        *(spec.label, spec.hash, spec.dim, state, len(usable)),
        extra=fields.extra_kinds(usable),
        center=center,
        scale=scale,
        layout=LAYOUT,
        projection=spec.projection if isinstance(spec, TunedSpec) else "",
    )
    manifest = replace(manifest, spread=_spread(usable, rows, manifest))
    if words:
        rows = _tagged(usable, rows, manifest, words)
    points = _points(usable, rows, manifest)
    index.publish(spec.label, manifest, progress(points, _title(spec), len(usable)))


def _revision(
    base: Collection,
    usable: Sequence[Track],
    spec: Spec,
    store: EmbeddingStore,
    index: TrackIndex,
    state: str,
    marks: Mapping[str, bytes],
    progress: Progress,
) -> Revision | None:
    """Return how the tracks differ from a collection; None if it is to be built as a whole."""
    old = base.manifest
    built = old.layout, old.spec_hash, old.quantization, old.kept, old.fields
    now = LAYOUT, spec.hash, index.quantization, index.kept, fields.indexed(old.extra)
    if built != now or not fields.extra_kinds(usable).items() <= old.extra.items():
        return None
    before = store.published(_in_store(spec), old.state)
    if before is None:
        heard = store.outcomes(_in_store(spec), fields.of_embedding())
        changed, gone = _differences(base, usable, heard)
    else:
        changed = [track for track in usable if before.get(track.track_id) != marks[track.track_id]]
        gone = [track_id for track_id in before if track_id not in marks]
    changes = old.changes + len(changed) + len(gone)
    if changes > MANY_CHANGES * len(usable):
        return None
    manifest = replace(old, state=state, count=len(usable), changes=changes)
    rows = store.read(_in_store(spec), {track.content_hash for track in changed})
    points = progress(_points(changed, rows, manifest), _title(spec), len(changed))
    return Revision(manifest, points, gone)


def _in_store(spec: Spec) -> EmbedderSpec:
    """Return a spec as a store takes it; the store of a tuned space takes any."""
    return cast(EmbedderSpec, spec)


def _title(spec: Spec) -> str:
    return f"Publishing, {spec.label}"


def _differences(
    base: Collection, usable: Iterable[Track], heard: Mapping[str, Embedding]
) -> tuple[list[Track], list[str]]:
    """Return the tracks that a collection does not hold as they are, and the ids of those gone.

    Where it is not kept what a version is of, its payloads tell all: the hash of the content in
    them stands for the vector.
    """
    missing = {track.track_id: track for track in usable}
    gone = []
    for payload in base.payloads():
        track = missing.get(payload["track_id"])
        if track is None:
            gone.append(payload["track_id"])
        elif payload == fields.payload_of(track, heard[track.content_hash]):
            del missing[track.track_id]
    return list(missing.values()), gone


def is_published(manifest: Manifest, state: str, index: TrackIndex) -> bool:
    """Return whether publishing now would change nothing."""
    now = state, index.quantization, index.kept, fields.indexed(manifest.extra)
    return (manifest.state, manifest.quantization, manifest.kept, manifest.fields) == now


def publish_for(
    settings: Settings,
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    index: TrackIndex,
    progress: Progress = no_progress,
) -> Manifest:
    """Publish tracks with the tags that the settings ask for; see `build_collection`."""
    with kept_failure(settings.paths, spec):
        return build_collection(
            *(tracks, spec, store, index, Pace(settings.paths.pace), progress),
            tags=tags_for(spec, settings),
            cache=settings.cache,
        )


def collection_state(tracks: Iterable[Track], spec: Spec, tags: Sequence[str] = ()) -> str:
    """Return 16 hexadecimal digits that identify a collection's exact content."""
    return _identified(tracks, spec, tags)[0]


def _identified(
    tracks: Iterable[Track], spec: Spec, tags: Sequence[str] = ()
) -> tuple[str, dict[str, bytes]]:
    """Return a collection's state, and eight bytes per track that change with its part of it."""
    digest = hashlib.sha256(f"{LAYOUT} {spec.hash}".encode())
    # Without them it is named as before there were any.
    if tags:
        digest.update(json.dumps(list(tags)).encode())
    marks = {}
    for track in tracks:
        told = json.dumps([track.content_hash, fields.payload_of(track)]).encode()
        digest.update(told)
        marks[track.track_id] = hashlib.blake2b(told, digest_size=8).digest()
    return digest.hexdigest()[:16], marks


def _points(
    tracks: Iterable[Track], rows: Mapping[str, Embedding], manifest: Manifest
) -> Iterator[Point]:
    for track in tracks:
        row = rows[track.content_hash]
        assert row.vector is not None
        [vector] = normalize(row.vector[None], manifest, [track.track_id])
        yield Point(track.track_id, vector, fields.payload_of(track, row))


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


def standardizer(
    tracks: Sequence[Track], rows: Mapping[str, Embedding]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation per dimension; a constant one is left unscaled."""
    if len(tracks) < 2:
        return (), ()
    vectors = stack([rows[track.content_hash] for track in tracks]).astype(np.float64)
    scale = vectors.std(axis=0)
    scale[scale < 1e-9] = 1.0
    return tuple(vectors.mean(axis=0)), tuple(scale)
