"""Map: every track a point. Click one to hear it, and draw a path from one to another."""

import html
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from musicflow.app.cards import Action, card, clean, cover, errors_shown, hit_card, plain
from musicflow.app.view import View
from musicflow.evaluation.projection import GREY, colours, places
from musicflow.index import Hit
from musicflow.search.path import path

_MANY = 2000
"""The number of points from which on WebGL draws them."""


def main() -> None:
    """Draw the page."""
    view: View = st.session_state.view
    st.title("Map")
    collection = view.collection()
    with st.spinner("Drawing the map: once for each state of the collection …"):
        points = _places(view, view.label, collection.manifest.state)
    walk = _walk(view)
    wanted = set(collection.facet("track_id", view.filters)) if view.filters.conditions else None
    left, right = st.columns([5, 3], gap="large")
    with left:
        clicked = st.plotly_chart(
            figure(points, wanted, [hit.track_id for hit in walk]),
            key=f"points-{view.label}",
            on_select="rerun",
            selection_mode="points",
            config={"displayModeBar": False, "scrollZoom": True},
        )
        shown = len(points) if wanted is None else len(wanted)
        st.caption(
            f"{shown:,} tracks as {plain(view.label)} hears them, laid out by t-SNE. Near points "
            "sound alike; distances between far ones say little. Scroll to zoom, click to hear."
        )
    with right:
        _selected(view, clicked["selection"]["points"])
        _path(view, walk)


@st.cache_resource(max_entries=8, show_spinner=False)
def _places(_view: View, label: str, state: str) -> pd.DataFrame:  # noqa: ARG001
    return places(_view.collection(label), _view.settings.paths.reports)


def figure(points: pd.DataFrame, wanted: set[str] | None, walk: list[str]) -> go.Figure:
    """Return the figure: points by genre, and a line through a path's tracks."""
    coloured = colours(points["genre"])
    shown = points if wanted is None else points[points["track_id"].isin(wanted)]
    drawing = go.Figure()
    # Grey lies below the rest.
    others = shown[~shown["genre"].isin(list(coloured))]
    for name, some, colour in [
        ("other", others, GREY),
        *((escaped(genre), shown[shown["genre"] == genre], c) for genre, c in coloured.items()),
    ]:
        if len(some):
            drawing.add_trace(_trace(some, name, colour, len(points) > _MANY))
    stops = points.set_index("track_id").reindex(walk).dropna()
    if len(stops):
        drawing.add_trace(
            go.Scatter(
                x=stops["x"],
                y=stops["y"],
                mode="lines+markers",
                name="path",
                hoverinfo="skip",
                line={"color": "#7c5cff", "width": 3},
                marker={"size": 10, "symbol": "circle-open", "line": {"width": 2}},
            )
        )
    axis: dict[str, Any] = {"visible": False}
    drawing.update_layout(
        xaxis=axis,
        yaxis=axis | {"scaleanchor": "x"},
        height=620,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        dragmode="pan",
        clickmode="event+select",
        legend={"orientation": "h", "itemsizing": "constant"},
        uirevision="kept",
    )
    return drawing


def escaped(text: object) -> str:
    """Return a text for Plotly, which takes some HTML for markup."""
    return html.escape(clean(text))


def _trace(points: pd.DataFrame, name: str, colour: str, many: bool) -> Any:
    names = zip(points["artist"], points["name"], points["genre"], strict=True)
    return (go.Scattergl if many else go.Scatter)(
        x=points["x"],
        y=points["y"],
        mode="markers",
        name=name,
        text=[f"{escaped(a)} – {escaped(n)}<br>{escaped(genre)}" for a, n, genre in names],
        hoverinfo="text",
        customdata=points["track_id"],
        legendrank=1001 if colour == GREY else 1000,
        marker={"size": 4 if many else 8, "color": colour, "opacity": 0.8},
        unselected={"marker": {"opacity": 0.5}},
    )


def _selected(view: View, chosen: list[dict[str, Any]]) -> None:
    """Draw the clicked track, with buttons to act on it."""
    ids = [point["customdata"] for point in chosen if "customdata" in point]
    if not ids:
        st.info("Click a point to hear its track.", icon=":material/touch_app:")
        return
    track_id = ids[0] if isinstance(ids[0], str) else ids[0][0]
    track = view.catalogue.get(track_id)
    if track is not None and (image := cover(track)):
        st.image(image, width="stretch")
    actions: tuple[Action, ...] = ("play", "like", "dislike")
    card(view, view.collection().payload(track_id), "map", picture=False, actions=actions)
    with st.container(horizontal=True):
        for end, name in (("start", "Start a path here"), ("end", "End it here")):
            st.button(name, key=f"path-{end}", on_click=_set_end, args=[end, track_id])


def _set_end(end: str, track_id: str) -> None:
    st.session_state[f"path_{end}"] = track_id


def _walk(view: View) -> list[Hit]:
    """Return the path, once it has two ends."""
    state = st.session_state
    start, end = state.get("path_start"), state.get("path_end")
    if start is None or end is None or start == end:
        return []
    with errors_shown():
        return path(view.collection(), start, end, state.get("steps", 6), view.filters)
    return []


def _path(view: View, walk: list[Hit]) -> None:
    if not walk:
        if "path_start" in st.session_state:
            st.caption("Now click the track where the path is to end.")
        return
    st.subheader("Path", anchor=False)
    st.slider("Tracks between", 1, 30, 6, key="steps", persist_state="session")
    for rank, hit in enumerate(walk, 1):
        hit_card(view, hit, rank, "path", picture=False, actions=("play", "like"))


if __name__ == "__main__":
    main()
