"""Alerts: a failed run reaches a command and a webhook."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest

from musicflow.orchestration.alerts import alert


@contextmanager
def failed_run(instance: dg.DagsterInstance, **tags: str) -> Iterator[dg.RunFailureSensorContext]:
    @dg.op
    def read() -> None:
        raise dg.Failure("the disk is gone")

    @dg.job
    def nightly_job() -> None:
        read()

    result = nightly_job.execute_in_process(
        instance=instance, raise_on_error=False, tags={f"musicflow/{k}": v for k, v in tags.items()}
    )
    event = result.get_run_failure_event()
    given = "alert", event, instance, result.dagster_run
    with dg.build_run_status_sensor_context(*given) as context, context.for_run_failure() as failed:
        yield failed


def test_a_command_reads_what_failed_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told.json"
    copy = f"import sys; open({str(told)!r}, 'w').write(sys.stdin.read())"
    monkeypatch.setenv("MUSICFLOW_ALERT", f'{sys.executable} -c "{copy}"')
    with dg.instance_for_test() as instance, failed_run(instance) as context:
        alert(context)
        run_id = context.dagster_run.run_id
    assert json.loads(told.read_text()) == {
        "job": "nightly_job",
        "run_id": run_id,
        "page": f"http://localhost:3000/runs/{run_id}",
        "reasons": {"read": "the disk is gone"},
    }


def test_a_webhook_is_posted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server, dg.instance_for_test() as instance:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("MUSICFLOW_ALERT", f"http://127.0.0.1:{server.server_port}/hook")
        with failed_run(instance) as context:
            alert(context)
    assert json.loads(got[0])["reasons"] == {"read": "the disk is gone"}


def test_without_an_alert_a_failed_run_costs_nothing() -> None:
    with dg.instance_for_test() as instance, failed_run(instance) as context:
        result = alert(context)
    assert isinstance(result, dg.SkipReason)


def test_a_command_tells_of_its_run_itself_unless_it_was_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MUSICFLOW_ALERT", "no-such-program")
    with dg.instance_for_test() as instance:
        with failed_run(instance, process="1") as context:
            assert isinstance(alert(context), dg.SkipReason)
        with (
            failed_run(instance, process="1", killed="true") as context,
            pytest.raises(FileNotFoundError),
        ):
            alert(context)
