"""The command line: thin commands over the floors below, one file per topic.

Heavy modules (Dagster, MLflow, torch) are imported where they are needed, so that help, a search
or a run with nothing to do answers at once.
"""

from musicflow.cli.program import app, main

__all__ = ["app", "main"]
