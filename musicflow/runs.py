"""Runs of a plan, and of sweeps: recorded by Dagster and MLflow where these are installed."""

from collections.abc import Callable, Sequence
from functools import partial

from musicflow import extras
from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import Comparison, Row, report
from musicflow.evaluation.layers import Sweep
from musicflow.library import Library, Progress, no_progress
from musicflow.pipeline import plan as planning
from musicflow.pipeline.embed import one_import
from musicflow.pipeline.layers import sweep_layers
from musicflow.pipeline.plan import Plan
from musicflow.pipeline.run import run_plan, run_tuned
from musicflow.recorded import is_recorded
from musicflow.settings import Home, Settings, remember
from musicflow.store import store_of
from musicflow.tuning import TuningError

_OF_EVALUATION = (
    "musicflow.kernels.ranking",
    "sklearn.utils",
    "sklearn.cluster",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "mlflow.entities",
    "musicflow.tracking",
)
"""What an evaluation takes long to import, in small steps."""

_OF_PICTURES = ("musicflow.pipeline.evaluate", "sklearn.manifold", "musicflow.evaluation.figures")
"""The same for the map and the pictures, which are drawn beside it."""


def _tell_nobody(_text: str) -> None:
    """Do nothing with a sentence."""


def plan_of(settings: Settings, progress: Progress = no_progress) -> Plan:
    """Scan the library of the settings, and return what is out of date or not recorded.

    Raises
    ------
    MusicflowError
        See `musicflow.pipeline.plan_of`.
    """
    return planning.plan_of(settings, progress, partial(is_recorded, settings.paths))


def carry_out(
    plan: Plan,
    settings: Settings,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = _tell_nobody,
) -> dict[str, str]:
    """Do the work of a plan, and return the reason per asset that failed.

    Parameters
    ----------
    plan
        The plan, as it was just made.
    settings
        The library and the embedders.
    progress
        Shows progress.
    tell
        Called with a sentence to show before the run, if there is one.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted. All finished work is kept.
    """
    evaluates = any(step.kind == "evaluate" for step in plan.steps)
    later = [partial(extras.import_ahead, name) for name in _OF_EVALUATION]
    given = ([*later, partial(_open_records, settings.paths)], _OF_PICTURES)
    with one_import(plan, settings, *(given if evaluates else ((), ()))):
        if not extras.are_installed(*extras.RECORDS):
            tell("Dagster, MLflow or both are not installed: this run is not recorded there.")
            return run_plan(plan, settings, progress)
        from musicflow.orchestration.run import materialize

        return materialize(plan, settings, lambda _context: progress, tell)


def _open_records(home: Home) -> None:
    """Open MLflow's database, which stays open; a server may be slow to answer."""
    from musicflow import tracking

    if home.tracking_uri.startswith("sqlite"):
        tracking.prepare(home)


def tune(
    texts: Sequence[str],
    settings: Settings,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = _tell_nobody,
) -> list[Row]:
    """Learn tuned spaces, publish and measure them; the home keeps them up to date from now on.

    Parameters
    ----------
    texts
        The spaces, each as in ``musicnn+mfcc@genre``.
    settings
        Those of a home whose library was run.
    progress, tell
        See `carry_out`.

    Returns
    -------
    list of Row
        Their rows in the comparison.

    Raises
    ------
    TuningError
        If one is not named well, or there is too little to learn from.
    """
    from musicflow.pipeline.tune import wanted

    home = settings.paths
    found = [wanted(settings, text) for text in texts]
    library = Library.load(home.library)
    for one in found:
        one.check(library.tracks, store_of(settings))
    named = tuple(dict.fromkeys((*settings.tuned, *(one.text for one in found))))
    settings = settings.model_copy(update={"tuned": named})
    remember(home, tuned=named)
    if extras.are_installed(*extras.RECORDS):
        from musicflow.orchestration.run import materialize_tuned

        failed = materialize_tuned(library, settings, lambda _context: progress, tell)
    else:
        failed = run_tuned(library, settings, progress)
    comparison = Comparison.load(home.reports / report.COMPARISON)
    names = {one.name for one in found}
    rows = [row for row in comparison.rows if row.embedder in names] if comparison else []
    if len(rows) < len(names):
        reasons = "; ".join(f"{stage}: {reason}" for stage, reason in failed.items())
        raise TuningError("not every space could be tuned", reasons)
    return rows


def measure_layers(
    spec: EmbedderSpec, settings: Settings, progress: Progress = no_progress
) -> Sweep:
    """Measure every layer of an embedder; write the report, and log it where MLflow is installed.

    Raises
    ------
    MusicflowError
        See `sweep_layers`.
    """
    home = settings.paths
    sweep = sweep_layers(spec, settings, progress)
    files = report.write_sweep(sweep, home.reports)
    if extras.are_installed("mlflow"):
        from musicflow import tracking

        tracking.log_sweep(home, sweep, spec, files)
    return sweep
