"""Collections to a comparison, unless the last one is up to date."""

from collections.abc import Sequence

from musicflow.embedders.spec import EmbedderSpec
from musicflow.evaluation import Comparison, Method, compare, is_up_to_date, projection
from musicflow.index import TrackIndex, fused
from musicflow.library import Library
from musicflow.library.recordings import Verdicts
from musicflow.pipeline.pace import EVALUATION, Pace
from musicflow.settings import Home, Settings
from musicflow.store import EmbeddingStore

MEASURED = "evaluation.json"
"""The file of a comparison that may not be in the report yet."""


def evaluate_library(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    settings: Settings,
) -> Comparison:
    """Return the comparison of embedders; it is kept in the home's folder of reports."""
    home, given = settings.paths, (library, specs, store, index)
    method = Method.of(settings)
    comparison = Comparison.load(home.reports / MEASURED)
    if comparison is None or not is_up_to_date(comparison, *given, method):
        comparison = _evaluated(*given, method, home)
        comparison.save(home.reports / MEASURED)
    fused.save_weights(home.fusions, comparison.fusions)
    return comparison


def _evaluated(
    library: Library,
    specs: Sequence[EmbedderSpec],
    store: EmbeddingStore,
    index: TrackIndex,
    method: Method,
    home: Home,
) -> Comparison:
    given = library, specs, store, index
    verdicts = Verdicts.load(home.recordings)
    with Pace(home.pace).measure(EVALUATION, len(library.tracks)):
        comparison = compare(*given, method, verdicts)
        projection.save(projection.project(*given), home.reports)
    verdicts.save(home.recordings)
    return comparison
