"""Search with a track of a collection, or with any audio file."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Collection as Collected
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from musicflow import audio, embedders
from musicflow.embedders.coverage import windows_of_file
from musicflow.embedders.spec import Embedder, EmbedderSpec
from musicflow.errors import described
from musicflow.index import Collection, FilterError, Filters, Hit, fused, normalize
from musicflow.index.filters import UNKNOWN_VALUE, Condition
from musicflow.library import Rules
from musicflow.library.rows import UNKNOWN
from musicflow.places import Place, file_named, place
from musicflow.search.errors import NoTrackError, QueryError
from musicflow.search.lookup import find_track, has_track, specs_of, with_text_side
from musicflow.search.variety import Variety, varied
from musicflow.settings import Settings
from musicflow.text import folded, nearest
from musicflow.worker import Rations, WorkerError

Example = str | np.ndarray
"""A track of the collection by its id, or a vector as the collection's embedder gave it."""

Load = Callable[[EmbedderSpec, Path], Embedder]
"""A function that loads an embedder; one that serves many queries keeps models in memory."""

MOST = 10_000_000
"""The most answers that can be asked for."""

_FRAMES_S = 600.0

_NAMED = 8
"""The most values that an error names."""

_NO_TEXT_SIDE = "no published embedder has one; CLAP has: hub:laion/clap-htsat-unfused"


def similar_to_track(
    collection: Collection,
    track_id: str,
    k: int,
    filters: Filters = Filters(),
    variety: Variety = Variety(),
) -> list[Hit]:
    """Return the k tracks that sound most like a track, best first.

    Raises
    ------
    QueryError
        If k is less than 1, or the collection does not hold the track.
    """
    check_k(k)
    vectors = vectors_of(collection, [track_id])

    def ask(limit: int) -> list[Hit]:
        [hits] = collection.query(vectors, limit, filters, without=[track_id])
        return hits

    return varied(ask, k, variety)


def similar_to_vector(
    collection: Collection,
    vector: np.ndarray,
    k: int,
    filters: Filters = Filters(),
    variety: Variety = Variety(),
) -> list[Hit]:
    """Return the k tracks that sound most like the source of a vector, best first.

    Raises
    ------
    QueryError
        If k is less than 1.
    """
    check_k(k)
    vectors = vectors_of(collection, [vector])

    def ask(limit: int) -> list[Hit]:
        [hits] = collection.query(vectors, limit, filters)
        return hits

    return varied(ask, k, variety)


def vector_of_file(
    path: Place,
    spec: EmbedderSpec,
    cache: Path,
    limits: audio.Limits = audio.Limits(),
    *,
    log: Path | None = None,
    rations: Rations | None = None,
    load: Load = embedders.load,
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
    load
        Loads the embedder.

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
    decoded = windows_of_file(path, spec, limits, log=log, rations=rations)
    with closing(decoded):
        windows = _heard(path, decoded)
        # No model is loaded for a file that cannot even be opened.
        first = next(windows)
        return load(spec, cache).embed_windows(itertools.chain([first], windows))


def frames_of_file(
    path: Place,
    spec: EmbedderSpec,
    cache: Path,
    *,
    log: Path | None = None,
    load: Load = embedders.load,
) -> np.ndarray:
    """Embed the windows of an audio file one by one: those of its first ten minutes.

    Parameters
    ----------
    path, spec, cache, log, load
        See `vector_of_file`.

    Returns
    -------
    numpy.ndarray
        As the embedder gives them, shape ``(N, dim)``.

    Raises
    ------
    QueryError
        If the file cannot be used.
    WeightsError
        If the embedder's weights cannot be had.
    """
    decoded = windows_of_file(path, replace(spec, coverage_s=0.0), log=log)
    with closing(decoded):
        windows = itertools.islice(_heard(path, decoded), max(1, int(_FRAMES_S / spec.hop_s)))
        return load(spec, cache).embed_each(windows)


def _heard(path: Place, windows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Pass a file's windows on, and make query errors of what is wrong with it."""
    try:
        yield from windows
    except MemoryError as error:
        raise QueryError(f"{path}: it takes more memory than it may") from error
    except OSError as error:
        raise QueryError(f"{path}: {error.strerror}") from error
    except (audio.AudioError, WorkerError) as error:
        raise QueryError(f"{path}: {error}") from error
    except Exception as error:
        # They are the decoder's own: those of whoever takes the blocks do not come this way.
        reason = f"cannot be decoded: {described(error)}"
        raise QueryError(f"{path}: {reason}") from error


def example_of_file(collection: Collection, path: Place, settings: Settings) -> np.ndarray:
    """Embed any audio file with the embedder of a collection.

    Returns
    -------
    numpy.ndarray
        As the embedder gives it, shape ``(dim,)``; of a fusion, its members' side by side.

    Raises
    ------
    QueryError
        If the file cannot be used.
    WeightsError
        If the embedder's weights cannot be had.
    TrackIndexError
        If another version of the embedder made the collection.
    """
    specs = specs_of(collection, settings)
    rules = Rules.of(settings)
    given = settings.cache, rules.limits
    return np.concatenate([vector_of_file(path, spec, *given, log=rules.log) for spec in specs])


def example_of(
    collection: Collection, asked: "str | os.PathLike[str] | Place", settings: Settings
) -> Example:
    """Return the track that has an id, else embed the file of a path, else find a track's name.

    Parameters
    ----------
    collection
        The collection to look in.
    asked
        An id, a name or a path; what is no text is a path.
    settings
        Those of the home.

    Raises
    ------
    QueryError
        If there is neither, several tracks have the name, or the file cannot be used.
    """
    if not isinstance(asked, str):
        return example_of_file(collection, place(asked).expanduser(), settings)
    # In this order: to look among all names, and for the nearest, takes longest.
    if (path := file_named(asked)) is None or has_track(collection, asked):
        return find_track(collection, asked)
    return example_of_file(collection, path, settings)


def example_of_text(collection: Collection, text: str, settings: Settings) -> np.ndarray:
    """Embed a description of music with the text side of a collection's embedder.

    Parameters
    ----------
    collection
        The collection the vector is for.
    text
        The description, such as ``slow piano, rain``.
    settings
        Those of the home.

    Returns
    -------
    numpy.ndarray
        As the embedder gives it, shape ``(dim,)``; of a fusion, its members' side by side.

    Raises
    ------
    QueryError
        If the text is empty, or the embedder has no text side; the latter has the code
        ``no-text-side``.
    EmbedderError
        If the embedder cannot be loaded.
    TrackIndexError
        If another version of the embedder made the collection.
    """
    specs = specs_with_text_side(collection, settings)
    return np.concatenate([vector_of_text(text, spec, settings.cache) for spec in specs])


def specs_with_text_side(collection: Collection, settings: Settings) -> list[EmbedderSpec]:
    """Return the embedder that made a collection, or the members of a fusion.

    Raises
    ------
    QueryError
        If one has no text side; the code is ``no-text-side``.
    TrackIndexError
        If another version of one made it.
    """
    specs = specs_of(collection, settings)
    if wanting := [spec.label for spec in specs if not spec.text]:
        known = ", ".join(with_text_side(settings))
        raise QueryError(
            f"{wanting[0]} has no text side, so that words cannot ask its collection",
            f"the published embedders with one are {known}" if known else _NO_TEXT_SIDE,
            embedders.NO_TEXT,
        )
    return specs


def vector_of_text(
    text: str, spec: EmbedderSpec, cache: Path, load: Load = embedders.load
) -> np.ndarray:
    """Embed a description of music.

    Parameters
    ----------
    text, spec, cache
        The description, the embedder, and the folder of weights.
    load
        Loads the embedder.

    Returns
    -------
    numpy.ndarray
        As the embedder gives it, shape ``(dim,)``.

    Raises
    ------
    QueryError
        If the text is empty.
    EmbedderError
        If the embedder cannot be loaded, or has no text side.
    """
    # What a shell passes on may not be Unicode.
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    if not text:
        raise QueryError("the text is empty", "describe the music: slow piano, rain", "empty-text")
    [vector] = embedders.infer_text(load(spec, cache), [text])
    return vector


def filters_for(
    collection: Collection, texts: Iterable[str], others: Iterable[Collection] = ()
) -> Filters:
    """Read filters, with their values as a collection's tracks spell them.

    ``genre=HIP-HOP`` finds "Hip-Hop": values are matched as `folded` does. A value that no track
    has may be excluded, but not asked for: it is a slip of the pen.

    Parameters
    ----------
    collection
        What is searched.
    texts
        The filters, as people write them.
    others
        Those that may know predicted tags if the first one does not; see `teller_of`.

    Raises
    ------
    FilterError
        If a text is no filter, or asks for a value that no track has; the latter has the code
        ``filter-value``.
    """
    asked = Filters.parse(texts, collection.manifest.table).conditions
    predicted = fused.fields_of_embeddings()
    teller = collection
    if any(condition.key in predicted for condition in asked):
        teller = teller_of(collection, others)
    return Filters(
        tuple(
            _as_held(collection, condition)
            if condition.key not in predicted or teller is collection
            else _by_tracks(teller, _as_held(teller, condition))
            for condition in asked
        )
    )


def teller_of(collection: Collection, others: Iterable[Collection]) -> Collection:
    """Return the collection that knows predicted tags: the first, or else one of the others.

    Tags are properties of tracks: they filter also the answers of an embedder that predicts none.
    """
    known = (one for one in itertools.chain([collection], others) if fused.has_own_fields(one))
    return next(known, collection)


def _by_tracks(teller: Collection, condition: Condition) -> Condition:
    """Return a condition on another collection's field as one on the ids of tracks."""
    excluded = condition.sign == "!="
    passing = replace(condition, sign="=") if excluded else condition
    ids = tuple(sorted(teller.facet("track_id", Filters((passing,)))))
    return Condition("track_id", "!=" if excluded else "=", ids)


def _as_held(collection: Collection, condition: Condition) -> Condition:
    field = collection.manifest.table[condition.key]
    if field.kind != "keyword" or condition.key == "track_id":
        return condition
    held: dict[str, list[str]] = {}
    for value in collection.facet(condition.key):
        held.setdefault(folded(value), []).append(value)
    values: list[str] = []
    for value in map(str, condition.values):
        same = held.get(folded(value), [value] if condition.sign == "!=" else [])
        if not same:
            known = {text: each[0] for text, each in held.items() if each[0] != UNKNOWN}
            raise FilterError(
                f"no track has the {field.title.lower()} {value!r}",
                nearest(folded(value), known) or _some_of(known.values()),
                UNKNOWN_VALUE,
            )
        # Of spellings that are all demanded, no track has two.
        values += [value if value in same else same[0]] if condition.sign == "+=" else same
    return replace(condition, values=tuple(dict.fromkeys(values)))


def _some_of(values: Collected[str]) -> str:
    """Return a hint that names the first few of some values, most frequent first."""
    if not values:
        return "no track of this collection has one"
    more = f" and {len(values) - _NAMED} more" if len(values) > _NAMED else ""
    return f"there are {', '.join(itertools.islice(values, _NAMED))}{more}"


def check_k(k: int) -> None:
    """Refuse a number of answers below 1, or beyond any library."""
    if not 1 <= k <= MOST:
        bound = "at least 1" if k < 1 else f"at most {MOST:,}"
        raise QueryError(f"the number of answers must be {bound}, not {k}")


def vectors_of(collection: Collection, examples: Sequence[Example]) -> np.ndarray:
    """Return examples as vectors of the collection, shape ``(N, dim)``.

    Raises
    ------
    NoTrackError
        If the collection does not hold one of them.
    """
    rows = [
        _vector_of_track(collection, example)
        if isinstance(example, str)
        else collection.normalize(example[None])[0]
        for example in examples
    ]
    return np.stack(rows) if rows else np.empty((0, collection.manifest.dim), np.float32)


def _vector_of_track(collection: Collection, track_id: str) -> np.ndarray:
    try:
        return collection.vectors([track_id])[0]
    except KeyError:
        known = {folded(value): value for value in collection.facet("track_id")}
        hint = nearest(folded(track_id), known)
        raise NoTrackError(f"no track has the id {track_id!r}", hint) from None


def between(vectors: np.ndarray) -> np.ndarray:
    """Normalize mixtures of normalized vectors, shape ``(N, dim)``.

    Raises
    ------
    QueryError
        If one is of no length, because its vectors cancel each other out.
    """
    if (np.linalg.norm(vectors, axis=1) < 1e-6).any():
        raise QueryError("these examples cancel each other out", "give others")
    return normalize(vectors)
