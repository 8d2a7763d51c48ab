"""Whether MLflow holds a comparison. Its own database is asked without importing MLflow."""

import sqlite3
from contextlib import closing
from pathlib import Path

from musicflow import extras
from musicflow.evaluation import Comparison
from musicflow.settings import Home

_SQLITE = "sqlite:///"


def is_recorded(home: Home, comparison: Comparison) -> bool:
    """Return whether MLflow holds a comparison, or nothing is recorded where extras are missing.

    A run that a person deleted is not held. Where MLflow does not answer, a run that was logged
    counts as held.
    """
    if not extras.are_installed(*extras.RECORDS):
        return True
    run, uri = comparison.mlflow_run_id, home.tracking_uri
    if run is None:
        return False
    if uri.startswith(_SQLITE):
        return _is_in(Path(uri.removeprefix(_SQLITE)), run)
    # Imported here: it takes a second.
    from musicflow import tracking

    return tracking.holds(home, run)


def _is_in(database: Path, run: str) -> bool:
    if not database.exists():
        return False
    query = "SELECT 1 FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as found:
            return found.execute(query, [run]).fetchone() is not None
    except sqlite3.Error:
        return True
