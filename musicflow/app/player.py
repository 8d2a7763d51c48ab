"""The player: a bar that stays while pages change; see ``player.js``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nicegui.element import Element

from musicflow.app.names import clean
from musicflow.library import UNKNOWN
from musicflow.text import joined

API = "/api/v1/"
"""The address of the API, as pages ask it."""

Song = dict[str, Any]
"""A track as the player knows it: its id, and its names unless they are hidden."""


def song_of(payload: Mapping[str, Any], hidden: str = "") -> Song:
    """Return a track for the player.

    Parameters
    ----------
    payload
        What an index keeps of the track.
    hidden
        What to call it where its name would give away too much.
    """
    if hidden:
        return {"id": payload["track_id"], "name": hidden, "artist": "", "hidden": True}
    artist = joined(payload["artist"])
    shown = "" if artist == UNKNOWN else clean(artist)
    return {"id": payload["track_id"], "name": clean(payload["name"]), "artist": shown}


class Player(Element, component="player.js"):
    """A queue of songs and the bar that plays it.

    Parameters
    ----------
    on_save
        Called with the ids of the queue, to make a playlist of them.
    """

    def __init__(self, on_save: Callable[[Sequence[str]], object]) -> None:
        super().__init__()
        self._props["base"] = API
        self.heard: set[str] = set()
        self._on_heard: Callable[[], object] = lambda: None
        self.on("save", lambda event: on_save(event.args))
        self.on("heard", self._hear)

    def play(self, songs: Iterable[Song], at: int = 0) -> None:
        """Play songs one after the other, from a place in the list.

        Cards play, queue and start radios without a word to the service: a browser lets a page
        play only in answer to a click.
        """
        self.run_method("play", list(songs), at)

    def stop(self) -> None:
        """Stop, and forget the queue."""
        self.run_method("clear")

    def when_heard(self, tell: Callable[[], object]) -> None:
        """Call a function whenever a song has been heard for a moment."""
        self._on_heard = tell

    def _hear(self, event: Any) -> None:
        self.heard.add(str(event.args))
        self._on_heard()
