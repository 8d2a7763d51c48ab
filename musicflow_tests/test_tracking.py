import multiprocessing
from pathlib import Path

import pytest

from musicflow import embedders, tracking
from musicflow.evaluation import Comparison, Dataset, Row
from musicflow.evaluation.protocol import Protocol
from musicflow.settings import Home

SPECS = [embedders.spec_of("musicnn"), embedders.spec_of("mfcc")]


def comparison() -> Comparison:
    rows = (
        Row("musicnn", "trained", 200, precision_at_10=0.75, map=0.5, tracks_per_s=3.0),
        Row("mfcc", "none", 60, error="no vectors"),
        Row("random", "none", 128, precision_at_10=0.1),
    )
    dataset, protocol = Dataset("music", "abc", 12, 1), Protocol("artist", 12, 0, 5)
    return Comparison(dataset, protocol, rows, (), (), "state", "2026-01-01")


def test_an_evaluation_is_a_parent_run_and_a_child_an_embedder(home: Home, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    report.write_text("hello")
    logged = tracking.log_comparison(home, comparison(), SPECS, [report], {"dagster_run_id": "7"})
    client = tracking.prepare(home)
    assert logged.mlflow_run_id is not None
    parent = client.get_run(logged.mlflow_run_id)
    assert parent.data.params["fingerprint"] == "abc"
    assert parent.data.tags["dagster_run_id"] == "7"
    names = {file.path for file in client.list_artifacts(logged.mlflow_run_id)}
    assert names == {"report.md", "comparison_table.json"}
    good, bad, floor = logged.rows
    assert floor.mlflow_run_id is None
    assert good.mlflow_run_id is not None
    assert bad.mlflow_run_id is not None
    child = client.get_run(good.mlflow_run_id)
    assert child.data.tags["mlflow.parentRunId"] == logged.mlflow_run_id
    assert child.data.metrics["precision_at_10"] == 0.75
    assert child.data.params["spec_hash"] == SPECS[0].hash
    assert child.data.params["weights"] == "trained"
    assert "decode_ms" not in child.data.metrics
    assert client.get_run(bad.mlflow_run_id).info.status == "FAILED"


@pytest.mark.slow
def test_several_that_start_at_once_all_find_a_database(home: Home) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=tracking.prepare, args=(home,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
