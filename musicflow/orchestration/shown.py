"""What Dagster's pages show beside an asset: failures with their reasons, and links."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from musicflow.settings import Settings

LISTED = 10
"""The failures whose reasons are shown; all are counted."""


def failures(found: Iterable[tuple[str, str, str]]) -> dict[str, Any]:
    """Return metadata that count failures and tell the first of them.

    Parameters
    ----------
    found
        File, code and reason of each.
    """
    rows = list(found)
    codes = Counter(code for _, code, _ in rows).most_common()
    return {
        "failed": len(rows),
        "failures": ", ".join(f"{count} {code}" for code, count in codes) or "none",
        **({"why": markdown(rows[:LISTED], ["file", "code", "reason"])} if rows else {}),
    }


def log_of_step(context: dg.AssetExecutionContext, settings: Settings) -> dg.MetadataValue:
    """Return a link to what a step said in its run."""
    step = context.op_execution_context.get_step_execution_context().step.key
    return dg.MetadataValue.url(f"{settings.dagster_url}/runs/{context.run_id}?logs=step:{step}")


def markdown(rows: Iterable[Sequence[object]], columns: list[str]) -> dg.MarkdownMetadataValue:
    """Return a table; "none" of no rows."""
    frame = pd.DataFrame(list(rows), columns=columns)
    return dg.MetadataValue.md("none" if frame.empty else frame.to_markdown(index=False))
