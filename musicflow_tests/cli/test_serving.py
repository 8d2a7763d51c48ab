"""Programs that serve a page, as `musicflow app` and its like start and end them."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from musicflow.cli import pages
from musicflow.cli.serving import Page, serve
from musicflow.settings import Settings

SERVE = """
import signal
import sys
from musicflow.cli.serving import Page, serve
from musicflow.settings import Settings
# As at a terminal: what runs in the background is started deaf to it.
signal.signal(signal.SIGINT, signal.default_int_handler)
port = int(sys.argv[2])
serve(Page("Files", "http.server", [str(port)], port, "/#here"), Settings(home=sys.argv[1]), False)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_page_is_named_once_it_answers_and_ends_with_all_it_started(
    tmp_path: Path, by: signal.Signals
) -> None:
    port = free_port()
    command = [sys.executable, "-c", SERVE, str(tmp_path), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == f"Files: open http://localhost:{port}/#here\n"
            urllib.request.urlopen(f"http://localhost:{port}").close()
            started = psutil.Process(program.pid).children(recursive=True)
            assert started
            program.send_signal(by)
            assert program.wait(20) == 130
            assert not psutil.wait_procs(started, 1)[1]
            assert program.stdout.read() == ""
        finally:
            program.kill()
    assert "GET /" in (tmp_path / "logs" / "files.log").read_text()


def test_a_page_that_does_not_start_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Page("Nothing", "no_such_module", [], free_port())
    with pytest.raises(SystemExit) as ended:
        serve(page, Settings(home=tmp_path), verbose=False)
    assert ended.value.code == 1
    words = " ".join(capsys.readouterr().err.split())
    assert "Nothing ended with code 1; its log is" in words
    assert "No module named no_such_module" in words


@pytest.mark.usefixtures("ready")
def test_mlflow_opens_on_its_table_without_job_workers_and_real_addresses_are_known(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: dict[str, Page] = {}
    monkeypatch.setattr(pages, "serve", lambda page, *_: served.update({page.name: page}))
    monkeypatch.delenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", raising=False)
    ports = {"dagster": free_port(), "mlflow": free_port()}
    for command, port in ports.items():
        assert run(command, "--port", str(port))[0] == 0
    assert served["MLflow"].path == "/#/experiments/1/runs?viewStateShareKey=musicflow"
    assert os.environ.pop("MLFLOW_SERVER_ENABLE_JOB_EXECUTION") == "false"
    known = [Settings().dagster_url, Settings().mlflow_url]
    assert known == [f"http://localhost:{port}" for port in ports.values()]


@pytest.mark.parametrize("command", ["app", "dagster", "mlflow"])
def test_a_port_that_is_taken_is_one_sentence_before_anything_starts(
    run: Any, command: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, printed, errors = run(command, "--port", str(port))
    assert (code, printed) == (1, "")
    assert f"port {port} cannot be used (Address already in use): end what uses it" in errors


def test_others_are_let_in_with_a_token_alone(run: Any) -> None:
    code, printed, errors = run("app", "--address", "0.0.0.0", "--port", str(free_port()))
    assert (code, printed) == (2, "")
    assert "0.0.0.0 can be reached from other machines: set a token" in errors
