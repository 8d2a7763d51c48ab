"""Tracks to windows: the next tracks are decoded while the model works.

One lane is a thread of this process. Several lanes are processes, since threads decode no more
together than one alone: Python handles each packet, and a song has thousands. Each lane has a
bounded queue, and they take tracks in turn. So windows come in the order of the tracks however
many lanes there are, and memory grows neither with the length of a track nor with the size of the
library.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from musicflow import audio, worker
from musicflow.embedders.coverage import Hearing
from musicflow.embedders.spec import EmbedderSpec
from musicflow.errors import described
from musicflow.library import SHORT, Track
from musicflow.library.problems import fault_of_reading
from musicflow.places import PlaceError, place

_QUEUED_SAMPLES = 10_000_000
"""The most samples of a single lane that wait for the model: 40 MB."""

_QUEUED_S = 300.0
"""The most seconds of each of several lanes that wait: about a song. With less, a lane would stand
still until its turn comes, and its song would then be decoded while all others wait."""

_SENT_BYTES = 4_000_000
"""The size of a process's messages, about. For each, and each part of it, a thread waits until
Python lets it run: with a message per window that is most of what a GPU waits for."""


@dataclass
class Decoded:
    """The outcome of decoding a track, passed on after its last window."""

    audio_s: float
    decode_s: float
    notes: tuple[audio.Note, ...] = ()
    error: str = ""
    code: str = ""
    unreadable: bool = False


_Item: TypeAlias = np.ndarray | Decoded | BaseException
"""A window, or several of one length as rows; the end of a track; the end of all."""


class Feed:
    """The windows and the ends of tracks, in their order, decoded in lanes.

    Parameters
    ----------
    tracks
        The tracks.
    spec
        The embedder that takes the windows.
    limits
        The most that one file may take. Its time is held to in processes alone: a thread is
        watched by the parent of its worker.
    lanes
        The number of lanes.
    """

    def __init__(
        self, tracks: Sequence[Track], spec: EmbedderSpec, limits: audio.Limits, lanes: int = 1
    ) -> None:
        self._tracks, self._spec, self._limits = tracks, spec, limits
        limit = (
            _QUEUED_SAMPLES // spec.window_samples
            if lanes == 1
            else math.ceil(_QUEUED_S / spec.hop_s / _per_message(spec))
        )
        self._queues: list[queue.Queue[_Item]] = [queue.Queue(max(2, limit)) for _ in range(lanes)]
        self._over = threading.Event()
        self.apart_s = 0.0
        """Processor time that other processes took so far, in seconds."""

    def __iter__(self) -> Iterator[tuple[int, np.ndarray | Decoded]]:
        threads = [
            threading.Thread(target=self._fill, args=[lane], name="decoding", daemon=True)
            for lane in range(len(self._queues))
        ]
        for thread in threads:
            thread.start()
        try:
            for number in range(len(self._tracks)):
                yield from ((number, item) for item in self._decoded(number))
        finally:
            self._over.set()
            for thread, waiting in zip(threads, self._queues, strict=True):
                while thread.is_alive():
                    _drain(waiting)
                    thread.join(0.05)

    def _decoded(self, number: int) -> Iterator[np.ndarray | Decoded]:
        waiting = self._queues[number % len(self._queues)]
        while True:
            item = waiting.get()
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, Decoded):
                if len(self._queues) > 1:
                    self.apart_s += item.decode_s
                yield item
                return
            yield from item if item.ndim == 2 else [item]

    def _fill(self, lane: int) -> None:
        waiting, step = self._queues[lane], len(self._queues)
        decode_them = _decode_each if step == 1 else _decode_apart
        try:
            with closing(decode_them(self._tracks[lane::step], self._spec, self._limits)) as items:
                for item in items:
                    waiting.put(item)
                    if self._over.is_set():
                        return
        except BaseException as error:
            waiting.put(error)


def _decode_apart(
    tracks: Sequence[Track], spec: EmbedderSpec, limits: audio.Limits
) -> Generator[np.ndarray | Decoded, None, None]:
    """Decode tracks in a process; start another after a file that ends it."""
    done = 0
    while done < len(tracks):
        left = tracks[done:]
        items = worker.iterate(
            "the decoder",
            _decode_together,
            _decode_each,
            left,
            spec,
            limits,
            names=[track.track_id for track in left],
            timeout_s=limits.timeout_s,
            log=worker.log(),
        )
        try:
            for item in items:
                done += isinstance(item, Decoded)
                yield item
        except worker.WorkerError as error:
            # Killed, or ended before the first file: no file's fault.
            if error.code == "killed" or error.number is None:
                raise
            yield Decoded(0.0, 0.0, error=f"cannot be decoded: {error.message}", code=error.code)
            done += 1


def _decode_each(
    tracks: Sequence[Track], spec: EmbedderSpec, limits: audio.Limits
) -> Generator[np.ndarray | Decoded, None, None]:
    try:
        for number, track in enumerate(tracks):
            worker.begin(number)
            for item in decode(track, spec, limits):
                with worker.waiting():
                    yield item
    finally:
        worker.end()


def _decode_together(
    decode_them: Callable[..., Generator[np.ndarray | Decoded, None, None]],
    tracks: Sequence[Track],
    spec: EmbedderSpec,
    limits: audio.Limits,
) -> Generator[np.ndarray | Decoded, None, None]:
    """Yield windows that follow each other as rows of one array, as far as they are of a length."""
    group: list[np.ndarray] = []
    most = _per_message(spec)
    with closing(decode_them(tracks, spec, limits)) as items:
        for item in items:
            window = None if isinstance(item, Decoded) else item
            if group and (window is None or len(group) == most or len(window) != len(group[0])):
                yield np.stack(group)
                group.clear()
            if window is None:
                yield item
            else:
                group.append(window)


def _per_message(spec: EmbedderSpec) -> int:
    """Return how many windows a process sends at a time."""
    return max(1, _SENT_BYTES // (4 * spec.window_samples))


def _drain(waiting: queue.Queue) -> None:
    while not waiting.empty():
        waiting.get_nowait()


def decode(
    track: Track, spec: EmbedderSpec, limits: audio.Limits
) -> Iterator[np.ndarray | Decoded]:
    """Yield a track's windows, then the outcome of decoding it."""
    start = time.thread_time()
    hearing = Hearing(place(track.path), spec, track.duration_s, limits, track.marks)

    def decoded(**outcome: str | bool | tuple[audio.Note, ...]) -> Decoded:
        return Decoded(hearing.seconds, time.thread_time() - start, **outcome)  # type: ignore[arg-type]

    try:
        yield from hearing
    except audio.AudioError as error:
        yield decoded(error=str(error), code=error.code)
    except OSError as error:
        reason, code = fault_of_reading(error)
        yield decoded(error=reason, code=code, unreadable=True)
    except PlaceError:
        raise
    except Exception as error:
        # A file may trigger any error of a decoder.
        reason = f"cannot be decoded: {described(error)}"
        yield decoded(error=reason, code="unexpected")
    else:
        notes = list(hearing.notes)
        if hearing.samples < spec.short_samples:
            notes.append(audio.Note(SHORT, _short(hearing.samples, spec)))
        yield decoded(notes=tuple(notes))


def _short(samples: int, spec: EmbedderSpec) -> str:
    how = "padded with silence" if spec.tail == "pad" else "padded by repeating it"
    length, needed = samples / spec.sample_rate, spec.short_samples / spec.sample_rate
    return f"short: {length:.1f} s, {how} to the {needed:.1f} s of one window"
