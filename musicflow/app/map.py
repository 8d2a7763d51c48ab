"""Map: every track a point. Click one to hear it, and draw a path from one to another."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from nicegui import events, ui

from musicflow.app import cards
from musicflow.app.address import MAX_STEPS
from musicflow.app.cards import Deck
from musicflow.app.find import playlist_button
from musicflow.app.names import clean
from musicflow.app.player import song_of
from musicflow.app.questions import Answer
from musicflow.app.shared import Session, errors_shown, heading, hint, waiting
from musicflow.evaluation.clusters import Clusters
from musicflow.evaluation.projection import GREY, colours
from musicflow.text import counted

_CONFIG = {
    "scrollZoom": True,
    "displaylogo": False,
    # A list of the buttons that stay makes Plotly draw without end.
    "modeBarButtonsToRemove": ["toImage", "zoom2d", "select2d", "zoomIn2d", "zoomOut2d"],
    "modeBarButtonsToAdd": ["lasso2d"],
}
"""How a drawing behaves; the buttons stand above it."""

_TRACKS = "(event) => emit((event?.points ?? []).map((p) => p.customdata).filter(Boolean))"
"""The ids of the points that an event is about: with each point comes all that is drawn."""

_PLAYED = 200
"""The most tracks of a selection that are played: the first."""

_MANY = 2000
"""The number of points from which on WebGL draws them."""


async def map_page(session: Session) -> None:
    """Draw the page."""
    address, service = session.address, session.service
    with errors_shown():
        named = address.embedder or None
        label, points = await waiting(
            "Drawing the map: once for each state of the collection …", service.map, named
        )
        found = await waiting("Looking for clusters …", service.clusters, named)
        walk = await _walk(session)
        _, ids = service.tracks("", address.filters, named)
        wanted = set(ids) if address.filters else None
        shown = len(points) if wanted is None else len(wanted)
        stops = [hit.track_id for hit in walk.hits] if walk else []
        with ui.element("div").classes("columns"):
            with ui.element("section").classes("wide"):
                drawing = figure(points, wanted, stops).to_plotly_json()
                chart = ui.plotly(drawing | {"config": _CONFIG}).classes("map")
                ui.label(
                    f"{shown:,} tracks as {label} hears them, laid out by t-SNE. Near points sound "
                    "alike; distances between far ones say little. Scroll to zoom, click to hear, "
                    "draw around some to make a playlist of them."
                ).classes("about")
            with ui.element("section"):
                selected = ui.element("div").classes("selected")
                with selected:
                    hint("Click a point to hear its track.", "touch_app")
                _path(session, walk, label)
                _clusters(session, found, selected, partial(_light_up, chart, drawing["data"]))
        deck = Deck(address, session.player, label)

        def click(event: events.GenericEventArguments) -> None:
            if event.args:
                _select(session, deck, selected, event.args[0])

        def lasso(event: events.GenericEventArguments) -> None:
            if event.args:
                _select_many(session, selected, event.args)

        chart.on("plotly_click", click, js_handler=_TRACKS)
        chart.on("plotly_selected", lasso, js_handler=_TRACKS)


def _select(session: Session, deck: Deck, place: ui.element, track_id: str) -> None:
    payload = session.open().collection.payload(track_id)
    session.player.play([song_of(payload)])
    address = session.address
    place.clear()
    with place:
        deck.track(payload, ("play", "queue", "radio", "like", "dislike", "ask"))
        with ui.element("div").classes("ends"):
            for end, text in (("start", "Start a path here"), ("end", "End it here")):
                changed = address.to(**{end: track_id})
                ui.button(text, on_click=lambda _, to=changed: cards.go(to)).props(
                    "outline no-caps dense"
                )
    _bring_in_sight(place)


def _bring_in_sight(place: ui.element) -> None:
    # A path is longer than a screen, and so is the map on a phone.
    ui.run_javascript(f"getHtmlElement({place.id}).scrollIntoView({{block: 'nearest'}})")


def _select_many(session: Session, place: ui.element, ids: list[str], name: str = "") -> None:
    def play() -> None:
        collection = session.open().collection
        session.player.play(song_of(collection.payload(one)) for one in ids[:_PLAYED])

    place.clear()
    with place:
        ui.label(" · ".join(filter(None, [name, counted(len(ids), "track")]))).classes("name")
        ui.button("Play", icon="play_arrow", on_click=play).props("no-caps")
        ui.button(
            "Save as playlist",
            icon="playlist_add",
            on_click=lambda: session.save_playlist(ids, name),
        ).props("flat no-caps")


def _light_up(chart: ui.plotly, traces: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> None:
    """Show some tracks before the others."""
    chosen = set(ids)
    places = [
        [place for place, one in enumerate(trace.get("customdata", ())) if one in chosen]
        for trace in traces
    ]
    chart.run_plot_method("restyle", {"selectedpoints": places})


def _clusters(
    session: Session,
    found: Clusters,
    place: ui.element,
    light_up: Callable[[Sequence[str]], object],
) -> None:
    """Draw the names of the clusters; a click chooses the tracks of one."""
    heading("Clusters")

    def choose(ids: list[str], name: str) -> None:
        light_up(ids)
        _select_many(session, place, ids, name)
        _bring_in_sight(place)

    with ui.element("div").classes("clusters"):
        for cluster in found.clusters:
            ids, name = list(cluster.track_ids), clean(cluster.name)
            ui.button(f"{name} ({len(ids):,})", on_click=partial(choose, ids, name)).props(
                "outline dense no-caps"
            )


async def _walk(session: Session) -> Answer | None:
    """Return the path, once it has two ends."""
    address = session.address
    if not address.start or not address.end or address.start == address.end:
        return None
    with errors_shown():
        found: Answer = await waiting(
            "Walking …",
            session.service.path,
            address.start,
            address.end,
            address.steps,
            session.wanted,
        )
        return found
    return None


def _path(session: Session, walk: Answer | None, label: str) -> None:
    address = session.address
    if not address.start and not address.end:
        return
    heading("Path")
    if walk is None:
        hint(f"Now click the track where the path is to {'end' if address.start else 'start'}.")
    else:
        ui.number(
            "Tracks between",
            value=address.steps,
            min=1,
            max=MAX_STEPS,
            on_change=lambda event: cards.go(address.to(steps=int(event.value or 1))),
        ).props("dense outlined debounce=400").classes("steps")
        deck = Deck(address, session.player, label)
        deck.answers(walk.hits, "path", actions=("play", "queue", "like"))
        playlist_button(session, walk.hits)
    ui.button(
        "Clear the path", icon="clear", on_click=lambda: cards.go(address.to(start="", end=""))
    ).props("flat no-caps")


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
        margin={"l": 0, "r": 0, "t": 30, "b": 0},
        dragmode="pan",
        clickmode="event+select",
        legend={"orientation": "h", "itemsizing": "constant"},
        uirevision="kept",
        # The page's own ground shows through, be it light or dark.
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "#85828f"},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#85828f", "activecolor": "#7c5cff"},
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
        unselected={"marker": {"opacity": 0.1 if many else 0.25}},
    )
