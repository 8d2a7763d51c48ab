"""Cuts: tracks that hold a stretch of one recording, wherever it begins in each.

An excerpt, a ringtone, a radio edit and a mix are of that kind, and so is a whole recording in
another encoding. Landmarks that two sounds share at one distance in time make them candidates;
then the stretch is decoded from both, and its samples decide.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import soxr

from musicflow.audio import guarded
from musicflow.audio.landmarks import FRAME_S, RATE
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

_QUERIES = 8_000_000
_CORPUS = 2_000_000
"""Landmarks that are looked up at a time, and that they are looked up in."""

_COMMON = 256
"""A key that more than this many of the landmarks that are looked up have says nothing."""

_CELL = 16
"""Frames of one cell of distances: a quarter of a second."""

_LINE = 5
"""Frames by which landmarks of a stretch may lie beside its line."""

_TABLE_BITS = 22

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
    queries, corpus = frozenset(queries), frozenset(corpus)
    for some in store.shelves(queries, _QUERIES):
        lookup = _Lookup(some)
        for others in store.shelves(corpus, _CORPUS):
            for found in lookup.candidates(others):
                is_twice = found.a in corpus and found.b in queries
                if found.a < found.b or (found.a > found.b and not is_twice):
                    yield found


class _Lookup:
    """Finds the landmarks of some contents among those of others."""

    def __init__(self, queries: Shelf) -> None:
        self._queries = queries
        order = np.argsort(queries.keys, kind="stable")
        self._keys, starts, counts = np.unique(
            queries.keys[order], return_index=True, return_counts=True
        )
        told = counts <= _COMMON
        self._keys, self._starts, self._counts = self._keys[told], starts[told], counts[told]
        self._rows, self._frames = queries.rows[order], queries.frames[order].astype(np.int64)
        self._is_known = np.zeros(1 << 24, bool)
        self._is_known[self._keys >> 8] = True

    def candidates(self, corpus: Shelf) -> Iterator[Candidate]:
        """Yield the candidates of the contents of two shelves."""
        may = np.flatnonzero(self._is_known[corpus.keys >> 8])
        keys = corpus.keys[may]
        order = np.argsort(keys, kind="stable")
        may, keys = may[order], keys[order]
        place_ = np.searchsorted(self._keys, keys).clip(max=max(0, len(self._keys) - 1))
        hit = self._keys[place_] == keys if len(self._keys) else np.zeros(0, bool)
        may, place_ = may[hit], place_[hit]
        # In the order of the corpus, so that the pairs of one content come together.
        order = np.argsort(may, kind="stable")
        may, place_ = may[order], place_[order]
        rows, frames = corpus.rows[may], corpus.frames[may].astype(np.int64)
        for some in _portions(rows, self._counts[place_]):
            yield from self._found(corpus, rows[some], frames[some], place_[some])

    def _found(
        self,
        corpus: Shelf,
        rows: np.ndarray,
        frames: np.ndarray,
        places: np.ndarray,
    ) -> Iterator[Candidate]:
        counts = self._counts[places]
        which = np.repeat(np.arange(len(places)), counts)
        within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        own = self._starts[places[which]] + within
        pair = self._rows[own] * len(corpus.contents) + rows[which]
        mine, theirs = self._frames[own], frames[which]
        kept = _crowded(pair, theirs - mine)
        pair, mine, theirs = pair[kept], mine[kept], theirs[kept]
        order = np.argsort(pair, kind="stable")
        pair, mine, theirs = pair[order], mine[order], theirs[order]
        for some in np.split(np.arange(len(pair)), np.flatnonzero(np.diff(pair)) + 1):
            if not len(some):
                continue
            row, other = divmod(int(pair[some[0]]), len(corpus.contents))
            a, b = self._queries.contents[row], corpus.contents[other]
            if a != b and (line := _line(mine[some], theirs[some])):
                yield Candidate(a, b, *line)


def _portions(rows: np.ndarray, counts: np.ndarray) -> Iterator[slice]:
    """Yield slices of whole rows with about as many matches as are looked at together."""
    if not len(rows):
        return
    total = np.cumsum(counts)
    firsts = np.flatnonzero(np.diff(rows, prepend=-1))
    start = 0
    for first, end in zip(firsts, [*firsts[1:], len(rows)], strict=True):
        before = total[start - 1] if start else 0
        if total[end - 1] - before >= 1 << (_TABLE_BITS - 1) and first > start:
            yield slice(start, int(first))
            start = int(first)
    yield slice(start, len(rows))


def _crowded(pair: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return the matches in cells, of a pair and a distance, that hold enough of them."""
    # Cells are told apart by a hash first: most hold one match by chance, and need no sorting.
    found = np.zeros(len(pair), bool)
    for shift in (0, _CELL // 2):
        cell = (distance + shift) // _CELL
        code = (pair.astype(np.uint64) << np.uint64(24)) + (cell + (1 << 23)).astype(np.uint64)
        small = (code * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _TABLE_BITS)
        small = small.astype(np.int64)
        found |= np.bincount(small, minlength=1 << _TABLE_BITS)[small] >= ENOUGH
    return np.flatnonzero(found)


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
