"""The view of a page: the collection, the filters and the session's preferences.

Collections, facets and the library are opened once for all sessions, and again when a new state
is published. A session's choices are kept in the address, so that a view can be shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import streamlit as st

from musicflow.app import uploads
from musicflow.app.catalogue import Catalogue
from musicflow.app.uploads import Upload
from musicflow.embedders import EmbedderSpec
from musicflow.index import Collection, Collections, Filters, fused
from musicflow.index.fields import of_kind
from musicflow.library import Library
from musicflow.search.lookup import specs_for, specs_of
from musicflow.search.query import vector_of_text
from musicflow.settings import Settings

MATCHES = 8
"""The most matches of a search that are shown."""

MAX_PREFERENCES = 50
"""The most likes, and the most dislikes, that are read from an address."""

Kind = Literal["like", "dislike"]
KINDS: tuple[Kind, Kind] = ("like", "dislike")


@dataclass(frozen=True)
class Words:
    """A description of music."""

    text: str

    @property
    def key(self) -> str:
        """Return a name for it."""
        return f"words:{self.text}"


@dataclass(frozen=True)
class View:
    """The library, collections, filters and count that a page shows."""

    settings: Settings
    index: Collections
    catalogue: Catalogue
    published: Sequence[str]
    """The labels of the embedders and fusions that can be searched with."""
    label: str
    k: int
    filters: Filters

    @property
    def embedders(self) -> list[str]:
        """Return the labels of the published embedders, without fusions."""
        return [label for label in self.published if not fused.members(label)]

    def collection(self, label: str | None = None) -> Collection:
        """Return an embedder's collection, by default the chosen one's."""
        return open_collection(self.index, label or self.label)

    @property
    def has_text_side(self) -> bool:
        """Return whether the chosen embedder, or each of the fusion, takes words."""
        return all(spec.text for spec in specs_for(self.label, self.settings))

    def vector(self, example: Upload | Words, label: str | None = None) -> np.ndarray:
        """Return the vector of an upload or a description, shape ``(dim,)``; cached per session.

        Raises
        ------
        QueryError
            If the file cannot be used, or the embedder takes no words.
        TrackIndexError
            If the collection was made by another version of the embedder.
        """
        specs = specs_of(self.collection(label), self.settings)
        return np.concatenate([self._embedded(example, spec) for spec in specs])

    def _embedded(self, example: Upload | Words, spec: EmbedderSpec) -> np.ndarray:
        vectors = st.session_state.setdefault("vectors", {})
        cache, log = self.settings.cache, self.settings.paths.decoding_log
        key = example.key, spec.hash
        if key not in vectors:
            if isinstance(example, Words):
                with st.spinner(f"Reading with {spec.label} …"):
                    vectors[key] = vector_of_text(example.text, spec, cache)
            else:
                with st.spinner(f"Listening with {spec.label} …"):
                    vectors[key] = uploads.embed(example, spec, cache, log)
        return vectors[key]


# --- opened once ---------------------------------------------------------------------------------
# Streamlit identifies a call by its arguments, except those that begin with an underscore.


def open_collection(index: Collections, label: str) -> Collection:
    """Open the published collection of an embedder or fusion, once per state.

    Raises
    ------
    NoCollectionError
        If there is none.
    """
    manifest = index.manifest(label)
    return _open(index, label, manifest.state if manifest else "")


# A collection that leaves the cache is closed when the last session drops it.
@st.cache_resource(max_entries=16, show_spinner=False)
def _open(_index: Collections, label: str, state: str) -> Collection:  # noqa: ARG001
    return _index.open(label)


@st.cache_resource(max_entries=1, show_spinner="Reading the library …")
def open_catalogue(_settings: Settings, states: tuple[str, ...]) -> Catalogue:  # noqa: ARG001
    """Return the library as it was when these states were published."""
    return Catalogue(Library.load(_settings.paths.library))


def facet(collection: Collection, key: str) -> dict[str, int]:
    """Count the tracks per value of a field, most first; computed once."""
    return _facet(collection, collection.manifest.embedder, collection.manifest.state, key)


@st.cache_data(max_entries=100, show_spinner=False)
def _facet(_collection: Collection, label: str, state: str, key: str) -> dict[str, int]:  # noqa: ARG001
    return _collection.facet(key)


def extents(collection: Collection) -> dict[str, tuple[float, float]]:
    """Return the least and greatest value of each number field; cached."""
    return _extents(collection, collection.manifest.embedder, collection.manifest.state)


@st.cache_data(max_entries=16, show_spinner=False)
def _extents(
    _collection: Collection,
    label: str,  # noqa: ARG001
    state: str,  # noqa: ARG001
) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    names = [field.name for field in of_kind("number", _collection.manifest.table)]
    for payload in _collection.payloads():
        for name in names:
            if (value := payload.get(name)) is not None:
                low, high = found.get(name, (value, value))
                found[name] = min(low, value), max(high, value)
    return found


# --- the session, and the address ----------------------------------------------------------------


def restore() -> None:
    """Read the address into a session that begins."""
    state = st.session_state
    if "liked" not in state:
        state.track = st.query_params.get("track", "")
        state.liked = {kind: _get_all(kind)[:MAX_PREFERENCES] for kind in KINDS}
        state.uploads = {}
        state.shown_before = []


def _get_all(name: str) -> list[str]:
    return [value for value in dict.fromkeys(st.query_params.get_all(name)) if value]


def remember() -> None:
    """Write the session into the address. Uploads cannot be shared."""
    state = st.session_state
    _set("track", [state.track] if state.track else [])
    for kind in KINDS:
        _set(kind, [key for key in state.liked[kind] if key not in state.uploads])


def _set(name: str, values: list[str]) -> None:
    if values:
        st.query_params[name] = values
    elif name in st.query_params:
        del st.query_params[name]


def pick(track_id: str) -> None:
    """Make a track the question."""
    st.session_state.track = track_id
    st.session_state.words = ""
    st.session_state.description = ""
    # A new key empties the uploader.
    st.session_state.upload_key = st.session_state.get("upload_key", 0) + 1


def play(track_id: str) -> None:
    """Give a track to the player."""
    st.session_state.playing = track_id


def prefer(kind: Kind, example: str | Upload) -> None:
    """Like or dislike a track or an upload; doing it again takes it back."""
    state = st.session_state
    key = example if isinstance(example, str) else example.key
    if isinstance(example, Upload):
        state.uploads[key] = example
    taken_back = key in state.liked[kind]
    for each in KINDS:
        state.liked[each] = [other for other in state.liked[each] if other != key]
    if not taken_back:
        state.liked[kind].append(key)
    state.shown_before = state.get("shown", [])


def preferred(kind: Kind, example: str | Upload) -> bool:
    """Return whether something is liked, or disliked."""
    key = example if isinstance(example, str) else example.key
    return key in st.session_state.liked[kind]


def preferences(kind: Kind) -> list[str | Upload]:
    """Return the session's likes or dislikes."""
    state = st.session_state
    return [state.uploads.get(key, key) for key in state.liked[kind]]


def forget() -> None:
    """Drop all likes and dislikes."""
    st.session_state.liked = {kind: [] for kind in KINDS}
    st.session_state.uploads = {}
    st.session_state.shown_before = []
