"""From tracks to vectors to collections, doing only what is not done yet.

Decoding and inference overlap: one thread decodes and cuts the next tracks into windows while
the model works on dense batches of windows from several tracks. The queue between them is
bounded, so memory stays flat whatever the length of a track or the size of the library.
"""

import hashlib
import json
import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil

from musicflow import audio, embedders, worker
from musicflow.embedders.spec import Embedder, EmbedderSpec, cut
from musicflow.embedding_store import Embedding, EmbeddingStore, problems_of, stack
from musicflow.errors import words_of
from musicflow.index import Manifest, Point, TrackIndex, fields, normalize
from musicflow.library import SHORT, Problem, Progress, Track, quietly

TOP_TAGS = 5

_LAYOUT = 2
"""Raised when a collection holds more than before, so that those there are built anew."""

_QUEUED_SAMPLES = 10_000_000
"""Audio waiting for the model at most: 40 MB."""

_BLOCK = 1024

_SAVE_EVERY_S = 2.0
"""What a kill can cost at most, in seconds of work."""


# --- tracks to vectors -------------------------------------------------------------------------


@dataclass(frozen=True)
class Pass:
    """What one pass over the tracks did."""

    embedded: int
    current: int
    problems: tuple[Problem, ...]
    """Of all tracks, those embedded before too."""
    rows: dict[str, Embedding]
    """What the store holds of the tracks now, by content hash."""


def to_embed(tracks: Sequence[Track], spec: EmbedderSpec, store: EmbeddingStore) -> list[Track]:
    """The tracks without a current vector, one for each content."""
    if former := {t.content_hash: t.former_hash for t in tracks if t.former_hash}:
        store.adopt(spec, former)
    known = store.known(spec)
    work = {track.content_hash: track for track in tracks if track.content_hash not in known}
    return list(work.values())


def embed_tracks(
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    cache: Path,
    progress: Progress = quietly,
    *,
    own_process: bool = False,
    limits: audio.Limits = audio.Limits(),
    log: Path | None = None,
) -> Pass:
    """Bring the store up to date with the tracks.

    A model is loaded only if there is work. Rows are kept as they come, so that a kill costs
    seconds. A file that cannot be embedded becomes a row that says why, and is tried again only
    when its content changed; one that cannot be read just now is reported and tried next time.

    Parameters
    ----------
    tracks
        The library.
    spec
        The embedder.
    store
        Where vectors are kept.
    cache
        Where weights are kept.
    progress
        Shows how far it is.
    own_process
        Whether to embed in a worker, so that its memory, and the time to load the model, are
        this embedder's alone, and a file that crashes the decoder costs that file.
    limits
        What one file may take; only a worker is held to the time.
    log
        The file for the messages of a worker's decoders; None to drop them.

    Raises
    ------
    WeightsError
        If the embedder's weights cannot be had.
    WorkerError
        If the worker is killed, or crashes other than on a file.
    """
    work = to_embed(tracks, spec, store)
    unreadable: list[Problem] = []
    if work:
        outcomes = (
            _embed_guarded(work, spec, store, cache, limits, log)
            if own_process
            else _embed_and_keep(work, spec, store, cache, limits)
        )
        try:
            # Fetched before, so that a download does not count as loading.
            embedders.fetch(spec, cache)
            with closing(outcomes):
                shown = progress(outcomes, f"Embedding, {spec.label}", len(work))
                unreadable = [problem for problem in shown if problem is not None]
        except embedders.WeightsError as error:
            store.set_unavailable(spec, str(error))
            raise
        except worker.WorkerError as error:
            kept = "What was done is kept: run it again, and it goes on from there."
            raise worker.WorkerError(f"{error}. {kept}", code=error.code) from error
    rows = store.read(spec, {track.content_hash for track in tracks})
    problems = (*unreadable, *problems_of(tracks, spec, rows))
    return Pass(len(work) - len(unreadable), len(tracks) - len(work), problems, rows)


def _embed_guarded(
    tracks: list[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    cache: Path,
    limits: audio.Limits,
    log: Path | None,
) -> Generator[Problem | None, None, None]:
    """`_embed_and_keep` in a worker, or in another after each file that one could not decode.

    Such a file would end every run. It becomes a row that says so.
    """
    unreadable: set[str] = set()
    while tracks:
        outcomes = worker.iterate(
            f"the worker of {spec.label}",
            _embed_and_keep,
            tracks,
            spec,
            store,
            cache,
            limits,
            names=[track.track_id for track in tracks],
            timeout_s=limits.timeout_s,
            log=log,
        )
        try:
            with closing(outcomes):
                for problem in outcomes:
                    if problem is not None:
                        unreadable.add(problem.subject)
                    yield problem
            return
        except worker.WorkerError as error:
            track, fault = fault_of_file(error, tracks, spec, limits)
            reason = f"cannot be decoded: {fault.message}"
            store.add(spec, [Embedding(track.content_hash, None, error=reason, code=fault.code)])
            yield None
            left = to_embed(tracks, spec, store)
            tracks = [track for track in left if track.track_id not in unreadable]


def fault_of_file(
    error: worker.WorkerError,
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    limits: audio.Limits,
) -> tuple[Track, worker.WorkerError]:
    """Return the track whose file ended a worker that embedded tracks, and how.

    Raises
    ------
    WorkerError
        The same error, if it is not the fault of a file.
    """
    if error.number is None or error.code not in ("crashed", "timeout"):
        raise error
    track = tracks[error.number]
    if error.code == "timeout":
        late = f"the decoder took longer than {limits.timeout_s:g} s"
        return track, worker.WorkerError(late, code="timeout")
    # The model may have crashed while the track was decoded: only decoding it alone tells.
    try:
        alone = worker.iterate(
            "the decoder", _decode_only, track, spec, limits, timeout_s=limits.timeout_s
        )
        for _ in alone:
            pass
    except worker.WorkerError as fault:
        return track, fault
    raise error


def _decode_only(
    track: Track, spec: EmbedderSpec, limits: audio.Limits
) -> Generator[None, None, None]:
    worker.begin(0)
    for _ in _decode(track, spec, limits):
        yield


def _embed_and_keep(
    tracks: list[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    cache: Path,
    limits: audio.Limits,
) -> Generator[Problem | None, None, None]:
    """Embed tracks and keep what was made; yields for each what was in the way of reading it."""
    with _PeakMemory() as memory:
        start = time.perf_counter()
        embedder = embedders.load(spec, cache)
        store.set_unavailable(spec, "")
        batch: list[Embedding] = []
        since, cpu = time.perf_counter(), time.process_time()
        load_s = since - start

        def keep() -> None:
            nonlocal since, cpu
            now, cpu_now = time.perf_counter(), time.process_time()
            measured = {
                "wall_s": (now - since) / max(len(batch), 1),
                "cpu_s": (cpu_now - cpu) / max(len(batch), 1),
                "load_s": load_s,
                "peak_rss_mb": memory.peak_mb,
            }
            store.add(spec, [replace(row, **measured) for row in batch])  # type: ignore[arg-type]
            batch.clear()
            since, cpu = now, cpu_now

        try:
            for done in _embed(tracks, embedder, limits):
                if isinstance(done, Embedding):
                    batch.append(done)
                if time.perf_counter() - since > _SAVE_EVERY_S:
                    keep()
                yield done if isinstance(done, Problem) else None
        finally:
            keep()


@dataclass
class _Decoded:
    """What the decoding thread knows of a track once it has passed its last window on."""

    audio_s: float
    decode_s: float
    notes: tuple[audio.Note, ...] = ()
    error: str = ""
    code: str = ""
    unreadable: bool = False


@dataclass
class _Sum:
    """A track on its way through the model: sums, each window counting by its length."""

    vector: np.ndarray
    tags: np.ndarray
    weight: float = 0.0
    waiting: int = 0
    embed_s: float = 0.0
    decoded: _Decoded | None = None


@dataclass
class _Feed:
    """A bounded queue of windows and ends of tracks, filled by a thread."""

    tracks: list[Track]
    spec: EmbedderSpec
    limits: audio.Limits
    stop: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        limit = max(2, _QUEUED_SAMPLES // self.spec.window_samples)
        self.queue: queue.Queue[tuple[int, np.ndarray | _Decoded] | None] = queue.Queue(limit)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray | _Decoded]]:
        thread = threading.Thread(target=self._fill, name="decoding", daemon=True)
        thread.start()
        try:
            while (item := self.queue.get()) is not None:
                yield item
        finally:
            self.stop.set()
            while thread.is_alive():
                _drain(self.queue)
                thread.join(0.05)
        if self.failure is not None:
            raise self.failure

    def _fill(self) -> None:
        try:
            for number, track in enumerate(self.tracks):
                worker.begin(number)
                for item in _decode(track, self.spec, self.limits):
                    with worker.waiting():
                        self.queue.put((number, item))
                    if self.stop.is_set():
                        return
        except BaseException as error:
            self.failure = error
        finally:
            worker.end()
            self.queue.put(None)


def _drain(waiting: queue.Queue) -> None:
    while not waiting.empty():
        waiting.get_nowait()


def _decode(
    track: Track, spec: EmbedderSpec, limits: audio.Limits
) -> Iterator[np.ndarray | _Decoded]:
    """A track's windows, then what became of it."""
    samples = 0
    start = time.thread_time()
    decoding = audio.Decoding(Path(track.path), spec.sample_rate, limits)

    def blocks() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in decoding:
            samples += len(block)
            yield block

    def decoded(**outcome: str | bool | tuple[audio.Note, ...]) -> _Decoded:
        return _Decoded(samples / spec.sample_rate, time.thread_time() - start, **outcome)  # type: ignore[arg-type]

    try:
        yield from cut(blocks(), spec)
    except audio.AudioError as error:
        yield decoded(error=str(error), code=error.code)
    except OSError as error:
        yield decoded(error=f"cannot be read: {error.strerror}", unreadable=True)
    except Exception as error:
        # Files find mistakes in decoders that nobody foresaw.
        reason = f"cannot be decoded: {type(error).__name__}: {words_of(error)}"
        yield decoded(error=reason, code="unexpected")
    else:
        notes = list(decoding.notes)
        if samples < spec.short_samples:
            notes.append(audio.Note(SHORT, _short(samples, spec)))
        yield decoded(notes=tuple(notes))


def _short(samples: int, spec: EmbedderSpec) -> str:
    how = "padded with silence" if spec.tail == "pad" else "padded by repeating it"
    length, needed = samples / spec.sample_rate, spec.short_samples / spec.sample_rate
    return f"short: {length:.1f} s, {how} to the {needed:.1f} s of one window"


def _embed(
    tracks: list[Track], embedder: Embedder, limits: audio.Limits
) -> Iterator[Embedding | Problem]:
    """Embed tracks, each as soon as its last window has been through the model."""
    spec = embedder.spec
    sums: dict[int, _Sum] = {}
    waiting: list[tuple[int, np.ndarray]] = []

    def infer() -> None:
        start = time.perf_counter()
        vectors, tags = embedder.infer(np.stack([window for _, window in waiting]))
        share = (time.perf_counter() - start) / len(waiting)
        for row, (number, window) in enumerate(waiting):
            track = sums[number]
            track.vector += len(window) * vectors[row].astype(np.float64)
            if tags is not None:
                track.tags += len(window) * tags[row].astype(np.float64)
            track.weight += len(window)
            track.waiting -= 1
            track.embed_s += share
        waiting.clear()

    def finished() -> Iterator[Embedding | Problem]:
        ready = [number for number, s in sums.items() if s.decoded is not None and not s.waiting]
        for number in ready:
            yield _outcome(tracks[number], sums.pop(number), embedder)

    for number, item in _Feed(tracks, spec, limits):
        track = sums.setdefault(number, _Sum(np.zeros(spec.dim), np.zeros(len(embedder.tag_names))))
        if isinstance(item, _Decoded):
            track.decoded = item
        else:
            if waiting and len(item) != len(waiting[0][1]):
                infer()
            waiting.append((number, item))
            track.waiting += 1
            if len(waiting) == embedder.batch_size:
                infer()
        yield from finished()
    if waiting:
        infer()
    yield from finished()


def _outcome(track: Track, total: _Sum, embedder: Embedder) -> Embedding | Problem:
    decoded = total.decoded
    assert decoded is not None
    if decoded.unreadable:
        return Problem(
            track.track_id, embedder.spec.label, "error", decoded.error, code="unreadable"
        )
    row = {
        "content_hash": track.content_hash,
        "audio_s": decoded.audio_s,
        "decode_s": decoded.decode_s,
        "embed_s": total.embed_s,
        "device": embedder.device,
        "precision": embedder.spec.precision,
    }
    if decoded.error:
        row |= {"error": decoded.error, "code": decoded.code}
        return Embedding(vector=None, **row)  # type: ignore[arg-type]
    vector = (total.vector / total.weight).astype(np.float32)
    if not np.isfinite(vector).all() or not vector.any():
        row |= {"error": "the model gave no usable vector", "code": "no-vector"}
        return Embedding(vector=None, **row)  # type: ignore[arg-type]
    scores = total.tags / total.weight
    best = np.argsort(-scores, kind="stable")[:TOP_TAGS]
    return Embedding(
        vector=vector,
        tags=tuple(embedder.tag_names[i] for i in best),
        tag_scores=tuple(round(float(scores[i]), 4) for i in best),
        notes=tuple(note.text for note in decoded.notes),
        note_codes=tuple(note.code for note in decoded.notes),
        **row,  # type: ignore[arg-type]
    )


class _PeakMemory:
    """The most memory this process held while in the context, sampled."""

    def __enter__(self) -> "_PeakMemory":
        self._process = psutil.Process()
        self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, self._process.memory_info().rss / 1e6)
            if self._stop.wait(0.05):
                return


@dataclass(frozen=True)
class Health:
    """What can be told of vectors by looking at them alone."""

    vectors: int
    dim: int
    not_finite: int
    without_length: int
    dead_dims: int
    """Dimensions with one value for all vectors."""
    spread: float
    """The largest cosine distance of a vector to the mean direction."""

    @property
    def all_alike(self) -> bool:
        """Whether the vectors all point the same way, as those of a broken model do."""
        return self.vectors > 1 and self.spread < 1e-6


def health_of(vectors: np.ndarray) -> Health:
    """Look at vectors of different tracks, shape ``(N, dim)``."""
    finite = np.isfinite(vectors).all(axis=1)
    lengths = np.linalg.norm(vectors, axis=1)
    good = np.flatnonzero(finite & (lengths > 0))
    spread, dead = 0.0, 0
    if len(good) > 1:
        # A few at a time, so that many take no more memory.
        blocks = [good[start : start + _BLOCK] for start in range(0, len(good), _BLOCK)]
        mean = sum(
            normalize(vectors[block]).sum(axis=0, dtype=np.float64) for block in blocks
        ) / len(good)
        length = float(np.linalg.norm(mean))
        nearest = min(float((normalize(vectors[block]) @ mean).min()) for block in blocks)
        spread = 1 - nearest / length if length else 2.0
        low = np.min([vectors[block].min(axis=0) for block in blocks], axis=0)
        high = np.max([vectors[block].max(axis=0) for block in blocks], axis=0)
        dead = int((low == high).sum())
    return Health(
        len(vectors), vectors.shape[1], int((~finite).sum()), int((lengths[finite] == 0).sum()),
        dead, spread,
    )  # fmt: skip


# --- vectors to a collection -------------------------------------------------------------------


def build_collection(
    tracks: Sequence[Track], spec: EmbedderSpec, store: EmbeddingStore, index: TrackIndex
) -> Manifest:
    """Publish the tracks that have a vector, unless just these are published.

    Returns
    -------
    Manifest
        What is published now.
    """
    known = store.known(spec)
    usable = [track for track in tracks if known.get(track.content_hash) == ""]
    state = collection_state(usable, spec)
    published = index.manifest(spec.label)
    if published is not None and is_published(published, state, index):
        return published
    rows = store.read(spec, {track.content_hash for track in usable})
    center, scale = _standardizer(usable, rows, spec)
    manifest = Manifest(
        spec.label, spec.hash, spec.dim, state, len(usable), center=center, scale=scale
    )
    manifest = replace(manifest, spread=_spread(usable, rows, manifest))
    points = (_point(track, rows[track.content_hash], manifest) for track in usable)
    index.publish(spec.label, manifest, points)
    published = index.manifest(spec.label)
    assert published is not None
    return published


def is_published(manifest: Manifest, state: str, index: TrackIndex) -> bool:
    """Tell whether a published collection is what publishing now would come to."""
    now = state, index.quantization, fields.indexed()
    return (manifest.state, manifest.quantization, manifest.fields) == now


def collection_state(tracks: Iterable[Track], spec: EmbedderSpec) -> str:
    """A name for the exact content of a collection of these tracks: 16 hexadecimal digits."""
    digest = hashlib.sha256(f"{_LAYOUT} {spec.hash}".encode())
    for track in tracks:
        digest.update(json.dumps([track.content_hash, fields.payload_of(track)]).encode())
    return digest.hexdigest()[:16]


def _point(track: Track, row: Embedding, manifest: Manifest) -> Point:
    assert row.vector is not None
    [vector] = normalize(row.vector[None], manifest, [track.track_id])
    return Point(track.track_id, vector, fields.payload_of(track, row))


def _spread(tracks: Sequence[Track], rows: dict[str, Embedding], manifest: Manifest) -> float:
    """One less the mean cosine of all pairs, which is the squared length of the mean vector."""
    total = np.zeros(manifest.dim)
    for start in range(0, len(tracks), _BLOCK):
        some = [rows[track.content_hash] for track in tracks[start : start + _BLOCK]]
        total += normalize(stack(some), manifest).sum(axis=0, dtype=np.float64)
    return float(1 - np.square(total / max(len(tracks), 1)).sum())


def _standardizer(
    tracks: Sequence[Track], rows: dict[str, Embedding], spec: EmbedderSpec
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each dimension; a dimension that never changes is left as it is."""
    if not spec.standardize or len(tracks) < 2:
        return (), ()
    vectors = stack([rows[track.content_hash] for track in tracks]).astype(np.float64)
    scale = vectors.std(axis=0)
    scale[scale < 1e-9] = 1.0
    return tuple(vectors.mean(axis=0)), tuple(scale)
