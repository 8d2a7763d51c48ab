"""The query: a track of the library, an upload, or words. Pages share it."""

import random
from contextlib import suppress

import streamlit as st

from musicflow.app import uploads
from musicflow.app.cards import buttons, by, card, errors_shown, plain
from musicflow.app.uploads import Upload
from musicflow.app.view import MATCHES, View, Words, pick
from musicflow.audio import AUDIO_SUFFIXES
from musicflow.index import Hit
from musicflow.search.query import similar_to_track, similar_to_vector

Question = str | Upload | Words
"""A track id, an upload, or a description."""


def ask(view: View, *, in_words: bool = False) -> Question | None:
    """Let a person choose the query; return None while nothing is chosen.

    Parameters
    ----------
    view
        The view.
    in_words
        Offer a box for a description, if the embedder has a text side.
    """
    state = st.session_state
    described = ""
    left, right = st.columns([3, 2], gap="large")
    with left:
        words = st.text_input(
            "Search the library",
            key="words",
            type="search",
            live=True,
            placeholder="artist, name, album or genre",
            max_chars=200,
        )
        if words:
            _matches(view, words)
        if in_words and view.has_text_side:
            described = st.text_input(
                "Or describe the music",
                key="description",
                bind="query-params",
                placeholder="slow piano, rain",
                max_chars=200,
            )
        st.button(
            "Surprise me",
            key="surprise",
            icon=":material/casino:",
            on_click=surprise,
            args=[view],
        )
    with right:
        file = st.file_uploader(
            "Or drop a song",
            type=sorted(suffix[1:] for suffix in AUDIO_SUFFIXES),
            max_upload_size=uploads.MAX_MB,
            key=f"upload-{state.get('upload_key', 0)}",
        )
    if file is not None:
        with errors_shown():
            upload = uploads.accept(file.name, file.getvalue())
            _show_upload(upload)
            return upload
        return None
    if described and described.strip():
        return Words(described)
    if state.track:
        _show_track(view, state.track)
        return state.track
    st.info("Search for a track, drop a song, or let chance decide.", icon=":material/hearing:")
    return None


def answer(view: View, question: Question, label: str | None = None) -> list[Hit]:
    """Return the tracks that sound most like the query, by an embedder.

    Raises
    ------
    QueryError
        If the track is not known, the file cannot be used, or the embedder takes no words.
    """
    collection = view.collection(label)
    if isinstance(question, str):
        return similar_to_track(collection, question, view.k, view.filters)
    return similar_to_vector(collection, view.vector(question, label), view.k, view.filters)


def _matches(view: View, words: str) -> None:
    found = view.catalogue.search(words)
    if not found:
        st.caption("No track has all these words.")
    with st.container(gap=None):
        for track in found[:MATCHES]:
            st.button(
                f"**{plain(track.name)}**{by(track.artist)} · {plain(track.genre)}",
                key=f"match-{track.track_id}",
                type="tertiary",
                on_click=pick,
                args=[track.track_id],
            )
    if len(found) > MATCHES:
        st.caption(f"{MATCHES} of {len(found):,} matches. More words narrow it down.")


def surprise(view: View) -> None:
    """Choose a random track that the embedder could use."""
    collection = view.collection()
    for track_id in random.sample(list(view.catalogue), min(50, len(view.catalogue))):
        with suppress(KeyError):
            collection.payload(track_id)
            return pick(track_id)


def _show_track(view: View, track_id: str) -> None:
    try:
        payload = view.collection().payload(track_id)
    except KeyError:
        # The search says so, with the nearest ids.
        return
    card(view, payload, "question", actions=("play", "like", "dislike"))


def _show_upload(upload: Upload) -> None:
    with st.container(border=True):
        name, sound, right = st.columns([6, 6, 3], vertical_alignment="center")
        name.markdown(f"**{plain(upload.name)}**  \nfrom outside the library")
        sound.audio(upload.content, format=upload.kind)
        with right:
            buttons(upload, "question", ("like", "dislike"))
