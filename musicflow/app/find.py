"""Find: tracks that sound like a question, and tracks that suit one's taste."""

from collections.abc import Sequence
from contextlib import suppress

from nicegui import ui

from musicflow.app.cards import Deck, go
from musicflow.app.names import clean
from musicflow.app.questions import Answer
from musicflow.app.shared import (
    Session,
    ask,
    errors_shown,
    heading,
    hint,
    show_question,
    waiting,
)
from musicflow.app.uploads import Upload
from musicflow.index import Hit
from musicflow.search.errors import NoTrackError
from musicflow.search.lookup import find_track
from musicflow.search.recommend import Strategy
from musicflow.text import counted

STRATEGIES: dict[Strategy, str] = {
    "average": "near the middle of what you like",
    "best-score": "near anything you like",
    "sum-scores": "near all you like together",
}


async def find(session: Session) -> None:
    """Draw the page."""
    ask(session, in_words=True)
    with ui.element("div").classes("columns"):
        with ui.element("section").classes("wide"), errors_shown():
            await _answers(session)
        with ui.element("section"), errors_shown():
            await _for_you(session)


async def _answers(session: Session) -> None:
    address, question = session.address, session.question()
    if question is None:
        hint("Search for a track, drop a song, or let chance decide.", "hearing")
        return
    deck = Deck(address, session.player, session.open().label)
    shared = show_question(session, deck, question)
    heading("Sounds like it")
    found: Answer = await waiting(
        "Listening …",
        session.service.similar,
        question,
        session.wanted,
    )
    if not found.hits:
        hint("No track passes the filters.", "filter_alt_off")
    track = question.track or ""
    deck.answers(found.hits, "answers", shared=shared, asked=track)
    playlist_button(session, found.hits)


async def _for_you(session: Session) -> None:
    address = session.address
    heading("For you")
    if not address.likes and not address.dislikes:
        hint("Like some tracks, and this list follows your taste.", "thumb_up")
        return
    deck = Deck(address, session.player, session.open().label)
    _chosen(session, deck)
    service = session.service
    liked, disliked = (_there(session, keys) for keys in (address.likes, address.dislikes))
    if gone := len(address.likes) + len(address.dislikes) - len(liked) - len(disliked):
        hint(f"Gone, and left out of this: {counted(gone, 'song')}.", "link_off")
    if not liked:
        hint("Like some tracks, too: a dislike alone has no direction.", "thumb_up")
        return
    _how(session)
    # A home that cannot be written to can be searched all the same.
    with suppress(OSError):
        service.keep_likes(address.likes, address.dislikes)
    found: Answer = await waiting(
        "Listening …",
        service.recommend,
        liked,
        disliked,
        (),
        session.wanted,
        strategy=address.strategy,
        diverse=address.diverse,
    )
    if not found.hits:
        hint("No track passes the filters.", "filter_alt_off")
    notes = _moves(session, found.hits)
    deck.answers(found.hits, "for-you", actions=("play", "queue", "like", "dislike"), notes=notes)
    playlist_button(session, found.hits)


def _there(session: Session, keys: Sequence[str]) -> list[str | Upload]:
    """Return the uploads that are kept and the tracks that the collection holds."""
    collection, found = session.open().collection, list[str | Upload]()
    for key in keys:
        with suppress(NoTrackError):
            found.append(session.service.kept(key) or find_track(collection, key))
    return found


def _moves(session: Session, hits: Sequence[Hit]) -> list[str]:
    """Say what a click changed: of that click only."""
    ids, address = [hit.track_id for hit in hits], session.address
    clicks = (address.likes, address.dislikes)
    before, asked = session.shown
    session.shown = ids, clicks
    if not before or asked == clicks:
        return [""] * len(hits)
    new = sum(track_id not in before for track_id in ids)
    hint(f"Your last click brought {new} of {len(ids)} tracks in.", "swap_vert")
    return [shift(track_id, rank, before, "new") for rank, track_id in enumerate(ids, 1)]


def shift(track_id: str, rank: int, before: Sequence[str], absent: str) -> str:
    """Return a track's move against another list, such as ``▲2``.

    Parameters
    ----------
    track_id, rank
        The track, and its rank from 1.
    before
        The other list, best first.
    absent
        What to say of a track that it does not hold.
    """
    if track_id not in before:
        return absent
    up = before.index(track_id) + 1 - rank
    return f"▲{up}" if up > 0 else f"▼{-up}" if up < 0 else ""


def _chosen(session: Session, deck: Deck) -> None:
    address = session.address
    with ui.element("div").classes("chosen-list"):
        for kind, action in (("likes", "like"), ("dislikes", "dislike")):
            for key in getattr(address, kind):
                with ui.element("span").classes(f"chip {action}"):
                    ui.label(_name(session, key))
                    deck.preference(action, key, _name(session, key))  # type: ignore[arg-type]
        if address.likes:
            ui.button(
                "Save likes",
                icon="playlist_add",
                on_click=lambda: _save_likes(session),
            ).props("flat dense no-caps")
        ui.button(
            "Start over",
            icon="restart_alt",
            on_click=lambda: go(address.to(likes=(), dislikes=())),
        ).props("flat dense no-caps")


def _save_likes(session: Session) -> None:
    likes, catalogue = session.address.likes, session.service.catalogue()
    tracks = [key for key in likes if catalogue.get(key)]
    if left := len(likes) - len(tracks):
        ui.notify(f"{counted(left, 'like')} from outside the library left out.", type="warning")
    if tracks:
        session.save_playlist(tracks)


def _name(session: Session, key: str) -> str:
    if upload := session.service.kept(key):
        return clean(upload.name, 40)
    track = session.service.catalogue().get(key)
    return clean(track.name if track else key, 40)


def _how(session: Session) -> None:
    """Draw how likes become answers; what is seldom opened is drawn when it is."""
    address = session.address
    how = ui.expansion("How", icon="tune").props("dense").classes("how")

    def draw() -> None:
        how.clear()
        with how:
            ui.radio(
                STRATEGIES,
                value=address.strategy,
                on_change=lambda event: go(address.to(strategy=event.value)),
            ).props("dense")
            ui.switch(
                "More variety",
                value=address.diverse,
                on_change=lambda event: go(address.to(diverse=event.value)),
            )

    how.on_value_change(lambda event: draw() if event.value else None)


def playlist_button(session: Session, hits: Sequence[Hit]) -> None:
    """Draw the button that saves answers as a playlist."""
    if hits:
        ids = [hit.track_id for hit in hits]
        ui.button(
            "Save as playlist", icon="playlist_add", on_click=lambda: session.save_playlist(ids)
        ).props("flat no-caps").classes("do-save")
