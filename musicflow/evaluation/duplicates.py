"""Duplicates: tracks of one recording, by content, or by vectors and sound.

Vectors alone do not decide: two pieces of one style may lie as close as two encodings of one
piece. So the beginnings of tracks that lie close and last equally long are correlated, whatever
their gain and the delay an encoder put before them. Tracks of other lengths, or that begin
elsewhere in a recording, are its cuts: see `musicflow.evaluation.cuts`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import scipy

from musicflow.audio import guarded
from musicflow.evaluation.protocol import Keys
from musicflow.evaluation.space import Neighbours
from musicflow.library import Track
from musicflow.library.recordings import SAME_LENGTH_S, Cut, Verdicts
from musicflow.places import place

NEAR = 0.06
"""Cosine distance below which two tracks are compared by sound, as a share of the mean cosine
distance of the space: embedders differ widely in that."""

LISTENED_S = 30.0
RATE = 4000
CORRELATION = 0.5
"""Correlation above which two beginnings are one recording. Re-encoded ones come to more than
0.9, different recordings to less than 0.3."""

MAX_PAIRS = 500
"""Pairs that are compared by sound at most, nearest first."""

Pair = tuple[int, int]


def recordings(
    tracks: Sequence[Track],
    spaces: Iterable[Neighbours],
    same: Callable[[Track, Track], bool] | None = None,
    verdicts: Verdicts | None = None,
) -> np.ndarray:
    """Find the tracks of one recording.

    Parameters
    ----------
    tracks
        In the order of their ids.
    spaces
        Their neighbours in each space.
    same
        Compares the sound of two tracks; their beginnings are correlated if not given.
    verdicts
        Of comparisons before; those of this one are added.

    Returns
    -------
    numpy.ndarray
        The row number of the first track with the same recording, shape ``(N,)``.
    """
    first: dict[str, int] = {}
    pairs = [(first.setdefault(track.content_hash, row), row) for row, track in enumerate(tracks)]
    near = [
        (a, b)
        for a, b in _candidates(tracks, spaces)
        if tracks[a].content_hash != tracks[b].content_hash
    ]
    if same is None:
        known = Verdicts() if verdicts is None else verdicts
        _listen([(tracks[a], tracks[b]) for a, b in near], known)
        same = known.same
    pairs += [(a, b) for a, b in near if same(tracks[a], tracks[b])]
    if verdicts is not None:
        pairs += [
            (first[a], first[b])
            for (a, b), cut in verdicts.cuts.items()
            if a in first
            and b in first
            and cut.is_all(tracks[first[a]].duration_s, tracks[first[b]].duration_s)
        ]
    group = _connected(pairs, len(tracks))
    _, row, inverse = np.unique(group, return_index=True, return_inverse=True)
    return row[inverse]


def cuts(tracks: Sequence[Track], first: np.ndarray, verdicts: Verdicts | None) -> Keys:
    """Return the keys of tracks that have a stretch in common, such as an excerpt and its whole.

    Two excerpts of one recording share a key through it, also where they do not overlap.

    Parameters
    ----------
    tracks
        In the order of their ids.
    first
        The row number of the first track with the same recording, shape ``(N,)``.
    verdicts
        What is known of their cuts.

    Returns
    -------
    list of tuple
        The keys of each track: at most one, and none where it has nothing in common with another.
    """
    if verdicts is None or not verdicts.cuts:
        return [()] * len(tracks)
    rows = {track.content_hash: int(row) for track, row in zip(tracks, first, strict=True)}
    linked = [(rows[a], rows[b]) for a, b in verdicts.cuts if a in rows and b in rows]
    group = _connected([(a, b) for a, b in linked if a != b], len(tracks))
    shared = np.bincount(group, minlength=len(tracks)) > 1
    return [(int(group[row]),) if shared[group[row]] else () for row in first]


def cut_tracks(
    tracks: Sequence[Track], verdicts: Verdicts | None
) -> Iterator[tuple[Track, Track, Cut]]:
    """Yield the pairs of a track and a longer one that it is a cut of, and their stretch.

    Of several tracks of one content, the last stands for all.

    Parameters
    ----------
    tracks
        The tracks.
    verdicts
        What is known of their cuts.
    """
    by_content = {track.content_hash: track for track in tracks}
    for (a, b), cut in verdicts.cuts.items() if verdicts is not None else ():
        if a in by_content and b in by_content:
            one, other = by_content[a], by_content[b]
            if not cut.is_all(one.duration_s, other.duration_s):
                is_shorter = one.duration_s <= other.duration_s
                yield (one, other, cut) if is_shorter else (other, one, cut.turned)


def _connected(pairs: Sequence[Pair], count: int) -> np.ndarray:
    """Return the number of the group of each row, where pairs connect rows; shape ``(count,)``."""
    left, right = np.array(pairs, int).reshape(-1, 2).T
    graph = scipy.sparse.coo_array((np.ones(len(pairs)), (left, right)), shape=(count, count))
    _, group = scipy.sparse.csgraph.connected_components(graph, directed=False)
    found: np.ndarray = group
    return found


def _candidates(tracks: Sequence[Track], spaces: Iterable[Neighbours]) -> list[Pair]:
    """Return pairs that lie near each other and last equally long, nearest first."""
    lengths = np.array([track.duration_s for track in tracks])
    nearness: dict[Pair, float] = {}
    for near in spaces:
        far = NEAR * (1 - near.mean_cosine) + 1e-6
        query, place = np.nonzero((1 - near.cosines <= far) & (near.rows >= 0))
        other = near.rows[query, place]
        alike = np.abs(lengths[query] - lengths[other]) <= SAME_LENGTH_S
        cosines = near.cosines[query, place]
        for a, b, cosine in zip(query[alike], other[alike], cosines[alike], strict=True):
            pair = (int(min(a, b)), int(max(a, b)))
            nearness[pair] = max(nearness.get(pair, -1.0), float(cosine))
    nearest = sorted(nearness, key=lambda pair: (-nearness[pair], pair))
    return nearest[:MAX_PAIRS]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the greatest correlation of two signals over all delays, in [0, 1]."""
    a, b = a - a.mean(), b - b.mean()
    size = scipy.fft.next_fast_len(len(a) + len(b) - 1, real=True)
    products = scipy.fft.irfft(scipy.fft.rfft(a, size) * np.conj(scipy.fft.rfft(b, size)), size)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.abs(products).max()) / length if length else 0.0


def _listen(pairs: Sequence[tuple[Track, Track]], verdicts: Verdicts) -> None:
    """Compare the sound of pairs without a verdict.

    A file that cannot be read brings none.
    """
    new = [(a, b) for a, b in pairs if verdicts.get(a.content_hash, b.content_hash) is None]
    ears = _Ears([track for pair in new for track in pair])
    for a, b in new:
        verdict = ears.sounds_the_same(a, b)
        if verdict is not None:
            verdicts.add(a.content_hash, b.content_hash, verdict)


class _Ears:
    """Compares the beginnings of some tracks, each decoded once, in workers."""

    def __init__(self, tracks: Iterable[Track]) -> None:
        paths = {track.content_hash: place(track.path) for track in tracks}
        decoded = guarded.beginnings(list(paths.values()), RATE, LISTENED_S)
        self._heard = dict(zip(paths, decoded, strict=True))

    def sounds_the_same(self, a: Track, b: Track) -> bool | None:
        one, other = self._heard[a.content_hash], self._heard[b.content_hash]
        if isinstance(one, Exception) or isinstance(other, Exception):
            return None
        return correlation(one, other) > CORRELATION
