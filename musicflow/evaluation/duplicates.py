"""Duplicates: tracks of one recording, by content, or by vectors and sound.

Vectors alone do not decide: two pieces of one style may lie as close as two encodings of one
piece. So the beginnings of tracks that lie close and last equally long are correlated, whatever
their gain and the delay an encoder put before them.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import scipy

from musicflow.audio import guarded
from musicflow.evaluation.space import Neighbours
from musicflow.library import Track
from musicflow.library.recordings import Verdicts
from musicflow.places import place

NEAR = 0.06
"""Cosine distance below which two tracks are compared by sound, as a share of the mean cosine
distance of the space: embedders differ widely in that."""

SAME_LENGTH_S = 1.0

LISTENED_S = 30.0
RATE = 4000
CORRELATION = 0.5
"""Correlation above which two beginnings are one recording. Re-encoded ones come to more than
0.9, different recordings to less than 0.3."""

_SILENT = 0.01
"""A part with less than this share of a signal's mean power is nearly silent."""

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
    left, right = np.array(pairs).T
    graph = scipy.sparse.coo_array(
        (np.ones(len(pairs)), (left, right)), shape=(len(tracks), len(tracks))
    )
    _, group = scipy.sparse.csgraph.connected_components(graph, directed=False)
    _, row, inverse = np.unique(group, return_index=True, return_inverse=True)
    return row[inverse]


def cuts(
    tracks: Sequence[Track],
    spaces: Iterable[Neighbours],
    verdicts: Verdicts,
    same: Callable[[Track, Track], bool] | None = None,
) -> list[tuple[int, ...]]:
    """Find tracks that hold one recording at different lengths, such as an excerpt of another.

    Neighbours of any nearness are compared by sound, the nearest `MAX_PAIRS` of them: an excerpt
    lies further from the whole than an encoding does.

    Parameters
    ----------
    tracks
        Each recording of one length once, in the order of their ids.
    spaces
        Their neighbours in each space.
    verdicts
        Of comparisons before; those of this one are added.
    same
        Compares the sound of two tracks; `containment` does if not given.

    Returns
    -------
    list of tuple
        The keys of each track: tracks of one recording share one.
    """
    near = _candidates(tracks, spaces, is_cut=True)
    if same is None:
        _listen([(tracks[a], tracks[b]) for a, b in near], verdicts, containment)
        same = verdicts.same
    keys: list[tuple[int, ...]] = [()] * len(tracks)
    for number, (a, b) in enumerate(near):
        if same(tracks[a], tracks[b]):
            keys[a], keys[b] = (*keys[a], number), (*keys[b], number)
    return keys


def _candidates(
    tracks: Sequence[Track], spaces: Iterable[Neighbours], is_cut: bool = False
) -> list[Pair]:
    """Return pairs that lie near each other, nearest first; they last equally long, or do not."""
    lengths = np.array([track.duration_s for track in tracks])
    nearness: dict[Pair, float] = {}
    for near in spaces:
        far = np.inf if is_cut else NEAR * (1 - near.mean_cosine) + 1e-6
        query, place = np.nonzero((1 - near.cosines <= far) & (near.rows >= 0))
        other = near.rows[query, place]
        alike = (np.abs(lengths[query] - lengths[other]) <= SAME_LENGTH_S) != is_cut
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


def containment(a: np.ndarray, b: np.ndarray) -> float:
    """Return the greatest correlation of the shorter signal with a part of the longer, in [0, 1].

    Parts in which the longer one is nearly silent are left out.
    """
    short, long = sorted((a - a.mean(), b - b.mean()), key=len)
    count = len(short)
    products = scipy.signal.correlate(long, short, "valid", "fft")
    squares = np.concatenate([[0.0], np.cumsum(long.astype(np.float64) ** 2)])
    power = squares[count:] - squares[:-count]
    loud = power > _SILENT * squares[-1] * count / len(long)
    length = float(np.linalg.norm(short))
    if not length or not loud.any():
        return 0.0
    return float((np.abs(products[loud]) / (np.sqrt(power[loud]) * length)).max())


Alike = Callable[[np.ndarray, np.ndarray], float]


def _listen(
    pairs: Sequence[tuple[Track, Track]], verdicts: Verdicts, alike: Alike = correlation
) -> None:
    """Compare the sound of pairs without a verdict.

    A file that cannot be read brings none.
    """
    new = [(a, b) for a, b in pairs if verdicts.get(a.content_hash, b.content_hash) is None]
    ears = _Ears([track for pair in new for track in pair])
    for a, b in new:
        verdict = ears.sounds_the_same(a, b, alike)
        if verdict is not None:
            verdicts.add(a.content_hash, b.content_hash, verdict)


class _Ears:
    """Compares the beginnings of some tracks, each decoded once, in workers."""

    def __init__(self, tracks: Iterable[Track]) -> None:
        paths = {track.content_hash: place(track.path) for track in tracks}
        decoded = guarded.beginnings(list(paths.values()), RATE, LISTENED_S)
        self._heard = dict(zip(paths, decoded, strict=True))

    def sounds_the_same(self, a: Track, b: Track, alike: Alike) -> bool | None:
        one, other = self._heard[a.content_hash], self._heard[b.content_hash]
        if isinstance(one, Exception) or isinstance(other, Exception):
            return None
        return alike(one, other) > CORRELATION
