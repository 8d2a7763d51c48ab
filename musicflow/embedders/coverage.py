"""Coverage: how much of a track is heard, and which of its windows an embedder gets.

Where only a part is heard, it is excerpts spread evenly over the track, each at the centre of an
equal share of it. A window much longer than an excerpt is joined from several: ten excerpts of
three seconds say more of a song than thirty seconds in one piece. What is heard follows from the
track's length alone.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from musicflow import audio, worker
from musicflow.audio import guarded
from musicflow.audio.loudness import levelled
from musicflow.embedders.spec import EmbedderSpec, windows_of
from musicflow.places import Place

EXCERPT_S = 3.0
"""Seconds of an excerpt, about: a whole number of them makes a window, or one holds windows."""


@dataclass(frozen=True)
class Heard:
    """What is heard of a track.

    Parameters
    ----------
    spans
        Its excerpts, in samples of the embedder's rate; none if the track is heard whole.
    joined
        The number of excerpts that make a window.
    """

    spans: tuple[audio.Span, ...] = ()
    joined: int = 1

    def windows(self, parts: Iterable[np.ndarray], spec: EmbedderSpec) -> Iterator[np.ndarray]:
        """Cut what is heard into windows.

        Parameters
        ----------
        parts
            Float32 mono at the spec's rate: an array per span, or the whole track in pieces of any
            length.
        spec
            The embedder.
        """
        if not self.spans:
            yield from windows_of(parts, spec)
            return
        # Silence belongs around a whole track.
        inner = replace(spec, pad_s=(0.0, 0.0), tail="keep" if spec.tail == "keep" else "drop")
        excerpts = iter(parts)
        while group := list(islice(excerpts, self.joined)):
            if any(map(len, group)):
                yield from windows_of([np.concatenate(group)], inner)


def heard_of(spec: EmbedderSpec, duration_s: float) -> Heard:
    """Return what an embedder hears of a track.

    Parameters
    ----------
    spec
        The embedder. Its coverage decides how much is heard; a track no longer is heard whole.
    duration_s
        The length of the track in seconds.
    """
    joined = max(1, round(spec.window_s / EXCERPT_S))
    length = -(-spec.window_samples // joined)
    if joined == 1:
        length = max(length, round(EXCERPT_S * spec.sample_rate))
    count = max(1, round(spec.coverage_s * spec.sample_rate / length))
    if spec.tail != "keep":
        count = -(-count // joined) * joined
    total = round(duration_s * spec.sample_rate)
    if not spec.coverage_s or duration_s <= spec.coverage_s or total <= count * length:
        return Heard()
    starts = (round((number + 0.5) * total / count - length / 2) for number in range(count))
    return Heard(tuple((start, length) for start in starts), joined)


class Hearing:
    """The windows of a file that an embedder gets.

    Parameters
    ----------
    path
        The file.
    spec
        The embedder.
    duration_s
        The file's length by `audio.examine`; it is looked up if it is 0 and needed.
    limits
        What the file may take.
    marks
        Those that `audio.examine` took of the file, if any.

    Yields
    ------
    numpy.ndarray
        A window; see `windows_of`.

    Raises
    ------
    AudioError
        If the file cannot be used.
    OSError
        If the system does not give it.
    """

    def __init__(
        self,
        path: Place,
        spec: EmbedderSpec,
        duration_s: float,
        limits: audio.Limits,
        marks: str = "",
    ) -> None:
        self.path, self.spec, self.limits = path, spec, limits
        self.samples = 0
        """Samples heard so far."""
        self._duration_s, self._marks = duration_s, marks
        self._decoding: audio.Decoding | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        spec = self.spec
        if spec.coverage_s and not self._duration_s:
            info = audio.examine(self.path)
            self._duration_s, self._marks = info.duration_s, info.marks
        heard = heard_of(spec, self._duration_s)
        parts = levelled(lambda: self._decoded(heard), spec.sample_rate, spec.loudness_lufs)
        yield from heard.windows(parts, spec)

    def _decoded(self, heard: Heard) -> Iterator[np.ndarray]:
        """Decode what is heard, from its start."""
        what = self.path, self.spec.sample_rate
        self.samples = 0
        self._decoding = (
            audio.Excerpts(*what, heard.spans, self.limits, self._marks)
            if heard.spans
            else audio.Decoding(*what, self.limits)
        )
        return self._counted(self._decoding)

    @property
    def seconds(self) -> float:
        """The length of the file in seconds, as far as it was read."""
        if isinstance(self._decoding, audio.Excerpts):
            return self._decoding.seconds
        return self.samples / self.spec.sample_rate

    @property
    def notes(self) -> tuple[audio.Note, ...]:
        """Return notes on the file, once all of it is read."""
        return self._decoding.notes if self._decoding is not None else ()

    def _counted(self, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for part in parts:
            self.samples += len(part)
            yield part


def windows_of_file(
    path: Place,
    spec: EmbedderSpec,
    limits: audio.Limits = audio.Limits(),
    *,
    log: Path | None = None,
    rations: worker.Rations | None = None,
) -> Generator[np.ndarray, None, None]:
    """Yield the windows of a file that an embedder gets, decoded in a worker.

    See `Hearing` for the windows, and `guarded.stream` for the parameters and the errors.
    """
    if not spec.coverage_s and spec.loudness_lufs is None:
        blocks = guarded.stream(path, spec.sample_rate, limits, log=log, rations=rations)
        with closing(blocks):
            yield from windows_of(blocks, spec)
        return
    yield from worker.iterate(
        "the decoder",
        _windows,
        path,
        spec,
        limits,
        names=[str(path)],
        timeout_s=limits.timeout_s,
        log=log,
        rations=rations,
    )


def windows_of_array(samples: np.ndarray, spec: EmbedderSpec) -> Iterator[np.ndarray]:
    """Yield the windows that an embedder gets of float32 mono at its rate, shape ``(n,)``."""
    heard = heard_of(spec, len(samples) / spec.sample_rate)
    parts = [samples[start : start + count] for start, count in heard.spans] or [samples]
    yield from heard.windows(levelled(lambda: parts, spec.sample_rate, spec.loudness_lufs), spec)


def _windows(
    path: Place, spec: EmbedderSpec, limits: audio.Limits
) -> Generator[np.ndarray, None, None]:
    worker.begin(0)
    for window in Hearing(path, spec, 0.0, limits):
        with worker.waiting():
            yield window
    worker.end()
