"""Cards: a track, its sound, and the buttons to act on it.

Names and tags come from files, and files from anywhere: `plain` makes text of them that is never
taken for markup. Only files that the library lists are ever read.
"""

import mimetypes
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import streamlit as st
from pydantic import ValidationError

from musicflow import audio
from musicflow.app.catalogue import Catalogue
from musicflow.app.pictures import PICTURE_S, RATE, spectrogram
from musicflow.app.uploads import Upload
from musicflow.app.view import KINDS, View, pick, play, prefer, preferred
from musicflow.audio import guarded
from musicflow.embedders import EmbedderError
from musicflow.index import FilterError, Hit, TrackIndexError
from musicflow.library import UNKNOWN, LibraryError, Track
from musicflow.places import Place, PlaceError, Remote, place
from musicflow.search.errors import QueryError
from musicflow.text import joined
from musicflow.worker import WorkerError

Action = Literal["play", "like", "dislike", "ask"]
ACTIONS: tuple[Action, ...] = ("play", "like", "dislike", "ask")

_DO: dict[Action, tuple[Any, ...]] = {
    "play": ("play_arrow", "Play", play),
    "like": ("thumb_up", "Like", prefer, "like"),
    "dislike": ("thumb_down", "Dislike", prefer, "dislike"),
    "ask": ("search", "What sounds like this?", pick),
}

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_ADDRESS = re.compile(r"(?<=:)(?=//|streamlit:)|(?<=@)|(?<=www)(?=\.)", re.IGNORECASE)

_BROWSERS_PLAY = frozenset(
    {".aac", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav", ".webm"}
)
_WHOLE_BYTES = 200_000_000
"""The largest file that is held in memory while it is played; others are cut."""
_EXCERPT_S, _EXCERPT_RATE = 60.0, 22_050


FORESEEN = (
    audio.AudioError,
    EmbedderError,
    FilterError,
    LibraryError,
    PlaceError,
    QueryError,
    TrackIndexError,
    ValidationError,
    WorkerError,
)


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show a foreseen error as one sentence where it happened; the page goes on."""
    try:
        yield
    except FORESEEN as error:
        _tell(str(error))
    except OSError as error:
        _tell(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _tell(reason: str) -> None:
    st.error(plain(reason, longest=1000), icon=":material/error:")


def clean(text: object, longest: int = 100) -> str:
    """Return a text on one line, shortened, without control characters."""
    line = str(text)[: 4 * longest]
    if not line.isprintable():
        kept = (c for c in line if c not in _DIRECTIONS)
        blank = ("Cc", "Cs", "Zl", "Zp")
        line = "".join(" " if unicodedata.category(c) in blank else c for c in kept)
    line = " ".join(line.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: object, longest: int = 100) -> str:
    """Return a text that Streamlit's Markdown shows as it is."""
    # Addresses become links, escaped or not, unless an invisible joiner breaks them up.
    broken = _ADDRESS.sub("\u2060", clean(text, longest))
    return _PUNCTUATION.sub(r"\\\1", broken)


def by(artist: str) -> str:
    """Return an artist as Markdown to follow a name; empty if not known."""
    return "" if artist == UNKNOWN else f" · {plain(artist)}"


def length(seconds: float) -> str:
    """Return minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def player(catalogue: Catalogue) -> None:
    """Draw the one player, in the sidebar, where it goes on while pages change."""
    track = catalogue.get(st.session_state.get("playing", ""))
    if track is None:
        return
    with st.sidebar.container(border=True):
        st.markdown(f"**{plain(track.name)}**" + by(track.artist))
        with errors_shown():
            _sound(place(track.path))


def _sound(path: Place) -> None:
    if not _can_be_read(path):
        st.warning("The file is gone or closed; `musicflow run` brings the library up to date.")
    elif path.suffix.lower() in _BROWSERS_PLAY and path.stat().st_size <= _WHOLE_BYTES:
        kind = mimetypes.guess_type(path.name)[0] or "audio/wav"
        sound = _fetched(str(path)) if isinstance(path, Remote) else str(path)
        st.audio(sound, format=kind, autoplay=True)
    else:
        [samples] = guarded.beginnings([path], _EXCERPT_RATE, _EXCERPT_S)
        if isinstance(samples, Exception):
            raise samples
        st.audio(samples, sample_rate=_EXCERPT_RATE, autoplay=True)
        st.caption("The first minute: the file is large, or of a kind that browsers do not play.")


@st.cache_data(max_entries=3, ttl=3600, show_spinner=False)
def _fetched(address: str) -> bytes:
    """Fetch a file elsewhere once, as a page is drawn anew whenever something is clicked."""
    return place(address).read_bytes()


def _can_be_read(path: Place) -> bool:
    return path.is_file() if isinstance(path, Remote) else os.access(path, os.R_OK)


def card(
    view: View,
    payload: Mapping[str, Any],
    key: str,
    rank: str = "",
    score: str = "",
    note: str = "",
    picture: bool = True,
    actions: Sequence[Action] = ACTIONS,
) -> None:
    """Draw a track: its picture, names, genre and tags, and buttons to act on it.

    Parameters
    ----------
    view
        The view.
    payload
        What an index keeps of the track.
    key
        Tells this card from others on the page.
    rank, score, note
        Markdown before its names, before the line about it, and after its names.
    picture
        Whether to show its spectrogram.
    actions
        Its buttons.
    """
    track_id = payload["track_id"]
    with st.container(border=True, key=f"card-{key}"):
        widths = [4, 11, 1 + 1.2 * len(actions)][not picture :]
        *left, middle, right = st.columns(widths, vertical_alignment="center", gap="small")
        track = view.catalogue.get(track_id)
        if left and track is not None and (image := cover(track)):
            left[0].image(image, width="stretch")
        names = f"**{plain(payload['name'])}**{by(joined(payload['artist']))}"
        about = [plain(joined(payload["genre"])), length(payload["duration_s"])]
        if tags := payload.get("tags"):
            about.append(f"predicted: {', '.join(map(plain, tags))}")
        with middle.container(gap="xxsmall"):
            st.markdown(f"{rank} {names} {note}".strip())
            st.caption(f"{score} {' · '.join(about)}".strip())
        with right:
            buttons(track_id, key, actions)


def none() -> None:
    """Say that there is no answer."""
    st.info("no track passes the filters", icon=":material/filter_alt_off:")


def hit_card(view: View, hit: Hit, rank: int, where: str, note: str = "", **how: Any) -> None:
    """Draw an answer: a card with its rank and score."""
    key, score = f"{where}-{hit.track_id}", f":violet-badge[{hit.score:.3f}]"
    if hit.duplicates:
        note += f" :gray-badge[+{len(hit.duplicates)} alike]"
    card(view, hit.payload, key, f":gray[{rank}]", score, note, **how)


def shift(hit: Hit, rank: int, before: Sequence[str], absent: str) -> str:
    """Return, as Markdown, a hit's rank in another list of track ids.

    Parameters
    ----------
    hit, rank
        The answer, and its rank from 1.
    before
        The other list, best first.
    absent
        What to say of an answer that it does not hold.
    """
    if hit.track_id not in before:
        return f":blue-badge[{absent}]"
    up = before.index(hit.track_id) + 1 - rank
    return f":green[▲{up}]" if up > 0 else f":red[▼{-up}]" if up < 0 else ""


def buttons(example: str | Upload, key: str, actions: Sequence[Action]) -> None:
    """Draw the buttons to act on a track, by its id, or on an upload."""
    with st.container(horizontal=True, horizontal_alignment="right", gap="xsmall", wrap=False):
        for action in actions:
            icon, what, do, *args = _DO[action]
            chosen = action in KINDS and preferred(action, example)
            st.button(
                f":primary[:material/{icon}:]" if chosen else f":material/{icon}:",
                key=f"{action}-{key}",
                help="Take it back" if chosen else what,
                type="tertiary",
                on_click=do,
                args=[*args, example],
            )


# --- pictures ------------------------------------------------------------------------------------

_PICTURES = 5000
"""The most pictures that are kept."""


@st.cache_resource(show_spinner=False)
def _pictures() -> dict[str, bytes | None]:
    """Return the pictures of all sessions, by content hash, the oldest first."""
    return {}


def cover(track: Track) -> bytes | None:
    """Return a PNG of the first half minute's spectrogram; None without a sound."""
    draw([track])
    return _pictures().get(track.content_hash)


def draw(tracks: Iterable[Track | None]) -> None:
    """Draw the pictures of some tracks at once, which is faster than one by one."""
    known = _pictures()
    new = {track.content_hash: place(track.path) for track in tracks if track is not None}
    new = {content: path for content, path in new.items() if content not in known}
    sounds = guarded.beginnings(list(new.values()), RATE, PICTURE_S)
    for content, sound in zip(new, sounds, strict=True):
        known[content] = None if isinstance(sound, Exception) else spectrogram(sound)
    for content in list(known)[:-_PICTURES]:
        known.pop(content, None)
