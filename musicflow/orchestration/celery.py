"""Runs on many machines: each Celery worker takes one whole run at a time.

A run holds one partition of the library, so a worker that dies costs one partition at most. Start
a worker on each machine with

    celery --app musicflow.orchestration.celery worker --concurrency 1 --queues dagster

`deploy/` has the rest. The broker and where results are kept come from MUSICFLOW_CELERY_BROKER and
MUSICFLOW_CELERY_BACKEND.
"""

import os

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.make_app import make_app
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

_A_DAY = 24 * 3600

app = make_app(
    {
        "broker": os.environ.get("MUSICFLOW_CELERY_BROKER", "redis://localhost:6379/0"),
        "backend": os.environ.get("MUSICFLOW_CELERY_BACKEND", "redis://localhost:6379/1"),
    }
)
app.conf.update(
    # A worker takes a run only when it can start it. A run that it held would die with it.
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    # One process per run, so that its memory is freed at the end.
    worker_max_tasks_per_child=1,
    # Redis hands out unfinished tasks again after this time: longer than any partition takes.
    broker_transport_options={"visibility_timeout": _A_DAY},
)
create_execute_job_task(app)
create_resume_job_task(app)


class WatchfulCeleryRunLauncher(CeleryRunLauncher):
    """Dagster's launcher, which also notices when the worker of a run is gone."""

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Ask the workers about a run; see `dagster._core.launcher.RunLauncher`."""
        health = super().check_run_worker_health(run)
        if health.status != WorkerStatus.RUNNING:
            return health
        task = run.tags[DAGSTER_CELERY_TASK_ID_TAG]
        busy = self.celery.control.inspect(timeout=5).active() or {}
        if any(job["id"] == task for jobs in busy.values() for job in jobs):
            return health
        return CheckRunHealthResult(WorkerStatus.FAILED, "The Celery worker of this run is gone.")
