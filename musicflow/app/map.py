"""Map: every track a point. Click one to hear it, and draw a path from one to another."""

import html
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from musicflow.app.cards import card, clean, hit_card, plain
from musicflow.app.projection import method, places
from musicflow.app.view import View
from musicflow.index import Hit
from musicflow.recommend import path

# Tableau's ten; what has no colour of its own is grey.
_COLOURS = (
    "#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f",
    "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#17becf",
)  # fmt: skip
_GREY = "#9a9a9a"
_MANY = 2000
"""From so many points on, WebGL draws them."""


def main() -> None:
    """Draw the page."""
    look: View = st.session_state.view
    st.title("Map")
    collection = look.collection()
    with st.spinner("Drawing the map: once for each state of the collection …"):
        points = _places(look, look.label, collection.manifest.state)
    walk = _walk(look)
    wanted = set(collection.facet("track_id", look.filters)) if look.filters.conditions else None
    left, right = st.columns([5, 3], gap="large")
    with left:
        clicked = st.plotly_chart(
            figure(points, wanted, [hit.track_id for hit in walk]),
            key="points",
            on_select="rerun",
            selection_mode="points",
            config={"displayModeBar": False, "scrollZoom": True},
        )
        shown = len(points["x"]) if wanted is None else len(wanted)
        st.caption(
            f"{shown:,} tracks as {plain(look.label)} hears them, laid out by "
            f"{method(len(points['x']))}. Near points sound alike; distances between far ones "
            "say little. Scroll to zoom, click to hear."
        )
    with right:
        _selected(look, clicked["selection"]["points"])
        _path(look, walk)


@st.cache_resource(max_entries=8, show_spinner=False)
def _places(_look: View, label: str, _state: str) -> dict[str, np.ndarray]:
    return places(_look.collection(label), _look.settings.paths.map)


def figure(points: dict[str, np.ndarray], wanted: set[str] | None, walk: list[str]) -> go.Figure:
    """Points by genre, those that are wanted, and a line through a path's tracks."""
    ids = points["track_id"]
    kept = np.ones(len(ids), bool) if wanted is None else np.isin(ids, list(wanted))
    genres, counts = np.unique(points["genre"].astype(str), return_counts=True)
    coloured = list(genres[np.argsort(-counts, kind="stable")][: len(_COLOURS)])
    drawing = go.Figure()
    for genre, colour in [*zip(coloured, _COLOURS, strict=False), (None, _GREY)]:
        mine = points["genre"] == genre if genre else ~np.isin(points["genre"], coloured)
        rows = np.flatnonzero(mine & kept)
        if len(rows):
            name = escaped(genre) if genre else "other"
            drawing.add_trace(_trace(points, rows, name, colour))
    place = {track_id: row for row, track_id in enumerate(ids)}
    stops = [place[track_id] for track_id in walk if track_id in place]
    if stops:
        line = {"color": "#7c5cff", "width": 3}
        x, y = points["x"][stops], points["y"][stops]
        drawing.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="lines+markers",
                line=line,
                name="path",
                hoverinfo="skip",
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
    """A text for Plotly, which takes some HTML for markup."""
    return html.escape(clean(text))


def _trace(points: dict[str, np.ndarray], rows: np.ndarray, name: str, colour: str) -> Any:
    kind = go.Scattergl if len(points["x"]) > _MANY else go.Scatter
    hover = [
        f"{escaped(artist)} – {escaped(title)}<br>{escaped(genre)}"
        for artist, title, genre in zip(
            *(points[key][rows] for key in ("artist", "name", "genre")), strict=True
        )
    ]
    return kind(
        x=points["x"][rows],
        y=points["y"][rows],
        mode="markers",
        name=name,
        text=hover,
        hoverinfo="text",
        customdata=points["track_id"][rows],
        marker={"size": 8 if len(points["x"]) <= _MANY else 4, "color": colour, "opacity": 0.8},
    )


def _selected(look: View, chosen: list[dict[str, Any]]) -> None:
    """The clicked track, and what can be done with it."""
    ids = [point["customdata"] for point in chosen if "customdata" in point]
    if not ids:
        st.info("Click a point to hear its track.", icon=":material/touch_app:")
        return
    track_id = ids[0] if isinstance(ids[0], str) else ids[0][0]
    card(look, look.collection().payload(track_id), "map")
    with st.container(horizontal=True):
        for end, name in (("start", "Start a path here"), ("end", "End it here")):
            st.button(name, key=f"path-{end}", on_click=_set_end, args=[end, track_id])


def _set_end(end: str, track_id: str) -> None:
    st.session_state[f"path_{end}"] = track_id


def _walk(look: View) -> list[Hit]:
    """The path, once it has two ends."""
    state = st.session_state
    start, end = state.get("path_start"), state.get("path_end")
    if start is None or end is None or start == end:
        return []
    return path(look.collection(), start, end, state.get("steps", 6), look.filters)


def _path(look: View, walk: list[Hit]) -> None:
    if not walk:
        if "path_start" in st.session_state:
            st.caption("Now click the track where the path is to end.")
        return
    st.subheader("Path", anchor=False)
    st.slider("Tracks between", 1, 30, 6, key="steps", persist_state="session")
    for rank, hit in enumerate(walk, 1):
        hit_card(look, hit, rank, "path", picture=False, actions=("play", "like"))


if __name__ == "__main__":
    main()
