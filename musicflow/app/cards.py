"""Cards: a track, and the buttons to act on it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from nicegui import events, ui
from nicegui.element import Element

from musicflow.app.address import Address
from musicflow.app.names import clean, known
from musicflow.app.player import API, Player, song_of
from musicflow.index import Hit
from musicflow.text import clock, joined

Action = Literal["play", "queue", "radio", "like", "dislike", "ask", "why"]
ACTIONS: tuple[Action, ...] = ("play", "queue", "radio", "like", "dislike", "ask")


class Cards(Element, component="cards.js"):
    """A list of cards, drawn by the browser from data: see ``cards.js``.

    Parameters
    ----------
    cards
        The cards.
    kind
        The HTML element of the list; ``div`` for a single card, which is no list.
    actions
        The buttons of each.
    player
        Plays.
    options
        The radio's; see `Player.radio`.
    asked
        The track that the cards answer, if that is one.
    """

    def __init__(
        self,
        cards: Sequence[Mapping[str, Any]],
        kind: Literal["ol", "ul", "div"],
        actions: Sequence[Action],
        player: Player,
        options: Sequence[tuple[str, str]],
        asked: str = "",
    ) -> None:
        super().__init__()
        self._props |= {
            "cards": list(cards),
            "kind": kind,
            "actions": [*actions, *(["why"] if asked else ())],
            "shown": _SHOWN,
            "player": player.id,
            "options": [list(pair) for pair in options],
            "asked": asked,
            "base": API,
            "first": 0,
            "total": 0,
        }

    def lengthen(self, total: int, page: Callable[[int], Sequence[Mapping[str, Any]]]) -> None:
        """Make it a part of a longer list, the rest of which is fetched when it is scrolled to.

        Parameters
        ----------
        total
            The number of cards in all.
        page
            Given the number of the first, returns the cards from there on.
        """
        self._props["total"] = total

        def show(event: events.GenericEventArguments) -> None:
            first = min(max(int(event.args), 0), total)
            self._props |= {"first": first, "cards": list(page(first))}
            self.update()

        self.on("need", show)


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
        asked: str = "",
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
        asked
            The track that was asked for, if that is one: each card can then tell why it is alike.
        """
        cards = []
        for rank, hit in enumerate(hits, 1):
            note = notes[rank - 1] if notes else ""
            if hit.duplicates:
                note = f"{note} +{len(hit.duplicates)} alike".strip()
            about = {"rank": rank, "score": hit.score, "note": note}
            cards.append(self._card(hit.payload, shared) | about)
        self._draw(cards, "ol", actions, asked).classes(where)

    def rows(self, total: int, page: Callable[[int, int], Sequence[Hit]]) -> None:
        """Draw a long list of tracks that is in no order of likeness, a line each.

        Parameters
        ----------
        total
            The number of tracks.
        page
            Given the first and a number, returns some of them; it is called for what is in sight.
        """

        def cards(first: int) -> list[dict[str, Any]]:
            return [self._card(hit.payload) for hit in page(first, ROWS)]

        drawn = self._draw(cards(0), "ul", ("play", "queue", "like", "ask")).classes("rows")
        drawn.lengthen(total, cards)

    def track(self, payload: Mapping[str, Any], actions: Sequence[Action] = ACTIONS) -> None:
        """Draw one track."""
        self._draw([self._card(payload)], "div", actions)

    def _draw(
        self,
        cards: Sequence[Mapping[str, Any]],
        kind: Literal["ol", "ul", "div"],
        actions: Sequence[Action],
        asked: str = "",
    ) -> Cards:
        address = self.address
        options = [("embedder", self._label), *(("filter", text) for text in address.filters)]
        if address.most:
            options.append(("max_per_artist", str(address.most)))
        if address.most_of_album:
            options.append(("max_per_album", str(address.most_of_album)))
        return Cards(cards, kind, actions, self._player, options, asked)

    def _card(self, payload: Mapping[str, Any], shared: Sequence[str] = ()) -> dict[str, Any]:
        """Return what a card shows of a track, and where its buttons lead."""
        address, track_id = self.address, payload["track_id"]
        return {
            "song": song_of(payload),
            "about": _about(payload),
            "tags": [(clean(tag), tag in shared) for tag in _tags(payload, shared)],
            "chosen": [
                kind for kind in ("like", "dislike") if track_id in getattr(address, f"{kind}s")
            ],
            "links": {
                "ask": address.to(page="/", track=track_id, text="", upload="").url,
                "like": address.preferring("likes", track_id).url,
                "dislike": address.preferring("dislikes", track_id).url,
            },
        }

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


ROWS = 60
"""Tracks of a long list that a page holds at a time."""

_TAGS = 3
"""The most predicted tags on a card; shared ones come first."""

_SHOWN: Mapping[Action, tuple[str, str]] = {
    "play": ("play_arrow", "Play"),
    "queue": ("playlist_add", "Add to the queue"),
    "radio": ("radio", "Radio from here"),
    "like": ("thumb_up", "Like"),
    "dislike": ("thumb_down", "Dislike"),
    "ask": ("search", "What sounds like this?"),
    "why": ("help_outline", "Why is it alike?"),
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


def _tags(payload: Mapping[str, Any], shared: Sequence[str]) -> list[str]:
    """Return the predicted tags to show; those that the question has as well come first."""
    predicted = payload.get("tags") or ()
    told = [*(tag for tag in predicted if tag in shared), *predicted]
    return list(dict.fromkeys(told))[:_TAGS]


def _about(payload: Mapping[str, Any]) -> str:
    parts = [known(joined(payload["artist"])), clean(joined(payload["genre"]))]
    return " · ".join(filter(None, [*parts, clock(payload["duration_s"])]))
