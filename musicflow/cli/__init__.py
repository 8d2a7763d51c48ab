"""The command line: thin commands over the floors below, one file per topic.

Heavy modules (Dagster, MLflow, torch) are imported where they are needed. So help, a search, and a
run with nothing to do answer at once.
"""

from musicflow.extras import quick_imports

with quick_imports():
    from musicflow.cli.program import app, main

__all__ = ["app", "main"]
