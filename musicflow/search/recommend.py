"""Search and recommendation, over any index."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from musicflow import audio, embedders
from musicflow.audio import guarded
from musicflow.embedders.spec import EmbedderSpec
from musicflow.errors import words_of
from musicflow.evaluation import Comparison, report
from musicflow.index import (
    Collection,
    Collections,
    Filters,
    Hit,
    Manifest,
    TrackIndexError,
    fused,
    open_index,
)
from musicflow.index.filters import DURATION
from musicflow.library import known_artists
from musicflow.settings import Settings
from musicflow.text import folded, joined
from musicflow.worker import Rations, WorkerError

Example = str | np.ndarray
"""What someone likes or not: a track of the collection by its id, or a vector as the collection's
embedder gave it."""

Strategy = Literal["average", "best-score", "sum-scores"]
"""How examples become a score; see `recommend`."""

COPY = 0.02
"""Tracks are copies of one recording if they are this much nearer than two tracks are on average
(one less the cosine, relative to the collection's spread: embedders differ widely in that) …"""

COPY_LENGTH_S = 1.0
"""… and of the same length, give or take this."""

_DIVERSITY = 0.3
_BLOCK = 1024

_STONES = 100
"""Candidates around each point between two tracks."""


class QueryError(ValueError):
    """A question that cannot be answered as it stands; the message says why."""


# --- what is asked, and what with --------------------------------------------------------------


def open_collections(settings: Settings) -> Collections:
    """All that can be searched: the index, and the fusions that the last comparison knows."""
    last = Comparison.load(settings.paths.reports / report.COMPARISON)
    return fused.Fusions(open_index(settings), last.fusions if last is not None else {})


def specs_of(collection: Collection, settings: Settings) -> list[EmbedderSpec]:
    """The embedder that a collection was made by, or the members of a fusion.

    Raises
    ------
    TrackIndexError
        If it was made by another version of one, or under other settings.
    """
    label = collection.manifest.embedder
    specs = fused.specs(label, settings)
    hashes = itertools.product(*((spec.hash, *spec.former_hashes) for spec in specs))
    if collection.manifest.spec_hash not in map(fused.spec_hash, hashes):
        raise TrackIndexError(
            f"the collection {label} was made by another version of this embedder, or under "
            "other settings: run `musicflow run` to bring it up to date"
        )
    return specs


def find_track(collection: Collection, text: str) -> str:
    """The id of a track given by its id or its name.

    Parameters
    ----------
    collection
        Where to look.
    text
        An id, a name, or ``Artist - Name``, matched as a person reads it; see `folded`.

    Raises
    ------
    QueryError
        If no track is called this, or several are; the message names the nearest.
    """
    text = text.encode("utf-8", "replace").decode()
    try:
        collection.payload(text)
    except KeyError:
        pass
    else:
        return text
    wanted = folded(text)
    known = sorted(collection.payloads(), key=lambda track: track["track_id"])
    found = [track for track in known if wanted in _names(track)]
    if len(found) == 1:
        return str(found[0]["track_id"])
    if found:
        some = ", ".join(_label(track) for track in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise QueryError(f"{len(found)} tracks are called {text!r}; say which: {some}{more}")
    texts = {name: _label(track) for track in reversed(known) for name in _names(track)}
    raise QueryError(f"no track has the id or name {text!r}" + _nearest(wanted, texts))


def vector_of_file(
    path: Path,
    spec: EmbedderSpec,
    cache: Path,
    limits: audio.Limits = audio.Limits(),
    *,
    log: Path | None = None,
    rations: Rations | None = None,
) -> np.ndarray:
    """Embed any audio file, decoded in a worker.

    Parameters
    ----------
    path
        The file.
    spec
        The embedder.
    cache
        The folder of weights.
    limits, log, rations
        See `guarded.stream`.

    Returns
    -------
    numpy.ndarray
        As the embedder gives it, shape ``(dim,)``.

    Raises
    ------
    QueryError
        If the file cannot be used.
    WeightsError
        If the embedder's weights cannot be had.
    """
    decoded = guarded.stream(path, spec.sample_rate, limits, log=log, rations=rations)
    with closing(decoded):
        blocks = _heard(path, decoded)
        # No model is loaded for a file that cannot even be opened.
        first = next(blocks)
        return embedders.load(spec, cache).embed_stream(itertools.chain([first], blocks))


def _heard(path: Path, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Pass a file's blocks on, and make questions' errors of what is wrong with it."""
    try:
        yield from blocks
    except MemoryError as error:
        raise QueryError(f"{path}: it takes more memory than it may") from error
    except OSError as error:
        raise QueryError(f"{path}: {error.strerror}") from error
    except (audio.AudioError, WorkerError) as error:
        raise QueryError(f"{path}: {error}") from error
    except Exception as error:
        # They are the decoder's own: those of whoever takes the blocks do not come this way.
        reason = f"cannot be decoded: {type(error).__name__}: {words_of(error)}"
        raise QueryError(f"{path}: {reason}") from error


def example_of_file(collection: Collection, path: Path, settings: Settings) -> np.ndarray:
    """Embed any audio file, to ask a collection with.

    Returns
    -------
    numpy.ndarray
        As the collection's embedder gives it, shape ``(dim,)``.

    Raises
    ------
    QueryError
        If the file cannot be used.
    WeightsError
        If the embedder's weights cannot be had.
    TrackIndexError
        If the collection was made by another version of the embedder.
    """
    specs = specs_of(collection, settings)
    limits = audio.Limits(settings.max_duration_s, settings.file_timeout_s)
    log = settings.paths.decoding_log
    vectors = [vector_of_file(path, spec, settings.cache, limits, log=log) for spec in specs]
    return np.concatenate(vectors)


def why_none(collection: Collection, filters: Filters) -> str:
    """Say which filters no track of the collection fulfils, with the values that come nearest."""
    reasons = []
    for condition in filters.conditions:
        if condition.key == DURATION or condition.sign == "!=":
            continue
        known = {folded(value): value for value in collection.facet(condition.key)}
        reasons += [
            f"no track has the {condition.key.removesuffix('s')} {value!r}"
            + _nearest(folded(str(value)), known)
            for value in condition.values
            if value not in known.values()
        ]
    return "; ".join(reasons) or "no track fulfils the filters"


# --- answers -----------------------------------------------------------------------------------


def similar_to_track(
    collection: Collection, track_id: str, k: int, filters: Filters = Filters()
) -> list[Hit]:
    """The k tracks that sound most like one of the collection, itself left out, best first.

    Raises
    ------
    QueryError
        If k is no positive number, or the collection does not hold the track.
    """
    _check(k)
    vectors = _vectors(collection, [track_id])
    [hits] = collection.query(vectors, k, filters, without=[track_id])
    return hits


def similar_to_vector(
    collection: Collection, vector: np.ndarray, k: int, filters: Filters = Filters()
) -> list[Hit]:
    """The k tracks that sound most like what gave a vector, best first.

    Raises
    ------
    QueryError
        If k is no positive number.
    """
    _check(k)
    [hits] = collection.query(_vectors(collection, [vector]), k, filters)
    return hits


def recommend(
    collection: Collection,
    likes: Sequence[Example],
    dislikes: Sequence[Example] = (),
    k: int = 10,
    filters: Filters = Filters(),
    *,
    strategy: Strategy = "average",
    diverse: bool = False,
    max_per_artist: int | None = None,
) -> list[Hit]:
    """The k tracks that suit someone's likes and dislikes, best first.

    The examples never come back, nor do copies of them; of several copies of a recording the
    best answers, and names the others as its `duplicates`.

    Parameters
    ----------
    collection
        Where to look.
    likes, dislikes
        The examples.
    k
        How many answers at most.
    filters
        What every answer must fulfil.
    strategy
        ``average``: near the mean of the likes, and as far beyond it as it is from the mean of
        the dislikes: ``2 mean(likes) - mean(dislikes)``, as Qdrant has it. ``best-score``: the
        nearest example decides. ``sum-scores``: all examples count. Scores of different
        strategies cannot be compared.
    diverse
        Trade likeness to the examples against likeness to the answers before (maximal marginal
        relevance, Carbonell and Goldstein 1998, seven parts to three, over the first `4 k`
        candidates; scores are brought to the range of their likenesses to the nearest like).
    max_per_artist
        The most answers by one known artist; an answer counts for each of its artists.

    Raises
    ------
    QueryError
        If there is nothing to go by, a track is not in the collection or both liked and
        disliked, or a number is not positive.
    """
    _check(k)
    if max_per_artist is not None and max_per_artist < 1:
        raise QueryError(f"an artist must be allowed at least 1 answer, not {max_per_artist}")
    if not likes and (strategy == "average" or not dislikes):
        raise QueryError("say at least one track that is liked")
    liked = [example for example in likes if isinstance(example, str)]
    disliked = [example for example in dislikes if isinstance(example, str)]
    if both := sorted(set(liked) & set(disliked)):
        raise QueryError(f"{both[0]!r} is both liked and disliked")
    examples = [*liked, *disliked]
    wanted, unwanted = _vectors(collection, likes), _vectors(collection, dislikes)

    def ask(limit: int) -> list[Hit]:
        if strategy != "average":
            return collection.recommend(wanted, unwanted, strategy, limit, filters, examples)
        [hits] = collection.query(_average(wanted, unwanted), limit, filters, examples)
        return hits

    # Copies, and the cap, cost candidates; how many is known only afterwards.
    limit = 4 * k
    while True:
        hits = ask(limit)
        chosen = _choose(collection, hits, wanted, k, diverse, max_per_artist)
        if len(chosen) == k or len(hits) < limit:
            return chosen
        limit *= 4


def path(
    collection: Collection, start: str, end: str, steps: int, filters: Filters = Filters()
) -> list[Hit]:
    """A way from one track to another through tracks that sound ever more like the second.

    Candidates are the tracks around the straight line between the two. Each belongs to the step
    whose share of the way it has gone, and of all ways with one track a step the smoothest is
    taken: that with the least sum of squared leaps, a leap being one less the cosine.

    Parameters
    ----------
    collection
        Where to walk.
    start, end
        The ids of the first and the last track.
    steps
        How many tracks lie between them at most.
    filters
        What the tracks between must fulfil.

    Returns
    -------
    list of Hit
        From the first to the last, each once; a score is the likeness to the track before.

    Raises
    ------
    QueryError
        If a track is not in the collection, both are the same, or `steps` is no positive number.
    """
    if steps < 1:
        raise QueryError(f"at least 1 track must lie between, not {steps}")
    if start == end:
        raise QueryError("a path leads from one track to another, not to itself")
    first, last = _vectors(collection, [start, end])
    shares = np.linspace(0, 1, steps + 2)[1:-1]
    between = np.stack([_unit((1 - share) * first + share * last) for share in shares])
    found = collection.query(between, _STONES, filters, without=[start, end])
    stones = sorted({hit.track_id for hits in found for hit in hits})
    ids = [start, *_smoothest(stones, collection.vectors(stones), first, last, steps), end]
    vectors = collection.vectors(ids)
    scores = [1.0, *(float(a @ b) for a, b in itertools.pairwise(vectors))]
    return [
        Hit(track_id, score, collection.payload(track_id))
        for track_id, score in zip(ids, scores, strict=True)
    ]


def duplicates(collection: Collection) -> list[list[Hit]]:
    """Groups of tracks that are one recording, as far as an embedder can tell; see `COPY`.

    Every pair is compared, exactly.

    Returns
    -------
    list of list of Hit
        Groups of two and more, the most alike first; a score is the likeness to the group's
        first track.
    """
    tracks = sorted(collection.scroll(), key=lambda point: point.track_id)
    if not tracks:
        return []
    vectors = np.stack([track.vector for track in tracks])
    lengths = np.array([track.payload.get(DURATION, 0.0) for track in tracks])
    pairs: list[np.ndarray] = []
    for top in range(0, len(tracks), _BLOCK):
        for left in range(top, len(tracks), _BLOCK):
            cosines = vectors[top : top + _BLOCK] @ vectors[left : left + _BLOCK].T
            alike = _near(cosines, collection.manifest)
            alike &= _same_length(lengths[top : top + _BLOCK], lengths[left : left + _BLOCK])
            pairs.append(np.argwhere(alike) + np.array([top, left]))
    found = np.concatenate(pairs)
    edges = coo_array((np.ones(len(found)), found.T), shape=(len(tracks), len(tracks)))
    _, labels = connected_components(edges, directed=False)
    groups = [np.flatnonzero(labels == label) for label in np.flatnonzero(np.bincount(labels) > 1)]
    hits = [
        [
            Hit(tracks[row].track_id, float(vectors[row] @ vectors[rows[0]]), tracks[row].payload)
            for row in rows
        ]
        for rows in groups
    ]
    return sorted(hits, key=lambda group: -min(hit.score for hit in group))


# --- the parts ---------------------------------------------------------------------------------


def _check(k: int) -> None:
    if k < 1:
        raise QueryError(f"the number of answers must be at least 1, not {k}")


def _vectors(collection: Collection, examples: Sequence[Example]) -> np.ndarray:
    """The examples as vectors of the collection, shape ``(N, dim)``."""
    rows = [
        _known_vector(collection, example)
        if isinstance(example, str)
        else collection.unit(example[None])[0]
        for example in examples
    ]
    return np.stack(rows) if rows else np.empty((0, collection.manifest.dim), np.float32)


def _known_vector(collection: Collection, track_id: str) -> np.ndarray:
    try:
        return collection.vectors([track_id])[0]
    except KeyError:
        known = {folded(value): value for value in collection.facet("track_id")}
        hint = _nearest(folded(track_id), known)
        raise QueryError(f"no track has the id {track_id!r}{hint}") from None


def _average(likes: np.ndarray, dislikes: np.ndarray) -> np.ndarray:
    mean = likes.mean(axis=0)
    target = 2 * mean - dislikes.mean(axis=0) if len(dislikes) else mean
    return _unit(target)[None]


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    if length < 1e-6:
        raise QueryError("these examples cancel each other out; give others")
    return (vector / length).astype(np.float32)


def _choose(
    collection: Collection,
    hits: list[Hit],
    examples: np.ndarray,
    k: int,
    diverse: bool,
    max_per_artist: int | None,
) -> list[Hit]:
    """The first k of the candidates, copies folded, diverse and capped as wanted."""
    vectors = collection.vectors([hit.track_id for hit in hits])
    hits, vectors = _fold(hits, vectors, examples, collection.manifest)
    order = _spread([hit.score for hit in hits], vectors, examples) if diverse else range(len(hits))
    chosen: list[Hit] = []
    taken: Counter[str] = Counter()
    for row in order:
        artists = known_artists(_artists(hits[row].payload))
        if max_per_artist is None or all(taken[artist] < max_per_artist for artist in artists):
            taken.update(artists)
            chosen.append(hits[row])
        if len(chosen) == k:
            break
    return chosen


def _fold(
    hits: Sequence[Hit], vectors: np.ndarray, examples: np.ndarray, manifest: Manifest
) -> tuple[list[Hit], np.ndarray]:
    """Leave out copies of the examples, and put copies of one another under the best of them."""
    lengths = np.array([hit.payload.get(DURATION, 0.0) for hit in hits])
    copies = _near(vectors @ vectors.T, manifest) & _same_length(lengths, lengths)
    free = np.array([not any(row) for row in _near(vectors @ examples.T, manifest)])
    rows: list[int] = []
    folded: list[Hit] = []
    for row, hit in enumerate(hits):
        if not free[row]:
            continue
        same = np.flatnonzero(copies[row] & free)
        free[same] = False
        others = tuple(hits[other].track_id for other in same.tolist() if other != row)
        folded.append(replace(hit, duplicates=others))
        rows.append(row)
    return folded, vectors[rows]


def _near(cosines: np.ndarray, manifest: Manifest) -> np.ndarray:
    # Rounding moves the cosine of a vector with itself by some 1e-7.
    near: np.ndarray = 1 - cosines <= COPY * manifest.spread + 1e-6
    return near


def _smoothest(
    ids: Sequence[str], vectors: np.ndarray, first: np.ndarray, last: np.ndarray, steps: int
) -> list[str]:
    """The tracks of the smoothest way; steps that no candidate belongs to are left out."""
    way = last - first
    gone = (vectors - first) @ way / max(float(way @ way), 1e-9)
    step = np.clip(np.rint(gone * (steps + 1)), 1, steps)
    # The way to each track of a step: what it costs, and the tracks on it.
    ways: list[tuple[float, list[int]]] = [(0.0, [])]
    before = first[None]
    for rows in (np.flatnonzero(step == number) for number in range(1, steps + 1)):
        if len(rows):
            costs = np.array([cost for cost, _ in ways])[:, None] + _leaps(before, vectors[rows])
            best = costs.argmin(axis=0)
            ways = [
                (costs[origin, place], [*ways[origin][1], int(row)])
                for place, (origin, row) in enumerate(zip(best, rows, strict=True))
            ]
            before = vectors[rows]
    ends = np.array([cost for cost, _ in ways]) + _leaps(before, last[None])[:, 0]
    return [ids[row] for row in ways[int(ends.argmin())][1]]


def _leaps(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    leaps: np.ndarray = np.square(1 - vectors @ others.T)
    return leaps


def _same_length(lengths: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.abs(lengths[:, None] - others[None, :]) <= COPY_LENGTH_S


def _spread(scores: Sequence[float], vectors: np.ndarray, examples: np.ndarray) -> Iterable[int]:
    """Rows by maximal marginal relevance, the best first."""
    alike = vectors @ vectors.T
    # Only likenesses can be set off against likenesses; scores are of other ranges.
    nearness = (vectors @ examples.T if len(examples) else alike).max(axis=1, initial=-1.0)
    span = max(scores, default=0.0) - min(scores, default=0.0)
    share = (np.array(scores) - min(scores, default=0.0)) / (span or 1.0)
    relevance = np.min(nearness, initial=1.0) * (1 - share) + np.max(nearness, initial=-1.0) * share
    left = list(range(len(scores)))
    nearest = np.full(len(scores), -1.0)
    while left:
        values = (1 - _DIVERSITY) * relevance[left] - _DIVERSITY * nearest[left]
        best = left.pop(int(np.argmax(values)))
        nearest = np.maximum(nearest, alike[best])
        yield best


def _names(track: dict[str, Any]) -> tuple[str, ...]:
    """What a track may be called, folded: its name, alone or after an artist or all; its id."""
    name = track["name"]
    artists = dict.fromkeys((joined(track["artist"]), *_artists(track)))
    called = (name, *(f"{artist} - {name}" for artist in artists), track["track_id"])
    return tuple(map(folded, called))


def _artists(track: dict[str, Any]) -> list[str]:
    artists = track.get("artist", [])
    return [artists] if isinstance(artists, str) else artists


def _label(track: dict[str, Any]) -> str:
    return f"{track['track_id']!r} ({joined(track['artist'])} - {track['name']})"


def _nearest(wanted: str, known: dict[str, str]) -> str:
    """A hint that names the nearest of some texts; empty where none is near."""
    within = [text for text in known if wanted and wanted in text][:3]
    near = within or get_close_matches(wanted, list(known), n=3, cutoff=0.5)
    names = list(dict.fromkeys(known[text] for text in near))
    return f"; the nearest are {', '.join(names)}" if names else ""
