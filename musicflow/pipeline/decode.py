"""Tracks to windows: one thread decodes the next tracks while the model works.

The queue between them is bounded. So memory does not grow with the length of a track or the size
of the library.
"""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from musicflow import audio, worker
from musicflow.embedders.coverage import Hearing
from musicflow.embedders.spec import EmbedderSpec
from musicflow.errors import words_of
from musicflow.library import SHORT, Track

_QUEUED_SAMPLES = 10_000_000
"""The most samples that wait for the model: 40 MB."""


@dataclass
class Decoded:
    """The outcome of decoding a track, passed on after its last window."""

    audio_s: float
    decode_s: float
    notes: tuple[audio.Note, ...] = ()
    error: str = ""
    code: str = ""
    unreadable: bool = False


@dataclass
class Feed:
    """A bounded queue of windows and ends of tracks, filled by a thread."""

    tracks: list[Track]
    spec: EmbedderSpec
    limits: audio.Limits
    stop: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        limit = max(2, _QUEUED_SAMPLES // self.spec.window_samples)
        self.queue: queue.Queue[tuple[int, np.ndarray | Decoded] | None] = queue.Queue(limit)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray | Decoded]]:
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
                for item in decode(track, self.spec, self.limits):
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


def decode(
    track: Track, spec: EmbedderSpec, limits: audio.Limits
) -> Iterator[np.ndarray | Decoded]:
    """Yield a track's windows, then the outcome of decoding it."""
    start = time.thread_time()
    hearing = Hearing(Path(track.path), spec, track.duration_s, limits)

    def decoded(**outcome: str | bool | tuple[audio.Note, ...]) -> Decoded:
        return Decoded(hearing.seconds, time.thread_time() - start, **outcome)  # type: ignore[arg-type]

    try:
        yield from hearing
    except audio.AudioError as error:
        yield decoded(error=str(error), code=error.code)
    except OSError as error:
        yield decoded(error=f"cannot be read: {error.strerror}", unreadable=True)
    except Exception as error:
        # A file may trigger any error of a decoder.
        reason = f"cannot be decoded: {type(error).__name__}: {words_of(error)}"
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
