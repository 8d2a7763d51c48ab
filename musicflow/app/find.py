"""Find: what sounds like a track, and what suits one's taste."""

import streamlit as st

from musicflow.app import view
from musicflow.app.cards import hit_card, none, plain, telling
from musicflow.app.question import Question, answer, ask
from musicflow.app.uploads import Upload
from musicflow.app.view import KINDS, Kind, View
from musicflow.index import Hit
from musicflow.recommend import Strategy, recommend

STRATEGIES: dict[Strategy, str] = {
    "average": "near the middle of what you like",
    "best-score": "near anything you like",
    "sum-scores": "near all you like together",
}


def main() -> None:
    """Draw the page."""
    look: View = st.session_state.view
    st.title("Find")
    question = ask(look)
    left, right = st.columns([3, 2], gap="large")
    with right, telling():
        _for_you(look)
    with left, telling():
        if question is not None:
            _answers(look, question)


def _answers(look: View, question: Question) -> None:
    st.subheader("Sounds like it")
    hits = answer(look, question)
    if not hits:
        none(look)
    for rank, hit in enumerate(hits, 1):
        hit_card(look, hit, rank, "answer")


def _for_you(look: View) -> None:
    st.subheader("For you")
    for kind in KINDS:
        _chosen(look, kind)
    likes, dislikes = (
        [look.vector(e) if isinstance(e, Upload) else e for e in view.preferences(kind)]
        for kind in KINDS
    )
    if not likes:
        st.caption("Like some tracks :material/thumb_up:, and this list follows your taste.")
        return
    st.button("Start over", key="forget", icon=":material/restart_alt:", on_click=view.forget)
    with st.expander("How", icon=":material/tune:"):
        strategy = st.radio(
            "Strategy",
            list(STRATEGIES),
            format_func=lambda name: f"{name}: {STRATEGIES[name]}",
            key="strategy",
            bind="query-params",
        )
        diverse = st.toggle("More variety", key="diverse", bind="query-params")
        most = st.slider(
            "At most so many by an artist (0: any)", 0, 10, 0, key="most", bind="query-params"
        )
    hits = recommend(
        look.collection(),
        likes,
        dislikes,
        look.k,
        look.filters,
        strategy=strategy or "average",
        diverse=diverse,
        max_per_artist=most or None,
    )
    state = st.session_state
    moved = moves(hits, state.shown_before)
    if state.shown_before and hits:
        st.caption(
            f"Your last click brought {sum(m == NEW for m in moved)} of {len(hits)} tracks in."
        )
    if not hits:
        none(look)
    for rank, (hit, move) in enumerate(zip(hits, moved, strict=True), 1):
        hit_card(look, hit, rank, "for-you", move, picture=False, actions=("play", *KINDS))
    state.shown = [hit.track_id for hit in hits]


NEW = ":green-badge[new]"


def moves(hits: list[Hit], before: list[str]) -> list[str]:
    """What the last like or dislike did to each answer, as Markdown."""
    if not before:
        return [""] * len(hits)
    moves = []
    for rank, hit in enumerate(hits):
        up = before.index(hit.track_id) - rank if hit.track_id in before else None
        if up is None:
            moves.append(NEW)
        else:
            moves.append(f":green[▲{up}]" if up > 0 else f":red[▼{-up}]" if up < 0 else "")
    return moves


def _chosen(look: View, kind: Kind) -> None:
    examples = view.preferences(kind)
    if not examples:
        return
    icon = "thumb_up" if kind == "like" else "thumb_down"
    with st.container(horizontal=True, gap="xsmall"):
        for number, example in enumerate(examples):
            st.button(
                plain(_name(look, example)),
                key=f"chosen-{kind}-{number}",
                icon=f":material/{icon}:",
                help="Take it back",
                type="tertiary",
                on_click=view.prefer,
                args=[kind, example],
            )


def _name(look: View, example: str | Upload) -> str:
    if isinstance(example, Upload):
        return example.name
    track = look.catalogue.get(example)
    return example if track is None else track.name


if __name__ == "__main__":
    main()
