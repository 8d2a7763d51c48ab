"""Search over any index."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from musicflow import audio, embedders
from musicflow.embedders.spec import EmbedderSpec
from musicflow.index import Collection, Filters, Hit, TrackIndexError


class QueryError(ValueError):
    """A question that cannot be answered as it stands; the message says why."""


def similar_to_track(
    collection: Collection, track_id: str, k: int, filters: Filters = Filters()
) -> list[Hit]:
    """The k tracks that sound most like one of the collection, best first.

    Raises
    ------
    QueryError
        If k is no positive number, or the collection does not hold the track.
    """
    _check(k)
    try:
        return collection.similar(track_id, k, filters)
    except KeyError:
        raise QueryError(_unknown(track_id, list(collection.facet("track_id")))) from None


def similar_to_file(
    collection: Collection,
    path: Path,
    spec: EmbedderSpec,
    cache: Path,
    k: int,
    filters: Filters = Filters(),
) -> list[Hit]:
    """The k tracks that sound most like any audio file, best first.

    Raises
    ------
    QueryError
        If k is no positive number, or the file cannot be used.
    WeightsError
        If the embedder's weights cannot be had.
    TrackIndexError
        If the collection was made by another version of the embedder.
    """
    _check(k)
    if collection.manifest.spec_hash != spec.hash:
        raise TrackIndexError(
            f"the collection {spec.label} was made by another version of this embedder: "
            "run `musicflow run` to bring it up to date"
        )
    try:
        sound = audio.decode(path, spec.sample_rate)
    except (audio.AudioError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise QueryError(f"{path}: {reason}") from error
    if audio.is_silent(sound):
        raise QueryError(f"{path} is silent")
    vector = embedders.load(spec, cache).embed(sound)
    [hits] = collection.query(vector[None], k, filters)
    return hits


def _check(k: int) -> None:
    if k < 1:
        raise QueryError(f"the number of answers must be at least 1, not {k}")


def _unknown(track_id: str, known: Sequence[str]) -> str:
    near = get_close_matches(track_id, known, n=3, cutoff=0.4)
    hint = f"; the nearest are {', '.join(near)}" if near else ""
    return f"no track has the id {track_id!r}{hint}"
