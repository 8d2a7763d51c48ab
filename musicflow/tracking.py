"""MLflow: one parent run an evaluation, one child run an embedder. The only room that knows it."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import filelock
import mlflow
from mlflow.tracking import MlflowClient

from musicflow.embedders import EmbedderSpec
from musicflow.evaluation import Comparison, Row
from musicflow.settings import Home

# Making the database takes MLflow two lines of news that nobody asked for.
logging.getLogger("mlflow").setLevel(logging.WARNING)

# A server that is down is told after seconds, not minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

EXPERIMENT = "embedder comparison"

_METRICS = (
    "precision_at_1",
    "precision_at_5",
    "precision_at_10",
    "map",
    "chance",
    "agreement_at_10",
    "n_queries",
    "n_failed",
    "tracks_per_s",
    "x_realtime",
    "decode_ms",
    "embed_ms",
    "peak_rss_mb",
)


def tracking_uri(home: Home) -> str:
    """Where the runs are: ``MLFLOW_TRACKING_URI`` if it is set, else SQLite under the home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.mlflow / 'mlflow.db'}"


def prepare(home: Home) -> MlflowClient:
    """Open the tracking store, made first if there is none.

    Of several processes that start on no database at once, all but one would fail; so the first
    makes it while the others wait.
    """
    home.mlflow.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home.mlflow / ".lock"):
        client = MlflowClient(tracking_uri(home))
        if client.get_experiment_by_name(EXPERIMENT) is None:
            artifacts = (home.mlflow / "artifacts").as_uri()
            client.create_experiment(EXPERIMENT, artifact_location=artifacts)
    return client


def log_comparison(
    home: Home,
    comparison: Comparison,
    specs: Sequence[EmbedderSpec],
    files: Iterable[Path],
    tags: Mapping[str, str] = {},
) -> Comparison:
    """Log a comparison.

    Parameters
    ----------
    home
        Where MLflow's database is.
    comparison
        What was measured.
    specs
        The embedders.
    files
        The report: artifacts of the parent run.
    tags
        More to find the runs by.

    Returns
    -------
    Comparison
        The same, with the ids of its runs.
    """
    client = prepare(home)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    dataset = comparison.dataset
    about = {"dataset": dataset.name, "fingerprint": dataset.fingerprint, **tags}

    def start(name: str, more: Mapping[str, str]) -> str:
        run = client.create_run(experiment.experiment_id, run_name=name, tags={**about, **more})
        run_id: str = run.info.run_id
        return run_id

    parent = start(dataset.name, {})
    children = {}
    for spec in specs:
        row = next(row for row in comparison.rows if row.embedder == spec.label)
        child = start(spec.label, {"mlflow.parentRunId": parent, "embedder": spec.label})
        children[spec.label] = child
        _log(client, child, _parameters(spec, comparison), _metrics(row))
        client.set_terminated(child, "FAILED" if row.error else "FINISHED")
    parameters = {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "embedders": ", ".join(spec.label for spec in specs),
    }
    _log(client, parent, parameters, {"tracks": dataset.tracks, "failed": dataset.failed})
    logged = comparison.with_runs(parent, children)
    for file in files:
        client.log_artifact(parent, str(file))
    client.log_table(
        parent,
        {name: [getattr(row, name) for row in logged.rows] for name in ("embedder", *_METRICS)},
        "comparison_table.json",
    )
    client.set_terminated(parent)
    return logged


def _parameters(spec: EmbedderSpec, comparison: Comparison) -> dict[str, object]:
    weights = spec.weights
    return {
        "embedder": spec.label,
        "spec_hash": spec.hash,
        "version": spec.version,
        "dim": spec.dim,
        "sample_rate": spec.sample_rate,
        "window_s": spec.window_s,
        "hop_s": spec.hop_s,
        "layer": spec.layer,
        "pooling": spec.pooling,
        "precision": spec.precision,
        "weights": spec.weights_state,
        "weights_identity": weights.identity if weights else "",
        "dataset_fingerprint": comparison.dataset.fingerprint,
    }


def _metrics(row: Row) -> dict[str, float]:
    values = {name: getattr(row, name) for name in _METRICS}
    return {name: float(value) for name, value in values.items() if value is not None}


def _log(
    client: MlflowClient,
    run_id: str,
    parameters: Mapping[str, object],
    metrics: Mapping[str, float],
) -> None:
    now = mlflow.utils.time.get_current_time_millis()
    client.log_batch(
        run_id,
        metrics=[mlflow.entities.Metric(name, value, now, 0) for name, value in metrics.items()],
        params=[mlflow.entities.Param(name, str(value)) for name, value in parameters.items()],
    )
