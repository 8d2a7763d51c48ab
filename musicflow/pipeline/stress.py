"""Tracks to the vectors of their deformations, each made once, in a worker."""

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from musicflow import audio, embedders, worker
from musicflow.audio.deformations import DEFORMATIONS, RATE
from musicflow.embedders.coverage import windows_of_array
from musicflow.embedders.spec import Embedder, EmbedderSpec
from musicflow.evaluation.stress import PLAIN, Deformed
from musicflow.library import UNKNOWN, Progress, Rules, Track, no_progress
from musicflow.pipeline.isolate import fault_of_file
from musicflow.places import place
from musicflow.settings import Settings
from musicflow.store import Embedding, EmbeddingStore

HEARD_S = 30.0
"""The middle of a track that is deformed, in seconds: each is embedded more than ten times."""

_AS_IT_IS = (PLAIN, lambda sound: sound)

_DEFORMED = {PLAIN: _AS_IT_IS, **DEFORMATIONS}


def tracks_to_deform(tracks: Sequence[Track], count: int) -> list[Track]:
    """Return so many tracks with a genre, drawn by their content, in the order of their ids.

    So they hardly change where the library grows.
    """
    known = {track.content_hash: track for track in tracks if track.genre != UNKNOWN}
    drawn = sorted(known)[:count]
    return sorted((known[content] for content in drawn), key=lambda track: track.track_id)


def deformed_vectors(
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    settings: Settings,
    progress: Progress = no_progress,
) -> Deformed:
    """Return the vectors of tracks as they are and deformed. Those that are known are not made.

    A track that cannot be read, or that the model gives no usable vector for, is left out.

    Raises
    ------
    EmbedderError
        If the embedder cannot be used.
    WorkerError
        If the worker is killed, or crashes other than on a file.
    """
    store = EmbeddingStore(settings.paths.stress)
    known = store.known(spec)
    work = [t for t in tracks if any(_key(t, name) not in known for name in _DEFORMED)]
    if work:
        embedders.fetch(spec, settings.cache)
        title = f"Deforming, {spec.label}"
        for rows in progress(_embedded(work, spec, settings), title, len(work)):
            store.add(spec, rows)
    rows = store.read(spec, [_key(track, name) for track in tracks for name in _DEFORMED])
    found = {
        track.track_id: vectors
        for track in tracks
        if len(vectors := _vectors(track, rows)) == len(_DEFORMED)
    }
    return Deformed(
        tuple(found),
        {name: np.stack([vectors[name] for vectors in found.values()]) for name in _DEFORMED}
        if found
        else {},
    )


def _key(track: Track, name: str) -> str:
    return f"{track.content_hash} {name}"


def _vectors(track: Track, rows: dict[str, Embedding]) -> dict[str, np.ndarray]:
    found = {name: rows.get(_key(track, name)) for name in _DEFORMED}
    return {name: row.vector for name, row in found.items() if row and row.vector is not None}


def _embedded(
    tracks: list[Track], spec: EmbedderSpec, settings: Settings
) -> Generator[list[Embedding], None, None]:
    """Yield the rows of each track; one whose file ends the worker is left out."""
    rules = Rules.of(settings)
    while tracks:
        left = list(tracks)
        outcomes = worker.iterate(
            f"the worker of {spec.label}",
            _embed,
            left,
            spec,
            settings.cache,
            rules.limits,
            names=[track.track_id for track in left],
            timeout_s=rules.limits.timeout_s,
            log=rules.log,
        )
        try:
            for track, rows in zip(left, outcomes, strict=True):
                tracks.remove(track)
                yield rows
            return
        except worker.WorkerError as error:
            track, fault = fault_of_file(error, left, spec, rules.limits)
            tracks.remove(track)
            yield [_failed(track, name, str(fault), fault.code) for name in _DEFORMED]


def _embed(
    tracks: Sequence[Track], spec: EmbedderSpec, cache: Path, limits: audio.Limits
) -> Generator[list[Embedding], None, None]:
    embedder = embedders.load(spec, cache)
    for number, track in enumerate(tracks):
        worker.begin(number)
        try:
            sound = middle_of(track, limits)
        except (audio.AudioError, OSError) as error:
            code = getattr(error, "code", "unreadable")
            yield [_failed(track, name, str(error), code) for name in _DEFORMED]
            continue
        heard = [deform(sound) for _, deform in _DEFORMED.values()]
        rows = [
            Embedding(_key(track, name), vector)
            if np.isfinite(vector).all() and vector.any()
            else _failed(track, name, "the model gave no usable vector", "no-vector")
            for name, vector in zip(_DEFORMED, _embed_together(embedder, heard), strict=True)
        ]
        with worker.waiting():
            yield rows


def _embed_together(embedder: Embedder, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the vector of each sound at `RATE`. A model likes batches, and these may be short."""
    spec = embedder.spec
    windows = [
        list(windows_of_array(audio.as_mono(sound, RATE, spec.sample_rate), spec))
        for sound in sounds
    ]
    vectors = embedder.embed_each(one for own in windows for one in own)
    found = np.split(vectors, np.cumsum([len(own) for own in windows])[:-1])
    return [
        np.average(of_sound, axis=0, weights=[len(one) for one in own]).astype(np.float32)
        for own, of_sound in zip(windows, found, strict=True)
    ]


def _failed(track: Track, name: str, reason: str, code: str) -> Embedding:
    return Embedding(_key(track, name), None, error=reason, code=code)


def middle_of(track: Track, limits: audio.Limits) -> np.ndarray:
    """Decode the middle of a track, or all of a short one: float32 mono at `RATE`."""
    path, count = place(track.path), round(HEARD_S * RATE)
    if track.duration_s <= HEARD_S:
        return np.concatenate(list(audio.Decoding(path, RATE, limits)))[:count]
    start = round(track.duration_s * RATE / 2 - count / 2)
    [sound] = audio.Excerpts(path, RATE, [(start, count)], limits, track.marks)
    return sound
