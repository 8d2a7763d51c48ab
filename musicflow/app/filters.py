"""The drawer: how many answers, and which tracks may be some."""

import math
from collections.abc import Sequence

from nicegui import events, ui

from musicflow.app.cards import go
from musicflow.app.names import clean
from musicflow.app.service import Open
from musicflow.app.shared import Session, errors_shown
from musicflow.index import FilterError
from musicflow.index.fields import Field, of_kind
from musicflow.index.filters import Filters

_MAX_OFFERED = 500
"""The most values of a field that are offered; others can be typed."""


def filters(session: Session) -> None:
    """Draw the drawer for the address of a session."""
    address = session.address
    with ui.element("div").classes("filters"):
        ui.label("Answers").classes("title")
        ui.slider(min=1, max=50, value=address.k).props("label aria-label=Answers").on(
            "change", lambda event: go(session.address.to(k=int(event.args)))
        )
        with errors_shown():
            opened = session.open()
            _held(session)
            _keywords(session, opened)
            _numbers(session, opened)
            _typed(session, opened)
            _variety(session)


def _held(session: Session) -> None:
    """Draw the filters that hold, each with a button to take it out."""
    address = session.address
    if not address.filters:
        return
    with ui.element("div").classes("held"):
        for text in address.filters:
            rest = tuple(other for other in address.filters if other != text)
            chip = ui.chip(clean(text, 60), removable=True).props("dense outline")
            chip.on("remove", lambda _, to=rest: go(session.address.to(filters=to)))
        ui.button(
            "Clear",
            icon="filter_alt_off",
            on_click=lambda: go(session.address.to(filters=())),
        ).props("flat dense no-caps")


def _keywords(session: Session, opened: Open) -> None:
    """Draw a field per property: tracks that have any of its values."""
    table = opened.collection.manifest.table
    for field in of_kind("keyword", table):
        if not field.offered:
            continue
        counts = session.service.facet(field.name, (), opened.label)
        if len(counts) < 2 and not any(_is_of(field, text) for text in session.address.filters):
            continue
        options = {
            value: f"{clean(value, 60)} ({count:,})"
            for value, count in list(counts.items())[:_MAX_OFFERED]
        }
        chosen = [text.partition("=")[2] for text in session.address.filters if _is_of(field, text)]
        ui.select(
            options | {value: clean(value, 60) for value in chosen if value not in options},
            value=chosen,
            label=field.title,
            multiple=True,
            with_input=True,
            on_change=lambda event, f=field: _choose(session, f, event.value),
        ).props("dense outlined use-chips options-dense").classes(f"by-{field.name}")


def _is_of(field: Field, text: str) -> bool:
    return text.startswith(f"{field.name}=")


def _choose(session: Session, field: Field, values: Sequence[str]) -> None:
    others = [text for text in session.address.filters if not _is_of(field, text)]
    wanted = (*others, *(f"{field.name}={value}" for value in values))
    go(session.address.to(filters=wanted))


def _numbers(session: Session, opened: Open) -> None:
    extents = session.service.extents(opened)
    for field in of_kind("number", opened.collection.manifest.table):
        if not field.offered or field.name not in extents:
            continue
        first, last = math.floor(extents[field.name][0]), math.ceil(extents[field.name][1])
        if first < last:
            _number(session, field, first, last)


def _number(session: Session, field: Field, first: int, last: int) -> None:
    low, high = _bounds(session.address.filters, field, first, last)
    title = f"{field.title} in {field.unit}" if field.unit else field.title
    shown = ui.label(f"{title}: {low}–{high}").classes("title")
    own = f"{field.name}>=", f"{field.name}<="

    def choose(event: events.GenericEventArguments) -> None:
        least, most = int(event.args["min"]), int(event.args["max"])
        shown.set_text(f"{title}: {least}–{most}")
        others = [text for text in session.address.filters if not text.startswith(own)]
        bounds = [f"{field.name}>={least}"] * (least > first)
        bounds += [f"{field.name}<={most}"] * (most < last)
        go(session.address.to(filters=(*others, *bounds)))

    step = max(1, (last - first) // 100)
    scale = ui.range(min=first, max=last, step=step, value={"min": low, "max": high})
    scale.props("label").on("change", choose)
    scale.props["aria-label"] = title


def _bounds(texts: Sequence[str], field: Field, first: int, last: int) -> tuple[int, int]:
    """Return the bounds that hold for a number; the whole range if there are none."""
    low, high = first, last
    try:
        conditions = Filters.parse(t for t in texts if t.startswith(field.name)).conditions
    except FilterError:
        return first, last
    for condition in conditions:
        value = float(condition.values[0])
        low = max(low, math.floor(value)) if ">" in condition.sign else low
        high = min(high, math.ceil(value)) if "<" in condition.sign else high
    return min(low, last), max(high, first)


def _typed(session: Session, opened: Open) -> None:
    """Draw a field for any filter; a typo shows here, and the answers stay."""

    def enter() -> None:
        text = (field.value or "").strip()
        if not text:
            return
        try:
            session.service.filters_for(opened.collection, [text])
        except FilterError as error:
            field.props["error"] = True
            field.props["error-message"] = clean(error, 400)
            return
        wanted = dict.fromkeys((*session.address.filters, text))
        go(session.address.to(filters=tuple(wanted)))

    field = ui.input("Another filter", placeholder="name!=Intro").props(
        "dense outlined clearable stack-label"
    )
    field.classes("typed").on("keydown.enter", enter)
    ui.label(
        "key=value (any of them), key+=value (all), key!=value (none), key<number; then Enter."
    ).classes("about")


def _variety(session: Session) -> None:
    address = session.address
    ui.label("Variety").classes("title")
    for name, text in (("most", "artist"), ("most_of_album", "album")):
        ui.number(
            f"At most per {text} (0: any)",
            value=getattr(address, name),
            min=0,
            max=10,
            on_change=lambda event, to=name: go(session.address.to(**{to: int(event.value or 0)})),
        ).props("dense outlined debounce=400")
    ui.switch(
        "No artist twice in a row",
        value=address.apart,
        on_change=lambda event: go(session.address.to(apart=event.value)),
    ).props("dense")
    ui.select(
        {"": "as they are", "csls": "corrected: CSLS", "mutual-proximity": "corrected: mutual"},
        value=address.correct,
        label="Tracks that answer everything",
        on_change=lambda event: go(session.address.to(correct=event.value)),
    ).props("dense outlined")
