"""The contents: the report's title, and its sections in order, whatever the form."""

from collections.abc import Sequence
from datetime import UTC, datetime

from musicflow.evaluation.clusters import Clusters
from musicflow.evaluation.layers import Sweep
from musicflow.evaluation.metrics import FEW_SHOTS, V_MEASURE
from musicflow.evaluation.report.changes import corrections, stress, tuned_sections
from musicflow.evaluation.report.cost import costs
from musicflow.evaluation.report.labels import by_label
from musicflow.evaluation.report.notes import counts, doubt_lines, problem_lines
from musicflow.evaluation.report.opinions import common_opinions, published_figures
from musicflow.evaluation.report.scores import (
    by_genre,
    differences,
    few_labels,
    meanings,
    quality,
    subgenres,
    text_queries,
)
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.report.spaces import health, of_clusters
from musicflow.evaluation.report.sweeps import of_sweep
from musicflow.evaluation.results import COMPARISON, Comparison, Dataset
from musicflow.evaluation.verdict import verdict

MAP = "Tracks by t-SNE, as on the app's page Map: near ones sound alike; far distances say little."


def title_of(comparison: Comparison) -> str:
    """Return the title of a comparison's report."""
    return f"Embedders compared on {comparison.dataset.name}"


def origin_of(data: Dataset, created: str) -> str:
    """Return the line below the title: when it was made, and of which tracks."""
    tracks = f"{data.tracks:,} tracks, {data.failed:,} failed"
    # Sweeps of an earlier version do not say when they were made.
    parts = [_date(created) if created else "", tracks, f"fingerprint {data.fingerprint}"]
    return " · ".join(filter(None, parts))


def _date(created: str) -> str:
    """Return a time in ISO 8601 as people write it."""
    when = datetime.fromisoformat(created)
    if when.tzinfo is not None:
        when = when.astimezone(UTC)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def sections(
    comparison: Comparison, sweeps: Sequence[Sweep] = (), found_clusters: Sequence[Clusters] = ()
) -> list[Section]:
    """Return the whole report, in order."""
    rows = comparison.rows
    found = [Section("Verdict", text=[" ".join(verdict(comparison))])]
    if comparison.doubts:
        found.append(Section("What it means", text=doubt_lines(comparison)))
    found.append(quality(comparison))
    if of_subgenres := subgenres(comparison):
        found.append(of_subgenres)
    if asked := [m for m in comparison.measures if m.labels == "words"]:
        found.append(text_queries(rows, asked))
    found += [part for label in comparison.labels for part in by_label(comparison, label)]
    if comparison.differences:
        found.append(differences(comparison))
    if any(FEW_SHOTS.name in row.scores or V_MEASURE.name in row.scores for row in rows):
        found.append(few_labels(rows))
    if timed := [row for row in rows if row.tracks_per_s]:
        found.append(costs(timed))
    found.append(common_opinions(rows))
    if beside := published_figures(comparison):
        found.append(beside)
    if any(row.space for row in rows):
        found.append(health(rows))
    if any(row.corrected for row in rows):
        found.append(corrections(comparison))
    if any(row.stressed for row in rows):
        found.append(stress(rows))
    if scored := [row for row in rows if row.by_genre]:
        found += by_genre(scored)
    found += [section for row in rows if row.tuned for section in tuned_sections(row)]
    found += map(of_sweep, sweeps)
    found.append(Section("Map", text=[MAP], pictures=["projection"]))
    found += map(of_clusters, found_clusters)
    found.append(meanings(comparison))
    if lines := problem_lines(comparison.problems):
        text = f"Many of one kind are one line; {COMPARISON} lists each."
        found.append(Section("Problems", ["subject", "stage", "reason"], lines, [text]))
    if notes := counts(comparison):
        found.append(Section("Notes", text=notes))
    return found
