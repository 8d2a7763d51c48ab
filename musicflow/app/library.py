"""Library: its tracks, its problems with their reasons, and its duplicates."""

from collections import Counter

import pandas as pd
import streamlit as st

from musicflow import embedders
from musicflow.app.cards import clean, hit_card, plain
from musicflow.app.view import View, facet
from musicflow.evaluation import Comparison, layers, report
from musicflow.index import Collection, Hit
from musicflow.library import (
    Problem,
    Summary,
    doubts,
    known_artists,
    note_lines,
    skipped_line,
    without_notes,
)
from musicflow.library.recordings import Verdicts
from musicflow.search.duplicates import duplicates
from musicflow.store import ALL_TRACKS, faults_of, problems_of, store_of

MAX_GROUPS = 50
"""The most groups of duplicates that are shown."""


def main() -> None:
    """Draw the page."""
    view: View = st.session_state.view
    library = view.catalogue.library
    st.title("Library")
    st.caption(f"{plain(library.root)}, {plain(library.reading, longest=500)}")
    for doubt in doubts(library):
        st.warning(plain(str(doubt), longest=500), icon=":material/help:")
    comparison = Comparison.load(view.settings.paths.reports / report.COMPARISON)
    for line in report.put_off_lines(comparison) if comparison is not None else ():
        st.caption(line)
    reported = [*library.problems, *_failures(view)]
    problems = without_notes(reported)
    summary = view.catalogue.summary
    with st.container(horizontal=True):
        st.metric("Tracks", f"{len(library.tracks):,}", border=True)
        st.metric("Hours", f"{summary.hours:,.1f}", border=True)
        artists = {name for track in library.tracks for name in known_artists(track.artists)}
        st.metric("Artists", f"{len(artists):,}", border=True)
        st.metric("Problems", f"{len(problems):,}", border=True)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _genres(view.collection())
    with right:
        _labels(summary)
        _collections(view)
    _layers(view)
    _problems(problems)
    for line in filter(None, [*note_lines(reported), skipped_line(library.skipped)]):
        st.caption(plain(line, longest=500))
    _duplicates(view)


def _genres(collection: Collection) -> None:
    st.subheader("Genres", anchor=False)
    genres = list(facet(collection, "genre").items())[:30]
    frame = pd.DataFrame(
        ((clean(genre), count) for genre, count in genres), columns=["genre", "tracks"]
    )
    st.bar_chart(
        frame,
        x="genre",
        y="tracks",
        horizontal=True,
        sort="-tracks",
        color="#7c5cff",
        y_label="",
        x_label="",
    )


def _labels(summary: Summary) -> None:
    st.subheader("Labels", anchor=False)
    rows = [(name, count, count / summary.tracks) for name, count in summary.labelled.items()]
    frame = pd.DataFrame(rows, columns=["field", "tracks", "share"])
    share = st.column_config.ProgressColumn("share", format="percent", min_value=0, max_value=1)
    st.dataframe(frame, hide_index=True, column_config={"share": share})
    for group in summary.alike[:MAX_GROUPS]:
        st.caption(plain(f"These genres look alike: {', '.join(group)}", longest=500))


def _collections(view: View) -> None:
    st.subheader("Embedders", anchor=False)
    manifests = [view.collection(label).manifest for label in view.embedders]
    rows = [(m.embedder, m.count, m.dim, m.state) for m in manifests]
    frame = pd.DataFrame(rows, columns=["embedder", "tracks", "dims", "state"])
    st.dataframe(frame, hide_index=True)


def _layers(view: View) -> None:
    """Show what `musicflow layers` measured last, if there is anything."""
    folder = view.settings.paths.reports
    for sweep in layers.load_all(folder):
        with st.expander(f"Layers of {plain(sweep.embedder)}", icon=":material/layers:"):
            frame = pd.DataFrame(report.layer_lines(sweep), columns=_LAYERS_HEAD)
            st.dataframe(frame, hide_index=True)
            if (picture := folder / f"{sweep.file}.png").is_file():
                st.image(str(picture))
            for note in (f"{sweep.dataset.name}, {sweep.created}", *report.layer_notes(sweep)):
                st.caption(plain(note, longest=500))


# A frame takes a name once.
_LAYERS_HEAD = ("layer", "dims", "P@10", "95 % of P@10", "mAP", "95 % of mAP")


def _failures(view: View) -> list[Problem]:
    """Return embedders that cannot be used, and the problems of tracks of the rest."""
    store = store_of(view.settings)
    problems = [
        Problem(ALL_TRACKS, spec.label, "error", str(why), "unavailable")
        for spec in embedders.specs_for(view.settings)
        if spec.label not in view.published and (why := store.unavailable(spec))
    ]
    for label in view.embedders:
        spec = embedders.spec_for(label, view.settings)
        problems += problems_of(view.catalogue.values(), spec, store.outcomes(spec))
        problems += faults_of(spec, store.faults(spec) or ())
    return problems


def _problems(problems: list[Problem]) -> None:
    st.subheader("Problems", anchor=False)
    if not problems:
        st.success("Every file could be used.", icon=":material/check_circle:")
        return
    severities = Counter(problem.severity for problem in problems)
    st.caption(", ".join(f"{count} {name}s" for name, count in severities.items()))
    frame = pd.DataFrame(
        [(clean(p.subject), p.stage, p.severity, clean(p.reason, longest=500)) for p in problems],
        columns=["what", "where", "severity", "reason"],
    )
    st.dataframe(frame, hide_index=True)


def _duplicates(view: View) -> None:
    st.subheader("Duplicates", anchor=False)
    if not st.toggle("Look for tracks that sound the same", key="twice", bind="query-params"):
        return
    verdicts = Verdicts.load(view.settings.paths.recordings)
    groups = _groups(view, verdicts, view.label, view.collection().manifest.state, len(verdicts))
    if not groups:
        st.success("No two tracks sound the same.", icon=":material/check_circle:")
    for number, group in enumerate(groups[:MAX_GROUPS]):
        with st.container(border=True):
            for rank, hit in enumerate(group, 1):
                hit_card(view, hit, rank, f"twice-{number}", picture=False, actions=("play",))
    if len(groups) > MAX_GROUPS:
        st.caption(f"{MAX_GROUPS} of {len(groups)} groups; `musicflow duplicates` lists all.")


@st.cache_data(max_entries=8, show_spinner="Comparing every track with its neighbours …")
def _groups(
    _view: View,
    _verdicts: Verdicts,
    label: str,
    state: str,  # noqa: ARG001
    count: int,  # noqa: ARG001
) -> list[list[Hit]]:
    return duplicates(_view.collection(label), _verdicts)


if __name__ == "__main__":
    main()
