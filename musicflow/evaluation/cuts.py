"""Cuts: tracks that hold a stretch of one recording, wherever it begins in each.

An excerpt, a ringtone, a radio edit and a mix are of that kind, and so is a whole recording in
another encoding. Landmarks that two sounds share at one distance in time make them candidates;
then the stretch is decoded from both, and its samples decide.
"""

import itertools
import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
import soxr

from musicflow.audio import guarded
from musicflow.audio.landmarks import FRAME_S, RATE, Landmarks
from musicflow.library import Track
from musicflow.library.landmarks import LandmarkStore, Shelf
from musicflow.library.recordings import Cut
from musicflow.places import place

ENOUGH = 4
"""Landmarks at one distance that make a pair a candidate. Its sound decides."""

CORRELATION = 0.5
"""The mean correlation of its parts above which a stretch of two tracks is one recording."""

LEAST_S = 10.0
"""So many seconds in common, or half of the shorter track, make a cut."""

FASTEST = 0.03
"""The most that one track may be faster than the other, as a share."""

LISTENED_S = 30.0
"""Seconds of a stretch that are compared by sound, from its middle."""

_QUERIES = 16_000_000
_CORPUS = 2_000_000
"""Landmarks that are looked up at a time, and that they are looked up in."""

_THREADS = 4
"""Each holds landmarks to look up, and lets the others go on for most of the time."""

_COMMON = 256
"""A key that more than this many of the landmarks that are looked up have says nothing."""

_CELL = 16
"""Frames of one cell of distances: a quarter of a second."""

_LINE = 5
"""Frames by which landmarks of a stretch may lie beside its line."""

_WHILE = 512
"""Frames of one cell of time: eight seconds."""

_SOME = 8
"""One in so many landmarks is looked at where both sounds are long; see `Shelf.are_long`."""

_TABLE_BITS = 22

_TOGETHER = 1 << 20
"""Matches that are looked at together."""

_PART = RATE // 2
_SLACK = RATE // 10
"""Samples of a part, and by which it may be displaced."""

_SILENT = 1e-2
"""A part with less than this share of the mean power is nearly silent."""

_FEWEST = 3
"""A stretch of fewer parts proves nothing."""

_DRIFTS = np.linspace(-1.5, 1.5, 25)
"""Samples by which parts drift apart, per part, if the speed is a little wrong."""

_EDGE_S = 3.0
"""What two tracks have in common reaches to its ends if landmarks come as near as this."""

_TELLING = 0.003
"""A difference of speed below this is that of the frames."""

_TELLING_S = 4.0
"""Seconds that the landmarks of a stretch must span to tell a speed."""

_NEAR_SPEEDS = [number / 1000 for number in range(-15, 16) if number]
"""Other speeds to try, as shares, where landmarks do not tell it well."""

_PAIRS = 64
"""Pairs whose sound is held at a time."""


@dataclass(frozen=True)
class Candidate:
    """A pair of contents that share landmarks along a line.

    Parameters
    ----------
    a, b
        Content hashes.
    a_s, b_s
        Where the first and the last of these landmarks lie in each, in seconds.
    count
        The number of shared landmarks.
    """

    a: str
    b: str
    a_s: tuple[float, float]
    b_s: tuple[float, float]
    count: int


def candidates(
    store: LandmarkStore, queries: Collection[str], corpus: Collection[str]
) -> Iterator[Candidate]:
    """Find the pairs of a query and another content of the corpus that share landmarks.

    Parameters
    ----------
    store
        Their landmarks.
    queries, corpus
        Content hashes.
    """
    look = _Look(store, frozenset(queries), frozenset(corpus))
    threads = min(os.cpu_count() or 1, _THREADS)
    waiting: deque[Future[list[Candidate]]] = deque()
    with ThreadPoolExecutor(threads, "cuts") as pool:
        for some in store.shelves(look.queries, _QUERIES):
            waiting.append(pool.submit(look.among, some))
            if len(waiting) == threads:
                yield from waiting.popleft().result()
        for found in waiting:
            yield from found.result()


@dataclass(frozen=True)
class _Look:
    """Looks the landmarks of queries up among those of a corpus."""

    store: LandmarkStore
    queries: frozenset[str]
    corpus: frozenset[str]

    @cached_property
    def _number(self) -> dict[str, int]:
        return {content: place for place, content in enumerate(self.store.order())}

    def among(self, some: Shelf) -> list[Candidate]:
        """Return the pairs of a shelf of queries."""
        lookups, found = _Lookups(some), []
        rows = np.array([self._number[content] for content in some.contents])[:, None]
        is_twice = np.array([content in self.corpus for content in some.contents])[:, None]
        for others in self.store.shelves(self.corpus, _CORPUS):
            columns = np.array([self._number[content] for content in others.contents])
            is_query = np.array([content in self.queries for content in others.contents])
            # Two queries are a pair once.
            wanted = (rows < columns) | ((rows > columns) & ~(is_twice & is_query))
            for row, column in lookups.pairs(others, wanted) if wanted.any() else ():
                if line := _line(*_matches(some.sound(row), others.sound(column))):
                    found.append(Candidate(some.contents[row], others.contents[column], *line))
        return found


class _Lookups:
    """Finds the landmarks of a shelf among those of others.

    Long sounds have more in common than need be looked at, so some of theirs stand for all. What a
    short one has in common with another takes all of both.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._made: dict[int, _Lookup] = {}

    def pairs(self, others: Shelf, wanted: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield the pairs of contents that share landmarks at one distance.

        Parameters
        ----------
        others
            Where they are looked up.
        wanted
            Which pairs are looked at: bool, shape (contents, others).
        """
        short, long, some = _kinds(others)
        for kind, where in enumerate((short | long, short, some)):
            if where.any():
                yield from self._lookup(kind).pairs(*others.landmarks(where), wanted)

    def _lookup(self, kind: int) -> "_Lookup":
        # Made when first asked for: many libraries hold no short sound.
        if kind not in self._made:
            self._made[kind] = _Lookup(*self._shelf.landmarks(_kinds(self._shelf)[kind]))
        return self._made[kind]


def _kinds(shelf: Shelf) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which landmarks are those of short sounds, of long ones, and some of the latter."""
    long = shelf.are_long[shelf.rows]
    return ~long, long, long & (shelf.keys % _SOME == 0)


class _Lookup:
    """Finds landmarks among those of others.

    Parameters
    ----------
    rows, keys, frames
        The landmarks: the number of the content that each is of, its key, and its time.
    """

    def __init__(self, rows: np.ndarray, keys: np.ndarray, frames: np.ndarray) -> None:
        order = np.argsort(keys, kind="stable")
        self._rows, self._frames = rows[order], frames[order]
        known, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
        told = counts <= _COMMON
        self._keys, self._starts, self._counts = known[told], starts[told], counts[told]
        self._may_be = np.zeros(1 << _TABLE_BITS, bool)
        self._may_be[self._keys >> (32 - _TABLE_BITS)] = True

    def pairs(
        self, rows: np.ndarray, keys: np.ndarray, frames: np.ndarray, wanted: np.ndarray
    ) -> Iterator[tuple[int, int]]:
        """Yield the pairs of contents that share landmarks at one distance.

        Parameters
        ----------
        rows, keys, frames
            The landmarks of the others, in the order of their contents.
        wanted
            Which pairs are looked at: bool, shape (contents, others).
        """
        may = np.flatnonzero(self._may_be[keys >> (32 - _TABLE_BITS)])
        # Sorted, as then they are looked up one behind the other.
        may = may[np.argsort(keys[may], kind="stable")]
        at = np.searchsorted(self._keys, keys[may])
        at[at == len(self._keys)] = 0
        hit = np.flatnonzero(self._keys[at] == keys[may]) if len(may) else may
        hit = hit[np.argsort(may[hit], kind="stable")]
        may, at = may[hit], at[hit]
        for some in _portions(rows[may], self._counts[at]):
            found = self._crowded(rows[may[some]], frames[may[some]], at[some], wanted)
            yield from (divmod(pair, wanted.shape[1]) for pair in found.tolist())

    def _crowded(
        self, rows: np.ndarray, frames: np.ndarray, at: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        counts = self._counts[at]
        which = np.repeat(np.arange(len(at)), counts)
        first = self._starts[at] - np.cumsum(counts) + counts
        own = np.repeat(first, counts) + np.arange(len(which))
        kept = np.flatnonzero(wanted[self._rows[own], rows[which]])
        own, which = own[kept], which[kept]
        pair = self._rows[own].astype(np.int64) * wanted.shape[1] + rows[which]
        mine, theirs = self._frames[own].astype(np.int64), frames[which].astype(np.int64)
        return np.unique(pair[_crowded(pair, mine, theirs)])


def _portions(rows: np.ndarray, counts: np.ndarray) -> Iterator[slice]:
    """Yield slices of whole rows with about as many matches as are looked at together."""
    ends = np.flatnonzero(np.diff(rows, append=-1)) + 1
    total = np.cumsum(counts)[ends - 1]
    start = done = 0
    for end, matches in zip(ends.tolist(), total.tolist(), strict=True):
        if matches - done >= _TOGETHER or end == len(rows):
            yield slice(start, end)
            start, done = end, matches


def _crowded(pair: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the matches that enough others of their pair lie near, in time and distance."""
    found = np.zeros(len(pair), bool)
    for shift, late in itertools.product((0, _CELL // 2), (0, _WHILE // 2)):
        cell = (theirs - mine + shift) // _CELL
        code = pair * 0x1E3779B97F4A7C15 + cell * 0x2545F4914F6CDD1D
        code = (code + (mine + late) // _WHILE * 0x27D4EB2F165667C5).view(np.uint64)
        # By a hash first: most cells hold one match by chance, and need no sorting.
        small = (code >> np.uint64(64 - _TABLE_BITS)).view(np.int64)
        some = np.flatnonzero(np.bincount(small, minlength=1 << _TABLE_BITS)[small] >= ENOUGH)
        _, cells, counts = np.unique(code[some], return_inverse=True, return_counts=True)
        found[some[counts[cells] >= ENOUGH]] = True
    return np.flatnonzero(found)


def _matches(one: Landmarks, other: Landmarks) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames in each of the landmarks that two sounds share."""
    order = np.argsort(other.keys, kind="stable")
    keys, frames = other.keys[order], other.frames[order].astype(np.int64)
    first, last = (np.searchsorted(keys, one.keys, side) for side in ("left", "right"))
    counts = last - first
    within = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    return np.repeat(one.frames.astype(np.int64), counts), frames[within]


Line = tuple[tuple[float, float], tuple[float, float], int]


def _line(a: np.ndarray, b: np.ndarray) -> Line | None:
    """Return where the most matches of a pair lie on one line; None if too few do.

    Parameters
    ----------
    a, b
        The frames of the matches in each.
    """
    if len(a) < ENOUGH:
        return None
    cells = [(b - a + shift) // _CELL for shift in (0, _CELL // 2)]
    best = max((_fullest(cell) for cell in cells), key=len)
    slope = _slope(a[best], b[best])
    middle = np.median(b[best] - slope * a[best])
    on = np.flatnonzero(np.abs(b - slope * a - middle) <= _LINE)
    if len(on) < ENOUGH or len(np.unique(a[on])) < ENOUGH:
        return None
    first, last = a[on].min(), a[on].max()
    ends = [(slope * frame + middle) * FRAME_S for frame in (first, last)]
    return (first * FRAME_S, last * FRAME_S), (ends[0], ends[1]), len(on)


def _fullest(cells: np.ndarray) -> np.ndarray:
    """Return the places of the number that is there most often."""
    numbers, counts = np.unique(cells, return_counts=True)
    return np.flatnonzero(cells == numbers[counts.argmax()])


def _slope(a: np.ndarray, b: np.ndarray) -> float:
    """Return the median slope of matches; 1 where they are too near to tell another."""
    drawn = np.linspace(0, len(a) - 1, min(len(a), 200)).astype(int)
    one, other = np.sort(a[drawn]), b[drawn][np.argsort(a[drawn], kind="stable")]
    half = len(drawn) // 2
    far = one[-half:] - one[:half]
    # A frame on each side is the least error of a slope.
    if half == 0 or np.median(far) * FRAME_S < _TELLING_S:
        return 1.0
    apart = far > 0
    slope = float(np.median((other[-half:] - other[:half])[apart] / far[apart]))
    return slope if _TELLING < abs(slope - 1) <= FASTEST else 1.0


def hear(
    found: Sequence[Candidate], tracks: Mapping[str, Track]
) -> Iterator[tuple[Candidate, Cut | None]]:
    """Compare the sound of candidates; yield each with its cut, or None if it is none.

    A pair with a file that cannot be read is left out.

    Parameters
    ----------
    found
        The candidates.
    tracks
        A track of each content hash.
    """
    for start in range(0, len(found), _PAIRS):
        some = found[start : start + _PAIRS]
        stretches = [_stretch(one, tracks[one.a], tracks[one.b]) for one in some]
        spans = [span for stretch in stretches for span in _spans(stretch)]
        paths = [place(tracks[content].path) for one in some for content in (one.a, one.b)]
        heard = guarded.excerpts(paths, spans, RATE)
        sounds = zip(heard[::2], heard[1::2], strict=True)
        for one, stretch, (a, b) in zip(some, stretches, sounds, strict=True):
            if not isinstance(a, Exception) and not isinstance(b, Exception):
                is_cut = _is_enough(stretch, one, tracks) and sounds_alike(a, b, stretch.speed)
                yield one, stretch if is_cut else None


def _stretch(one: Candidate, a: Track, b: Track) -> Cut:
    """Return what two tracks have in common if the candidate is right."""
    (first, last), (other, other_last) = one.a_s, one.b_s
    speed = (other_last - other) / (last - first)
    begin = max(0.0, first - other / speed)
    end = min(a.duration_s, first + (b.duration_s - other) / speed)
    # Landmarks do not reach to the ends of what is in common.
    begin = begin if first - begin <= _EDGE_S else first
    end = end if end - last <= _EDGE_S else last
    begin, end = float(begin), float(end)
    return Cut(begin, float(other + (begin - first) * speed), end - begin, float(speed))


def _is_enough(stretch: Cut, one: Candidate, tracks: Mapping[str, Track]) -> bool:
    shorter = min(tracks[content].duration_s for content in (one.a, one.b))
    return stretch.seconds >= min(LEAST_S, shorter / 2)


def _spans(stretch: Cut) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the samples of each that are compared; those of the first with some to spare."""
    seconds = min(stretch.seconds, LISTENED_S)
    skipped = (stretch.seconds - seconds) / 2
    begin, other = stretch.a_s + skipped, stretch.b_s + skipped * stretch.speed
    count = round(seconds * RATE)
    return (
        (round(begin * RATE) - _SLACK, count + 2 * _SLACK),
        (max(0, round(other * RATE)), round(count * stretch.speed)),
    )


def sounds_alike(a: np.ndarray, b: np.ndarray, speed: float) -> bool:
    """Return whether two stretches are one recording, whatever their gain.

    Parameters
    ----------
    a, b
        Float32 at `RATE`; the first begins, and ends, `_SLACK` samples beyond the second.
    speed
        Seconds of the second per second of the first, about.
    """
    if agreement(a, b, speed) > CORRELATION:
        return True
    return any(agreement(a, b, speed * (1 + off)) > CORRELATION for off in _NEAR_SPEEDS)


def agreement(a: np.ndarray, b: np.ndarray, speed: float) -> float:
    """Return the mean correlation of the parts of a stretch, in [0, 1]; see `sounds_alike`.

    All parts lie where a single offset and speed puts them: a note that two recordings have in
    common lies anywhere.
    """
    if speed != 1:
        b = np.asarray(soxr.resample(b, RATE * speed, RATE))
    count = min(len(b), len(a) - 2 * _SLACK) // _PART
    if count < _FEWEST:
        return 0.0
    parts = b[: count * _PART].reshape(count, _PART)
    around = np.lib.stride_tricks.sliding_window_view(a, _PART + 2 * _SLACK)[::_PART][:count]
    parts, around = (each - each.mean(axis=1, keepdims=True) for each in (parts, around))
    products = scipy.signal.fftconvolve(around, parts[:, ::-1], mode="valid", axes=1)
    squares = np.pad(np.cumsum(around.astype(np.float64) ** 2, axis=1), [(0, 0), (1, 0)])
    powers = squares[:, _PART:] - squares[:, :-_PART]
    own = (parts.astype(np.float64) ** 2).sum(axis=1)
    loud = own > _SILENT * own.mean()
    if loud.sum() < _FEWEST:
        return 0.0
    correlations = products / np.sqrt(np.maximum(powers * own[:, None], 1e-12))
    times, lags = np.flatnonzero(loud) - count / 2, np.arange(correlations.shape[1])
    return max(_along(correlations[loud], lags, drift * times) for drift in _DRIFTS)


def _along(correlations: np.ndarray, lags: np.ndarray, moved: np.ndarray) -> float:
    """Return the greatest mean of correlations where each part is moved by so many lags."""
    at = lags + np.round(moved).astype(int)[:, None]
    found = np.take_along_axis(correlations, at.clip(0, len(lags) - 1), axis=1)
    return float(np.abs(found.mean(axis=0)).max())
