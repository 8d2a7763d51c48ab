"""Runs of a plan, and of sweeps: recorded by Dagster and MLflow where these are installed."""

from collections.abc import Callable

from musicflow import extras
from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import report
from musicflow.evaluation.layers import Sweep
from musicflow.library import Progress, no_progress
from musicflow.pipeline.layers import sweep_layers
from musicflow.pipeline.plan import Plan
from musicflow.pipeline.run import run_plan
from musicflow.settings import Settings


def _tell_nobody(_text: str) -> None:
    """Do nothing with a sentence."""


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
    if not extras.are_installed(*extras.RECORDS):
        tell("Dagster and MLflow are not installed: this run is not recorded there.")
        return run_plan(plan, settings, progress)
    from musicflow.orchestration.run import materialize

    return materialize(settings, lambda _context: progress, tell)


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
