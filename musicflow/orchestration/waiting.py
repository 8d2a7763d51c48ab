"""Steps that wait: for a place in a pool, or to be tried again.

Dagster hears an interrupt within steps alone. A run that waits for another would go on waiting
after Ctrl-C, and after *Terminate* on its page. And it would keep a core busy: for a step without a
place, its sleep is no time at all.
"""

import time

import dagster as dg
from dagster._core.execution.plan.active import ActiveExecution

_LOOK_S = 0.25
"""Seconds until a step that waits is looked at again."""


def hear_interrupts() -> None:
    """Let the runs of this process sleep while they wait, and hear interrupts meanwhile."""
    ActiveExecution.sleep_til_ready = _sleep  # type: ignore[method-assign, assignment]


def _sleep(_execution: ActiveExecution) -> None:
    with dg.raise_execution_interrupts():
        time.sleep(_LOOK_S)
