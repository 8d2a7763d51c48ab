"""Cards: a track, and the buttons to act on it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from nicegui import ui

from musicflow.app.address import Address
from musicflow.app.names import clean, known, length
from musicflow.app.player import API, Player, Song, song_of
from musicflow.index import Hit
from musicflow.text import joined

Action = Literal["play", "queue", "radio", "like", "dislike", "ask"]
ACTIONS: tuple[Action, ...] = ("play", "queue", "radio", "like", "dislike", "ask")


class Deck:
    """The cards of one page: they share its player and its address.

    Parameters
    ----------
    address
        The page's.
    player
        What plays.
    label
        The embedder that radios ask.
    """

    def __init__(self, address: Address, player: Player, label: str) -> None:
        self.address = address
        self._player = player
        self._label = label

    def answers(
        self,
        hits: Sequence[Hit],
        where: str,
        *,
        actions: Sequence[Action] = ACTIONS,
        notes: Sequence[str] = (),
        shared: Sequence[str] = (),
    ) -> None:
        """Draw answers; playing one goes on with those below.

        Parameters
        ----------
        hits
            The answers, best first.
        where
            The list's name on the page, for tests and styles.
        actions
            The buttons of each.
        notes
            A short text per answer.
        shared
            Predicted tags of the question, which cards that have them too point out.
        """
        songs = [song_of(hit.payload) for hit in hits]
        with ui.element("ol").classes(f"cards {where}"):
            for rank, hit in enumerate(hits, 1):
                note = notes[rank - 1] if notes else ""
                if hit.duplicates:
                    note = f"{note} +{len(hit.duplicates)} alike".strip()
                with ui.element("li"):
                    self._card(hit.payload, songs, rank - 1, actions, rank, hit.score, note, shared)

    def rows(self, hits: Sequence[Hit]) -> None:
        """Draw tracks of a list that is in no order of likeness, a line each."""
        songs = [song_of(hit.payload) for hit in hits]
        with ui.element("ul").classes("cards rows"):
            for place, hit in enumerate(hits):
                with ui.element("li"):
                    self._card(hit.payload, songs, place, ("play", "queue", "like", "ask"))

    def track(self, payload: Mapping[str, Any], actions: Sequence[Action] = ACTIONS) -> None:
        """Draw one track."""
        self._card(payload, [song_of(payload)], 0, actions)

    def _card(
        self,
        payload: Mapping[str, Any],
        songs: Sequence[Song],
        place: int,
        actions: Sequence[Action],
        rank: int | None = None,
        score: float | None = None,
        note: str = "",
        shared: Sequence[str] = (),
    ) -> None:
        track_id, name = payload["track_id"], clean(payload["name"])
        card = ui.element("article").classes("card")
        card.props["data-track"] = track_id
        with card:
            cover(track_id)
            with ui.element("div").classes("what"):
                with ui.element("div").classes("name"):
                    if rank is not None:
                        ui.label(str(rank)).classes("rank")
                    ui.label(name)
                    if note:
                        ui.label(note).classes("note")
                ui.label(_about(payload)).classes("about")
                tags(payload, shared)
                if score is not None:
                    bar(score)
            with ui.element("div").classes("actions"):
                for action in actions:
                    self._button(action, payload, songs, place, name)

    def _button(
        self,
        action: Action,
        payload: Mapping[str, Any],
        songs: Sequence[Song],
        place: int,
        name: str,
    ) -> None:
        track_id, song = payload["track_id"], songs[place]
        if action in ("like", "dislike"):
            return self.preference(action, track_id, name)
        icon, what = _SHOWN[action]
        do = {
            "play": lambda: self._player.play(songs, place),
            "queue": lambda: self._player.add(song),
            "radio": lambda: self._player.radio(song, self._radio_options()),
            "ask": lambda: go(self.address.to(page="/", track=track_id, text="", upload="")),
        }[action]
        icon_button(icon, f"{what}: {name}", do, action)
        return None

    def preference(self, action: Action, key: str, name: str) -> None:
        """Draw the button to like or dislike a track, or an upload by its key."""
        kind = f"{action}s"
        chosen = key in getattr(self.address, kind)
        icon, what = _SHOWN[action]
        button = icon_button(
            icon if chosen else f"o_{icon}",
            f"{'Take back' if chosen else what}: {name}",
            lambda: go(self.address.preferring(kind, key)),
            action,
        )
        button.props["aria-pressed"] = str(chosen).lower()
        button.classes("chosen" if chosen else "")

    def _radio_options(self) -> list[tuple[str, str]]:
        return [("embedder", self._label), *(("filter", text) for text in self.address.filters)]


_TAGS = 3
"""The most predicted tags on a card; shared ones come first."""

_SHOWN: Mapping[Action, tuple[str, str]] = {
    "play": ("play_arrow", "Play"),
    "queue": ("playlist_add", "Add to the queue"),
    "radio": ("radio", "Radio from here"),
    "like": ("thumb_up", "Like"),
    "dislike": ("thumb_down", "Dislike"),
    "ask": ("search", "What sounds like this?"),
}


def go(address: Address) -> None:
    """Show another view."""
    ui.navigate.to(address.url)


def icon_button(icon: str, what: str, do: Callable[[], object], kind: str = "") -> ui.html:
    """Draw a button with a picture; its words are for a pointer that rests, and for readers.

    It is a plain one: a page has a hundred of them, and Quasar's cost as much as all else.

    Parameters
    ----------
    icon
        Of Material's, outlined if it begins with ``o_``; not a text from a file.
    what
        What it does.
    do
        Called when it is pressed.
    kind
        Its name on the page, for tests and styles.
    """
    name, family = icon.removeprefix("o_"), "material-icons"
    family += "-outlined" if icon != name else ""
    picture = f'<i class="{family}" aria-hidden="true">{name}</i>'
    button = ui.html(picture, sanitize=False, tag="button").classes(f"icon-button do-{kind}")
    # As values: a name may hold anything.
    button.props["aria-label"] = button.props["title"] = what
    return button.on("click", lambda: do())


def cover(track_id: str) -> None:
    """Draw the cover art of a track, or what its sound looks like."""
    picture = ui.element("img").classes("cover").props('alt="" loading="lazy"')
    picture.props["src"] = f"{API}cover/{quote(track_id)}"


def bar(score: float) -> None:
    """Draw a score as a bar, with what it means."""
    with ui.element("div").classes("score"):
        share = min(max(score, 0.0), 1.0)
        ui.element("div").classes("fill").style(f"width: {100 * share:.0f}%")
        label = ui.label(f"{score:.3f}")
        label.props["title"] = "The likeness: 1 is the same sound, 0 has nothing to do."


def tags(payload: Mapping[str, Any], shared: Sequence[str] = ()) -> None:
    """Draw predicted tags; those that the question has as well stand out."""
    predicted = payload.get("tags") or ()
    told = [*(tag for tag in predicted if tag in shared), *predicted]
    if not told:
        return
    with ui.element("div").classes("tags"):
        ui.label("predicted:")
        for tag in dict.fromkeys(told[:_TAGS]):
            label = ui.label(clean(tag)).classes("tag")
            if tag in shared:
                label.classes("shared").props["title"] = "The question has this tag, too."


def _about(payload: Mapping[str, Any]) -> str:
    parts = [known(joined(payload["artist"])), clean(joined(payload["genre"]))]
    return " · ".join(filter(None, [*parts, length(payload["duration_s"])]))
