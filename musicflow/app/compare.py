"""Compare: one question to several embedders, side by side or blind."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from nicegui import ui

from musicflow.app import votes
from musicflow.app.cards import Deck, go, icon_button
from musicflow.app.find import shift
from musicflow.app.player import song_of
from musicflow.app.service import Answer, Question
from musicflow.app.shared import (
    Session,
    ask,
    errors_shown,
    heading,
    hint,
    problem,
    show_question,
    surprise,
    waiting,
)
from musicflow.app.votes import Vote
from musicflow.index import Hit

BLIND_K = 3
"""Answers per embedder in a blind test: all of them are to be heard."""

MAX_EMBEDDERS = 4


async def compare(session: Session) -> None:
    """Draw the page."""
    published = session.service.labels()
    if len(published) < 2:
        hint("One embedder is published, and it takes two: `musicflow run --embedder …`.")
        return
    labels = _choice(session, published)
    if len(labels) < 2:
        hint("Choose two embedders or more.")
        return
    ask(session)
    with errors_shown():
        question = session.question()
        if question is None:
            hint("Search for a track, drop a song, or let chance decide.", "hearing")
        elif session.address.blind:
            await _blind(session, question, labels)
        else:
            await _side_by_side(session, question, labels)
    if session.address.blind:
        with errors_shown():
            _score(session)


def _choice(session: Session, published: Sequence[str]) -> list[str]:
    address = session.address
    labels = [label for label in address.against if label in published][:MAX_EMBEDDERS]
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


async def _blind(session: Session, question: Question, labels: Sequence[str]) -> None:
    pair = session.ballot(question, labels)
    answers, _ = await _asked(session, question, pair, BLIND_K)
    if errors := [answer.error for answer in answers if answer.error is not None]:
        raise errors[0]
    first, second = (answer.hits for answer in answers)
    heading("Which list suits better?")
    if [hit.track_id for hit in first] == [hit.track_id for hit in second]:
        hint("Both answer alike here. Try another track.")
        ui.button("Another track", icon="casino", on_click=partial(surprise, session))
        return
    _question_to_hear(session, question)
    with ui.element("div").classes("columns even blind"):
        for name, hits in zip("AB", (first, second), strict=True):
            with ui.element("section"):
                heading(f"List {name}")
                _without_a_trace(session, hits, name)
    _ballot_box(session, question, pair, [*first, *second])


def _question_to_hear(session: Session, question: Question) -> None:
    if question.track is None:
        return
    song = song_of(session.open().collection.payload(question.track), hidden="The question")
    ui.button(
        "Hear the question", icon="play_arrow", on_click=lambda: session.player.play([song])
    ).props("outline no-caps")


def _without_a_trace(session: Session, hits: Sequence[Hit], name: str) -> None:
    """Draw answers without anything that tells what they are, or who found them."""
    songs = [song_of(hit.payload, f"{name}{rank}") for rank, hit in enumerate(hits, 1)]
    with ui.element("ol").classes("cards blind"):
        for place, song in enumerate(songs):
            with ui.element("li"), ui.element("article").classes("card"):
                ui.label(song["name"]).classes("name")
                icon_button(
                    "play_arrow",
                    f"Play {song['name']}",
                    partial(session.player.play, songs, place),
                    "play",
                )


def _ballot_box(
    session: Session, question: Question, pair: tuple[str, str], hits: Sequence[Hit]
) -> None:
    wanted = {hit.track_id for hit in hits}
    buttons: list[ui.button] = []

    def count() -> None:
        left = len(wanted - session.player.heard)
        told.set_text(f"{left} left to hear, and you can vote." if left else "Now vote.")
        for button in buttons:
            button.set_enabled(not left)

    def vote(winner: str) -> None:
        about = question.track if question.track is not None else "upload"
        with errors_shown():
            k, ids = len(hits) // 2, [hit.track_id for hit in hits]
            one = Vote(*pair, winner, about, k, answers=(ids[:k], ids[k:]))
            votes.cast(session.service.settings.paths.votes, one)
            session.forget_ballot()
            ui.notify("Your vote is kept.", type="positive")
            if question.track is not None:
                surprise(session)

    with ui.element("div").classes("votes"):
        for text, winner in (
            ("A suits better", pair[0]),
            ("Both alike", ""),
            ("B suits better", pair[1]),
        ):
            button = ui.button(text, on_click=partial(vote, winner)).props("no-caps")
            buttons.append(button if winner else button.props("outline"))
        told = ui.label().classes("about").props("role=status")
    session.player.when_heard(count)
    count()


def _score(session: Session) -> None:
    cast, unreadable = votes.read(session.service.settings.paths.votes)
    with ui.expansion(f"Your score (votes: {len(cast)})", icon="leaderboard").classes("score-of"):
        if unreadable:
            problem(f"{unreadable} lines of {session.service.settings.paths.votes} cannot be read.")
        if not cast:
            ui.label("No vote yet.")
            return
        standings = votes.standings(cast)
        rows = [
            {
                "embedder": one.embedder,
                "votes": one.votes,
                "wins": one.wins,
                "ties": one.ties,
                "share": f"{one.share:.0%}",
                "95 % interval": f"{one.low:.0%} – {one.high:.0%}",
            }
            for one in standings
        ]
        ui.table(rows=rows).props("flat dense")
        best = standings[0]
        ui.label(
            f"By your ears, {best.embedder} suits better."
            if best.low > 0.5
            else "Too close to tell yet: more votes narrow the intervals."
        )
        ui.label("A tie counts half a win. The interval is Wilson's, at 95 %.").classes("about")
