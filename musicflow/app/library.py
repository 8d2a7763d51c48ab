"""Library: its tracks, its problems with their reasons, and its duplicates."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from musicflow import embedders
from musicflow.app import tuned
from musicflow.app.cards import Deck, go
from musicflow.app.catalogue import SORTS
from musicflow.app.names import clean
from musicflow.app.service import Service
from musicflow.app.shared import Session, errors_shown, heading, hint, problem, waiting
from musicflow.evaluation import layers, report
from musicflow.index import Hit, fused
from musicflow.library import (
    Problem,
    Summary,
    doubts,
    known_artists,
    note_lines,
    skipped_line,
    without_notes,
)
from musicflow.store import ALL_TRACKS, faults_of, problems_of, store_of
from musicflow.text import counted

MAX_GROUPS = 50
"""The most groups of duplicates that are shown."""

_SHOWN = 500
"""The most problems that are shown."""


async def library(session: Session) -> None:
    """Draw the page."""
    with errors_shown():
        _facts(session)
        await _tracks(session)
        reported = await waiting("Reading the problems …", _reported, session.service)
        with ui.element("div").classes("columns even"):
            with ui.element("section"):
                _genres(session)
            with ui.element("section"):
                _labels(session.service.catalogue().summary)
                _quality(session)
        _layers(session)
        tuned.spaces(session)
        _problems(without_notes(reported))
        skipped = skipped_line(session.service.catalogue().library.skipped)
        for line in filter(None, [*note_lines(reported), skipped]):
            ui.label(clean(line, longest=500)).classes("about")
        await _duplicates(session)


def _facts(session: Session) -> None:
    catalogue = session.service.catalogue()
    read = catalogue.library
    ui.label(f"{clean(read.root, 300)}, {clean(read.reading, 500)}").classes("about")
    for doubt in doubts(read):
        problem(str(doubt))
    comparison = session.service.comparison()
    for line in report.put_off_lines(comparison) if comparison is not None else ():
        ui.label(line).classes("about")
    artists = {name for track in read.tracks for name in known_artists(track.artists)}
    with ui.element("div").classes("metrics"):
        for name, value in (
            ("tracks", f"{len(read.tracks):,}"),
            ("hours", f"{catalogue.summary.hours:,.1f}"),
            ("artists", f"{len(artists):,}"),
            ("problems", f"{len(without_notes(read.problems)):,}"),
        ):
            with ui.element("div").classes(f"metric {name}"):
                ui.label(value).classes("value")
                ui.label(name).classes("about")


async def _tracks(session: Session) -> None:
    """Draw the list of tracks; what is scrolled to is fetched."""
    address = session.address
    heading("Tracks")
    collection, ids = await waiting(
        "Looking …",
        session.service.tracks,
        address.words,
        address.filters,
        address.embedder or None,
        address.sort,
    )
    with ui.element("div").classes("ask"):
        words = ui.input(value=address.words, placeholder="words of artist, name, album or genre")
        words.props('outlined dense clearable aria-label="Look for tracks"')
        words.on("keydown.enter", lambda: go(address.to(words=words.value or "")))
        ui.select(
            list(SORTS),
            value=address.sort,
            label="Sorted by",
            on_change=lambda event: go(address.to(sort=event.value)),
        ).props("outlined dense")
        ui.button(
            "Save as playlist", icon="playlist_add", on_click=lambda: session.save_playlist(ids)
        ).props("flat no-caps")

    def page(first: int, count: int) -> list[Hit]:
        return [Hit(one, 0.0, collection.payload(one)) for one in ids[first : first + count]]

    ui.label(counted(len(ids), "track")).classes("about count")
    Deck(address, session.player, collection.manifest.embedder).rows(len(ids), page)


def _genres(session: Session) -> None:
    heading("Genres")
    genres = list(session.service.facet("genre", (), session.address.embedder or None).items())[:30]
    most = max((count for _, count in genres), default=1)
    with ui.element("div").classes("bars"):
        for genre, count in genres:
            wanted = session.address.to(filters=(f"genre={genre}",))
            ui.button(clean(genre), on_click=lambda _, to=wanted: go(to)).props(
                "flat dense no-caps align=left"
            )
            with ui.element("div").classes("bar"):
                ui.element("div").classes("fill").style(f"width: {100 * count / most:.0f}%")
                ui.label(f"{count:,}")


def _labels(summary: Summary) -> None:
    heading("Labels")
    rows = [
        {"field": name, "tracks": f"{count:,}", "share": f"{count / summary.tracks:.0%}"}
        for name, count in summary.labelled.items()
    ]
    ui.table(rows=rows).props("flat dense")
    for group in summary.alike[:MAX_GROUPS]:
        ui.label(clean(f"These genres look alike: {', '.join(group)}", 500)).classes("about")


def _quality(session: Session) -> None:
    """Draw each embedder with its score, and links to where more is said."""
    heading("Embedders")
    comparison = session.service.comparison()
    scores = {row.embedder: row for row in comparison.rows} if comparison else {}
    rows = []
    for label in session.service.labels():
        manifest = session.service.open(label).collection.manifest
        row = scores.get(label)
        score = report.score(row, "precision_at_10") if row is not None and not row.error else "–"
        rows.append(
            {"embedder": label, "tracks": manifest.count, "dims": manifest.dim, "P@10": score}
        )
    ui.table(rows=rows).props("flat dense")
    settings = session.service.settings
    with ui.element("div").classes("links"):
        if (settings.paths.reports / "comparison.html").is_file():
            ui.link("The report", "/report", new_tab=True)
        ui.link("MLflow", settings.mlflow_url, new_tab=True)
        ui.link("Dagster", settings.dagster_url, new_tab=True)


def _layers(session: Session) -> None:
    """Show what `musicflow layers` measured last, if there is anything."""
    for sweep in layers.load_all(session.service.settings.paths.reports):
        with ui.expansion(f"Layers of {clean(sweep.embedder)}", icon="layers"):
            rows = [
                dict(zip(_LAYERS_HEAD, line, strict=True)) for line in report.layer_lines(sweep)
            ]
            ui.table(rows=rows).props("flat dense")
            for note in (f"{sweep.dataset.name}, {sweep.created}", *report.layer_notes(sweep)):
                ui.label(clean(note, 500)).classes("about")


_LAYERS_HEAD = ("layer", "dims", "P@10", "95 % of P@10", "mAP", "95 % of mAP")


def _reported(service: Service) -> list[Problem]:
    """Return the problems of files, of embedders, and of tracks by embedder."""
    settings, catalogue = service.settings, service.catalogue()
    store, published = store_of(settings), service.labels()
    problems = list(catalogue.library.problems)
    problems += [
        Problem(ALL_TRACKS, spec.label, "error", str(why), "unavailable")
        for spec in embedders.specs_for(settings)
        if spec.label not in published and (why := store.unavailable(spec))
    ]
    for label in published:
        if not fused.members(label):
            spec = embedders.spec_for(label, settings)
            problems += problems_of(catalogue.values(), spec, store.outcomes(spec))
            problems += faults_of(spec, store.faults(spec) or ())
    return problems


def _problems(problems: Sequence[Problem]) -> None:
    heading("Problems")
    if not problems:
        hint("Every file could be used.", "check_circle")
        return
    severities = Counter(one.severity for one in problems)
    counts = ", ".join(counted(n, name) for name, n in severities.items())
    ui.label(counts).classes("about")
    rows: list[dict[str, Any]] = [
        {
            "what": clean(one.subject),
            "where": one.stage,
            "severity": one.severity,
            "reason": clean(one.reason, longest=500),
        }
        for one in problems[:_SHOWN]
    ]
    ui.table(rows=rows, pagination=10).props("flat dense wrap-cells").classes("problem-list")


async def _duplicates(session: Session) -> None:
    heading("Duplicates")
    address = session.address
    ui.switch(
        "Look for tracks that sound the same",
        value=address.twice,
        on_change=lambda event: go(address.to(twice=event.value)),
    )
    if not address.twice:
        return
    label, groups = await waiting(
        "Comparing every track with its neighbours …",
        session.service.duplicates,
        address.embedder or None,
    )
    if not groups:
        hint("No two tracks sound the same.", "check_circle")
    deck = Deck(address, session.player, label)
    for group in groups[:MAX_GROUPS]:
        deck.answers(group.hits, "twice", actions=("play",))
        for shared in group.cuts:
            ui.label(f"{shared}")
    if len(groups) > MAX_GROUPS:
        ui.label(f"{MAX_GROUPS} of {len(groups)} groups; `musicflow duplicates` lists all.")
