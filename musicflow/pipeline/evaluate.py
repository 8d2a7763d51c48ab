"""Collections to a comparison, unless the last one is up to date."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from musicflow import worker
from musicflow.embedders import EmbedderError
from musicflow.embedders.spec import EmbedderSpec
from musicflow.evaluation import Comparison, Method, clusters, compare, projection, state
from musicflow.evaluation.comparison import with_problems_of_now
from musicflow.evaluation.neighbours import KeptNeighbours
from musicflow.evaluation.state import ready_of
from musicflow.evaluation.stress import Deformed
from musicflow.evaluation.words import texts_of
from musicflow.index import TrackIndex, fused, open_index
from musicflow.library import Library, Problem, Progress, no_progress, shown_as
from musicflow.library.recordings import Verdicts
from musicflow.pipeline.cuts import are_looked_for, find_cuts
from musicflow.pipeline.failures import failures_of
from musicflow.pipeline.pace import EVALUATION, Pace
from musicflow.pipeline.plan import EVALUATED, still_stands
from musicflow.pipeline.stress import deformed_vectors, tracks_to_deform
from musicflow.pipeline.tune import are_measured, with_tuned
from musicflow.pipeline.words import vectors_of_texts
from musicflow.settings import Settings
from musicflow.store import ALL_TRACKS, EmbeddingStore, store_of
from musicflow.text import about
from musicflow.worker import WorkerError

MEASURED = "evaluation.json"
"""The file of a comparison that may not be in the report yet."""


def evaluate_library(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    settings: Settings,
    progress: Progress = no_progress,
) -> Comparison:
    """Return the comparison of embedders; it is kept in the home's folder of reports.

    The last one is returned where it still stands; see `plan.still_stands`.
    """
    home, given = settings.paths, (library, specs, store, index)
    last = Comparison.load(home.reports / MEASURED)
    comparison = still_stands(last, *given, settings)
    if (
        comparison is not None
        and comparison.as_of
        and not are_measured(comparison, settings, index)
    ):
        # A tuned space is not compared with figures of other tracks.
        comparison = None
    if comparison is not None and comparison.as_of is not None:
        comparison = with_problems_of_now(comparison, library, specs, store)
    if comparison is None:
        comparison = _evaluated(*given, Method.of(settings), settings, progress)
        state.save_tracks(home.reports / EVALUATED, comparison.state, library)
    comparison = with_tuned(comparison, *given, settings, progress)
    if comparison != last:
        comparison.save(home.reports / MEASURED)
    fused.save_weights(home.fusions, comparison.fusions)
    return comparison


def _evaluated(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    method: Method,
    settings: Settings,
    progress: Progress,
) -> Comparison:
    home, given = settings.paths, (library, specs, store, index)
    texts, problems = _vectors_of_queries(*given, settings.cache)
    deformed = _deformed(*given, settings, progress, problems)
    verdicts, failures = Verdicts.load(home.recordings), failures_of(home, specs)
    if are_looked_for(library, settings):
        find_cuts(library, verdicts, settings, progress)
    pace, count = Pace(home.pace), len(library.tracks)
    laying_out = worker.beside("the map", _lay_out, specs, settings)
    with pace.measure(EVALUATION, count), laying_out as laid_out:
        comparison = shown_as(
            f"Evaluating {count} tracks{about(pace.estimate(EVALUATION, count))}",
            lambda: compare(
                *(*given, method, verdicts, texts, KeptNeighbours(home.neighbours)),
                deformed=deformed,
                failures=failures,
            ),
            progress,
        )
        shown_as("Drawing the map", laid_out, progress)
    verdicts.save(home.recordings)
    return replace(comparison, problems=(*comparison.problems, *problems))


def _lay_out(specs: Sequence[EmbedderSpec], settings: Settings) -> None:
    """Bring the maps and clusters of all current collections up to date."""
    store, index, folder = store_of(settings), open_index(settings), settings.paths.reports
    ready, _ = ready_of(specs, store, index)
    for spec in ready:
        with index.open(spec.label) as collection:
            projection.places(collection, folder)
            clusters.clusters(collection, folder)


def _vectors_of_queries(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    cache: Path,
) -> tuple[dict[str, dict[str, np.ndarray]], list[Problem]]:
    """Return the vectors of all texts that are queries, by embedder with a text side.

    A text side that cannot be used costs itself: it is a problem of all tracks.
    """
    ready, _ = ready_of(specs, store, index)
    speaking = [spec for spec in ready if spec.text]
    found, problems = {}, []
    texts = texts_of(library.tracks) if speaking else []
    for spec in speaking:
        try:
            found[spec.label] = vectors_of_texts(texts, spec, store, cache)
        except (EmbedderError, WorkerError) as error:
            reason = f"its text side was not measured: {error}"
            problems.append(Problem(ALL_TRACKS, spec.label, "warning", reason, error.code))
    return found, problems


def _deformed(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    settings: Settings,
    progress: Progress,
    problems: list[Problem],
) -> dict[str, Deformed]:
    """Return the vectors of deformed tracks, by embedder; none unless the settings ask for them.

    An embedder that cannot make them costs itself: it is one of the problems.
    """
    if not settings.stress:
        return {}
    ready, _ = ready_of(specs, store, index)
    tracks, found = tracks_to_deform(library.tracks, settings.stress), {}
    for spec in ready:
        try:
            one = deformed_vectors(tracks, spec, settings, progress)
        except (EmbedderError, WorkerError) as error:
            reason = f"it was not measured with deformed queries: {error}"
            problems.append(Problem(ALL_TRACKS, spec.label, "warning", reason, error.code))
        else:
            if one.track_ids:
                found[spec.label] = one
    return found
