"""A run of a plan in this process, without Dagster or MLflow."""

from musicflow import embedders
from musicflow.embedders.spec import EmbedderSpec
from musicflow.errors import words_of
from musicflow.evaluation import report
from musicflow.index import TrackIndex, open_index
from musicflow.library import Library, Progress, no_progress
from musicflow.pipeline.embed import embed_for
from musicflow.pipeline.evaluate import evaluate_library
from musicflow.pipeline.plan import Plan
from musicflow.pipeline.publish import publish_for
from musicflow.pipeline.tune import all_wanted, tune
from musicflow.settings import Settings, remember
from musicflow.store import EmbeddingStore, store_of

PER_EMBEDDER = ("embeddings", "collections")
"""The stages of one embedder; the others are of the library or the evaluation."""

TUNED = "tuned"
"""The stage of tuned spaces."""


def is_per_embedder(stage: str) -> bool:
    """Return whether a stage, such as ``embeddings/mfcc``, is of one embedder or tuned space."""
    return stage.split("/")[0] in (*PER_EMBEDDER, TUNED)


def run_plan(plan: Plan, settings: Settings, progress: Progress = no_progress) -> dict[str, str]:
    """Embed, publish and evaluate a scanned library; remember its settings.

    If an embedder fails, the others are still evaluated.

    Returns
    -------
    dict
        The reason per embedder or tuned space that failed, by ``embeddings/<label>`` or
        ``tuned/<name>``.
    """
    home = settings.paths
    remember(home, **settings.remembered)
    plan.library.save(home.library)
    store, index = store_of(settings), open_index(settings)
    specs = embedders.specs_for(settings)
    failed = {}
    for spec in specs:
        try:
            _embed_and_publish(plan.library, spec, store, index, settings, progress)
        except Exception as error:
            # One embedder's fault, whatever it is, must not cost the others.
            failed[f"embeddings/{spec.label}"] = words_of(error)
    return failed | run_tuned(plan.library, settings, progress)


def run_tuned(
    library: Library, settings: Settings, progress: Progress = no_progress
) -> dict[str, str]:
    """Learn and publish the tuned spaces of the settings; evaluate the library.

    Returns
    -------
    dict
        The reason per tuned space that failed, by ``tuned/<name>``.
    """
    store, index = store_of(settings), open_index(settings)
    failed = {}
    for one in all_wanted(settings):
        try:
            tune(one, library.tracks, store, index, settings, progress)
        except Exception as error:
            failed[f"{TUNED}/{one.name}"] = words_of(error)
    specs = embedders.specs_for(settings)
    comparison = evaluate_library(library, specs, store, index, settings, progress)
    report.write(comparison, settings.paths.reports)
    return failed


def _embed_and_publish(
    library: Library,
    spec: EmbedderSpec,
    store: EmbeddingStore,
    index: TrackIndex,
    settings: Settings,
    progress: Progress,
) -> None:
    embed_for(settings, library.tracks, spec, store, progress)
    publish_for(settings, library.tracks, spec, store, index, progress)
