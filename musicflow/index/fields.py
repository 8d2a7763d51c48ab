"""The table of payload fields: all that an index keeps of a track beside its vector.

Payloads, the indexes of both engines, filters, facets, the command line's help and the app's
sidebar follow from this table. A new field is one line here. A library may bring fields of its
own (`Track.extra`); a collection's manifest tells their kinds.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from musicflow.library import UNKNOWN, Track

Kind = Literal["keyword", "number", "stored"]
"""How a field is filtered: by value, by size, or not at all."""


@dataclass(frozen=True)
class Field:
    """One payload field.

    Parameters
    ----------
    name
        In payloads and filters.
    kind
        How it is filtered.
    title
        Its heading in the app, for one value.
    alias
        Another name in filters.
    source
        The owner of the value: the track, or its embedding.
    attribute
        The owner's attribute that holds it, where that has another name.
    missing
        The value of a track without one (None or an empty tuple); None leaves the field out.
    unit
        Of a number.
    several
        Whether a track may hold more than one value.
    offered
        Whether the app offers it in the sidebar. Any field can be typed.
    """

    name: str
    kind: Kind
    title: str
    alias: str = ""
    source: Literal["track", "embedding"] = "track"
    attribute: str = ""
    missing: Any = None
    unit: str = ""
    several: bool = False
    offered: bool = True


DURATION = "duration_s"

FIELDS = {
    field.name: field
    for field in (
        Field("track_id", "keyword", "Id", alias="id", offered=False),
        Field("artist", "keyword", "Artist", attribute="artists", missing=[UNKNOWN], several=True),
        Field("name", "keyword", "Name", offered=False),
        Field("genre", "keyword", "Genre", attribute="labels", missing=[UNKNOWN], several=True),
        Field("subgenres", "keyword", "Subgenre", alias="subgenre", several=True),
        Field("album", "keyword", "Album"),
        Field("album_artist", "keyword", "Album artist"),
        Field("path", "stored", "Path"),
        Field("content_hash", "stored", "Content"),
        # As it was decoded: headers guess, or do not say.
        Field(
            *(DURATION, "number", "Length"),
            alias="duration",
            source="embedding",
            attribute="audio_s",
            unit="seconds",
        ),
        Field("year", "number", "Year"),
        Field("decade", "keyword", "Decade"),
        Field("replaygain_db", "number", "ReplayGain", alias="gain", unit="dB", offered=False),
        Field("tags", "keyword", "Predicted tag", alias="tag", source="embedding", several=True),
        Field("tag_scores", "stored", "Score of a predicted tag", source="embedding", several=True),
    )
}
"""All fields by name, in the order of payloads."""

FIRST_INDEXED = ("track_id", "artist", "name", "genre", "subgenres", "album", DURATION, "tags")
"""The fields indexed in collections whose manifest does not tell; never changed."""


Table = Mapping[str, Field]
"""Fields by name."""


def table_with(extra: Mapping[str, Kind]) -> Table:
    """Return the table with the fields that a library brings."""
    own = {
        name: Field(name, kind, name.replace("_", " ").capitalize(), several=kind == "keyword")
        for name, kind in extra.items()
    }
    return FIELDS | own


def indexed(extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of all fields that can be filtered by."""
    return (*(field.name for field in FIELDS.values() if field.kind != "stored"), *extra)


def of_kind(kind: Kind, table: Table = FIELDS) -> list[Field]:
    """Return the fields of a kind."""
    return [field for field in table.values() if field.kind == kind]


def of_embedding() -> list[str]:
    """Return the attributes of an embedding that a payload tells."""
    told = (field for field in FIELDS.values() if field.source == "embedding")
    return [field.attribute or field.name for field in told]


def find(name: str, table: Table = FIELDS) -> Field | None:
    """Return the field with a name or alias, if there is one that can be filtered by."""
    for field in table.values():
        if field.kind != "stored" and name in (field.name, field.alias):
            return field
    return None


def payload_of(track: object, embedding: object | None = None) -> dict[str, Any]:
    """Return what an index keeps of a track beside its vector.

    Parameters
    ----------
    track
        A `musicflow.library.Track`.
    embedding
        Its `musicflow.store.Embedding`; without one, the fields of the track alone.

    Returns
    -------
    dict
        JSON values by the name of their field. A field without a value (None) is left out. The
        track's extra values come last.
    """
    known: dict[str, Any] = {}
    # One loop without calls: a run asks this of every track of a library, several times.
    for field in FIELDS.values():
        source = track if field.source == "track" else embedding
        if source is None:
            continue
        value = getattr(source, field.attribute or field.name)
        if field.missing is not None and value in (None, ()):
            known[field.name] = field.missing
        elif type(value) is tuple:
            known[field.name] = list(value)
        elif value is not None and value != "":
            known[field.name] = value
    own = track.extra if isinstance(track, Track) else {}
    return known | {
        _own_name(name): list(value) if isinstance(value, tuple) else value
        for name, value in own.items()
        if not isinstance(value, float) or math.isfinite(value)
    }


def extra_kinds(tracks: Iterable[Track]) -> dict[str, Kind]:
    """Return the kinds of the extra values of some tracks, by the name of their field."""
    kinds: dict[str, Kind] = {}
    for track in tracks:
        for name, value in track.extra.items():
            kinds.setdefault(
                _own_name(name), "number" if isinstance(value, _NUMBERS) else "keyword"
            )
    return dict(sorted(kinds.items()))


_NUMBERS = (int, float)


def _own_name(name: str) -> str:
    """Return a name as a word that filters can name and no other field has."""
    word = re.sub(r"\W+", "_", name).strip("_").lower() or "value"
    taken = any(word in (field.name, field.alias) for field in FIELDS.values())
    return f"own_{word}" if taken else word
