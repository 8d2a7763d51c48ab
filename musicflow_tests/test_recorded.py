"""What MLflow holds, by its own database and by its client."""

from dataclasses import replace

import pytest

from musicflow import extras, tracking
from musicflow.recorded import is_recorded
from musicflow.settings import Home
from musicflow_tests.test_tracking import SPECS, comparison


@pytest.mark.usefixtures("ready")
def test_a_run_that_was_deleted_in_mlflow_is_not_held(home: Home) -> None:
    logged = tracking.log_comparison(home, comparison(), SPECS, list)
    run = str(logged.mlflow_run_id)
    assert is_recorded(home, logged)
    assert tracking.holds(home, run)
    tracking.prepare(home).delete_run(run)
    assert not is_recorded(home, logged)
    assert not tracking.holds(home, run)
    other = replace(logged, mlflow_run_id="0" * 32)
    assert not is_recorded(home, other)
    assert not tracking.holds(home, "0" * 32)
    again = tracking.log_comparison(home, comparison(), SPECS, list)
    assert again.mlflow_run_id != run
    client = tracking.prepare(home)
    runs = client.search_runs([str(again.mlflow_experiment_id)])
    held = {again.mlflow_run_id, *(row.mlflow_run_id for row in again.rows)} - {None}
    assert {run.info.run_id for run in runs} == held, "no child of the deleted run stays"


def test_a_database_that_is_gone_holds_nothing_and_one_that_fails_is_believed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = replace(comparison(), mlflow_run_id="a run")
    assert not is_recorded(home, logged)
    home.mlflow.mkdir(parents=True)
    (home.mlflow / "mlflow.db").write_text("damaged " * 1000)
    assert is_recorded(home, logged)
    assert not is_recorded(home, comparison())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert is_recorded(home, logged)
    monkeypatch.setattr(extras, "are_installed", lambda *_: False)
    assert is_recorded(home, comparison()), "nothing is recorded without the extras"
