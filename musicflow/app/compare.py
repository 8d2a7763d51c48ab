"""Compare: one question to several embedders, side by side or blind."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from nicegui import ui

from musicflow.app.cards import Deck, go, icon_button
from musicflow.app.find import shift
from musicflow.app.names import clean
from musicflow.app.player import song_of
from musicflow.app.questions import Answer, Ballot, Question
from musicflow.app.shared import (
    Session,
    ask,
    errors_shown,
    heading,
    hint,
    problem,
    show_question,
    waiting,
)
from musicflow.evaluation import votes
from musicflow.index import fused

MAX_EMBEDDERS = 4


async def compare(session: Session) -> None:
    """Draw the page."""
    published = session.service.labels()
    if session.address.blind:
        # A fusion has no vectors to look for triplets by.
        published = [label for label in published if not fused.members(label)]
    if len(published) < 2:
        hint("One embedder is published, and it takes two: `musicflow run --embedder …`.")
        return
    labels = _choice(session, published)
    if len(labels) < 2:
        hint("Choose two embedders or more.")
        return
    if session.address.blind:
        await _blind(session, labels)
        return
    ask(session)
    with errors_shown():
        question = session.question()
        if question is None:
            hint("Search for a track, drop a song, or let chance decide.", "hearing")
        else:
            await _side_by_side(session, question, labels)


def _choice(session: Session, published: Sequence[str]) -> list[str]:
    address = session.address
    labels = [label for label in address.against if label in published][:MAX_EMBEDDERS]
    # The blind test leaves fusions out, which are there all the same.
    for label in set(address.against) - set(session.service.labels()):
        problem(f"There is no collection {clean(label)!r} to compare.")
    labels = labels or list(published[:2])
    with ui.element("div").classes("choice"):
        ui.select(
            list(published),
            value=labels,
            label="Embedders",
            multiple=True,
            on_change=lambda event: go(address.to(against=tuple(event.value[:MAX_EMBEDDERS]))),
        ).props("outlined dense use-chips")
        ui.toggle(
            {False: "Side by side", True: "Blind test"},
            value=address.blind,
            on_change=lambda event: go(address.to(blind=event.value)),
        ).props("no-caps")
    return labels


async def _asked(
    session: Session, question: Question, labels: Sequence[str], k: int
) -> tuple[list[Answer], dict[tuple[str, str], float]]:
    wanted = replace(session.wanted, k=k)
    return await waiting("Listening …", session.service.compare, question, wanted, labels)


async def _side_by_side(session: Session, question: Question, labels: Sequence[str]) -> None:
    k = session.address.k
    answers, overlaps = await _asked(session, question, labels, k)
    deck = Deck(session.address, session.player, labels[0])
    show_question(session, deck, question)
    with ui.element("div").classes("metrics"):
        for (first, second), share in overlaps.items():
            _metric(f"{first} and {second}, overlap@{k}", f"{share:.0%}")
    first_ids = [hit.track_id for hit in answers[0].hits]
    if first_ids:
        ui.label(f"Arrows: ranks gained or lost beside {answers[0].embedder}.").classes("about")
    with ui.element("div").classes("columns even"):
        for answer in answers:
            with ui.element("section").classes("side"):
                heading(answer.embedder)
                if answer.error is not None:
                    problem(str(answer.error))
                    continue
                own = answer is answers[0] or not first_ids
                notes = [
                    "" if own else shift(hit.track_id, rank, first_ids, "only here")
                    for rank, hit in enumerate(answer.hits, 1)
                ]
                deck = Deck(session.address, session.player, answer.embedder)
                deck.answers(answer.hits, "side", actions=("play", "queue", "ask"), notes=notes)


def _metric(name: str, value: str) -> None:
    with ui.element("div").classes("metric"):
        ui.label(value).classes("value")
        ui.label(name).classes("about")


# --- blind ---------------------------------------------------------------------------------------


async def _blind(session: Session, labels: Sequence[str]) -> None:
    with ui.element("div").classes("blind") as place:
        await _ask(session, labels, place)


async def _ask(session: Session, labels: Sequence[str], place: ui.element) -> None:
    """Draw the next question, and how the embedders stand so far."""
    place.clear()
    with place, errors_shown():
        heading("Which is nearer to A, B or C?")
        ballot = await waiting("Looking for tracks to tell by …", _drawn, session, labels)
        if ballot is None:
            hint(
                "Nothing is left to ask: you voted on all tracks, or these embedders order them "
                "alike. Choose others, or fewer filters."
            )
        else:
            _ballot_box(session, labels, ballot, place)
        _standings(session)


def _drawn(session: Session, labels: Sequence[str]) -> Ballot | None:
    """Return the next question to two of some embedders."""
    first, second = random.sample(list(labels), 2)
    service, filters = session.service, session.address.filters
    cast, _ = votes.read(service.settings.paths.votes)
    asked = {vote.query for vote in cast if {vote.first, vote.second} == {first, second}}
    # An answer that is asked for twice tells nothing new, and would be counted twice.
    return service.ballot((first, second), filters, asked)


def _ballot_box(session: Session, labels: Sequence[str], ballot: Ballot, place: ui.element) -> None:
    triplet = ballot.triplet
    sides = [(triplet.first, ballot.pair[0]), (triplet.second, ballot.pair[1])]
    random.shuffle(sides)
    ids, winners = [triplet.query, *(one for one, _ in sides)], [name for _, name in sides]
    _to_hear(session, ballot.pair[0], ids)
    buttons: list[ui.button] = []

    def count() -> None:
        left = len({*ids} - session.player.heard)
        told.set_text(f"{left} left to hear, and you can vote." if left else "Now vote.")
        for button in buttons:
            button.set_enabled(not left)

    async def vote(winner: str) -> None:
        with errors_shown():
            session.service.vote(ballot, winner)
            ui.notify("Your vote is kept.", type="positive")
        # Its letters are those of the last question.
        session.player.stop()
        await _ask(session, labels, place)

    with ui.element("div").classes("votes"):
        for text, winner in (
            ("B is nearer", winners[0]),
            ("I cannot tell", ""),
            ("C is nearer", winners[1]),
        ):
            button = ui.button(text, on_click=partial(vote, winner)).props("no-caps")
            buttons.append(button if winner else button.props("outline"))
        told = ui.label().classes("about").props("role=status")
    session.player.when_heard(count)
    count()


def _to_hear(session: Session, embedder: str, ids: Sequence[str]) -> None:
    """Draw tracks without anything that tells what they are."""
    collection = session.service.open(embedder).collection
    songs = [song_of(collection.payload(one), name) for one, name in zip(ids, "ABC", strict=True)]
    with ui.element("ol").classes("cards triplet"):
        for number, song in enumerate(songs):
            with ui.element("li"), ui.element("article").classes("card"):
                ui.label(song["name"]).classes("name")
                icon_button(
                    "play_arrow",
                    f"Play {song['name']}",
                    partial(session.player.play, songs, number),
                    "play",
                )


def _standings(session: Session) -> None:
    path = session.service.settings.paths.votes
    cast, unreadable = votes.read(path)
    with ui.expansion(f"Your votes: {len(cast)}", icon="leaderboard").classes("score-of"):
        if unreadable:
            problem(f"{unreadable} lines of {path} cannot be read.")
        for one in session.service.standings():
            ui.label(f"{one}").classes("standing")
        ui.label(
            "Ranges are 95 % intervals that hold however often you look (Robbins, 1970). Votes for "
            "neither, and those on an embedder as it was before, do not count."
        ).classes("about")
