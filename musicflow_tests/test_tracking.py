import json
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from mlflow.entities import Run
from mlflow.store.tracking.dbmodels.models import SqlLoggedModelMetric
from mlflow.tracking import MlflowClient

from musicflow import embedders, tracking
from musicflow.evaluation import Comparison, Dataset, Row, Score
from musicflow.evaluation.corrections import Corrected
from musicflow.evaluation.labelled import ByLabel
from musicflow.evaluation.protocol import Protocol
from musicflow.evaluation.space import Health
from musicflow.evaluation.statistics import Change, Difference
from musicflow.evaluation.stress import Stressed
from musicflow.library import Doubt
from musicflow.settings import Home
from musicflow_tests.evaluation.made_up import MEASURES, SWEEP, scores

SPECS = [embedders.spec_of("musicnn"), embedders.spec_of("mfcc")]


HEALTH = Health(1.5, (("a", 3),), 0.1, 0.2, None, 0, 0)
CORRECTED = Corrected("csls", {"map": Score(0.52)}, {}, (1.5, 0.5), (0.2, 0.1))
CHANGE = Change(-0.25, (-0.3, -0.2), 0.01)
STRESSED = Stressed("noise-0", 50, Score(0.75), Score(0.5), CHANGE, 0.3, 0.4)


def comparison(created: str = "2026-01-01") -> Comparison:
    rows = (
        Row(
            "musicnn",
            "embedder",
            "trained",
            200,
            {"precision_at_10": Score(0.75, 0.70001, 0.8), "map": Score(0.5, 0.4, 0.6)},
            tracks_per_s=3.0,
            peak_rss_mb=612.34,
            by_genre={"R&B / soul": 0.75},
            spec_hash="s1",
            confusion={"R&B / soul": {"R&B / soul": 1.0}},
            space=HEALTH,
            corrected=(CORRECTED,),
            by_label={"play/list": ByLabel({"map": Score(0.3)}, 9, 0.1, {"a b!": 0.25})},
            stressed=(STRESSED,),
        ),
        Row("mfcc", "embedder", "none", 60, error="no vectors", spec_hash="s2"),
        Row(
            "fusion:musicnn+mfcc",
            "fusion",
            "trained",
            260,
            scores(map=0.6),
            fusion={"musicnn": 0.7, "mfcc": 0.3},
        ),
        Row("random", "baseline", "none", 128, scores(precision_at_10=0.1)),
    )
    dataset, protocol = Dataset("music", "abc", 12, 1), Protocol("artist", 12, 0, 5)
    difference = Difference("musicnn", "mfcc", "map", 0.1, (0.0, 0.2), 0.04)
    return Comparison(dataset, protocol, MEASURES, rows, (difference,), (), "state", created)


def runs_of(client: MlflowClient, experiment: str) -> list[Run]:
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id]))


def points(client: MlflowClient, metric: str = "tracks") -> dict[str, list[int]]:
    """Return the steps of each embedder over time."""
    return {
        run.data.tags["embedder"]: [
            point.step for point in client.get_metric_history(run.info.run_id, metric)
        ]
        for run in runs_of(client, tracking.OVER_TIME)
    }


def test_an_evaluation_is_a_parent_run_and_a_child_per_embedder(home: Home, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    report.write_text("hello")
    odd = replace(comparison(), doubts=(Doubt("few-genres", "one genre", "name more", voids=True),))
    logged = tracking.log_comparison(home, odd, SPECS, lambda: [report], {"dagster_run_id": "7"})
    client = tracking.prepare(home)
    assert logged.mlflow_run_id is not None
    parent = client.get_run(logged.mlflow_run_id)
    assert parent.data.params["fingerprint"] == "abc"
    assert parent.data.params["doubts"] == "few-genres"
    assert parent.data.params["is_void"] == "True"
    assert parent.data.tags["dagster_run_id"] == "7"
    names = {file.path for file in client.list_artifacts(logged.mlflow_run_id)}
    assert names == {"report.md", "comparison_table.json", "differences_table.json"}
    assert parent.info.run_name == "music, 2026-01-01"
    assert parent.data.metrics["evaluations/map musicnn"] == 0.5
    assert parent.data.metrics["evaluations/map fusion"] == 0.6
    assert "evaluations/precision_at_10 random" not in parent.data.metrics
    assert "allow no choice" in parent.data.tags["mlflow.note.content"]
    [used] = parent.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("music", "abc")
    good, bad, fused, floor = logged.rows
    assert floor.mlflow_run_id is None
    assert good.mlflow_run_id is not None
    assert bad.mlflow_run_id is not None
    child = client.get_run(good.mlflow_run_id)
    assert child.data.tags["mlflow.parentRunId"] == logged.mlflow_run_id
    assert child.data.metrics["precision_at_10"] == 0.75
    assert child.data.metrics["tracks_per_hour"] == 10_800
    # No more digits than a column has room for.
    assert child.data.metrics["precision_at_10_low"] == 0.7
    assert child.data.metrics["peak_rss_mb"] == 612
    assert child.info.end_time - child.info.start_time >= 4000  # twelve tracks, three a second
    assert child.data.params["spec_hash"] == SPECS[0].hash
    assert child.data.params["weights"] == "trained"
    assert child.data.params["exclude"] == "artist"
    assert child.data.metrics["map_high"] == 0.6
    assert child.data.params["interval"] == "0.70–0.80"
    assert child.data.metrics["by_genre/R_B / soul"] == 0.75
    assert child.data.metrics["space/hubness"] == 1.5
    of_correction = {n: v for n, v in child.data.metrics.items() if n.startswith("csls/")}
    assert of_correction == {"csls/map": 0.52, "csls/hubness": 0.5, "csls/orphans": 0.1}
    of_label = {n: v for n, v in child.data.metrics.items() if n.startswith("label_")}
    assert of_label == {"label_play/list/map": 0.3, "label_play/list_map/a b_": 0.25}
    of_stress = {n: v for n, v in child.data.metrics.items() if n.startswith("stress/")}
    assert of_stress == {"stress/noise-0": -0.25}
    assert "decode_ms" not in child.data.metrics
    assert fused.mlflow_run_id is not None
    assert client.get_run(fused.mlflow_run_id).data.params["weight_mfcc"] == "0.3"
    assert client.get_run(bad.mlflow_run_id).info.status == "FAILED"


def test_a_server_that_fails_midway_keeps_no_half(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(MlflowClient, "log_table", fail)
    with pytest.raises(ConnectionError):
        tracking.log_comparison(home, comparison(), SPECS, list)
    monkeypatch.undo()
    client = tracking.prepare(home)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    assert experiment is not None
    assert not client.search_runs([experiment.experiment_id])
    assert not client.search_logged_models([experiment.experiment_id])
    assert "precision_at_10" in experiment.tags[f"mlflow.sharedViewState.{tracking.VIEW}"]


def test_a_version_of_an_embedder_is_one_model_and_its_evaluations_are_steps(home: Home) -> None:
    first = tracking.log_comparison(home, comparison(), SPECS, list)
    second = tracking.log_comparison(home, comparison("2026-01-02"), SPECS, list)
    client = tracking.prepare(home)
    for row in (2, 0):
        runs = [client.get_run(str(logged.rows[row].mlflow_run_id)) for logged in (first, second)]
        [[model], [same]] = [run.inputs.model_inputs for run in runs]
        assert model.model_id == same.model_id
    found = client.get_logged_model(model.model_id)
    assert (found.name, found.status) == ("musicnn", "READY")
    assert {metric.value for metric in found.metrics if metric.key == "map"} == {0.5}
    assert points(client, "map")["musicnn"] == [0, 1]
    other = replace(comparison().rows[0], spec_hash="s3")
    third = replace(comparison("2026-01-03"), rows=(other,))
    anew = tracking.log_comparison(home, third, SPECS, list)
    [apart] = client.get_run(str(anew.rows[0].mlflow_run_id)).inputs.model_inputs
    assert apart.model_id != model.model_id


def test_an_evaluation_reads_none_of_the_figures_of_earlier_ones(home: Home) -> None:
    """They are as many as the nights."""
    read: list[object] = []

    def on_load(row: object, _: object) -> None:
        read.append(row)

    tracking.log_comparison(home, comparison(), SPECS, list)
    listener = SqlLoggedModelMetric, "load", on_load
    sqlalchemy.event.listen(*listener)
    tracking.log_comparison(home, comparison("2026-01-02"), SPECS, list)
    sqlalchemy.event.remove(*listener)
    assert not read


EVERY = ["musicnn", "mfcc", "fusion:musicnn+mfcc"]


@contextmanager
def server_lost_at(method: str, number: int) -> Iterator[None]:
    """Let no call of MLflow's client be heard from the given call of a method on."""
    left = number
    heard = {name: getattr(MlflowClient, name) for name in (*CALLS, "delete_run")}

    def call(name: str) -> Callable:
        def called(self: MlflowClient, *given: object, **named: object) -> object:
            nonlocal left
            left -= name == method
            if left <= 0:
                raise ConnectionError("gone")
            return heard[name](self, *given, **named)

        return called

    with pytest.MonkeyPatch.context() as patch:
        for name in heard:
            patch.setattr(MlflowClient, name, call(name))
        with pytest.raises(ConnectionError):
            yield


CALLS = ("create_run", "log_batch", "log_inputs", "log_table", "set_tag", "set_terminated")


@pytest.mark.slow
@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("method", "number"),
    [
        ("create_run", 2),  # the first child
        ("log_inputs", 4),  # the parent's
        ("set_tag", 1),
        ("create_run", 6),  # the second run over time
        ("log_batch", 8),  # its first point
        ("set_terminated", 4),  # of the first run over time
        ("set_terminated", 7),  # of the parent
    ],
)
def test_a_logging_that_was_broken_off_is_made_whole_by_the_next(
    home: Home, method: str, number: int
) -> None:
    with server_lost_at(method, number):
        tracking.log_comparison(home, comparison(), SPECS, list)
    logged = tracking.log_comparison(home, comparison(), SPECS, list)
    client = tracking.prepare(home)
    runs = runs_of(client, tracking.EXPERIMENT)
    assert sorted(run.info.run_id for run in runs) == sorted(
        str(one) for one in (logged.mlflow_run_id, *(r.mlflow_run_id for r in logged.rows)) if one
    )
    over_time = runs_of(client, tracking.OVER_TIME)
    assert {run.info.status for run in (*runs, *over_time)} == {"FINISHED", "FAILED"}
    assert points(client) == {name: [0] for name in EVERY}
    assert len(over_time) == len(EVERY)
    tracking.log_comparison(home, comparison("2026-01-02"), SPECS, list)
    assert points(client) == {name: [0, 1] for name in EVERY}


@pytest.mark.usefixtures("ready")
def test_a_point_of_an_evaluation_that_was_never_logged_again_shifts_no_other(home: Home) -> None:
    with server_lost_at("create_run", 6):
        tracking.log_comparison(home, comparison(), SPECS, list)
    tracking.log_comparison(home, comparison("2026-01-02"), SPECS, list)
    steps = points(tracking.prepare(home))
    assert steps.pop("musicnn") == [0, 1]
    assert steps == {name: [1] for name in EVERY[1:]}


@pytest.mark.usefixtures("ready")
def test_a_curve_over_time_is_of_one_protocol(home: Home) -> None:
    """Scores of other queries, rules or genres would look like a change of the embedder."""
    changes: list[dict[str, object]] = [
        {}, {"exclude": "none"}, {"drawn": 100}, {"relevance": "genres from the tags"}, {"k": 20},
    ]  # fmt: skip
    for number, change in enumerate(changes):
        made = comparison(f"2026-01-0{1 + number}")
        row = made.rows[0]
        row = replace(row, scores=row.scores | {"precision_at_k": Score(0.1)})
        made = replace(made, rows=(row,), protocol=replace(made.protocol, **change))
        tracking.log_comparison(home, made, SPECS, list)
    client = tracking.prepare(home)
    runs = {run.data.tags["protocol"]: run for run in runs_of(client, tracking.OVER_TIME)}
    steps = {
        terms: [p.step for p in client.get_metric_history(run.info.run_id, "map")]
        for terms, run in runs.items()
    }
    assert steps == {
        "exclude artist": [0, 4],
        "exclude none": [1],
        "exclude artist, 100 queries drawn": [2],
        "exclude artist, genres from the tags": [3],
    }
    run = runs["exclude artist"]
    assert run.info.run_name == "musicnn: exclude artist"
    assert {"precision_at_10", "precision_at_20"} < run.data.metrics.keys()
    assert "precision_at_k" not in run.data.metrics


@pytest.mark.usefixtures("ready")
def test_the_view_opens_with_the_last_evaluation_that_is_there(home: Home) -> None:
    def shown() -> dict[str, object]:
        found = tracking.prepare(home).get_experiment_by_name(tracking.EXPERIMENT)
        assert found is not None
        return dict(json.loads(found.tags[f"mlflow.sharedViewState.{tracking.VIEW}"]))

    assert "searchFilter" not in shown()
    first = tracking.log_comparison(home, comparison(), SPECS, list)
    last = tracking.log_comparison(home, comparison("2026-01-02"), SPECS, list)
    query = str(shown()["searchFilter"])
    assert str(last.mlflow_run_id) in query
    client, experiment = tracking.prepare(home), str(last.mlflow_experiment_id)
    ranked = client.search_runs([experiment], query)
    assert {run.info.run_id for run in ranked} == {r.mlflow_run_id for r in last.rows} - {None}
    for run in (*ranked, client.get_run(str(last.mlflow_run_id))):
        client.delete_run(run.info.run_id)
    assert str(first.mlflow_run_id) in str(shown()["searchFilter"])


@pytest.mark.usefixtures("ready")
def test_what_was_logged_is_not_logged_twice(home: Home) -> None:
    first = tracking.log_comparison(home, comparison(), SPECS, list)
    written: list[int] = []
    again = tracking.log_comparison(home, comparison(), SPECS, lambda: written.append(1) or [])
    assert again == first
    assert written, "the report is written all the same"


@pytest.mark.usefixtures("ready")
def test_a_sweep_that_was_broken_off_does_not_stay(home: Home) -> None:
    with server_lost_at("log_batch", 2):
        tracking.log_sweep(home, SWEEP, SPECS[0], [])
    run = tracking.log_sweep(home, SWEEP, SPECS[0], [])
    left = runs_of(tracking.prepare(home), tracking.LAYERS)
    assert [(one.info.run_id, one.info.status) for one in left] == [(run, "FINISHED")]


@pytest.mark.slow
def test_what_was_deleted_in_mlflow_is_restored_when_it_is_needed_again(home: Home) -> None:
    client = tracking.prepare(home)
    found = client.get_experiment_by_name(tracking.EXPERIMENT)
    assert found is not None
    client.delete_experiment(found.experiment_id)
    again = tracking.prepare(home).get_experiment(found.experiment_id)
    assert again.lifecycle_stage == "active"


def test_several_that_start_at_once_all_find_a_database(home: Home) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=tracking.prepare, args=(home,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4


def test_a_sweep_is_a_run_whose_steps_are_the_layers(home: Home, tmp_path: Path) -> None:
    picture = tmp_path / "layers.png"
    picture.write_bytes(b"png")
    client = tracking.prepare(home)
    run = tracking.log_sweep(home, SWEEP, SPECS[0], [picture])
    history = client.get_metric_history(run, "precision_at_10")
    assert [(point.step, point.value) for point in history] == [(0, 0.5), (1, 0.7)]
    data = client.get_run(run).data
    assert data.params["layer_1"] == data.params["best"] == "penultimate"
    assert (data.metrics["nested/map"], data.metrics["mean/map_low"]) == (0.5, 0.2)
    assert [file.path for file in client.list_artifacts(run)] == ["layers.png"]
