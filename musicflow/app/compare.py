"""Compare: one query to several embedders, side by side or blind."""

import itertools
import random
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from musicflow.app import votes
from musicflow.app.cards import card, errors_shown, hit_card, plain, shift
from musicflow.app.question import Question, answer, ask, surprise
from musicflow.app.view import View
from musicflow.app.votes import Standing, Vote
from musicflow.index import Hit
from musicflow.search.answers import overlap

BLIND_K = 5
"""Answers per embedder in a blind test."""

SIDE_BY_SIDE, BLIND = "Side by side", "Blind test"


def main() -> None:
    """Draw the page."""
    view: View = st.session_state.view
    st.title("Compare")
    if len(view.published) < 2:
        st.info("One embedder is published, and it takes two: `musicflow run --embedder …`.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        labels = st.multiselect(
            "Embedders",
            view.published,
            default=view.published[:2],
            max_selections=4,
            key="with",
            bind="query-params",
        )
        mode = st.segmented_control(
            "How",
            [SIDE_BY_SIDE, BLIND],
            default=SIDE_BY_SIDE,
            required=True,
            key="how",
            bind="query-params",
        )
    if len(labels) < 2:
        st.info("Choose two embedders or more.")
        return
    question = ask(view)
    with errors_shown():
        if question is not None and mode == BLIND:
            _blind(view, question, labels)
        elif question is not None:
            _side_by_side(view, question, labels)
    if mode == BLIND:
        with errors_shown():
            _score(view)


# --- side by side --------------------------------------------------------------------------------


def _side_by_side(view: View, question: Question, labels: Sequence[str]) -> None:
    answers = {label: answer(view, question, label) for label in labels}
    ids = {label: [hit.track_id for hit in hits] for label, hits in answers.items()}
    with st.container(horizontal=True):
        for first, second in itertools.combinations(labels, 2):
            st.metric(
                f"{plain(first)} and {plain(second)}, overlap@{view.k}",
                f"{overlap(ids[first], ids[second]):.0%}",
                width="content",
            )
    st.caption(f"Arrows: ranks gained or lost beside {plain(labels[0])}.")
    for column, label in zip(st.columns(len(labels)), labels, strict=True):
        with column:
            st.subheader(plain(label), anchor=False)
            for rank, hit in enumerate(answers[label], 1):
                note = "" if label == labels[0] else shift(hit, rank, ids[labels[0]], "only here")
                how = {"picture": False, "actions": ("play", "ask")}
                hit_card(view, hit, rank, f"side-{label}", note, **how)


# --- blind ---------------------------------------------------------------------------------------


def _blind(view: View, question: Question, labels: Sequence[str]) -> None:
    first, second = _ballot(question, labels)
    lists = [answer(view, question, label)[:BLIND_K] for label in (first, second)]
    ids = [[hit.track_id for hit in hits] for hits in lists]
    st.subheader("Which list suits better?", anchor=False)
    for column, name, hits in zip(st.columns(2), "AB", lists, strict=True):
        with column:
            st.subheader(f"List {name}", anchor=False)
            _without_a_trace(view, hits, name)
    if ids[0] == ids[1]:
        st.info("Both answer alike here. Try another track.")
        return
    key = question if isinstance(question, str) else "upload"
    with st.container(horizontal=True, horizontal_alignment="center"):
        for name, winner in (
            ("A suits better", first),
            ("Both alike", ""),
            ("B suits better", second),
        ):
            vote = Vote(first, second, winner, key, len(lists[0]))
            st.button(
                name, on_click=_vote, args=[view, vote], type="primary" if winner else "secondary"
            )


def _ballot(question: Question, labels: Sequence[str]) -> tuple[str, str]:
    """Return two embedders in random order, the same until the vote."""
    about = question if isinstance(question, str) else question.key
    kept = st.session_state.get("ballot")
    if kept is None or kept[:2] != (about, tuple(labels)):
        kept = about, tuple(labels), tuple(random.sample(list(labels), 2))
        st.session_state.ballot = kept
    first, second = kept[2]
    return first, second


def _without_a_trace(view: View, hits: Sequence[Hit], name: str) -> None:
    """Draw answers without scores and tags, which would reveal the embedder."""
    for rank, hit in enumerate(hits, 1):
        payload = hit.payload | {"tags": ()}
        key = f"blind-{name}-{rank}"
        card(view, payload, key, f":gray[{rank}]", picture=False, actions=("play",))


def _vote(view: View, vote: Vote) -> None:
    with errors_shown():
        votes.cast(view.settings.paths.votes, vote)
        st.session_state.pop("ballot", None)
        st.toast("Your vote is kept.", icon=":material/how_to_vote:")
        if st.session_state.track:
            surprise(view)


def _score(view: View) -> None:
    cast, unreadable = votes.read(view.settings.paths.votes)
    with st.expander(f"Your score (votes: {len(cast)})", icon=":material/leaderboard:"):
        if unreadable:
            st.warning(f"{unreadable} lines of {plain(view.settings.paths.votes)} cannot be read.")
        if not cast:
            st.write("No vote yet.")
            return
        standings = votes.standings(cast)
        st.dataframe(_table(standings), hide_index=True)
        best = standings[0]
        if best.low > 0.5:
            st.write(f"By your ears, **{plain(best.embedder)}** suits better.")
        else:
            st.write("Too close to tell yet: more votes narrow the intervals.")
        st.caption("A tie counts half a win. The interval is Wilson's, at 95 %.")


def _table(standings: Sequence[Standing]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "embedder": standing.embedder,
                "votes": standing.votes,
                "wins": standing.wins,
                "ties": standing.ties,
                "share": f"{standing.share:.0%}",
                "95 % interval": f"{standing.low:.0%} – {standing.high:.0%}",
            }
            for standing in standings
        ]
    )


if __name__ == "__main__":
    main()
