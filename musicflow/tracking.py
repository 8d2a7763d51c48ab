"""MLflow: one parent run per evaluation, one child run per embedder."""

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import filelock
import mlflow
import pandas as pd
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    InputTag,
    LifecycleStage,
    LoggedModelInput,
    Metric,
    Param,
    Run,
)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient
from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_GIT_COMMIT

from musicflow import evaluation
from musicflow.embedders import EmbedderSpec
from musicflow.embedders.catalogue import is_non_commercial
from musicflow.errors import words_of
from musicflow.evaluation import Comparison, Row, Score
from musicflow.evaluation.layers import Sweep
from musicflow.evaluation.metrics import Measure
from musicflow.evaluation.report import interval
from musicflow.evaluation.state import VERSION as RULES
from musicflow.evaluation.verdict import verdict
from musicflow.index import fused
from musicflow.settings import Home, HomeError, check_for_databases

# MLflow logs two lines when it makes the database.
logging.getLogger("mlflow").setLevel(logging.WARNING)

# A server that is down is an error after seconds, not minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

EXPERIMENT = "embedder comparison"

OVER_TIME = "embedders over time"
"""The experiment with a run per embedder and protocol, to which evaluations add points."""

LAYERS = "layers of embedders"
"""The experiment with one run per sweep over an embedder's layers."""

HOME = "musicflow.home"
"""The tag of all runs: the identity of the home that logged them."""

EVALUATION = "musicflow.evaluation"
"""The tag of the runs of one evaluation: its state, and when it was made."""

_NOTE = "mlflow.note.content"
_PARENT = "mlflow.parentRunId"
_DESCRIPTIONS = {
    EXPERIMENT: (
        "One parent run per evaluation of a library, with one child run per embedder. Each child "
        "has scores, their 95 % intervals, cost and licence. The chart icon shows quality against "
        "speed. The view opens with the last evaluation: clear its filter to see all. To see what "
        "a change did, select two parents and compare them."
    ),
    OVER_TIME: (
        "One run per embedder, library and protocol; each evaluation of the library is a step. "
        "Curves of one protocol can be compared: filter by its tag."
    ),
    LAYERS: "One run per sweep over an embedder's layers; layers are the steps.",
}

VIEW = "musicflow"
"""The name of the view of the first experiment that `musicflow mlflow` opens."""

# The columns of that view, in order. MLflow keeps a shared view as a tag of its experiment.
_VIEW_COLUMNS = (
    ("metrics", "precision_at_10"),
    ("params", "interval"),
    ("params", "exclude"),
    ("metrics", "map"),
    ("metrics", "tracks_per_hour"),
    ("metrics", "peak_rss_mb"),
    ("params", "dim"),
    ("params", "licence"),
    ("attributes", "Dataset"),
    ("params", "relevance"),
    ("params", "fingerprint"),
)
# The first charts that its page draws of the same rows.
_FIRST = {
    "uuid": "first",
    "name": "Quality and speed",
    "display": True,
    "isReordered": False,
    "deleted": False,
    "isGenerated": False,
}
_KINDS: tuple[dict[str, object], ...] = (
    {
        "type": "SCATTER",
        "xaxis": {"key": "tracks_per_hour", "type": "METRIC"},
        "yaxis": {"key": "precision_at_10", "type": "METRIC"},
    },
    {"type": "BAR", "metricKey": "precision_at_10"},
    {"type": "BAR", "metricKey": "map"},
)
_CHARTS = [
    {
        "uuid": f"first-{number}",
        "metricSectionId": _FIRST["uuid"],
        "runsCountToCompare": 100,
        "deleted": False,
        "isGenerated": False,
        **kind,
    }
    for number, kind in enumerate(_KINDS)
]
_VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"

_FIELDS = (
    "chance",
    "agreement_at_10",
    "n_queries",
    "n_failed",
    "tracks_per_s",
    "x_realtime",
    "decode_ms",
    "embed_ms",
    "cores",
    "load_s",
    "peak_rss_mb",
    "query_ms",
    "bytes_per_vector",
)

_MANY = 50
"""Of more values of a label, none has a chart of its own."""

_SPACE = ("hubness", "orphans", "anisotropy", "intrinsic_dim", "collapsed_dims", "identical")


def prepare(home: Home) -> MlflowClient:
    """Open the tracking store, made first if there is none.

    Raises
    ------
    HomeError
        If it cannot be opened.
    """
    try:
        return _open(home)
    except HomeError:
        raise
    except Exception as error:
        raise HomeError(
            f"MLflow at {home.tracking_uri} cannot be used: {words_of(error)}",
            "make room, give the user of this process access, or name another in "
            "MLFLOW_TRACKING_URI",
        ) from error


def _open(home: Home) -> MlflowClient:
    """Open the tracking store, made first if there is none.

    Of several processes that start on no database at once, all but one would fail; so the first
    makes it while the others wait.
    """
    check_for_databases(home)
    home.mlflow.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home.mlflow / ".lock"):
        client = MlflowClient(home.tracking_uri)
        for name in (EXPERIMENT, OVER_TIME, LAYERS):
            found = client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == LifecycleStage.DELETED:
                # Only so can it be logged to again: MLflow keeps the name of what is deleted.
                client.restore_experiment(found.experiment_id)
            if found is None:
                artifacts = (home.mlflow / "artifacts").as_uri()
                client.create_experiment(name, artifact_location=artifacts)
            _describe(client, name)
    return client


def _describe(client: MlflowClient, name: str) -> None:
    """Give an experiment its description, and the first one its view."""
    found = _experiment(client, name)
    wanted = {_NOTE: _DESCRIPTIONS[name]}
    if name == EXPERIMENT:
        wanted[_VIEW_TAG] = _view(_last_evaluation(client, found))
    for key, value in wanted.items():
        # A description that a person wrote stays.
        if found.tags.get(key) != value and (key == _VIEW_TAG or key not in found.tags):
            client.set_experiment_tag(found.experiment_id, key, value)


def _last_evaluation(client: MlflowClient, experiment: Experiment) -> str | None:
    """Return the parent run that ended last; None if there is none."""
    ended = "attributes.status = 'FINISHED'"
    order = ["attributes.end_time DESC"]
    for run in client.search_runs([experiment.experiment_id], ended, max_results=1, order_by=order):
        return str(run.data.tags.get(_PARENT, run.info.run_id))
    return None


def _view(evaluation: str | None) -> str:
    """Return the view of the first experiment: what MLflow's page keeps of a table.

    It shows the embedders of the last evaluation alone. Ranked with those of others, they would
    stand between scores of other tracks and protocols.
    """
    columns = [f"{kind}.`{name}`" for kind, name in _VIEW_COLUMNS]
    # By a metric, embedders are rows of their own; by date they would be folded into their parent.
    order: dict[str, object] = {"orderByKey": columns[0], "orderByAsc": False}
    if evaluation is not None:
        order["searchFilter"] = f"tags.`{_PARENT}` = '{evaluation}'"
    widths = {
        column: max(70, 24 + 8 * len(name))
        for column, (_, name) in zip(columns, _VIEW_COLUMNS, strict=True)
    }
    # Wide enough for a parent's name, which is its library and date.
    names = {"attributes.`Run Name`": 260, "runDateAndNestInfo": 150}
    shown = {
        "selectedColumns": columns,
        "columnOrder": [*names, *columns],
        "columnWidths": names | widths,
        "compareRunSections": [_FIRST],
        "compareRunCharts": _CHARTS,
        "isAccordionReordered": True,
    }
    return json.dumps(order | shown)


def holds(home: Home, run: str) -> bool:
    """Return whether a run is there, and was not deleted; of a store that fails, it is."""
    try:
        found = MlflowClient(home.tracking_uri).get_run(run)
    except MlflowException as error:
        return bool(error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))
    return bool(found.info.lifecycle_stage == LifecycleStage.ACTIVE)


def log_comparison(
    home: Home,
    comparison: Comparison,
    specs: Sequence[EmbedderSpec],
    files: Callable[[], Sequence[Path]],
    tags: Mapping[str, str] = {},
) -> Comparison:
    """Log a comparison: a parent run; a child run and a model per embedder.

    Parameters
    ----------
    home
        Where MLflow's database is.
    comparison
        Its results.
    specs
        The embedders.
    files
        Returns the report: artifacts of the parent run. It is called when all else is logged.
    tags
        Further tags of all runs.

    Returns
    -------
    Comparison
        The same, with the ids of its runs.
    """
    with _logging(home) as client:
        mark = {HOME: home.identity, EVALUATION: f"{comparison.state} {comparison.created}"}
        if (known := _recorded(client, comparison, mark)) is not None:
            files()
            return known
        # A person may have deleted the parent run alone.
        for child in _runs(client, EXPERIMENT, mark):
            _undo(client, child.info.run_id)
        return _logged(client, comparison, specs, files, {**mark, **tags})


@contextlib.contextmanager
def _logging(home: Home) -> Iterator[MlflowClient]:
    """Log to MLflow in the context, alone in this home.

    What is left of a logging that was broken off is removed first: half of an evaluation would
    stand beside the whole.
    """
    client = _open(home)
    with filelock.FileLock(home.mlflow / ".logging.lock"):
        mine = {HOME: home.identity}
        for name in (EXPERIMENT, LAYERS):
            for run in _runs(client, name, mine, "RUNNING"):
                for part in (*_runs(client, name, {_PARENT: run.info.run_id}), run):
                    _undo(client, part.info.run_id)
        for run in _runs(client, OVER_TIME, mine, "RUNNING"):
            client.set_terminated(run.info.run_id)
        yield client


def _recorded(
    client: MlflowClient, comparison: Comparison, mark: Mapping[str, str]
) -> Comparison | None:
    """Return a comparison with its runs, if it was logged before; else None."""
    runs = _runs(client, EXPERIMENT, mark)
    parents = [r for r in runs if _PARENT not in r.data.tags and r.info.status == "FINISHED"]
    if not parents:
        return None
    parent = parents[0].info
    children = {
        run.data.tags["embedder"]: run.info.run_id
        for run in runs
        if run.data.tags.get(_PARENT) == parent.run_id
    }
    return comparison.with_runs(parent.experiment_id, parent.run_id, children)


def _logged(
    client: MlflowClient,
    comparison: Comparison,
    specs: Sequence[EmbedderSpec],
    files: Callable[[], Sequence[Path]],
    tags: Mapping[str, str],
) -> Comparison:
    data = comparison.dataset
    about = {
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "exclude": comparison.protocol.exclude,
        **_commit(),
        **tags,
    }
    seconds = sum(_seconds(row, data) for row in comparison.rows if row.kind == "embedder")
    name = f"{data.name}, {comparison.created[:16].replace('T', ' ')}"
    parent = _start(client, EXPERIMENT, name, about, seconds)
    children: dict[str, str] = {}
    try:
        return _log_runs(client, comparison, specs, files, about, parent, children)
    except BaseException:
        # At once where that is possible; else the next logging does so.
        with contextlib.suppress(Exception):
            for run in (*children.values(), parent):
                _undo(client, run)
        raise


def _undo(client: MlflowClient, run: str) -> None:
    """Delete a run, and the model that was made for it."""
    experiment, made = _experiment(client, EXPERIMENT), f"attributes.source_run_id = '{run}'"
    for model in client.search_logged_models([experiment.experiment_id], filter_string=made):
        client.delete_logged_model(model.model_id)
    client.delete_run(run)


def _log_runs(
    client: MlflowClient,
    comparison: Comparison,
    specs: Sequence[EmbedderSpec],
    files: Callable[[], Sequence[Path]],
    about: Mapping[str, str],
    parent: str,
    children: dict[str, str],
) -> Comparison:
    """Log the parent run, and the children, whose ids are put into `children`."""
    data = comparison.dataset
    counts = {"tracks": float(data.tracks), "failed": float(data.failed)}
    _log(client, parent, _about(comparison), _by_embedder(comparison) | counts)
    by_label = {spec.label: spec for spec in specs}
    points: list[tuple[Row, dict[str, float]]] = []
    for row in comparison.rows:
        spec = by_label.get(row.embedder)
        if row.kind == "baseline":
            continue
        parameters = _parameters(row, spec) | _about(comparison) | {"interval": interval(row)}
        more = {_PARENT: parent, "embedder": row.embedder, "spec_hash": row.spec_hash}
        tags = {key: value for key, value in about.items() if key != _NOTE}
        child = _start(client, EXPERIMENT, row.embedder, tags | more, _seconds(row, data))
        children[row.embedder] = child
        _log(client, child, parameters, {})
        model = None if row.error else _model(client, child, row, parameters)
        models = [LoggedModelInput(model)] if model else []
        client.log_inputs(child, [_dataset(comparison)], models)
        values = _metrics(row, comparison.measures)
        _log(client, child, {}, values, model=model, dataset=data)
        if row.confusion:
            client.log_dict(child, row.confusion, "confusion.json")
        client.set_terminated(child, "FAILED" if row.error else "FINISHED")
        points.append((row, values))
    client.log_inputs(parent, [_dataset(comparison)])
    experiment = client.get_run(parent).info.experiment_id
    logged = comparison.with_runs(experiment, parent, children)
    report = files()
    for file in report:
        client.log_artifact(parent, str(file))
    names = {file.name for file in report}
    picture = f"![Quality and speed](get-artifact?path={_PICTURE}&run_uuid={parent})"
    note = [" ".join(verdict(logged)), *([picture] if _PICTURE in names else []), about.get(_NOTE)]
    client.set_tag(parent, _NOTE, "\n\n".join(filter(None, note)))
    columns = {name: [getattr(row, name) for row in logged.rows] for name in _COLUMNS}
    columns |= {m.name: [row.value(m.name) for row in logged.rows] for m in logged.measures}
    client.log_table(parent, columns, "comparison_table.json")
    if comparison.differences:
        table = pd.DataFrame(asdict(difference) for difference in comparison.differences)
        client.log_table(parent, table, "differences_table.json")
    _add_points(client, comparison, points, about[HOME])
    # Last: of a run that has ended, all is there.
    client.set_terminated(parent)
    _describe(client, EXPERIMENT)
    return logged


def log_sweep(home: Home, sweep: Sweep, spec: EmbedderSpec, files: Iterable[Path]) -> str:
    """Log the scores of an embedder's layers as one run: layers are the steps of its charts.

    Parameters
    ----------
    home
        Where MLflow's database is.
    sweep
        The scores.
    spec
        The embedder.
    files
        The report: artifacts of the run.

    Returns
    -------
    str
        The id of the run.
    """
    with _logging(home) as client:
        return _log_sweep(client, sweep, spec, files, home.identity)


def _log_sweep(
    client: MlflowClient, sweep: Sweep, spec: EmbedderSpec, files: Iterable[Path], home: str
) -> str:
    data = sweep.dataset
    about = {
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "exclude": sweep.protocol.exclude,
        "protocol": str(sweep.protocol),
    }
    tags = {"embedder": sweep.embedder, "spec_hash": sweep.spec_hash, HOME: home, **_commit()}
    run = _start(client, LAYERS, sweep.embedder, tags)
    names = {f"layer_{step}": layer.name for step, layer in enumerate(sweep.layers)}
    choices = {
        "best": sweep.best,
        "weights_identity": spec.weights.identity if spec.weights else "",
    }
    _log(client, run, about | choices | names | {"weights": sweep.weights}, {})
    for step, layer in enumerate(sweep.layers):
        _log(client, run, {}, _of_scores(layer.scores), step=step, dataset=data)
    for name, scores in (("mean", sweep.mean), ("nested", sweep.nested)):
        values = {f"{name}/{metric}": value for metric, value in _of_scores(scores).items()}
        _log(client, run, {}, values, dataset=data)
    for file in files:
        client.log_artifact(run, str(file))
    client.set_terminated(run)
    return run


def _of_scores(scores: Mapping[str, Score]) -> dict[str, float]:
    """Return scores, and the ends of their intervals, as metrics."""
    return {
        name + end: value
        for name, score in scores.items()
        for end, value in (("", score.value), ("_low", score.low), ("_high", score.high))
        if value is not None
    }


_COLUMNS = ("embedder", "kind", "weights", "licence", "dim", *_FIELDS)


_PICTURE = "quality_speed.png"


def _start(
    client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str], seconds: float = 0.0
) -> str:
    """Start a run whose duration is that of the work: it began so many seconds ago."""
    start = mlflow.utils.time.get_current_time_millis() - round(1000 * seconds)
    place = _experiment(client, experiment).experiment_id
    run = client.create_run(place, start, run_name=name, tags=dict(tags))
    run_id: str = run.info.run_id
    return run_id


def _seconds(row: Row, data: evaluation.Dataset) -> float:
    """Return the time that an embedder took for the whole library."""
    return (row.load_s or 0) + (data.tracks / row.tracks_per_s if row.tracks_per_s else 0)


def _commit() -> dict[str, str]:
    """Return the commit of this code, if it is in a repository."""
    commit = get_git_commit(__file__)
    return {MLFLOW_GIT_COMMIT: commit} if commit else {}


def _dataset(comparison: Comparison) -> DatasetInput:
    """Return the library as an MLflow data set."""
    data, protocol = comparison.dataset, comparison.protocol
    profile = {"tracks": data.tracks, "failed": data.failed} | asdict(protocol)
    dataset = Dataset(
        data.name[:_MAX_NAME],
        data.fingerprint,
        source_type="local",
        source=json.dumps({"uri": data.name}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "evaluation")])


_MAX_NAME = 500
"""Characters that MLflow takes of a data set's name."""


def _model(client: MlflowClient, run: str, row: Row, parameters: Mapping[str, object]) -> str:
    """Return the logged model of an embedder: one per version, made at first.

    It is that of the version's last run. To search for a model reads all its figures, more every
    night. So a model that a person deletes is not made anew.
    """
    experiment = _experiment(client, EXPERIMENT)
    of_version = _where(embedder=row.embedder, spec_hash=row.spec_hash)
    query = f"{of_version} and attributes.status = 'FINISHED'"
    for last in client.search_runs([experiment.experiment_id], query, max_results=1):
        inputs = client.get_run(last.info.run_id).inputs
        for known in inputs.model_inputs if inputs else ():
            return str(known.model_id)
    model = client.create_logged_model(
        experiment.experiment_id,
        name=re.sub(r"[/:.%\"']", "-", row.embedder),
        source_run_id=run,
        params={name: str(value) for name, value in parameters.items()},
        model_type="embedder",
    )
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _add_points(
    client: MlflowClient,
    comparison: Comparison,
    points: Sequence[tuple[Row, Mapping[str, float]]],
    home: str,
) -> None:
    """Add this evaluation as a step to each embedder's run over time, one per protocol.

    The time of a point is that of its evaluation. So one that is logged again is known.
    """
    data, terms = comparison.dataset, comparison.protocol.terms
    protocol = {"protocol": terms, "rules": str(RULES)}
    depth = f"precision_at_{comparison.protocol.k}"
    counts = {"tracks": float(data.tracks), "failed": float(data.failed)}
    at = round(1000 * datetime.fromisoformat(comparison.created).timestamp())
    known: dict[str, dict[int, int]] = {}
    names: dict[str, str] = {}
    for run in _runs(client, OVER_TIME, {"dataset": data.name}):
        history = client.get_metric_history(run.info.run_id, "tracks")
        known[run.info.run_id] = {point.timestamp: point.step for point in history}
        if protocol.items() <= run.data.tags.items():
            names.setdefault(run.data.tags["embedder"], run.info.run_id)
    steps = {when: step for of_run in known.values() for when, step in of_run.items()}
    step = steps.get(at, max(steps.values(), default=-1) + 1)
    for row, values in points:
        tags = {"embedder": row.embedder, "dataset": data.name, HOME: home, **protocol}
        name = f"{row.embedder}: {terms}"
        place = names.get(row.embedder) or _start(client, OVER_TIME, name, tags)
        if at not in known.get(place, ()):
            # The setting `k` may be another the next time.
            named = {name.replace("precision_at_k", depth): one for name, one in values.items()}
            _log(client, place, {}, counts | named, step=step, at=at)
        client.set_terminated(place)


def _runs(
    client: MlflowClient, experiment: str, tags: Mapping[str, str], status: str | None = None
) -> list[Run]:
    """Return the runs of an experiment with some tags, the last one first."""
    place = _experiment(client, experiment).experiment_id
    query = _where(**tags) + (f" and attributes.status = '{status}'" if status else "")
    return list(client.search_runs([place], query))


def _where(**tags: str) -> str:
    """Return MLflow's filter for runs with some tags."""
    quoted = {key: value.replace("'", "\\'") for key, value in tags.items()}
    return " and ".join(f"tags.`{key}` = '{value}'" for key, value in quoted.items())


def _experiment(client: MlflowClient, name: str) -> Experiment:
    """Return one of the experiments, which are made when MLflow is opened."""
    found = client.get_experiment_by_name(name)
    assert found is not None
    return found


def _about(comparison: Comparison) -> dict[str, object]:
    codes = ", ".join(doubt.code for doubt in comparison.doubts)
    doubts = {"doubts": codes, "is_void": comparison.is_void} if codes else {}
    return {
        "dataset": comparison.dataset.name,
        "fingerprint": comparison.dataset.fingerprint,
        "exclude": comparison.protocol.exclude,
        "protocol": str(comparison.protocol),
        "corpus": comparison.protocol.corpus,
        "relevance": comparison.protocol.relevance,
        "k": comparison.protocol.k,
        **doubts,
    }


def _parameters(row: Row, spec: EmbedderSpec | None) -> dict[str, object]:
    if spec is None:
        shares = {f"weight_{name}": round(share, 4) for name, share in row.fusion.items()}
        about = {"embedder": row.embedder, "dim": row.dim, "weights": row.weights}
        if row.tuned is not None:
            names = ("label", "learned_from", "kind", "classes", "weight", "shrinkage")
            about |= {f"tuned_{name}": getattr(row.tuned, name) for name in names}
            about |= {"spec_hash": row.spec_hash}
        return about | {"licence": row.licence, **shares}
    return {
        "embedder": spec.label,
        "spec_hash": spec.hash,
        "version": spec.version,
        "dim": spec.dim,
        "sample_rate": spec.sample_rate,
        "window_s": spec.window_s,
        "hop_s": spec.hop_s,
        "coverage_s": spec.coverage_s,
        "loudness_lufs": "" if spec.loudness_lufs is None else spec.loudness_lufs,
        "layer": spec.layer,
        "pooling": spec.pooling,
        "precision": spec.precision,
        "device": row.device,
        "weights": spec.weights_state,
        "weights_identity": spec.weights.identity if spec.weights else "",
        "licence": spec.licence,
        "non_commercial": is_non_commercial(spec.licence),
        "address": spec.address,
        "faults": " ".join(row.faults),
    }


def _by_embedder(comparison: Comparison) -> dict[str, float]:
    """Return the parent run's metrics of all embedders, to compare evaluations by.

    They are one group of charts, apart from the children's, which have one chart per metric.
    """
    return {
        f"evaluations/{measure.name} {fused.short(row.embedder)}": _short(
            row.scores[measure.name].value
        )
        for measure in comparison.measures
        if measure.compared
        for row in comparison.rows
        if measure.name in row.scores and row.kind != "baseline"
    }


def _metrics(row: Row, measures: Sequence[Measure]) -> dict[str, float]:
    """Return a row as the metrics of a run; a slash makes a group of charts."""
    values = {name: getattr(row, name) for name in _FIELDS}
    if row.tracks_per_s:
        values["tracks_per_hour"] = 3600 * row.tracks_per_s
    for measure in measures:
        if score := row.scores.get(measure.name):
            values[measure.name] = score.value
            if measure.compared:
                values |= {f"{measure.name}_low": score.low, f"{measure.name}_high": score.high}
    for genre, value in row.by_genre.items():
        values[f"by_genre/{_key(genre)}"] = value
    if row.tuned is not None:
        for how, contest in (("known", row.tuned.known), ("new", row.tuned.new)):
            if row.embedder in contest.scores:
                values[f"tuned/{how}"] = contest.scores[row.embedder].value
    if row.space is not None:
        values |= {f"space/{name}": getattr(row.space, name) for name in _SPACE}
    for label, by_label in row.by_label.items():
        group = f"label_{_key(label)}"
        values |= {f"{group}/{name}": one.value for name, one in by_label.scores.items()}
        if len(by_label.by_value) <= _MANY:
            values |= {f"{group}_map/{_key(v)}": value for v, value in by_label.by_value.items()}
    for one in row.corrected:
        values |= {f"{one.correction}/{name}": found.value for name, found in one.scores.items()}
        values |= {f"{one.correction}/hubness": one.hubness[1]}
        values |= {f"{one.correction}/orphans": one.orphans[1]}
    for stressed in row.stressed:
        values |= {f"stress/{stressed.deformation}": stressed.change.change}
    # MLflow shows these as system metrics.
    values["system/peak_rss_megabytes"] = row.peak_rss_mb
    if row.cores is not None:
        values["system/cpu_utilization_percentage"] = 100 * row.cores / (os.cpu_count() or 1)
    return {name: _short(value) for name, value in values.items() if value is not None}


def _key(text: str) -> str:
    """Return a text without the signs that MLflow does not take in the name of a metric."""
    return re.sub(r"[^\w .:/-]", "_", text)


def _short(value: float) -> float:
    """Return a number with the digits that a table has room for: 4 decimals, or none."""
    return float(round(value, 4) if abs(value) < 100 else round(value))


def _log(
    client: MlflowClient,
    run_id: str,
    parameters: Mapping[str, object],
    metrics: Mapping[str, float],
    step: int = 0,
    model: str | None = None,
    dataset: evaluation.Dataset | None = None,
    at: int | None = None,
) -> None:
    """Log to a run; `at` is the time of the metrics in milliseconds, now unless given."""
    now = at if at is not None else mlflow.utils.time.get_current_time_millis()
    about = {}
    if dataset is not None:
        about = {"dataset_name": dataset.name, "dataset_digest": dataset.fingerprint}
    client.log_batch(
        run_id,
        metrics=[
            Metric(name, value, now, step, model_id=model, run_id=run_id, **about)
            for name, value in metrics.items()
        ],
        params=[Param(name, str(value)) for name, value in parameters.items()],
    )
