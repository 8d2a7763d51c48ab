"""Find: tracks that sound like a query, and tracks that suit one's taste."""

import streamlit as st

from musicflow.app.cards import draw, errors_shown, hit_card, none, plain, shift
from musicflow.app.question import Question, answer, ask
from musicflow.app.uploads import Upload
from musicflow.app.view import KINDS, Kind, View, forget, prefer, preferences
from musicflow.library.recordings import Verdicts
from musicflow.search.recommend import Strategy, recommend

STRATEGIES: dict[Strategy, str] = {
    "average": "near the middle of what you like",
    "best-score": "near anything you like",
    "sum-scores": "near all you like together",
}


def main() -> None:
    """Draw the page."""
    view: View = st.session_state.view
    st.title("Find")
    question = ask(view, in_words=True)
    left, right = st.columns([3, 2], gap="large")
    with right, errors_shown():
        _for_you(view)
    with left, errors_shown():
        if question is not None:
            _answers(view, question)


def _answers(view: View, question: Question) -> None:
    st.subheader("Sounds like it")
    hits = answer(view, question)
    if not hits:
        none()
    draw(view.catalogue.get(hit.track_id) for hit in hits)
    for rank, hit in enumerate(hits, 1):
        hit_card(view, hit, rank, "answer")


def _for_you(view: View) -> None:
    st.subheader("For you")
    for kind in KINDS:
        _chosen(view, kind)
    likes, dislikes = (
        [view.vector(e) if isinstance(e, Upload) else e for e in preferences(kind)]
        for kind in KINDS
    )
    if not likes:
        st.caption("Like some tracks :material/thumb_up:, and this list follows your taste.")
        return
    st.button("Start over", key="forget", icon=":material/restart_alt:", on_click=forget)
    with st.expander("How", icon=":material/tune:"):
        strategy = st.radio(
            "Strategy",
            list(STRATEGIES),
            captions=list(STRATEGIES.values()),
            key="strategy",
            bind="query-params",
        )
        diverse = st.toggle("More variety", key="diverse", bind="query-params")
        most = st.slider(
            "At most so many by an artist (0: any)", 0, 10, 0, key="most", bind="query-params"
        )
    hits = recommend(
        view.collection(),
        likes,
        dislikes,
        view.k,
        view.filters,
        strategy=strategy or "average",
        diverse=diverse,
        max_per_artist=most or None,
        verdicts=Verdicts.load(view.settings.paths.recordings),
    )
    if not hits:
        none()
    state = st.session_state
    if state.shown_before and hits:
        new = sum(hit.track_id not in state.shown_before for hit in hits)
        st.caption(f"Your last click brought {new} of {len(hits)} tracks in.")
    for rank, hit in enumerate(hits, 1):
        moved = state.shown_before and shift(hit, rank, state.shown_before, "new")
        hit_card(view, hit, rank, "for-you", moved or "", picture=False, actions=("play", *KINDS))
    state.shown = [hit.track_id for hit in hits]


def _chosen(view: View, kind: Kind) -> None:
    examples = preferences(kind)
    if not examples:
        return
    icon = "thumb_up" if kind == "like" else "thumb_down"
    with st.container(horizontal=True, gap="xsmall"):
        for number, example in enumerate(examples):
            st.button(
                plain(_name(view, example)),
                key=f"chosen-{kind}-{number}",
                icon=f":material/{icon}:",
                help="Take it back",
                type="tertiary",
                on_click=prefer,
                args=[kind, example],
            )


def _name(view: View, example: str | Upload) -> str:
    if isinstance(example, Upload):
        return example.name
    track = view.catalogue.get(example)
    return example if track is None else track.name


if __name__ == "__main__":
    main()
