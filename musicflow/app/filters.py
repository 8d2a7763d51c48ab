"""The drawer: how many answers, and which tracks may be some."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nicegui import events, ui

from musicflow.app.address import Address
from musicflow.app.cards import go
from musicflow.app.names import clean
from musicflow.app.questions import Open
from musicflow.app.shared import Session, errors_shown
from musicflow.index import FilterError
from musicflow.index.fields import Field, of_kind
from musicflow.index.filters import Filters

_MAX_OFFERED = 500
"""The most values of a field that are offered; others can be typed."""


Update = Callable[[], object]
"""Brings a part of the drawer up to date with the address of its session."""


def filters(session: Session) -> Update:
    """Draw the drawer; it stays as it is while the address changes, but for its values."""
    parts: list[Update] = []
    with ui.element("div").classes("filters"):
        ui.label("Answers").classes("title")
        parts.append(_count(session))
        with errors_shown():
            opened = session.open()
            parts.append(_held(session))
            parts += _keywords(session, opened)
            parts += _numbers(session, opened)
            _typed(session, opened)
            parts += _variety(session)

    def update() -> None:
        for part in parts:
            part()

    update()
    return update


def _show(session: Session, **changes: Any) -> None:
    """Show another view, if it is another one: parts that are brought up to date ask, too."""
    address = session.address.to(**changes)
    if _view(address) != _view(session.address):
        go(address)


def _view(address: Address) -> Address:
    """Return an address as it is compared: filters hold in any order."""
    return address.to(filters=tuple(sorted(address.filters)))


def _count(session: Session) -> Update:
    slider = ui.slider(min=1, max=50).props("label aria-label=Answers")
    slider.on("change", lambda event: _show(session, k=int(event.args)))
    return lambda: slider.set_value(session.address.k)


def _held(session: Session) -> Update:
    """Draw the filters that hold, each with a button to take it out."""
    place = ui.element("div").classes("held")

    def update() -> None:
        held = session.address.filters
        place.clear()
        with place:
            for text in held:
                rest = tuple(other for other in held if other != text)
                chip = ui.chip(clean(text, 60), removable=True).props("dense outline")
                chip.on("remove", lambda _, to=rest: _show(session, filters=to))
            if held:
                ui.button(
                    "Clear", icon="filter_alt_off", on_click=lambda: _show(session, filters=())
                ).props("flat dense no-caps")

    return update


def _keywords(session: Session, opened: Open) -> Iterator[Update]:
    """Draw a field per property: tracks that have any of its values."""
    for field in of_kind("keyword", opened.collection.manifest.table):
        if not field.offered:
            continue
        counts = session.service.facet(field.name, (), opened.label)
        if len(counts) > 1 or any(_is_of(field, text) for text in session.address.filters):
            yield _keyword(session, field, counts)


def _keyword(session: Session, field: Field, counts: Mapping[str, int]) -> Update:
    offered = {
        value: f"{clean(value, 60)} ({count:,})"
        for value, count in list(counts.items())[:_MAX_OFFERED]
    }
    select = ui.select(
        offered,
        value=[],
        label=field.title,
        multiple=True,
        with_input=True,
        on_change=lambda event: _choose(session, field, event.value),
    ).props("dense outlined use-chips options-dense")
    select.classes(f"by-{field.name}")

    def update() -> None:
        chosen = [text.partition("=")[2] for text in session.address.filters if _is_of(field, text)]
        typed = {value: clean(value, 60) for value in chosen if value not in offered}
        select.set_options(offered | typed, value=chosen)

    return update


def _is_of(field: Field, text: str) -> bool:
    return text.startswith(f"{field.name}=")


def _choose(session: Session, field: Field, values: Sequence[str]) -> None:
    others = [text for text in session.address.filters if not _is_of(field, text)]
    _show(session, filters=(*others, *(f"{field.name}={value}" for value in values)))


def _numbers(session: Session, opened: Open) -> Iterator[Update]:
    extents = session.service.extents(opened)
    for field in of_kind("number", opened.collection.manifest.table):
        if not field.offered or field.name not in extents:
            continue
        first, last = math.floor(extents[field.name][0]), math.ceil(extents[field.name][1])
        if first < last:
            step = max(1, (last - first) // 100)
            # In whole steps, or the slider would not reach its end.
            yield _number(session, field, first, first + step * -(-(last - first) // step), step)


def _number(session: Session, field: Field, first: int, last: int, step: int) -> Update:
    title = f"{field.title} in {field.unit}" if field.unit else field.title
    shown = ui.label().classes("title")
    own = f"{field.name}>=", f"{field.name}<="

    def choose(event: events.GenericEventArguments) -> None:
        least, most = int(event.args["min"]), int(event.args["max"])
        others = [text for text in session.address.filters if not text.startswith(own)]
        bounds = [f"{field.name}>={least}"] * (least > first)
        bounds += [f"{field.name}<={most}"] * (most < last)
        _show(session, filters=(*others, *bounds))

    scale = ui.range(min=first, max=last, step=step).props("label").on("change", choose)
    scale.props["aria-label"] = title

    def update() -> None:
        low, high = _bounds(session.address.filters, field, first, last)
        shown.set_text(f"{title}: {low}–{high}")
        scale.set_value({"min": low, "max": high})

    return update


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
        # Here rather than where the drawer is brought up to date: by then more may be typed.
        field.set_value("")
        field.props(remove="error error-message")
        wanted = dict.fromkeys((*session.address.filters, text))
        _show(session, filters=tuple(wanted))

    field = ui.input("Another filter", placeholder="name!=Intro").props(
        "dense outlined clearable stack-label"
    )
    field.classes("typed").on("keydown.enter", enter)
    ui.label(
        "key=value (any of them), key+=value (all), key!=value (none), key<number; then Enter."
    ).classes("about")


def _variety(session: Session) -> Iterator[Update]:
    ui.label("Variety").classes("title")
    for name, text in (("most", "artist"), ("most_of_album", "album")):
        number = ui.number(
            f"At most per {text} (0: any)",
            value=0,
            min=0,
            max=10,
            on_change=lambda event, to=name: _show(session, **{to: int(event.value or 0)}),
        ).props("dense outlined debounce=400")
        yield lambda shown=number, of=name: shown.set_value(getattr(session.address, of))  # type: ignore[misc]
    switch = ui.switch(
        "No artist twice in a row",
        on_change=lambda event: _show(session, apart=event.value),
    ).props("dense")
    yield lambda: switch.set_value(session.address.apart)
    select = ui.select(
        {"": "as they are", "csls": "corrected: CSLS", "mutual-proximity": "corrected: mutual"},
        value="",
        label="Tracks that answer everything",
        on_change=lambda event: _show(session, correct=event.value),
    ).props("dense outlined")
    yield lambda: select.set_value(session.address.correct)
