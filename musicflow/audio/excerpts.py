"""Excerpts: some spans of a file, without decoding the rest of it."""

import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from musicflow.audio import container as containers
from musicflow.audio.decoding import Decoding, Frames, Limits, last_of, resampler_of
from musicflow.audio.errors import Note
from musicflow.audio.marks import Marks
from musicflow.audio.passages import DRIFT_S, LEAD_S, Passages, UntimedError
from musicflow.places import Place

Span = tuple[int, int]
"""First sample and number of samples, at the rate of the output."""

THROUGH = "decoded-through"
"""The code of the note on a file that had to be decoded whole."""


class Excerpts(Decoding):
    """Some spans of a file.

    The samples are those of the whole file, decoded. The notes and errors are those of the whole
    file, too, as far as its packets and what is heard of it show them.

    Parameters
    ----------
    path
        The file.
    sample_rate
        The rate of the output in hertz.
    spans
        What to decode, ascending and apart.
    limits
        What the file may take.
    marks
        Those that `examine` took of the file, if any. Then no more is read than is heard.

    Yields
    ------
    numpy.ndarray
        One per span: float32 mono, shape ``(n,)``; fewer samples than asked for where the file
        ends.

    Raises
    ------
    AudioError
        If the file cannot be used.
    OSError
        If the system does not give the file.
    """

    def __init__(
        self,
        path: Place,
        sample_rate: int,
        spans: Sequence[Span],
        limits: Limits = Limits(),
        marks: str = "",
    ) -> None:
        super().__init__(path, sample_rate, limits)
        self._left = list(spans)
        self._marks = Marks(marks) if marks else None
        self._passages: Passages | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        # The pieces of a chain have times of their own.
        if len(self._pieces()) == 1:
            rate = self.sample_rate
            for marks in dict.fromkeys((self._marks, None)):
                spans_s = [(start / rate, (start + count) / rate) for start, count in self._left]
                self._marks, self._passages = marks, Passages(spans_s, rate)
                self._frames = Frames(self.path, self._passages, marks)
                with contextlib.suppress(UntimedError):
                    yield from self._cut()
                    return
            self._passages = None
            self._frames = Frames(self.path)
        yield from self._cut()

    def _pieces(self) -> "list[containers.Piece]":
        return [containers.whole(self.path)] if self._marks else super()._pieces()

    @property
    def notes(self) -> tuple[Note, ...]:
        """Return notes on the file, once all of it is read."""
        through = Note(
            THROUGH, "its packets do not say to a sample when they are heard, so all was decoded"
        )
        return super().notes if self._passages else (*super().notes, through)

    def _check(self, stated: float | None) -> None:
        if self._passages is not None:
            seconds = max(self.seconds, self._passages.seconds)
            # Packets leave open how much an encoder put before and behind the music.
            self.seconds = max(seconds, min(stated or 0.0, seconds + DRIFT_S))
        super()._check(stated)

    def _cut(self) -> Iterator[np.ndarray]:
        run = _Run(0, 0)
        for block in self._blocks():
            first = round(block.start_s * block.rate)
            if block.rate != run.rate or abs(first - run.end) > 1:
                yield from self._take(run, ended=True)
                run = _Run(first, block.rate)
            run.samples = np.concatenate([run.samples, self._mix(block)])
            yield from self._take(run)
            run.forget_before(self._left[0][0] / self.sample_rate if self._left else math.inf)
        yield from self._take(run, ended=True)
        while self._left:
            self._left.pop(0)
            yield np.zeros(0, np.float32)

    def _take(self, run: "_Run", *, ended: bool = False) -> Iterator[np.ndarray]:
        """Yield the excerpts that a run holds; also one that it breaks off in, if it has ended."""
        while self._left:
            start, count = self._left[0]
            end_s = (start if ended else start + count) / self.sample_rate
            if run.seconds <= end_s + (0.0 if ended else LEAD_S):
                return
            self._left.pop(0)
            yield run.excerpt(start, count, self.sample_rate)


class _Run:
    """Samples of a file without a gap, at its own rate."""

    def __init__(self, first: int, rate: int) -> None:
        self.first, self.rate = first, rate
        self.samples = np.zeros(0, np.float32)

    @property
    def end(self) -> int:
        return self.first + len(self.samples)

    @property
    def seconds(self) -> float:
        return self.end / self.rate if self.rate else 0.0

    def forget_before(self, seconds: float) -> None:
        # A second more, which holds a sample that both rates have.
        needed = (seconds - LEAD_S - 1) * self.rate
        count = len(self.samples) if needed >= self.end else max(0, int(needed) - self.first)
        self.first += count
        self.samples = self.samples[count:]

    def excerpt(self, start: int, count: int, rate: int) -> np.ndarray:
        """Return samples of the resampled file, shape ``(count,)`` or shorter."""
        resampler = resampler_of(self.rate, rate)
        if resampler is None:
            return self.samples[max(0, start - self.first) : max(0, start + count - self.first)]
        # Resampling begins at a sample that both rates have, as in the whole file.
        common = math.gcd(self.rate, rate)
        step_in, step_out = self.rate // common, rate // common
        step = max(-(-self.first // step_in), (start - int(LEAD_S * rate)) // step_out, 0)
        end = math.ceil((start + count) / rate * self.rate + LEAD_S * self.rate)
        source = self.samples[step * step_in - self.first : end - self.first]
        found = np.concatenate([resampler.resample_chunk(source), last_of(resampler)])
        return found[max(0, start - step * step_out) :][:count]
