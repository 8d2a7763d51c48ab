"""Alerts: what a failed run tells a command or a webhook that the settings name.

A message is JSON: ``job``, ``run_id``, ``page`` (of the run) and ``reasons`` (by step). A command
reads it from its standard input, a webhook is sent it by POST. A run of the command line tells it
itself, as Dagster's daemon may not be there.
"""

import json
import shlex
import subprocess
import urllib.request
from collections.abc import Mapping
from typing import Any

import dagster as dg

from musicflow.orchestration.failures import NO_REASON, reason_of
from musicflow.orchestration.processes import KILLED, PROCESS
from musicflow.settings import Settings

_ANSWER_S = 10.0
_COMMAND_S = 60.0


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tell the command or the webhook of the setting `alert` of each run that fails.",
)
def alert(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Send an alert about a failed run; do nothing where no alert is set."""
    settings, run = Settings(), context.dagster_run
    if settings.alert is None:
        return dg.SkipReason("no alert is set")
    if PROCESS in run.tags and KILLED not in run.tags:
        return dg.SkipReason("the command that ran it sent an alert")
    reasons = {
        event.step_key or "": reason_of(event) for event in context.get_step_failure_events()
    } or {"": context.failure_event.message or NO_REASON}
    tell_of(run, reasons, settings)
    return None


def tell_of(run: dg.DagsterRun, reasons: Mapping[str, str], settings: Settings) -> None:
    """Send an alert about a failed run, if one is set.

    Parameters
    ----------
    run
        The run.
    reasons
        Why it failed, by step.
    settings
        Say where an alert goes, and where Dagster's pages are.

    Raises
    ------
    OSError, subprocess.SubprocessError
        See `send`.
    """
    if settings.alert is not None:
        page = f"{settings.dagster_url}/runs/{run.run_id}"
        about = {"job": run.job_name, "run_id": run.run_id, "page": page, "reasons": dict(reasons)}
        send(settings.alert, about)


def send(target: str, message: dict[str, Any]) -> None:
    """Send a message to a command, or to an address that begins with ``http``.

    Raises
    ------
    OSError
        If there is no such command, or the address does not answer.
    subprocess.SubprocessError
        If the command fails, or takes longer than a minute.
    """
    content = json.dumps(message).encode()
    if target.startswith(("http://", "https://")):
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(target, content, headers, method="POST")
        urllib.request.urlopen(request, timeout=_ANSWER_S).close()
    else:
        subprocess.run(shlex.split(target), input=content, check=True, timeout=_COMMAND_S)
