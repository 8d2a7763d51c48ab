"""The processes of runs: noted in tags, so that others see when one was killed."""

import json
import os
import socket

import dagster as dg
import psutil

PROCESS = "musicflow/process"
"""The tag of a command's run: the host, number and start time of its process."""

WORKER = "musicflow/worker"
"""The tag of a run of Dagster's own, likewise."""

KILLED = "musicflow/killed"
"""The tag of a run whose process was killed, and could say nothing more."""

STARTED = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])


def this_process() -> str:
    """Return what tells this process from all others: its host, number and start time."""
    return json.dumps([socket.gethostname(), os.getpid(), psutil.Process().create_time()])


def end_killed_runs(instance: dg.DagsterInstance) -> None:
    """End the runs whose processes were killed, and free their places in the pools."""
    for run in instance.get_runs(STARTED):
        process = run.tags.get(PROCESS) or run.tags.get(WORKER)
        if process is not None and _was_killed(process):
            instance.add_run_tags(run.run_id, {KILLED: "true"})
            instance.report_run_failed(run, "the process of this run was killed")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _was_killed(process: str) -> bool:
    host, number, began = json.loads(process)
    if host != socket.gethostname():
        return False
    try:
        return psutil.Process(number).create_time() != began
    except psutil.NoSuchProcess:
        return True
