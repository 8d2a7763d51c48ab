"""The table of payload fields: all that an index keeps of a track beside its vector.

Payloads, the indexes of both engines, filters, facets, the command line's help and the app's
sidebar follow from this table. A new field is one line here.
"""

from dataclasses import dataclass
from typing import Any, Literal

from musicflow.library import UNKNOWN

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

    def value_of(self, source: object) -> Any:
        """Return the field's JSON value of a track or an embedding; None if it has none."""
        value = getattr(source, self.attribute or self.name)
        if self.missing is not None and value in (None, ()):
            return self.missing
        return list(value) if isinstance(value, tuple) else value


DURATION = "duration_s"

FIELDS = {
    field.name: field
    for field in (
        Field("track_id", "keyword", "Id", alias="id", offered=False),
        Field("artist", "keyword", "Artist", attribute="artists", missing=[UNKNOWN], several=True),
        Field("name", "keyword", "Name", offered=False),
        Field("genre", "keyword", "Genre"),
        Field("subgenres", "keyword", "Subgenre", alias="subgenre", several=True),
        Field("album", "keyword", "Album"),
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
        Field("tags", "keyword", "Tag", alias="tag", source="embedding", several=True),
        Field("tag_scores", "stored", "Tag score", source="embedding", several=True),
    )
}
"""All fields by name, in the order of payloads."""

FIRST_INDEXED = ("track_id", "artist", "name", "genre", "subgenres", "album", DURATION, "tags")
"""The fields indexed in collections whose manifest does not tell; never changed."""


def indexed() -> tuple[str, ...]:
    """Return the names of all fields that can be filtered by."""
    return tuple(field.name for field in FIELDS.values() if field.kind != "stored")


def of_kind(kind: Kind) -> list[Field]:
    """Return the fields of a kind."""
    return [field for field in FIELDS.values() if field.kind == kind]


def find(name: str) -> Field | None:
    """Return the field with a name or alias, if there is one that can be filtered by."""
    for field in FIELDS.values():
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
        JSON values by the name of their field. A field without a value (None) is left out.
    """
    sources = {"track": track, "embedding": embedding}
    values = {
        field.name: field.value_of(source)
        for field in FIELDS.values()
        if (source := sources[field.source]) is not None
    }
    return {name: value for name, value in values.items() if value is not None}
