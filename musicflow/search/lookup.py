"""Collections, the embedders that made them, and tracks by name."""

import itertools
from collections.abc import Iterator
from typing import Any

from musicflow import embedders
from musicflow.embedders.spec import EmbedderSpec
from musicflow.index import Collection, Collections, TrackIndexError, fused, open_index, tuned
from musicflow.search.errors import NoTrackError, QueryError
from musicflow.settings import Settings
from musicflow.text import folded, joined, nearest, several


def fusion_weights(settings: Settings) -> fused.Weights:
    """Return the weights of all known fusions."""
    home = settings.paths
    return fused.load_weights(home.fusions, home.reports / "comparison.json")


def open_collections(settings: Settings) -> Collections:
    """Open all collections: those of the index, and the fusions."""
    return fused.Fusions(open_index(settings), fusion_weights(settings))


def specs_for(label: str, settings: Settings) -> list[EmbedderSpec]:
    """Return the embedder with a name, or the members of a fusion or a tuned space.

    Raises
    ------
    UnknownEmbedderError
        If there is no such embedder.
    """
    return [embedders.spec_for(name, settings) for name in fused.members(label) or (label,)]


def collection_of(name: str, settings: Settings) -> tuple[str, Settings]:
    """Return the name of the collection of an embedder or a fusion.

    Parameters
    ----------
    name
        A fusion's name, also without its members where one alone is published, or an embedder's;
        see `embedders.spec_of`.
    settings
        Those of the home.

    Returns
    -------
    name : str
        The label of the embedder, or the fusion's name.
    settings : Settings
        The same with this embedder among the others, so that files can be embedded with it.

    Raises
    ------
    UnknownEmbedderError
        If the name is an address that leads to no embedder.
    QueryError
        If it is a fusion's without its members, and not one alone is published.
    """
    if fused.is_short(name):
        return _whole(name, settings), settings
    if not embedders.is_address(name) or fused.members(name):
        return name, settings
    known = settings.model_copy(update={"embedders": (*settings.embedders, name)})
    return embedders.spec_of(name).label, known


def _whole(name: str, settings: Settings) -> str:
    """Return the name with members of the fusion or tuned space that tables show by a short one."""
    alike = [label for label in open_collections(settings).names() if fused.short(label) == name]
    if len(alike) == 1:
        return alike[0]
    raise QueryError(
        f"the name {name!r} lacks its members",
        f"there are {', '.join(alike)}" if alike else "none is published: write rrf:musicnn+mfcc",
        "no-members",
    )


def specs_of(collection: Collection, settings: Settings) -> list[EmbedderSpec]:
    """Return the embedder that made a collection, or the members of a fusion or a tuned space.

    Raises
    ------
    TrackIndexError
        If another version of one made it, or one under other settings.
    """
    label = collection.manifest.embedder
    specs = specs_for(label, settings)
    hashes = itertools.product(*((spec.hash, *spec.former_hashes) for spec in specs))
    made_by = collection.manifest.spec_hash
    if tuned.is_tuned(label):
        made_by = tuned.embedders_of(made_by)
    if made_by not in map(fused.spec_hash, hashes):
        raise TrackIndexError(
            f"another version of the embedder, or other settings, made the collection {label}",
            "run `musicflow run` to bring it up to date",
            "outdated",
        )
    return specs


def published(settings: Settings, index: Collections) -> list[str]:
    """Return the names of all collections that can be searched with.

    Those of the settings' embedders come first, in the settings' order, and fusions last.
    """
    names = [name for name in index.names() if _is_known(name, settings)]
    first = [spec.label for spec in embedders.specs_for(settings) if spec.label in names]
    return [*first, *(name for name in names if name not in first)]


def _is_known(label: str, settings: Settings) -> bool:
    try:
        return bool(specs_for(label, settings))
    except embedders.EmbedderError:
        return False


def first_of(settings: Settings, index: Collections, *, text: bool = False) -> str:
    """Return the name of the collection to search with where none is named.

    Parameters
    ----------
    settings
        Those of the home.
    index
        Its collections.
    text
        Prefer an embedder with a text side.

    Returns
    -------
    str
        The label of the first of the home's embedders that has a collection; of the first of all
        if none has.
    """
    specs = embedders.specs_for(settings)
    if text:
        specs.sort(key=lambda spec: not spec.text)
    labels = [spec.label for spec in specs]
    names = index.names()
    return next((label for label in labels if label in names), labels[0])


def with_text_side(settings: Settings) -> list[str]:
    """Return the labels of the published embedders that have a text side."""
    published = open_index(settings).names()
    specs = (embedders.spec_or_stand_in(label, settings) for label in published)
    return [spec.label for spec in specs if spec.text]


def each_open(settings: Settings) -> Iterator[Collection]:
    """Open the published collections of embedders one by one; the next one closes the last one."""
    index = open_index(settings)
    for label in published(settings, index):
        with index.open(label) as collection:
            yield collection


def has_track(collection: Collection, track_id: str) -> bool:
    """Return whether a collection holds a track of this id."""
    try:
        collection.payload(track_id)
    except KeyError:
        return False
    return True


def find_track(collection: Collection, text: str) -> str:
    """Return the id of a track by its id or its name.

    Parameters
    ----------
    collection
        The collection to look in.
    text
        An id, a name, or ``Artist - Name``, matched as a person reads it; see `folded`.

    Raises
    ------
    QueryError
        If no track has this name, or several have; it names the nearest.
    """
    text = text.encode("utf-8", "replace").decode()
    if has_track(collection, text):
        return text
    wanted = folded(text)
    known = sorted(collection.payloads(), key=lambda track: track["track_id"])
    found = [track for track in known if wanted in _names(track)]
    if len(found) == 1:
        return str(found[0]["track_id"])
    if found:
        some = ", ".join(_label(track) for track in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise QueryError(
            f"{len(found)} tracks are called {text!r}", f"say which: {some}{more}", "several-tracks"
        )
    texts = {name: _label(track) for track in reversed(known) for name in _names(track)}
    raise NoTrackError(f"no track has the id or name {text!r}", nearest(wanted, texts))


def artists_of(track: dict[str, Any]) -> list[str]:
    """Return the artists in a payload; those before had one text."""
    return several(track.get("artist", []))


def _names(track: dict[str, Any]) -> tuple[str, ...]:
    """Return the folded names of a track: with and without artists; its id."""
    name = track["name"]
    artists = dict.fromkeys((joined(track["artist"]), *artists_of(track)))
    called = (name, *(f"{artist} - {name}" for artist in artists), track["track_id"])
    return tuple(map(folded, called))


def _label(track: dict[str, Any]) -> str:
    return f"{track['track_id']!r} ({joined(track['artist'])} - {track['name']})"
