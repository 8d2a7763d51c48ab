"""Windows to vectors, in full batches of several tracks' windows, stored every few seconds."""

import contextlib
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import psutil

from musicflow import audio, embedders
from musicflow.embedders import looks
from musicflow.embedders.adapters.vectors import Given
from musicflow.embedders.spec import Embedder, EmbedderSpec
from musicflow.extras import import_ahead
from musicflow.library import Problem, Track
from musicflow.pipeline.decode import Decoded, Feed
from musicflow.store import Embedding, EmbeddingStore

_T = TypeVar("_T")

TOP_TAGS = 5

_NOT_GIVEN = "the file of vectors names neither its id nor its path"

_SAVE_EVERY_S = 2.0
"""Seconds between writes to the store: the most work that a kill can lose."""

_PER_LANE = 4
"""Tracks that are worth one more process to decode them, which takes about 0.5 s to start."""

_FAMILY_S = 1.0
"""Seconds between two looks for the processes whose memory counts."""


def embed_and_keep(
    tracks: list[Track],
    spec: EmbedderSpec,
    store: EmbeddingStore,
    cache: Path,
    limits: audio.Limits,
) -> Generator[Problem | None, None, None]:
    """Embed and store tracks; yield per track its problem of reading, or None."""
    # So it does not count as loading, whether or not the process was forked with it.
    import_ahead(*embedders.imports_of(spec))
    with _PeakMemory() as memory:
        start = time.perf_counter()
        embedder = embedders.load(spec, cache)
        store.set_unavailable(spec, None)
        load_s = time.perf_counter() - start
        if looks.is_from_outside(spec) and store.faults(spec) is None:
            store.set_faults(spec, looks.look(embedder))
        if isinstance(embedder, Given):
            yield from _take(tracks, embedder, store)
            return
        feed = Feed(tracks, spec, limits, _lanes(embedder.device, len(tracks)))
        batch: list[Embedding] = []
        since = _Clock.now(feed)

        def keep() -> None:
            nonlocal since
            now = _Clock.now(feed)
            count = max(len(batch), 1)
            measured = {
                "wall_s": (now.wall_s - since.wall_s) / count,
                "cpu_s": (now.cpu_s - since.cpu_s) / count,
                "asked_s": now.asked_s(since) / count,
                "load_s": load_s,
                "peak_rss_mb": memory.peak_mb,
            }
            store.add(spec, [replace(row, **measured) for row in batch])  # type: ignore[arg-type]
            batch.clear()
            since = now

        try:
            for done in _embed(tracks, embedder, feed):
                if isinstance(done, Embedding):
                    batch.append(done)
                if time.perf_counter() - since.wall_s > _SAVE_EVERY_S:
                    keep()
                yield done if isinstance(done, Problem) else None
        finally:
            keep()


@dataclass(frozen=True)
class _Clock:
    """The time, the processor time of this process and its decoders, and the time it waited.

    A thread waits while it could run and no core is free.
    """

    wall_s: float
    cpu_s: float
    waited_s: float | None

    @classmethod
    def now(cls, feed: Feed) -> "_Clock":
        return cls(time.perf_counter(), time.process_time() + feed.apart_s, _waited_s())

    def asked_s(self, since: "_Clock") -> float:
        """Return the processor time that it would have had alone; 0 where that is not known."""
        if self.waited_s is None or since.waited_s is None:
            return 0.0
        # The count of a thread that ended is gone.
        waited_s = max(0.0, self.waited_s - since.waited_s)
        most = (os.cpu_count() or 1) * (self.wall_s - since.wall_s)
        return min(self.cpu_s - since.cpu_s + waited_s, most)


def _waited_s() -> float | None:
    """Return the seconds that threads of this process waited for a core; only Linux tells."""
    try:
        threads = list(Path("/proc/self/task").iterdir())
    except OSError:
        return None
    waited = 0
    for thread in threads:
        # A thread may end at any moment.
        with contextlib.suppress(OSError, IndexError):
            waited += int((thread / "schedstat").read_text("ascii").split()[1])
    return waited / 1e9


def _take(tracks: list[Track], given: Given, store: EmbeddingStore) -> Iterator[None]:
    """Store vectors that were made elsewhere; nothing is timed."""
    rows = []
    for track in tracks:
        vector = given.vector_of(track.track_id, track.path)
        error, code = ("", "") if vector is not None else (_NOT_GIVEN, "no-vector")
        rows.append(Embedding(track.content_hash, vector, error=error, code=code))
    store.add(given.spec, rows)
    yield from [None] * len(tracks)


@dataclass
class _Sum:
    """The sum of a track's vectors, each window weighted by its length."""

    vector: np.ndarray
    tags: np.ndarray
    weight: float = 0.0
    waiting: int = 0
    embed_s: float = 0.0
    decoded: Decoded | None = None


def _embed(tracks: list[Track], embedder: Embedder, feed: Feed) -> Iterator[Embedding | Problem]:
    """Embed tracks; yield each as soon as the model has seen its last window."""
    spec = embedder.spec
    sums: dict[int, _Sum] = {}
    waiting: list[tuple[int, np.ndarray]] = []
    running: deque[tuple[list[tuple[int, np.ndarray]], Future[_Timed]]] = deque()
    # A GPU works on one batch while the next is gathered; a processor would only share its cores.
    ahead = embedder.device != "cpu"

    def infer() -> None:
        batch = waiting.copy()
        waiting.clear()
        submit = model.submit if ahead else _at_once
        running.append((batch, submit(_timed, embedder, [window for _, window in batch])))
        if len(running) > ahead:
            add()

    def add() -> None:
        batch, future = running.popleft()
        (vectors, tags), seconds = future.result()
        for row, (number, window) in enumerate(batch):
            track = sums[number]
            track.vector += len(window) * vectors[row].astype(np.float64)
            if tags is not None:
                track.tags += len(window) * tags[row].astype(np.float64)
            track.weight += len(window)
            track.waiting -= 1
            track.embed_s += seconds / len(batch)

    def finished() -> Iterator[Embedding | Problem]:
        ready = [number for number, s in sums.items() if s.decoded is not None and not s.waiting]
        for number in ready:
            yield _outcome(tracks[number], sums.pop(number), embedder)

    with ThreadPoolExecutor(1, "model") as model:
        for number, item in feed:
            track = sums.setdefault(
                number, _Sum(np.zeros(spec.dim), np.zeros(len(embedder.tag_names)))
            )
            if isinstance(item, Decoded):
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
        while running:
            add()
        yield from finished()


_Timed: TypeAlias = tuple[embedders.Inferred, float]


def _timed(embedder: Embedder, windows: list[np.ndarray]) -> _Timed:
    """Return what the model makes of windows, and the seconds that it took."""
    start = time.perf_counter()
    return embedders.infer(embedder, np.stack(windows)), time.perf_counter() - start


def _at_once(function: Callable[..., _T], *arguments: Any) -> "Future[_T]":
    """Call a function here and now, where an executor would call it in a thread."""
    done: Future[_T] = Future()
    done.set_result(function(*arguments))
    return done


def _lanes(device: str, tracks: int) -> int:
    """Return how many lanes decode.

    A model on the processor needs all cores itself, and one lane decodes faster than it embeds
    on two; a GPU would wait for a single one.
    """
    cores = os.cpu_count() or 1
    return max(1, min(tracks // _PER_LANE, cores // 4 if device == "cpu" else cores))


def _outcome(track: Track, total: _Sum, embedder: Embedder) -> Embedding | Problem:
    decoded = total.decoded
    assert decoded is not None
    if decoded.unreadable:
        return Problem(track.track_id, embedder.spec.label, "error", decoded.error, decoded.code)
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
    """The peak of the memory of this process and its decoders, sampled in the background."""

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
        family, asked_at = [self._process], -math.inf
        while True:
            # The system looks through all its processes to list the children of one.
            if time.monotonic() - asked_at > _FAMILY_S:
                family, asked_at = [self._process, *self._process.children()], time.monotonic()
            self.peak_mb = max(self.peak_mb, sum(map(_memory_mb, family)))
            if self._stop.wait(0.05):
                return


def _memory_mb(process: psutil.Process) -> float:
    """Return the memory of a process, in megabytes; 0 if it ended."""
    try:
        return float(process.memory_info().rss / 1e6)
    except psutil.Error:
        return 0.0
